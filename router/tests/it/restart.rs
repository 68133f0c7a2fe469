//! A router that stops, and one that starts again, with or without a store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::Request;
use http_body_util::Full;
use model::{AppId, Revision};
use store::embedded::Embedded;
use store::{Commit, Committed, Entry, Key, Lease, Listing, Store, StoreError, Watch};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::support::*;

/// A store that is away.
#[derive(Debug)]
pub(super) struct Away;

fn away<T>() -> Result<T, StoreError> {
    Err(StoreError::unavailable("anything", "it is away"))
}

#[async_trait]
impl Store for Away {
    async fn get(&self, _: &Key) -> Result<Option<Entry>, StoreError> {
        away()
    }
    async fn list(&self, _: &Key) -> Result<Listing, StoreError> {
        away()
    }
    async fn commit(&self, _: Commit) -> Result<Committed, StoreError> {
        away()
    }
    async fn watch(&self, _: &Key, _: Revision) -> Result<Watch, StoreError> {
        away()
    }
    async fn lease(&self, _: Duration) -> Result<Arc<dyn Lease>, StoreError> {
        away()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_router_serves_by_its_last_table_while_the_store_is_away() {
    let dir = Arc::new(TempDir::new().unwrap());
    let first = Platform::start_on(Embedded::open_in_memory().unwrap(), dir.clone(), |_| {}).await;
    let (one, old, new) = (
        Dyno::saying("one").await,
        Dyno::saying("old").await,
        Dyno::saying("new").await,
    );
    let app = AppId::new();
    first.route(&route(AppId::new(), "one", &[&one])).await;
    first.route(&route(app, "two", &[&old])).await;
    first.route(&route(app, "two", &[&new])).await;
    // Not stopped: killed, as far as its files are concerned. What was acknowledged is kept.
    let again = Platform::start_on(Arc::new(Away), dir, |_| {}).await;
    assert_eq!(text(&again.get("one.paas.test", "/").await), "one");
    assert_eq!(text(&again.get("two.paas.test", "/").await), "new");
    assert_eq!(again.get("three.paas.test", "/").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_file_costs_one_app() {
    let dir = Arc::new(TempDir::new().unwrap());
    let first = Platform::start_on(Embedded::open_in_memory().unwrap(), dir.clone(), |_| {}).await;
    let (dyno, bad) = (Dyno::saying("one").await, AppId::new());
    first.route(&route(AppId::new(), "one", &[&dyno])).await;
    first.route(&route(bad, "two", &[&dyno])).await;
    std::fs::write(dir.path().join("table/routes").join(bad.to_string()), b"").unwrap();
    let again = Platform::start_on(Arc::new(Away), dir, |_| {}).await;
    assert_eq!(text(&again.get("one.paas.test", "/").await), "one");
    assert_eq!(again.get("two.paas.test", "/").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_router_finishes_what_it_began_and_takes_its_report_with_it() {
    let platform = Platform::start().await;
    let dyno = Dyno::http(|_| async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        say("done")
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut idle = http1(platform.http).await;
    let mut http1 = http1(platform.http).await;
    let mut http2 = platform.http2("app.paas.test").await;
    let plain = Request::get("/")
        .header("host", "app.paas.test")
        .body(Full::default())
        .unwrap();
    let secure = Request::get("https://app.paas.test/")
        .body(Full::default())
        .unwrap();
    // It has been heard of: who has said nothing yet is known to the kernel alone, for a second.
    collect(idle.send_request(plain.clone()).await.unwrap()).await;
    let began = Instant::now();
    let (first, second) = (
        tokio::spawn(http1.send_request(plain)),
        tokio::spawn(http2.send_request(secure)),
    );
    eventually("the requests to arrive", async || {
        (dyno.requests() == 3).then_some(())
    })
    .await;
    platform.shutdown.cancel();
    for answer in [first, second] {
        assert_eq!(text(&collect(answer.await.unwrap().unwrap()).await), "done");
    }
    let (store, id) = (platform.store.clone(), platform.id);
    platform.handle.join().await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "nothing was waited for in vain"
    );
    assert!(
        store::key::ALIVE_ROUTERS
            .get(&*store, &store::key::alive_router(id))
            .await
            .unwrap()
            .is_none()
    );
    assert!(TcpStream::connect(platform.http).await.is_err());
    assert!(idle.is_closed());
}

/// The kernel has not told the old one of them yet.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_come_and_said_nothing_is_heard_by_the_successor() {
    let (store, dir) = (Embedded::open_in_memory().unwrap(), TempDir::new().unwrap());
    let (mut platform, sockets) =
        Platform::start_to_be_succeeded(store, Arc::new(dir), |_| {}).await;
    let dyno = Dyno::saying("here").await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(TcpStream::connect(platform.http).await.unwrap());
    }
    let mut successor = platform.successor(sockets);
    successor.serving().await.unwrap();
    tokio::time::timeout(PATIENCE, platform.handle.hand_over())
        .await
        .expect("it waits for nobody");
    for client in &mut clients {
        let ask = "GET / HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\n\r\n";
        let answer = converse(client, ask).await;
        assert!(answer.ends_with("here"), "{answer}");
    }
    platform.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_in_time_is_cut() {
    let mut platform =
        Platform::start_with(|config| config.timeouts.drain = Duration::from_millis(200)).await;
    let dyno = Dyno::http(|_| std::future::pending()).await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut client = http1(platform.http).await;
    let request = Request::get("/")
        .header("host", "app.paas.test")
        .body(Full::default())
        .unwrap();
    let asking = tokio::spawn(client.send_request(request));
    eventually("the request to arrive", async || {
        (dyno.requests() == 1).then_some(())
    })
    .await;
    platform.shutdown.cancel();
    let log = platform.log().await;
    assert!(
        log.starts_with("at=error code=H24 desc=\"Forced close\""),
        "{log}"
    );
    platform.handle.join().await.unwrap();
    assert!(asking.await.unwrap().is_err());
}
