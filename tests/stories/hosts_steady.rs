//! Several hosts, and parts of the platform that go and come: apps do not notice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tests::Lab;
use tests::eventually::eventually;
use tests::lab::{Plan, Service};
use tests::pulse::{Pulse, failures};

use super::spread::{PATIENCE, all_answer, leader, spread, spread_over};

const PER_SECOND: u32 = 50;

#[tokio::test]
async fn without_etcd_controllers_and_schedulers_all_that_runs_serves_on() {
    let brain = "controller,scheduler,builder,router";
    let lab = Lab::planned(Plan {
        roles: &[brain, "router,node", "router,node"],
        ..Plan::of(3)
    })
    .await;
    let project = spread_over(&lab, &[2, 3]).await;
    let before = containers(&lab, &[2, 3]).await;
    let pulse = Pulse::start(lab.router_of(3), &project.host(), "/", PER_SECOND);
    all_answer(&pulse, 2).await;

    lab.stop(1, Service::Paasd).await;
    for host in lab.hosts() {
        lab.stop(host, Service::Etcd).await;
    }
    let until = Instant::now() + outage();
    // A host that is restarted meanwhile finds its dynos, and routes by what it kept.
    lab.restart(2, Service::Paasd).await;
    let restarted = eventually("the restarted router has its table", PATIENCE, || async {
        let pulse = Pulse::start(lab.router_of(2), &project.host(), "/", PER_SECOND);
        first_is_answered(&pulse).await.then_some(pulse)
    })
    .await;
    eventually("the outage has lasted", outage() + PATIENCE, || async {
        (Instant::now() >= until).then_some(())
    })
    .await;
    assert_eq!(containers(&lab, &[2, 3]).await, before);

    for host in lab.hosts() {
        lab.run(host, Service::Etcd).await;
    }
    lab.run(1, Service::Paasd).await;
    eventually("the platform takes orders again", PATIENCE, || async {
        let scaled = project.paas(&["ps:scale", "web=3"]).await;
        scaled.success().then_some(())
    })
    .await;
    all_answer(&pulse, 3).await;
    let after = containers(&lab, &[2, 3]).await;
    assert!(after.is_superset(&before), "{before:?} {after:?}");
    for pulse in [pulse, restarted] {
        let beats = pulse.finish().await;
        let failed = failures(&beats);
        assert!(failed.is_empty(), "of {}: {failed:#?}", beats.len());
    }
}

#[tokio::test]
async fn the_leading_scheduler_dies_in_the_middle_of_a_change() {
    let lab = Lab::up(3).await;
    let project = spread(&lab).await;
    for quantity in ["web=4", "web=2"] {
        let leader = leader(&lab).await;
        let through = lab.hosts().find(|host| *host != leader && *host != 1);
        let router = lab.router_of(through.expect("one of three"));
        let pulse = Pulse::start(router, &project.host(), "/", PER_SECOND);
        let order = ["ps:scale", quantity];
        let (scaled, ()) = tokio::join!(project.paas(&order), lab.crash(leader, Service::Paasd));
        // The controller that was asked may be the one that died.
        if !scaled.success() {
            eventually("the order is taken", PATIENCE, || async {
                let again = project.paas(&order).await;
                again.success().then_some(())
            })
            .await;
        }
        let dynos: usize = quantity["web=".len()..].parse().expect("a number");
        eventually("as many dynos run as were asked for", PATIENCE, || async {
            (containers(&lab, &[1, 2, 3]).await.len() == dynos).then_some(())
        })
        .await;
        let failed = failures(&pulse.finish().await);
        assert!(failed.is_empty(), "{failed:#?}");
    }
}

#[tokio::test]
async fn paasd_is_restarted_host_by_host_under_load() {
    let lab = Lab::up(3).await;
    let project = spread(&lab).await;
    let before = containers(&lab, &[1, 2, 3]).await;
    for host in lab.hosts() {
        // As a load balancer would, which sends nothing to a host that drains.
        let other = host % 3 + 1;
        let pulse = Pulse::start(lab.router_of(other), &project.host(), "/", PER_SECOND);
        all_answer(&pulse, 3).await;
        lab.restart(host, Service::Paasd).await;
        eventually("its own router serves again", PATIENCE, || async {
            let own = Pulse::start(lab.router_of(host), &project.host(), "/", PER_SECOND);
            first_is_answered(&own).await.then_some(())
        })
        .await;
        all_answer(&pulse, 3).await;
        let failed = failures(&pulse.finish().await);
        assert!(failed.is_empty(), "while h{host} restarted: {failed:#?}");
    }
    assert_eq!(containers(&lab, &[1, 2, 3]).await, before);
}

#[tokio::test]
async fn clocks_that_disagree_kill_nobody() {
    let lab = Lab::up(3).await;
    let project = spread(&lab).await;
    let before = containers(&lab, &[1, 2, 3]).await;
    let pulse = Pulse::start(lab.router_of(1), &project.host(), "/", PER_SECOND);
    for (host, offset) in [(2, "+90s"), (3, "-90s")] {
        lab.skew_clock(host, offset).await;
        let own = eventually("its router serves again", PATIENCE, || async {
            let own = Pulse::start(lab.router_of(host), &project.host(), "/", PER_SECOND);
            first_is_answered(&own).await.then_some(own)
        })
        .await;
        all_answer(&own, 3).await;
    }
    // Whichever of them leads: what it plans is as if all clocks were right.
    lab.crash(leader(&lab).await, Service::Paasd).await;
    eventually("a controller takes the wish", PATIENCE, || async {
        let scaled = project.paas(&["ps:scale", "--no-wait", "web=4"]).await;
        scaled.success().then_some(())
    })
    .await;
    eventually("the fourth dyno runs", PATIENCE, || async {
        (containers(&lab, &[1, 2, 3]).await.len() == 4).then_some(())
    })
    .await;
    assert!(containers(&lab, &[1, 2, 3]).await.is_superset(&before));
    drop(pulse);
}

/// Ten minutes are for `PAAS_LAB_OUTAGE_SECS=600`.
fn outage() -> Duration {
    let secs = std::env::var("PAAS_LAB_OUTAGE_SECS").ok();
    Duration::from_secs(secs.and_then(|secs| secs.parse().ok()).unwrap_or(15))
}

async fn containers(lab: &Lab, hosts: &[usize]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for host in hosts {
        all.extend(lab.containers_on(*host).await);
    }
    all
}

/// Whether the first request was answered. A router that is not up yet refuses it.
async fn first_is_answered(pulse: &Pulse) -> bool {
    let first = eventually("the first request ends", PATIENCE, || async {
        pulse.so_far().into_iter().next()
    })
    .await;
    first.answer.is_ok()
}
