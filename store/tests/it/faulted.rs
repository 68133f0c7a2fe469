//! The store's contract on a real etcd of three members of which some die, freeze or cannot be reached: what several
//! clients were answered can be put into one order, and each watch tells each change once, in that order.
//!
//! `PAAS_FAULTS=100` has more faults, one after the other; `PAAS_FAULT_SEED=7` has the same ones again, though never in the
//! same moment.

mod clients;
mod shelf;
mod watchers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use store::Etcd;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::clients::{Client, Notes, list};
use self::shelf::{Answer, Call, Contract, Shelf};
use self::watchers::Told;
use super::backend::{PATIENCE, key};
use super::cluster::{Cluster, MEMBERS, connect};
use super::linear::{Disorder, Model as _, Operation, order};
use super::proxy::{Network, Proxy};

const CLIENTS: u64 = 4;
const FAULTS: u64 = 8;
/// No fault lasts longer, however little goes on meanwhile.
const LONGEST: Duration = Duration::from_secs(6);

#[derive(Debug, Clone, Copy)]
enum Fault {
    KillLeader,
    KillMember,
    PauseLeader,
    PauseMember,
    Cut,
    Silence,
    /// The watchers are cut off, and what they miss is compacted away.
    Compact,
}

const EACH: [Fault; 7] = [
    Fault::KillLeader,
    Fault::Compact,
    Fault::PauseLeader,
    Fault::Cut,
    Fault::KillMember,
    Fault::Silence,
    Fault::PauseMember,
];

struct Scene {
    cluster: Cluster,
    /// The ways of the clients to the members, and those of the watchers.
    ways: Vec<Proxy>,
    watchers_ways: Vec<Proxy>,
    notes: Arc<Notes>,
    random: StdRng,
}

impl Scene {
    async fn suffer(&mut self, fault: Fault) {
        let some = self.random.random_range(0..MEMBERS);
        let leader = self.cluster.leader().await.unwrap_or(some);
        let while_so_many_end = self.random.random_range(50..250);
        match fault {
            Fault::KillLeader => self.kill(leader, while_so_many_end).await,
            Fault::KillMember => self.kill(some, while_so_many_end).await,
            Fault::PauseLeader => self.pause(leader, while_so_many_end).await,
            Fault::PauseMember => self.pause(some, while_so_many_end).await,
            Fault::Cut => self.set(some, Network::Cut, while_so_many_end).await,
            Fault::Silence => self.set(some, Network::Silent, while_so_many_end).await,
            Fault::Compact => self.compact(while_so_many_end).await,
        }
        self.go_on(100).await;
    }

    async fn go_on(&self, while_so_many_end: usize) {
        let enough = self.notes.until_more_have_ended(while_so_many_end);
        let _ = timeout(LONGEST, enough).await;
    }

    async fn kill(&mut self, member: usize, while_so_many_end: usize) {
        self.cluster.kill_member(member);
        self.go_on(while_so_many_end).await;
        self.cluster.start_member(member);
    }

    async fn pause(&self, member: usize, while_so_many_end: usize) {
        self.cluster.pause_member(member);
        self.go_on(while_so_many_end).await;
        self.cluster.resume_member(member);
    }

    async fn set(&self, member: usize, network: Network, while_so_many_end: usize) {
        self.ways[member].set(network);
        self.watchers_ways[member].set(network);
        self.go_on(while_so_many_end).await;
        self.ways[member].set(Network::Up);
        self.watchers_ways[member].set(Network::Up);
    }

    async fn compact(&self, while_so_many_end: usize) {
        self.watchers_ways
            .iter()
            .for_each(|way| way.set(Network::Cut));
        self.go_on(while_so_many_end).await;
        for member in 0..MEMBERS {
            let Some(mut client) = self.cluster.client(member).await else {
                continue;
            };
            let Ok(newest) = client.get("/", None).await else {
                continue;
            };
            let newest = newest.header().unwrap().revision();
            if client.compact(newest, None).await.is_ok() {
                break;
            }
        }
        self.watchers_ways
            .iter()
            .for_each(|way| way.set(Network::Up));
    }
}

fn number(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().unwrap())
}

