//! Several builders on one store, and builders that die.

use model::{AppId, BuildStatus};
use store::{Txn, key};

use super::common::host::Host;
use super::common::user::{BOTH, Over, User, WorkTree};
use super::common::{Fate, Platform, eventually};

struct Setting {
    platform: Platform,
    user: User,
    app: AppId,
    one: Host,
    two: Host,
}

impl Setting {
    async fn new() -> Self {
        let platform = Platform::start().await;
        let user = platform.user("user@example.com").await;
        let app = platform.app("ticks", &user).await;
        let (one, two) = (Host::start(&platform).await, Host::start(&platform).await);
        let mut setting = Self {
            platform,
            user,
            app,
            one,
            two,
        };
        // Only the two are to take over.
        setting.platform.stop_builder().await;
        setting
    }

    /// A work tree whose build waits at the gate, with remotes `one` and `two`.
    async fn tree(&self, over: Over, files: &[(&str, &str)]) -> WorkTree {
        let tree = self
            .user
            .work_tree(&self.platform, over, "ticks", files)
            .await;
        self.point(&tree, over).await;
        tree
    }

    /// The remotes as the hosts are reached now.
    async fn point(&self, tree: &WorkTree, over: Over) {
        for (name, host) in [("one", &self.one), ("two", &self.two)] {
            tree.git(&["remote", "remove", name]).await;
            let url = self.user.url_at(host, over, "ticks");
            tree.git(&["remote", "add", name, &url]).await.ok();
        }
    }

    async fn no_work_is_left(&self) {
        eventually("no work is left", async || {
            key::BUILD_SOURCES
                .all(&*self.platform.store)
                .await
                .unwrap()
                .is_empty()
                && !self.platform.is_locked(self.app).await
        })
        .await;
    }

    async fn statuses(&self) -> Vec<BuildStatus> {
        let builds = self.platform.builds(self.app).await;
        builds.into_iter().map(|build| build.status).collect()
    }
}

