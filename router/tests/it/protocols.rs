//! HTTP/1.0, 1.1 and 2, plain and over TLS; bodies of every kind, both ways.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::AppId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::metrics::counted;
use super::support::*;

pub(super) async fn app(platform: &Platform, dynos: &[&Dyno]) -> AppId {
    let app = AppId::new();
    platform.route(&route(app, "app", dynos)).await;
    app
}

pub(super) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("host", "app.paas.test")
        .body(Full::default())
        .unwrap()
}

/// Says what it was sent.
async fn echo() -> Dyno {
    Dyno::http(|request| async move {
        Response::new(Full::new(
            request.into_body().collect().await.unwrap().to_bytes(),
        ))
    })
    .await
}

/// The kernel makes it known after a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_silent_at_first_is_heard_when_it_speaks() {
    let platform = Platform::start().await;
    let dyno = Dyno::saying("heard").await;
    app(&platform, &[&dyno]).await;
    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    let accepted = r#"paas_router_accepted_connections_total{listener="http"}"#;
    counted(&platform, accepted, 1.0).await;
    let ask = "GET / HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\n\r\n";
    let answer = converse(&mut stream, ask).await;
    assert!(answer.ends_with("heard"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_after_its_last_request_takes_nothing_of_the_answer_back() {
    const LENGTH: usize = 8 << 20;
    let platform = Platform::start().await;
    let go = Arc::new(tokio::sync::Notify::new());
    let gone = go.clone();
    let dyno = Dyno::http(move |_| {
        let go = go.clone();
        async move {
            go.notified().await;
            Response::new(Full::new(Bytes::from(vec![b'x'; LENGTH])))
        }
    })
    .await;
    app(&platform, &[&dyno]).await;
    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    let ask = b"GET / HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    eventually("the request", async || (dyno.requests() == 1).then_some(())).await;
    stream.write_all(b"\r\n").await.unwrap();
    gone.notify_one();
    let answer = converse(&mut stream, "").await;
    assert!(answer.len() > LENGTH, "{}", answer.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_on_both_sides() {
    let platform = Platform::start().await;
    let dyno = Dyno::saying("hello").await;
    app(&platform, &[&dyno]).await;
    let mut client = http1(platform.http).await;
    for _ in 0..20 {
        client.ready().await.unwrap();
        assert_eq!(
            text(&collect(client.send_request(get("/")).await.unwrap()).await),
            "hello"
        );
    }
    assert_eq!((dyno.requests(), dyno.connections()), (20, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_protocol_a_client_may_speak_is_answered() {
    let platform = Platform::start().await;
    let dyno = Dyno::saying("hello").await;
    app(&platform, &[&dyno]).await;

    let stream = platform.tls("app.paas.test", &["http/1.1"]).await;
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    assert_eq!(
        text(&collect(client.send_request(get("/")).await.unwrap()).await),
        "hello"
    );

    let mut client = platform.http2("app.paas.test").await;
    let request = || {
        Request::get("https://app.paas.test/")
            .body(Full::default())
            .unwrap()
    };
    let answers = futures::future::join_all((0..100).map(|_| client.send_request(request()))).await;
    for answer in answers {
        assert_eq!(text(&collect(answer.unwrap()).await), "hello");
    }

    let stream = TcpStream::connect(platform.http).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://app.paas.test/")
        .body(Full::<Bytes>::default())
        .unwrap();
    assert_eq!(
        text(&collect(client.send_request(request).await.unwrap()).await),
        "hello"
    );

    let old = platform
        .raw("GET / HTTP/1.0\r\nhost: app.paas.test\r\n\r\n")
        .await;
    assert!(
        old.contains(" 200 OK\r\n") && old.ends_with("\r\n\r\nhello"),
        "{old}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_pass_both_ways_unchanged() {
    let platform = Platform::start().await;
    let dyno = echo().await;
    app(&platform, &[&dyno]).await;
    let large: Bytes = (0..16 << 20)
        .map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect::<Vec<_>>()
        .into();
    let post = |uri: &str| {
        Request::post(uri)
            .header("host", "app.paas.test")
            .body(Full::new(large.clone()))
            .unwrap()
    };
    assert!(platform.ask(post("/")).await.body() == &large);
    let mut http2 = platform.http2("app.paas.test").await;
    let answer = http2
        .send_request(post("https://app.paas.test/"))
        .await
        .unwrap();
    assert!(collect(answer).await.body() == &large);
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_pass_whatever_the_method() {
    let platform = Platform::start().await;
    let dyno = echo().await;
    app(&platform, &[&dyno]).await;
    for method in ["GET", "POST", "DELETE"] {
        let request = format!(
            "{method} / HTTP/1.1\r\nhost: app.paas.test\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
        );
        let answer = platform.raw(&request).await;
        assert!(
            answer.ends_with("\r\n\r\nhello world"),
            "{method}: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_keeps_the_length_and_has_no_body() {
    let platform = Platform::start().await;
    let dyno = Dyno::http(|_| async { say("hello") }).await;
    app(&platform, &[&dyno]).await;
    let answer = platform
        .raw("HEAD / HTTP/1.1\r\nhost: app.paas.test\r\nconnection: close\r\n\r\n")
        .await;
    assert!(
        answer.contains("Content-Length: 5\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    let head = Request::head("https://app.paas.test/")
        .body(Full::default())
        .unwrap();
    let answer = collect(
        platform
            .http2("app.paas.test")
            .await
            .send_request(head)
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(
        (&answer.headers()["content-length"], answer.body().len()),
        (&"5".parse().unwrap(), 0)
    );
    let missing = platform
        .raw("HEAD / HTTP/1.1\r\nhost: no.paas.test\r\nconnection: close\r\n\r\n")
        .await;
    assert!(
        missing.starts_with("HTTP/1.1 404 ") && missing.ends_with("\r\n\r\n"),
        "{missing}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_expects_a_go_ahead_gets_it_from_the_router() {
    let platform = Platform::start().await;
    let dyno = Dyno::http(|request| async move {
        let told = request.headers().contains_key("expect");
        say(format!(
            "{told} {}",
            request
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .len()
        ))
    })
    .await;
    app(&platform, &[&dyno]).await;
    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: app.paas.test\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(
        read_head(&mut stream).await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    stream.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("\r\n\r\nfalse 5"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_dyno_closed_meanwhile_is_no_error() {
    let platform = Platform::start().await;
    // Answers one request per connection, promises keep-alive, and closes when the next one comes.
    let dyno = Dyno::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
        let mut byte = [0];
        let _ = stream.read(&mut byte).await;
    })
    .await;
    app(&platform, &[&dyno]).await;
    let mut client = http1(platform.http).await;
    for _ in 0..10 {
        client.ready().await.unwrap();
        let answer = collect(client.send_request(get("/")).await.unwrap()).await;
        assert_eq!((answer.status().as_u16(), text(&answer)), (200, "ok"));
    }
    assert_eq!(
        dyno.connections(),
        10,
        "each time the old connection had to be given up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_never_sent_twice() {
    let platform = Platform::start().await;
    let posts = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = posts.clone();
    // Answers a GET; takes a POST and dies over it.
    let dyno = Dyno::raw(move |mut stream| {
        let count = count.clone();
        async move {
            while read_head(&mut stream).await.starts_with("GET") {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await;
            }
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    })
    .await;
    app(&platform, &[&dyno]).await;
    let mut client = http1(platform.http).await;
    assert_eq!(
        collect(client.send_request(get("/")).await.unwrap())
            .await
            .status(),
        200
    );
    client.ready().await.unwrap();
    let post = Request::post("/")
        .header("host", "app.paas.test")
        .header("content-length", "0")
        .body(Full::default())
        .unwrap();
    assert_eq!(
        collect(client.send_request(post).await.unwrap())
            .await
            .status(),
        503
    );
    assert_eq!(
        (
            posts.load(std::sync::atomic::Ordering::SeqCst),
            dyno.connections()
        ),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_sent_ahead_are_answered_in_their_order() {
    let platform = Platform::start().await;
    let dyno = Dyno::http(|request| async move { say(request.uri().path().to_owned()) }).await;
    app(&platform, &[&dyno]).await;
    let mut all = String::new();
    for number in 0..20 {
        all += &format!("GET /{number} HTTP/1.1\r\nHost: app.paas.test\r\n\r\n\r\n");
    }
    all += "GET /last HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\n\r\n";
    let answers = platform.raw(&all).await;
    let bodies: Vec<&str> = answers
        .split("HTTP/1.1 200 OK\r\n")
        .skip(1)
        .map(|answer| answer.split_once("\r\n\r\n").unwrap().1)
        .collect();
    let expected = (0..20).map(|number| format!("/{number}"));
    assert_eq!(
        bodies,
        expected.chain(["/last".to_owned()]).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_is_kept_if_it_asks_and_told_no_chunks() {
    let platform = Platform::start().await;
    let dyno = Dyno::raw(|mut stream| async move {
        loop {
            let head = read_head(&mut stream).await;
            let answer: &[u8] = match head.split(' ').nth(1) {
                Some("/known") => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                Some(_) => {
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"
                }
                None => return,
            };
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    app(&platform, &[&dyno]).await;
    let ask = |path: &str| {
        format!("GET {path} HTTP/1.0\r\nHost: app.paas.test\r\nConnection: keep-alive\r\n\r\n")
    };
    let answers = platform
        .raw(&(ask("/known") + &ask("/known") + &ask("/unknown")))
        .await;
    assert_eq!(
        answers.matches("Connection: keep-alive\r\n").count(),
        2,
        "{answers}"
    );
    assert_eq!(answers.matches("\r\n\r\nok").count(), 2, "{answers}");
    assert!(
        answers.ends_with("Connection: close\r\n\r\nno"),
        "{answers}"
    );
    assert_eq!(dyno.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_a_body_comes_through_on_both_protocols() {
    let platform = Platform::start().await;
    let dyno = Dyno::raw(|mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            let answer =
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Checksum\r\n\r\n\
                           2\r\nok\r\n0\r\nChecksum: 7\r\nContent-Length: 9\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    app(&platform, &[&dyno]).await;
    let answer = platform
        .raw("GET / HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.ends_with("\r\n\r\n2\r\nok\r\n0\r\nChecksum: 7\r\n\r\n"),
        "{answer}"
    );
    let request = Request::get("https://app.paas.test/").body(Full::default());
    let mut client = platform.http2("app.paas.test").await;
    let answer = client.send_request(request.unwrap()).await.unwrap();
    let body = answer.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap();
    assert_eq!(
        (trailers.len(), &trailers["checksum"]),
        (1, &"7".parse().unwrap())
    );
    assert_eq!(body.to_bytes(), "ok");
}

/// It may still be sending, and the kernel would take an answer back that it has not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_refused_while_it_sends_hears_why() {
    let platform = Platform::start().await;
    let dyno = Dyno::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno!";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    app(&platform, &[&dyno]).await;
    for (target, status) in [("app", "413"), ("nobody", "404")] {
        let mut stream = TcpStream::connect(platform.http).await.unwrap();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {target}.paas.test\r\nContent-Length: 300000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let _ = stream.write_all(&[b'x'; 200_000]).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer:?}"
        );
    }
}
