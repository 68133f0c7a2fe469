//! What the real scheduler, with hosts that do as agents and routers do, writes when dynos are switched, and how long it
//! takes until all have seen it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use controller_api::LogSink;
use model::{AppId, Dyno, Revision};
use scheduler::{Config, Rules};
use store::{Committed, Key, Store, Txn, key};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::Platform;
use crate::board::Board;
use crate::fleet::{Fleet, NODES_PER_RACK, node_id};

pub(crate) const HEADER: &str = "| hosts | switch | dynos | commits | a dyno | bytes each | routers have left the lost | over after | what was written |";

/// Longer than any timer of the planner's that runs meanwhile.
const QUIET: Duration = Duration::from_secs(6);
const QUIET_WITHIN: Duration = Duration::from_secs(240);

pub(crate) async fn measure(platform: &Platform) {
    let Platform {
        fleet,
        board,
        hosts,
        ..
    } = platform;
    let store: Arc<dyn Store> = platform.cluster.connect().await;
    let shutdown = CancellationToken::new();
    let mut leading = JoinSet::new();
    let config = Config {
        candidate: "measured".to_owned(),
        // Nothing moves but what is switched.
        rules: Rules {
            moves_at_once: 0,
            ..Rules::for_domain("paas.test")
        },
    };
    leading.spawn(scheduler::run(
        config,
        store.clone(),
        LogSink::discard(),
        shutdown.clone(),
    ));
    let switches = Switches {
        board,
        hosts: hosts.connections.len(),
        store: &store,
    };
    switches.quiet().await;
    let mut apps = apps(fleet).into_values();
    for (what, count) in [("one dyno restarted", 1), ("an app restarted", usize::MAX)] {
        let dynos: Vec<Dyno> = apps.next().unwrap().into_iter().take(count).collect();
        println!("{}", switches.restart(what, &dynos).await);
    }
    let nodes = fleet
        .entries
        .iter()
        .filter(|entry| key::NODES.holds(&entry.key));
    let rack = NODES_PER_RACK.min(nodes.count() / 3);
    hosts.lose((0..rack).map(node_id));
    println!("{}", switches.lose(rack).await);
    shutdown.cancel();
    while leading.join_next().await.is_some() {}
}

fn apps(fleet: &Fleet) -> BTreeMap<AppId, Vec<Dyno>> {
    let mut apps = BTreeMap::<_, Vec<Dyno>>::new();
    for dyno in fleet.dynos() {
        apps.entry(dyno.app).or_default().push(dyno);
    }
    apps
}

struct Switches<'a> {
    board: &'a Board,
    hosts: usize,
    store: &'a Arc<dyn Store>,
}

impl Switches<'_> {
    /// As the controller orders it.
    async fn restart(&self, what: &str, dynos: &[Dyno]) -> String {
        let (before, began) = (self.revision().await, Instant::now());
        let mut txn = Txn::new();
        for dyno in dynos {
            let dyno = Dyno {
                replace: true,
                ..dyno.clone()
            };
            txn = txn.put(&key::DYNOS, key::dyno(dyno.app, dyno.id), &dyno);
        }
        self.must(txn).await;
        self.row(what, dynos.len(), before, began).await
    }

    /// The leases of these nodes lapse.
    async fn lose(&self, nodes: usize) -> String {
        let is_lost = |dyno: &Dyno| (0..nodes).any(|index| dyno.node == Some(node_id(index)));
        let dynos = key::DYNOS.all(&**self.store).await.unwrap();
        let dynos = dynos.iter().filter(|dyno| is_lost(&dyno.value)).count();
        let (before, began) = (self.revision().await, Instant::now());
        let gone = (0..nodes).map(|index| Txn::new().delete(key::alive_node(node_id(index))));
        futures::future::join_all(gone.map(|txn| self.must(txn))).await;
        self.row("a rack lost", dynos, before, began).await
    }

    async fn row(&self, what: &str, dynos: usize, before: Revision, began: Instant) -> String {
        let end = self.quiet().await;
        let heard = self.board.heard_after(before);
        let bytes: usize = heard.iter().map(|heard| heard.bytes).sum();
        let mut kinds = BTreeMap::<&str, usize>::new();
        for heard in &heard {
            *kinds.entry(&heard.about).or_default() += 1;
        }
        let kinds: Vec<String> = kinds
            .iter()
            .map(|(about, count)| format!("{count} {about}"))
            .collect();
        // The routes that change before the first dyno does.
        let left = heard
            .iter()
            .take_while(|heard| !heard.about.split(' ').any(|table| table == "dynos"))
            .filter(|heard| heard.about == "routes")
            .last();
        let left = left.and_then(|heard| self.board.complete_at(heard.revision));
        assert_eq!(self.board.lost(), 0, "no host is to lose its watch");
        format!(
            "| {} | {what} | {dynos} | {} | {:.1} | {} | {} | {:.1} s | {} |",
            self.hosts,
            heard.len(),
            heard.len() as f64 / dynos as f64,
            bytes / heard.len(),
            left.map_or("-".to_owned(), |left| format!(
                "{:.1} s",
                (left - began).as_secs_f64()
            )),
            (end - began).as_secs_f64(),
            kinds.join(", "),
        )
    }

    /// Until nothing has been written for a while; the moment when all had seen the last.
    async fn quiet(&self) -> Instant {
        let until = Instant::now() + QUIET_WITHIN;
        let mut newest = self.revision().await;
        while Instant::now() < until {
            sleep(QUIET).await;
            let found = self.revision().await;
            if found == newest {
                let seen = self.board.all_have(newest, QUIET_WITHIN).await;
                return seen.unwrap_or_else(Instant::now);
            }
            newest = found;
        }
        panic!("the platform does not come to rest");
    }

    async fn revision(&self) -> Revision {
        let nothing = Key::from_text(format!("{}nothing/", Key::root().as_str()));
        loop {
            if let Ok(listed) = self.store.list(&nothing).await {
                return listed.revision;
            }
        }
    }

    async fn must(&self, txn: Txn) {
        let committed = txn.commit(&**self.store).await.unwrap();
        assert!(matches!(committed, Committed::Done(_)));
    }
}
