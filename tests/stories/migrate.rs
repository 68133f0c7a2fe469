//! A platform outgrows one host: its embedded store becomes an etcd, and nobody notices.

use std::time::Duration;

use tests::eventually::eventually;
use tests::{Platform, Project};

#[tokio::test]
async fn a_platform_moves_to_etcd_with_all_it_has_and_its_dynos_run_on() {
    let mut platform = Platform::embedded().await;
    let (app, host) = {
        let project = platform.project("procfile-only").await;
        project.push().await.ok();
        project.paas(&["config:set", "POWERED_BY=steam"]).await.ok();
        project.paas(&["ps:scale", "web=2"]).await.ok();
        (project.app.clone(), project.host())
    };
    let shown = [
        vec!["releases", "-a", &app, "--json"],
        vec!["config", "-a", &app, "--json"],
        vec!["access", "-a", &app, "--json"],
        vec!["nodes", "--json"],
        vec!["whoami"],
    ];
    let mut before = Vec::new();
    for args in &shown {
        before.push(platform.paas(args).await.ok().stdout);
    }
    let mut containers = platform.containers("dyno").await;
    containers.sort();

    let etcd = platform.start_etcd().await;
    let to = format!("etcd://{etcd}");
    platform
        .paasd(&["migrate-store", "--to", &to])
        .await
        .failed()
        .says("stop that one first");
    platform.kill().await;
    platform
        .paasd(&["migrate-store", "--to", &to])
        .await
        .ok()
        .says("read back and compared")
        .says(&format!("store = \"{to}\""));
    platform
        .paasd(&["server"])
        .await
        .failed()
        .says("this store was migrated to");
    platform.set_store(&to);
    platform.boot().await;

    eventually("the app answers", Duration::from_secs(10), || async {
        let answer = platform.get(&host, "/").await;
        answer.text.contains("Hello from steam").then_some(())
    })
    .await;
    eventually("both dynos are up", Duration::from_secs(30), || async {
        let ps = platform.paas(&["ps", "-a", &app]).await.ok().stdout;
        (ps.matches(": up").count() == 2).then_some(())
    })
    .await;
    // What is leased does not move: the node says anew that it is there.
    eventually("the node is up", Duration::from_secs(30), || async {
        let nodes = platform.paas(&["nodes", "--json"]).await.ok().stdout;
        nodes.contains("\"state\": \"up\"").then_some(())
    })
    .await;
    let mut after = platform.containers("dyno").await;
    after.sort();
    assert_eq!(containers, after, "every dyno was adopted as it was");
    for (args, before) in shown.iter().zip(&before) {
        let after = platform.paas(args).await.ok().stdout;
        assert_eq!(&after, before, "paas {args:?}");
    }

    let project = Project::again(&platform, &app);
    project.write("later", "on etcd");
    project.commit("A change after the move").await;
    project.push().await.ok();
    assert_eq!(project.latest_release().await.0, 4);
    project
        .eventually("the new release serves", |answer| {
            answer.text.contains("Hello from steam v4")
        })
        .await;
}
