//! TCP routes: ports that come and go with their records, and where their connections end up.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::tcp_route::TcpHost;
use model::{AccountId, AppId, NoBackend, Route, TcpRoute, TcpTarget, Timestamp};
use router::{Config, TcpSockets};
use store::embedded::Embedded;
use store::{Store, Txn, key};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::name_server::NameServer;
use super::support::*;

/// Sockets on the loopback address, kept for whoever takes over.
#[derive(Debug, Default)]
struct Loopback {
    kept: Mutex<BTreeMap<u16, Vec<StdListener>>>,
}

impl TcpSockets for Loopback {
    fn open(&self, port: u16) -> io::Result<Vec<StdListener>> {
        let mut kept = self.kept.lock().unwrap();
        if let std::collections::btree_map::Entry::Vacant(place) = kept.entry(port) {
            let addr = SocketAddr::from(([127, 0, 0, 1], port));
            place.insert(router::bind(addr, NonZeroUsize::new(2).unwrap())?);
        }
        kept[&port].iter().map(StdListener::try_clone).collect()
    }

    fn close(&self, port: u16) {
        self.kept.lock().unwrap().remove(&port);
    }

    fn keep_only(&self, ports: &BTreeSet<u16>) {
        let mut kept = self.kept.lock().unwrap();
        kept.retain(|port, _| ports.contains(port));
    }
}

fn with_ports(config: &mut Config) {
    config.tcp.sockets = Some(Arc::new(Loopback::default()));
}

/// One that nobody has at the moment.
fn free_port() -> u16 {
    let free = StdListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

fn to(port: u16, target: TcpTarget) -> TcpRoute {
    TcpRoute {
        port,
        target,
        proxy_protocol: false,
        allow: Vec::new(),
        created_at: Timestamp::now(),
        created_by: AccountId::new(),
    }
}

fn at(addr: SocketAddr) -> TcpTarget {
    TcpTarget::Host {
        host: TcpHost::Address(addr.ip()),
        port: addr.port(),
    }
}

fn named(name: &str, port: u16) -> TcpTarget {
    TcpTarget::Host {
        host: TcpHost::Name(name.parse().unwrap()),
        port,
    }
}

async fn put(store: &dyn Store, route: &TcpRoute) {
    let put = Txn::new().put(&key::TCP_ROUTES, key::tcp_route(route.port), route);
    put.commit(store).await.unwrap();
}

async fn take_away(store: &dyn Store, port: u16) {
    let txn = Txn::new().delete(key::tcp_route(port));
    txn.commit(store).await.unwrap();
}

/// A connection with the port, as soon as it is open.
async fn connect(port: u16) -> TcpStream {
    eventually("the port to open", async || {
        TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await
}

async fn is_closed(port: u16) {
    eventually("the port to close", async || {
        let tried = TcpStream::connect(("127.0.0.1", port)).await;
        tried
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            .then_some(())
    })
    .await;
}

async fn say_and_hear(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut heard = [0; 256];
    let count = tokio::time::timeout(PATIENCE, stream.read(&mut heard)).await;
    let count = count.expect("no answer").unwrap();
    String::from_utf8_lossy(&heard[..count]).into_owned()
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
    // Whether it is closed or broken off is all the same here.
    let _ = read.expect("no end");
    String::from_utf8_lossy(&heard).into_owned()
}

/// Says everything back, with its own name before it.
async fn echo_on(addr: impl tokio::net::ToSocketAddrs, name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(addr).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = vec![0; 64 << 10];
                while let Ok(count @ 1..) = stream.read(&mut heard).await {
                    let answer = [name.as_bytes(), &heard[..count]].concat();
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
                let _ = stream.write_all(b"bye").await;
            });
        }
    });
    addr
}

