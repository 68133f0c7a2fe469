//! Elections: exactly one leads, and one that no longer does cannot write.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use store::{Committed, Embedded, Leadership, Store, Txn, key};

use super::backend::{PATIENCE, key as name};
use super::etcd_server::EtcdServer;
use super::outage::Outage;

async fn lead(store: Arc<dyn Store>, candidate: &str) -> Leadership {
    let campaign = store::leader::campaign(&store, "test", candidate);
    tokio::time::timeout(PATIENCE, campaign)
        .await
        .expect("somebody leads")
}

async fn guarded(store: &dyn Store, leader: &Leadership, value: &str) -> Committed {
    let txn = leader.guard(Txn::new().put(
        &key::LEADERS,
        name("written-by-the-leader"),
        &value.to_owned(),
    ));
    txn.commit(store).await.unwrap()
}

/// Runs many candidates, each of whom resigns once it led; nobody else may lead meanwhile.
async fn each_leads_in_turn(store: Arc<dyn Store>) {
    let names = ["a", "b", "c", "d", "e"];
    let mut campaigns: FuturesUnordered<_> = names
        .iter()
        .map(|candidate| {
            let store = store.clone();
            async move {
                (
                    candidate,
                    store::leader::campaign(&store, "test", candidate).await,
                )
            }
        })
        .collect();
    let mut led = Vec::new();
    while led.len() < names.len() {
        let next = tokio::time::timeout(PATIENCE, campaigns.next())
            .await
            .expect("somebody leads");
        let (candidate, leader) = next.unwrap();
        let record = key::LEADERS
            .get(&*store, &key::leader("test"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(record.value, *candidate);
        let second = tokio::time::timeout(Duration::from_millis(100), campaigns.next()).await;
        assert!(!matches!(second, Ok(Some(_))), "two lead");
        assert!(matches!(
            guarded(&*store, &leader, candidate).await,
            Committed::Done(_)
        ));
        led.push(*candidate);
        leader.resign().await;
    }
    led.sort_unstable();
    assert_eq!(led, names);
}

#[tokio::test]
async fn exactly_one_of_many_leads_and_hands_over_when_it_resigns() {
    each_leads_in_turn(Embedded::open_in_memory().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_one_of_many_leads_on_etcd_too() {
    let etcd = EtcdServer::start().await;
    each_leads_in_turn(etcd.connect().await).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_knows_it_before_another_leads_and_cannot_write() {
    let store = Embedded::open_in_memory().unwrap();
    let outage = Outage::of(store.clone());
    let first = lead(outage.clone(), "first").await;
    assert!(matches!(
        guarded(&*store, &first, "first").await,
        Committed::Done(_)
    ));

    // Kept alive for much longer than its lease, it leads on.
    tokio::time::sleep(store::leader::TTL * 5).await;
    assert!(!first.lost().is_cancelled());

    outage.begin();
    let second = lead(store.clone(), "second").await;
    assert!(first.lost().is_cancelled(), "it was told first");
    assert_eq!(guarded(&*store, &first, "late").await, Committed::Conflict);
    assert!(matches!(
        guarded(&*store, &second, "second").await,
        Committed::Done(_)
    ));
}

#[tokio::test]
async fn another_term_voids_what_was_guarded_in_the_one_before() {
    let store = Embedded::open_in_memory().unwrap();
    let mut leader = lead(store.clone(), "first").await;
    let late = leader.guard(Txn::new().put(&key::LEADERS, key::leader("scratch"), &"late".into()));
    let renewed = leader.renew(&*store).await.unwrap();
    assert!(renewed.is_some());
    assert_eq!(late.commit(&*store).await.unwrap(), Committed::Conflict);
    assert!(matches!(
        guarded(&*store, &leader, "of the new term").await,
        Committed::Done(_)
    ));
    leader.lost().cancel();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_dropped_without_a_word_is_followed_when_its_lease_lapses() {
    let store = Embedded::open_in_memory().unwrap();
    let first = lead(store.clone(), "first").await;
    let began = tokio::time::Instant::now();
    drop(first);
    lead(store.clone(), "second").await;
    assert!(
        began.elapsed() <= store::leader::TTL + Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn elections_whose_names_begin_alike_are_strangers() {
    let store: Arc<dyn Store> = Embedded::open_in_memory().unwrap();
    let _other = store::leader::campaign(&store, "test-of-another-kind", "other").await;
    let first = lead(store.clone(), "first").await;
    let waiting = tokio::spawn(lead(store.clone(), "second"));
    first.resign().await;
    let second = tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(
        guarded(&*store, &second, "second").await,
        Committed::Done(_)
    ));
}
