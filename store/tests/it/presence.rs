//! Presence: a record that is there exactly as long as whoever wrote it.

use std::sync::Arc;
use std::time::Duration;

use store::{Embedded, Key, Presence, Store, key};
use tokio::time::Instant;

use super::backend::{PATIENCE, eventually};
use super::etcd_server::EtcdServer;
use super::outage::Outage;

fn place() -> Key {
    key::leader("presence-test")
}

async fn record(store: &dyn Store) -> Option<String> {
    key::LEADERS
        .get(store, &place())
        .await
        .unwrap()
        .map(|found| found.value)
}

fn start(store: Arc<dyn Store>, value: &str) -> Presence<String> {
    let ttl = store::presence::TTL;
    Presence::start(store, &key::LEADERS, place(), value.to_owned(), ttl)
}

#[tokio::test]
async fn the_record_is_there_is_updated_and_goes_when_stopped() {
    let store = Embedded::open_in_memory().unwrap();
    let presence = start(store.clone(), "one");
    eventually("it is there", async || {
        record(&*store).await.as_deref() == Some("one")
    })
    .await;
    presence.update(|value| *value = "two".to_owned());
    eventually("it is updated", async || {
        record(&*store).await.as_deref() == Some("two")
    })
    .await;
    for i in 0..100 {
        presence.update(|value| *value = i.to_string());
    }
    eventually("the last of many updates wins", async || {
        record(&*store).await.as_deref() == Some("99")
    })
    .await;
    presence.stop().await;
    assert_eq!(record(&*store).await, None, "gone at once");
}

#[tokio::test]
async fn the_record_of_one_who_means_to_be_back_stays_for_a_while() {
    let store = Embedded::open_in_memory().unwrap();
    let presence = start(store.clone(), "one");
    eventually("it is there", async || record(&*store).await.is_some()).await;
    presence.linger(Duration::from_secs(2)).await;
    assert_eq!(record(&*store).await.as_deref(), Some("one"));
    eventually("it is gone", async || record(&*store).await.is_none()).await;

    start(store.clone(), "two")
        .linger(Duration::from_secs(60))
        .await;
    let back = start(store.clone(), "three");
    eventually("it is taken over", async || {
        record(&*store).await.as_deref() == Some("three")
    })
    .await;
    back.stop().await;
    assert_eq!(record(&*store).await, None);
}

#[tokio::test]
async fn the_record_goes_when_its_holder_is_dropped() {
    let store = Embedded::open_in_memory().unwrap();
    let presence = start(store.clone(), "one");
    eventually("it is there", async || record(&*store).await.is_some()).await;
    drop(presence);
    eventually("it is gone", async || record(&*store).await.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn the_record_stays_for_much_longer_than_its_lease_would() {
    let store = Embedded::open_in_memory().unwrap();
    let _presence = start(store.clone(), "one");
    eventually("it is there", async || record(&*store).await.is_some()).await;
    let until = Instant::now() + store::presence::TTL * 20;
    while Instant::now() < until {
        tokio::time::sleep(store::presence::TTL / 10).await;
        assert!(record(&*store).await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn the_record_lapses_in_an_outage_and_comes_back_after_it_with_the_newest_value() {
    let store = Embedded::open_in_memory().unwrap();
    let outage = Outage::of(store.clone());
    let presence = start(outage.clone(), "one");
    eventually("it is there", async || record(&*store).await.is_some()).await;
    outage.begin();
    presence.update(|value| *value = "two".to_owned());
    let began = Instant::now();
    eventually("it lapses", async || record(&*store).await.is_none()).await;
    assert!(
        began.elapsed() <= store::presence::TTL + store::presence::TTL / 10,
        "{:?}",
        began.elapsed()
    );
    outage.end();
    eventually("it comes back", async || {
        record(&*store).await.as_deref() == Some("two")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_survives_a_restart_of_etcd() {
    let mut etcd = EtcdServer::start().await;
    let store = etcd.connect().await;
    let presence = start(store.clone(), "one");
    eventually("it is there", async || record(&*store).await.is_some()).await;
    etcd.kill();
    presence.update(|value| *value = "two".to_owned());
    etcd.start_again().await;
    let written = async {
        while !matches!(store.get(&place()).await, Ok(Some(entry)) if entry.value == "\"two\"") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, written)
        .await
        .expect("it is written after the restart");
    presence.stop().await;
    assert_eq!(record(&*store).await, None);
}
