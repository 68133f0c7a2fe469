//! Sources, builds of archives, and what they say while they run.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::get;
use bytes::Bytes;
use futures::StreamExt as _;
use model::repository::{ArchivePlace, Code};
use model::{
    Build, BuildCache, BuildId, BuildSource, BuildStatus, BuilderReport, NodeId, ServiceId,
    Timestamp,
};
use reqwest::Method;
use serde_json::json;
use store::{Committed, Txn, key};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::harness::{Platform, User, eventually};
use crate::world::id_of;

/// The path of one of the API's own URLs.
fn path_of(url: &serde_json::Value) -> String {
    let url: reqwest::Url = url.as_str().unwrap().parse().unwrap();
    url.path().to_owned()
}

async fn put(user: &User, path: &str, bytes: &'static [u8]) -> reqwest::Response {
    let url = format!("http://{}{path}", user.addr);
    user.http.put(url).body(bytes).send().await.unwrap()
}

impl Platform {
    async fn source_of(&self, build: &serde_json::Value) -> Option<BuildSource> {
        let app = build["app"]["id"].as_str().unwrap().parse().unwrap();
        let id = build["id"].as_str().unwrap().parse().unwrap();
        let place = key::build_source(app, id);
        let found = key::BUILD_SOURCES.get(&*self.store, &place).await;
        found.unwrap().map(|found| found.value)
    }
}

#[tokio::test]
async fn a_source_is_uploaded_once_without_a_token_and_fetched_again() {
    let platform = Platform::start().await;
    let (ann, nobody) = (platform.user("ann").await, platform.nobody());
    let source = ann.post("/sources", json!({})).await.expect(201);
    let (to, from) = (
        path_of(&source["source_blob"]["put_url"]),
        path_of(&source["source_blob"]["get_url"]),
    );
    nobody.get(&from).await.error(404);
    // The one leads to nothing the other does.
    assert_eq!(put(&nobody, &from, b"x").await.status(), 404);
    assert_eq!(put(&nobody, &to, b"a tarball").await.status(), 200);
    assert_eq!(nobody.get(&from).await.text, "a tarball");
    nobody.get(&to).await.error(404);
    let again = put(&nobody, &to, b"another").await;
    assert_eq!(again.status(), 422);
    assert!(again.text().await.unwrap().contains("uploaded already"));
    assert_eq!(nobody.get(&from).await.text, "a tarball");
    assert_eq!(put(&nobody, "/sources/guess", b"x").await.status(), 404);
    let left = fs_err::read_dir(platform.dir.path().join("uploads")).unwrap();
    assert_eq!(left.count(), 0);

    let app = ann.app("ticks").await;
    let path = format!("/apps/{}/sources", app["name"].as_str().unwrap());
    ann.post(&path, json!({})).await.expect(201);
    for _ in 2..20 {
        ann.post("/sources", json!({})).await.expect(201);
    }
    let (_, message) = ann.post("/sources", json!({})).await.error(422);
    assert!(message.contains("20 sources"), "{message}");
}

