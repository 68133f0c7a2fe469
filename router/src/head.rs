//! Heads of requests and responses: what is refused, what is taken off, and what the router adds.

use std::net::IpAddr;
use std::time::SystemTime;

use http::header::{
    CONNECTION, COOKIE, EXPECT, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use rand::Rng as _;

use crate::fault::Fault;
use crate::table::parse_host;

const MAX_LINE: usize = 8192;
const MAX_NAME: usize = 1000;
const MAX_HEADERS: usize = 1000;
const MAX_METHOD: usize = 127;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");

/// What a dyno is sent, but for the body. Kept so that it can be sent to another.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

/// How the client reached us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) is_https: bool,
    /// The public port they used.
    pub(crate) port: u16,
}

/// The `Host` header's value, or the authority that takes its place.
pub(crate) fn host(parts: &Parts) -> Result<(HeaderValue, String), Fault> {
    let mut given = parts.headers.get_all(HOST).iter();
    let (value, more) = (given.next(), given.next().is_some());
    let value = match parts.uri.authority() {
        // An absolute URI, and HTTP/2's `:authority`, go before a `Host` header. Neither may carry a user name.
        Some(authority) => HeaderValue::from_str(authority.as_str()).map_err(|_| Fault::BadHost)?,
        None => value.cloned().ok_or(Fault::BadHost)?,
    };
    if more {
        return Err(Fault::BadHost);
    }
    let host = value.to_str().ok().and_then(parse_host).ok_or(Fault::BadHost)?.into_owned();
    Ok((value, host))
}

/// The contract's limits, as far as the HTTP library has not enforced stricter ones.
pub(crate) fn check(parts: &Parts) -> Result<(), Fault> {
    if parts.method == Method::CONNECT {
        return Err(Fault::BadMethod);
    }
    let method = parts.method.as_str().len();
    let line = method + path(&parts.uri).len() + " HTTP/1.1".len() + 1;
    let is_long = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().len() > MAX_NAME || name.as_str().len() + 2 + value.len() > MAX_LINE
    };
    if method > MAX_METHOD || line > MAX_LINE || parts.headers.len() > MAX_HEADERS || parts.headers.iter().any(is_long) {
        return Err(Fault::BadHeader);
    }
    // Anything before the final `chunked` would be lost on the way: the body goes on decoded from its chunks.
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if codings.next().is_some_and(|value| !is_chunked(value)) || codings.next().is_some() {
        return Err(Fault::BadHeader);
    }
    let expects_more =
        |value: &HeaderValue| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"100-continue");
    if parts.headers.get_all(EXPECT).iter().any(expects_more) {
        return Err(Fault::BadExpect);
    }
    Ok(())
}

/// The path and query, or `*`.
pub(crate) fn path(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", PathAndQuery::as_str)
}

/// The request's id: the client's, if it is fit to be one.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fit = |value: &&HeaderValue| {
        (20..=200).contains(&value.len())
            && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"+/=-".contains(b))
    };
    if let Some(given) = headers.get(X_REQUEST_ID).filter(fit) {
        return given.clone();
    }
    let id = uuid::Builder::from_random_bytes(rand::rng().random()).into_uuid();
    let mut text = [0; 36];
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// `X-Forwarded-For`: whatever list was given, and the real peer at its right.
pub(crate) fn forwarded_for(headers: &HeaderMap, peer: IpAddr) -> HeaderValue {
    let mut list = Vec::new();
    for given in headers.get_all(X_FORWARDED_FOR) {
        list.extend_from_slice(given.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(peer.to_canonical().to_string().as_bytes());
    HeaderValue::from_maybe_shared(bytes::Bytes::from(list)).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// What the client asked to switch to, where that is something to pass on.
pub(crate) fn upgrade(parts: &Parts) -> Option<HeaderValue> {
    let wanted = parts.headers.get(UPGRADE)?;
    // HTTP/2 over the dyno's connection would be requests that nobody here sees.
    let is_http2 = wanted.as_bytes().trim_ascii().to_ascii_lowercase().starts_with(b"h2");
    let asks = parts.headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    (parts.version == Version::HTTP_11 && asks && !is_http2).then(|| wanted.clone())
}

fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

/// The head as a dyno gets it.
pub(crate) fn for_backend(
    mut parts: Parts,
    has_body: bool,
    origin: Origin,
    [host, request_id, fwd]: [HeaderValue; 3],
    upgrade: Option<HeaderValue>,
) -> Head {
    let is_chunked = has_body && !parts.headers.contains_key(http::header::CONTENT_LENGTH);
    let headers = &mut parts.headers;
    strip_hop_by_hop(headers);
    headers.remove(TE);
    headers.remove(EXPECT);
    if parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    if is_chunked {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    headers.insert(HOST, host);
    headers.insert(X_FORWARDED_FOR, fwd);
    let proto = if origin.is_https { "https" } else { "http" };
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    headers.insert(X_FORWARDED_PORT, HeaderValue::from(origin.port));
    headers.insert(X_REQUEST_ID, request_id);
    headers.insert(X_REQUEST_START, HeaderValue::from(unix_millis()));
    headers.append(VIA, via(parts.version));

    let mut uri = http::uri::Parts::default();
    uri.path_and_query = parts.uri.path_and_query().cloned().or_else(|| Some(PathAndQuery::from_static("/")));
    let uri = Uri::from_parts(uri).unwrap_or_default();
    Head { method: parts.method, uri, headers: parts.headers }
}

impl Head {
    pub(crate) fn with<B>(self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }

    pub(crate) fn of<B>(request: Request<B>) -> Self {
        let (parts, _) = request.into_parts();
        Self { method: parts.method, uri: parts.uri, headers: parts.headers }
    }
}

/// A dyno's response head, made fit for the client.
pub(crate) fn for_client(headers: &mut HeaderMap, version: Version, upgraded: bool) {
    let protocol = if upgraded { headers.get(UPGRADE).cloned() } else { None };
    strip_hop_by_hop(headers);
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    headers.append(VIA, via(version));
}

pub(crate) fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_2 => "2.0 heroku-router",
        Version::HTTP_10 => "1.0 heroku-router",
        _ => "1.1 heroku-router",
    })
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|text| text.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            // Naming these is how a client would take away what the next one decides by.
            if name != HOST && name != X_FORWARDED_FOR && name != http::header::CONTENT_LENGTH {
                headers.remove(name);
            }
        }
        headers.remove(CONNECTION);
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    headers.remove(UPGRADE);
}

