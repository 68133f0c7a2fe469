//! The store's records of routes and services, and the table made of them.
//!
//! A record that cannot be read hurts only its own app: its names stay its own (if they were ever known) and answer
//! with a platform error, and everything else is routed as before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use model::{AppId, DynoId, Hostname, Route, ServiceEndpoint, ServiceRole};
use store::{Entry, Event, Key, key};
use tokio::sync::Notify;
use tracing::error;

use crate::backend::{Backend, BackendId};
use crate::metrics::AppCounters;
use crate::queue::Queue;
use crate::rules::Rules;
use crate::silence::Host;
use crate::table::{App, Platform, Table};

#[derive(Debug)]
pub(crate) struct Records {
    domain: Hostname,
    apps: HashMap<Key, Arc<App>>,
    services: HashMap<Key, (ServiceRole, Arc<Backend>)>,
    backends: HashMap<(BackendId, SocketAddr), Arc<Backend>>,
    /// Kept by their backends.
    hosts: HashMap<IpAddr, Weak<Host>>,
    next_serial: u64,
    generation: u64,
    drained: Arc<Notify>,
    workers: usize,
    /// Of the apps there are.
    counters: HashMap<AppId, Arc<AppCounters>>,
}

impl Records {
    pub(crate) fn new(domain: Hostname, workers: usize) -> Self {
        Self {
            domain,
            apps: HashMap::new(),
            services: HashMap::new(),
            backends: HashMap::new(),
            hosts: HashMap::new(),
            next_serial: 0,
            generation: 0,
            drained: Arc::new(Notify::new()),
            workers,
            counters: HashMap::new(),
        }
    }

    /// Told whenever a removed backend has no request in flight any more.
    pub(crate) fn drained(&self) -> Arc<Notify> {
        self.drained.clone()
    }

    /// Replaces all routes (`prefix` is theirs) or all services by `entries`.
    pub(crate) fn replace(&mut self, prefix: &Key, entries: &[Entry]) {
        if *prefix == key::ROUTES.prefix() {
            let before = std::mem::take(&mut self.apps);
            for entry in entries {
                self.put_route(entry, before.get(&entry.key));
            }
        } else {
            self.services.clear();
            for entry in entries {
                self.put_service(entry);
            }
        }
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        let is_route = event.key().starts_with(&key::ROUTES.prefix());
        match event {
            Event::Put(entry) if is_route => {
                let before = self.apps.get(&entry.key).cloned();
                self.put_route(entry, before.as_ref());
            }
            Event::Put(entry) => self.put_service(entry),
            Event::Delete { key, .. } if is_route => {
                self.apps.remove(key);
            }
            Event::Delete { key, .. } => {
                self.services.remove(key);
            }
        }
    }

