//! A request's head, read: who is meant, whether it is refused, and what is made of it.

use std::net::IpAddr;

use http::header::{CONNECTION, EXPECT, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use rand::Rng as _;

use crate::fault::Fault;
use crate::table::parse_host;

const MAX_LINE: usize = 8192;
const MAX_NAME: usize = 1000;
const MAX_HEADERS: usize = 1000;
const MAX_METHOD: usize = 127;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
    let host = value
        .to_str()
        .ok()
        .and_then(parse_host)
        .ok_or(Fault::BadHost)?
        .into_owned();
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
    if method > MAX_METHOD
        || line > MAX_LINE
        || parts.headers.len() > MAX_HEADERS
        || parts.headers.iter().any(is_long)
    {
        return Err(Fault::BadHeader);
    }
    // Anything before the final `chunked` would be lost on the way: the body goes on decoded from its chunks.
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| {
        value
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"chunked")
    };
    if codings.next().is_some_and(|value| !is_chunked(value)) || codings.next().is_some() {
        return Err(Fault::BadHeader);
    }
    let expects_more = |value: &HeaderValue| {
        !value
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"100-continue")
    };
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
            && value
                .as_bytes()
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"+/=-".contains(b))
    };
    if let Some(given) = headers.get(X_REQUEST_ID).filter(fit) {
        return given.clone();
    }
    let id = uuid::Builder::from_random_bytes(rand::rng().random()).into_uuid();
    let mut text = [0; 36];
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text))
        .unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// `X-Forwarded-For`: whatever list was given, and the real peer at its right.
pub(crate) fn forwarded_for(headers: &HeaderMap, peer: IpAddr) -> HeaderValue {
    let mut list = Vec::new();
    for given in headers.get_all(X_FORWARDED_FOR) {
        list.extend_from_slice(given.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(peer.to_canonical().to_string().as_bytes());
    HeaderValue::from_maybe_shared(bytes::Bytes::from(list))
        .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// What the client asked to switch to, where that is something to pass on.
pub(crate) fn upgrade(parts: &Parts) -> Option<HeaderValue> {
    let wanted = parts.headers.get(UPGRADE)?;
    // HTTP/2 over the dyno's connection would be requests that nobody here sees.
    let is_http2 = wanted
        .as_bytes()
        .trim_ascii()
        .to_ascii_lowercase()
        .starts_with(b"h2");
    let asks = parts
        .headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| has_token(value, "upgrade"));
    (parts.version == Version::HTTP_11 && asks && !is_http2).then(|| wanted.clone())
}

fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.to_str().is_ok_and(|text| {
        text.split(',')
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    fn get() -> http::request::Builder {
        Request::get("/").header("host", "a.test")
    }

    #[test]
    fn a_clients_request_id_is_kept_only_if_it_is_fit() {
        for (given, kept) in [
            ("a".repeat(20), true),
            ("a".repeat(19), false),
            ("a".repeat(201), false),
            (format!("{} x", "a".repeat(20)), false),
        ] {
            let id = request_id(&parts(get().header("x-request-id", &given)).headers);
            assert_eq!(id == given.as_str(), kept, "{given}");
        }
    }

    #[test]
    fn what_breaks_the_limits_is_refused() {
        let long = "x".repeat(8192);
        assert_eq!(check(&parts(get())), Ok(()));
        assert_eq!(
            check(&parts(get().header("a", &long))),
            Err(Fault::BadHeader)
        );
        assert_eq!(
            check(&parts(Request::get(format!("/{long}")))),
            Err(Fault::BadHeader)
        );
        assert_eq!(
            check(&parts(Request::get("/").method("M".repeat(128).as_str()))),
            Err(Fault::BadHeader)
        );
        assert_eq!(
            check(&parts(get().header("transfer-encoding", "gzip, chunked"))),
            Err(Fault::BadHeader)
        );
        assert_eq!(
            check(&parts(get().header("expect", "100-Continue"))),
            Ok(())
        );
        assert_eq!(
            check(&parts(get().header("expect", "coffee"))),
            Err(Fault::BadExpect)
        );
        let many = (0..1001).fold(get(), |request, n| request.header(format!("h{n}"), "1"));
        assert_eq!(check(&parts(many)), Err(Fault::BadHeader));
    }

    #[test]
    fn the_host_must_be_one_and_only_one() {
        assert!(host(&parts(Request::get("/"))).is_err());
        assert!(host(&parts(get().header("host", "b.test"))).is_err());
        assert_eq!(
            host(&parts(
                Request::get("http://B.test:80/").header("host", "a.test")
            ))
            .unwrap()
            .1,
            "b.test"
        );
        assert!(host(&parts(Request::get("http://user@b.test/"))).is_err());
    }
}
