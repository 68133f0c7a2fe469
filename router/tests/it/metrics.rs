//! What a router counts, and what it says when it is asked.

use std::sync::Arc;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use model::{AppId, NoBackend, Route};
use serde_json::{Value, json};
use store::{Txn, key};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

use super::support::*;

/// The value of a line of the metrics, which begins with `series`.
fn value(metrics: &str, series: &str) -> Option<f64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.map(|value| value.trim().parse().unwrap())
}

/// Waits until the series has the value: what ends is counted a moment after its client knows.
pub(super) async fn counted(platform: &Platform, series: &str, expected: f64) {
    let mut newest = String::new();
    let until = std::time::Instant::now() + PATIENCE;
    while std::time::Instant::now() < until {
        newest = platform.scrape().await;
        if value(&newest, series) == Some(expected) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{series} never was {expected}: {newest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_app_status_and_code_until_the_app_goes() {
    let platform = Platform::start().await;
    let dyno = Dyno::http(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        say(vec![b'x'; body.len() * 2])
    })
    .await;
    let (fine, crashed) = (AppId::new(), AppId::new());
    platform.route(&route(fine, "fine", &[&dyno])).await;
    let broken = Route {
        no_backend: NoBackend::Crashed,
        ..route(crashed, "broken", &[])
    };
    platform.route(&broken).await;
    let unasked = platform.scrape().await;
    assert!(!unasked.contains("app=\"fine\""), "{unasked}");

    for _ in 0..3 {
        let post = Request::post("/").header("host", "fine.paas.test");
        let post = post.body(Full::new(Bytes::from(vec![0; 1000]))).unwrap();
        assert_eq!(platform.ask(post).await.status(), 200);
    }
    assert_eq!(platform.get("broken.paas.test", "/").await.status(), 503);
    assert_eq!(platform.get("nobody.paas.test", "/").await.status(), 404);

    counted(&platform, "paas_router_requests_total", 5.0).await;
    let metrics = platform.scrape().await;
    for (series, expected) in [
        (r#"app_requests_total{app="fine",status="2xx"}"#, 3.0),
        (r#"app_requests_total{app="broken",status="5xx"}"#, 1.0),
        (r#"app_errors_total{app="broken",code="H10"}"#, 1.0),
        (r#"app_in_bytes_total{app="fine"}"#, 3000.0),
        (r#"app_out_bytes_total{app="fine"}"#, 6000.0),
        (r#"app_requests_in_flight{app="fine"}"#, 0.0),
        (r#"app_request_duration_seconds_count{app="fine"}"#, 3.0),
        (
            r#"app_request_duration_seconds_bucket{app="fine",le="+Inf"}"#,
            3.0,
        ),
        (r#"app_connect_duration_seconds_count{app="fine"}"#, 3.0),
        (r#"accepted_connections_total{listener="http"}"#, 5.0),
        ("routes", 2.0),
        ("backends", 1.0),
        ("quarantined_backends", 0.0),
    ] {
        let series = format!("paas_router_{series}");
        assert_eq!(
            value(&metrics, &series),
            Some(expected),
            "{series}: {metrics}"
        );
    }
    assert!(
        !metrics.contains(r#"app_errors_total{app="fine""#),
        "{metrics}"
    );
    assert!(!metrics.contains("e+308"), "{metrics}");
    assert!(value(&metrics, "paas_router_resident_memory_bytes").unwrap() > 1e6);

    let gone = Txn::new().delete(key::route(fine));
    gone.commit(&*platform.store).await.unwrap();
    counted(&platform, "paas_router_routes", 1.0).await;
    let metrics = platform.scrape().await;
    assert!(!metrics.contains("app=\"fine\""), "{metrics}");
    // One of the same id is begun anew.
    platform.route(&route(fine, "fine", &[&dyno])).await;
    platform.get("fine.paas.test", "/").await;
    let again = r#"paas_router_app_requests_total{app="fine",status="2xx"}"#;
    counted(&platform, again, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_by_protocol_while_they_last_and_handshakes_as_they_come() {
    let platform = Platform::start().await;
    let dyno = Dyno::saying("hello").await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let open = |protocol: &str, tls: bool| {
        format!("paas_router_connections{{protocol=\"{protocol}\",tls=\"{tls}\"}}")
    };
    let plain = http1(platform.http).await;
    let secure = platform.http2("app.paas.test").await;
    counted(&platform, &open("http1", false), 1.0).await;
    counted(&platform, &open("http2", true), 1.0).await;
    counted(&platform, "paas_router_tls_handshakes_total", 1.0).await;
    drop((plain, secure));
    counted(&platform, &open("http1", false), 0.0).await;
    counted(&platform, &open("http2", true), 0.0).await;

    // Nonsense for a handshake.
    let mut stream = TcpStream::connect(platform.https).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    counted(&platform, "paas_router_tls_failed_handshakes_total", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_taken_up_again_is_counted_as_that() {
    let platform = Platform::start().await;
    let dyno = Dyno::saying("hello").await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(platform.roots.clone())
        .with_no_client_auth();
    // What one connection is given, the next shows.
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    for resumed in [0.0, 1.0] {
        let stream = TcpStream::connect(platform.https).await.unwrap();
        let name = "app.paas.test".try_into().unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.ends_with(b"hello"));
        counted(&platform, "paas_router_tls_resumptions_total", resumed).await;
    }
    counted(&platform, "paas_router_tls_handshakes_total", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_counts_as_upgraded_and_no_longer_as_a_request() {
    let platform = Platform::start().await;
    let (answer, wait) = oneshot::channel::<()>();
    let wait = std::sync::Arc::new(tokio::sync::Mutex::new(Some(wait)));
    let dyno = Dyno::raw(move |stream| {
        let wait = wait.clone();
        async move {
            if let Some(wait) = wait.lock().await.take() {
                let _ = wait.await;
            }
            let mut socket = accept_async(stream).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    socket.send(message).await.unwrap();
                }
            }
        }
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let stream = TcpStream::connect(platform.http).await.unwrap();
    let connecting = tokio::spawn(client_async("ws://app.paas.test/", stream));
    let (requests, upgraded) = (
        r#"paas_router_app_requests_in_flight{app="app"}"#,
        r#"paas_router_app_upgraded_connections{app="app"}"#,
    );
    counted(&platform, requests, 1.0).await;
    answer.send(()).unwrap();
    let (mut socket, _) = connecting.await.unwrap().unwrap();
    counted(&platform, upgraded, 1.0).await;
    counted(&platform, requests, 0.0).await;
    socket.send(Message::text("hello")).await.unwrap();
    socket.next().await.unwrap().unwrap();
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    drop(socket);
    counted(&platform, upgraded, 0.0).await;
    counted(&platform, requests, 0.0).await;
    let metrics = platform.scrape().await;
    let bytes = r#"paas_router_app_in_bytes_total{app="app"}"#;
    assert!(value(&metrics, bytes).unwrap() >= 5.0, "{metrics}");
    let durations = r#"paas_router_app_request_duration_seconds_count{app="app"}"#;
    assert_eq!(value(&metrics, durations), Some(0.0), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_are_told_of_the_router_and_of_an_app_and_nobody_else_is() {
    let platform = Platform::start().await;
    let (up, down) = (Dyno::saying("hello").await, Dyno::nowhere(refusing().await));
    let app = AppId::new();
    platform.route(&route(app, "app", &[&up, &down])).await;
    let report = platform.report().await.unwrap();
    assert_eq!(report.about.addr, Some(platform.internal));
    assert!(!report.about.leaving);
    // The dyno that refuses is tried sooner or later.
    eventually("the quarantine", async || {
        platform.get("app.paas.test", "/").await;
        let about = platform
            .ask_internally(&of_app(&platform, app), TOKEN)
            .await;
        let about: Value = serde_json::from_slice(about.body()).unwrap();
        (about["backends"][1]["state"] == "quarantined").then_some(())
    })
    .await;
    let about = platform
        .ask_internally(&of_app(&platform, app), TOKEN)
        .await;
    let about: Value = serde_json::from_slice(about.body()).unwrap();
    assert_eq!(about["backends"][0]["name"], "web.1");
    assert_eq!(about["backends"][0]["state"], "up");
    assert_eq!(about["in_flight"], 0);
    assert!(about["statuses"]["2xx"].as_u64().unwrap() >= 1, "{about}");
    assert!(about["latency"]["p99"].as_f64().unwrap() > 0.0, "{about}");
    assert!(
        about["requests_per_second"].as_f64().unwrap() > 0.0,
        "{about}"
    );

    let of_router = format!("/internal/routers/{}", platform.id);
    let router = platform.ask_internally(&of_router, TOKEN).await;
    let router: Value = serde_json::from_slice(router.body()).unwrap();
    assert_eq!(router["id"], json!(platform.id));
    assert_eq!(
        (
            &router["routes"],
            &router["backends"],
            &router["quarantined_backends"]
        ),
        (&json!(1), &json!(2), &json!(1))
    );

    for (path, token, status) in [
        (of_router.as_str(), "nobody's", 404),
        (
            &format!("/internal/routers/{}", model::RouterId::new()),
            TOKEN,
            421,
        ),
        (&of_app(&platform, AppId::new()), TOKEN, 404),
        ("/metrics", TOKEN, 404),
    ] {
        let answer = platform.ask_internally(path, token).await;
        assert_eq!(answer.status(), status, "{path}");
    }
    // Neither is anybody's who comes by the public way.
    for path in [of_router.as_str(), "/metrics"] {
        assert_eq!(platform.get("paas.test", path).await.status(), 200);
        let landing = platform.get("paas.test", path).await;
        assert!(
            !text(&landing).contains("paas_router"),
            "{}",
            text(&landing)
        );
        assert!(!text(&landing).contains("uptime"), "{}", text(&landing));
    }
}

pub(super) fn of_app(platform: &Platform, app: AppId) -> String {
    format!("/internal/routers/{}/apps/{app}", platform.id)
}
