//! What the app is told, and what the client is.

use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use model::AppId;

use super::support::*;

/// An app that answers with the headers it was sent.
async fn mirror() -> Dyno {
    Dyno::http(|request| async move {
        let seen: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        let line = format!(
            "{} {} {:?}",
            request.method(),
            request.uri(),
            request.version()
        );
        Response::builder()
            .header("connection", "keep-alive, x-inner")
            .header("keep-alive", "timeout=5")
            .header("x-inner", "1")
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .body(Full::from(format!("{line}\n{}", seen.join("\n"))))
            .unwrap()
    })
    .await
}

fn seen(answer: &Response<bytes::Bytes>) -> (String, HeaderMap) {
    let mut lines = text(answer).lines();
    let first = lines.next().unwrap().to_owned();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(
            name.parse::<http::HeaderName>().unwrap(),
            value.parse().unwrap(),
        );
    }
    (first, headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_sees_herokus_headers_and_none_of_the_hop() {
    let mut platform = Platform::start().await;
    let dyno = mirror().await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let id = "0123456789abcdef0123";
    let request = Request::get("/path?query=1")
        .header("host", "App.paas.test:8080")
        .header("connection", "keep-alive, x-mine")
        .header("x-mine", "1")
        .header("x-forwarded-for", "1.2.3.4")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-port", "1")
        .header("x-request-id", id)
        .header("via", "1.1 cdn")
        .body(Full::default())
        .unwrap();
    let answer = platform.ask(request).await;
    let (line, headers) = seen(&answer);
    assert_eq!(line, "GET /path?query=1 HTTP/1.1");
    for (name, value) in [
        ("host", "App.paas.test:8080"),
        ("x-forwarded-for", "1.2.3.4, 127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "80"),
        ("x-request-id", id),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(
        headers["x-request-start"].to_str().unwrap().len() == 13,
        "milliseconds"
    );
    assert_eq!(
        headers.get_all("via").iter().collect::<Vec<_>>(),
        ["1.1 cdn", "1.1 heroku-router"]
    );
    for gone in ["connection", "x-mine", "keep-alive"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
    assert_eq!(answer.headers()["via"], "1.1 heroku-router");
    assert_eq!(answer.headers().get_all("set-cookie").iter().count(), 2);
    for gone in ["keep-alive", "x-inner"] {
        assert!(!answer.headers().contains_key(gone), "{gone}");
    }
    let log = platform.log().await;
    let start = format!(
        "at=info method=GET path=\"/path?query=1\" host=app.paas.test request_id={id} fwd=\"1.2.3.4, 127.0.0.1\" dyno=web.1 connect="
    );
    assert!(log.starts_with(&start), "{log}");
    let end = format!(
        "ms status=200 bytes={} protocol=http1.1 tls=false",
        answer.body().len()
    );
    assert!(log.ends_with(&end), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_an_app_sees_the_same() {
    let mut platform = Platform::start().await;
    let dyno = mirror().await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let request = Request::get("https://app.paas.test/")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(Full::default())
        .unwrap();
    let answer = collect(
        platform
            .http2("app.paas.test")
            .await
            .send_request(request)
            .await
            .unwrap(),
    )
    .await;
    let (line, headers) = seen(&answer);
    assert_eq!(line, "GET / HTTP/1.1");
    for (name, value) in [
        ("host", "app.paas.test"),
        ("cookie", "a=1; b=2"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("via", "2.0 heroku-router"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(!headers.contains_key("te"));
    assert_eq!(headers["x-request-id"].len(), 36);
    assert_eq!(answer.headers()["via"], "2.0 heroku-router");
    let log = platform.log().await;
    assert!(
        log.contains(" dyno=web.1 connect=")
            && log.ends_with(" protocol=http2.0 tls=true tls_version=tls1.3"),
        "{log}"
    );
}