async fn metric(platform: &Platform, series: &str, port: u16) -> f64 {
    let metrics = platform.scrape().await;
    let series = format!("paas_router_tcp_{series}{{port=\"{port}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
    value.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_opens_with_its_record_and_closes_with_it_and_connections_outlive_that() {
    let platform = Platform::start_with(with_ports).await;
    let (port, backend) = (free_port(), echo_on("127.0.0.1:0", "").await);
    put(&*platform.store, &to(port, at(backend))).await;
    let mut first = connect(port).await;
    assert_eq!(say_and_hear(&mut first, "hello").await, "hello");
    // A side that has said all it has to say still hears.
    let mut second = connect(port).await;
    assert_eq!(say_and_hear(&mut second, "hello").await, "hello");
    second.shutdown().await.unwrap();
    assert_eq!(read_all(&mut second).await, "bye");
    eventually("the counts", async || {
        (metric(&platform, "connections", port).await == 1.0).then_some(())
    })
    .await;
    assert_eq!(metric(&platform, "accepted_total", port).await, 2.0);
    assert_eq!(metric(&platform, "in_bytes_total", port).await, 10.0);
    assert_eq!(metric(&platform, "out_bytes_total", port).await, 13.0);
    assert_eq!(metric(&platform, "port_open", port).await, 1.0);

    take_away(&*platform.store, port).await;
    is_closed(port).await;
    assert_eq!(say_and_hear(&mut first, "still here").await, "still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn much_passes_both_ways_unchanged() {
    let platform = Platform::start_with(with_ports).await;
    let (port, backend) = (free_port(), echo_on("127.0.0.1:0", "").await);
    put(&*platform.store, &to(port, at(backend))).await;
    let (mut from, mut into) = connect(port).await.into_split();
    let much: Vec<u8> = (0..8_u32 << 20).map(|n| (n % 251) as u8).collect();
    let sent = much.clone();
    let sending = tokio::spawn(async move {
        into.write_all(&sent).await.unwrap();
        into.shutdown().await.unwrap();
    });
    let mut heard = Vec::new();
    let read = tokio::time::timeout(PATIENCE, from.read_to_end(&mut heard)).await;
    read.expect("no end").unwrap();
    sending.await.unwrap();
    assert!(
        heard.strip_suffix(b"bye") == Some(&much[..]),
        "{}",
        heard.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_resolved_at_each_connect_and_remembered_no_longer_than_it_may() {
    let names = NameServer::start().await;
    let platform = Platform::start_with(|config| {
        with_ports(config);
        // One cache, so that what it does can be told.
        config.workers = NonZeroUsize::MIN;
        config.tcp.name_servers = vec![names.addr];
    })
    .await;
    let (port, first) = (free_port(), echo_on("127.0.0.1:0", "first ").await);
    echo_on(("127.0.0.2", first.port()), "second ").await;
    names.set("db.internal", &[[127, 0, 0, 1]], 0);
    put(
        &*platform.store,
        &to(port, named("db.internal", first.port())),
    )
    .await;
    let mut kept = connect(port).await;
    assert_eq!(say_and_hear(&mut kept, "a").await, "first a");
    names.set("db.internal", &[[127, 0, 0, 2]], 3600);
    let asked = names.asked();
    for _ in 0..3 {
        let mut new = connect(port).await;
        assert_eq!(say_and_hear(&mut new, "b").await, "second b");
    }
    assert_eq!(names.asked(), asked + 1, "an hour was allowed");
    assert_eq!(say_and_hear(&mut kept, "c").await, "first c");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_addresses_those_that_answer_are_found() {
    let names = NameServer::start().await;
    let platform = Platform::start_with(|config| {
        with_ports(config);
        config.tcp.name_servers = vec![names.addr];
    })
    .await;
    let (port, backend) = (free_port(), echo_on("127.0.0.1:0", "").await);
    names.set(
        "db.internal",
        &[[127, 0, 0, 9], [127, 0, 0, 1], [127, 0, 0, 8]],
        0,
    );
    put(
        &*platform.store,
        &to(port, named("db.internal", backend.port())),
    )
    .await;
    for _ in 0..8 {
        let mut stream = connect(port).await;
        assert_eq!(say_and_hear(&mut stream, "found").await, "found");
    }
    assert_eq!(metric(&platform, "failed_total", port).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows_costs_the_connection_and_is_tried_again_with_the_next() {
    let names = NameServer::start().await;
    let platform = Platform::start_with(|config| {
        with_ports(config);
        config.workers = NonZeroUsize::MIN;
        config.tcp.name_servers = vec![names.addr];
    })
    .await;
    let (port, refusing_port) = (free_port(), free_port());
    let backend = echo_on("127.0.0.1:0", "").await;
    put(
        &*platform.store,
        &to(port, named("db.internal", backend.port())),
    )
    .await;
    put(&*platform.store, &to(refusing_port, at(refusing().await))).await;
    for port in [port, refusing_port] {
        assert_eq!(read_all(&mut connect(port).await).await, "");
        eventually("the failure to be counted", async || {
            (metric(&platform, "failed_total", port).await >= 1.0).then_some(())
        })
        .await;
    }
    names.set("db.internal", &[[127, 0, 0, 1]], 0);
    // That it was none is remembered for a few seconds.
    eventually("the name to be found", async || {
        let mut stream = connect(port).await;
        let _ = stream.write_all(b"found").await;
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.ok().map(|_| ())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_is_allowed_is_let_in_and_no_more_than_may_be() {
    let platform = Platform::start_with(|config| {
        with_ports(config);
        config.tcp.connections_per_route = 2;
    })
    .await;
    let (port, backend) = (free_port(), echo_on("127.0.0.1:0", "").await);
    let closed_to_us = TcpRoute {
        allow: vec!["10.0.0.0/8".parse().unwrap()],
        ..to(port, at(backend))
    };
    put(&*platform.store, &closed_to_us).await;
    assert_eq!(read_all(&mut connect(port).await).await, "");
    let open_to_us = TcpRoute {
        allow: vec![
            "10.0.0.0/8".parse().unwrap(),
            "127.0.0.0/8".parse().unwrap(),
        ],
        ..closed_to_us
    };
    put(&*platform.store, &open_to_us).await;
    // A change of the route is in force for whoever comes after it.
    let mut first = eventually("the list to change", async || {
        let mut stream = connect(port).await;
        stream.write_all(b"x").await.ok()?;
        let mut heard = [0; 1];
        stream.read_exact(&mut heard).await.ok()?;
        Some(stream)
    })
    .await;
    let mut second = connect(port).await;
    assert_eq!(say_and_hear(&mut second, "y").await, "y");
    assert_eq!(read_all(&mut connect(port).await).await, "", "one too many");
    drop(second);
    eventually("a seat to become free", async || {
        let mut stream = connect(port).await;
        stream.write_all(b"z").await.ok()?;
        let mut heard = [0; 1];
        stream.read_exact(&mut heard).await.ok().map(|_| ())
    })
    .await;
    assert_eq!(say_and_hear(&mut first, "x").await, "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_is_told_the_client_that_a_trusted_proxy_names() {
    let platform = Platform::start_with(|config| {
        with_ports(config);
        config.proxies.trusted = vec!["127.0.0.0/8".parse().unwrap()];
        config.proxies.speak_proxy_protocol = true;
    })
    .await;
    let (port, backend) = (free_port(), echo_on("127.0.0.1:0", "").await);
    let told = TcpRoute {
        proxy_protocol: true,
        allow: vec!["203.0.113.0/24".parse().unwrap()],
        ..to(port, at(backend))
    };
    put(&*platform.store, &told).await;
    let mut stream = connect(port).await;
    let said = "PROXY TCP4 203.0.113.7 192.0.2.1 4000 5432\r\nhello";
    stream.write_all(said.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(
        read_all(&mut stream).await,
        format!("PROXY TCP4 203.0.113.7 127.0.0.1 4000 {port}\r\nhellobye")
    );
    let mut elsewhere = connect(port).await;
    let said = b"PROXY TCP4 198.51.100.7 192.0.2.1 4000 5432\r\nhello";
    elsewhere.write_all(said).await.unwrap();
    assert_eq!(read_all(&mut elsewhere).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apps_dynos_are_reached_as_requests_reach_them_and_its_log_tells_of_it() {
    let mut platform = Platform::start_with(with_ports).await;
    let (port, app) = (free_port(), AppId::new());
    let up = echo_on("127.0.0.1:0", "").await;
    let (up, down) = (Dyno::nowhere(up), Dyno::nowhere(refusing().await));
    put(&*platform.store, &to(port, TcpTarget::App(app))).await;
    platform.route(&route(app, "app", &[])).await;
    // While no dyno is up, it is waited for.
    let mut stream = connect(port).await;
    stream.write_all(b"early").await.unwrap();
    platform.route(&route(app, "app", &[&down, &up])).await;
    let mut heard = [0; 5];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut heard)).await;
    read.expect("no answer").unwrap();
    assert_eq!(&heard, b"early");
    for _ in 0..6 {
        let mut other = connect(port).await;
        assert_eq!(say_and_hear(&mut other, "hello").await, "hello");
    }
    drop(stream);
    let line = platform.log().await;
    assert!(
        line.starts_with(&format!(
            "at=info protocol=tcp port={port} fwd=\"127.0.0.1\" dyno=web.2 connect="
        )),
        "{line}"
    );

    let maintained = Route {
        maintenance: true,
        ..route(app, "app", &[&up])
    };
    platform.route(&maintained).await;
    assert_eq!(read_all(&mut connect(port).await).await, "");
    let crashed = Route {
        no_backend: NoBackend::Crashed,
        ..route(app, "app", &[])
    };
    drop((up, down));
    platform.route(&crashed).await;
    let gone = Txn::new().delete(key::route(app));
    gone.commit(&*platform.store).await.unwrap();
    assert_eq!(
        read_all(&mut connect(port).await).await,
        "",
        "it is no app's any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_somebody_else_has_is_reported_and_opened_once_it_is_free() {
    let platform = Platform::start_with(with_ports).await;
    let taken = StdListener::bind("127.0.0.1:0").unwrap();
    let (port, other) = (taken.local_addr().unwrap().port(), free_port());
    let backend = echo_on("127.0.0.1:0", "").await;
    put(&*platform.store, &to(port, at(backend))).await;
    eventually("the report", async || {
        let report = platform.report().await?;
        report.about.closed_ports.contains_key(&port).then_some(())
    })
    .await;
    assert_eq!(metric(&platform, "port_open", port).await, 0.0);
    drop(taken);
    // Whatever happens to another route is an occasion to try again.
    put(&*platform.store, &to(other, at(backend))).await;
    for port in [port, other] {
        let mut stream = connect(port).await;
        assert_eq!(say_and_hear(&mut stream, "hello").await, "hello");
    }
    eventually("the report", async || {
        let report = platform.report().await?;
        report.about.closed_ports.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_nonsense_hurts_no_other_route() {
    let platform = Platform::start_with(with_ports).await;
    let (port, backend) = (free_port(), echo_on("127.0.0.1:0", "").await);
    let elsewhere = to(free_port(), at(backend));
    let misfiled = Txn::new().put(&key::TCP_ROUTES, key::tcp_route(1), &elsewhere);
    misfiled.commit(&*platform.store).await.unwrap();
    put(&*platform.store, &to(port, at(backend))).await;
    let mut stream = connect(port).await;
    assert_eq!(say_and_hear(&mut stream, "hello").await, "hello");
    is_closed(elsewhere.port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_closed_and_one_that_speaks_is_not() {
    let platform = Platform::start_with(|config| {
        with_ports(config);
        config.tcp.idle = Duration::from_millis(400);
    })
    .await;
    let (port, backend) = (free_port(), echo_on("127.0.0.1:0", "").await);
    put(&*platform.store, &to(port, at(backend))).await;
    let (mut silent, mut speaking) = (connect(port).await, connect(port).await);
    let closed = tokio::spawn(async move { read_all(&mut silent).await });
    while !closed.is_finished() {
        assert_eq!(say_and_hear(&mut speaking, "a").await, "a");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(closed.await.unwrap(), "");
    assert_eq!(say_and_hear(&mut speaking, "b").await, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_stops_lets_connections_end_and_cuts_those_that_do_not() {
    let sockets = Arc::new(Loopback::default());
    let kept = sockets.clone();
    let platform = Platform::start_with(|config| {
        config.tcp.sockets = Some(kept);
        config.timeouts.drain = Duration::from_millis(1500);
    })
    .await;
    let (port, backend) = (free_port(), echo_on("127.0.0.1:0", "").await);
    put(&*platform.store, &to(port, at(backend))).await;
    let (mut ends, mut stays) = (connect(port).await, connect(port).await);
    assert_eq!(say_and_hear(&mut ends, "a").await, "a");
    assert_eq!(say_and_hear(&mut stays, "b").await, "b");
    platform.shutdown.cancel();
    let joined = tokio::spawn(platform.handle.join());
    // Whoever stops for good keeps none for another process.
    sockets.close(port);
    is_closed(port).await;
    assert_eq!(say_and_hear(&mut ends, "c").await, "c");
    ends.shutdown().await.unwrap();
    assert_eq!(read_all(&mut ends).await, "bye");
    assert_eq!(read_all(&mut stays).await, "");
    let joined = tokio::time::timeout(PATIENCE, joined).await;
    joined.expect("it does not end").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_takes_the_sockets_over_and_the_first_keeps_what_it_has() {
    hand_over(false, async |old| {
        let report = old.report().await;
        assert!(report.is_none_or(|report| report.about.leaving));
    })
    .await;
}

/// A store that is the process's own cannot be followed to the end.
#[tokio::test(flavor = "multi_thread")]
async fn the_ports_of_a_router_that_has_left_its_store_are_given_up_all_the_same() {
    hand_over(true, async |old| assert!(old.report().await.is_none())).await;
}

async fn hand_over(leaves_store: bool, look: impl AsyncFn(&Platform)) {
    let (store, sockets) = (
        Embedded::open_in_memory().unwrap(),
        Arc::new(Loopback::default()),
    );
    let (port, backend) = (free_port(), echo_on("127.0.0.1:0", "").await);
    let start = async || {
        let (dir, sockets) = (Arc::new(TempDir::new().unwrap()), sockets.clone());
        Platform::start_on(store.clone(), dir, |config| {
            config.tcp.sockets = Some(sockets)
        })
        .await
    };
    let mut old = start().await;
    put(&*store, &to(port, at(backend))).await;
    let mut kept = connect(port).await;
    assert_eq!(say_and_hear(&mut kept, "old").await, "old");

    let mut new = start().await;
    new.handle.serving().await.unwrap();
    eventually("it to open the port", async || {
        (metric(&new, "port_open", port).await == 1.0).then_some(())
    })
    .await;
    // Whoever connects in between is refused by nobody.
    let connecting = tokio::spawn(async move {
        for _ in 0..200 {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            assert_eq!(say_and_hear(&mut stream, "x").await, "x");
        }
    });
    if leaves_store {
        old.handle.give_up_disk();
        old.handle.leave_store().await;
    }
    let handed_over = tokio::time::timeout(PATIENCE, old.handle.hand_over()).await;
    handed_over.expect("it waits for the connection");
    connecting.await.unwrap();
    assert_eq!(say_and_hear(&mut kept, "old").await, "old");
    look(&old).await;

    // Now it is the new one's alone: it can close it.
    take_away(&*store, port).await;
    is_closed(port).await;
    assert_eq!(say_and_hear(&mut kept, "old").await, "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_router_opens_its_ports_while_the_store_is_away() {
    let (store, dir) = (
        Embedded::open_in_memory().unwrap(),
        Arc::new(TempDir::new().unwrap()),
    );
    let (port, backend) = (free_port(), echo_on("127.0.0.1:0", "").await);
    let first = Platform::start_on(store, dir.clone(), with_ports).await;
    put(&*first.store, &to(port, at(backend))).await;
    let mut stream = connect(port).await;
    assert_eq!(say_and_hear(&mut stream, "hello").await, "hello");
    drop(stream);
    first.shutdown.cancel();
    first.handle.join().await.unwrap();

    let away = Arc::new(super::restart::Away);
    let _second = Platform::start_on(away, dir, with_ports).await;
    let mut stream = connect(port).await;
    assert_eq!(say_and_hear(&mut stream, "again").await, "again");
}
