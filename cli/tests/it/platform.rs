//! Against the real controller: what canned answers cannot promise.

use std::net::SocketAddr;
use std::sync::mpsc;

use controller::{Config, DrainsConfig, LogLimits, PublicEndpoint, Scheme, WebhookConfig};
use store::{BlobConfig, BlobStore, Embedded, Keyring, Store};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::harness::Cli;
use super::stub::Stub;

/// A controller on a store in memory; it ends with this.
pub(crate) struct Platform {
    addr: SocketAddr,
    pub(crate) password: String,
    shutdown: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
    _dir: TempDir,
}

pub(crate) const EMAIL: &str = "admin@example.com";

impl Platform {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().to_owned();
        let shutdown = CancellationToken::new();
        let (told, started) = mpsc::channel();
        let off = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let store = Embedded::open_in_memory().unwrap();
                let now = jiff::Timestamp::now();
                let first =
                    controller::accounts::create_first(&*store, EMAIL.parse().unwrap(), now).await;
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let addr = listener.local_addr().unwrap();
                told.send((addr, first.unwrap().unwrap().password.into_exposed()))
                    .unwrap();
                let blobs = BlobStore::open(&BlobConfig::Local {
                    dir: data_dir.join("blobs"),
                })
                .unwrap();
                let public = PublicEndpoint {
                    scheme: Scheme::Http,
                    port: addr.port(),
                };
                let config = Config {
                    domain: "paas.localhost".to_owned(),
                    web: public,
                    api: public,
                    git: public,
                    data_dir,
                    stack: "heroku-24".to_owned(),
                    other_stacks: Vec::new(),
                    advertise: None,
                    requests_per_hour: 100_000,
                    slugs_per_app: 20,
                    logs: LogLimits {
                        segment_bytes: 1 << 20,
                        total_bytes: 100 << 20,
                    },
                    drains: DrainsConfig {
                        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
                        ca: None,
                    },
                    certificate_lifetime: controller::authority::CERTIFICATE_LIFETIME,
                    acme: None,
                    peer_tls: None,
                    router_tls: None,
                    builder_tls: None,
                    reserved_ports: Default::default(),
                    webhooks: WebhookConfig {
                        allow_http: false,
                        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
                        attempt_within: std::time::Duration::from_secs(2),
                        first_pause: std::time::Duration::from_millis(50),
                    },
                    second_factor: Default::default(),
                    oidc: None,
                    joiners: Err("A test of one host.".to_owned()),
                };
                let store: std::sync::Arc<dyn Store> = store;
                controller::run(config, listener, store, Keyring::new(&[7; 32]), blobs, off)
                    .await
                    .unwrap();
            });
        });
        let (addr, password) = started.recv().unwrap();
        Self {
            addr,
            password,
            shutdown,
            thread: Some(thread),
            _dir: dir,
        }
    }
}

impl Platform {
    pub(crate) fn api(&self) -> String {
        format!("http://api.paas.localhost:{}", self.addr.port())
    }

