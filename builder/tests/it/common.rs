//! A builder over the embedded store, with a scheduler of three lines and a compiler that needs no container.

pub(crate) mod compiler;
pub(crate) mod host;
pub(crate) mod unsteady;
pub(crate) mod user;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use builder::{AppUrls, Compile, Config, ContainerConfig, Limits, Scheme};
use controller_api::LogSink;
use jiff::Timestamp;
use model::app::App;
use model::log::LogLine;
use model::{
    Account, AccountId, AppId, AppName, Build, Collaborator, ConfigVars, Owner, Release,
    ReleaseFailure, ReleaseId, ReleaseStatus, ReleaseVersion, Secret, Slug, SshKey, TeamId,
    TeamMember, TeamRole, Token, TokenId,
};
use runtime::{Labels, NetworkSpec};
use sha2::{Digest as _, Sha256};
use store::{BlobConfig, BlobStore, Committed, Embedded, Follower, Keyring, Store, Txn, key};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use compiler::FakeCompiler;
use user::User;

/// What the scheduler makes of new releases.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    Succeed,
    Fail(ReleaseFailure),
    Undecided,
}

pub(crate) struct Platform {
    pub(crate) dir: TempDir,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keyring: Keyring,
    pub(crate) blobs: BlobStore,
    pub(crate) compiler: Arc<FakeCompiler>,
    pub(crate) fate: Arc<Mutex<Fate>>,
    pub(crate) http: SocketAddr,
    pub(crate) ssh: SocketAddr,
    pub(crate) limits: Limits,
    pub(crate) second_factor: model::SecondFactorRule,
    running: Option<Running>,
    scheduler: JoinHandle<()>,
    log_lines: Mutex<mpsc::UnboundedReceiver<LogLine>>,
    pub(crate) logs: LogSink,
}

struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), builder::Error>>,
}

impl Platform {
    pub(crate) async fn start() -> Self {
        Self::with_limits(Limits::heroku()).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = Embedded::open_in_memory().unwrap();
        let blobs = BlobStore::open(&BlobConfig::Local {
            dir: dir.path().join("blobs"),
        })
        .unwrap();
        let fate = Arc::new(Mutex::new(Fate::Succeed));
        let scheduler = tokio::spawn(schedule(store.clone(), fate.clone()));
        let (logs, log_lines) = LogSink::collect();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut platform = Self {
            keyring: Keyring::new(&[1; 32]),
            compiler: Arc::new(FakeCompiler::default()),
            http: nowhere,
            ssh: nowhere,
            dir,
            store,
            blobs,
            fate,
            limits,
            second_factor: model::SecondFactorRule::Nobody,
            running: None,
            scheduler,
            log_lines: Mutex::new(log_lines),
            logs,
        };
        platform.start_builder().await;
        platform
    }

    pub(crate) fn config(&self, address: SocketAddr) -> Config {
        Config {
            domain: "paas.localhost".to_owned(),
            app_urls: AppUrls {
                scheme: Scheme::Https,
                port: 8443,
            },
            data_dir: self.dir.path().join("data"),
            host: model::NodeId::new(),
            address,
            peer_tls: None,
            hook_binary: hook_binary(),
            container: container_config("paas-builder-it"),
            denied_networks: Vec::new(),
            limits: self.limits.clone(),
            second_factor: self.second_factor,
            max_concurrent_builds: 2,
            drain_timeout: Duration::from_secs(2),
        }
    }

    /// On new ports, as after a restart of its host.
    pub(crate) async fn start_builder(&mut self) {
        let compiler: Arc<dyn Compile> = self.compiler.clone();
        self.start_builder_with(compiler).await;
    }

