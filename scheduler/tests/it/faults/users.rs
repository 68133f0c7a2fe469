//! What people ask of the platform meanwhile: each in one commit, as the controller does it.

use std::collections::BTreeMap;

use model::release::{Pages, ReleaseDraft, append};
use model::{
    AccountId, Actor, App, AppId, Dyno, DynoSize, Formation, Node, NodeId, Owner, RebalanceRequest,
    Release, ReleaseStatus, ReleaseVersion, Slug, SlugId,
};
use rand::Rng as _;
use store::{Txn, key};

use super::world::World;

/// The process types of every app.
pub(super) const TYPES: [&str; 2] = ["web", "worker"];

impl World {
    pub(super) fn create_app(&mut self, name: &str) {
        let app = App {
            id: AppId::from_uuid(uuid::Uuid::from_u128(self.random.random())),
            name: name.parse().unwrap(),
            owner: Owner::Account(AccountId::from_uuid(uuid::Uuid::nil())),
            locked: false,
            created_at: super::epoch(),
            updated_at: super::epoch(),
            released_at: None,
            stack: "heroku-24".to_owned(),
            maintenance: false,
            buildpacks: Vec::new(),
            formation: BTreeMap::new(),
            placement: model::Placement::default(),
            routing: model::Routing::default(),
            latest: ReleaseVersion(0),
            target: ReleaseVersion(0),
            current: ReleaseVersion(0),
            repo_size: None,
            slug_size: None,
        };
        let (app, release) = append(&app, draft(None), Pages::default(), super::epoch());
        let txn = Txn::new()
            .create(&key::APPS, key::app(app.id), &app)
            .create(
                &key::RELEASES,
                key::release(app.id, release.version),
                &release,
            );
        self.apps.push(app.id);
        self.must(txn);
    }

    /// A push.
    pub(super) fn deploy(&mut self, app: AppId, is_good: bool) {
        let slug = Slug {
            id: SlugId::from_uuid(uuid::Uuid::from_u128(self.random.random())),
            app,
            checksum: "0".repeat(64).parse().unwrap(),
            size: 1,
            unpacked_size: 1,
            commit: None,
            commit_description: None,
            language: None,
            process_types: TYPES
                .iter()
                .map(|name| (name.parse().unwrap(), format!("run {name}")))
                .collect(),
            stack: "heroku-24".to_owned(),
            created_at: super::epoch(),
        };
        let also = Txn::new().create(&key::SLUGS, key::slug(app, slug.id), &slug);
        self.release(app, Some(slug.id), is_good, also);
    }

    /// A config change: the same slug once more.
    pub(super) fn config_set(&mut self, app: AppId, is_good: bool) {
        let state = &self.truth.now.apps[&app];
        let target = state.release(self.app(app).target);
        if let Some(slug) = target.and_then(|release| release.slug) {
            self.release(app, Some(slug), is_good, Txn::new());
        }
    }

    fn release(&mut self, app: AppId, slug: Option<SlugId>, is_good: bool, also: Txn) {
        let base = self.app(app);
        let replaced = self.truth.now.apps[&app].release(base.target).cloned();
        let (app, release) = append(&base, draft(slug), Pages::default(), super::epoch());
        let mut txn = also.put(&key::APPS, key::app(app.id), &app).create(
            &key::RELEASES,
            key::release(app.id, release.version),
            &release,
        );
        if let Some(replaced) = replaced.filter(|release| release.status.is_pending()) {
            let status = ReleaseStatus::Superseded {
                by: release.version,
            };
            let key = key::release(app.id, replaced.version);
            txn = txn.put(&key::RELEASES, key, &Release { status, ..replaced });
        }
        if !is_good {
            self.bad.insert((app.id, release.version));
        }
        self.must(txn);
    }

    pub(super) fn scale(&mut self, app: AppId, process_type: &str, quantity: u32) {
        let mut app = self.app(app);
        let size = DynoSize::default();
        let formation = Formation { quantity, size };
        app.formation
            .insert(process_type.parse().unwrap(), formation);
        self.must(Txn::new().put(&key::APPS, key::app(app.id), &app));
    }

    pub(super) fn tag(&mut self, app: AppId, tag: Option<(&str, &str)>) {
        let mut app = self.app(app);
        let tag = tag.map(|(name, value)| (name.to_owned(), value.to_owned()));
        app.placement.tags = tag.into_iter().collect();
        self.must(Txn::new().put(&key::APPS, key::app(app.id), &app));
    }

    pub(super) fn restart(&mut self, app: AppId) {
        let dynos = self.truth.now.apps[&app].dynos.values();
        let running: Vec<Dyno> = dynos
            .map(|dyno| dyno.value.clone())
            .filter(|dyno| !dyno.is_stopping())
            .collect();
        for dyno in running {
            let replace = Dyno {
                replace: true,
                ..dyno
            };
            self.must(Txn::new().put(&key::DYNOS, key::dyno(app, replace.id), &replace));
        }
    }

    pub(super) fn edit_node(&mut self, id: NodeId, edit: impl FnOnce(&mut Node)) {
        let Some(mut node) = self.truth.now.nodes[&id].node.clone() else {
            return;
        };
        edit(&mut node);
        self.must(Txn::new().put(&key::NODES, key::node(id), &node));
    }

    pub(super) fn ask_to_rebalance(&mut self) {
        let request = RebalanceRequest {
            requested_at: super::epoch(),
            requested_by: actor(),
        };
        self.must(Txn::new().put(&key::REBALANCE, key::rebalance(), &request));
    }

    pub(super) fn app(&self, app: AppId) -> App {
        let state = &self.truth.now.apps[&app];
        state.app.as_ref().unwrap().value.clone()
    }
}

fn draft(slug: Option<SlugId>) -> ReleaseDraft {
    ReleaseDraft {
        description: "Deploy".to_owned(),
        actor: actor(),
        slug,
    }
}

fn actor() -> Actor {
    Actor {
        account: AccountId::from_uuid(uuid::Uuid::nil()),
        email: "a@b.c".parse().unwrap(),
    }
}
