//! Several hosts: apps are spread over them, and outlive any one of them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tests::eventually::eventually;
use tests::lab::Service;
use tests::pulse::{Beat, Pulse, failures};
use tests::{Lab, Project};

use super::spread::{CUT_SHORT, PATIENCE, all_answer, leader, spread};

/// How long a trouble may take to be over.
struct Limits {
    /// After this nothing is sent to a host that has died.
    traffic_stops: Duration,
    /// And after this its dynos are up elsewhere.
    up_elsewhere: Duration,
}

impl Limits {
    /// The design's, for measuring on a machine that does nothing else (`PAAS_LAB_STRICT=1`). A busy one, which runs several
    /// hosts on two cores with unoptimised programs, says nothing about seconds: there it must only come about.
    fn of_this_run() -> Self {
        let (traffic_stops, up_elsewhere) = match std::env::var_os("PAAS_LAB_STRICT") {
            Some(_) => (5, 15),
            None => (20, 60),
        };
        Self {
            traffic_stops: Duration::from_secs(traffic_stops),
            up_elsewhere: Duration::from_secs(up_elsewhere),
        }
    }
}

const PER_SECOND: u32 = 50;
/// Nothing went to a host for so long: nothing will.
const CALM: Duration = Duration::from_secs(2);
/// The host that gets into trouble, unless a story says another.
const VICTIM: usize = 3;

#[tokio::test]
async fn a_push_onto_three_hosts_is_served_by_all_of_them_from_each() {
    let lab = Lab::up(3).await;
    let project = spread(&lab).await;
    for host in lab.hosts() {
        let pulse = Pulse::start(lab.router_of(host), &project.host(), "/", PER_SECOND);
        all_answer(&pulse, 3).await;
        let failed = failures(&pulse.finish().await);
        assert!(failed.is_empty(), "{failed:#?}");
    }
}

#[tokio::test]
async fn a_host_that_loses_power_is_replaced_and_returns_clean() {
    let lab = Lab::up(3).await;
    let project = spread(&lab).await;
    let failover = Failover::begin(&lab, &project, VICTIM).await;
    lab.kill(VICTIM).await;
    let struck = failover.is_over("power loss", true).await;
    lab.start(VICTIM).await;
    failover.returns_clean(struck, CUT_SHORT).await;
}

#[tokio::test]
async fn so_is_the_host_whose_scheduler_leads() {
    let lab = Lab::up(3).await;
    let project = spread(&lab).await;
    let victim = leader(&lab).await;
    let failover = Failover::begin(&lab, &project, victim).await;
    lab.kill(victim).await;
    let struck = failover.is_over("power loss of the leader", true).await;
    lab.start(victim).await;
    failover.returns_clean(struck, CUT_SHORT).await;
}

#[tokio::test]
async fn a_host_cut_off_is_replaced_and_returns_clean() {
    let lab = Lab::up(3).await;
    let project = spread(&lab).await;
    let failover = Failover::begin(&lab, &project, VICTIM).await;
    lab.partition(VICTIM).await;
    let struck = failover.is_over("network cut", true).await;
    lab.heal().await;
    let returned = Pulse::start(lab.router_of(VICTIM), &project.host(), "/", PER_SECOND);
    failover.returns_clean(struck, CUT_SHORT).await;
    let failed = failures(&returned.finish().await);
    assert!(
        failed.is_empty(),
        "through the host that was cut off: {failed:#?}"
    );
}

#[tokio::test]
async fn a_host_whose_engine_hangs_is_replaced_and_returns_clean() {
    let lab = Lab::up(3).await;
    let project = spread(&lab).await;
    let failover = Failover::begin(&lab, &project, VICTIM).await;
    lab.pause(VICTIM, Service::Docker).await;
    let struck = failover.is_over("Docker frozen", false).await;
    lab.resume(VICTIM, Service::Docker).await;
    failover.returns_clean(struck, 0).await;
}

#[tokio::test]
async fn a_host_whose_disk_is_full_is_replaced_and_returns_clean() {
    let lab = Lab::up(3).await;
    let project = spread(&lab).await;
    let failover = Failover::begin(&lab, &project, VICTIM).await;
    lab.fill_disk(VICTIM).await;
    let struck = failover.is_over("disk full", false).await;
    lab.free_disk(VICTIM).await;
    failover.returns_clean(struck, 0).await;
}

#[tokio::test]
async fn an_agent_that_sleeps_past_its_lease_finds_its_dynos_replaced() {
    let lab = Lab::up(3).await;
    let project = spread(&lab).await;
    let failover = Failover::begin(&lab, &project, VICTIM).await;
    lab.pause(VICTIM, Service::Paasd).await;
    let struck = failover.is_over("paasd frozen", false).await;
    lab.resume(VICTIM, Service::Paasd).await;
    failover.returns_clean(struck, 0).await;
}

/// Of the app that beats meanwhile, with a dyno on each host.
struct Failover<'a> {
    lab: &'a Lab,
    victim: usize,
    /// Through whose router the load comes: another host's.
    router: usize,
    limits: Limits,
    began: Instant,
    lost: BTreeSet<String>,
    pulse: Pulse,
}

