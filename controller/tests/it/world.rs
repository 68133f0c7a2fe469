//! What builder, scheduler and agents would do, written straight into the store.

use std::collections::BTreeMap;

use model::release::ReleaseDraft;
use model::{
    Actor, App, AppId, Dyno, DynoId, DynoKind, DynoName, DynoState, DynoStatus, Intent, NodeId,
    ProcessType, Release, ReleaseFailure, ReleaseStatus, Slug, SlugId, Timestamp,
};
use serde_json::Value;
use store::ledger::{NewRelease, append_release};
use store::{Committed, Txn, Versioned, key};

use crate::harness::{Platform, User};

pub(crate) fn id_of(app: &Value) -> AppId {
    app["id"].as_str().unwrap().parse().unwrap()
}

impl Platform {
    pub(crate) async fn record(&self, app: AppId) -> Versioned<App> {
        key::APPS
            .get(&*self.store, &key::app(app))
            .await
            .unwrap()
            .unwrap()
    }

    /// A build that succeeded and was released; not yet proven.
    pub(crate) async fn push(&self, app: AppId, by: &User, types: &[(&str, &str)]) -> Release {
        let types: BTreeMap<ProcessType, String> = types
            .iter()
            .map(|(name, command)| (name.parse().unwrap(), (*command).to_owned()))
            .collect();
        let checksum = self
            .blobs
            .put_bytes(format!("slug {}", SlugId::new()).into())
            .await
            .unwrap();
        let slug = Slug {
            id: SlugId::new(),
            app,
            checksum,
            size: 1000,
            unpacked_size: 2000,
            commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
            commit_description: None,
            language: Some("Python".to_owned()),
            process_types: types,
            stack: "heroku-24".to_owned(),
            created_at: Timestamp::now(),
        };
        let actor = Actor {
            account: by.id,
            email: by.email.parse().unwrap(),
        };
        let appended = append_release(&*self.store, &self.keyring, app, Timestamp::now(), |base| {
            let mut record = base.app.value.clone();
            record.adopt(&slug);
            let draft = ReleaseDraft {
                description: "Deploy 01234567".to_owned(),
                actor: actor.clone(),
                slug: Some(slug.id),
            };
            let also = Txn::new().create(&key::SLUGS, key::slug(app, slug.id), &slug);
            Ok::<_, std::convert::Infallible>(NewRelease {
                draft,
                config: base.config.clone(),
                attached: None,
                app: record,
                also,
            })
        })
        .await;
        appended.unwrap().1
    }

    /// The dynos of the target release came up.
    pub(crate) async fn prove(&self, app: AppId) {
        self.resolve(app, ReleaseStatus::Succeeded).await;
    }

    pub(crate) async fn fail(&self, app: AppId, reason: &str) {
        let failure = ReleaseFailure {
            reason: reason.to_owned(),
            log_tail: vec!["Boom!".to_owned()],
        };
        self.resolve(app, ReleaseStatus::Failed(failure)).await;
    }

    async fn resolve(&self, app: AppId, status: ReleaseStatus) {
        let record = self.record(app).await;
        let place = key::release(app, record.value.target);
        let release = key::RELEASES
            .get(&*self.store, &place)
            .await
            .unwrap()
            .unwrap();
        if !release.value.status.is_pending() {
            return;
        }
        let mut changed = record.value.clone();
        if status.is_failed() {
            changed.target = changed.current;
        } else {
            changed.current = changed.target;
        }
        let resolved = Release {
            status,
            ..release.value.clone()
        };
        let txn = Txn::new().replace(&key::APPS, &record, &changed).replace(
            &key::RELEASES,
            &release,
            &resolved,
        );
        assert!(matches!(
            txn.commit(&*self.store).await.unwrap(),
            Committed::Done(_)
        ));
    }

    /// A dyno of the formation, up.
    pub(crate) async fn dyno(&self, app: AppId, name: &str) -> DynoId {
        self.dynos(app, &[name.parse().unwrap()]).await[0]
    }

    /// Many of them, in few commits.
    pub(crate) async fn dynos(&self, app: AppId, names: &[DynoName]) -> Vec<DynoId> {
        let record = self.record(app).await.value;
        let place = key::release(app, record.target);
        let release = key::RELEASES
            .get(&*self.store, &place)
            .await
            .unwrap()
            .unwrap()
            .value;
        let mut ids = Vec::new();
        for names in names.chunks(50) {
            let mut txn = Txn::new();
            for name in names {
                let (dyno, status) = up(&record, &release, name.clone());
                ids.push(dyno.id);
                txn = txn
                    .create(&key::DYNOS, key::dyno(app, dyno.id), &dyno)
                    .create(&key::DYNO_STATUS, key::dyno_status(app, dyno.id), &status);
            }
            assert!(matches!(
                txn.commit(&*self.store).await.unwrap(),
                Committed::Done(_)
            ));
        }
        ids
    }

    pub(crate) async fn dyno_record(&self, app: AppId, id: DynoId) -> Dyno {
        key::DYNOS
            .get(&*self.store, &key::dyno(app, id))
            .await
            .unwrap()
            .unwrap()
            .value
    }
}

fn up(app: &App, release: &Release, name: DynoName) -> (Dyno, DynoStatus) {
    let (id, node, now) = (DynoId::new(), NodeId::new(), Timestamp::now());
    let dyno = Dyno {
        id,
        app: app.id,
        app_name: app.name.clone(),
        name,
        kind: DynoKind::Formation,
        release: release.version,
        release_id: release.id,
        node: Some(node),
        command: "serve".to_owned(),
        size: model::DynoSize::default(),
        intent: Intent::Run,
        replace: false,
        created_at: now,
    };
    let state = DynoState::Up {
        since: now,
        addr: None,
    };
    let status = DynoStatus {
        dyno: id,
        app: app.id,
        node,
        state,
        restarts: 0,
        updated_at: now,
    };
    (dyno, status)
}
