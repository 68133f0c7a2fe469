//! From the embedded store to etcd: all of it, whatever happens on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rand::Rng as _;
use store::migrate::{self, MigrateError, Migrated, Migration, NotReady};
use store::{Embedded, Key, Op, Store, key};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::backend::{PATIENCE, done, put};
use super::etcd_server::{EtcdServer, connect};

/// Set for a copy of this binary that is to be killed: the source's directory, and the target's endpoint.
const DIR: &str = "STORE_MIGRATE_DIR";
const ENDPOINT: &str = "STORE_MIGRATE_ENDPOINT";
const KEYS: usize = 3000;

fn migration(from: &str) -> Migration {
    Migration {
        from: from.to_owned(),
        to: "etcd://target".to_owned(),
    }
}

async fn fill(store: &dyn Store, keys: usize) {
    for first in (0..keys).step_by(100) {
        let ops =
            (first..keys.min(first + 100)).map(|n| put(&format!("{n:05}"), &format!("value {n}")));
        done(store, ops.collect()).await;
    }
    let large = Op::Put {
        key: super::backend::key("large"),
        value: vec![b'x'; 1_400_000].into(),
        lease: None,
    };
    done(store, vec![large]).await;
}

/// Without what is leased, and without what migrations themselves keep.
async fn contents(store: &dyn Store) -> BTreeMap<Key, bytes::Bytes> {
    let entries = store.list(&Key::root()).await.unwrap().entries;
    let is_ours = |key: &Key| !key.starts_with(&key::alive()) && !key::MIGRATIONS.holds(key);
    entries
        .into_iter()
        .filter(|entry| is_ours(&entry.key))
        .map(|entry| (entry.key, entry.value))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_but_leases_moves_and_the_source_is_no_longer_used() {
    let etcd = EtcdServer::start().await;
    let (source, target) = (Embedded::open_in_memory().unwrap(), etcd.connect().await);
    fill(&*source, 300).await;
    let lease = source.lease(Duration::from_secs(60)).await.unwrap();
    let alive = Key::from_text("/paas/v1/alive/leader/x");
    let leased = Op::Put {
        key: alive.clone(),
        value: "me".into(),
        lease: Some(lease.id()),
    };
    done(&*source, vec![leased]).await;
    migrate::check_ready(&*source).await.unwrap();

    let mut told = Vec::new();
    let migrated = migrate::migrate(&*source, &*target, &migration("here"), |written, all| {
        told.push((written, all));
    })
    .await
    .unwrap();
    assert_eq!(
        migrated,
        Migrated {
            keys: 301,
            written: 301
        }
    );
    assert_eq!(told.last(), Some(&(301, 301)));
    assert_eq!(contents(&*target).await, contents(&*source).await);
    assert!(target.get(&alive).await.unwrap().is_none());
    migrate::check_ready(&*target).await.unwrap();
    let refused = migrate::check_ready(&*source).await;
    assert!(matches!(refused, Err(NotReady::Moved { to }) if to == "etcd://target"));

    let again = migrate::migrate(&*source, &*target, &migration("here"), |_, _| {}).await;
    assert_eq!(again.unwrap().written, 0, "it is all there already");
    let was = migrate::cancel(&*source).await.unwrap();
    assert_eq!(was.as_deref(), Some("etcd://target"));
    migrate::check_ready(&*source).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_holds_something_else_is_refused_and_left_as_it_is() {
    let etcd = EtcdServer::start().await;
    let (source, target) = (Embedded::open_in_memory().unwrap(), etcd.connect().await);
    fill(&*source, 10).await;
    done(&*target, vec![put("somebody's", "1")]).await;
    let before = contents(&*target).await;
    let refused = migrate::migrate(&*source, &*target, &migration("here"), |_, _| {}).await;
    assert!(
        matches!(refused, Err(MigrateError::TargetInUse { keys: 1 })),
        "{refused:?}"
    );
    assert_eq!(contents(&*target).await, before);
    migrate::check_ready(&*source).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_copy_is_not_used_and_only_its_own_source_goes_on_with_it() {
    let etcd = EtcdServer::start().await;
    let (source, target) = (Embedded::open_in_memory().unwrap(), etcd.connect().await);
    fill(&*source, 300).await;
    let mark = key::MIGRATIONS.encode(&key::incoming(), &migration("here"));
    let mut ops = vec![put("00001", "old"), put("gone since", "x")];
    ops.push(Op::Put {
        key: key::incoming(),
        value: mark.unwrap(),
        lease: None,
    });
    done(&*target, ops).await;

    let refused = migrate::check_ready(&*target).await;
    assert!(matches!(refused, Err(NotReady::Incoming)), "{refused:?}");
    let other = migrate::migrate(&*source, &*target, &migration("there"), |_, _| {}).await;
    assert!(
        matches!(&other, Err(MigrateError::TargetTaken { from }) if from == "here"),
        "{other:?}"
    );
    migrate::migrate(&*source, &*target, &migration("here"), |_, _| {})
        .await
        .unwrap();
    assert_eq!(contents(&*target).await, contents(&*source).await);
    migrate::check_ready(&*target).await.unwrap();
}

/// With a directory in its environment this is the process that gets killed; without, it shows that it works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_migration_runs_and_tells() {
    let (own_dir, own_etcd) = (tempfile::tempdir().unwrap(), EtcdServer::start().await);
    let dir = std::env::var_os(DIR).unwrap_or_else(|| own_dir.path().into());
    let endpoint = std::env::var(ENDPOINT).unwrap_or_else(|_| own_etcd.endpoint());
    let source = Embedded::open(Path::new(&dir)).unwrap();
    if source.list(&Key::root()).await.unwrap().entries.is_empty() {
        fill(&*source, 200).await;
    }
    let target = connect(&endpoint).await;
    let migration = migration("here");
    let migrated = migrate::migrate(&*source, &*target, &migration, |written, _| {
        println!("\nwritten {written} .");
    });
    assert!(migrated.await.unwrap().keys > 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_was_killed_goes_on_and_ends_well() {
    let (dir, etcd) = (tempfile::tempdir().unwrap(), EtcdServer::start().await);
    {
        let source = Embedded::open(dir.path()).unwrap();
        fill(&*source, KEYS).await;
        source.close().await;
    }
    let target = etcd.connect().await;
    let mut there = 0;
    for _ in 0..3 {
        kill_while_it_copies(dir.path(), &etcd.endpoint()).await;
        let refused = migrate::check_ready(&*target).await;
        assert!(matches!(refused, Err(NotReady::Incoming)), "{refused:?}");
        let now = contents(&*target).await.len();
        assert!(now > there, "each goes on where the last one was");
        there = now;
    }
    let source = Embedded::open(dir.path()).unwrap();
    let migrated = migrate::migrate(&*source, &*target, &migration("here"), |_, _| {})
        .await
        .unwrap();
    assert_eq!(migrated.keys, KEYS + 1);
    assert_eq!(migrated.written, KEYS + 1 - there);
    assert_eq!(contents(&*target).await, contents(&*source).await);
}

/// Ends it before it can have ended by itself.
async fn kill_while_it_copies(dir: &Path, endpoint: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "it::migrate::the_migration_runs_and_tells",
            "--exact",
            "--nocapture",
        ])
        .env(DIR, dir)
        .env(ENDPOINT, endpoint)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut left = rand::rng().random_range(1..4);
    let reading = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            left -= i32::from(line.starts_with("written "));
            if left == 0 {
                child.start_kill().unwrap();
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("it copies");
    assert!(!child.wait().await.unwrap().success(), "it was killed");
}
