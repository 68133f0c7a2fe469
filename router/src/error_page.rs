//! The pages the router answers with itself: small, without anything fetched from elsewhere (unless the app names its
//! own page), and as plain text for clients that would rather have that.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, STRICT_TRANSPORT_SECURITY,
};
use http::{HeaderValue, Response, StatusCode};

use crate::entry::Redirect;
use crate::fault::Fault;

/// What a page looks like depends on who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taste {
    Html,
    Text,
    /// Clients of the platform's own API.
    Json,
}

impl Taste {
    /// HTML, unless the client likes plain text better or takes no HTML.
    pub(crate) fn of(accepts: Option<&str>) -> Self {
        let Some(accept) = accepts else {
            return Self::Html;
        };
        if weight(accept, "text", "plain") > weight(accept, "text", "html") {
            Self::Text
        } else {
            Self::Html
        }
    }
}

/// A media range's weight in thousandths: of the most specific range that covers the type, as RFC 9110 has it.
fn weight(accept: &str, kind: &str, subtype: &str) -> u32 {
    let mut best = (0, 0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let Some((k, s)) = parts.next().and_then(|range| range.split_once('/')) else {
            continue;
        };
        let specific = match (
            k.eq_ignore_ascii_case(kind),
            s.eq_ignore_ascii_case(subtype),
        ) {
            (true, true) => 3,
            (true, false) if s == "*" => 2,
            (false, _) if k == "*" && s == "*" => 1,
            _ => continue,
        };
        let weight = parts
            .find_map(|part| part.strip_prefix("q="))
            .and_then(|q| q.parse::<f32>().ok())
            .map_or(1000, |q| (q.clamp(0.0, 1.0) * 1000.0) as u32);
        if specific > best.0 {
            best = (specific, weight);
        }
    }
    best.1
}

/// What an authority that issues certificates asks for.
pub(crate) fn challenge(answer: &str) -> Response<Bytes> {
    response(
        StatusCode::OK,
        "application/octet-stream",
        answer.to_owned(),
    )
}

/// The answer to a fault. `own_page` is the app's `ERROR_PAGE_URL` or `MAINTENANCE_PAGE_URL`.
pub(crate) fn page(fault: Fault, taste: Taste, own_page: Option<&str>) -> Response<Bytes> {
    let (title, text) = words(fault);
    let own_page = own_page.filter(|url| {
        ["https://", "http://", "//"]
            .iter()
            .any(|start| url.starts_with(start))
    });
    let code = fault.code().map_or("", |code| code.code);
    let mut page = match taste {
        Taste::Json => {
            let body =
                serde_json::json!({ "id": "service_unavailable", "message": text }).to_string();
            response(fault.status(), "application/json", body)
        }
        Taste::Text => {
            let code = if code.is_empty() {
                String::new()
            } else {
                format!(" ({code})")
            };
            response(
                fault.status(),
                "text/plain; charset=utf-8",
                format!("{title}{code}\n\n{text}\n"),
            )
        }
        Taste::Html => {
            let body = match own_page {
                Some(url) => framed(url, title),
                None => html(title, text, code),
            };
            response(fault.status(), "text/html; charset=utf-8", body)
        }
    };
    if let Fault::OverLimit { wait } = fault {
        page.headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(wait));
    }
    page
}

/// What the platform's domain itself answers.
pub(crate) fn landing(domain: &str, taste: Taste) -> Response<Bytes> {
    let (title, text) = (
        "It works",
        format!("This is an app platform. Its apps are at <app>.{domain}."),
    );
    match taste {
        Taste::Html => response(
            StatusCode::OK,
            "text/html; charset=utf-8",
            html(title, &text, ""),
        ),
        Taste::Text | Taste::Json => response(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            format!("{title}\n\n{text}\n"),
        ),
    }
}

pub(crate) fn redirect(to: &Redirect, hsts: Option<&str>) -> Response<Bytes> {
    let text = format!("It is at {}\n", to.location);
    // Not to be kept: nobody should have to outwait what was set by mistake.
    let mut page = response(to.status, "text/plain; charset=utf-8", text);
    if let Ok(location) = HeaderValue::from_str(&to.location) {
        page.headers_mut().insert(LOCATION, location);
    }
    add_hsts(&mut page, hsts);
    page
}

pub(crate) fn add_hsts(page: &mut Response<Bytes>, hsts: Option<&str>) {
    if let Some(hsts) = hsts.and_then(|hsts| HeaderValue::from_str(hsts).ok()) {
        page.headers_mut().insert(STRICT_TRANSPORT_SECURITY, hsts);
    }
}

