//! WebSockets and whatever else a connection may be switched to.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use http::Request;
use http_body_util::Full;
use model::AppId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use super::support::*;

async fn echo() -> Dyno {
    Dyno::raw(|stream| async move {
        let Ok(mut socket) = accept_async(stream).await else {
            return;
        };
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    })
    .await
}

async fn connect(platform: &Platform) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(platform.http).await.unwrap();
    client_async("ws://app.paas.test/socket", stream)
        .await
        .unwrap()
        .0
}

async fn say_and_hear(socket: &mut WebSocketStream<TcpStream>, message: Message) {
    socket.send(message.clone()).await.unwrap();
    let heard = tokio::time::timeout(PATIENCE, socket.next())
        .await
        .expect("no echo")
        .unwrap()
        .unwrap();
    assert_eq!(heard, message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_and_outlives_its_dynos_removal_without_holding_it_up() {
    let mut platform = Platform::start().await;
    let (old, new, app) = (echo().await, echo().await, AppId::new());
    platform.route(&route(app, "app", &[&old])).await;
    let mut socket = connect(&platform).await;
    say_and_hear(&mut socket, Message::text("hello")).await;
    say_and_hear(&mut socket, Message::binary(vec![7; 1 << 20])).await;

    let revision = platform.route(&route(app, "app", &[&new])).await;
    assert!(
        platform.acknowledged(revision).await.draining.is_empty(),
        "a tunnel is not waited for"
    );
    say_and_hear(&mut socket, Message::text("still here")).await;
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    drop(socket);
    let log = platform.log().await;
    assert!(
        log.contains("path=\"/socket\"")
            && log.contains(" dyno=web.1 ")
            && log.contains(" status=101 bytes=10"),
        "{log}"
    );
}

/// RFC 8441: over a stream of an HTTP/2 connection, beside others.
#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_over_http2_is_one_over_http1_for_the_app() {
    let mut platform = Platform::start().await;
    let (chat, page) = (echo().await, Dyno::saying("page").await);
    platform.route(&route(AppId::new(), "app", &[&chat])).await;
    platform.route(&route(AppId::new(), "web", &[&page])).await;
    let mut client = platform.http2("app.paas.test").await;
    let request = |protocol: &'static str| {
        Request::connect("https://app.paas.test/socket")
            .header("sec-websocket-version", "13")
            .extension(hyper::ext::Protocol::from_static(protocol))
            .body(Full::<bytes::Bytes>::default())
            .unwrap()
    };
    let answer = client.send_request(request("websocket")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    let stream = hyper_util::rt::TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
    let mut socket = WebSocketStream::from_raw_socket(stream, role, None).await;
    for message in [Message::text("hello"), Message::binary(vec![7; 1 << 18])] {
        socket.send(message.clone()).await.unwrap();
        let heard = tokio::time::timeout(PATIENCE, socket.next()).await;
        assert_eq!(heard.expect("no echo").unwrap().unwrap(), message);
    }
    let beside = Request::get("https://web.paas.test/").body(Full::default());
    let beside = client.send_request(beside.unwrap()).await.unwrap();
    assert_eq!(text(&collect(beside).await), "page");
    assert!(platform.log().await.contains(" host=web.paas.test "));
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    drop(socket);
    let log = platform.log().await;
    assert!(
        log.contains("method=GET path=\"/socket\"") && log.contains(" status=101 "),
        "{log}"
    );
    assert!(log.contains(" protocol=http2.0 tls=true"), "{log}");

    // Other tunnels are not offered.
    let answer = client.send_request(request("connect-udp")).await.unwrap();
    assert_eq!(answer.status(), 405);

    // A page is no socket, and over HTTP/2 its status would say that it is.
    let mut asked = request("websocket");
    *asked.uri_mut() = "https://web.paas.test/".parse().unwrap();
    let answer = client.send_request(asked).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(platform.log().await.contains("code=H17"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tunnel_is_closed() {
    let platform =
        Platform::start_with(|config| config.timeouts.idle = Duration::from_millis(300)).await;
    let dyno = echo().await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut socket = connect(&platform).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        say_and_hear(&mut socket, Message::text("busy")).await;
    }
    let ended = tokio::time::timeout(PATIENCE, socket.next())
        .await
        .expect("it stayed open");
    assert!(!matches!(ended, Some(Ok(Message::Text(_)))));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_protocol_may_be_switched_to_and_a_half_closed_side_may_still_hear() {
    let platform = Platform::start().await;
    let dyno = Dyno::raw(|mut stream| async move {
        let head = read_head(&mut stream).await;
        assert!(head.contains("Upgrade: raw\r\n") && head.contains("Connection: Upgrade\r\n"), "{head}");
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\nfirst ").await.unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        stream.write_all(format!("you said {all}").as_bytes()).await.unwrap();
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: app.paas.test\r\nconnection: Upgrade\r\nupgrade: raw\r\n\r\nearly ")
        .await
        .unwrap();
    let head = read_head(&mut stream).await;
    assert!(
        head.starts_with("HTTP/1.1 101 ") && head.contains("Upgrade: raw\r\n"),
        "{head}"
    );
    stream.write_all(b"and late").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "first you said early and late");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_declines_an_upgrade_just_answers() {
    let platform = Platform::start().await;
    let dyno = Dyno::saying("no, thanks").await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let answer = platform
        .raw("GET / HTTP/1.1\r\nhost: app.paas.test\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("no, thanks"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_hands_over_keeps_its_tunnels_and_answers_who_is_just_asking() {
    let mut platform = Platform::start().await;
    let (dyno, chat) = (Dyno::saying("here").await, echo().await);
    platform.route(&route(AppId::new(), "web", &[&dyno])).await;
    platform.route(&route(AppId::new(), "app", &[&chat])).await;
    let mut client = http1(platform.http).await;
    let request = || {
        Request::get("/")
            .header("host", "web.paas.test")
            .body(Full::default())
            .unwrap()
    };
    let first = collect(client.send_request(request()).await.unwrap()).await;
    assert_eq!(first.headers().get("connection"), None);
    let mut socket = connect(&platform).await;
    say_and_hear(&mut socket, Message::text("before")).await;

    let asks_once_more = async {
        let last = collect(client.send_request(request()).await.unwrap()).await;
        assert_eq!(last.headers()["connection"], "close");
        assert_eq!(text(&last), "here");
    };
    // Not held up by the tunnel.
    let handed_over = tokio::time::timeout(PATIENCE, platform.handle.hand_over());
    let (handed_over, ()) = tokio::join!(biased; handed_over, asks_once_more);
    handed_over.unwrap();
    eventually("it reports no more", async || {
        platform.report().await.is_none().then_some(())
    })
    .await;
    say_and_hear(&mut socket, Message::text("after")).await;

    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    drop(socket);
    platform.handle.join().await.unwrap();
}