#[tokio::test]
async fn a_source_that_has_expired_is_gone_and_swept_up() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let source = ann.post("/sources", json!({})).await.expect(201);
    let (to, from) = (
        path_of(&source["source_blob"]["put_url"]),
        path_of(&source["source_blob"]["get_url"]),
    );
    put(&ann, &to, b"a tarball").await;
    let all = key::SOURCES.all(&*platform.store).await.unwrap();
    let expired = model::Source {
        expires_at: Timestamp::now() - jiff::SignedDuration::from_secs(1),
        ..all[0].value.clone()
    };
    let txn = Txn::new().replace(&key::SOURCES, &all[0], &expired);
    assert!(matches!(
        txn.commit(&*platform.store).await.unwrap(),
        Committed::Done(_)
    ));
    ann.get(&from).await.error(404);
    assert_eq!(put(&ann, &to, b"x").await.status(), 404);
    let (store, dir) = (platform.store.clone(), platform.dir.clone());
    platform.stop().await;
    let (platform, _) = Platform::restart_on(store, dir, ann, |_| {}).await;
    eventually("it is swept up", async || {
        key::SOURCES.all(&*platform.store).await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_build_of_an_archive_is_a_record_that_a_builder_takes_up() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let source = ann.post("/sources", json!({})).await.expect(201);
    let url = source["source_blob"]["get_url"].clone();
    let ask = async |body: serde_json::Value| ann.post("/apps/ticks/builds", body).await;
    let (_, message) = ask(json!({"source_blob": {"url": url}})).await.error(422);
    assert!(message.contains("Nothing was uploaded"), "{message}");
    put(&ann, &path_of(&source["source_blob"]["put_url"]), b"x").await;
    let digest = "a".repeat(64);
    let build = ask(json!({
        "source_blob": {"url": url, "version": "v1.3.0", "checksum": format!("SHA256:{digest}"), "version_description": "First"},
        "buildpacks": [{"url": "https://github.com/heroku/heroku-buildpack-ruby"}, {"name": "heroku/python"}],
    }))
    .await
    .expect(201);
    assert_eq!(build["status"], "pending");
    assert_eq!(build["source_blob"]["url"], url);
    assert_eq!(build["source_blob"]["version"], "v1.3.0");
    assert_eq!(build["source_blob"]["version_description"], "First");
    assert_eq!(build["source_blob"]["checksum"], format!("SHA256:{digest}"));
    let Code::Archive { archive } = platform.source_of(&build).await.unwrap().code else {
        panic!("{build}")
    };
    assert!(matches!(archive.place, ArchivePlace::Blob(_)));
    assert_eq!(archive.buildpacks[1].0, "heroku/python");
    let elsewhere = json!({"source_blob": {"url": "https://example.com/x.tgz", "version": null}});
    let other = ask(elsewhere.clone()).await.expect(201);
    let Code::Archive { archive } = platform.source_of(&other).await.unwrap().code else {
        panic!("{other}")
    };
    let place = ArchivePlace::Url("https://example.com/x.tgz".to_owned());
    assert_eq!((archive.place, archive.version), (place, None));
    for bad in [
        json!({}),
        json!({"source_blob": {}}),
        json!({"source_blob": {"url": "file:///etc/passwd"}}),
        json!({"source_blob": {"url": "https://x/y", "checksum": "MD5:1"}}),
        json!({"source_blob": {"url": "https://x/y"}, "buildpacks": [{}]}),
        json!({"source_blob": {"url": format!("{}x", url.as_str().unwrap())}}),
    ] {
        ask(bad).await.error(422);
    }
    for _ in 2..5 {
        ask(elsewhere.clone()).await.expect(201);
    }
    let (_, message) = ask(elsewhere).await.error(422);
    assert!(message.contains("5 builds of ticks"), "{message}");
}

#[tokio::test]
async fn a_build_is_cancelled_until_it_has_ended_and_a_cache_is_emptied() {
    let platform = Platform::start().await;
    let (ann, eve) = (platform.user("ann").await, platform.user("eve").await);
    let app = id_of(&ann.app("ticks").await);
    let body = json!({"source_blob": {"url": "https://example.com/x.tgz"}});
    let build = ann.post("/apps/ticks/builds", body).await.expect(201);
    let path = format!("/apps/ticks/builds/{}", build["id"].as_str().unwrap());
    eve.delete(&path).await.error(404);
    let cancelled = ann.delete(&path).await.expect(200);
    assert_eq!(cancelled["status"], "failed");
    assert!(platform.source_of(&build).await.is_none());
    let (_, message) = ann.delete(&path).await.error(422);
    assert!(message.contains("has ended"), "{message}");
    ann.delete("/apps/ticks/builds/0").await.error(404);

    ann.delete("/apps/ticks/build-cache").await.expect(204);
    let place = key::build_cache(app);
    let cache = key::BUILD_CACHES.get(&*platform.store, &place).await;
    let cache = cache.unwrap().unwrap().value;
    let blob = platform.blobs.read(&cache.checksum, 100).await.unwrap();
    assert_eq!(blob, BuildCache::EMPTY[..]);
}

/// A builder that says what a test has it say.
struct Builder {
    addr: SocketAddr,
    said: Said,
}

type Said = Arc<Mutex<Option<(BuildId, mpsc::Receiver<Result<Bytes, std::io::Error>>)>>>;

impl Builder {
    async fn start(platform: &Platform) -> Self {
        let said = Said::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/internal/builds/{build}/output", get(say))
            .with_state(said.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let report = BuilderReport {
            id: ServiceId::new(),
            host: NodeId::new(),
            addr,
            max_builds: 1,
            started_at: Timestamp::now(),
        };
        let place = key::alive_builder(report.id);
        let txn = Txn::new().put(&key::ALIVE_BUILDERS, place, &report);
        txn.commit(&*platform.store).await.unwrap();
        Self { addr, said }
    }

    fn takes_up(&self, build: BuildId) -> mpsc::Sender<Result<Bytes, std::io::Error>> {
        let (sender, receiver) = mpsc::channel(4);
        *self.said.lock().unwrap() = Some((build, receiver));
        assert!(self.addr.port() > 0);
        sender
    }
}

async fn say(State(said): State<Said>, Path(build): Path<BuildId>) -> axum::response::Response {
    let found = said.lock().unwrap().take_if(|(id, _)| *id == build);
    match found {
        Some((_, pieces)) => {
            let pieces = futures::stream::unfold(pieces, |mut pieces| async {
                let piece = pieces.recv().await?;
                Some((piece, pieces))
            });
            Body::from_stream(pieces).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn ends(platform: &Platform, build: &serde_json::Value) {
    let app = build["app"]["id"].as_str().unwrap().parse().unwrap();
    let place = key::build(app, build["id"].as_str().unwrap().parse().unwrap());
    let seen = key::BUILDS.get(&*platform.store, &place).await.unwrap();
    let seen = seen.unwrap();
    let ended = Build {
        status: BuildStatus::Failed {
            reason: "as the test wants it".to_owned(),
        },
        output: Some(
            platform
                .blobs
                .put_bytes("all of it\n".into())
                .await
                .unwrap(),
        ),
        ..seen.value.clone()
    };
    let txn = Txn::new().replace(&key::BUILDS, &seen, &ended);
    txn.commit(&*platform.store).await.unwrap();
}

#[tokio::test]
async fn a_builds_output_comes_as_it_is_said_whoever_has_the_build() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let body = json!({"source_blob": {"url": "https://example.com/x.tgz"}});
    let build = ann.post("/apps/ticks/builds", body).await.expect(201);
    let id = build["id"].as_str().unwrap().parse().unwrap();
    let path = path_of(&build["output_stream_url"]);
    let url = format!("http://{}{path}", ann.addr);
    // Asked for before anybody has it, and without a token.
    let answer = ann.http.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut heard = answer.bytes_stream();
    let (one, two) = (
        Builder::start(&platform).await,
        Builder::start(&platform).await,
    );
    let first = one.takes_up(id);
    first.send(Ok("-----> one\n".into())).await.unwrap();
    assert_eq!(heard.next().await.unwrap().unwrap(), "-----> one\n");
    let second = two.takes_up(id);
    first
        .send(Err(std::io::Error::other("killed")))
        .await
        .unwrap();
    second.send(Ok("-----> two\n".into())).await.unwrap();
    assert_eq!(heard.next().await.unwrap().unwrap(), "-----> two\n");
    ends(&platform, &build).await;
    drop(second);
    assert!(heard.next().await.is_none());
    // Later, from where it is kept.
    let nobody = platform.nobody();
    let whole = nobody.call(Method::GET, &path, None, &[]).await;
    assert_eq!(whole.text, "all of it\n");
}
