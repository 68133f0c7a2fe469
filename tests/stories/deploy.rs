//! First deploys, one for each kind of app.

use tests::Platform;

#[tokio::test]
async fn a_procfile_app_goes_live_with_one_push() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project
        .push()
        .await
        .ok()
        .says("-----> Building on the Heroku-24 stack")
        .says("-----> Discovering process types")
        .says("Procfile declares types -> web")
        .says("Released v2")
        .says("Verifying deploy... done.");
    let answer = project.get("/").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text.contains("v2"), "{answer:?}");
}
