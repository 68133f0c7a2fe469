//! Pushes while the store has its troubles.

use std::sync::Arc;
use std::time::Duration;

use model::{AppId, BuildStatus};
use store::key;
use tokio::time::Instant;

use super::common::unsteady::{Trouble, Unsteady};
use super::common::user::{Over, WorkTree};
use super::common::{Platform, eventually};

struct Setting {
    platform: Platform,
    store: Arc<Unsteady>,
    app: AppId,
    tree: WorkTree,
}

impl Setting {
    async fn new(files: &[(&str, &str)]) -> Self {
        let mut platform = Platform::start().await;
        let user = platform.user("user@example.com").await;
        let app = platform.app("ticks", &user).await;
        platform.stop_builder().await;
        let store = Unsteady::over(platform.store.clone());
        platform.store = store.clone();
        platform.start_builder().await;
        let tree = user.work_tree(&platform, Over::Http, "ticks", files).await;
        Self {
            platform,
            store,
            app,
            tree,
        }
    }

    /// One release was made, and one build that says so; and the branch is where it should be.
    async fn is_released_once(&self) {
        assert!(self.store.is_steady(), "nothing went wrong");
        assert_eq!(self.platform.releases(self.app).await.len(), 2);
        let builds = self.platform.builds(self.app).await;
        let statuses: Vec<_> = builds.iter().map(|build| &build.status).collect();
        assert!(
            matches!(statuses[..], [BuildStatus::Succeeded { .. }]),
            "{statuses:?}"
        );
        self.tree.commit(&[("more", "x")]).await;
        self.tree.push(&["main"]).await.ok().says("Released v3");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_or_question_is_lost_fails_no_push() {
    let places = [
        key::RELEASES.prefix(),
        key::ALIVE_BUILDS.prefix(),
        key::REPOSITORIES.prefix(),
    ];
    for place in places.clone() {
        let setting = Setting::new(&[("Procfile", "web: x")]).await;
        setting.store.get_into(Trouble::LosesAnswer(place));
        setting.tree.push(&["main"]).await.ok().says("Released v2");
        setting.is_released_once().await;
    }
    for place in places {
        let setting = Setting::new(&[("Procfile", "web: x")]).await;
        setting.store.get_into(Trouble::LosesQuestion(place));
        setting.tree.push(&["main"]).await.ok().says("Released v2");
        setting.is_released_once().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_for_some_seconds_fails_no_push() {
    let files = [("Buildfile", "gate"), ("Procfile", "web: x")];
    let setting = Setting::new(&files).await;
    let push = setting.tree.start_push(&["main"]);
    let compiler = &setting.platform.compiler;
    eventually("it is built", async || compiler.running() == 1).await;
    let back = Instant::now() + Duration::from_secs(3);
    setting.store.get_into(Trouble::Away(back, false));
    compiler.open_gate();
    push.end().await.ok().says("Released v2");
    setting.is_released_once().await;
}
