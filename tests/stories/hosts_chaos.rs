//! Several hosts, and one trouble after the other: for as long as `PAAS_LAB_CHAOS_SECS` says, and once each without it.

use std::time::{Duration, Instant};

use tests::eventually::eventually;
use tests::lab::Service;
use tests::pulse::{Pulse, failures};
use tests::{Lab, Project};

use super::spread::{CUT_SHORT, PATIENCE, all_answer, dynos_run, spread};

const PER_SECOND: u32 = 20;

#[derive(Debug, Clone, Copy)]
enum Trouble {
    PowerLoss,
    Partition,
    DeafTo(usize),
    EngineHangs,
    AgentDies,
    EtcdDies,
    HostSleeps,
}

impl Trouble {
    const ALL: [Self; 7] = [
        Self::PowerLoss,
        Self::Partition,
        Self::DeafTo(1),
        Self::EngineHangs,
        Self::AgentDies,
        Self::EtcdDies,
        Self::HostSleeps,
    ];

    async fn begin(self, lab: &Lab, host: usize) {
        match self {
            Self::PowerLoss => lab.kill(host).await,
            Self::Partition => lab.partition(host).await,
            Self::DeafTo(other) => lab.cut_one_way(other, host).await,
            Self::EngineHangs => lab.pause(host, Service::Docker).await,
            Self::AgentDies => lab.crash(host, Service::Paasd).await,
            Self::EtcdDies => lab.crash(host, Service::Etcd).await,
            Self::HostSleeps => lab.pause_host(host).await,
        }
    }

    async fn end(self, lab: &Lab, host: usize) {
        match self {
            Self::PowerLoss => lab.start(host).await,
            Self::Partition | Self::DeafTo(_) => lab.heal().await,
            Self::EngineHangs => lab.resume(host, Service::Docker).await,
            Self::AgentDies | Self::EtcdDies => {}
            Self::HostSleeps => lab.resume_host(host).await,
        }
    }
}

#[tokio::test]
async fn whatever_happens_to_one_host_after_the_other_requests_are_answered() {
    let lab = Lab::up(3).await;
    let project = spread(&lab).await;
    let began = Instant::now();
    let mut round = 0;
    while round < Trouble::ALL.len() || began.elapsed() < at_least() {
        let trouble = Trouble::ALL[round % Trouble::ALL.len()];
        let host = 2 + round % 2;
        meet(&lab, &project, trouble, host).await;
        round += 1;
    }
}

async fn meet(lab: &Lab, project: &Project<'_>, trouble: Trouble, host: usize) {
    let pulse = Pulse::start(lab.router_of(1), &project.host(), "/", PER_SECOND);
    all_answer(&pulse, 3).await;
    trouble.begin(lab, host).await;
    let since = Instant::now();
    // Long enough for leases to lapse, where they do.
    eventually("three dynos answer, or still do", PATIENCE, || async {
        let lasted = since.elapsed() > Duration::from_secs(6);
        let recent = Instant::now() - Duration::from_secs(2);
        (lasted && pulse.answered_since(recent).len() == 3).then_some(())
    })
    .await;
    trouble.end(lab, host).await;
    eventually("all nodes are up", PATIENCE, || async {
        let nodes = lab.paas(&["nodes"]).await;
        let up = nodes.stdout.lines().filter(|line| line.contains(" up "));
        (up.count() == 3).then_some(())
    })
    .await;
    dynos_run(lab, 3, PATIENCE).await;
    let beats = pulse.finish().await.into_iter();
    let (cut, whole): (Vec<_>, Vec<_>) = beats.partition(|beat| beat.was_cut_before(since));
    assert!(cut.len() <= CUT_SHORT, "{trouble:?} of h{host}: {cut:#?}");
    let failed = failures(&whole);
    assert!(failed.is_empty(), "{trouble:?} of h{host}: {failed:#?}");
}

fn at_least() -> Duration {
    let secs = std::env::var("PAAS_LAB_CHAOS_SECS").ok();
    Duration::from_secs(secs.and_then(|secs| secs.parse().ok()).unwrap_or(0))
}
