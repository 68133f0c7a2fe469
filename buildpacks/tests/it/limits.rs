//! Builds that misbehave end, with a word on why, and leave nothing running.

use std::process::Command;
use std::time::{Duration, Instant};

use buildpacks::FailureKind;

use super::harness::{App, run};

#[test]
fn a_build_that_fills_memory_is_told_so() {
    let build = App::fixture("memory-hog").small_limits().build();
    build.says(" !     The build used more memory than a build may (256 MB), and a process of it was killed.\n");
    assert_eq!(
        (build.status, build.failure().kind),
        (Some(18), FailureKind::OutOfMemory)
    );
}

#[test]
fn a_build_that_prints_a_hundred_megabytes_passes_them_on() {
    let build = App::fixture("chatty").build();
    assert!(build.bytes > 100 * 1024 * 1024, "{}", build.bytes);
    assert_eq!(build.status, Some(0));
}

/// Ends the build with SIGTERM when it says `ready`; how long that took, and the build.
fn end_when(app: &App, ready: &str) -> (Duration, super::harness::Finished) {
    let mut told = None;
    let build = app.build_watching(|line, container| {
        if told.is_none() && line.contains(ready) {
            run(Command::new("docker").args(["kill", "--signal", "TERM", container]));
            told = Some(Instant::now());
        }
    });
    (
        told.unwrap_or_else(|| panic!("it never said {ready:?}\n{}", build.transcript))
            .elapsed(),
        build,
    )
}

#[test]
fn a_build_that_sleeps_and_is_deaf_to_sigterm_is_ended() {
    let (elapsed, build) = end_when(&App::fixture("sleeps").small_limits(), "sleeping");
    assert!(elapsed < Duration::from_secs(15), "{elapsed:?}");
    assert_eq!(
        (build.status, build.failure().kind),
        (Some(17), FailureKind::Cancelled)
    );
}

#[test]
fn a_build_that_forks_without_end_is_ended() {
    let (elapsed, build) = end_when(
        &App::fixture("fork-bomb").small_limits(),
        "Resource temporarily unavailable",
    );
    assert!(elapsed < Duration::from_secs(15), "{elapsed:?}");
    assert_eq!(
        (build.status, build.failure().kind),
        (Some(17), FailureKind::Cancelled)
    );
    build.says(" !     The build tried to run more processes than a build may (100).\n");
}

#[test]
fn a_process_left_behind_by_a_build_does_not_hold_it_up() {
    let app = App::empty()
        .file("package.json", r#"{"name":"a","version":"1.0.0","scripts":{"build":"bash build.sh"}}"#)
        .file("build.sh", "setsid bash -c 'trap \"\" TERM HUP; while :; do sleep 600; done' >/dev/null 2>&1 &\necho started\n");
    let started = Instant::now();
    app.built().says("       started\n");
    assert!(started.elapsed() < Duration::from_secs(60));
}