    /// Without a name that would have to be looked up.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The administrator's.
    pub(crate) fn cli(&self) -> Cli {
        let cli = Cli::logged_out(Stub::start());
        let api = self.api();
        let login = ["login", "--api", &api, "--email", EMAIL, "--password-stdin"];
        let outcome = cli.paas_with_stdin(&login, self.password.as_bytes());
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        cli
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn an_app_lives_from_login_to_destroy() {
    let platform = Platform::start();
    let cli = Cli::logged_out(Stub::start());
    let api = format!("http://api.paas.localhost:{}", platform.addr.port());
    let ok = |args: &[&str]| {
        let outcome = cli.paas(args);
        assert_eq!(outcome.code, 0, "{args:?}: {}", outcome.stderr);
        outcome
    };
    let login = ["login", "--api", &api, "--email", EMAIL, "--password-stdin"];
    let outcome = cli.paas_with_stdin(&login, platform.password.as_bytes());
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    ok(&["whoami"]).answers("admin@example.com\n");

    cli.git(&["init", "-q"]);
    ok(&["create", "myapp", "-b", "heroku/python"]);
    assert!(
        cli.git(&["remote", "get-url", "paas"])
            .ends_with("/myapp.git\n")
    );
    ok(&["apps"]).answers("=== admin@example.com Apps\n\nmyapp\n");
    assert!(ok(&["info"]).stdout.contains("Web URL:"));

    ok(&["config:set", "A=1", "B=two words"])
        .says("Setting A, B and restarting ⬢ myapp... done, v2\n");
    ok(&["config:unset", "A"]).says("Unsetting A and restarting ⬢ myapp... done, v3\n");
    ok(&["config"]).answers("=== myapp Config Vars\n\nB:  two words\n");
    let releases = ok(&["releases"]).stdout;
    assert!(
        releases.starts_with("=== myapp Releases - Current: v3\n\nv3  Remove A config vars"),
        "{releases}"
    );
    ok(&["releases:info", "v2"]);
    // Nothing was pushed, so there is no code to go back to: the platform's own words come through.
    let rolled_back = cli.paas(&["rollback", "v2"]);
    assert_eq!(rolled_back.code, 1);
    assert!(
        rolled_back.stderr.contains("Cannot roll back to v2"),
        "{}",
        rolled_back.stderr
    );

    ok(&["domains:add", "www.example.com"]);
    assert!(
        ok(&["domains"])
            .stdout
            .contains("www.example.com  CNAME            myapp.paas.localhost")
    );
    ok(&["domains:remove", "www.example.com"]);
    ok(&["maintenance:on"]);
    ok(&["maintenance"]).answers("on\n");
    ok(&["buildpacks:add", "heroku/nodejs", "-i", "1"]);
    ok(&["buildpacks"]).answers("=== myapp Buildpacks\n\n1. heroku/nodejs\n2. heroku/python\n");
    assert!(ok(&["access"]).stdout.contains("admin@example.com  owner"));
    ok(&["restart"]);
    assert!(ok(&["logs"]).stdout.contains("app[api]: "));
    ok(&["nodes"]);

    let invited = ok(&["accounts:create", "friend@example.com", "--json"]).stdout;
    let invited: serde_json::Value = serde_json::from_str(&invited).unwrap();
    assert_eq!(invited["account"]["email"], "friend@example.com");
    assert!(invited["password"].as_str().unwrap().len() > 10);
    ok(&["access:add", "friend@example.com"]);
    assert!(
        ok(&["access"])
            .stdout
            .contains("friend@example.com  collaborator")
    );

    let run = cli.paas(&["run", "bash"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("push some code first"),
        "{}",
        run.stderr
    );
    ok(&["rename", "renamed"]);
    assert!(
        cli.git(&["remote", "get-url", "paas"])
            .ends_with("/renamed.git\n")
    );
    ok(&["destroy", "--confirm", "renamed"]);
    let gone = cli.paas(&["info", "-a", "renamed"]);
    assert_eq!(gone.code, 1);
    ok(&["logout"]);
    assert_eq!(cli.paas(&["whoami"]).code, 1);
}

#[test]
fn an_ssh_key_is_added_listed_and_removed() {
    let platform = Platform::start();
    let cli = Cli::logged_out(Stub::start());
    let api = format!("http://api.paas.localhost:{}", platform.addr.port());
    let login = ["login", "--api", &api, "--email", EMAIL, "--password-stdin"];
    assert_eq!(
        cli.paas_with_stdin(&login, platform.password.as_bytes())
            .code,
        0
    );
    let key = cli.home.path().join("id_ed25519");
    let made = cli
        .command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "me@laptop", "-f"])
        .arg(&key)
        .status();
    assert!(made.unwrap().success());
    let public = key.with_extension("pub").to_string_lossy().into_owned();
    let added = cli.paas(&["keys:add", &public]);
    assert_eq!(added.code, 0, "{}", added.stderr);
    let listed = cli.paas(&["keys"]).stdout;
    assert!(
        listed.starts_with("=== admin@example.com keys\n\nssh-ed25519 AAAAC3NzaC...")
            && listed.contains("  me@laptop  "),
        "{listed}"
    );
    assert_eq!(cli.paas(&["keys:remove", "me@laptop"]).code, 0);
    assert_eq!(cli.paas(&["keys"]).stdout, "");
}

#[test]
fn what_was_done_is_listed_and_the_record_of_it_is_whole() {
    let platform = Platform::start();
    let cli = platform.cli();
    for args in [
        &["create", "audited", "--no-remote"][..],
        &["config:set", "SECRET=hunter2", "-a", "audited", "--no-wait"],
    ] {
        let said = cli.paas(args);
        assert_eq!(said.code, 0, "{}", said.stderr);
    }
    let listed = cli.paas(&["audit", "-a", "audited"]).stdout;
    let line = listed.lines().next().unwrap();
    assert!(line.contains(EMAIL) && line.contains("127.0.0.1"), "{line}");
    assert!(line.contains("PATCH /apps/audited/config-vars"), "{line}");
    assert!(!listed.contains("hunter2"), "{listed}");
    let all = cli.paas(&["audit", "--all", "--json"]).stdout;
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    let actions = all.as_array().unwrap().iter();
    let actions: Vec<_> = actions.map(|one| one["action"].as_str().unwrap()).collect();
    assert!(actions.contains(&"POST /apps"), "{actions:?}");
    let verified = cli.paas(&["audit:verify"]);
    assert!(
        verified
            .stdout
            .contains("The audit log is whole: blocks 1 to "),
        "{}",
        verified.stdout
    );
}

#[test]
fn what_everybody_is_to_know_is_told_once_after_what_was_asked_for() {
    let platform = Platform::start();
    let cli = platform.cli();
    let notice = |args: &[&str]| {
        let outcome = cli.paas(&[&["platform:notice"], args].concat());
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        outcome
    };
    assert!(notice(&[]).stderr.contains("There is no notice."));
    notice(&["Maintenance", "on", "Sunday"]);
    let listed = cli.paas(&["apps"]);
    let told = "Warning: Maintenance on Sunday";
    assert_eq!(listed.stderr.matches(told).count(), 1, "{}", listed.stderr);
    assert!(!listed.stdout.contains("Sunday"), "{}", listed.stdout);
    assert_eq!(notice(&[]).stdout, "Maintenance on Sunday\n");
    // An error has it, too.
    let failed = cli.paas(&["apps:info", "-a", "nonesuch"]);
    assert!(failed.stderr.contains(told), "{}", failed.stderr);
    assert_eq!(cli.paas(&["platform:notice", "--clear", "text"]).code, 2);
    notice(&["--clear"]);
    assert!(!cli.paas(&["apps"]).stderr.contains("Sunday"));
}