const fn words(fault: Fault) -> (&'static str, &'static str) {
    match fault {
        Fault::NoSuchApp => (
            "No such app",
            "There is no app at this address. Check the name, or add the domain to an app.",
        ),
        Fault::Maintenance => (
            "Offline for maintenance",
            "This app is undergoing maintenance right now. Please check back later.",
        ),
        Fault::Blank => (
            "Nothing here yet",
            "This app exists, but nothing has been deployed to it so far.",
        ),
        Fault::BadHost | Fault::BadHeader | Fault::BadChunk => {
            ("Bad request", "The request could not be understood.")
        }
        Fault::NotAllowed => (
            "Not allowed",
            "This app takes no requests from your address.",
        ),
        Fault::OverLimit { .. } => (
            "Too many requests",
            "There were too many requests from your address. Please come back later.",
        ),
        Fault::Paused => (
            "Back in a moment",
            "This app is paused right now. Please try again in a moment.",
        ),
        Fault::NoWebSockets => (
            "No WebSockets",
            "This app is set up for HTTP/2 and takes no WebSockets. If you are its owner: paas routing:unset dyno-protocol",
        ),
        Fault::BadMethod => ("Method not allowed", "This method is not offered here."),
        Fault::Misdirected | Fault::OtherCertificate => (
            "Misdirected request",
            "The connection was made for another host. Ask again over a new one.",
        ),
        Fault::BadExpect => (
            "Expectation failed",
            "The request expects something that is not offered here.",
        ),
        Fault::ClientIdle | Fault::ClientInterrupted => {
            ("Request timeout", "The request did not arrive in time.")
        }
        Fault::PlatformAway => (
            "Not available",
            "The platform cannot answer this right now. Please try again in a moment.",
        ),
        Fault::Platform => (
            "Platform error",
            "Something went wrong on our side. Please try again in a moment.",
        ),
        Fault::Timeout | Fault::BootTimeout => (
            "Application error",
            "The app did not answer in time. If you are its owner, its logs tell more: paas logs --tail",
        ),
        _ => (
            "Application error",
            "The app could not answer this request. If you are its owner, its logs tell more: paas logs --tail",
        ),
    }
}

fn html(title: &str, text: &str, code: &str) -> String {
    let (title, text) = (escape(title), escape(text));
    let code = if code.is_empty() {
        String::new()
    } else {
        format!("<p><code>{code}</code></p>")
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
         <style>html{{color-scheme:light dark}}body{{font:1rem/1.6 system-ui,sans-serif;min-height:90vh;margin:0 auto;\
         max-width:32rem;padding:0 1.5rem;display:flex;flex-direction:column;justify-content:center}}\
         h1{{font-size:1.6rem;font-weight:600;margin:0}}code{{opacity:.6}}</style></head>\
         <body><h1>{title}</h1><p>{text}</p>{code}</body></html>\n"
    )
}

/// The app's own page, as Heroku embeds it.
fn framed(url: &str, title: &str) -> String {
    let (url, title) = (escape(url), escape(title));
    format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
         <style>html,body,iframe{{margin:0;padding:0;height:100%}}iframe{{display:block;width:100%;border:none}}</style>\
         </head><body><iframe src=\"{url}\"><p>{title}</p></iframe></body></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                c if c.is_control() => {
                    let _ = write!(out, "&#{};", u32::from(c));
                }
                c => out.push(c),
            }
            out
        })
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let length = HeaderValue::from(response.body().len());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store"),
    );
    headers.insert(CONTENT_LENGTH, length);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taste(accept: &str) -> Taste {
        Taste::of(Some(accept))
    }

    #[test]
    fn text_is_for_those_who_prefer_it() {
        assert_eq!(Taste::of(None), Taste::Html);
        assert_eq!(taste("*/*"), Taste::Html);
        assert_eq!(
            taste("text/html,application/xhtml+xml,*/*;q=0.8"),
            Taste::Html
        );
        assert_eq!(taste("text/plain"), Taste::Text);
        assert_eq!(taste("text/html;q=0.5, text/plain"), Taste::Text);
        assert_eq!(taste("text/plain;q=0.4, text/*;q=0.9"), Taste::Html);
    }

    #[test]
    fn the_apps_own_page_is_framed_and_cannot_break_out() {
        let own = "https://x.org/\"><script>alert(1)</script>";
        let body = String::from_utf8(
            page(Fault::Crashed, Taste::Html, Some(own))
                .into_body()
                .to_vec(),
        )
        .unwrap();
        assert!(body.contains("<iframe src=\"https://x.org/&quot;&gt;&lt;script&gt;"));
        let body = page(Fault::Crashed, Taste::Html, Some("javascript:alert(1)")).into_body();
        assert!(!String::from_utf8_lossy(&body).contains("iframe"));
    }
}
