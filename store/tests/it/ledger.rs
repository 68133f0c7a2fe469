//! The release ledger: versions only grow, nothing is lost, and what failed is never built upon.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use model::release::{Pages, ReleaseDraft, append};
use model::{
    AccountId, Actor, App, AppId, ConfigChange, ConfigVars, Owner, Release, ReleaseFailure,
    ReleaseStatus, ReleaseVersion, Secret, SlugId, Timestamp,
};
use store::ledger::{AppendError, Base, NewRelease, append_release, read_base, read_config};
use store::{Committed, Embedded, Keyring, Store, Txn, Versioned, key};

use super::etcd_server::EtcdServer;

struct Ledger {
    store: Arc<dyn Store>,
    keyring: Keyring,
    app: AppId,
}

impl Ledger {
    async fn of(store: Arc<dyn Store>) -> Self {
        let ledger = Self {
            store,
            keyring: Keyring::new(&[7; 32]),
            app: AppId::new(),
        };
        let app = App {
            id: ledger.app,
            name: "ledger-test".parse().unwrap(),
            owner: Owner::Account(AccountId::new()),
            locked: false,
            created_at: Timestamp::now(),
            updated_at: Timestamp::now(),
            released_at: None,
            stack: "heroku-24".to_owned(),
            maintenance: false,
            buildpacks: Vec::new(),
            formation: BTreeMap::new(),
            placement: Default::default(),
            routing: Default::default(),
            latest: ReleaseVersion(0),
            target: ReleaseVersion(0),
            current: ReleaseVersion(0),
            repo_size: None,
            slug_size: None,
        };
        let (app, release) = append(
            &app,
            draft("Initial release", None),
            Pages::default(),
            Timestamp::now(),
        );
        let place = key::release_config(ledger.app, release.version);
        let txn = Txn::new()
            .create(&key::APPS, key::app(app.id), &app)
            .create(
                &key::RELEASES,
                key::release(app.id, release.version),
                &release,
            )
            .put(
                &key::RELEASE_CONFIG,
                place.clone(),
                &ledger.keyring.seal(&place, &ConfigVars::default()).unwrap(),
            );
        assert!(matches!(
            txn.commit(&*ledger.store).await.unwrap(),
            Committed::Done(_)
        ));
        ledger
    }

    async fn append(&self, slug: Option<SlugId>, name: &str, value: &str) -> Release {
        let change = |base: &Base| -> Result<NewRelease, std::convert::Infallible> {
            Ok(NewRelease {
                draft: draft(
                    &format!("Set {name} config vars"),
                    slug.or(base.release.value.slug),
                ),
                config: base.config.with(&set(name, value)).unwrap(),
                attached: None,
                app: base.app.value.clone(),
                also: Txn::new(),
            })
        };
        append_release(
            &*self.store,
            &self.keyring,
            self.app,
            Timestamp::now(),
            change,
        )
        .await
        .unwrap()
        .1
    }

    async fn app(&self) -> Versioned<App> {
        key::APPS
            .get(&*self.store, &key::app(self.app))
            .await
            .unwrap()
            .unwrap()
    }

    async fn release(&self, version: ReleaseVersion) -> Versioned<Release> {
        key::RELEASES
            .get(&*self.store, &key::release(self.app, version))
            .await
            .unwrap()
            .unwrap()
    }

    /// As the scheduler does when it has proven a release, or has seen it fail.
    async fn prove(&self, version: ReleaseVersion, status: ReleaseStatus) {
        let (app, release) = (self.app().await, self.release(version).await);
        let mut changed = app.value.clone();
        match status {
            ReleaseStatus::Succeeded => changed.current = version,
            _ => changed.target = changed.current,
        }
        let txn = Txn::new().replace(&key::APPS, &app, &changed).replace(
            &key::RELEASES,
            &release,
            &Release {
                status,
                ..release.value.clone()
            },
        );
        assert!(matches!(
            txn.commit(&*self.store).await.unwrap(),
            Committed::Done(_)
        ));
    }

    async fn config(&self, version: ReleaseVersion) -> Vec<(String, String)> {
        let config = read_config(&*self.store, &self.keyring, self.app, version)
            .await
            .unwrap()
            .unwrap();
        config
            .0
            .iter()
            .map(|(name, value)| (name.to_string(), value.expose().clone()))
            .collect()
    }
}

fn draft(description: &str, slug: Option<SlugId>) -> ReleaseDraft {
    let actor = Actor {
        account: AccountId::new(),
        email: "a@example.com".parse().unwrap(),
    };
    ReleaseDraft {
        description: description.to_owned(),
        actor,
        slug,
    }
}

fn set(name: &str, value: &str) -> ConfigChange {
    ConfigChange([(name.parse().unwrap(), Some(Secret::from(value)))].into())
}

