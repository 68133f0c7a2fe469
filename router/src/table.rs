//! Host name to app: the table every request is routed by. Never changed, only replaced whole.

use std::collections::HashMap;
use std::sync::Arc;

use model::{AppId, Hostname, NoBackend, ServiceRole};

use crate::backend::Backend;
pub(crate) use crate::host::parse_host;
use crate::metrics::AppCounters;
use crate::queue::Queue;
use crate::rules::Rules;

#[derive(Debug, Default)]
pub(crate) struct Table {
    exact: HashMap<Box<str>, Target>,
    /// By what follows the `*.`.
    wildcard: HashMap<Box<str>, Target>,
    by_id: HashMap<AppId, Arc<App>>,
    /// Whether it was made from records; an empty table that was not knows no app, and must not say "no such app".
    known: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Target {
    App(Arc<App>),
    Platform(Arc<Platform>),
    /// The platform's domain itself.
    Landing,
}

#[derive(Debug)]
pub(crate) struct App {
    pub(crate) id: AppId,
    pub(crate) name: String,
    /// `<app>.<domain>`: this name is the app's before any other app's.
    pub(crate) own_name: String,
    pub(crate) hosts: Vec<Hostname>,
    pub(crate) backends: Box<[Arc<Backend>]>,
    pub(crate) maintenance: bool,
    /// Why there is no backend. `None`: its record makes no sense.
    pub(crate) no_backend: Option<NoBackend>,
    pub(crate) error_page_url: Option<String>,
    pub(crate) maintenance_page_url: Option<String>,
    /// `None`: its requests are passed on, whoever sends them and however they come.
    pub(crate) rules: Option<Box<Rules>>,
    /// Of requests that cannot be passed on yet.
    pub(crate) queue: Queue,
    pub(crate) counters: Arc<AppCounters>,
}

/// Controllers or builders.
#[derive(Debug)]
pub(crate) struct Platform {
    pub(crate) role: ServiceRole,
    pub(crate) backends: Box<[Arc<Backend>]>,
}

impl Table {
    /// Two apps may claim one name while records change; then the app it is made of has it, else the older app.
    /// Nobody but the platform has the platform's names.
    pub(crate) fn build(
        domain: &Hostname,
        mut apps: Vec<Arc<App>>,
        platform: Vec<Arc<Platform>>,
    ) -> Self {
        let mut table = Self {
            known: true,
            ..Self::default()
        };
        table.exact.insert(domain.as_str().into(), Target::Landing);
        for platform in platform {
            let label = match platform.role {
                ServiceRole::Controller => "api",
                ServiceRole::Builder => "git",
            };
            table.exact.insert(
                format!("{label}.{domain}").into(),
                Target::Platform(platform),
            );
        }
        apps.sort_by_key(|app| app.id);
        table.by_id = apps.iter().map(|app| (app.id, app.clone())).collect();
        for app in apps.iter().rev() {
            if app.hosts.iter().any(|host| host.as_str() == app.own_name) {
                table.claim(&app.own_name, app);
            }
        }
        for app in &apps {
            for host in &app.hosts {
                if host.as_str().strip_prefix("*.") != Some(domain.as_str()) {
                    table.claim(host.as_str(), app);
                }
            }
        }
        table
    }

