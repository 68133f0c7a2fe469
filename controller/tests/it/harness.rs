//! A whole controller on a free port, and people who call it.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use controller::{Config, DrainsConfig, LogLimits, PublicEndpoint, Scheme, WebhookConfig};
use controller_api::{Client, ClientOptions};
use model::{AccountId, Secret};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use store::{BlobConfig, BlobStore, Embedded, Keyring, Store};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::schema;

pub(crate) struct Platform {
    pub(crate) addr: SocketAddr,
    pub(crate) store: Arc<Embedded>,
    pub(crate) keyring: Keyring,
    pub(crate) blobs: BlobStore,
    pub(crate) admin: User,
    pub(crate) dir: Arc<tempfile::TempDir>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), controller::RunError>>,
}

/// Somebody with an account and a token.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) id: AccountId,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) token: String,
    pub(crate) addr: SocketAddr,
    pub(crate) http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Platform {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(configure: impl FnOnce(&mut Config)) -> Self {
        let store = Embedded::open_in_memory().unwrap();
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let admin = first_account(&store).await;
        Self::start_on(store, dir, admin, configure).await
    }

    /// On a listener whose address others were told already.
    pub(crate) async fn start_at(
        listener: TcpListener,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let store = Embedded::open_in_memory().unwrap();
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let admin = first_account(&store).await;
        Self::serve(listener, store, dir, admin, configure)
    }

    /// Another controller on the store and disk of one that has stopped, and a user as he reaches it now.
    pub(crate) async fn restart_on(
        store: Arc<Embedded>,
        dir: Arc<tempfile::TempDir>,
        user: User,
        configure: impl FnOnce(&mut Config),
    ) -> (Self, User) {
        let platform = Self::start_on(store, dir, user.clone(), configure).await;
        let user = User {
            addr: platform.addr,
            ..user
        };
        (platform, user)
    }

    async fn start_on(
        store: Arc<Embedded>,
        dir: Arc<tempfile::TempDir>,
        admin: User,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, store, dir, admin, configure)
    }

    fn serve(
        listener: TcpListener,
        store: Arc<Embedded>,
        dir: Arc<tempfile::TempDir>,
        admin: User,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let keyring = Keyring::new(&[7; 32]);
        let blobs = BlobStore::open(&BlobConfig::Local {
            dir: dir.path().join("blobs"),
        })
        .unwrap();
        let addr = listener.local_addr().unwrap();
        let mut config = config(addr, dir.path());
        configure(&mut config);
        let shutdown = CancellationToken::new();
        let admin = User { addr, ..admin };
        let dyn_store: Arc<dyn Store> = store.clone();
        let run = controller::run(
            config,
            listener,
            dyn_store,
            keyring.clone(),
            blobs.clone(),
            shutdown.clone(),
        );
        let task = tokio::spawn(run);
        Self {
            addr,
            store,
            keyring,
            blobs,
            admin,
            dir,
            shutdown,
            task,
        }
    }

    pub(crate) async fn stop(mut self) {
        self.shut_down().await;
    }

    /// The controller ends; its store is still there.
    pub(crate) async fn shut_down(&mut self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(60), &mut self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    /// A new account, made by the administrator and logged in.
    pub(crate) async fn user(&self, name: &str) -> User {
        let email = format!("{name}@example.com");
        let made = self
            .admin
            .post("/accounts", json!({"email": email, "name": name}))
            .await
            .expect(201);
        let password = made["password"].as_str().unwrap().to_owned();
        let id = made["account"]["id"].as_str().unwrap().parse().unwrap();
        let mut user = User {
            id,
            email,
            password,
            token: String::new(),
            addr: self.addr,
            http: self.admin.http.clone(),
        };
        user.token = user.log_in(&user.password).await.expect(201)["access_token"]["token"]
            .as_str()
            .unwrap()
            .to_owned();
        user
    }

    pub(crate) fn nobody(&self) -> User {
        User {
            token: String::new(),
            ..self.admin.clone()
        }
    }

    /// How other roles call.
    pub(crate) fn internal(&self) -> User {
        User {
            token: self.keyring.internal_token().expose().clone(),
            ..self.admin.clone()
        }
    }
}

fn config(addr: SocketAddr, data_dir: &Path) -> Config {
    let public = PublicEndpoint {
        scheme: Scheme::Http,
        port: addr.port(),
    };
    Config {
        domain: "paas.localhost".to_owned(),
        web: public,
        api: public,
        git: public,
        data_dir: data_dir.to_owned(),
        stack: "heroku-24".to_owned(),
        other_stacks: vec!["heroku-22".to_owned()],
        advertise: Some(IpAddr::from([127, 0, 0, 1])),
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
            allow_http: true,
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            attempt_within: Duration::from_secs(2),
            first_pause: Duration::from_millis(50),
        },
        second_factor: Default::default(),
        oidc: None,
        joiners: Err("A test of one host.".to_owned()),
    }
}

