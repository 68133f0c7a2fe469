//! Kill -9: what was acknowledged is there afterwards, whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use store::{Commit, Committed, Embedded, Store};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::backend::{PATIENCE, done, eventually, get, names, put, put_leased};
use super::etcd_server::EtcdServer;

/// Set for a copy of this binary that is to be killed.
const DIR: &str = "STORE_CRASH_DIR";
const WRITERS: usize = 4;
const ROUNDS: usize = 10;

/// Each number in a commit of its own that writes two keys, and the acknowledgement told to `tell`.
async fn write(store: &dyn Store, writer: usize, count: u64, tell: impl Fn(u64, u64)) {
    let last = format!("last/{writer}");
    let begin: u64 = get(store, &last)
        .await
        .map_or(0, |(number, _)| number.parse().unwrap());
    for number in begin + 1..=begin.saturating_add(count) {
        let text = number.to_string();
        let revision = done(
            store,
            vec![
                put(&last, &text),
                put(&format!("all/{writer}/{number:08}"), &text),
            ],
        )
        .await;
        tell(number, revision);
    }
}

/// Every writer's numbers are there without a gap; answers with the last of each.
async fn check_whole(store: &dyn Store) -> BTreeMap<usize, u64> {
    let mut lasts = BTreeMap::new();
    for writer in 0..WRITERS {
        let last = get(store, &format!("last/{writer}")).await;
        let last = last.map_or(0, |(number, _)| number.parse().unwrap());
        let found = names(store, &format!("all/{writer}/")).await;
        let expected: Vec<_> = (1..=last)
            .map(|number| format!("all/{writer}/{number:08}"))
            .collect();
        assert_eq!(
            found, expected,
            "all of every commit is there, or nothing of it"
        );
        lasts.insert(writer, last);
    }
    lasts
}

/// With a directory in its environment this is the process that gets killed; without, it shows that it works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writers_write_and_tell() {
    let told = std::env::var_os(DIR);
    let dir = tempfile::tempdir().unwrap();
    let (path, count) = match &told {
        Some(path) => (Path::new(path), u64::MAX),
        None => (dir.path(), 5),
    };
    let store = Embedded::open(path).unwrap();
    let lease = store.lease(Duration::from_secs(60)).await.unwrap();
    done(&*store, vec![put_leased("leased", "x", lease.id())]).await;
    let writers = (0..WRITERS).map(|writer| {
        let tell =
            move |number, revision| println!("\nacknowledged {writer} {number} {revision} .");
        write(&*store, writer, count, tell)
    });
    futures::future::join_all(writers).await;
    assert_eq!(
        check_whole(&*store).await.into_values().collect::<Vec<_>>(),
        [5; WRITERS]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_store_keeps_what_it_acknowledged_when_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut revision = 0;
    for round in 0..ROUNDS {
        let acknowledged = kill_while_it_writes(dir.path()).await;
        let store = Embedded::open(dir.path()).unwrap();
        let lasts = check_whole(&*store).await;
        for (writer, (number, at)) in &acknowledged {
            assert!(
                lasts[writer] >= *number,
                "round {round}: writer {writer} lost {number}, has {}",
                lasts[writer]
            );
            let (_, found) = get(&*store, &format!("all/{writer}/{number:08}"))
                .await
                .unwrap();
            assert_eq!(found, *at, "as acknowledged");
            revision = revision.max(*at);
        }
        assert!(store.list(&super::backend::key("")).await.unwrap().revision >= revision);
        assert_eq!(
            get(&*store, "leased").await,
            None,
            "the lease's holder is dead"
        );
        store.close().await;
    }
}

/// The last acknowledgement of each writer: its number and revision.
async fn kill_while_it_writes(dir: &Path) -> BTreeMap<usize, (u64, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "it::crash::the_writers_write_and_tell",
            "--exact",
            "--nocapture",
        ])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut left, mut acknowledged) = (rand::rng().random_range(10..150), BTreeMap::new());
    let reading = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let words: Vec<_> = line.split(' ').collect();
            // The full stop shows that the kill did not cut the line short.
            if let ["acknowledged", writer, number, revision, "."] = words[..] {
                let writer: usize = writer.parse().unwrap();
                acknowledged.insert(writer, (number.parse().unwrap(), revision.parse().unwrap()));
                left -= 1;
                if left == 0 {
                    child.start_kill().unwrap();
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("the writers write");
    assert!(!child.wait().await.unwrap().success(), "it was killed");
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn etcd_keeps_what_it_acknowledged_when_it_is_killed() {
    let mut etcd = EtcdServer::start().await;
    let store = etcd.connect().await;
    let mut kept = 0;
    for round in 0..3 {
        let acknowledged = Arc::new(std::sync::Mutex::new(0_u64));
        let writer = {
            let (store, acknowledged) = (store.clone(), acknowledged.clone());
            tokio::spawn(async move {
                for number in kept + 1.. {
                    let text = u64::to_string(&number);
                    let commit = Commit {
                        compares: vec![],
                        ops: vec![put("last", &text)],
                    };
                    match store.commit(commit).await {
                        Ok(Committed::Done(_)) => *acknowledged.lock().unwrap() = number,
                        Ok(Committed::Conflict) => panic!("nothing was compared"),
                        Err(_) => return,
                    }
                }
            })
        };
        let enough = kept + rand::rng().random_range(20..100);
        eventually("the writer writes", async || {
            *acknowledged.lock().unwrap() > enough
        })
        .await;
        etcd.kill();
        // Stops at its first failure, which comes within a call's deadline.
        tokio::time::timeout(PATIENCE, writer)
            .await
            .unwrap()
            .unwrap();
        etcd.start_again().await;
        let mut found = None;
        eventually("etcd answers again", async || {
            found = store.get(&super::backend::key("last")).await.ok();
            found.is_some()
        })
        .await;
        let entry = found.flatten().unwrap();
        let last: u64 = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
        let acknowledged = *acknowledged.lock().unwrap();
        assert!(
            last >= acknowledged,
            "round {round}: {acknowledged} was acknowledged, {last} is there"
        );
        kept = last;
    }
}