    pub(crate) async fn start_builder_with(&mut self, compiler: Arc<dyn Compile>) {
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ssh = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (self.http, self.ssh) = (http.local_addr().unwrap(), ssh.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(builder::run_with_compiler(
            self.config(self.http),
            http,
            ssh,
            self.store.clone(),
            self.keyring.clone(),
            self.blobs.clone(),
            compiler,
            self.logs.clone(),
            shutdown.clone(),
        ));
        self.running = Some(Running { shutdown, task });
        let listed = || async {
            let place = key::alive_services_of(model::ServiceRole::Builder);
            let all = key::ALIVE_SERVICES
                .list(&*self.store, &place)
                .await
                .unwrap();
            all.iter().any(|service| service.value.addr == self.http)
        };
        eventually("the builder is up", listed).await;
    }

    pub(crate) async fn stop_builder(&mut self) {
        let running = self.running.take().unwrap();
        running.shutdown.cancel();
        running.task.await.unwrap().unwrap();
    }

    /// As `kill -9` does it: nothing gets to say goodbye.
    pub(crate) async fn kill_builder(&mut self) {
        let running = self.running.take().unwrap();
        running.task.abort();
        let _ = running.task.await;
    }

    /// The user's token is good for that alone from now on.
    pub(crate) async fn narrow(&self, user: &User, scope: model::Scope) {
        let place = key::token(&hex::encode(Sha256::digest(&user.token)).parse().unwrap());
        let seen = key::TOKENS
            .get(&*self.store, &place)
            .await
            .unwrap()
            .unwrap();
        let narrowed = Token {
            scope: vec![scope],
            ..seen.value.clone()
        };
        self.commit(Txn::new().replace(&key::TOKENS, &seen, &narrowed))
            .await;
    }

    pub(crate) async fn user(&self, email: &str) -> User {
        self.account(email, false).await
    }

    pub(crate) async fn account(&self, email: &str, is_admin: bool) -> User {
        let now = Timestamp::now();
        let account = Account {
            id: AccountId::new(),
            email: email.parse().unwrap(),
            name: None,
            is_admin,
            password_hash: Secret::from("x"),
            created_at: now,
            updated_at: now,
            last_login: None,
            second_factor: None,
            identity: None,
            credentials_version: 0,
            suspended_at: None,
        };
        let secret = format!("token-of-{}", account.id);
        let token = Token {
            id: TokenId::new(),
            account: account.id,
            description: "test".to_owned(),
            scope: vec![model::Scope::Global],
            created_at: now,
            expires_at: None,
        };
        let user = User::new(self, account, secret);
        let place = key::token(&hex::encode(Sha256::digest(&user.token)).parse().unwrap());
        let (fingerprint, public_key) = user.public_key();
        let ssh_key = SshKey {
            id: model::KeyId::new(),
            account: user.account.id,
            public_key,
            fingerprint: fingerprint.clone(),
            comment: String::new(),
            created_at: now,
        };
        self.commit(
            Txn::new()
                .put(&key::ACCOUNTS, key::account(user.account.id), &user.account)
                .put(&key::TOKENS, place, &token)
                .put(&key::SSH_KEYS, key::ssh_key(&fingerprint), &ssh_key),
        )
        .await;
        user
    }

    pub(crate) async fn app(&self, name: &str, owner: &User) -> AppId {
        let now = Timestamp::now();
        let name: AppName = name.parse().unwrap();
        let app = App {
            id: AppId::new(),
            name: name.clone(),
            owner: Owner::Account(owner.account.id),
            locked: false,
            created_at: now,
            updated_at: now,
            released_at: None,
            stack: "heroku-24".to_owned(),
            maintenance: false,
            buildpacks: Vec::new(),
            formation: Default::default(),
            placement: Default::default(),
            routing: Default::default(),
            latest: ReleaseVersion::FIRST,
            target: ReleaseVersion::FIRST,
            current: ReleaseVersion::FIRST,
            repo_size: None,
            slug_size: None,
        };
        let release = Release {
            id: ReleaseId::new(),
            app: app.id,
            version: ReleaseVersion::FIRST,
            description: "Initial release".to_owned(),
            actor: model::Actor {
                account: owner.account.id,
                email: owner.account.email.clone(),
            },
            slug: None,
            status: ReleaseStatus::Succeeded,
            addons: Default::default(),
            pages: Default::default(),
            created_at: now,
            updated_at: now,
        };
        let config_key = key::release_config(app.id, release.version);
        let config = self
            .keyring
            .seal(&config_key, &ConfigVars::default())
            .unwrap();
        self.commit(
            Txn::new()
                .put(&key::APPS, key::app(app.id), &app)
                .put(&key::APP_NAMES, key::app_name(&name), &app.id)
                .put(
                    &key::RELEASES,
                    key::release(app.id, release.version),
                    &release,
                )
                .put(&key::RELEASE_CONFIG, config_key, &config),
        )
        .await;
        app.id
    }

    pub(crate) async fn destroy(&self, app: AppId, name: &str) {
        self.commit(
            Txn::new()
                .delete(key::app(app))
                .delete(key::app_name(&name.parse().unwrap())),
        )
        .await;
    }

    pub(crate) async fn share(&self, app: AppId, with: &User) {
        self.share_for(app, with, model::Permission::Operate).await;
    }

    pub(crate) async fn share_for(&self, app: AppId, with: &User, permission: model::Permission) {
        let now = Timestamp::now();
        let id = uuid::Uuid::new_v4();
        let collaborator = Collaborator {
            permission,
            as_member: None,
            id,
            app,
            account: with.account.id,
            created_at: now,
            updated_at: now,
        };
        let place = key::collaborator(app, with.account.id);
        self.commit(Txn::new().put(&key::COLLABORATORS, place, &collaborator))
            .await;
    }

    pub(crate) async fn give_to_a_team(&self, app: AppId, people: &[(&User, TeamRole)]) {
        let (team, now) = (TeamId::new(), Timestamp::now());
        let mut record = self.app_record(app).await;
        record.owner = Owner::Team { team };
        let mut txn = Txn::new().put(&key::APPS, key::app(app), &record);
        for (user, role) in people {
            let account = user.account.id;
            let member = TeamMember {
                id: uuid::Uuid::new_v4(),
                team,
                account,
                role: *role,
                created_at: now,
                updated_at: now,
            };
            txn = txn.put(&key::TEAM_MEMBERS, key::team_member(team, account), &member);
        }
        self.commit(txn).await;
    }

    pub(crate) async fn commit(&self, txn: Txn) {
        assert!(matches!(
            txn.commit(&*self.store).await.unwrap(),
            Committed::Done(_)
        ));
    }

    pub(crate) fn set_fate(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
    }

    pub(crate) async fn app_record(&self, app: AppId) -> App {
        key::APPS
            .get(&*self.store, &key::app(app))
            .await
            .unwrap()
            .unwrap()
            .value
    }

    pub(crate) async fn releases(&self, app: AppId) -> Vec<Release> {
        let all = key::RELEASES
            .list(&*self.store, &key::releases_of(app))
            .await
            .unwrap();
        all.into_iter().map(|release| release.value).collect()
    }

    pub(crate) async fn builds(&self, app: AppId) -> Vec<Build> {
        let all = key::BUILDS
            .list(&*self.store, &key::builds_of(app))
            .await
            .unwrap();
        all.into_iter().map(|build| build.value).collect()
    }

    pub(crate) async fn slug_of(&self, release: &Release) -> Slug {
        let place = key::slug(release.app, release.slug.unwrap());
        key::SLUGS
            .get(&*self.store, &place)
            .await
            .unwrap()
            .unwrap()
            .value
    }

    pub(crate) async fn is_locked(&self, app: AppId) -> bool {
        key::ALIVE_BUILDS
            .get(&*self.store, &key::alive_build(app))
            .await
            .unwrap()
            .is_some()
    }

    /// The `app[api]` lines so far.
    pub(crate) fn api_lines(&self) -> Vec<String> {
        let mut lines = self.log_lines.lock().unwrap();
        std::iter::from_fn(|| lines.try_recv().ok())
            .map(|line| line.text)
            .collect()
    }

    pub(crate) fn files(&self, below: &str) -> Vec<String> {
        match std::fs::read_dir(self.dir.path().join("data").join(below)) {
            Ok(entries) => entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect(),
            Err(_) => Vec::new(),
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.scheduler.abort();
        if let Some(running) = &self.running {
            running.task.abort();
        }
    }
}

/// With a network of its own: a test that ends removes it, and others may still be at work. `instance` names its
/// bridge too, and has 15 characters at most.
pub(crate) fn container_config(instance: &str) -> ContainerConfig {
    ContainerConfig {
        image: "paas/stack:24-build".to_owned(),
        stack: "heroku-24".to_owned(),
        network: NetworkSpec {
            name: instance.to_owned(),
            bridge: instance.to_owned(),
            subnet: None,
            labels: Labels::new(),
        },
        instance: instance.to_owned(),
        ca_bundle: Some("/etc/ssl/certs/ca-certificates.crt".into()),
    }
}

/// Built beside this test.
fn hook_binary() -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/hook");
    assert!(
        path.exists(),
        "{} is built with the tests: cargo test or cargo nextest",
        path.display()
    );
    path
}

/// Decides every pending release as it is told to.
async fn schedule(store: Arc<dyn Store>, fate: Arc<Mutex<Fate>>) {
    let mut releases = Follower::new(store.clone(), vec![key::RELEASES.prefix()]);
    loop {
        tokio::select! {
            _ = releases.next() => {}
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        let fate = fate.lock().unwrap().clone();
        for found in key::RELEASES.all(&*store).await.unwrap() {
            if found.value.status.is_pending() {
                decide(&*store, &found, &fate).await;
            }
        }
    }
}

async fn decide(store: &dyn Store, found: &store::Versioned<Release>, fate: &Fate) {
    let Some(app) = key::APPS
        .get(store, &key::app(found.value.app))
        .await
        .unwrap()
    else {
        return;
    };
    let mut changed = app.value.clone();
    let status = match fate {
        Fate::Undecided => return,
        Fate::Succeed => {
            changed.current = found.value.version;
            ReleaseStatus::Succeeded
        }
        Fate::Fail(failure) => {
            changed.target = changed.current;
            ReleaseStatus::Failed(failure.clone())
        }
    };
    let release = Release {
        status,
        ..found.value.clone()
    };
    let txn =
        Txn::new()
            .replace(&key::RELEASES, found, &release)
            .replace(&key::APPS, &app, &changed);
    let _ = txn.commit(store).await.unwrap();
}

/// Waits for a condition; panics after 90 s.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(90);
    while !condition().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not within 90 s: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