/// One more controller of the same platform, on a host of its own: its own disk, its own threads.
pub(crate) struct Another {
    pub(crate) addr: SocketAddr,
    dir: tempfile::TempDir,
    running: Option<tokio::runtime::Runtime>,
}

impl Another {
    pub(crate) async fn start(platform: &Platform) -> Self {
        let mut another = Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            dir: tempfile::tempdir().unwrap(),
            running: None,
        };
        another.boot(platform).await;
        another
    }

    /// On the same disk and, once it has one, under the same address.
    pub(crate) async fn boot(&mut self, platform: &Platform) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let addr = self.addr;
        let bind = async move || TcpListener::bind(addr).await.unwrap();
        let listener = runtime.spawn(async move { bind().await }).await.unwrap();
        self.addr = listener.local_addr().unwrap();
        let store: Arc<dyn Store> = platform.store.clone();
        runtime.spawn(controller::run(
            config(self.addr, self.dir.path()),
            listener,
            store,
            platform.keyring.clone(),
            platform.blobs.clone(),
            CancellationToken::new(),
        ));
        self.running = Some(runtime);
        let place = store::key::alive_services_of(model::ServiceRole::Controller);
        eventually("it is on record", async || {
            let all = store::key::ALIVE_SERVICES.list(&*platform.store, &place);
            let all = all.await.unwrap();
            all.iter().any(|service| service.value.addr == self.addr)
        })
        .await;
    }

    /// As `kill -9` does it: every task stops where it is, and connections break.
    pub(crate) fn kill(&mut self) {
        self.running.take().unwrap().shutdown_background();
    }

    /// The same person at this controller.
    pub(crate) fn user(&self, user: &User) -> User {
        User {
            addr: self.addr,
            ..user.clone()
        }
    }
}

impl Drop for Another {
    fn drop(&mut self) {
        if let Some(runtime) = self.running.take() {
            runtime.shutdown_background();
        }
    }
}

async fn first_account(store: &Arc<Embedded>) -> User {
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(controller_api::tls::client_config(None).unwrap())
        .build()
        .unwrap();
    let email = "admin@example.com".parse().unwrap();
    let now = model::Timestamp::now();
    let first = controller::accounts::create_first(&**store, email, now)
        .await
        .unwrap()
        .unwrap();
    User {
        id: first.account.id,
        email: first.account.email.to_string(),
        password: first.password.into_exposed(),
        token: first.token.into_exposed(),
        addr: SocketAddr::from(([127, 0, 0, 1], 0)),
        http,
    }
}

impl User {
    /// The same person with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self
            .http
            .request(method.clone(), format!("http://{}{path}", self.addr));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = tokio::time::timeout(Duration::from_secs(60), request.send())
            .await
            .unwrap()
            .unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let answer = Answer {
            status,
            headers,
            text,
            body,
        };
        schema::check(&method, path, &answer);
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None, &[]).await
    }

    pub(crate) async fn get_range(&self, path: &str, range: &str) -> Answer {
        self.call(Method::GET, path, None, &[("range", range)])
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body), &[]).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(body), &[]).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Some(body), &[]).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None, &[]).await
    }

    pub(crate) async fn log_in(&self, password: &str) -> Answer {
        let nobody = Self {
            token: String::new(),
            ..self.clone()
        };
        let basic = basic(&self.email, password);
        let body =
            Some(json!({"description": "test", "scope": ["global"], "expires_in": 2_592_000}));
        nobody
            .call(
                Method::POST,
                "/oauth/authorizations",
                body,
                &[("authorization", &basic)],
            )
            .await
    }

    /// A new app, by name.
    pub(crate) async fn app(&self, name: &str) -> Value {
        self.post("/apps", json!({"name": name})).await.expect(201)
    }

    /// The typed client, as the CLI uses it.
    pub(crate) fn client(&self) -> Client {
        Client::new(ClientOptions {
            base_url: format!("http://api.paas.localhost:{}", self.addr.port())
                .parse()
                .unwrap(),
            token: Some(Secret::from(self.token.as_str())),
            ca_pem: None,
            user_agent: "paas/test".to_owned(),
        })
        .unwrap()
    }
}

impl Answer {
    /// The body of an answer with the status that is expected.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.body
    }

    /// The error's id and message.
    #[track_caller]
    pub(crate) fn error(self, status: u16) -> (String, String) {
        let body = self.expect(status);
        (
            body["id"].as_str().unwrap().to_owned(),
            body["message"].as_str().unwrap().to_owned(),
        )
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

pub(crate) fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
    )
}

/// The field of each object of a list.
#[track_caller]
pub(crate) fn each(list: &Value, field: &str) -> Vec<String> {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    list.as_array()
        .unwrap()
        .iter()
        .map(|item| text(&item[field]))
        .collect()
}

/// Waits until it holds; fails after a minute.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
