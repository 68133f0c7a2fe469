//! What becomes of requests when a connection they share with others ends, or its dyno takes less than it is sent.

use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame as BodyFrame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{DynoProtocol, Routing};
use socket2::{SockFilter, SockRef};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::frames::*;
use super::grpc::{Body, speaking_http2, to_http2};
use super::support::*;

async fn serve_http2<F, Fut>(stream: TcpStream, streams: u32, window: u32, answer: F)
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answering = answer(request);
        async move { Ok::<_, std::convert::Infallible>(answering.await) }
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(streams)
        .initial_stream_window_size(window)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn saying(text: &'static str) -> Response<Body> {
    Response::new(Full::from(text).boxed_unsync())
}

/// Says goodbye in the moment it is asked the second thing, which it has not looked at; and answers the first after that.
async fn leave(stream: TcpStream, goodbye: Vec<u8>) {
    let mut dyno = Framed::of(stream);
    dyno.say(&frame(SETTINGS, 0, 0, &[])).await;
    let mut asked = Vec::new();
    dyno.skip(PREFACE.len()).await;
    while asked.len() < 2 {
        match dyno.next().await {
            Some(frame) if frame.kind == HEADERS => asked.push(frame.stream),
            Some(_) => {}
            None => return,
        }
    }
    assert_eq!(asked, [1, 3]);
    dyno.say(&goodbye).await;
    let answer = frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88]);
    dyno.say(&answer).await;
    // What was refused may be asked again over the same connection; what came after a goodbye may not.
    while let Some(asked) = dyno.until(|frame| frame.kind == HEADERS).await {
        assert_eq!((asked.stream, goodbye[3]), (5, RST_STREAM));
        let answer = frame(HEADERS, END_HEADERS | END_STREAM, 5, &[0x88]);
        dyno.say(&answer).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dyno_did_not_look_at_is_asked_again_body_and_all() {
    let go_away = [1u32.to_be_bytes(), NO_ERROR.to_be_bytes()].concat();
    let refused = frame(RST_STREAM, 0, 3, &REFUSED_STREAM.to_be_bytes());
    for goodbye in [frame(GOAWAY, 0, 0, &go_away), refused] {
        let platform = Platform::start_with(|config| config.workers = NonZeroUsize::MIN).await;
        let connections = Arc::new(AtomicUsize::new(0));
        let is_refused = goodbye[3] == RST_STREAM;
        let dyno = Dyno::raw(move |stream| {
            let is_first = connections.fetch_add(1, Ordering::SeqCst) == 0;
            let goodbye = goodbye.clone();
            async move {
                if is_first {
                    return leave(stream, goodbye).await;
                }
                let echo = async |request: Request<Incoming>| {
                    Response::new(
                        request
                            .into_body()
                            .map_err(|_| unreachable!())
                            .boxed_unsync(),
                    )
                };
                serve_http2(stream, 100, 65_535, echo).await;
            }
        })
        .await;
        platform.route(&to_http2(&[&dyno])).await;
        let mut client = platform.http2("app.paas.test").await;
        let get = Request::get("https://app.paas.test/").body(Full::default());
        let first = tokio::spawn(client.send_request(get.unwrap()));
        eventually("the first to be asked", async || {
            (dyno.connections() == 1).then_some(())
        })
        .await;
        let body = "x".repeat(40_000);
        let post = Request::post("https://app.paas.test/").body(Full::from(body.clone()));
        let second = client.send_request(post.unwrap()).await.unwrap();
        assert_eq!(second.status(), 200);
        let echoed = second.into_body().collect().await.unwrap().to_bytes();
        assert!(is_refused || echoed == body);
        assert_eq!(first.await.unwrap().unwrap().status(), 200);
        assert_eq!(dyno.connections(), if is_refused { 1 } else { 2 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_its_dyno_gives_up_is_not_made_again() {
    let mut platform = Platform::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let dyno = Dyno::raw(move |stream| {
        let counted = counted.clone();
        async move {
            let mut dyno = Framed::of(stream);
            dyno.say(&frame(SETTINGS, 0, 0, &[])).await;
            dyno.skip(PREFACE.len()).await;
            while let Some(asked) = dyno.until(|frame| frame.kind == HEADERS).await {
                counted.fetch_add(1, Ordering::SeqCst);
                let code = PROTOCOL_ERROR.to_be_bytes();
                dyno.say(&frame(RST_STREAM, 0, asked.stream, &code)).await;
            }
        }
    })
    .await;
    platform.route(&to_http2(&[&dyno])).await;
    for count in 1..=3 {
        let answer = platform.get("app.paas.test", "/").await;
        assert!(answer.status() == 503 && text(&answer).contains("H13"));
        assert_eq!(asked.load(Ordering::SeqCst), count);
        let line = platform.log().await;
        assert!(line.contains("code=H13"), "{line}");
    }
}

/// Tells when it is dropped.
struct Told(mpsc::UnboundedSender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_its_dyno_does_not_take_ends_with_its_client() {
    let platform = Platform::start().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let dyno = Dyno::raw(move |stream| {
        let tell = tell.clone();
        async move {
            let answer = move |request: Request<Incoming>| {
                let told = Told(tell.clone());
                async move {
                    // The request is kept, and never read.
                    let kept = (request, told);
                    let forever = futures::stream::once(async { Ok(BodyFrame::data("a".into())) })
                        .chain(futures::stream::once(async move {
                            let _kept = kept;
                            std::future::pending().await
                        }));
                    Response::new(StreamBody::new(Box::pin(forever)).boxed_unsync())
                }
            };
            serve_http2(stream, 100, 0, answer).await;
        }
    })
    .await;
    platform.route(&to_http2(&[&dyno])).await;
    let mut client = platform.http2("app.paas.test").await;
    let post = Request::post("https://app.paas.test/").body(Full::from(vec![7; 200_000]));
    let mut answer = client.send_request(post.unwrap()).await.unwrap();
    let first = answer.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "a");
    drop(answer);
    let told = tokio::time::timeout(PATIENCE, told.recv()).await;
    assert_eq!(told.expect("the dyno was not told"), Some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_takes_few_streams_has_as_many_connections_as_it_needs() {
    let platform = Platform::start_with(|config| config.workers = NonZeroUsize::MIN).await;
    let began = Arc::new(AtomicUsize::new(0));
    let counted = began.clone();
    let dyno = Dyno::raw(move |stream| {
        let counted = counted.clone();
        async move {
            let answer = move |request: Request<Incoming>| {
                let counted = counted.clone();
                async move {
                    if request.uri().path() == "/wait" {
                        counted.fetch_add(1, Ordering::SeqCst);
                        std::future::pending::<()>().await;
                    }
                    saying("ok")
                }
            };
            serve_http2(stream, 2, 65_535, answer).await;
        }
    })
    .await;
    platform.route(&to_http2(&[&dyno])).await;
    // By then it has said how many it takes.
    assert_eq!(text(&platform.get("app.paas.test", "/").await), "ok");
    let mut client = platform.http2("app.paas.test").await;
    let mut asked = Vec::new();
    for _ in 0..7 {
        let get = Request::get("https://app.paas.test/wait").body(Full::default());
        asked.push(tokio::spawn(client.send_request(get.unwrap())));
    }
    eventually("all to be asked", async || {
        (began.load(Ordering::SeqCst) == 7).then_some(())
    })
    .await;
}

/// From now on the socket is sent to in vain, as if its host had lost its power.
fn fall_silent(stream: &TcpStream) {
    const RETURN_NONE: SockFilter = SockFilter::new(0x06, 0, 0, 0);
    SockRef::from(stream).attach_filter(&[RETURN_NONE]).unwrap();
}

/// Loopback addresses are as many hosts as one likes.
fn host(last: u8) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 1, low, last)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_under_a_connection_is_noticed_and_others_are_asked() {
    for protocol in [DynoProtocol::Http1, DynoProtocol::Http2] {
        let platform = Platform::start_with(|config| config.workers = NonZeroUsize::MIN).await;
        let dying = TcpListener::bind((host(47), 0)).await.unwrap();
        let (silent, mut is_silent) = mpsc::channel(1);
        let dying = Dyno::raw_on(dying, move |stream| {
            let silent = silent.clone();
            async move {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ndying";
                match protocol {
                    DynoProtocol::Http1 => {
                        let mut stream = stream;
                        read_head(&mut stream).await;
                        stream.write_all(answer).await.unwrap();
                        fall_silent(&stream);
                        silent.send(stream).await.unwrap();
                    }
                    DynoProtocol::Http2 => {
                        let mut dyno = Framed::of(stream);
                        dyno.say(&frame(SETTINGS, 0, 0, &[])).await;
                        dyno.skip(PREFACE.len()).await;
                        dyno.until(|frame| frame.kind == HEADERS).await;
                        dyno.say(&frame(HEADERS, END_HEADERS, 1, &[0x88])).await;
                        dyno.say(&frame(DATA, END_STREAM, 1, b"dying")).await;
                        fall_silent(&dyno.stream);
                        silent.send(dyno.stream).await.unwrap();
                    }
                }
            }
        });
        let mut route = to_http2(&[&dying]);
        route.routing.dyno_protocol = protocol;
        platform.route(&route).await;
        assert_eq!(text(&platform.get("app.paas.test", "/").await), "dying");
        let _kept = is_silent.recv().await;
        let alive = TcpListener::bind((host(48), 0)).await.unwrap();
        let alive = match protocol {
            DynoProtocol::Http1 => Dyno::http_on(alive, async |_| say("alive")).await,
            DynoProtocol::Http2 => Dyno::raw_on(alive, move |stream| {
                serve_http2(stream, 100, 65_535, async |_| saying("alive"))
            }),
        };
        route.backends = to_http2(&[&dying, &alive]).backends;
        platform.route(&route).await;
        let (mut slow, began) = (0, Instant::now());
        for _ in 0..30 {
            let began = Instant::now();
            assert_eq!(text(&platform.get("app.paas.test", "/").await), "alive");
            slow += usize::from(began.elapsed() > Duration::from_secs(2));
        }
        assert_eq!(slow, 1, "{protocol:?}");
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_nothing_but_a_head_ends_with_it_even_while_the_client_sends() {
    let platform = Platform::start().await;
    let dyno = speaking_http2(async |request: Request<Incoming>| {
        tokio::spawn(request.into_body().collect());
        let mut response = Response::new(Full::default().boxed_unsync());
        let headers = response.headers_mut();
        headers.insert("content-type", "application/grpc".parse().unwrap());
        headers.insert("grpc-status", "12".parse().unwrap());
        response
    })
    .await;
    platform.route(&to_http2(&[&dyno])).await;
    let mut client = Framed::agreed(&platform, &[]).await;
    client.say(&post(1, "/")).await;
    let answer = client.until(|frame| frame.stream == 1).await.unwrap();
    assert_eq!(
        (answer.kind, answer.flags & END_STREAM),
        (HEADERS, END_STREAM)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_may_be_as_long_as_the_details_of_an_error_are() {
    let platform = Platform::start().await;
    let details = "d".repeat(12_000);
    let sent = details.clone();
    let dyno = speaking_http2(move |_| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status-details-bin", sent.parse().unwrap());
        let frames = [
            BodyFrame::data(Bytes::from("x")),
            BodyFrame::trailers(trailers),
        ];
        let frames = futures::stream::iter(frames.map(Ok));
        async { Response::new(StreamBody::new(frames).boxed_unsync()) }
    })
    .await;
    platform.route(&to_http2(&[&dyno])).await;
    let mut client = platform.http2("app.paas.test").await;
    let get = Request::get("https://app.paas.test/").body(Full::default());
    let answer = client.send_request(get.unwrap()).await.unwrap();
    let body = answer.into_body().collect().await.unwrap();
    let trailers = body.trailers().unwrap();
    assert!(trailers["grpc-status-details-bin"] == details);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waited_goes_by_what_is_set_when_it_goes() {
    let platform = Platform::start().await;
    let dyno = speaking_http2(async |_| saying("ok")).await;
    let mut route = to_http2(&[&dyno]);
    let http2 = route.routing.clone();
    route.routing = Routing {
        paused: true,
        ..Routing::default()
    };
    platform.route(&route).await;
    let get = Request::get("/").header("host", "app.paas.test");
    let mut client = http1(platform.http).await;
    let asked = tokio::spawn(client.send_request(get.body(Full::default()).unwrap()));
    eventually("it to wait", async || {
        let metrics = platform.scrape().await;
        let waits = |line: &str| {
            let value = line.rsplit(' ').next().and_then(|value| value.parse().ok());
            line.contains("app_requests_in_flight{") && value == Some(1.0)
        };
        metrics.lines().any(waits).then_some(())
    })
    .await;
    route.routing = http2;
    platform.route(&route).await;
    let answer = collect(asked.await.unwrap().unwrap()).await;
    assert_eq!(text(&answer), "ok");
}

/// What waits for one client is not to cost the others their connection.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_an_answer_of_small_pieces_harms_nobody_else() {
    let platform = Platform::start_with(|config| config.workers = NonZeroUsize::MIN).await;
    let dyno = speaking_http2(async |request: Request<Incoming>| {
        if request.uri().path() == "/ok" {
            return saying("ok");
        }
        let small = futures::stream::repeat_with(|| Ok(BodyFrame::data("12345".into())));
        Response::new(StreamBody::new(small).boxed_unsync())
    })
    .await;
    platform.route(&to_http2(&[&dyno])).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        // Windows of nothing.
        let mut client = Framed::agreed(&platform, &setting(4, 0)).await;
        client.say(&get(1, "/small")).await;
        assert!(client.until(|frame| frame.is_ok()).await.is_some());
        clients.push(client);
    }
    eventually("the dyno to be held off", async || {
        let before = platform.get("app.paas.test", "/ok").await;
        assert_eq!(text(&before), "ok");
        (dyno.connections() == 1).then_some(())
    })
    .await;
    for _ in 0..200 {
        assert_eq!(text(&platform.get("app.paas.test", "/ok").await), "ok");
    }
    assert_eq!(dyno.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_at_a_dyno_that_takes_few_streams_loses_nobody() {
    let platform = Platform::start_with(|config| config.workers = NonZeroUsize::MIN).await;
    let dyno = Dyno::raw(|stream| {
        serve_http2(stream, 5, 65_535, async |_| {
            tokio::task::yield_now().await;
            saying("ok")
        })
    })
    .await;
    platform.route(&to_http2(&[&dyno])).await;
    let mut client = platform.http2("app.paas.test").await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..90 {
        let post = Request::post("https://app.paas.test/").body(Full::from("x"));
        asked.spawn(client.send_request(post.unwrap()));
    }
    for answer in asked.join_all().await {
        assert_eq!(answer.unwrap().status(), 200);
    }
}
