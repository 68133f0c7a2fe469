//! What the measurements here are made on: a platform of any size, as its records.

use std::collections::BTreeMap;

use model::release::{Pages, ReleaseDraft, append};
use model::{
    AccountId, Actor, App, AppId, Backend, Dyno, DynoId, DynoKind, DynoName, DynoSize, DynoState,
    DynoStatus, Formation, Intent, NoBackend, Node, NodeHeartbeat, NodeId, Owner, ProcessType,
    ReleaseStatus, ReleaseVersion, Route, Slug, SlugId, Timestamp,
};
use store::{Entry, Op, Txn, key};

const DYNOS_PER_APP: u32 = 10;
const WEB_PER_APP: u32 = 8;
pub(crate) const NODES_PER_RACK: usize = 40;

pub(crate) fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn node_id(index: usize) -> NodeId {
    NodeId::from_uuid(uuid::Uuid::from_u128(index as u128 + 1))
}

/// Everything in the store.
pub(crate) struct Fleet {
    pub(crate) entries: Vec<Entry>,
}

impl Fleet {
    /// Of apps with all of their dynos up and routed if `placed`, else with none; no router.
    pub(crate) fn new(nodes: usize, placed: bool) -> Self {
        let mut fleet = Self {
            entries: Vec::new(),
        };
        for index in 0..nodes {
            fleet.add_node(index);
        }
        for index in 0..nodes {
            fleet.add_app(index, nodes, placed);
        }
        fleet
    }

    pub(crate) fn put(&mut self, txn: Txn) {
        for op in txn.into_commit().unwrap().ops {
            if let Op::Put { key, value, .. } = op {
                let revision = self.entries.len() as u64 + 1;
                self.entries.push(Entry {
                    key,
                    value,
                    revision,
                });
            }
        }
    }

    pub(crate) fn dynos(&self) -> impl Iterator<Item = Dyno> {
        let entries = self.entries.iter();
        entries
            .filter(|entry| key::DYNOS.holds(&entry.key))
            .map(|entry| key::DYNOS.decode(entry).unwrap().value)
    }

    fn add_node(&mut self, index: usize) {
        let node = Node {
            id: node_id(index),
            name: format!("h{index}"),
            address: "10.0.0.1".parse().unwrap(),
            roles: [model::HostRole::Node].into(),
            zone: Some(format!("rack-{}", index / NODES_PER_RACK)),
            tags: BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]),
            memory_bytes: 16 << 30,
            cpus: 8,
            cordoned: false,
            draining: false,
            joined_at: start(),
        };
        let alive = NodeHeartbeat {
            node: node.id,
            version: "1".to_owned(),
            started_at: start(),
        };
        let txn = Txn::new().put(&key::NODES, key::node(node.id), &node).put(
            &key::ALIVE_NODES,
            key::alive_node(node.id),
            &alive,
        );
        self.put(txn);
    }

    fn add_app(&mut self, index: usize, nodes: usize, placed: bool) {
        let id = AppId::from_uuid(uuid::Uuid::from_u128(index as u128 + 1));
        let actor = Actor {
            account: AccountId::from_uuid(uuid::Uuid::nil()),
            email: "a@b.c".parse().unwrap(),
        };
        let slug = slug(id);
        let blank = app(id, index);
        let draft = ReleaseDraft {
            description: "Deploy".to_owned(),
            actor,
            slug: Some(slug.id),
        };
        let (mut app, mut release) = append(&blank, draft, Pages::default(), start());
        release.status = ReleaseStatus::Succeeded;
        app.current = app.target;
        let version = release.version;
        let txn = Txn::new()
            .put(&key::APPS, key::app(id), &app)
            .put(&key::SLUGS, key::slug(id, slug.id), &slug)
            .put(&key::RELEASES, key::release(id, version), &release);
        self.put(txn);
        if !placed {
            return;
        }
        let mut backends = Vec::new();
        for slot in 0..DYNOS_PER_APP {
            // Each of an app's dynos in a rack of its own, all nodes equally full.
            let node = (index + slot as usize * (NODES_PER_RACK + 1)) % nodes;
            let name = dyno_name(slot);
            let dyno = Dyno {
                id: DynoId::from_uuid(uuid::Uuid::from_u128(
                    (index as u128 + 1) << 16 | u128::from(slot),
                )),
                app: id,
                app_name: app.name.clone(),
                kind: DynoKind::Formation,
                release: version,
                release_id: release.id,
                node: Some(node_id(node)),
                command: slug.process_types[&name.process_type].clone(),
                size: DynoSize::default(),
                intent: Intent::Run,
                replace: false,
                created_at: start(),
                name,
            };
            let addr = ([10, 0, 0, 1], 5000).into();
            let status = DynoStatus {
                dyno: dyno.id,
                app: id,
                node: node_id(node),
                state: DynoState::Up {
                    since: start(),
                    addr: dyno.is_web().then_some(addr),
                },
                restarts: 0,
                updated_at: start(),
            };
            if dyno.is_web() {
                backends.push(Backend {
                    dyno: dyno.id,
                    name: dyno.name.clone(),
                    addr,
                });
            }
            let txn = Txn::new()
                .put(&key::DYNOS, key::dyno(id, dyno.id), &dyno)
                .put(&key::DYNO_STATUS, key::dyno_status(id, dyno.id), &status);
            self.put(txn);
        }
        backends.sort();
        let route = Route {
            app: id,
            hosts: vec![format!("{}.paas.test", app.name).parse().unwrap()],
            app_name: app.name,
            backends,
            maintenance: false,
            no_backend: NoBackend::Booting,
            error_page_url: None,
            maintenance_page_url: None,
            routing: model::Routing::default(),
        };
        self.put(Txn::new().put(&key::ROUTES, key::route(id), &route));
    }
}

fn dyno_name(slot: u32) -> DynoName {
    match slot < WEB_PER_APP {
        true => DynoName::new(ProcessType::web(), slot + 1),
        false => DynoName::new("worker".parse().unwrap(), slot - WEB_PER_APP + 1),
    }
}

fn slug(app: AppId) -> Slug {
    Slug {
        id: SlugId::from_uuid(uuid::Uuid::from_u128(1)),
        app,
        checksum: "0".repeat(64).parse().unwrap(),
        size: 1,
        unpacked_size: 1,
        commit: None,
        commit_description: None,
        language: None,
        process_types: BTreeMap::from([
            (
                ProcessType::web(),
                "bundle exec puma -C config/puma.rb".to_owned(),
            ),
            ("worker".parse().unwrap(), "bundle exec sidekiq".to_owned()),
        ]),
        stack: "heroku-24".to_owned(),
        created_at: start(),
    }
}

fn app(id: AppId, index: usize) -> App {
    let of = |quantity| Formation {
        quantity,
        size: DynoSize::default(),
    };
    App {
        id,
        name: format!("app-{index}").parse().unwrap(),
        owner: Owner::Account(AccountId::from_uuid(uuid::Uuid::nil())),
        locked: false,
        created_at: start(),
        updated_at: start(),
        released_at: None,
        stack: "heroku-24".to_owned(),
        maintenance: false,
        buildpacks: Vec::new(),
        formation: BTreeMap::from([
            (ProcessType::web(), of(WEB_PER_APP)),
            ("worker".parse().unwrap(), of(DYNOS_PER_APP - WEB_PER_APP)),
        ]),
        placement: model::Placement::default(),
        routing: model::Routing::default(),
        latest: ReleaseVersion(0),
        target: ReleaseVersion(0),
        current: ReleaseVersion(0),
        repo_size: None,
        slug_size: None,
    }
}