#[tokio::test]
async fn what_clients_of_a_faulted_etcd_see_has_one_order_and_watches_tell_it_without_a_gap() {
    let seed = number("PAAS_FAULT_SEED").unwrap_or_else(rand::random);
    let faults = number("PAAS_FAULTS").unwrap_or(FAULTS);
    eprintln!("PAAS_FAULT_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let cluster = Cluster::start().await;
    let (ways, watchers_ways) = (cluster.proxies().await, cluster.proxies().await);
    let notes = Notes::begin();
    let stop = CancellationToken::new();
    let mut stores: Vec<Arc<Etcd>> = Vec::new();
    let mut clients = JoinSet::new();
    for index in 0..CLIENTS {
        let store = connect(&ways).await;
        let name = format!("c{index}");
        let client = Client::new(&name, store.clone(), notes.clone(), random.random());
        stores.push(store);
        match index {
            0 => clients.spawn(client.run_leases(stop.clone())),
            _ => clients.spawn(client.run(stop.clone())),
        };
    }
    let (last, is_last) = tokio::sync::watch::channel(None);
    let mut watchers = JoinSet::new();
    for prefix in ["", "a", "leased-"].map(key) {
        let store = connect(&watchers_ways).await;
        let (notes, is_last) = (notes.clone(), is_last.clone());
        watchers.spawn(async move {
            let told = watchers::watch(store, prefix.clone(), notes, is_last).await;
            (prefix, told)
        });
    }

    let mut scene = Scene {
        cluster,
        ways,
        watchers_ways,
        notes: notes.clone(),
        random,
    };
    for index in 0..faults {
        let fault = match EACH.get(usize::try_from(index).unwrap()) {
            Some(fault) => *fault,
            None => *EACH.choose(&mut scene.random).unwrap(),
        };
        eprintln!("{:>7} ms: {fault:?}", notes.now().as_millis());
        scene.suffer(fault).await;
    }

    stop.cancel();
    let clients = timeout(PATIENCE, clients.join_all()).await;
    clients.expect("every call ends");
    let listing = async {
        loop {
            if let Some(listing) = list(&*stores[0], &notes).await {
                break listing;
            }
        }
    };
    let newest = timeout(PATIENCE, listing).await.expect("all is well again");
    last.send_replace(Some(newest.revision));
    let watchers = timeout(PATIENCE, watchers.join_all()).await;
    let told = watchers.expect("every watch comes to the end");

    let history = notes.take();
    let order = order::<Contract>(Shelf::new(), &history)
        .unwrap_or_else(|disorder| panic!("seed {seed}: {}", explain(&disorder, &history)));
    let shelves = shelves(&order, &history);
    for (prefix, told) in &told {
        watchers::check(told, prefix, &shelves)
            .unwrap_or_else(|what| panic!("seed {seed}, a watch of {prefix}: {what}"));
    }
    let is_resync = |told: &&Told| matches!(told, Told::Resync);
    let resyncs = told
        .iter()
        .flat_map(|(_, told)| told)
        .filter(is_resync)
        .count();
    assert!(
        resyncs > 0,
        "seed {seed}: what was compacted was told as such"
    );
    let unheard = history.iter().filter(|op| is_unheard_commit(op)).count();
    eprintln!(
        "{} calls, {unheard} commits of unknown outcome, {} revisions, {resyncs} resyncs, {} ms",
        history.len(),
        shelves.len(),
        notes.now().as_millis(),
    );
}

fn is_unheard_commit(operation: &Operation<Call, Answer>) -> bool {
    operation.answer.is_none() && matches!(operation.call, Call::Commit(_))
}

/// The shelf after each revision.
fn shelves(order: &[usize], history: &[Operation<Call, Answer>]) -> BTreeMap<u64, Shelf> {
    let mut shelf = Shelf::new();
    let mut shelves = BTreeMap::from([(shelf.revision, shelf.clone())]);
    for operation in order.iter().map(|index| &history[*index]) {
        let answer = operation.answer.as_ref().map(|(answer, _)| answer);
        shelf = Contract::step(&shelf, &operation.call, answer).unwrap();
        shelves.insert(shelf.revision, shelf.clone());
    }
    shelves
}

/// The end of the longest order, and what was called then and does not follow.
fn explain(disorder: &Disorder, history: &[Operation<Call, Answer>]) -> String {
    let Disorder::Impossible(longest) = disorder else {
        return disorder.to_string();
    };
    let mut text = format!("{disorder} of {}; at the end of it\n", history.len());
    for index in longest.iter().rev().take(6).rev() {
        text += &format!("{:?}\n", history[*index]);
    }
    text += "and then none of\n";
    let left = (0..history.len()).filter(|index| !longest.contains(index));
    for index in left.take(12) {
        text += &format!("{:?}\n", history[index]);
    }
    text
}
