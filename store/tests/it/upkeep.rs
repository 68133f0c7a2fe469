//! etcd stays small and writable, and its members are found wherever they are.

use std::time::Duration;

use store::etcd::upkeep::{self, Intervals};
use store::status::{Alarm, BackendStatus, MemberStatus};
use store::{Commit, Etcd, EtcdConfig, Op, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backend::{PATIENCE, done, eventually, get, key, put};
use super::etcd_server::EtcdServer;

const QUICK: Intervals = Intervals {
    look: Duration::from_millis(100),
    history: Duration::from_millis(300),
};

async fn member(store: &Etcd) -> MemberStatus {
    let BackendStatus::Etcd { members } = store.status().await.unwrap().backend else {
        panic!("it is etcd");
    };
    members.into_iter().next().unwrap()
}

fn large(name: &str, byte: u8) -> Commit {
    Commit {
        compares: vec![],
        ops: vec![Op::Put {
            key: key(name),
            value: vec![byte; 1_000_000].into(),
            lease: None,
        }],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_etcd_says_so_at_once_and_takes_writes_again_when_looked_after() {
    let etcd = EtcdServer::start_with_quota(16 << 20).await;
    let store = etcd.connect().await;
    done(&*store, vec![put("kept", "1")]).await;
    // The same few keys again and again: it is the history that fills it.
    let mut refused = None;
    for round in 0..100_u8 {
        let began = Instant::now();
        if let Err(error) = store.commit(large(&format!("{}", round % 2), round)).await {
            refused = Some((error, began.elapsed()));
            break;
        }
    }
    let (error, took) = refused.expect("it is full");
    assert!(took < Duration::from_secs(3), "{took:?}");
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("out of space"), "{why}");
    let full = member(&store).await;
    assert_eq!(full.alarms, [Alarm::NoSpace]);
    assert!(get(&*store, "kept").await.is_some(), "reads go on");

    // Nobody can be elected while it is full.
    let stop = CancellationToken::new();
    let tidier = tokio::spawn(upkeep::run(
        store.clone(),
        "me".to_owned(),
        QUICK,
        stop.clone(),
    ));
    eventually("it takes writes", async || {
        store.commit(large("0", 1)).await.is_ok()
    })
    .await;
    let after = member(&store).await;
    assert_eq!(after.alarms, []);
    assert!(after.state.unwrap().file_bytes < full.state.unwrap().file_bytes / 2);
    assert_eq!(get(&*store, "kept").await.unwrap().0, "1");
    stop.cancel();
    tidier.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_does_not_grow_for_ever() {
    let etcd = EtcdServer::start().await;
    let store = etcd.connect().await;
    let first = done(&*store, vec![put("a", "first")]).await;
    let stop = CancellationToken::new();
    let two = ["one", "two"].map(|name| {
        tokio::spawn(upkeep::run(
            store.clone(),
            name.to_owned(),
            QUICK,
            stop.clone(),
        ))
    });
    let mut client = etcd.client().await;
    let options = etcd_client::GetOptions::new().with_revision(i64::try_from(first).unwrap());
    eventually("what it was at first is forgotten", async || {
        done(&*store, vec![put("a", "later")]).await;
        let then = client.get("/paas/v1/test/a", Some(options.clone())).await;
        then.is_err_and(|error| error.to_string().contains("compacted"))
    })
    .await;
    assert_eq!(get(&*store, "a").await.unwrap().0, "later");
    stop.cancel();
    for tidier in two {
        tidier.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_the_configuration_does_not_know_are_remembered() {
    let (etcd, dir) = (EtcdServer::start().await, tempfile::tempdir().unwrap());
    let file = dir.path().join("etcd-members");
    let proxy = super::proxy::Proxy::start(etcd.port()).await;
    let config = |endpoint: String| EtcdConfig {
        endpoints: vec![endpoint],
        user: None,
        tls: None,
        members_file: Some(file.clone()),
    };
    // The proxy is the member that the configuration knows, and that is replaced.
    let mut store = None;
    eventually("etcd answers", async || {
        store = Etcd::connect(&config(proxy.endpoint())).await.ok();
        store.is_some()
    })
    .await;
    let store = store.unwrap();
    let written = format!("{}\n", etcd.endpoint());
    eventually("it asks who the members are", async || {
        std::fs::read_to_string(&file).is_ok_and(|text| text == written)
    })
    .await;
    proxy.set(super::proxy::Network::Cut);
    eventually("it goes on with one that it was told of", async || {
        store.commit(large("a", 1)).await.is_ok()
    })
    .await;
    drop(store);
    let stale = config("http://127.0.0.1:1".to_owned());
    let later = tokio::time::timeout(PATIENCE, Etcd::connect(&stale));
    let later = later.await.unwrap().unwrap();
    assert!(get(&*later, "a").await.is_some(), "after a restart too");
}
