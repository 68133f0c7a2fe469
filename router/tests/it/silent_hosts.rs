//! A host that swallows what is sent to it: no request pays for it twice, and no other app does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use model::AppId;
use router::Timeouts;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::support::*;

/// How long a try takes here.
const TRY: Duration = Duration::from_millis(400);

/// An address whose kernel drops every attempt to connect: its listener's backlog is full.
struct Hole {
    dyno: Dyno,
    _listener: TcpListener,
    _full_of: Vec<TcpStream>,
}

impl Hole {
    async fn at(ip: Ipv4Addr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((ip, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut full_of = Vec::new();
        loop {
            let connecting = tokio::time::timeout(TRY, TcpStream::connect(addr));
            match connecting.await {
                Ok(stream) => full_of.push(stream.unwrap()),
                Err(_) => break,
            }
        }
        Self {
            dyno: Dyno::nowhere(addr),
            _listener: listener,
            _full_of: full_of,
        }
    }
}

async fn saying_at(ip: Ipv4Addr, text: &'static str) -> Dyno {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    Dyno::http_on(listener, move |_| async move { say(text) }).await
}

/// Loopback addresses are as many hosts as one likes.
fn host(last: u8) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 1, low, last)
}

async fn platform() -> Platform {
    Platform::start_with(|config| {
        config.timeouts = Timeouts {
            connect: Duration::from_secs(10),
            connect_if_others: TRY,
            quarantine: Duration::from_secs(600),
            ..Timeouts::HEROKU
        };
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_costs_one_request_one_short_try_whatever_runs_there() {
    let platform = platform().await;
    let holes = [
        Hole::at(host(7)).await,
        Hole::at(host(7)).await,
        Hole::at(host(7)).await,
    ];
    let live = saying_at(host(8), "live").await;
    let [first, second, third] = &holes;
    let dynos = [&first.dyno, &second.dyno, &third.dyno, &live];
    platform.route(&route(AppId::new(), "app", &dynos)).await;
    let mut slow = Vec::new();
    for _ in 0..30 {
        let began = Instant::now();
        let answer = platform.get("app.paas.test", "/").await;
        assert_eq!((answer.status().as_u16(), text(&answer)), (200, "live"));
        slow.extend(Some(began.elapsed()).filter(|took| *took >= TRY));
    }
    assert_eq!(slow.len(), 1, "{slow:?}");
    assert!(slow[0] < TRY * 2, "{slow:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_the_same_time_all_find_the_live_host() {
    let platform = platform().await;
    let (hole, live) = (Hole::at(host(17)).await, saying_at(host(18), "live").await);
    let dynos = [&hole.dyno, &live];
    platform.route(&route(AppId::new(), "app", &dynos)).await;
    let began = Instant::now();
    let asked = (0..40).map(|_| platform.get("app.paas.test", "/"));
    for answer in futures::future::join_all(asked).await {
        assert_eq!((answer.status().as_u16(), text(&answer)), (200, "live"));
    }
    assert!(began.elapsed() < TRY * 3, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_dyno_is_no_reason_to_give_up_its_neighbours() {
    let platform = platform().await;
    let (hole, elsewhere) = (
        Hole::at(host(27)).await,
        saying_at(host(28), "elsewhere").await,
    );
    let full = route(AppId::new(), "full", &[&hole.dyno, &elsewhere]);
    platform.route(&full).await;
    let neighbour = saying_at(host(27), "neighbour").await;
    let lone = route(AppId::new(), "lone", &[&neighbour]);
    platform.route(&lone).await;
    // Until the full one was met, and its host taken for dead.
    eventually("a slow answer", async || {
        let began = Instant::now();
        assert_eq!(
            text(&platform.get("full.paas.test", "/").await),
            "elsewhere"
        );
        (began.elapsed() >= TRY).then_some(())
    })
    .await;
    let began = Instant::now();
    assert_eq!(
        text(&platform.get("lone.paas.test", "/").await),
        "neighbour"
    );
    assert!(began.elapsed() < TRY, "{:?}", began.elapsed());
    let address: SocketAddr = neighbour.addr;
    assert_eq!(address.ip(), IpAddr::V4(host(27)));
}