    fn claim(&mut self, host: &str, app: &Arc<App>) {
        let (names, name) = match host.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcard, parent),
            None => (&mut self.exact, host),
        };
        names
            .entry(name.into())
            .or_insert_with(|| Target::App(app.clone()));
    }

    /// `host` as [`parse_host`] gives it. An exact name goes before a wildcard; a wildcard stands for one label.
    pub(crate) fn lookup(&self, host: &str) -> Option<&Target> {
        self.exact.get(host).or_else(|| {
            let (label, parent) = host.split_once('.')?;
            if label.is_empty() {
                None
            } else {
                self.wildcard.get(parent)
            }
        })
    }

    /// Whatever its names.
    pub(crate) fn app(&self, id: AppId) -> Option<&Arc<App>> {
        self.by_id.get(&id)
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.by_id.values()
    }

    pub(crate) const fn is_known(&self) -> bool {
        self.known
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn app(own_name: &str, hosts: &[&str]) -> Arc<App> {
        Arc::new(App {
            id: AppId::new(),
            name: own_name.to_owned(),
            own_name: own_name.to_owned(),
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            backends: Box::default(),
            maintenance: false,
            no_backend: Some(NoBackend::Blank),
            error_page_url: None,
            maintenance_page_url: None,
            rules: None,
            queue: Queue::default(),
            counters: Arc::new(AppCounters::new(1)),
        })
    }

    fn table(apps: &[Arc<App>]) -> Table {
        let roles = [ServiceRole::Controller, ServiceRole::Builder];
        let platform = roles.map(|role| {
            Arc::new(Platform {
                role,
                backends: Box::default(),
            })
        });
        Table::build(
            &"paas.test".parse().unwrap(),
            apps.to_vec(),
            platform.to_vec(),
        )
    }

    fn found(table: &Table, text: &str) -> Option<AppId> {
        match table.lookup(&parse_host(text)?) {
            Some(Target::App(app)) => Some(app.id),
            _ => None,
        }
    }

    #[test]
    fn an_exact_name_goes_before_a_wildcard_and_case_port_and_dot_do_not_matter() {
        let exact = app("one.paas.test", &["one.paas.test", "www.example.com"]);
        let wild = app("two.paas.test", &["two.paas.test", "*.example.com"]);
        let table = table(&[exact.clone(), wild.clone()]);
        assert_eq!(found(&table, "www.example.com"), Some(exact.id));
        assert_eq!(found(&table, "WWW.Example.com.:8080"), Some(exact.id));
        assert_eq!(found(&table, "other.example.com:443"), Some(wild.id));
        assert_eq!(found(&table, "a.other.example.com"), None);
        assert_eq!(found(&table, "example.com"), None);
        assert_eq!(found(&table, ".example.com"), None);
    }

    #[test]
    fn nobody_takes_the_platforms_names_or_another_apps_own_name() {
        let thief = app(
            "thief.paas.test",
            &[
                "api.paas.test",
                "paas.test",
                "*.paas.test",
                "victim.paas.test",
                "x.org",
            ],
        );
        let victim = app("victim.paas.test", &["victim.paas.test", "x.org"]);
        let table = table(&[victim.clone(), thief.clone()]);
        assert!(
            matches!(table.lookup("api.paas.test"), Some(Target::Platform(p)) if p.role == ServiceRole::Controller)
        );
        assert!(matches!(table.lookup("paas.test"), Some(Target::Landing)));
        assert!(table.lookup("nobody.paas.test").is_none());
        assert_eq!(found(&table, "victim.paas.test"), Some(victim.id));
        assert_eq!(
            found(&table, "x.org"),
            Some(thief.id),
            "the older app keeps a name that two claim"
        );
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in [
            "", ".", ":80", "a b", "a/b", "a@b", "a:b", "a:80:80", "[::1", "[x]", "[::1]x",
            "ä.com", "a,b",
        ] {
            assert_eq!(parse_host(bad), None, "{bad}");
        }
        assert_eq!(parse_host("[::1]:80").as_deref(), Some("[::1]"));
        assert_eq!(parse_host("127.0.0.1:80").as_deref(), Some("127.0.0.1"));
    }

    fn label() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "c", "www"])
    }

    fn name() -> impl Strategy<Value = String> {
        prop::collection::vec(label(), 1..4).prop_map(|labels| labels.join("."))
    }

    proptest! {
        #[test]
        fn lookup_finds_what_a_search_through_all_claims_finds(
            claims in prop::collection::vec(prop::collection::vec((any::<bool>(), name()), 0..4), 0..6),
            asked in name(),
            upper in any::<bool>(),
            port in prop::option::of(any::<u16>()),
        ) {
            let apps: Vec<_> = claims
                .iter()
                .map(|hosts| {
                    let hosts: Vec<_> =
                        hosts.iter().map(|(wild, name)| if *wild { format!("*.{name}") } else { name.clone() }).collect();
                    app("own.paas.test", &hosts.iter().map(String::as_str).collect::<Vec<_>>())
                })
                .collect();
            let has = |wanted: &str| apps.iter().find(|app| app.hosts.iter().any(|host| host.as_str() == wanted));
            let wildcard = asked.split_once('.').map(|(_, parent)| format!("*.{parent}"));
            let expected = has(&asked).or_else(|| wildcard.as_deref().and_then(has)).map(|app| app.id);

            let mut text = if upper { asked.to_ascii_uppercase() } else { asked.clone() };
            if let Some(port) = port { text = format!("{text}:{port}"); }
            prop_assert_eq!(found(&table(&apps), &text), expected);
        }

        #[test]
        fn parsing_a_host_never_panics_and_is_stable(text in ".{0,60}") {
            if let Some(host) = parse_host(&text) {
                prop_assert_eq!(parse_host(&host), Some(host.clone()));
            }
        }
    }
}
