//! What the stories of several hosts begin with.

use std::time::{Duration, Instant};

use tests::eventually::eventually;
use tests::lab::Service;
use tests::pulse::Pulse;
use tests::{Lab, Project};

pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Answers that may be on the wire, head first, at the moment a host falls silent: at 50 a second, each within milliseconds.
pub(crate) const CUT_SHORT: usize = 2;

pub(crate) async fn all_answer(pulse: &Pulse, dynos: usize) {
    let since = Instant::now();
    eventually("every dyno answers", PATIENCE, || async {
        (pulse.answered_since(since).len() == dynos).then_some(())
    })
    .await;
}

/// An app with a dyno on each of these hosts, and as many dynos.
pub(crate) async fn spread_over<'a>(lab: &'a Lab, hosts: &[usize]) -> Project<'a> {
    let project = lab.project("says-who").await;
    project.push().await.ok();
    let quantity = format!("web={}", hosts.len());
    project.paas(&["ps:scale", &quantity]).await.ok();
    for &host in hosts {
        eventually("each host has a dyno", PATIENCE, || async {
            (lab.dynos_on(host).await.len() == 1).then_some(())
        })
        .await;
    }
    // Not to be taken for a part of what a trouble costs.
    lab.settled().await;
    project
}

/// An app with a dyno on each host.
pub(crate) async fn spread(lab: &Lab) -> Project<'_> {
    spread_over(lab, &lab.hosts().collect::<Vec<_>>()).await
}

/// So many dynos run, on all hosts together, and no more.
pub(crate) async fn dynos_run(lab: &Lab, count: usize, within: Duration) {
    eventually("so many dynos run", within, || async {
        let mut running = 0;
        for host in lab.hosts() {
            running += lab.dynos_on(host).await.len();
        }
        (running == count).then_some(())
    })
    .await;
}

/// The host whose scheduler leads, by what each says in its log.
pub(crate) async fn leader(lab: &Lab) -> usize {
    eventually("a scheduler leads", PATIENCE, || async {
        let newest = lab.hosts().filter_map(|host| {
            let log = lab.log_of(host, Service::Paasd);
            let line = log
                .lines()
                .rfind(|line| line.contains("Leads the scheduling"))?;
            Some((line.split(' ').next()?.to_owned(), host))
        });
        newest.max().map(|(_, host)| host)
    })
    .await
}
