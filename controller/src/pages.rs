//! The few pages people see in a browser: made here whole, in one style, and without a script but one that sends a form.
//!
//! Whatever goes into one goes through [`Text`], so that nothing which came from outside is ever markup.

use std::fmt::{self, Write as _};
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:10vh auto;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.4rem}label{display:block;margin:.8rem 0}\
input{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.4rem;border:1px solid #888;border-radius:4px}\
button,a.button{display:inline-block;font:inherit;padding:.4rem 1rem;margin:.8rem .5rem 0 0;border:1px solid #444;\
border-radius:4px;background:#444;color:#fff;text-decoration:none;cursor:pointer}\
button.other{background:#fff;color:#444}\
.code{font:1.6rem ui-monospace,monospace;letter-spacing:.1em}.error{color:#a00}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}input{color:#ddd;background:#2b2b2b}.error{color:#f88}}";

/// The one script there is, of pages that go on by themselves.
const GO_ON: &str = "document.forms[0].submit()";

static POLICY: LazyLock<String> = LazyLock::new(|| policy("'self'"));

/// Nothing but the style, the one script and forms to ourselves or to one other; in no frame; kept nowhere.
fn policy(forms_to: &str) -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let script = STANDARD.encode(Sha256::digest(GO_ON));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; form-action {forms_to}; \
         frame-ancestors 'none'; base-uri 'none'"
    )
}

const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // Without any, browsers would hide from us, too, where a form was sent from.
    (header::REFERRER_POLICY, "same-origin"),
];

/// Text that is no markup.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

/// A whole page. `body` is markup.
pub(crate) fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let title = Text(title);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><style>{STYLE}</style></head>\
         <body><h1>{title}</h1>\n{body}</body></html>\n"
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    protect(response.headers_mut());
    response
}

/// One whose form is sent to this URL as soon as it is shown. `body` is markup.
pub(crate) fn page_to(title: &str, body: &str, url: &str) -> Response {
    let mut response = page(
        StatusCode::OK,
        title,
        &format!("{body}<script>{GO_ON}</script>"),
    );
    let origin = url::Url::parse(url).map(|url| url.origin().ascii_serialization());
    // It may send on to another place of its own, which browsers hold against the same policy.
    let forms_to = format!("{} https:", origin.unwrap_or_default());
    if let Ok(policy) = HeaderValue::try_from(policy(&forms_to)) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// A paragraph that screen readers read out, if there is anything to say.
pub(crate) fn alert(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| {
        format!("<p class=\"error\" role=\"alert\">{}</p>", Text(text))
    })
}

pub(crate) fn see_other(to: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    protect(response.headers_mut());
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

fn protect(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::try_from(POLICY.as_str()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        let text = Text("<b onclick='x'>\"&").to_string();
        assert_eq!(text, "&lt;b onclick=&#39;x&#39;&gt;&quot;&amp;");
    }

    #[test]
    fn pages_run_nothing_and_are_framed_nowhere() {
        let page = page(StatusCode::OK, "Log in", "");
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.headers()[header::CACHE_CONTROL], "no-store");
    }
}