impl<'a> Failover<'a> {
    async fn begin(lab: &'a Lab, project: &Project<'_>, victim: usize) -> Self {
        let router = victim % 3 + 1;
        let pulse = Pulse::start(lab.router_of(router), &project.host(), "/", PER_SECOND);
        all_answer(&pulse, 3).await;
        Self {
            lab,
            victim,
            router,
            limits: Limits::of_this_run(),
            lost: lab.dynos_on(victim).await,
            began: Instant::now(),
            pulse,
        }
    }

    /// Three dynos answer, and no lost one; what it cost is within the limits. Gives when the host was in trouble for sure.
    ///
    /// A host that falls silent is met by some requests; the router's log must have seen it, or it would prove nothing.
    async fn is_over(&self, what: &str, falls_silent: bool) -> Instant {
        let struck = Instant::now();
        let until = self
            .limits
            .up_elsewhere
            .saturating_sub(self.began.elapsed());
        let took = eventually("three dynos answer elsewhere", until, || async {
            let answered = self.pulse.answered_since(self.began);
            (answered.difference(&self.lost).count() == 3).then(|| self.began.elapsed())
        })
        .await;
        let until = self.limits.traffic_stops + CALM;
        let last = eventually("nothing is sent there any more", until, || async {
            let last = self.last_sent_there();
            (last + CALM < self.began.elapsed()).then_some(last)
        })
        .await;
        assert!(last <= self.limits.traffic_stops, "{what}: {last:?}");
        assert!(!falls_silent || !self.in_vain().is_empty(), "{what}");
        report(what, self, last, took);
        struck
    }

    /// How long after the beginning: what a lost dyno answered, and what the router sent to where nobody answers.
    fn last_sent_there(&self) -> Duration {
        let answered = self.pulse.so_far().into_iter();
        let answered = answered
            .filter(|beat| beat.sent >= self.began && answered_by(beat, &self.lost))
            .map(|beat| beat.sent - self.began);
        let in_vain = self.in_vain().into_iter();
        answered.chain(in_vain).max().unwrap_or_default()
    }

    /// How long after the beginning the router asked there and heard nothing.
    fn in_vain(&self) -> Vec<Duration> {
        let log = self.lab.log_of(self.router, Service::Paasd);
        let host = format!("host.address={}", self.lab.address_of(self.victim));
        let now = (jiff::Timestamp::now(), self.began.elapsed());
        log.lines()
            .filter(|line| line.contains("A host does not answer") && line.contains(&host))
            .filter_map(|line| line.split(' ').next()?.parse::<jiff::Timestamp>().ok())
            .filter_map(|at| now.1.checked_sub(now.0.duration_since(at).unsigned_abs()))
            .collect()
    }

    /// The host is back, with nothing of before; and from beginning to end no request was lost, but for at most so many
    /// answers that were cut in two when it fell silent, before `struck`.
    async fn returns_clean(self, struck: Instant, may_be_cut: usize) {
        eventually("the node is back", PATIENCE, || async {
            let nodes = self.lab.paas(&["nodes"]).await;
            let line = format!("h{} ", self.victim);
            let back = |found: &str| found.starts_with(&line) && found.contains(" up ");
            nodes.stdout.lines().any(back).then_some(())
        })
        .await;
        eventually("nothing of before runs on it", PATIENCE, || async {
            let runs = self.lab.dynos_on(self.victim).await;
            runs.is_disjoint(&self.lost).then_some(())
        })
        .await;
        let until = self.began + self.limits.traffic_stops;
        let beats = self.pulse.finish().await;
        let late: Vec<_> = beats
            .iter()
            .filter(|beat| beat.sent > until && answered_by(beat, &self.lost))
            .collect();
        assert!(late.is_empty(), "{:?} answered: {late:#?}", self.lost);
        let (cut, whole): (Vec<_>, Vec<_>) = beats
            .into_iter()
            .partition(|beat| beat.was_cut_before(struck));
        assert!(cut.len() <= may_be_cut, "{cut:#?}");
        let failed = failures(&whole);
        assert!(failed.is_empty(), "{failed:#?}");
    }
}

fn answered_by(beat: &Beat, dynos: &BTreeSet<String>) -> bool {
    let is_theirs = |body: &String| dynos.contains(body.trim());
    beat.answer.as_ref().is_ok_and(is_theirs)
}

/// The figures, for docs/BENCHMARKS.md.
fn report(what: &str, failover: &Failover<'_>, last: Duration, up_elsewhere: Duration) {
    let beats = failover.pulse.so_far();
    let rough = beats.iter().filter(|beat| !beat.is_smooth());
    let slowest = rough.clone().map(|beat| beat.took).max();
    eprintln!(
        "{what}: last request sent there {:.1} s after, dynos up elsewhere {:.1} s after; {} requests, {} failed, \
         {} slow (at most {:.1} s)",
        last.as_secs_f64(),
        up_elsewhere.as_secs_f64(),
        beats.len(),
        failures(&beats).len(),
        rough.count(),
        slowest.unwrap_or_default().as_secs_f64(),
    );
}
