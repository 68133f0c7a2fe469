//! Bodies under way: nothing is held back, nothing is hoarded.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{SinkExt as _, StreamExt as _};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::protocols::{app, get};
use super::support::*;

/// A dyno that streams: says each line it is told to.
async fn stream_of(lines: mpsc::Receiver<Bytes>) -> Dyno {
    let lines = Arc::new(tokio::sync::Mutex::new(Some(lines)));
    Dyno::raw(move |stream| {
        let lines = lines.clone();
        async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let lines = lines.clone();
                async move {
                    let lines = lines.lock().await.take().unwrap();
                    let frames = lines.map(|line| Ok::<_, Infallible>(Frame::data(line)));
                    Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
                }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_of_a_response_comes_through_when_it_is_said() {
    let platform = Platform::start().await;
    for protocol in [1, 2] {
        let (mut lines, receiver) = mpsc::channel(1);
        let dyno = stream_of(receiver).await;
        app(&platform, &[&dyno]).await;
        let answer = if protocol == 1 {
            http1(platform.http)
                .await
                .send_request(get("/"))
                .await
                .unwrap()
        } else {
            let request = Request::get("https://app.paas.test/")
                .body(Full::default())
                .unwrap();
            platform
                .http2("app.paas.test")
                .await
                .send_request(request)
                .await
                .unwrap()
        };
        let mut body = answer.into_body();
        for line in ["one", "two", "three"] {
            lines.send(Bytes::from(line)).await.unwrap();
            let frame = tokio::time::timeout(PATIENCE, body.frame())
                .await
                .expect("it was held back")
                .unwrap()
                .unwrap();
            assert_eq!(frame.into_data().unwrap(), line);
        }
        drop(lines);
        while let Some(frame) = body.frame().await {
            assert!(
                frame.unwrap().into_data().unwrap().is_empty(),
                "HTTP/2 may end with an empty frame"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_streams_too_and_both_ways_at_once() {
    let platform = Platform::start().await;
    // Answers before the request has ended, and says each part back as it comes.
    let dyno = Dyno::raw(|stream| async move {
        let service = service_fn(|request: Request<Incoming>| async move {
            let frames = request
                .into_body()
                .into_data_stream()
                .map(|part| part.map(Frame::data));
            Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
        });
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    })
    .await;
    app(&platform, &[&dyno]).await;
    let stream = TcpStream::connect(platform.http).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let (mut parts, receiver) = mpsc::channel::<Bytes>(1);
    let body = StreamBody::new(receiver.map(|part| Ok::<_, Infallible>(Frame::data(part))));
    let request = Request::post("/")
        .header("host", "app.paas.test")
        .body(body)
        .unwrap();
    let answer = client.send_request(request).await.unwrap();
    let mut echoed = answer.into_body();
    for part in ["ping", "pong"] {
        parts.send(Bytes::from(part)).await.unwrap();
        let frame = tokio::time::timeout(PATIENCE, echoed.frame())
            .await
            .expect("it was held back")
            .unwrap()
            .unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
    }
    drop(parts);
    assert!(echoed.frame().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_the_dyno_back() {
    let platform = Platform::start().await;
    let sent = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = sent.clone();
    let dyno = Dyno::raw(move |mut stream| {
        let count = count.clone();
        async move {
            read_head(&mut stream).await;
            let total = 256 << 20;
            let _ = stream
                .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {total}\r\n\r\n").as_bytes())
                .await;
            let part = vec![0; 1 << 16];
            for _ in 0..total / part.len() {
                if stream.write_all(&part).await.is_err() {
                    return;
                }
                count.fetch_add(part.len(), std::sync::atomic::Ordering::SeqCst);
            }
        }
    })
    .await;
    app(&platform, &[&dyno]).await;
    let answer = http1(platform.http)
        .await
        .send_request(get("/"))
        .await
        .unwrap();
    let mut body = answer.into_body();
    body.frame().await.unwrap().unwrap();
    // What it could send without anybody reading settles below what sockets and buffers hold.
    let seen = || sent.load(std::sync::atomic::Ordering::SeqCst);
    let settled = eventually("the dyno to be held back", async || {
        let before = seen();
        tokio::time::sleep(Duration::from_millis(300)).await;
        (before == seen()).then_some(before)
    })
    .await;
    assert!(settled < 64 << 20, "{settled}");
    let mut left = 0;
    while let Some(frame) = body.frame().await {
        left += frame.unwrap().into_data().unwrap().len();
    }
    assert!(left > 180 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_before_the_end_of_the_request_ends_both() {
    let platform = Platform::start().await;
    let dyno = Dyno::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nno!";
        stream.write_all(answer).await.unwrap();
        std::future::pending().await
    })
    .await;
    let id = app(&platform, &[&dyno]).await;
    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    let head =
        "POST / HTTP/1.1\r\nhost: app.paas.test\r\ncontent-length: 1000\r\n\r\nthe first of it";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 413 "));
    let mut body = [0; 3];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut body)
        .await
        .unwrap();
    assert_eq!(&body, b"no!");

    // As long as the client may still send, the dyno is still in use; when it leaves, it is not.
    let revision = platform.route(&route(id, "app", &[])).await;
    let report = platform.acknowledged(revision).await;
    assert!(report.draining.contains_key(&dyno.id));
    drop(stream);
    platform.drained(dyno.id).await;
}
