//! Builds that misbehave: each ends with a clear message, and an app beside it notices nothing.

use tests::load::Load;
use tests::{Platform, Project};

const SMALL: [&str; 3] = [
    "builder.build_memory_mb = 256",
    "builder.build_output_mb = 8",
    "builder.build_pids = 128",
];

/// Pushes the misbehaving fixture while a bystander serves 20 requests a second.
async fn misbehave(fixture: &str, seconds: u32, message: &str) {
    let time = format!("builder.build_timeout_secs = {seconds}");
    let platform = Platform::with(&[&SMALL[..], &[&time]].concat()).await;
    let bystander = platform.project("procfile-only").await;
    bystander.push().await.ok();
    let load = Load::start(platform.http, &bystander.host(), 20, 0);
    let project: Project<'_> = platform.project(fixture).await;
    project
        .push()
        .await
        .failed()
        .says(message)
        .says("Push rejected");
    let report = load.finish().await;
    assert!(
        report.requests > 20 && report.failures.is_empty(),
        "{report:#?}"
    );
    assert!(platform.containers("build").await.is_empty());
}

#[tokio::test]
async fn a_build_that_sleeps_past_the_limit_is_ended() {
    misbehave("sleeps", 20, "20 seconds").await;
}

#[tokio::test]
async fn a_build_that_fills_memory_is_ended() {
    misbehave("memory-hog", 120, "memory").await;
}

#[tokio::test]
async fn a_build_that_forks_without_end_is_ended() {
    misbehave("fork-bomb", 20, "process").await;
}

#[tokio::test]
async fn a_build_that_prints_a_hundred_megabytes_is_ended() {
    misbehave("chatty", 120, "output").await;
}