    fn put_route(&mut self, entry: &Entry, before: Option<&Arc<App>>) {
        match key::ROUTES.decode(entry) {
            Ok(route) if route.value.app.to_string() == entry.key.name() => {
                let app = self.app(route.value, before);
                self.apps.insert(entry.key.clone(), Arc::new(app));
            }
            Ok(route) => {
                error!(key = %entry.key, app.id = %route.value.app, "A route is filed under another app; it is not served");
                self.put_broken(entry, before);
            }
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, key = %entry.key, "Could not read a route; its app is not served");
                self.put_broken(entry, before);
            }
        }
    }

    fn put_broken(&mut self, entry: &Entry, before: Option<&Arc<App>>) {
        let id: Option<AppId> = entry.key.name().parse().ok();
        let broken = before.zip(id).map(|(before, id)| App {
            id,
            name: before.name.clone(),
            own_name: before.own_name.clone(),
            hosts: before.hosts.clone(),
            backends: Box::default(),
            maintenance: false,
            no_backend: None,
            error_page_url: before.error_page_url.clone(),
            maintenance_page_url: None,
            rules: None,
            queue: before.queue.clone(),
            counters: before.counters.clone(),
        });
        match broken {
            Some(app) => self.apps.insert(entry.key.clone(), Arc::new(app)),
            None => self.apps.remove(&entry.key),
        };
    }

    /// In the place of `before`, whose counts go on.
    fn app(&mut self, route: Route, before: Option<&Arc<App>>) -> App {
        let rules_before = before.and_then(|before| before.rules.as_deref());
        let rules = Rules::of(route.routing, &route.hosts, rules_before);
        let backends = route
            .backends
            .into_iter()
            .map(|backend| {
                self.backend(BackendId::Dyno(backend.dyno), backend.addr, || {
                    backend.name.to_string()
                })
            })
            .collect();
        let workers = self.workers;
        let counters = self.counters.entry(route.app);
        let counters = counters.or_insert_with(|| Arc::new(AppCounters::new(workers)));
        App {
            id: route.app,
            name: route.app_name.to_string(),
            counters: counters.clone(),
            own_name: format!("{}.{}", route.app_name, self.domain),
            hosts: route.hosts,
            backends,
            maintenance: route.maintenance,
            no_backend: Some(route.no_backend),
            error_page_url: route.error_page_url,
            maintenance_page_url: route.maintenance_page_url,
            rules,
            queue: before.map_or_else(Queue::default, |before| before.queue.clone()),
        }
    }

    fn put_service(&mut self, entry: &Entry) {
        match key::ALIVE_SERVICES.decode(entry) {
            Ok(service) => {
                let ServiceEndpoint { id, role, addr, .. } = service.value;
                let backend = self.backend(BackendId::Service(role, id), addr, || {
                    role.as_str().to_owned()
                });
                self.services.insert(entry.key.clone(), (role, backend));
            }
            Err(error) => {
                error!(error = &error as &dyn std::error::Error, key = %entry.key, "Could not read a service's record; it is not used");
                self.services.remove(&entry.key);
            }
        }
    }

    /// The same backend for as long as anything of it lives, so that its counts are.
    fn backend(
        &mut self,
        id: BackendId,
        addr: SocketAddr,
        label: impl FnOnce() -> String,
    ) -> Arc<Backend> {
        let (serial, hosts, drained) = (&mut self.next_serial, &mut self.hosts, &self.drained);
        let backend = self.backends.entry((id, addr)).or_insert_with(|| {
            *serial += 1;
            let host = host_at(hosts, addr.ip());
            let drained = drained.clone();
            Arc::new(Backend::new(*serial, id, label(), addr, host, drained))
        });
        backend.clone()
    }

    /// The table of the records as they are. Backends that it no longer holds are marked removed from here on.
    pub(crate) fn build(&mut self) -> Arc<Table> {
        self.generation += 1;
        let of_apps = self.apps.values().flat_map(|app| app.backends.iter());
        for backend in of_apps.chain(self.services.values().map(|(_, backend)| backend)) {
            backend.generation.store(self.generation, Ordering::Relaxed);
        }
        for backend in self.backends.values() {
            backend.set_removed(backend.generation.load(Ordering::Relaxed) != self.generation);
        }
        // Nobody else can begin a request with a backend that only this map holds.
        self.backends
            .retain(|_, backend| !backend.is_removed() || Arc::strong_count(backend) > 1);
        self.hosts.retain(|_, host| host.strong_count() > 0);
        let routed: HashSet<AppId> = self.apps.values().map(|app| app.id).collect();
        self.counters.retain(|id, _| routed.contains(id));

        let platform = [ServiceRole::Controller, ServiceRole::Builder].map(|wanted| {
            let mut backends: Vec<_> = self
                .services
                .values()
                .filter(|(role, _)| *role == wanted)
                .map(|(_, backend)| backend.clone())
                .collect();
            backends.sort_by_key(|backend| backend.serial);
            Arc::new(Platform {
                role: wanted,
                backends: backends.into(),
            })
        });
        Arc::new(Table::build(
            &self.domain,
            self.apps.values().cloned().collect(),
            platform.into(),
        ))
    }

    /// Dynos that no route leads to any more but which still answer requests, and how many.
    pub(crate) fn draining(&self) -> BTreeMap<DynoId, u32> {
        let mut draining = BTreeMap::new();
        for backend in self.backends.values() {
            if let (BackendId::Dyno(dyno), true, count @ 1..) =
                (backend.id, backend.is_removed(), backend.in_flight())
            {
                *draining.entry(dyno).or_insert(0) += count;
            }
        }
        // A dyno that came back at another address is routed.
        let routed = self.apps.values().flat_map(|app| app.backends.iter());
        for backend in routed {
            if let BackendId::Dyno(dyno) = backend.id {
                draining.remove(&dyno);
            }
        }
        draining
    }
}

