//! What clients break: their codes, and that nobody else is hurt.

use http_body_util::BodyExt as _;
use model::AppId;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::faults::hasty;
use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_breaks_is_said_to_be_the_clients() {
    let mut platform = hasty().await;
    let slow = Dyno::http(|request| async move {
        request.into_body().collect().await.ok();
        std::future::pending().await
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&slow])).await;

    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    stream
        .write_all(b"GET /left HTTP/1.1\r\nhost: app.paas.test\r\n\r\n")
        .await
        .unwrap();
    eventually("the request to arrive", async || {
        (slow.requests() == 1).then_some(())
    })
    .await;
    drop(stream);
    let log = platform.log().await;
    assert!(
        log.starts_with("sock=client at=warning code=H27 desc=\"Client Request Interrupted\""),
        "{log}"
    );
    assert!(log.contains(" status=499 "), "{log}");

    let answer = platform
        .raw("POST /stalled HTTP/1.1\r\nhost: app.paas.test\r\ncontent-length: 9\r\n\r\nhalf")
        .await;
    assert!(answer.starts_with("HTTP/1.1 499 "), "{answer}");
    let log = platform.log().await;
    assert!(
        log.starts_with("sock=client at=warning code=H28 desc=\"Client Connection Idle\""),
        "{log}"
    );

    let answer = platform
        .raw(
            "POST /bad HTTP/1.1\r\nhost: app.paas.test\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let log = platform.log().await;
    assert!(
        log.starts_with("at=error code=H26 desc=\"Request Error\" cause=\"bad chunk\""),
        "{log}"
    );

    let answer = platform
        .raw("GET / HTTP/1.1\r\nhost: app.paas.test\r\nexpect: coffee\r\nconnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 417 "), "{answer}");
    assert!(
        platform
            .log()
            .await
            .contains("code=H26 desc=\"Request Error\" cause=\"unsupported expect header value\"")
    );

    let long = "x".repeat(8200);
    let answer = platform
        .raw(&format!(
            "GET / HTTP/1.1\r\nhost: app.paas.test\r\na: {long}\r\nconnection: close\r\n\r\n"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        platform
            .log()
            .await
            .contains("code=H26 desc=\"Request Error\" cause=\"bad header\"")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_h28_and_frees_the_dyno() {
    let mut platform = hasty().await;
    let app = AppId::new();
    let dyno = Dyno::http(|_| async { say(vec![0; 64 << 20]) }).await;
    platform.route(&route(app, "app", &[&dyno])).await;
    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: app.paas.test\r\n\r\n")
        .await
        .unwrap();
    let log = platform.log().await;
    assert!(log.starts_with("sock=client at=warning code=H28 "), "{log}");
    let revision = platform.route(&route(app, "app", &[])).await;
    assert!(platform.acknowledged(revision).await.draining.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_requests_are_refused_or_made_plain() {
    let platform = Platform::start().await;
    let dyno = Dyno::http(|request| async move {
        let headers = request.headers().clone();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        say(format!(
            "{:?} {} {body:?}",
            headers.get("content-length"),
            headers.contains_key("transfer-encoding")
        ))
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let post = |rest: &str| {
        format!("POST / HTTP/1.1\r\nhost: app.paas.test\r\nconnection: close\r\n{rest}")
    };
    for bad in [
        "content-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "content-length: +1\r\n\r\nx",
        "content-length: 1, 2\r\n\r\nxx",
        "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "a: b\r\n c: d\r\n\r\n",
    ] {
        let answer = platform.raw(&post(bad)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bad:?}: {answer}");
    }
    let both = platform
        .raw(&post(
            "content-length: 99\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        ))
        .await;
    assert!(both.ends_with("None true b\"x\""), "chunks win: {both}");
    assert!(platform.raw("CONNECT app.paas.test:80 HTTP/1.1\r\nhost: app.paas.test\r\nconnection: close\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
    assert_eq!(dyno.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_is_h27_and_its_connection_lives_on() {
    let mut platform = hasty().await;
    let dyno = Dyno::http(|request| async move {
        if request.uri().path() == "/slow" {
            std::future::pending::<()>().await;
        }
        say("quick")
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut client = platform.http2("app.paas.test").await;
    let get = |path| {
        let uri = format!("https://app.paas.test/{path}");
        http::Request::get(uri)
            .body(http_body_util::Full::default())
            .unwrap()
    };
    let slow = tokio::spawn(client.send_request(get("slow")));
    eventually("the request to arrive", async || {
        (dyno.requests() == 1).then_some(())
    })
    .await;
    slow.abort();
    let log = platform.log().await;
    assert!(log.starts_with("sock=client at=warning code=H27 "), "{log}");
    let answer = collect(client.send_request(get("quick")).await.unwrap()).await;
    assert_eq!(text(&answer), "quick");
}
