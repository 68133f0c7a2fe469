//! Several hosts and a bucket: slugs, caches and repositories go through a real S3 server. `tests/s3` runs these.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tests::eventually::eventually;
use tests::lab::{Blobs, Plan, Service};
use tests::pulse::{Pulse, failures};
use tests::{Lab, Project};

use super::spread::{PATIENCE, all_answer, dynos_run, spread};

const PER_SECOND: u32 = 20;
/// A dyno that could not start is tried again, later each time.
const TRIED_AGAIN: Duration = Duration::from_secs(120);
/// The blob store tries again for a minute.
const GIVES_UP: Duration = Duration::from_secs(150);

async fn lab_with_bucket(hosts: usize, settings: &[&str]) -> Lab {
    Lab::planned(Plan {
        blobs: Blobs::S3,
        settings,
        ..Plan::of(hosts)
    })
    .await
}

#[tokio::test]
async fn what_one_host_builds_others_run_and_build_upon() {
    let lab = lab_with_bucket(3, &[]).await;
    let project = lab.project("builds-slowly").await;
    project.push().await.ok().says("nothing yet");
    project.paas(&["ps:scale", "web=3"]).await.ok();
    for host in lab.hosts() {
        eventually("each host has a dyno", PATIENCE, || async {
            (lab.dynos_on(host).await.len() == 1).then_some(())
        })
        .await;
    }
    lab.settled().await;
    let first = who_deployed(&lab, &project, 2).expect("somebody built it");
    eventually("the cache is in the bucket", PATIENCE, || async {
        let log = lab.log_of(first, Service::Paasd);
        log.contains("Shared a build cache").then_some(())
    })
    .await;

    // The others have to build without it, and without its disk.
    lab.stop(first, Service::Paasd).await;
    project.commit("Again").await;
    let pushed = project.push().await.ok();
    pushed.says("Already installed").says("Released v3");
    let second = eventually("it is known who built", PATIENCE, || async {
        who_deployed(&lab, &project, 3)
    })
    .await;
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_slug_that_was_damaged_in_the_bucket_is_not_started() {
    let lab = lab_with_bucket(3, &[]).await;
    let project = lab.project("says-who").await;
    project.push().await.ok();
    let home = eventually("its dyno runs", PATIENCE, || async {
        only_host(&lab).await
    })
    .await;
    let slug = slugs_on(&lab, home).await.pop_first().expect("its slug");
    let name = format!("{}/{slug}", &slug[..2]);
    let (whole, damaged) = (lab_file(&project, "whole"), lab_file(&project, "damaged"));
    lab.s3(&["get", &name, &whole]).await;
    let mut bytes = fs_err::read(&whole).expect("the slug");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs_err::write(&damaged, bytes).expect("a file");
    lab.s3(&["put", &name, &damaged]).await;

    let pulse = Pulse::start(lab.router_of(home), &project.host(), "/", PER_SECOND);
    let scaled = project.paas(&["ps:scale", "web=3"]).await;
    scaled.failed().says("crashed");
    eventually(
        "the app's log says why there are no more dynos",
        PATIENCE,
        || async {
            let logs = project.paas(&["logs", "-n", "200"]).await;
            let says = |line: &str| line.contains("Could not start") && line.contains("is damaged");
            logs.stdout.lines().any(says).then_some(())
        },
    )
    .await;
    assert_eq!(only_host(&lab).await, Some(home), "only where it was whole");

    lab.s3(&["put", &name, &whole]).await;
    dynos_run(&lab, 3, TRIED_AGAIN).await;
    let failed = failures(&pulse.finish().await);
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test]
async fn without_the_bucket_what_runs_runs_on_and_pushes_fail_in_words() {
    let lab = lab_with_bucket(3, &[]).await;
    let project = spread(&lab).await;
    let pulse = Pulse::start(lab.router_of(2), &project.host(), "/", PER_SECOND);
    all_answer(&pulse, 3).await;
    lab.s3(&["stop"]).await;

    project.commit("Meanwhile").await;
    let began = Instant::now();
    let pushed = project.push().await.failed();
    let took = began.elapsed();
    eprintln!(
        "without a bucket a push failed after {took:?}:\n{}",
        pushed.all()
    );
    assert!(took < GIVES_UP, "{took:?}");
    // Whether it gets as far as the hook depends on what that builder has a copy of.
    let words = [
        "cannot reach the place where repositories are kept",
        "could not",
    ];
    let said = pushed.all();
    assert!(words.iter().any(|words| said.contains(words)), "{said}");
    // Hosts have the slug of what runs.
    let before = all_dynos(&lab).await;
    project.paas(&["ps:restart"]).await.ok();
    eventually("all dynos are new", PATIENCE, || async {
        let now = all_dynos(&lab).await;
        (now.len() == 3 && now.is_disjoint(&before)).then_some(())
    })
    .await;
    all_answer(&pulse, 3).await;

    lab.s3(&["run"]).await;
    project.push().await.ok().says("Released v");
    all_answer(&pulse, 3).await;
    let failed = failures(&pulse.finish().await);
    assert!(failed.is_empty(), "{failed:#?}");
}

#[tokio::test]
async fn a_node_keeps_no_more_slugs_than_fit_and_fetches_an_old_one_again() {
    const CACHE_MB: u64 = 8;
    const SLUG_MB: usize = 3;
    let lab = lab_with_bucket(1, &[&format!("node.slug_cache_mb = {CACHE_MB}")]).await;
    let project = lab.project("says-who").await;
    // Debian 12's libcurl (7.88) mangles larger uploads over HTTP/2.
    project
        .git(&["config", "http.version", "HTTP/1.1"])
        .await
        .ok();
    for round in 0..6u8 {
        let bytes: Vec<u8> = std::iter::repeat_with(rand::random)
            .take(SLUG_MB << 20)
            .collect();
        fs_err::write(project.dir.join("ballast"), bytes).expect("a file");
        project.commit(&format!("Round {round}")).await;
        project.push().await.ok();
    }
    let dir = lab.data_of(1).join("slugs");
    let dir = dir.to_str().expect("a path of this lab");
    eventually("what does not fit is removed", PATIENCE, || async {
        let used = lab.on_host(1, &["du", "-sm", dir]).await;
        let used: u64 = used.stdout.split_whitespace().next()?.parse().ok()?;
        (used <= CACHE_MB + 1).then_some(())
    })
    .await;
    let kept = slugs_on(&lab, 1).await;
    assert!(kept.len() <= 2, "{kept:?}");
    project.paas(&["releases:rollback", "v2"]).await.ok();
    eventually("the oldest slug is back", PATIENCE, || async {
        let now = slugs_on(&lab, 1).await;
        (!now.is_subset(&kept)).then_some(())
    })
    .await;
    assert_eq!(project.get("/").await.status, 200);
}

/// The host whose builder has released this version.
fn who_deployed(lab: &Lab, project: &Project<'_>, version: u64) -> Option<usize> {
    let line = format!("Deployed v{version} of {}", project.app);
    lab.hosts()
        .find(|host| lab.log_of(*host, Service::Paasd).contains(&line))
}

async fn all_dynos(lab: &Lab) -> BTreeSet<String> {
    let mut dynos = BTreeSet::new();
    for host in lab.hosts() {
        dynos.extend(lab.dynos_on(host).await);
    }
    dynos
}

/// The host with a dyno, if it is one.
async fn only_host(lab: &Lab) -> Option<usize> {
    let mut found = None;
    for host in lab.hosts() {
        if !lab.dynos_on(host).await.is_empty() && found.replace(host).is_some() {
            return None;
        }
    }
    found
}

/// The unpacked slugs on a host, by their checksums.
async fn slugs_on(lab: &Lab, host: usize) -> BTreeSet<String> {
    let dir = lab.data_of(host).join("slugs");
    let listed = lab
        .on_host(host, &["ls", dir.to_str().expect("a path of this lab")])
        .await;
    let is_checksum = |name: &&str| name.len() == 64 && !name.contains('.');
    let names = listed.stdout.lines().filter(is_checksum);
    names.map(str::to_owned).collect()
}

/// Beside the project's directory.
fn lab_file(project: &Project<'_>, name: &str) -> String {
    let path = project.dir.with_file_name(name);
    path.to_str().expect("a path of this lab").to_owned()
}
