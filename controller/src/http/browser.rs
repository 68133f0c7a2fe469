//! Telling one browser from another, and its own forms from those of other sites.
//!
//! A cookie holds a random secret. Forms carry what only the cookie's owner can make of it, and are refused where the browser
//! says that they come from elsewhere: apps are other sites of the same domain.

use std::convert::Infallible;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use model::{Checksum, Secret};

use crate::auth;
use crate::config::{Config, Scheme};
use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::http::body;

const SECRET_BYTES: usize = 20;

/// The browser that a request came from.
#[derive(Debug, Clone)]
pub(crate) struct Browser {
    /// In the cookie.
    secret: Secret<String>,
    from_elsewhere: bool,
}

impl Browser {
    /// One that nobody can have prepared: whoever proves who he is becomes another browser at that moment.
    pub(crate) fn new() -> Self {
        Self {
            secret: Secret::new(auth::random_hex::<SECRET_BYTES>()),
            from_elsewhere: false,
        }
    }

    /// Under what the store knows it.
    pub(crate) fn hash(&self) -> Checksum {
        auth::token_hash(self.secret.expose())
    }

    /// What a form of this browser's about `subject` carries.
    pub(crate) fn form_token(&self, subject: &str) -> String {
        auth::token_hash(&format!("form {} {subject}", self.secret.expose())).to_string()
    }

    pub(crate) fn sent(&self, form_token: &str, subject: &str) -> bool {
        !self.from_elsewhere && auth::same_secret(form_token, &self.form_token(subject))
    }

    /// Has the browser keep it while a login lasts.
    pub(crate) fn remember(&self, config: &Config, mut response: Response) -> Response {
        let scheme = config.api.scheme;
        let (name, secure) = match scheme {
            Scheme::Https => (cookie_name(scheme), "; Secure"),
            Scheme::Http => (cookie_name(scheme), ""),
        };
        let cookie = format!(
            "{name}={}; Path=/; Max-Age=900; HttpOnly; SameSite=Lax{secure}",
            self.secret.expose()
        );
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// No other site of the domain, which apps are, can set one whose name begins with `__Host-`.
const fn cookie_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Https => "__Host-paas-login",
        Scheme::Http => "paas-login",
    }
}

impl Browser {
    /// One without a cookie is a new one, and no form of it can be right.
    fn from_headers(headers: &HeaderMap, scheme: Scheme) -> Self {
        let known = cookie(headers, cookie_name(scheme));
        Self {
            secret: known.map_or_else(|| Self::new().secret, Secret::from),
            from_elsewhere: is_from_elsewhere(headers),
        }
    }
}

impl FromRequestParts<Ctx> for Browser {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, context: &Ctx) -> Result<Self, Infallible> {
        let scheme = context.config.api.scheme;
        Ok(Self::from_headers(&parts.headers, scheme))
    }
}

/// What a form sent.
#[derive(Debug)]
pub(crate) struct Fields(Vec<(String, Secret<String>)>);

const MAX_FORM_BYTES: usize = 16 << 10;

impl Fields {
    /// Empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(of, _)| of == name);
        found.map_or("", |(_, value)| value.expose())
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> ApiResult<Self> {
        let bytes = body::read(request.into_body()).await?;
        if bytes.len() > MAX_FORM_BYTES {
            return Err(ApiError::too_large("That is no form of ours."));
        }
        let fields = url::form_urlencoded::parse(&bytes);
        Ok(Self(
            fields
                .map(|(name, value)| (name.into_owned(), Secret::new(value.into_owned())))
                .collect(),
        ))
    }
}

fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter();
    all.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == wanted && is_ours(value))
        .map(|(_, value)| value)
}

fn is_ours(value: &str) -> bool {
    value.len() == 2 * SECRET_BYTES && value.bytes().all(|c| c.is_ascii_hexdigit())
}

/// Browsers say so in two ways; the older ones in one.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return true;
    }
    let Some(origin) = text(header::ORIGIN) else {
        return false;
    };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_none() || host != text(header::HOST)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn browser(headers: &[(&'static str, &str)]) -> Browser {
        browser_over(Scheme::Http, headers)
    }

    fn browser_over(scheme: Scheme, headers: &[(&'static str, &str)]) -> Browser {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        Browser::from_headers(&headers, scheme)
    }

    const SECRET: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn a_form_is_of_the_browser_and_the_subject_it_was_made_for() {
        let cookie = format!("a=b; paas-login={SECRET}");
        let first = browser(&[("cookie", &cookie)]);
        let again = browser(&[("cookie", &cookie)]);
        let token = first.form_token("one");
        assert!(again.sent(&token, "one"));
        assert!(!again.sent(&token, "two") && !again.sent("", "one"));
        assert!(!browser(&[]).sent(&token, "one"));
        assert!(!Browser::new().sent(&token, "one"));
        // Over TLS, what another site of the domain could have set does not count.
        assert!(!browser_over(Scheme::Https, &[("cookie", &cookie)]).sent(&token, "one"));
        let ours = format!("{cookie}; __Host-paas-login={SECRET}");
        assert!(browser_over(Scheme::Https, &[("cookie", &ours)]).sent(&token, "one"));
    }

    #[test]
    fn forms_from_elsewhere_are_refused() {
        let cookie = format!("paas-login={SECRET}");
        let host = ("host", "api.example.com:8443");
        for (headers, taken) in [
            (vec![], true),
            (vec![("origin", "https://api.example.com:8443")], true),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "none")], true),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("origin", "https://evil.example.com:8443")], false),
            (vec![("origin", "null")], false),
        ] {
            let all = [&headers[..], &[host, ("cookie", &cookie)]].concat();
            let browser = browser(&all);
            let token = browser.form_token("x");
            assert_eq!(browser.sent(&token, "x"), taken, "{headers:?}");
        }
    }
}
