//! A new version of `paasd` takes the place of the old one, under load: nobody notices.

use std::time::Duration;

use tests::Platform;
use tests::eventually::eventually;
use tests::load::Load;

/// For requests in flight, which take seconds.
const DRAINED_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_upgrade_in_place_fails_no_request_cuts_no_websocket_and_restarts_no_dyno() {
    let platform = Platform::start().await;
    let project = platform.project("node-express").await;
    project.push().await.ok();
    project.take_any_backlog().await;
    project.paas(&["ps:scale", "web=2"]).await.ok();
    let mut before = platform.containers("dyno").await;
    before.sort();

    let load = Load::start(platform.http, &project.host(), 200, 50);
    let first = platform.main_pid();
    for _ in 0..2 {
        platform.upgrade().await;
        // The API too, by the next process.
        project.paas(&["ps"]).await.ok().says("web.2");
    }
    let mut after = platform.containers("dyno").await;
    after.sort();
    assert_eq!(after, before, "a dyno was restarted without need");
    load.has_made(500, 100).await;
    let report = load.finish().await;
    if !report.failures.is_empty() {
        let log = project.paas(&["logs", "-n", "1500"]).await;
        panic!("{report:#?}\n{}", log.stdout);
    }
    assert_eq!(report.reconnects, 0, "{report:#?}");

    eventually("both processes have left", DRAINED_WITHIN, || async {
        let log = platform.server_log();
        let left = log.matches("left the host to its successor").count();
        (left == 2).then_some(())
    })
    .await;
    assert_ne!(platform.main_pid(), first);
    // The last one does everything by itself.
    project.paas(&["config:set", "ROUND=1"]).await.ok();
    assert_eq!(project.get("/").await.status, 200);
}

#[tokio::test]
async fn an_upgrade_that_cannot_start_changes_nothing() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project.push().await.ok();
    let before = platform.main_pid();
    let config = fs_err::read_to_string(platform.config()).unwrap();
    fs_err::write(platform.config(), format!("no_such_setting = 1\n{config}")).unwrap();

    platform.hang_up();
    eventually("it says why", Duration::from_secs(60), || async {
        let log = platform.server_log();
        (log.contains("no_such_setting") && log.contains("Nothing has changed")).then_some(())
    })
    .await;
    assert_eq!(platform.main_pid(), before);
    project.paas(&["ps"]).await.ok().says("web.1");
    assert_eq!(project.get("/").await.status, 200);

    fs_err::write(platform.config(), config).unwrap();
    platform.upgrade().await;
    project.paas(&["ps"]).await.ok().says("web.1");
    assert_eq!(project.get("/").await.status, 200);
}