/// HTTP/2 clients may send a cookie per header; an HTTP/1.1 app expects one line.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    const ORIGIN: Origin = Origin { is_https: true, port: 443 };
    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(9, 9, 9, 9));

    fn sent(request: http::request::Builder, has_body: bool) -> HeaderMap {
        let parts = parts(request);
        let upgrade = upgrade(&parts);
        let (host, _) = host(&parts).unwrap();
        let values = [host, request_id(&parts.headers), forwarded_for(&parts.headers, PEER)];
        for_backend(parts, has_body, ORIGIN, values, upgrade).headers
    }

    fn get() -> http::request::Builder {
        Request::get("/").header("host", "a.test")
    }

    #[test]
    fn hop_by_hop_headers_stay_behind_and_the_platforms_are_added() {
        let request = get()
            .header("connection", "close, X-Secret, host")
            .header("x-secret", "1")
            .header("keep-alive", "timeout=5")
            .header("te", "trailers")
            .header("x-forwarded-for", "1.1.1.1")
            .header("x-forwarded-for", "2.2.2.2")
            .header("x-forwarded-proto", "ftp")
            .header("via", "1.0 old");
        let headers = sent(request, false);
        for gone in ["connection", "x-secret", "keep-alive", "te", "transfer-encoding"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(headers["host"], "a.test");
        assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 9.9.9.9");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-port"], "443");
        assert_eq!(headers["x-request-id"].len(), 36);
        assert!(headers["x-request-start"].to_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000_000);
        let via: Vec<_> = headers.get_all("via").iter().collect();
        assert_eq!(via, ["1.0 old", "1.1 heroku-router"]);
    }

    #[test]
    fn a_clients_request_id_is_kept_only_if_it_is_fit() {
        for (given, kept) in [("a".repeat(20), true), ("a".repeat(19), false), ("a".repeat(201), false), (format!("{} x", "a".repeat(20)), false)] {
            let id = request_id(&sent(get().header("x-request-id", &given), false));
            assert_eq!(id == given.as_str(), kept, "{given}");
        }
    }

    #[test]
    fn a_body_of_unknown_length_goes_on_in_chunks_whatever_the_method() {
        assert_eq!(sent(get(), true)["transfer-encoding"], "chunked");
        assert!(!sent(get().header("content-length", "3"), true).contains_key("transfer-encoding"));
    }

    #[test]
    fn an_upgrade_is_passed_on_unless_it_is_to_http2() {
        let websocket = sent(get().header("connection", "keep-alive, Upgrade").header("upgrade", "websocket"), false);
        assert_eq!((&websocket["connection"], &websocket["upgrade"]), (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap()));
        assert!(!sent(get().header("connection", "upgrade").header("upgrade", "h2c"), false).contains_key("upgrade"));
        assert!(!sent(get().header("upgrade", "websocket"), false).contains_key("upgrade"));
    }

    #[test]
    fn crumbs_of_cookies_become_one_line() {
        let request = Request::get("https://a.test/").version(Version::HTTP_2).header("cookie", "a=1").header("cookie", "b=2");
        let headers = sent(request, false);
        assert_eq!(headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        assert_eq!(headers["host"], "a.test");
        assert_eq!(headers["via"], "2.0 heroku-router");
    }

    #[test]
    fn what_breaks_the_limits_is_refused() {
        let long = "x".repeat(8192);
        assert_eq!(check(&parts(get())), Ok(()));
        assert_eq!(check(&parts(get().header("a", &long))), Err(Fault::BadHeader));
        assert_eq!(check(&parts(Request::get(format!("/{long}")))), Err(Fault::BadHeader));
        assert_eq!(check(&parts(Request::get("/").method("M".repeat(128).as_str()))), Err(Fault::BadHeader));
        assert_eq!(check(&parts(get().header("transfer-encoding", "gzip, chunked"))), Err(Fault::BadHeader));
        assert_eq!(check(&parts(get().header("expect", "100-Continue"))), Ok(()));
        assert_eq!(check(&parts(get().header("expect", "coffee"))), Err(Fault::BadExpect));
        let many = (0..1001).fold(get(), |request, n| request.header(format!("h{n}"), "1"));
        assert_eq!(check(&parts(many)), Err(Fault::BadHeader));
    }

    #[test]
    fn the_host_must_be_one_and_only_one() {
        assert!(host(&parts(Request::get("/"))).is_err());
        assert!(host(&parts(get().header("host", "b.test"))).is_err());
        assert_eq!(host(&parts(Request::get("http://B.test:80/").header("host", "a.test"))).unwrap().1, "b.test");
        assert!(host(&parts(Request::get("http://user@b.test/"))).is_err());
    }
}