fn host_at(hosts: &mut HashMap<IpAddr, Weak<Host>>, ip: IpAddr) -> Arc<Host> {
    let known = hosts.get(&ip).and_then(Weak::upgrade);
    known.unwrap_or_else(|| {
        let host = Arc::new(Host::new());
        hosts.insert(ip, Arc::downgrade(&host));
        host
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::{Backend as RouteBackend, NoBackend};

    use super::*;
    use crate::backend::InFlight;
    use crate::table::Target;

    fn route(app: AppId, name: &str, ports: &[u16]) -> Route {
        Route {
            routing: model::Routing::default(),
            app,
            app_name: name.parse().unwrap(),
            hosts: vec![format!("{name}.paas.test").parse().unwrap()],
            backends: ports
                .iter()
                .map(|port| RouteBackend {
                    dyno: DynoId::from_uuid(uuid::Uuid::from_u128(u128::from(*port))),
                    name: "web.1".parse().unwrap(),
                    addr: ([127, 0, 0, 1], *port).into(),
                })
                .collect(),
            maintenance: false,
            no_backend: NoBackend::Booting,
            error_page_url: None,
            maintenance_page_url: None,
        }
    }

    fn entry(route: &Route) -> Entry {
        let key = key::route(route.app);
        Entry {
            value: key::ROUTES.encode(&key, route).unwrap(),
            key,
            revision: 1,
        }
    }

    fn app_of(table: &Table, host: &str) -> Option<Arc<App>> {
        match table.lookup(host) {
            Some(Target::App(app)) => Some(app.clone()),
            _ => None,
        }
    }

    #[test]
    fn a_record_of_nonsense_hurts_only_its_own_app() {
        let (one, two) = (AppId::new(), AppId::new());
        let mut records = Records::new("paas.test".parse().unwrap(), 1);
        records.replace(
            &key::ROUTES.prefix(),
            &[
                entry(&route(one, "one", &[1])),
                entry(&route(two, "two", &[2])),
            ],
        );
        let nonsense = Entry {
            value: Bytes::from_static(b"{\"app\":7}"),
            ..entry(&route(one, "one", &[]))
        };
        records.apply(&Event::Put(nonsense));
        let table = records.build();
        assert_eq!(app_of(&table, "two.paas.test").unwrap().backends.len(), 1);
        let broken = app_of(&table, "one.paas.test").unwrap();
        assert!(broken.backends.is_empty() && broken.no_backend.is_none());
    }

    #[test]
    fn a_removed_dyno_drains_until_its_last_request_ends() {
        let app = AppId::new();
        let mut records = Records::new("paas.test".parse().unwrap(), 1);
        records.apply(&Event::Put(entry(&route(app, "one", &[1, 2]))));
        let table = records.build();
        let gone = app_of(&table, "one.paas.test").unwrap().backends[0].clone();
        let (dyno, request) = (
            DynoId::from_uuid(uuid::Uuid::from_u128(1)),
            InFlight::begin(gone),
        );
        records.apply(&Event::Put(entry(&route(app, "one", &[2]))));
        records.build();
        assert_eq!(
            records.draining().into_iter().collect::<Vec<_>>(),
            [(dyno, 1)]
        );

        records.apply(&Event::Put(entry(&route(app, "one", &[1, 2]))));
        records.build();
        assert!(records.draining().is_empty(), "it is routed again");

        records.apply(&Event::Delete {
            key: key::route(app),
            revision: 2,
        });
        records.build();
        assert_eq!(records.draining().len(), 1);
        drop((request, table));
        assert!(records.draining().is_empty());
        records.build();
        assert!(records.backends.is_empty());
    }
}
