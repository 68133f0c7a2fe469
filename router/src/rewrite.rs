//! Heads as they go on: what is taken off at this hop, and what the platform adds.

use std::time::SystemTime;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE,
    VIA,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};

use crate::head::{X_FORWARDED_FOR, X_REQUEST_ID};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
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

/// The head as a dyno gets it.
pub(crate) fn for_backend(
    mut parts: Parts,
    has_body: bool,
    origin: Origin,
    [host, request_id, fwd]: [HeaderValue; 3],
    upgrade: Option<HeaderValue>,
) -> Head {
    let is_chunked = has_body && !parts.headers.contains_key(CONTENT_LENGTH);
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
    uri.path_and_query = parts
        .uri
        .path_and_query()
        .cloned()
        .or_else(|| Some(PathAndQuery::from_static("/")));
    let uri = Uri::from_parts(uri).unwrap_or_default();
    Head {
        method: parts.method,
        uri,
        headers: parts.headers,
    }
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
        Self {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
        }
    }
}

/// A dyno's response head, made fit for the client.
pub(crate) fn for_client(headers: &mut HeaderMap, version: Version, upgraded: bool) {
    let protocol = if upgraded {
        headers.get(UPGRADE).cloned()
    } else {
        None
    };
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
            if name != HOST && name != X_FORWARDED_FOR && name != CONTENT_LENGTH {
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
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

fn unix_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::head::{forwarded_for, host, request_id, upgrade};

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    const ORIGIN: Origin = Origin {
        is_https: true,
        port: 443,
    };
    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(9, 9, 9, 9));

    fn sent(request: http::request::Builder, has_body: bool) -> HeaderMap {
        let parts = parts(request);
        let upgrade = upgrade(&parts);
        let (host, _) = host(&parts).unwrap();
        let values = [
            host,
            request_id(&parts.headers),
            forwarded_for(&parts.headers, PEER),
        ];
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
        for gone in [
            "connection",
            "x-secret",
            "keep-alive",
            "te",
            "transfer-encoding",
        ] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(headers["host"], "a.test");
        assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 9.9.9.9");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-port"], "443");
        assert_eq!(headers["x-request-id"].len(), 36);
        assert!(
            headers["x-request-start"]
                .to_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
                > 1_700_000_000_000
        );
        let via: Vec<_> = headers.get_all("via").iter().collect();
        assert_eq!(via, ["1.0 old", "1.1 heroku-router"]);
    }

    #[test]
    fn a_body_of_unknown_length_goes_on_in_chunks_whatever_the_method() {
        assert_eq!(sent(get(), true)["transfer-encoding"], "chunked");
        assert!(!sent(get().header("content-length", "3"), true).contains_key("transfer-encoding"));
    }

    #[test]
    fn an_upgrade_is_passed_on_unless_it_is_to_http2() {
        let websocket = sent(
            get()
                .header("connection", "keep-alive, Upgrade")
                .header("upgrade", "websocket"),
            false,
        );
        assert_eq!(
            (&websocket["connection"], &websocket["upgrade"]),
            (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap())
        );
        assert!(
            !sent(
                get()
                    .header("connection", "upgrade")
                    .header("upgrade", "h2c"),
                false
            )
            .contains_key("upgrade")
        );
        assert!(!sent(get().header("upgrade", "websocket"), false).contains_key("upgrade"));
    }

    #[test]
    fn crumbs_of_cookies_become_one_line() {
        let request = Request::get("https://a.test/")
            .version(Version::HTTP_2)
            .header("cookie", "a=1")
            .header("cookie", "b=2");
        let headers = sent(request, false);
        assert_eq!(
            headers.get_all("cookie").iter().collect::<Vec<_>>(),
            ["a=1; b=2"]
        );
        assert_eq!(headers["host"], "a.test");
        assert_eq!(headers["via"], "2.0 heroku-router");
    }
}