fn failed() -> ReleaseStatus {
    ReleaseStatus::Failed(ReleaseFailure {
        reason: "web.1 exited with status 1".to_owned(),
        log_tail: Vec::new(),
    })
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

async fn concurrent_appends_lose_nothing(ledger: &Ledger) {
    const TASKS: usize = 6;
    const EACH: usize = 4;
    let appended = join_all((0..TASKS).map(|task| async move {
        let mut versions = Vec::new();
        for i in 0..EACH {
            versions.push(
                ledger
                    .append(None, &format!("VAR_{task}_{i}"), "x")
                    .await
                    .version,
            );
        }
        assert!(versions.is_sorted(), "{versions:?}");
        versions
    }))
    .await;
    let versions: BTreeSet<_> = appended.into_iter().flatten().collect();
    let expected: BTreeSet<_> = (2..2 + (TASKS * EACH) as u64).map(ReleaseVersion).collect();
    assert_eq!(versions, expected, "each version once, none left out");

    let app = ledger.app().await.value;
    let last = *versions.last().unwrap();
    assert_eq!((app.latest, app.target, app.current), (last, last, last));
    assert_eq!(
        ledger.config(last).await.len(),
        TASKS * EACH,
        "no change was lost"
    );
    // Each release has exactly one variable more than the one before it.
    for version in versions {
        assert_eq!(ledger.config(version).await.len() as u64, version.0 - 1);
    }
    let releases = key::RELEASES
        .list(&*ledger.store, &key::releases_of(ledger.app))
        .await
        .unwrap();
    assert!(
        releases.is_sorted_by(|a, b| a.value.version < b.value.version),
        "key order is version order"
    );
}

#[tokio::test]
async fn concurrent_appends_get_growing_versions_and_lose_no_change() {
    concurrent_appends_lose_nothing(&Ledger::of(Embedded::open_in_memory().unwrap()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_on_etcd_get_growing_versions_and_lose_no_change() {
    let etcd = EtcdServer::start().await;
    concurrent_appends_lose_nothing(&Ledger::of(etcd.connect().await).await).await;
}

#[tokio::test]
async fn a_release_without_a_slug_has_nothing_to_prove() {
    let ledger = Ledger::of(Embedded::open_in_memory().unwrap()).await;
    let release = ledger.append(None, "A", "1").await;
    assert_eq!(
        (release.version, release.status),
        (ReleaseVersion(2), ReleaseStatus::Succeeded)
    );
    assert_eq!(ledger.config(ReleaseVersion(2)).await, [pair("A", "1")]);
    assert_eq!(
        ledger.config(ReleaseVersion(1)).await,
        [],
        "the past stays as it was"
    );
}

#[tokio::test]
async fn a_pending_release_is_superseded_by_the_next_and_built_upon() {
    let ledger = Ledger::of(Embedded::open_in_memory().unwrap()).await;
    let pending = ledger.append(Some(SlugId::new()), "A", "1").await;
    assert!(pending.status.is_pending());
    let next = ledger.append(None, "B", "2").await;
    assert!(
        next.status.is_pending(),
        "it has the slug of the one before"
    );
    let superseded = ledger.release(pending.version).await.value;
    assert_eq!(
        superseded.status,
        ReleaseStatus::Superseded { by: next.version }
    );
    assert_eq!(
        ledger.config(next.version).await,
        [pair("A", "1"), pair("B", "2")]
    );
    let app = ledger.app().await.value;
    assert_eq!((app.target, app.current), (next.version, ReleaseVersion(1)));
}

#[tokio::test]
async fn a_failed_release_is_never_built_upon() {
    let ledger = Ledger::of(Embedded::open_in_memory().unwrap()).await;
    let good = ledger.append(Some(SlugId::new()), "A", "good").await;
    ledger.prove(good.version, ReleaseStatus::Succeeded).await;
    let bad = ledger.append(Some(SlugId::new()), "A", "bad").await;
    ledger.prove(bad.version, failed()).await;
    let base = read_base(&*ledger.store, &ledger.keyring, ledger.app)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(base.release.value.version, good.version);

    let next = ledger.append(None, "B", "x").await;
    assert_eq!(
        next.version,
        ReleaseVersion(4),
        "the version of the failed one is not used again"
    );
    assert_eq!(next.slug, good.slug);
    assert_eq!(
        ledger.config(next.version).await,
        [pair("A", "good"), pair("B", "x")]
    );
    assert!(
        ledger.release(bad.version).await.value.status.is_failed(),
        "it stays in the list, as it was"
    );
}

#[tokio::test]
async fn what_a_change_refuses_is_told_and_nothing_is_written() {
    let ledger = Ledger::of(Embedded::open_in_memory().unwrap()).await;
    let before = ledger.app().await;
    let refuse = |_: &Base| -> Result<NewRelease, &str> { Err("no") };
    let refused = append_release(
        &*ledger.store,
        &ledger.keyring,
        ledger.app,
        Timestamp::now(),
        refuse,
    )
    .await;
    assert!(matches!(refused, Err(AppendError::Refused("no"))));
    assert_eq!(ledger.app().await, before);
    let nobody = append_release(
        &*ledger.store,
        &ledger.keyring,
        AppId::new(),
        Timestamp::now(),
        refuse,
    )
    .await;
    assert!(matches!(nobody, Err(AppendError::NoSuchApp)));
}

#[tokio::test]
async fn config_in_the_store_cannot_be_read_without_the_key() {
    let ledger = Ledger::of(Embedded::open_in_memory().unwrap()).await;
    let release = ledger
        .append(None, "PASSWORD", "correct horse battery staple")
        .await;
    for entry in ledger
        .store
        .list(&store::Key::root())
        .await
        .unwrap()
        .entries
    {
        assert!(
            !String::from_utf8_lossy(&entry.value).contains("battery"),
            "{} is in the clear",
            entry.key
        );
    }
    let stranger = Keyring::new(&[8; 32]);
    assert!(
        read_config(&*ledger.store, &stranger, ledger.app, release.version)
            .await
            .is_err()
    );
}
