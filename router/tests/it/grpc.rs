//! Dynos that speak HTTP/2: gRPC by programs that know nothing of us, and what it is made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{AppId, DynoProtocol, Route};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Said;
use tonic_health::pb::health_client::HealthClient;

use super::support::*;

pub(super) type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

pub(super) fn to_http2(dynos: &[&Dyno]) -> Route {
    let mut route = route(AppId::new(), "app", dynos);
    route.routing.dyno_protocol = DynoProtocol::Http2;
    route
}

pub(super) async fn speaking_http2<F, Fut>(answer: F) -> Dyno
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    Dyno::raw(move |stream| {
        let answer = answer.clone();
        async move {
            let service = service_fn(move |request| {
                let answering = answer(request);
                async move { Ok::<_, std::convert::Infallible>(answering.await) }
            });
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
    .await
}

/// Sends back what comes, as it comes, and then how much it was.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let said = request.headers().get("te").cloned();
    let (out, frames) = mpsc::channel(4);
    tokio::spawn(async move {
        let (mut body, mut count) = (request.into_body(), 0);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map(|frame| frame.into_data().unwrap()) else {
                return;
            };
            count += data.len();
            if out.send(Ok(Frame::data(data))).await.is_err() {
                return;
            }
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("count", count.into());
        let _ = out.send(Ok(Frame::trailers(trailers))).await;
    });
    let frames = futures::stream::unfold(frames, async |mut frames| {
        frames.recv().await.map(|frame| (frame, frames))
    });
    let mut response = Response::new(StreamBody::new(Box::pin(frames)).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    headers.extend(said.map(|said| (http::HeaderName::from_static("said"), said)));
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_client_and_server_that_know_nothing_of_us_understand_each_other() {
    let mut platform = Platform::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dyno = Dyno::nowhere(listener.local_addr().unwrap());
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("shop", ServingStatus::Serving)
        .await;
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder()
        .add_service(service)
        .serve_with_incoming(incoming);
    let server = tokio::spawn(server);
    platform.route(&to_http2(&[&dyno])).await;
    let channel = Channel::from_shared(format!("http://{}", platform.http))
        .unwrap()
        .origin("http://app.paas.test".parse().unwrap())
        .connect()
        .await
        .unwrap();
    let mut client = HealthClient::new(channel);
    let ask = |service: &str| HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = client.check(ask("shop")).await.unwrap().into_inner();
    assert_eq!(answer.status(), Said::Serving);
    // An answer of nothing but trailers.
    let unknown = client.check(ask("bar")).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    // A stream that says something only when there is something to say.
    let mut watched = client.watch(ask("shop")).await.unwrap().into_inner();
    for (status, expected) in [
        (ServingStatus::NotServing, Said::NotServing),
        (ServingStatus::Serving, Said::Serving),
    ] {
        reporter.set_service_status("shop", status).await;
        let told = async { while watched.next().await.unwrap().unwrap().status() != expected {} };
        tokio::time::timeout(PATIENCE, told)
            .await
            .expect("nothing came");
    }
    let line = platform.log().await;
    assert!(
        line.contains("path=\"/grpc.health.v1.Health/Check\"")
            && line.contains("dyno=web.1")
            && line.contains("status=200"),
        "{line}"
    );
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways_at_once_and_trailers_come_after_them() {
    let platform = Platform::start().await;
    let dyno = speaking_http2(echo).await;
    platform.route(&to_http2(&[&dyno])).await;
    let stream = platform.tls("app.paas.test", &["h2"]).await;
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let (say, said) = mpsc::channel::<Result<Frame<Bytes>, std::convert::Infallible>>(1);
    let body = futures::stream::unfold(said, async |mut said| {
        said.recv().await.map(|frame| (frame, said))
    });
    let request = Request::post("https://app.paas.test/echo")
        .header("content-type", "application/grpc+proto");
    let request = request.body(StreamBody::new(Box::pin(body))).unwrap();
    let answering = tokio::spawn(client.send_request(request));
    say.send(Ok(Frame::data("one".into()))).await.unwrap();
    let mut answer = answering.await.unwrap().unwrap();
    assert_eq!(answer.headers()["said"], "trailers");
    let frame = async |answer: &mut Response<Incoming>| {
        let frame = tokio::time::timeout(PATIENCE, answer.body_mut().frame())
            .await
            .expect("nothing came");
        frame.unwrap().unwrap()
    };
    assert_eq!(frame(&mut answer).await.into_data().unwrap(), "one");
    say.send(Ok(Frame::data("three".into()))).await.unwrap();
    assert_eq!(frame(&mut answer).await.into_data().unwrap(), "three");
    drop(say);
    let trailers = frame(&mut answer).await.into_trailers().unwrap();
    assert_eq!(
        (&trailers["grpc-status"], &trailers["count"]),
        (&"0".parse().unwrap(), &"8".parse().unwrap())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_http1_are_answered_too_and_large_bodies_unchanged() {
    let platform = Platform::start().await;
    let dyno = speaking_http2(echo).await;
    platform.route(&to_http2(&[&dyno])).await;
    let body: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    let request = Request::post("/")
        .header("host", "app.paas.test")
        .body(Full::from(body.clone()));
    assert!(platform.ask(request.unwrap()).await.body() == &body);
    let answer = platform
        .raw("HEAD / HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    let answer = platform
        .raw("GET / HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.ends_with("0\r\ngrpc-status: 0\r\ncount: 0\r\n\r\n"),
        "{answer}"
    );
    assert!(
        dyno.connections() <= 2,
        "one for each worker at most, not one for each request"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_is_given_up_at_the_dyno() {
    let platform = Platform::start().await;
    let (began, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    struct Counts(Arc<AtomicUsize>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (counted_began, counted_ended) = (began.clone(), ended.clone());
    let dyno = speaking_http2(move |_| {
        let (began, ended) = (counted_began.clone(), counted_ended.clone());
        async move {
            began.fetch_add(1, Ordering::SeqCst);
            let _ends = Counts(ended);
            std::future::pending().await
        }
    })
    .await;
    platform.route(&to_http2(&[&dyno])).await;
    let mut client = platform.http2("app.paas.test").await;
    let request = Request::get("https://app.paas.test/")
        .body(Full::default())
        .unwrap();
    let asked = tokio::spawn(client.send_request(request));
    eventually("the dyno to be asked", async || {
        (began.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    asked.abort();
    eventually("the dyno to be left", async || {
        (ended.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_streams_than_one_connection_takes_have_another() {
    let platform = Platform::start().await;
    let began = Arc::new(AtomicUsize::new(0));
    let counted = began.clone();
    let dyno = speaking_http2(move |_| {
        let began = counted.clone();
        async move {
            began.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }
    })
    .await;
    platform.route(&to_http2(&[&dyno])).await;
    let mut client = platform.http2("app.paas.test").await;
    let mut asked = Vec::new();
    for _ in 0..150 {
        let request = Request::get("https://app.paas.test/")
            .body(Full::default())
            .unwrap();
        asked.push(tokio::spawn(client.send_request(request)));
    }
    eventually("all to be asked", async || {
        (began.load(Ordering::SeqCst) == 150).then_some(())
    })
    .await;
    assert_eq!(dyno.connections(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_has_the_codes_it_has_elsewhere() {
    let mut platform = Platform::start_with(|config| {
        config.timeouts.first_byte = Duration::from_millis(200);
    })
    .await;
    let silent = speaking_http2(async |_| std::future::pending().await).await;
    let no_http2 = Dyno::blurting("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let nobody = Dyno::nowhere(refusing().await);
    let mut app = to_http2(&[]);
    for (dyno, code) in [(&silent, "H12"), (&no_http2, "H13"), (&nobody, "H21")] {
        app.backends = route(app.app, "app", &[dyno]).backends;
        platform.route(&app).await;
        let answer = platform.get("app.paas.test", "/").await;
        assert!(
            answer.status() == 503 && text(&answer).contains(code),
            "{code}"
        );
        let line = platform.log().await;
        assert!(line.contains(&format!("code={code}")), "{line}");
    }
}

/// A server that restarts, or has served for as long as it likes, says goodbye; that must cost nobody an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_closes_its_connection_is_asked_over_another() {
    let platform = Platform::start().await;
    let dyno = Dyno::raw(|stream| async move {
        let (asked, mut was_asked) = mpsc::channel(1);
        let service = service_fn(move |_| {
            let asked = asked.clone();
            async move {
                let _ = asked.try_send(());
                Ok::<_, std::convert::Infallible>(say("ok"))
            }
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = was_asked.recv() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    })
    .await;
    platform.route(&to_http2(&[&dyno])).await;
    for _ in 0..20 {
        let post = Request::post("/")
            .header("host", "app.paas.test")
            .body(Full::from("x"));
        assert_eq!(text(&platform.ask(post.unwrap()).await), "ok");
    }
    assert!(dyno.connections() >= 10);
}

/// What only one of the two protocols has a grammar for costs neither a connection nor a dyno.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_http2_does_not_have_is_the_clients_fault() {
    let platform = Platform::start().await;
    let dyno = speaking_http2(echo).await;
    platform.route(&to_http2(&[&dyno])).await;
    for _ in 0..5 {
        let answer = platform
            .raw("GET /<a> HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\n\r\n")
            .await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert!(dyno.connections() <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_a_websocket_of_a_dyno_that_speaks_http2_is_told() {
    let mut platform = Platform::start().await;
    let dyno = speaking_http2(echo).await;
    platform.route(&to_http2(&[&dyno])).await;
    let request = Request::get("/")
        .header("host", "app.paas.test")
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let answer = platform.ask(request.body(Full::default()).unwrap()).await;
    assert!(answer.status() == 503 && text(&answer).contains("H23"));
    let line = platform.log().await;
    assert!(
        line.starts_with("at=error code=H23 desc=\"Endpoint misconfigured\""),
        "{line}"
    );
    assert_eq!(dyno.connections(), 0);
}
