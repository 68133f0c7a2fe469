//! Builds that run where a scheduler says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::build_place::BuildPlacing;
use model::{AppId, BuildPlace, BuildRequest, BuilderReport};
use store::{Follower, Store, Txn, key};
use tokio::task::JoinHandle;

use super::common::host::Host;
use super::common::user::{Over, User, WorkTree};
use super::common::{Platform, eventually};

/// What the scheduler says to a request: the address of the builder, or why it waits.
type Decide = Arc<dyn Fn(&BuildRequest) -> Result<std::net::SocketAddr, String> + Send + Sync>;

struct Setting {
    platform: Platform,
    user: User,
    app: AppId,
    one: Host,
    two: Host,
    decide: Arc<Mutex<Option<Decide>>>,
    scheduler: JoinHandle<()>,
}

impl Drop for Setting {
    fn drop(&mut self) {
        self.scheduler.abort();
    }
}

impl Setting {
    async fn new() -> Self {
        let mut platform = Platform::start().await;
        let user = platform.user("user@example.com").await;
        let app = platform.app("ticks", &user).await;
        let (one, two) = (Host::start(&platform).await, Host::start(&platform).await);
        platform.stop_builder().await;
        let leads = Txn::new().put(&key::LEADERS, key::leader("scheduler"), &"me".to_owned());
        platform.commit(leads).await;
        let decide: Arc<Mutex<Option<Decide>>> = Arc::default();
        let scheduler = tokio::spawn(place(platform.store.clone(), decide.clone()));
        Self {
            platform,
            user,
            app,
            one,
            two,
            decide,
            scheduler,
        }
    }

    fn decide(
        &self,
        decide: impl Fn(&BuildRequest) -> Result<std::net::SocketAddr, String> + Send + Sync + 'static,
    ) {
        *self.decide.lock().unwrap() = Some(Arc::new(decide));
    }

    /// A work tree whose remote is the first host.
    async fn tree(&self, over: Over, files: &[(&str, &str)]) -> WorkTree {
        let tree = self
            .user
            .work_tree(&self.platform, over, "ticks", files)
            .await;
        let url = self.user.url_at(&self.one, over, "ticks");
        tree.git(&["remote", "add", "one", &url]).await.ok();
        tree
    }

    async fn request(&self) -> Option<BuildRequest> {
        let place = key::build_request(self.app);
        let seen = key::BUILD_REQUESTS.get(&*self.platform.store, &place).await;
        seen.unwrap().map(|seen| seen.value)
    }
}