/// What `remote` has as its main branch.
async fn main_at(tree: &WorkTree, remote: &str) -> String {
    let list = tree
        .git(&["ls-remote", remote, "refs/heads/main"])
        .await
        .ok();
    list.stdout.split('\t').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn builders_take_turns_with_one_repository_over_both_transports() {
    let setting = Setting::new().await;
    for over in BOTH {
        let tree = setting.tree(over, &[("Procfile", "web: x")]).await;
        tree.git(&["push", "--force", "one", "main"]).await.ok();
        for (number, remote) in ["two", "one", "two"].into_iter().enumerate() {
            let commit = tree.commit(&[("number", &number.to_string())]).await;
            tree.git(&["push", remote, "main"]).await.ok();
            for other in ["one", "two"] {
                assert_eq!(main_at(&tree, other).await, commit);
            }
        }
        tree.git(&[
            "clone",
            "-q",
            &setting.user.url_at(&setting.one, over, "ticks"),
            "copy",
        ])
        .await
        .ok();
        let copy = tree.file("copy");
        setting.user.git(&copy, &["fsck", "--strict"]).await.ok();
        let count = setting
            .user
            .git(&copy, &["rev-list", "--count", "main"])
            .await;
        assert_eq!(count.ok().stdout.trim(), "4");
    }
    assert_eq!(setting.platform.releases(setting.app).await.len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_waits_for_the_one_that_another_builder_is_at() {
    let setting = Setting::new().await;
    let tree = setting.tree(Over::Http, &[("Buildfile", "gate")]).await;
    let other = setting.tree(Over::Ssh, &[("Procfile", "web: x")]).await;
    let first = tree.start(&["push", "one", "main"]);
    eventually("it is built", async || setting.one.compiler.running() == 1).await;
    let second = other.start(&["push", "--force", "two", "main"]);
    // It has been received, and knows the branch as it was before either.
    let objects = setting
        .two
        .disk
        .path()
        .join(format!("repos/{}.git/objects", setting.app));
    eventually("the second waits", async || {
        let names = std::fs::read_dir(&objects).into_iter().flatten();
        names
            .map(|entry| entry.unwrap().file_name())
            .any(|name| name.to_string_lossy().contains("incoming"))
    })
    .await;
    setting.one.compiler.open_gate();
    first.end().await.ok().says("Released v2");
    second
        .end()
        .await
        .refused()
        .says("Another push has moved main meanwhile");
    assert_eq!(setting.platform.releases(setting.app).await.len(), 2);
    // What the first brought is here too, and whole.
    other
        .git(&[
            "clone",
            "-q",
            &setting.user.url_at(&setting.two, Over::Ssh, "ticks"),
            "copy",
        ])
        .await
        .ok();
    let copy = other.file("copy");
    setting.user.git(&copy, &["fsck", "--strict"]).await.ok();
    setting.no_work_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_builder_dies_is_gone_on_with_by_another() {
    let mut setting = Setting::new().await;
    setting.two.compiler.open_gate();
    let files = [("Buildfile", "gate"), ("Procfile", "web: x")];
    let tree = setting.tree(Over::Http, &files).await;
    let push = tree.start(&["push", "one", "main"]);
    eventually("it is built", async || setting.one.compiler.running() == 1).await;
    setting.one.kill();
    push.end().await.refused();
    setting.no_work_is_left().await;
    assert!(matches!(
        setting.statuses().await.as_slice(),
        [BuildStatus::Succeeded { .. }]
    ));
    let build = setting.platform.builds(setting.app).await.remove(0);
    let output = setting
        .platform
        .blobs
        .read(&build.output.unwrap(), 1 << 20)
        .await
        .unwrap();
    let output = String::from_utf8_lossy(&output);
    assert!(output.contains("attempt 2 of 3"), "{output}");
    let head = tree.git(&["rev-parse", "HEAD"]).await.ok().stdout;
    assert_eq!(main_at(&tree, "two").await, head.trim());
    tree.git(&["push", "two", "main"])
        .await
        .ok()
        .says("Everything up-to-date");
    assert_eq!(setting.platform.releases(setting.app).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_commit_pushed_again_is_released_once_whoever_is_quicker() {
    for takeover_first in [false, true] {
        let mut setting = Setting::new().await;
        let files = [("Buildfile", "gate"), ("Procfile", "web: x")];
        let tree = setting.tree(Over::Http, &files).await;
        let push = tree.start(&["push", "one", "main"]);
        eventually("it is built", async || setting.one.compiler.running() == 1).await;
        setting.one.kill();
        push.end().await.refused();
        if takeover_first {
            eventually("it is built again", async || {
                setting.two.compiler.running() == 1
            })
            .await;
        }
        let again = tree.start(&["push", "two", "main"]);
        eventually("it is built again", async || {
            setting.two.compiler.running() == 1
        })
        .await;
        setting.two.compiler.open_gate();
        again.end().await.ok();
        setting.no_work_is_left().await;
        assert_eq!(setting.platform.releases(setting.app).await.len(), 2);
        let succeeded = |status: &&BuildStatus| matches!(status, BuildStatus::Succeeded { .. });
        assert_eq!(setting.statuses().await.iter().filter(succeeded).count(), 1);
        tree.commit(&[("more", "x")]).await;
        tree.git(&["push", "two", "main"])
            .await
            .ok()
            .says("Released v3");
    }
}

/// The first builder has released a commit, and died before it knew what became of the release.
async fn released_and_killed(over: Over) -> (Setting, WorkTree) {
    let mut setting = Setting::new().await;
    setting.platform.set_fate(Fate::Undecided);
    let tree = setting.tree(over, &[("Procfile", "web: x")]).await;
    let push = tree.start(&["push", "one", "main"]);
    eventually("it is released", async || {
        setting.platform.releases(setting.app).await.len() == 2
    })
    .await;
    setting.one.kill();
    push.end().await.refused();
    (setting, tree)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_builder_died_after_its_release_is_not_released_again_by_another_push() {
    let (setting, tree) = released_and_killed(Over::Http).await;
    setting.platform.set_fate(Fate::Succeed);
    // It gets the app's turn as soon as the dead builder's has lapsed, before anybody looks for work left behind.
    tree.git(&["push", "two", "main"]).await.ok();
    setting.no_work_is_left().await;
    assert_eq!(setting.platform.releases(setting.app).await.len(), 2);
    assert_eq!(setting.two.compiler.most_at_once(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_was_cancelled_is_not_gone_on_with() {
    let mut setting = Setting::new().await;
    let tree = setting.tree(Over::Http, &[("Buildfile", "gate")]).await;
    let push = tree.start(&["push", "one", "main"]);
    eventually("it is built", async || setting.one.compiler.running() == 1).await;
    push.interrupt();
    push.end().await.refused();
    setting.no_work_is_left().await;
    setting.one.kill();
    let cancelled = BuildStatus::Failed {
        reason: "Cancelled by the client".to_owned(),
    };
    assert_eq!(setting.statuses().await, [cancelled]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_ends_all_its_builders_is_given_up() {
    let mut setting = Setting::new().await;
    let tree = setting.tree(Over::Http, &[("Buildfile", "gate")]).await;
    let push = tree.start(&["push", "one", "main"]);
    eventually("it is built", async || setting.one.compiler.running() == 1).await;
    setting.one.kill();
    push.end().await.refused();
    // As if this had been the third time.
    let sources = key::BUILD_SOURCES
        .all(&*setting.platform.store)
        .await
        .unwrap();
    let mut third = sources[0].value.clone();
    third.attempt = 3;
    setting
        .platform
        .commit(Txn::new().replace(&key::BUILD_SOURCES, &sources[0], &third))
        .await;
    setting.no_work_is_left().await;
    let given_up = BuildStatus::Failed {
        reason: "Its builder was stopped during each of 3 attempts".to_owned(),
    };
    assert_eq!(setting.statuses().await, [given_up]);
    assert_eq!(setting.two.compiler.most_at_once(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_follows_its_release_when_the_builder_dies_in_between() {
    for (fate, moves) in [
        (Fate::Succeed, true),
        (
            Fate::Fail(model::ReleaseFailure {
                reason: "web.1 exited with status 1".to_owned(),
                log_tail: Vec::new(),
            }),
            false,
        ),
    ] {
        let (setting, tree) = released_and_killed(Over::Ssh).await;
        setting.platform.set_fate(fate);
        setting.no_work_is_left().await;
        let head = tree.git(&["rev-parse", "HEAD"]).await.ok().stdout;
        let there = main_at(&tree, "two").await;
        assert_eq!(there, if moves { head.trim() } else { "" });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_builders_and_their_disks_killed_at_any_moment() {
    let mut setting = Setting::new().await;
    setting.one.compiler.open_gate();
    setting.two.compiler.open_gate();
    let tree = setting.tree(Over::Http, &[("Procfile", "web: x")]).await;
    tree.git(&["push", "two", "main"]).await.ok();
    for round in 0..6u64 {
        let commit = tree.commit(&[("round", &round.to_string())]).await;
        let push = tree.start(&["push", "one", "main"]);
        // A push takes a quarter of a second: somewhere between its first byte and its last.
        let moment = std::time::Duration::from_millis(rand::random_range(0..350));
        tokio::time::sleep(moment).await;
        setting.one.kill();
        let ended = push.end().await;
        if ended.success {
            assert_eq!(main_at(&tree, "two").await, commit, "round {round}");
        } else {
            tree.git(&["push", "two", "main"]).await.ok();
        }
        if round % 2 == 0 {
            setting.one.lose_disk();
        }
        setting.one.boot(&setting.platform).await;
        setting.point(&tree, Over::Http).await;
        assert_eq!(main_at(&tree, "one").await, commit);
    }
    setting.no_work_is_left().await;
    let versions: Vec<u64> = setting
        .platform
        .releases(setting.app)
        .await
        .iter()
        .map(|release| release.version.0)
        .collect();
    assert_eq!(versions, (1..=8).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn builders_share_an_apps_build_cache_and_do_without_when_it_is_damaged() {
    let setting = Setting::new().await;
    let tree = setting.tree(Over::Http, &[("Procfile", "web: x")]).await;
    let shared = async || {
        let place = key::build_cache(setting.app);
        let found = key::BUILD_CACHES.get(&*setting.platform.store, &place);
        found.await.unwrap().map(|found| found.value.checksum)
    };
    for (remote, leaves, finds) in [
        ("one", "a", ""),
        ("two", "b", "a"),
        ("one", "c", "b"),
        ("one", "d", "c"),
    ] {
        tree.commit(&[("Buildfile", &format!("cache {leaves}"))])
            .await;
        let before = shared().await;
        tree.git(&["push", remote, "main"])
            .await
            .ok()
            .says(&format!("the cache had {finds:?}"));
        eventually("the cache is shared", async || shared().await != before).await;
    }
    let blob = setting
        .platform
        .blobs
        .local_path(&shared().await.unwrap())
        .unwrap();
    std::fs::write(blob, "damaged").unwrap();
    tree.commit(&[("Buildfile", "cache e")]).await;
    // What this one had last.
    tree.git(&["push", "two", "main"])
        .await
        .ok()
        .says("the cache had \"b\"");
}
