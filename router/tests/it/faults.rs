//! Every code: when it is given, with which status, page and line.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use model::{AppId, NoBackend};
use router::Timeouts;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::support::*;

const SHORT: Duration = Duration::from_millis(300);

pub(super) async fn hasty() -> Platform {
    Platform::start_with(|config| {
        config.timeouts = Timeouts {
            connect: SHORT,
            first_byte: SHORT,
            idle: SHORT,
            boot: SHORT,
            ..Timeouts::HEROKU
        };
    })
    .await
}

async fn get(platform: &Platform) -> Response<Bytes> {
    platform.get("app.paas.test", "/").await
}

fn assert_page(answer: &Response<Bytes>, status: u16, code: &str) {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert!(text(answer).contains(code), "{}", text(answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_without_backends_says_why() {
    let mut platform = hasty().await;
    let app = AppId::new();
    for (why, code, at, desc) in [
        (NoBackend::Crashed, "H10", "error", "App crashed"),
        (
            NoBackend::NoWebProcesses,
            "H14",
            "error",
            "No web processes running",
        ),
        (NoBackend::Booting, "H20", "error", "App boot timeout"),
        (NoBackend::Blank, "H81", "info", "Blank app"),
    ] {
        let mut route = route(app, "app", &[]);
        route.no_backend = why;
        platform.route(&route).await;
        assert_page(&get(&platform).await, 503, code);
        let log = platform.log().await;
        let start = format!(
            "at={at} code={code} desc=\"{desc}\" method=GET path=\"/\" host=app.paas.test request_id="
        );
        assert!(log.starts_with(&start), "{log}");
        let end = "fwd=\"127.0.0.1\" dyno= connect= service= status=503 bytes= protocol=http1.1 tls=false";
        assert!(log.ends_with(end), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_the_first_dyno_to_come_up() {
    let platform = Platform::start().await;
    let (app, dyno) = (AppId::new(), Dyno::saying("up").await);
    platform.route(&route(app, "app", &[])).await;
    let mut client = http1(platform.http).await;
    let request = Request::get("/")
        .header("host", "app.paas.test")
        .body(Full::default())
        .unwrap();
    let mut waiting = Box::pin(client.send_request(request));
    assert!(
        tokio::time::timeout(SHORT, &mut waiting).await.is_err(),
        "it must be held"
    );
    platform.route(&route(app, "app", &[&dyno])).await;
    assert_eq!(text(&collect(waiting.await.unwrap()).await), "up");
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_stops_requests_and_shows_the_apps_own_page() {
    let mut platform = Platform::start().await;
    let (app, dyno) = (AppId::new(), Dyno::saying("up").await);
    let mut route = route(app, "app", &[&dyno]);
    route.maintenance = true;
    platform.route(&route).await;
    assert_page(&get(&platform).await, 503, "H80");
    assert!(
        platform
            .log()
            .await
            .starts_with("at=info code=H80 desc=\"Maintenance mode\" method=GET")
    );
    let plain = Request::get("/")
        .header("host", "app.paas.test")
        .header("accept", "text/plain")
        .body(Full::default())
        .unwrap();
    let answer = platform.ask(plain).await;
    assert_eq!(
        answer.headers()["content-type"],
        "text/plain; charset=utf-8"
    );
    assert!(text(&answer).starts_with("Offline for maintenance (H80)\n"));

    route.maintenance_page_url = Some("https://example.com/m?a=1&b=2".to_owned());
    platform.route(&route).await;
    assert_page(
        &get(&platform).await,
        503,
        "<iframe src=\"https://example.com/m?a=1&amp;b=2\">",
    );
    route.maintenance = false;
    platform.route(&route).await;
    assert_eq!(text(&get(&platform).await), "up");
    assert_eq!(dyno.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_the_dynos_may_have_are_h11_and_no_one_elses_trouble() {
    let mut platform = Platform::start_with(|config| config.backlog_per_dyno = 3).await;
    let hung = || Dyno::http(|_| std::future::pending());
    let (one, two, well) = (hung().await, hung().await, Dyno::saying("well").await);
    platform
        .route(&route(AppId::new(), "app", &[&one, &two]))
        .await;
    platform
        .route(&route(AppId::new(), "other", &[&well]))
        .await;
    let mut waiting = Vec::new();
    for _ in 0..6 {
        let mut client = http1(platform.http).await;
        let request = Request::get("/").header("host", "app.paas.test");
        let request = request.body(Full::<Bytes>::default()).unwrap();
        waiting.push(tokio::spawn(
            async move { client.send_request(request).await },
        ));
    }
    eventually("all of them to arrive", async || {
        (one.requests() + two.requests() == 6).then_some(())
    })
    .await;
    assert_page(&get(&platform).await, 503, "H11");
    let log = platform.log().await;
    assert!(
        log.starts_with("at=error code=H11 desc=\"Backlog too deep\" method=GET"),
        "{log}"
    );
    assert_eq!(text(&platform.get("other.paas.test", "/").await), "well");
    assert!(platform.log().await.contains(" status=200 "));
    // Those that give up make room.
    for waiting in waiting {
        waiting.abort();
    }
    eventually("room for another", async || {
        let asked = tokio::time::timeout(SHORT, get(&platform)).await;
        asked.is_err().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_does_not_answer_in_time_is_h12() {
    let mut platform = hasty().await;
    let dyno = Dyno::http(|_| std::future::pending()).await;
    let mut route = route(AppId::new(), "app", &[&dyno]);
    route.error_page_url = Some("//errors.example.com/".to_owned());
    platform.route(&route).await;
    let began = Instant::now();
    assert_page(
        &get(&platform).await,
        503,
        "<iframe src=\"//errors.example.com/\">",
    );
    assert!(began.elapsed() >= SHORT);
    let log = platform.log().await;
    assert!(
        log.starts_with("at=error code=H12 desc=\"Request timeout\" method=GET"),
        "{log}"
    );
    assert!(
        log.contains(" dyno=web.1 connect=") && log.contains(" status=503 bytes=0 "),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_of_h12_starts_when_the_request_has_been_sent() {
    let platform = hasty().await;
    let dyno = Dyno::http(|request| async move {
        say(request.into_body().collect().await.unwrap().to_bytes())
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: app.paas.test\r\nconnection: close\r\ncontent-length: 6\r\n\r\n").await.unwrap();
    for _ in 0..6 {
        tokio::time::sleep(SHORT / 3).await;
        stream.write_all(b"x").await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("xxxxxx"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_answers_have_their_codes() {
    let mut platform = hasty().await;
    for (answer, status, code, start) in [
        (
            "",
            503,
            "H13",
            "at=error code=H13 desc=\"Connection closed without response\" method=",
        ),
        (
            "HTTP/1.1 2",
            503,
            "H18",
            "sock=backend at=error code=H18 desc=\"Server Request Interrupted\" method=",
        ),
        (
            "SSH-2.0-OpenSSH\r\n\r\n",
            503,
            "H17",
            "at=error code=H17 desc=\"Poorly formatted HTTP response\" method=",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            503,
            "H17",
            "at=error code=H17 desc=",
        ),
    ] {
        let dyno = Dyno::blurting(answer).await;
        platform.route(&route(AppId::new(), "app", &[&dyno])).await;
        assert_page(&get(&platform).await, status, code);
        let log = platform.log().await;
        assert!(log.starts_with(start), "{answer:?}: {log}");
        platform.route(&route(AppId::new(), "gone", &[])).await;
        let all = store::key::ROUTES.all(&*platform.store).await.unwrap();
        for route in all {
            store::Txn::new()
                .delete(route.key)
                .commit(&*platform.store)
                .await
                .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_the_dyno_that_is_too_large_is_h25() {
    let mut platform = hasty().await;
    let dyno = Dyno::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream
            .write_all(
                format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "x".repeat(600 << 10)).as_bytes(),
            )
            .await;
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    assert_page(&get(&platform).await, 502, "H25");
    assert!(
        platform
            .log()
            .await
            .starts_with("at=error code=H25 desc=\"HTTP restriction: oversized header\" method=")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_breaks_off_in_the_middle_is_h18_and_one_that_stalls_is_h15() {
    let mut platform = hasty().await;
    let breaking = Dyno::blurting("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    let app = AppId::new();
    platform.route(&route(app, "app", &[&breaking])).await;
    let answer = platform
        .raw("GET / HTTP/1.1\r\nhost: app.paas.test\r\n\r\n")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("half"),
        "{answer}"
    );
    let log = platform.log().await;
    assert!(
        log.starts_with("sock=backend at=error code=H18 ") && log.contains(" bytes=4 "),
        "{log}"
    );

    let stalling = Dyno::raw(|mut stream| async move {
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            .await
            .unwrap();
        std::future::pending().await
    })
    .await;
    platform.route(&route(app, "app", &[&stalling])).await;
    let answer = platform
        .raw("GET / HTTP/1.1\r\nhost: app.paas.test\r\n\r\n")
        .await;
    assert!(answer.ends_with("half"), "{answer}");
    let log = platform.log().await;
    assert!(
        log.starts_with("at=error code=H15 desc=\"Idle connection\"") && log.contains(" bytes=4 "),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusing_dyno_is_passed_over_and_left_alone_for_a_while() {
    let mut platform = Platform::start().await;
    let (dead, live, app) = (
        Dyno::nowhere(refusing().await),
        Dyno::saying("live").await,
        AppId::new(),
    );
    platform.route(&route(app, "app", &[&dead, &live])).await;
    for _ in 0..50 {
        let answer = get(&platform).await;
        assert_eq!((answer.status().as_u16(), text(&answer)), (200, "live"));
        assert!(platform.log().await.contains(" dyno=web.2 "));
    }

    let dead = Dyno::nowhere(refusing().await);
    platform.route(&route(app, "app", &[&dead])).await;
    assert_page(&get(&platform).await, 503, "H21");
    let log = platform.log().await;
    assert!(
        log.starts_with("at=error code=H21 desc=\"Backend connection refused\"")
            && log.contains(" dyno=web.1 connect="),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn while_all_dynos_are_in_quarantine_a_request_waits_and_then_is_h99() {
    let mut platform = hasty().await;
    let (dead, app) = (Dyno::nowhere(refusing().await), AppId::new());
    platform.route(&route(app, "app", &[&dead])).await;
    assert_page(&get(&platform).await, 503, "H21");
    assert!(platform.log().await.contains("code=H21"));
    assert_page(&get(&platform).await, 503, "H99");
    assert!(
        platform
            .log()
            .await
            .starts_with("at=error code=H99 desc=\"Platform error\"")
    );

    let live = Dyno::saying("live").await;
    platform.route(&route(app, "app", &[&dead, &live])).await;
    assert_eq!(text(&get(&platform).await), "live");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dyno_that_cannot_be_reached_is_h19() {
    let mut platform = hasty().await;
    // A full accept queue: connections are neither taken nor refused.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let mut fillers = Vec::new();
    while let Ok(Ok(filler)) = tokio::time::timeout(SHORT, TcpStream::connect(addr)).await {
        fillers.push(filler);
    }
    let dyno = Dyno::nowhere(addr);
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    assert_page(&get(&platform).await, 503, "H19");
    let log = platform.log().await;
    assert!(
        log.starts_with("at=error code=H19 desc=\"Backend connection timeout\""),
        "{log}"
    );
    let (_, rest) = log.split_once(" dyno=web.1 connect=").expect(&log);
    let (connect, rest) = rest.split_once("ms ").expect(&log);
    let connect: u64 = connect.parse().expect(&log);
    assert!(connect >= 300, "{log}");
    assert!(rest.starts_with("service= status=503"), "{log}");
}