/// Answers every request as `decide` says now.
async fn place(store: Arc<dyn Store>, decide: Arc<Mutex<Option<Decide>>>) {
    let mut requests = Follower::new(store.clone(), vec![key::BUILD_REQUESTS.prefix()]);
    loop {
        tokio::select! {
            _ = requests.next() => {}
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        let decide = decide.lock().unwrap().clone();
        let builders = key::ALIVE_BUILDERS.all(&*store).await.unwrap();
        for request in key::BUILD_REQUESTS.all(&*store).await.unwrap() {
            let Some(decide) = &decide else { continue };
            let request = request.value;
            let outcome = match decide(&request) {
                Ok(addr) => {
                    let is_it = |builder: &&BuilderReport| builder.addr == addr;
                    let builder = builders.iter().map(|seen| &seen.value).find(is_it);
                    let builder = builder.unwrap();
                    BuildPlacing::On {
                        builder: builder.id,
                        host: builder.host,
                    }
                }
                Err(reason) => BuildPlacing::Waits {
                    reason,
                    nobody: false,
                },
            };
            let told = BuildPlace {
                build: request.build,
                app: request.app,
                attempt: request.attempt,
                outcome,
            };
            let put = Txn::new().put(&key::BUILD_PLACES, key::build_place(request.app), &told);
            put.commit(&*store).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_built_on_the_host_that_was_chosen_and_told_to_its_pusher() {
    let setting = Setting::new().await;
    let two = setting.two.http;
    setting.decide(move |_| Ok(two));
    for (over, name) in [(Over::Http, "http"), (Over::Ssh, "ssh")] {
        let files = [
            ("Buildfile", "print from elsewhere\ncache warm"),
            ("Procfile", "web: x"),
            // Of the same second and the same files, it would be the same commit.
            ("over", name),
        ];
        let tree = setting.tree(over, &files).await;
        let pushed = tree.git(&["push", "--force", "one", "main"]).await.ok();
        pushed.says("from elsewhere").says("Released v");
    }
    assert_eq!(
        (
            setting.one.compiler.most_at_once(),
            setting.two.compiler.most_at_once()
        ),
        (0, 1)
    );
    let builds = setting.platform.builds(setting.app).await;
    let output = setting
        .platform
        .blobs
        .read(builds[0].output.as_ref().unwrap(), 1 << 20)
        .await
        .unwrap();
    assert!(String::from_utf8_lossy(&output).contains("from elsewhere"));
    assert!(setting.request().await.is_none(), "its place is free again");
    // What it was built in is gone on both, and the cache is there for whoever is next.
    for host in [&setting.one, &setting.two] {
        let builds = host.disk.path().join("builds");
        eventually("no build is left on disk", async || {
            std::fs::read_dir(&builds).unwrap().next().is_none()
        })
        .await;
    }
    eventually("the cache is shared", async || {
        let all = key::BUILD_CACHES.all(&*setting.platform.store).await;
        !all.unwrap().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_runs_counts_what_it_may_use_until_it_has_compiled() {
    let setting = Setting::new().await;
    let two = setting.two.http;
    setting.decide(move |_| Ok(two));
    let files = [("Buildfile", "gate"), ("Procfile", "web: x")];
    let tree = setting.tree(Over::Http, &files).await;
    let push = tree.start(&["push", "one", "main"]);
    eventually("it is built", async || setting.two.compiler.running() == 1).await;
    let request = setting.request().await.unwrap();
    assert_eq!((request.memory_bytes, request.cpu_millis), (2 << 30, 2000));
    setting.platform.set_fate(super::common::Fate::Undecided);
    setting.two.compiler.open_gate();
    eventually("it is released", async || {
        setting.platform.releases(setting.app).await.len() == 2
    })
    .await;
    assert!(
        setting.request().await.is_none(),
        "its dynos may need the room"
    );
    setting.platform.set_fate(super::common::Fate::Succeed);
    push.end().await.ok().says("Released v2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fails_elsewhere_rejects_the_push_with_its_words() {
    let setting = Setting::new().await;
    let two = setting.two.http;
    setting.decide(move |_| Ok(two));
    let tree = setting
        .tree(Over::Http, &[("Buildfile", "fail no such package")])
        .await;
    tree.git(&["push", "one", "main"])
        .await
        .refused()
        .says("no such package")
        .says("Push rejected to ticks");
    assert_eq!(setting.platform.releases(setting.app).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_during_a_build_costs_an_attempt_and_not_the_push() {
    let mut setting = Setting::new().await;
    let (one, two) = (setting.one.http, setting.two.http);
    setting.decide(move |request| {
        if request.not.is_empty() {
            Ok(two)
        } else {
            Ok(one)
        }
    });
    setting.one.compiler.open_gate();
    let files = [("Buildfile", "gate"), ("Procfile", "web: x")];
    let tree = setting.tree(Over::Http, &files).await;
    let push = tree.start(&["push", "one", "main"]);
    eventually("it is built", async || setting.two.compiler.running() == 1).await;
    setting.two.kill();
    push.end()
        .await
        .ok()
        .says("The host of this build is lost; it begins again on another one (attempt 2 of 4)")
        .says("Released v2");
    assert_eq!(setting.one.compiler.most_at_once(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pusher_who_leaves_ends_the_build_on_the_other_host() {
    let setting = Setting::new().await;
    let two = setting.two.http;
    setting.decide(move |_| Ok(two));
    let tree = setting.tree(Over::Http, &[("Buildfile", "hang")]).await;
    let push = tree.start(&["push", "one", "main"]);
    eventually("it is built", async || setting.two.compiler.running() == 1).await;
    push.interrupt();
    push.end().await;
    eventually("it is built no more", async || {
        setting.two.compiler.running() == 0
    })
    .await;
    eventually("the app's turn is over", async || {
        !setting.platform.is_locked(setting.app).await && setting.request().await.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_nobody_asks_for_any_more_ends() {
    let setting = Setting::new().await;
    let (one, two) = (setting.one.http, setting.two.http);
    setting.decide(move |request| {
        if request.not.is_empty() {
            Ok(two)
        } else {
            Ok(one)
        }
    });
    let tree = setting.tree(Over::Http, &[("Buildfile", "hang")]).await;
    let push = tree.start(&["push", "one", "main"]);
    eventually("it is built", async || setting.two.compiler.running() == 1).await;
    // As when the caller's host has lost its power, and its build has begun elsewhere: nobody hangs up.
    let another = BuildRequest {
        attempt: 99,
        ..setting.request().await.unwrap()
    };
    let place = key::build_request(setting.app);
    let put = Txn::new().put(&key::BUILD_REQUESTS, place, &another);
    setting.platform.commit(put).await;
    eventually("it is built here instead", async || {
        setting.two.compiler.running() == 0 && setting.one.compiler.running() == 1
    })
    .await;
    push.interrupt();
    push.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_without_a_place_says_why_and_goes_on_when_there_is_one() {
    let setting = Setting::new().await;
    let reason = "None of the 2 hosts that take builds has room for another one";
    setting.decide(move |_| Err(reason.to_owned()));
    let tree = setting.tree(Over::Http, &[("Procfile", "web: x")]).await;
    let push = tree.start(&["push", "one", "main"]);
    eventually("it is told to wait", async || {
        let place = key::build_place(setting.app);
        let answer = key::BUILD_PLACES
            .get(&*setting.platform.store, &place)
            .await;
        answer.unwrap().is_some()
    })
    .await;
    let two = setting.two.http;
    setting.decide(move |_| Ok(two));
    push.end()
        .await
        .ok()
        .says(reason)
        .says("this one waits for its turn, for at most 20 minutes")
        .says("Released v2");
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_for_others_are_asked_for_by_builders_only() {
    let setting = Setting::new().await;
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(controller_api::tls::client_config(None).unwrap())
        .build()
        .unwrap();
    let ask = serde_json::json!({"app": setting.app, "build": model::BuildId::new(), "attempt": 1});
    let call = async |token: &str, header: &'static str| {
        let url = format!("http://{}/internal/builds", setting.one.http);
        let request = http
            .post(url)
            .bearer_auth(token)
            .header(header, "x")
            .json(&ask);
        request.send().await.unwrap().status().as_u16()
    };
    let token = setting.platform.keyring.internal_token().expose().clone();
    assert_eq!(call("token", "x-none").await, 404);
    assert_eq!(call(&setting.user.token, "x-none").await, 404);
    assert_eq!(call(&token, "x-forwarded-for").await, 404);
    assert_eq!(call(&token, "x-none").await, 410, "there is no such build");
}
