//! Builds of archives that nobody pushed: a record without a builder, which any builder takes up.

use std::io::Write as _;

use builder::Limits;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use model::repository::{Archive, ArchivePlace, Code};
use model::{
    Actor, AppId, Build, BuildCache, BuildId, BuildSource, BuildStatus, Checksum, ReleaseVersion,
};
use store::{Txn, key};

use super::common::host::Host;
use super::common::user::{Over, User};
use super::common::{Platform, eventually};

fn tgz(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(
            &mut header,
            format!("app-1a2b3c/{path}"),
            content.as_bytes(),
        )
        .unwrap();
    }
    let mut gzip = tar.into_inner().unwrap();
    gzip.flush().unwrap();
    gzip.finish().unwrap()
}

impl Platform {
    async fn uploaded(&self, files: &[(&str, &str)]) -> Archive {
        let blob = self.blobs.put_bytes(tgz(files).into()).await.unwrap();
        Archive {
            place: ArchivePlace::Blob(blob),
            checksum: None,
            version: Some("v1.3.0".to_owned()),
            buildpacks: Vec::new(),
        }
    }

    /// As a controller does it.
    async fn ask_for(&self, app: AppId, by: &User, archive: Archive) -> BuildId {
        let now = Timestamp::now();
        let build = Build {
            id: BuildId::new(),
            app,
            actor: Actor {
                account: by.account.id,
                email: by.account.email.clone(),
            },
            commit: archive.version.clone(),
            source_blob: None,
            stack: "heroku-24".to_owned(),
            buildpacks: Vec::new(),
            status: BuildStatus::Pending,
            output: None,
            created_at: now,
            updated_at: now,
        };
        let source = BuildSource {
            build: build.id,
            app,
            code: Code::Archive { archive },
            attempt: 0,
        };
        let place = key::build_source(app, build.id);
        self.commit(
            Txn::new()
                .create(&key::BUILDS, key::build(app, build.id), &build)
                .create(&key::BUILD_SOURCES, place, &source),
        )
        .await;
        build.id
    }

    async fn build(&self, app: AppId, id: BuildId) -> Build {
        let found = key::BUILDS.get(&*self.store, &key::build(app, id)).await;
        found.unwrap().unwrap().value
    }

    async fn ended(&self, app: AppId, id: BuildId) -> Build {
        eventually("the build has ended", async || {
            let build = self.build(app, id).await;
            !build.status.is_pending() && !self.is_locked(app).await
        })
        .await;
        self.build(app, id).await
    }

