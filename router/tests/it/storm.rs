//! Under load: many changes of a large table, and a router that takes over from another with a thousand WebSockets open.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use http::Request;
use http_body_util::Full;
use model::{AppId, Route};
use store::embedded::Embedded;
use store::{Commit, Op, Txn, key};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::siege::*;
use super::support::*;

const ROUTES: usize = 2_000;
const CHANGES: usize = 500;
const PER_SECOND: u32 = 100;
const CLIENTS: usize = 8;

/// Clients that ask one after the other, of one host or another. Every answer is to be right.
struct Load {
    clients: Vec<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
}

impl Load {
    fn on(platform: &Platform, hosts: impl Fn(usize) -> String + Clone + Send + 'static) -> Self {
        let (is_over, answered) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let clients = (0..CLIENTS).map(|client| {
            let (is_over, answered, to) = (is_over.clone(), answered.clone(), platform.http);
            let hosts = hosts.clone();
            tokio::spawn(async move {
                let (mut connection, mut number) = (http1(to).await, client);
                while !is_over.load(Ordering::SeqCst) {
                    number += 7;
                    let request = Request::get("/")
                        .header("host", hosts(number))
                        .body(Full::default())
                        .unwrap();
                    let answer = timeout(PATIENCE, connection.send_request(request)).await;
                    let answer = collect(answer.expect("no answer").unwrap()).await;
                    assert_eq!(answer.status(), 200, "{}", text(&answer));
                    answered.fetch_add(1, Ordering::SeqCst);
                    // A router that leaves says so.
                    let is_last = answer.headers().get("connection").is_some();
                    if is_last || number % 50 == client {
                        connection = http1(to).await;
                    }
                }
            })
        });
        Self {
            clients: clients.collect(),
            is_over,
            answered,
        }
    }

    /// How many were answered. Fails if one was not.
    async fn end(self) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        for ended in join_all(self.clients).await {
            ended.unwrap();
        }
        self.answered.load(Ordering::SeqCst)
    }
}

fn name(number: usize) -> String {
    format!("app-{}", number % ROUTES)
}

/// Writes a record of a route that is none.
async fn spoil(platform: &Platform, app: AppId) {
    let commit = Commit {
        compares: Vec::new(),
        ops: vec![Op::Put {
            key: key::route(app),
            value: Bytes::from_static(b"{\"app\": 7"),
            lease: None,
        }],
    };
    platform.store.commit(commit).await.unwrap();
}

async fn commit(platform: &Platform, routes: &[Route]) {
    // As many as one commit may have.
    for routes in routes.chunks(100) {
        let txn = routes.iter().fold(Txn::new(), |txn, route| {
            txn.put(&key::ROUTES, key::route(route.app), route)
        });
        txn.commit(&*platform.store).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_changes_a_second_of_two_thousand_routes_cost_no_request() {
    let platform = Platform::start().await;
    let dynos = [Dyno::saying("one").await, Dyno::saying("two").await];
    let apps: Vec<AppId> = (0..ROUTES).map(|_| AppId::new()).collect();
    let of = |number: usize, turn: usize| {
        route(apps[number % ROUTES], &name(number), &[&dynos[turn % 2]])
    };
    let all: Vec<Route> = (0..ROUTES).map(|number| of(number, 0)).collect();
    commit(&platform, &all[1..]).await;
    platform.route(&all[0]).await;
    // Of all apps but the one whose record is spoilt.
    let load = Load::on(&platform, |number| {
        format!("{}.{DOMAIN}", name(number % (ROUTES - 1)))
    });
    eventually("load", async || {
        (load.answered.load(Ordering::SeqCst) > 500).then_some(())
    })
    .await;

    let (before, began) = (memory(), Instant::now());
    let mut every = tokio::time::interval(Duration::from_secs(1) / PER_SECOND);
    let mut took = Vec::new();
    for number in 0..CHANGES {
        every.tick().await;
        if number % 50 == 0 {
            spoil(&platform, apps[ROUTES - 1]).await;
        }
        // Some of them those that are asked for right now, over and over.
        let (at, turn) = (number * 13 % 97, number / 97 + 1);
        if number % 10 != 0 {
            platform.commit(&of(at, turn)).await;
            continue;
        }
        let committed = Instant::now();
        platform.route(&of(at, turn)).await;
        took.push(committed.elapsed());
    }
    // A record that cannot be read hurts its own app, and no other.
    let broken = of(ROUTES - 1, 0);
    assert_eq!(
        platform.get(broken.hosts[0].as_str(), "/").await.status(),
        503
    );
    let answered = load.end().await;
    took.sort();
    let slow = took[took.len() * 99 / 100];
    println!(
        "{CHANGES} changes in {:?}, {answered} requests, the slowest change took {slow:?}",
        began.elapsed()
    );
    assert!(answered > 1_000, "{answered}");
    assert!(slow < Duration::from_secs(2), "{slow:?}");
    assert_grew_no_more(before, 48 << 20);
}

/// Over a socket that was switched: what is said comes back.
async fn echoes(stream: &mut TcpStream, word: &[u8; 4]) {
    stream.write_all(word).await.unwrap();
    let mut heard = [0; 4];
    timeout(PATIENCE, stream.read_exact(&mut heard))
        .await
        .expect("no echo")
        .unwrap();
    assert_eq!(&heard, word);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_websockets_and_all_requests_outlive_a_hand_over() {
    let (store, dir) = (Embedded::open_in_memory().unwrap(), TempDir::new().unwrap());
    let (mut platform, sockets_of_it) =
        Platform::start_to_be_succeeded(store, Arc::new(dir), |_| {}).await;
    let (page, echo) = (
        Dyno::saying("here").await,
        Dyno::raw(|mut stream| async move {
            read_head(&mut stream).await;
            let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
            let _ = stream.write_all(switch).await;
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        })
        .await,
    );
    platform.route(&route(AppId::new(), "web", &[&page])).await;
    platform.route(&route(AppId::new(), "app", &[&echo])).await;
    let mut sockets = Vec::new();
    for _ in 0..1_000 {
        let mut stream = TcpStream::connect(platform.http).await.unwrap();
        let ask = b"GET / HTTP/1.1\r\nHost: app.paas.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        stream.write_all(ask).await.unwrap();
        assert!(
            timeout(PATIENCE, read_head(&mut stream))
                .await
                .unwrap()
                .contains(" 101 ")
        );
        sockets.push(stream);
    }
    let load = Load::on(&platform, |_| "web.paas.test".to_owned());
    eventually("load", async || {
        (load.answered.load(Ordering::SeqCst) > 200).then_some(())
    })
    .await;
    let before = memory();

    let mut successor = platform.successor(sockets_of_it);
    successor.serving().await.unwrap();
    timeout(PATIENCE, platform.handle.hand_over())
        .await
        .expect("requests are left");
    let handed_over = load.answered.load(Ordering::SeqCst);
    for stream in &mut sockets {
        echoes(stream, b"here").await;
    }
    eventually("load on the successor", async || {
        (load.answered.load(Ordering::SeqCst) > handed_over + 200).then_some(())
    })
    .await;
    load.end().await;
    assert_grew_no_more(before, 48 << 20);
    // Nothing but them has kept the old one.
    for stream in &mut sockets {
        echoes(stream, b"last").await;
    }
    drop(sockets);
    timeout(PATIENCE, platform.handle.join())
        .await
        .expect("it stayed")
        .unwrap();
    platform.shutdown.cancel();
}
