//! A node with everything around it that an agent needs, and hands to turn it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use controller_api::LogSink;
use model::dyno::{Attach, OneOff};
use model::{
    AccountId, Actor, AppId, ConfigVars, Dyno, DynoId, DynoKind, DynoSize, DynoState, DynoStatus,
    Exit, Intent, LogLine, NodeId, Release, ReleaseId, ReleaseStatus, ReleaseVersion, Secret, Slug,
    SlugId, Timestamp,
};
use runtime::fake::{Behaviour, FakeContainer, PackedFile, pack_slug};
use runtime::{Fake, NetworkSpec, Runtime};
use scheduler::agent::{self, Config, Firewall};
use store::blob::{BlobConfig, BlobStore};
use store::embedded::Embedded;
use store::{Committed, Keyring, Store, Txn, key};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::flaky::Flaky;

/// How long anything may take to come about.
pub(super) const PATIENCE: Duration = Duration::from_secs(100);

/// Asks again and again until it is so.
macro_rules! eventually {
    ($what:expr) => {{
        let deadline = tokio::time::Instant::now() + $crate::it::agent::fixture::PATIENCE;
        loop {
            if $what {
                break;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "never became so: {}",
                stringify!($what)
            );
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }};
}
pub(super) use eventually;

pub(super) struct Node {
    _dir: tempfile::TempDir,
    pub store: Arc<Flaky>,
    pub keyring: Keyring,
    pub blobs: BlobStore,
    pub engine: Arc<dyn Runtime>,
    pub fake: Fake,
    pub config: Config,
    pub app: AppId,
    logs: LogSink,
    lines: UnboundedReceiver<LogLine>,
    seen: Vec<LogLine>,
    agent: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Node {
    /// With an agent that runs. Web dynos bind their port unless a test's script says otherwise.
    pub(super) async fn start() -> Self {
        let mut node = Self::prepared().await;
        node.start_agent();
        node
    }

    pub(super) async fn prepared() -> Self {
        let fake = Fake::new();
        fake.script(
            |spec| match spec.env.get("PORT").map(|port| port.expose().parse()) {
                Some(Ok(port)) => Behaviour::web(port),
                _ => Behaviour::default(),
            },
        );
        Self::over(Arc::new(fake.clone()), fake).await
    }

    pub(super) async fn over(engine: Arc<dyn Runtime>, fake: Fake) -> Self {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let blobs = BlobStore::open(&BlobConfig::Local {
            dir: dir.path().join("blobs"),
        })
        .unwrap();
        let (logs, lines) = LogSink::collect();
        let instance = uuid::Uuid::new_v4().simple().to_string();
        let config = Config {
            node_id: NodeId::new(),
            name: "node-a".to_owned(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            roles: [model::HostRole::Node].into(),
            zone: None,
            tags: BTreeMap::new(),
            memory_bytes: 8 << 30,
            cpus: 2,
            data_dir: dir.path().join("data"),
            instance,
            stack: "heroku-24".to_owned(),
            run_image: "paas/stack:24".to_owned(),
            network: NetworkSpec {
                name: "paas".to_owned(),
                bridge: "paas0".to_owned(),
                subnet: None,
                labels: BTreeMap::new(),
            },
            firewall: Firewall::Off,
            port: 5000,
            boot_timeout: Duration::from_secs(60),
            stop_grace: Duration::from_secs(30),
            attach_within: Duration::from_secs(60),
            controller_tls: None,
            ca_bundle: None,
            slug_cache_bytes: 1 << 30,
            max_slug_bytes: 1 << 30,
            slug_owner: None,
        };
        Self {
            _dir: dir,
            store: Arc::new(Flaky::over(Embedded::open_in_memory().unwrap())),
            keyring: Keyring::new(&[7; 32]),
            blobs,
            engine,
            fake,
            config,
            app: AppId::new(),
            logs,
            lines,
            seen: Vec::new(),
            agent: None,
        }
    }

    pub(super) fn start_agent(&mut self) {
        assert!(self.agent.is_none());
        let stop = CancellationToken::new();
        let run = agent::run(
            self.config.clone(),
            Arc::clone(&self.store) as Arc<dyn Store>,
            self.keyring.clone(),
            self.blobs.clone(),
            Arc::clone(&self.engine),
            self.logs.clone(),
            stop.clone(),
        );
        let task = tokio::spawn(async move { run.await.unwrap() });
        self.agent = Some((stop, task));
    }

    pub(super) async fn stop_agent(&mut self) {
        let (stop, task) = self.agent.take().unwrap();
        stop.cancel();
        tokio::time::timeout(PATIENCE, task)
            .await
            .expect("the agent leaves when told")
            .unwrap();
    }

    /// As kill -9 would.
    pub(super) async fn kill_agent(&mut self) {
        let (_, task) = self.agent.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    /// A release with a slug and this config.
    pub(super) async fn release(&self, config: &[(&str, &str)]) -> ReleaseVersion {
        self.release_of(
            config,
            &[PackedFile {
                path: "Procfile",
                body: "web: run",
                executable: false,
            }],
        )
        .await
    }

    pub(super) async fn release_of(
        &self,
        config: &[(&str, &str)],
        files: &[PackedFile<'_>],
    ) -> ReleaseVersion {
        let (packed, checksum) = pack_slug(files);
        self.blobs.put_bytes(packed.into()).await.unwrap();
        let now = Timestamp::now();
        let version = ReleaseVersion(self.releases().await + 1);
        let slug = Slug {
            id: SlugId::new(),
            app: self.app,
            checksum,
            size: 1,
            unpacked_size: 1,
            commit: Some("0123456789abcdef".to_owned()),
            commit_description: None,
            language: None,
            process_types: BTreeMap::new(),
            stack: "heroku-24".to_owned(),
            created_at: now,
        };
        let release = Release {
            id: ReleaseId::new(),
            app: self.app,
            version,
            description: "Deploy 01234567".to_owned(),
            actor: actor(),
            slug: Some(slug.id),
            status: ReleaseStatus::Pending,
            addons: Default::default(),
            pages: Default::default(),
            created_at: now,
            updated_at: now,
        };
        let vars = config
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), Secret::from(*value)))
            .collect();
        let place = key::release_config(self.app, version);
        let sealed = self.keyring.seal(&place, &ConfigVars(vars)).unwrap();
        self.commit(
            Txn::new()
                .create(&key::SLUGS, key::slug(self.app, slug.id), &slug)
                .create(&key::RELEASES, key::release(self.app, version), &release)
                .create(&key::RELEASE_CONFIG, place, &sealed),
        )
        .await;
        version
    }

    async fn releases(&self) -> u64 {
        self.store
            .list(&key::releases_of(self.app))
            .await
            .unwrap()
            .entries
            .len() as u64
    }

    /// Writes down a dyno that should run here.
    pub(super) async fn dyno(&self, name: &str, release: ReleaseVersion) -> Dyno {
        self.dyno_of(name, release, DynoKind::Formation).await
    }

    pub(super) async fn dyno_of(
        &self,
        name: &str,
        release: ReleaseVersion,
        kind: DynoKind,
    ) -> Dyno {
        let dyno = self.record(name, release, kind);
        self.put(&dyno).await;
        dyno
    }

    pub(super) fn record(&self, name: &str, release: ReleaseVersion, kind: DynoKind) -> Dyno {
        Dyno {
            id: DynoId::new(),
            app: self.app,
            app_name: "shop".parse().unwrap(),
            name: name.parse().unwrap(),
            kind,
            release,
            release_id: ReleaseId::new(),
            node: Some(self.config.node_id),
            command: "run the shop".to_owned(),
            size: DynoSize::default(),
            intent: Intent::Run,
            replace: false,
            created_at: Timestamp::now(),
        }
    }

    pub(super) fn one_off(&self, attach: Option<Attach>, time_to_live_secs: u64) -> DynoKind {
        let env = model::Sealed::from_bytes(Vec::new());
        DynoKind::OneOff(OneOff {
            env,
            attach,
            time_to_live_secs,
            requested_by: actor(),
            is_kept: false,
        })
    }

    pub(super) async fn put(&self, dyno: &Dyno) {
        self.commit(Txn::new().put(&key::DYNOS, key::dyno(dyno.app, dyno.id), dyno))
            .await;
    }

    pub(super) async fn ask_to_stop(&self, dyno: &Dyno) {
        self.put(&Dyno {
            intent: Intent::Stop {
                since: Timestamp::now(),
            },
            ..dyno.clone()
        })
        .await;
    }

    pub(super) async fn delete(&self, dyno: &Dyno) {
        self.commit(Txn::new().delete(key::dyno(dyno.app, dyno.id)))
            .await;
    }

    pub(super) async fn commit(&self, txn: Txn) {
        assert!(matches!(
            txn.commit(&*self.store).await.unwrap(),
            Committed::Done(_)
        ));
    }

    pub(super) async fn status(&self, dyno: &Dyno) -> Option<DynoStatus> {
        Some(self.versioned_status(dyno).await?.value)
    }

    pub(super) async fn versioned_status(
        &self,
        dyno: &Dyno,
    ) -> Option<store::Versioned<DynoStatus>> {
        key::DYNO_STATUS
            .get(&*self.store, &key::dyno_status(dyno.app, dyno.id))
            .await
            .unwrap()
    }

    pub(super) async fn state(&self, dyno: &Dyno) -> Option<DynoState> {
        self.status(dyno).await.map(|status| status.state)
    }

    pub(super) async fn is_up(&self, dyno: &Dyno) -> bool {
        self.state(dyno).await.is_some_and(|state| state.is_up())
    }

    /// How it crashed, seen in one look: a first crash is mended at once.
    pub(super) async fn crash(&self, dyno: &Dyno) -> Crash {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(DynoState::Crashed { at, exit, retry_at }) = self.state(dyno).await {
                return Crash { at, exit, retry_at };
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{} never crashed",
                dyno.name
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(super) async fn is_stopped(&self, dyno: &Dyno) -> bool {
        self.state(dyno)
            .await
            .is_some_and(|state| state.is_stopped())
    }

    /// The one container of the dyno that runs.
    pub(super) fn running(&self, dyno: &Dyno) -> FakeContainer {
        let mut found = self.containers_of(dyno);
        found.retain(|container| container.state.is_running());
        assert_eq!(found.len(), 1, "one container of {} runs", dyno.name);
        found.remove(0)
    }

    pub(super) fn containers_of(&self, dyno: &Dyno) -> Vec<FakeContainer> {
        let id = dyno.id.to_string();
        let mut all = self.fake.containers();
        all.retain(|container| container.spec.labels.get("paas.dyno") == Some(&id));
        all
    }

    pub(super) fn dyno_dir(&self, dyno: &Dyno) -> PathBuf {
        self.config.data_dir.join("dynos").join(dyno.id.to_string())
    }

    /// All log lines so far, as `heroku[web.1]: text`.
    pub(super) fn log(&mut self) -> Vec<String> {
        while let Ok(line) = self.lines.try_recv() {
            self.seen.push(line);
        }
        let shown =
            |line: &LogLine| format!("{}[{}]: {}", line.source.as_str(), line.process, line.text);
        self.seen.iter().map(shown).collect()
    }

    pub(super) fn logged(&mut self, text: &str) -> usize {
        self.log().iter().filter(|line| line.contains(text)).count()
    }
}

pub(super) struct Crash {
    pub at: Timestamp,
    pub exit: Exit,
    pub retry_at: Timestamp,
}

pub(super) fn actor() -> Actor {
    Actor {
        account: AccountId::new(),
        email: "dev@example.com".parse().unwrap(),
    }
}