    async fn log_of(&self, build: &Build) -> String {
        let output = build.output.as_ref().unwrap();
        let bytes = self.blobs.read(output, 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    async fn sources(&self) -> usize {
        key::BUILD_SOURCES.all(&*self.store).await.unwrap().len()
    }

    /// What the build says while it runs, to its end.
    async fn listen(&self, build: BuildId) -> reqwest::Response {
        let url = format!("http://{}/internal/builds/{build}/output", self.http);
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(controller_api::tls::no_roots().unwrap())
            .no_proxy()
            .build()
            .unwrap();
        let token = self.keyring.internal_token().expose();
        http.get(url).bearer_auth(token).send().await.unwrap()
    }
}

fn failed(build: &Build) -> &str {
    match &build.status {
        BuildStatus::Failed { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_built_and_released_as_a_push_is_and_leaves_the_repository_alone() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let tree = user
        .work_tree(&platform, Over::Http, "ticks", &[("Procfile", "web: old")])
        .await;
    tree.push(&["main"]).await.ok();
    let archive = platform
        .uploaded(&[("Procfile", "web: new"), ("Buildfile", "print hi\ngate")])
        .await;
    let id = platform.ask_for(app, &user, archive).await;
    eventually("it builds", async || platform.compiler.running() == 1).await;
    let listening = platform.listen(id).await;
    assert_eq!(listening.status(), 200);
    platform.compiler.open_gate();
    let heard = listening.text().await.unwrap();
    for words in [
        "Building source:",
        "hi\n",
        "Released v3",
        "Verifying deploy... done.",
    ] {
        assert!(heard.contains(words), "{heard}");
    }
    let build = platform.ended(app, id).await;
    let BuildStatus::Succeeded { release, .. } = build.status else {
        panic!("{build:?}")
    };
    assert_eq!(release, ReleaseVersion(3));
    assert!(platform.log_of(&build).await.contains("hi\n"));
    let releases = platform.releases(app).await;
    assert_eq!(releases[2].description, "Deploy v1.3.0");
    let slug = platform.slug_of(&releases[2]).await;
    assert_eq!(slug.commit.as_deref(), Some("v1.3.0"));
    assert!(slug.process_types.values().any(|command| command == "new"));
    eventually("nothing is left to do", async || {
        platform.sources().await == 0
    })
    .await;
    assert_eq!(platform.listen(id).await.status(), 404);
    // The branch is where the push left it.
    tree.commit(&[("Procfile", "web: newer")]).await;
    tree.push(&["main"]).await.ok().says("Released v4");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_not_what_it_should_be_fails_its_build_with_a_sentence() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let good = platform.uploaded(&[("Procfile", "web: x")]).await;
    let zip = platform.blobs.put_bytes("PK zip".into()).await.unwrap();
    let gone: Checksum = "0".repeat(64).parse().unwrap();
    let place = |place| Archive {
        place,
        ..good.clone()
    };
    let url = |url: String| place(ArchivePlace::Url(url));
    let cases = [
        (
            Archive {
                checksum: Some(gone.clone()),
                ..good.clone()
            },
            "and should have SHA256:0000",
        ),
        (place(ArchivePlace::Blob(zip)), "no gzipped tar archive"),
        (place(ArchivePlace::Blob(gone)), "no longer kept"),
        (
            url(format!("http://{}/health", platform.http)),
            "nothing is fetched from there",
        ),
        (
            url("http://169.254.169.254/latest/meta-data/x.tgz".to_owned()),
            "nothing is fetched from there",
        ),
        (
            url("ftp://example.com/x.tgz".to_owned()),
            "no http or https",
        ),
        (
            url("https://nowhere.invalid/x.tgz".to_owned()),
            "cannot be found",
        ),
    ];
    for (archive, expected) in cases {
        let id = platform.ask_for(app, &user, archive).await;
        let build = platform.ended(app, id).await;
        assert!(failed(&build).contains(expected), "{build:?}");
        let log = platform.log_of(&build).await;
        assert!(log.contains(expected), "{log}");
    }
    assert_eq!(platform.releases(app).await.len(), 1);
    eventually("no files are left", async || {
        platform.files("builds").is_empty()
    })
    .await;
    let id = platform.ask_for(app, &user, good).await;
    let build = platform.ended(app, id).await;
    assert!(
        matches!(build.status, BuildStatus::Succeeded { .. }),
        "{build:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_cancelled_on_record_ends_and_keeps_what_it_had_printed() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let archive = platform
        .uploaded(&[("Buildfile", "print before\nhang")])
        .await;
    let id = platform.ask_for(app, &user, archive).await;
    eventually("it builds", async || platform.compiler.running() == 1).await;
    let place = key::build(app, id);
    let seen = key::BUILDS.get(&*platform.store, &place).await.unwrap();
    let seen = seen.unwrap();
    let cancelled = Build {
        status: BuildStatus::Failed {
            reason: "Cancelled by user@example.com".to_owned(),
        },
        ..seen.value.clone()
    };
    platform
        .commit(
            Txn::new()
                .replace(&key::BUILDS, &seen, &cancelled)
                .delete(key::build_source(app, id)),
        )
        .await;
    eventually("nothing is built", async || {
        platform.compiler.running() == 0
    })
    .await;
    eventually("its output is kept", async || {
        platform.build(app, id).await.output.is_some()
    })
    .await;
    let build = platform.ended(app, id).await;
    assert_eq!(failed(&build), "Cancelled by user@example.com");
    let log = platform.log_of(&build).await;
    assert!(
        log.contains("before\n") && log.contains("was cancelled"),
        "{log}"
    );
    assert_eq!(platform.releases(app).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_of_an_app_are_built_one_after_the_other_in_the_order_they_came() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let mut ids = Vec::new();
    for number in 1..=3 {
        let procfile = format!("web: {number}");
        let archive = platform
            .uploaded(&[("Procfile", &procfile), ("Buildfile", "gate")])
            .await;
        ids.push(platform.ask_for(app, &user, archive).await);
    }
    eventually("one builds", async || platform.compiler.running() == 1).await;
    platform.compiler.open_gate();
    for (version, id) in (2..).zip(ids) {
        let build = platform.ended(app, id).await;
        let BuildStatus::Succeeded { release, .. } = build.status else {
            panic!("{build:?}")
        };
        assert_eq!(release, ReleaseVersion(version));
    }
    assert_eq!(platform.compiler.most_at_once(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_waits_too_long_for_its_turn_fails_and_says_so() {
    let limits = Limits {
        queue_time: std::time::Duration::from_secs(1),
        ..Limits::heroku()
    };
    let platform = Platform::with_limits(limits).await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let first = platform.uploaded(&[("Buildfile", "gate")]).await;
    platform.ask_for(app, &user, first).await;
    eventually("one builds", async || platform.compiler.running() == 1).await;
    let next = platform.uploaded(&[("Procfile", "web: x")]).await;
    let id = platform.ask_for(app, &user, next).await;
    eventually("it is given up", async || {
        !platform.build(app, id).await.status.is_pending()
    })
    .await;
    let build = platform.build(app, id).await;
    assert!(failed(&build).contains("has waited 1 seconds"), "{build:?}");
    platform.compiler.open_gate();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_its_builder_is_killed_another_builds_the_archive() {
    let mut platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    platform.stop_builder().await;
    let mut one = Host::start(&platform).await;
    let archive = platform
        .uploaded(&[("Procfile", "web: x"), ("Buildfile", "gate")])
        .await;
    let id = platform.ask_for(app, &user, archive).await;
    eventually("it builds", async || one.compiler.running() == 1).await;
    let two = Host::start(&platform).await;
    two.compiler.open_gate();
    one.kill();
    let build = platform.ended(app, id).await;
    assert!(
        matches!(build.status, BuildStatus::Succeeded { .. }),
        "{build:?}"
    );
    let log = platform.log_of(&build).await;
    assert!(
        log.contains("another one goes on with it (attempt 2 of 3)"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_cache_on_record_takes_the_place_of_every_builders_own() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let built = async |cache: &str| {
        let buildfile = format!("cache {cache}");
        let archive = platform
            .uploaded(&[("Procfile", "web: x"), ("Buildfile", &buildfile)])
            .await;
        let id = platform.ask_for(app, &user, archive).await;
        let build = platform.ended(app, id).await;
        platform.log_of(&build).await
    };
    assert!(built("one").await.contains("the cache had \"\""));
    assert!(built("two").await.contains("the cache had \"one\""));
    let place = key::build_cache(app);
    let newest = async || {
        let record = key::BUILD_CACHES.get(&*platform.store, &place).await;
        record.unwrap().map(|record| record.value.checksum)
    };
    eventually("the second is shared", async || {
        let Some(checksum) = newest().await else {
            return false;
        };
        let dir = platform.dir.path().join(format!("data/cache/{app}.json"));
        let origin = std::fs::read_to_string(dir).unwrap_or_default();
        origin.contains(checksum.as_str()) && platform.blobs.size(&checksum).await.is_ok()
    })
    .await;
    let empty = bytes::Bytes::from_static(&BuildCache::EMPTY);
    let cache = BuildCache {
        app,
        size: empty.len() as u64,
        checksum: platform.blobs.put_bytes(empty).await.unwrap(),
        updated_at: Timestamp::now(),
    };
    platform
        .commit(Txn::new().put(&key::BUILD_CACHES, place.clone(), &cache))
        .await;
    assert!(built("three").await.contains("the cache had \"\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_is_told_what_is_in_an_archive_and_strangers_are_not() {
    let platform = Platform::start().await;
    let archive = platform
        .uploaded(&[("app.json", "{\"name\": \"x\"}")])
        .await;
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(controller_api::tls::no_roots().unwrap())
        .no_proxy()
        .build()
        .unwrap();
    let url = format!("http://{}/internal/archives", platform.http);
    let ask = async |token: &str, archive: &Archive| {
        let request = http.post(&url).bearer_auth(token).json(archive);
        request.send().await.unwrap()
    };
    let token = platform.keyring.internal_token().expose().clone();
    assert_eq!(ask("guess", &archive).await.status(), 404);
    let found: serde_json::Value = ask(&token, &archive).await.json().await.unwrap();
    assert_eq!(found["looked"], "found");
    assert_eq!(found["manifest"], "{\"name\": \"x\"}");
    let bad = Archive {
        place: ArchivePlace::Url("http://localhost/x".to_owned()),
        ..archive
    };
    let refused: serde_json::Value = ask(&token, &bad).await.json().await.unwrap();
    assert_eq!(refused["looked"], "refused");
    assert!(
        refused["reason"]
            .as_str()
            .unwrap()
            .contains("nothing is fetched")
    );
    assert!(platform.files("builds").is_empty());
}
