//! Floods of connections: from one address, in total, and of handshakes that never end.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use model::AppId;
use router::{Connections, Proxies};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::siege::*;
use super::support::*;

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: app.paas.test\r\n\r\n";

const ONE: [u8; 4] = [127, 0, 0, 1];
const OTHER: [u8; 4] = [127, 0, 0, 2];

async fn limited(total: usize, per_address: usize) -> (Platform, Dyno) {
    let platform = Platform::start_with(|config| {
        config.connections = Connections {
            total,
            per_address,
            handshakes: 16,
        };
    })
    .await;
    let dyno = app(&platform).await;
    (platform, dyno)
}

async fn app(platform: &Platform) -> Dyno {
    let dyno = Dyno::saying("hello").await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    dyno
}

async fn connect(from: impl Into<IpAddr>, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.into(), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// `None`: hung up on.
async fn ask(stream: &mut TcpStream) -> Option<u16> {
    // The other end may be gone already.
    let _ = stream.write_all(ASK).await;
    status(stream).await
}

async fn status(stream: &mut TcpStream) -> Option<u16> {
    let head = timeout(PATIENCE, read_head(stream)).await;
    head.expect("no answer").get(9..12)?.parse().ok()
}

/// Waits until the others have been hung up on.
async fn at_most_are_open(streams: &[TcpStream], most: usize) {
    let is_open = |stream: &&TcpStream| {
        let read = stream.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    eventually("most to be closed", async || {
        (streams.iter().filter(is_open).count() <= most).then_some(())
    })
    .await;
}

/// So many that are served.
async fn fill(platform: &Platform, from: [u8; 4], count: usize) -> Vec<TcpStream> {
    let mut kept = Vec::new();
    for _ in 0..count {
        let mut stream = connect(from, platform.http).await;
        assert_eq!(ask(&mut stream).await, Some(200));
        stream.read_exact(&mut [0; "hello".len()]).await.unwrap();
        kept.push(stream);
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_its_number_of_connections_and_keeps_nobody_else_out() {
    let (mut platform, dyno) = limited(1_000, 20).await;
    let mut kept = fill(&platform, ONE, 20).await;
    let before = dyno.requests();
    let mut one_more = connect(ONE, platform.http).await;
    assert_eq!(ask(&mut one_more).await, Some(503));
    let mut rest = String::new();
    one_more.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("H22"), "and is closed: {rest}");
    assert_eq!(dyno.requests(), before);
    loop {
        let log = platform.log().await;
        if !log.starts_with("at=info") {
            let start = "at=error code=H22 desc=\"Connection limit reached\" method=GET ";
            assert!(log.starts_with(start), "{log}");
            break;
        }
    }
    // Those that are there go on, and so does everybody else.
    assert_eq!(ask(&mut kept[0]).await, Some(200));
    let others = fill(&platform, OTHER, 20).await;
    // Who leaves makes room.
    drop(kept);
    eventually("room", async || {
        (ask(&mut connect(ONE, platform.http).await).await == Some(200)).then_some(())
    })
    .await;
    drop(others);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_from_one_address_costs_it_its_own_connections_only() {
    let platform = Platform::start_with(|config| {
        config.connections = Connections {
            total: 2_000,
            per_address: 50,
            handshakes: 16,
        };
    })
    .await;
    let _dyno = app(&platform).await;
    let before = memory();
    let mut flood = Vec::new();
    for _ in 0..1_000 {
        flood.push(connect(OTHER, platform.http).await);
    }
    // From the address of everybody who is no attacker here.
    let bystander = Bystander::at(&platform).await;
    at_most_are_open(&flood, 50 + 128).await;
    assert_grew_no_more(before, 64 << 20);
    bystander.was_served().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_total_who_asks_is_told_so_and_who_does_not_is_not_kept() {
    let (platform, _dyno) = limited(30, 30).await;
    let kept = fill(&platform, ONE, 30).await;
    let mut late = connect(OTHER, platform.http).await;
    assert_eq!(ask(&mut late).await, Some(503));
    // Over TLS and HTTP/2 too.
    let mut client = platform.http2("app.paas.test").await;
    let request = http::Request::get("https://app.paas.test/")
        .body(http_body_util::Full::default())
        .unwrap();
    let answer = collect(client.send_request(request).await.unwrap()).await;
    assert_eq!(answer.status(), 503);
    assert!(text(&answer).contains("H22"));
    // Who says nothing makes room for the next one within moments.
    let began = Instant::now();
    let mut silent = connect(OTHER, platform.http).await;
    let read = timeout(PATIENCE, silent.read(&mut [0])).await;
    assert!(matches!(read, Ok(Ok(0))), "{read:?}");
    assert!(began.elapsed() < Duration::from_secs(20));
    drop(kept);
    eventually("room", async || {
        (ask(&mut connect(OTHER, platform.http).await).await == Some(200)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_is_counted_until_it_ends() {
    let (platform, _dyno) = limited(100, 1).await;
    let raw = Dyno::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let switch =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\n";
        let _ = stream.write_all(switch).await;
        let _ = stream.read(&mut [0]).await;
    })
    .await;
    platform.route(&route(AppId::new(), "raw", &[&raw])).await;
    let mut tunnel = connect(ONE, platform.http).await;
    let switch =
        b"GET / HTTP/1.1\r\nhost: raw.paas.test\r\nconnection: upgrade\r\nupgrade: raw\r\n\r\n";
    tunnel.write_all(switch).await.unwrap();
    assert_eq!(status(&mut tunnel).await, Some(101));
    assert_eq!(ask(&mut connect(ONE, platform.http).await).await, Some(503));
    assert_eq!(
        ask(&mut connect(OTHER, platform.http).await).await,
        Some(200)
    );
    drop(tunnel);
    eventually("room", async || {
        (ask(&mut connect(ONE, platform.http).await).await == Some(200)).then_some(())
    })
    .await;
}

/// A proxy may have any number of connections; its clients, where it names them for each connection, may not.
#[tokio::test(flavor = "multi_thread")]
async fn behind_trusted_proxies_it_is_their_clients_that_are_counted() {
    let behind = async |speak_proxy_protocol| {
        let platform = Platform::start_with(|config| {
            config.proxies = Proxies {
                trusted: vec!["127.0.0.1/32".parse().unwrap()],
                speak_proxy_protocol,
            };
            config.connections = Connections {
                total: 1_000,
                per_address: 2,
                handshakes: 16,
            };
        })
        .await;
        let dyno = app(&platform).await;
        (platform, dyno)
    };
    let (platform, _dyno) = behind(false).await;
    fill(&platform, ONE, 10).await;

    let (platform, _dyno) = behind(true).await;
    let come = async |client: &str| {
        let mut stream = connect(ONE, platform.http).await;
        let header = format!("PROXY TCP4 {client} 192.0.2.1 5000 80\r\n");
        stream.write_all(header.as_bytes()).await.unwrap();
        (ask(&mut stream).await, stream)
    };
    let (_one, _two) = (come("203.0.113.7").await, come("203.0.113.7").await);
    assert_eq!(come("203.0.113.7").await.0, Some(503));
    assert_eq!(come("203.0.113.8").await.0, Some(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_never_end_give_way_to_those_that_do() {
    let platform = Platform::start_with(|config| {
        config.connections = Connections {
            total: 10_000,
            per_address: 10_000,
            handshakes: 16,
        };
        // So that it is not time that ends them.
        config.timeouts.tls_handshake = PATIENCE;
    })
    .await;
    let _dyno = app(&platform).await;
    let before = memory();
    // The first half of a hello, or nothing.
    let half = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let mut held = Vec::new();
    for number in 0..500 {
        let mut stream = TcpStream::connect(platform.https).await.unwrap();
        let _ = stream.write_all(&half[..number % half.len()]).await;
        held.push(stream);
    }
    let mut client = platform.http2("app.paas.test").await;
    let request = http::Request::get("https://app.paas.test/")
        .body(http_body_util::Full::default())
        .unwrap();
    let answer = collect(client.send_request(request).await.unwrap()).await;
    assert_eq!(text(&answer), "hello");
    // Two workers with sixteen each.
    at_most_are_open(&held, 32).await;
    assert_grew_no_more(before, 64 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_takes_too_long_is_given_up() {
    let platform = besieged(|_| {}).await;
    let bystander = Bystander::at(&platform).await;
    let mut silent = TcpStream::connect(platform.https).await.unwrap();
    let mut slow = TcpStream::connect(platform.https).await.unwrap();
    let trickle = async {
        for byte in [0x16, 3, 1, 2, 0, 1].into_iter().cycle() {
            if slow.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(SHORT / 8).await;
        }
    };
    let mut byte = [0];
    let silent = silent.read(&mut byte);
    let both = async { tokio::join!(trickle, silent) };
    let ((), read) = timeout(PATIENCE, both).await.expect("they were kept");
    assert!(!matches!(read, Ok(1..)));
    bystander.was_served().await;
}
