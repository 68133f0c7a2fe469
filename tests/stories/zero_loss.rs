//! The heart of the product: whatever is done to an app under load, no request fails and no WebSocket is cut.

use tests::Platform;
use tests::load::Load;

const ROUNDS: u32 = 5;

#[tokio::test]
async fn two_hundred_requests_a_second_and_fifty_websockets_survive_five_rounds_of_every_change() {
    let platform = Platform::start().await;
    let project = platform.project("node-express").await;
    project.push().await.ok();
    project.take_any_backlog().await;
    project.paas(&["ps:scale", "web=2"]).await.ok();

    let load = Load::start(platform.http, &project.host(), 200, 50);
    for round in 0..ROUNDS {
        project.write("round.txt", &round.to_string());
        project.commit("Round").await;
        project.push().await.ok();
        project
            .paas(&["config:set", &format!("ROUND={round}")])
            .await
            .ok();
        project.paas(&["ps:scale", "web=4"]).await.ok();
        project.paas(&["ps:scale", "web=2"]).await.ok();
        project.paas(&["ps:restart"]).await.ok();
        project.paas(&["rollback"]).await.ok();
    }
    let report = load.finish().await;
    if !report.failures.is_empty() {
        let log = project.paas(&["logs", "-n", "1500"]).await;
        panic!("{report:#?}\n{}", log.stdout);
    }
    assert!(report.requests > 2000, "{report:#?}");
    assert!(report.echoes > 1000, "{report:#?}");
    assert!(
        report.reconnects > 0,
        "no WebSocket ever moved: nothing was switched"
    );
}
