//! Passing on another client's request as it is.

use reqwest::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use reqwest::{Body, Method, Response};

use super::{Client, ClientError};

/// RFC 9110, 7.6.1: what is said to the next hop alone.
const OF_THE_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

impl Client {
    /// Sends the request to the platform, with its own headers and no token but the one it may have, and gives the answer
    /// whatever its status. `path` begins with a slash and may have a query.
    ///
    /// # Errors
    /// When the platform does not answer. A stream may be silent for as long as it likes.
    pub async fn forward(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Body,
    ) -> Result<Response, ClientError> {
        let url = format!("{}{path}", self.base_url.as_str().trim_end_matches('/'));
        keep_end_to_end(&mut headers);
        headers.remove(HOST);
        let request = self.http.request(method, url).headers(headers).body(body);
        request
            .send()
            .await
            .map_err(|source| ClientError::unreachable(&self.base_url, source))
    }
}

/// Leaves out what is said to the next hop alone.
pub fn keep_end_to_end(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in OF_THE_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_the_next_hop_stays_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-mine"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("authorization", "Bearer x"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        keep_end_to_end(&mut headers);
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["authorization"]);
    }
}
