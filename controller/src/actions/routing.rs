//! How an app's requests are treated. Not a release: routers take it up with their next table.

use std::collections::BTreeMap;
use std::net::IpAddr;

use controller_api::wire;
use ipnet::IpNet;
use model::{
    Account, App, AppId, Canary, ClientLimit, Hostname, Hsts, PathRoute, Permission, Routing,
    Timestamp,
};
use serde_json::{Map, Value};
use store::{Committed, Txn, key};

use super::{ActionError, Attempts, read_app};
use crate::context::{Context, actor};
use crate::find;
use crate::views;

const MAX_NETWORKS: usize = 500;
const MAX_PATHS: usize = 100;
const MAX_PREFIX: usize = 200;
const DAY: u32 = 24 * 3600;
const YEAR: u64 = 365 * DAY as u64;
const MAX_REQUESTS_PER_DYNO: u32 = 100_000;

/// All of the patch or nothing.
pub(crate) async fn update(
    context: &Context,
    app: AppId,
    by: &Account,
    patch: &Map<String, Value>,
) -> Result<App, ActionError> {
    let store = context.store();
    let mut attempts = Attempts::default();
    loop {
        let seen = read_app(store, app).await?;
        let shown = views::routing::view(store, &seen.value.routing).await?;
        let wanted = patched(&shown, patch)?;
        let changed = App {
            routing: resolve(context, by, &seen.value, wanted).await?,
            updated_at: Timestamp::now(),
            ..seen.value.clone()
        };
        if changed.routing == seen.value.routing {
            return Ok(seen.value);
        }
        let others = changed.routing.others();
        // An app that is led to must not be destroyed in the same moment.
        let txn = others.fold(
            Txn::new().replace(&key::APPS, &seen, &changed),
            |txn, id| txn.exists(key::app(id)),
        );
        if let Committed::Done(_) = txn.commit(store).await? {
            let names: Vec<&str> = patch.keys().map(String::as_str).collect();
            let text = format!("Set routing: {}", names.join(", "));
            context.tell(app, &actor(by), &text).await;
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}

fn patched(
    shown: &wire::Routing,
    patch: &Map<String, Value>,
) -> Result<wire::Routing, ActionError> {
    let mut merged = serde_json::to_value(shown).map_err(ActionError::internal)?;
    merge(&mut merged, &Value::Object(patch.clone()));
    let read: wire::Routing = serde_json::from_value(merged.clone())
        .map_err(|error| ActionError::invalid(format!("That is no routing: {error}.")))?;
    let known = serde_json::to_value(&read).map_err(ActionError::internal)?;
    match unknown(&merged, &known) {
        None => Ok(read),
        Some(name) => Err(ActionError::invalid(format!(
            "Routing has no {name:?}; it has {}.",
            names(&serde_json::to_value(wire::Routing::default()).map_err(ActionError::internal)?)
        ))),
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// A name that was given and not understood.
fn unknown<'v>(given: &'v Value, understood: &Value) -> Option<&'v str> {
    let (given, understood) = (given.as_object()?, understood.as_object()?);
    given.iter().find_map(|(name, value)| {
        let Some(inner) = understood.get(name) else {
            return Some(name.as_str());
        };
        unknown(value, inner)
    })
}

fn names(shown: &Value) -> String {
    let names = shown.as_object().into_iter().flat_map(Map::keys);
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

async fn resolve(
    context: &Context,
    by: &Account,
    app: &App,
    wanted: wire::Routing,
) -> Result<Routing, ActionError> {
    if let Some(hsts) = &wanted.hsts {
        check_hsts(hsts)?;
    }
    if let Some(limit) = &wanted.rate_limit {
        check_rate_limit(limit)?;
    }
    if let Some(count) = wanted.requests_per_dyno {
        check_range("requests_per_dyno", count, 1..=MAX_REQUESTS_PER_DYNO)?;
    }
    let canonical_host = match &wanted.canonical_host {
        // It may not lead to the app any more; routers know, and it is in no other setting's way.
        Some(host) if is_set(app, host) => app.routing.canonical_host.clone(),
        Some(host) => Some(own_host(context, app, host).await?),
        None => None,
    };
    let (allow, deny) = (networks(&wanted.allow)?, networks(&wanted.deny)?);
    let mut others = Others {
        context,
        by,
        app,
        known: BTreeMap::new(),
    };
    let paths = others.paths(&wanted.paths).await?;
    let canary = match &wanted.canary {
        Some(canary) => Some(others.canary(canary).await?),
        None => None,
    };
    Ok(Routing {
        https_only: wanted.https_only,
        hsts: wanted.hsts,
        canonical_host,
        allow,
        deny,
        rate_limit: wanted.rate_limit,
        paths,
        canary,
        paused: wanted.paused,
        session_affinity: wanted.session_affinity,
        compression: wanted.compression,
        dyno_protocol: wanted.dyno_protocol,
        requests_per_dyno: wanted.requests_per_dyno,
    })
}

fn check_range(
    name: &str,
    value: u32,
    range: std::ops::RangeInclusive<u32>,
) -> Result<(), ActionError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(ActionError::invalid(format!(
        "{name} must be from {} to {}; {value} is not.",
        range.start(),
        range.end()
    )))
}

/// What browsers' makers ask of whoever would be on their lists: <https://hstspreload.org/#submission-requirements>.
fn check_hsts(hsts: &Hsts) -> Result<(), ActionError> {
    if hsts.preload && !(hsts.include_subdomains && hsts.max_age >= YEAR) {
        return Err(ActionError::invalid(format!(
            "hsts with preload must include subdomains and have a max_age of at least {YEAR} seconds, a year."
        )));
    }
    Ok(())
}

fn check_rate_limit(limit: &ClientLimit) -> Result<(), ActionError> {
    const MOST: u32 = 1_000_000;
    check_range("rate_limit.requests", limit.requests, 1..=MOST)?;
    check_range("rate_limit.per_seconds", limit.per_seconds, 1..=DAY)?;
    check_range("rate_limit.burst", limit.burst.unwrap_or(1), 1..=MOST)?;
    check_range("rate_limit.block_seconds", limit.block_seconds, 0..=DAY)
}

fn networks(texts: &[String]) -> Result<Vec<IpNet>, ActionError> {
    if texts.len() > MAX_NETWORKS {
        return Err(ActionError::invalid(format!(
            "A list of more than {MAX_NETWORKS} networks is too long; give larger networks."
        )));
    }
    let network = |text: &String| {
        let network = text.parse::<IpNet>();
        let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network = network.map(|network| network.trunc());
        let is_mapped = |network: &IpNet| matches!(network.addr(), IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
        if network.as_ref().is_ok_and(is_mapped) {
            return Err(ActionError::invalid(format!(
                "{text:?} stands for an IPv4 network; write it as one, such as 10.0.0.0/8."
            )));
        }
        network.map_err(|_| {
            ActionError::invalid(format!(
                "{text:?} is neither an address nor a network such as 10.0.0.0/8."
            ))
        })
    };
    texts.iter().map(network).collect()
}

fn is_set(app: &App, canonical_host: &str) -> bool {
    let set = app.routing.canonical_host.as_ref();
    set.is_some_and(|set| set.as_str() == canonical_host)
}

/// One of the names that lead to the app.
async fn own_host(context: &Context, app: &App, text: &str) -> Result<Hostname, ActionError> {
    let host: Hostname = text.parse()?;
    if host.as_str() == format!("{}.{}", app.name, context.config.domain) {
        return Ok(host);
    }
    let domain = key::DOMAINS
        .get(context.store(), &key::domain(&host))
        .await?
        .filter(|domain| domain.value.app == app.id);
    if domain.is_some() && !host.as_str().starts_with("*.") {
        return Ok(host);
    }
    Err(ActionError::invalid(format!(
        "{host} is no domain of {}; add it first: paas domains:add {host}",
        app.name
    )))
}

/// Other apps that this one sends requests to.
struct Others<'a> {
    context: &'a Context,
    by: &'a Account,
    app: &'a App,
    /// By name; and whether whoever asks may operate it.
    known: BTreeMap<String, (AppId, bool)>,
}

impl Others<'_> {
    async fn paths(
        &mut self,
        wanted: &BTreeMap<String, String>,
    ) -> Result<Vec<PathRoute>, ActionError> {
        if wanted.len() > MAX_PATHS {
            return Err(ActionError::invalid(format!(
                "An app has at most {MAX_PATHS} path routes."
            )));
        }
        let mut paths = Vec::new();
        for (prefix, name) in wanted {
            check_prefix(prefix)?;
            let set = &self.app.routing.paths;
            let is_set = |id| {
                set.iter()
                    .any(|route| route.app == id && route.prefix == *prefix)
            };
            paths.push(PathRoute {
                prefix: prefix.clone(),
                app: self.find(name, is_set).await?,
            });
        }
        Ok(paths)
    }

    async fn canary(&mut self, wanted: &wire::Canary) -> Result<Canary, ActionError> {
        check_range("canary.percent", wanted.percent.into(), 0..=100)?;
        let set = self.app.routing.canary;
        let is_set = |id| set.is_some_and(|set| set.app == id && wanted.percent <= set.percent);
        Ok(Canary {
            app: self.find(&wanted.app, is_set).await?,
            percent: wanted.percent,
        })
    }

    /// Whoever sends requests to an app must be one who could stop it; not for what is set already, or more of it.
    async fn find(
        &mut self,
        name: &str,
        is_set: impl FnOnce(AppId) -> bool,
    ) -> Result<AppId, ActionError> {
        let missing =
            || ActionError::invalid(format!("There is no app {name} that you may operate."));
        let (id, may_operate) = match self.known.get(name) {
            Some(known) => *known,
            None => {
                let store = self.context.store();
                let other = find::app(store, name).await?.ok_or_else(missing)?.value;
                let role = find::role(store, self.by, &other).await?;
                let may_operate = role.is_some_and(|role| role.may(Permission::Operate));
                self.known.insert(name.to_owned(), (other.id, may_operate));
                (other.id, may_operate)
            }
        };
        if id == self.app.id {
            return Err(ActionError::invalid(format!(
                "{name} is the app itself; requests that go nowhere else are its own."
            )));
        }
        match may_operate || is_set(id) {
            true => Ok(id),
            false => Err(missing()),
        }
    }
}

fn check_prefix(prefix: &str) -> Result<(), ActionError> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#\\;".contains(&byte);
    let fits = (2..=MAX_PREFIX).contains(&prefix.len());
    if fits && prefix.starts_with('/') && !prefix.ends_with('/') && prefix.bytes().all(is_plain) {
        return Ok(());
    }
    Err(ActionError::invalid(format!(
        "{prefix:?} is no path to route by: it begins with / and does not end with it, such as /api or /shop/images."
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn after(patch: Value) -> Result<wire::Routing, ActionError> {
        let shown = wire::Routing {
            https_only: true,
            hsts: Some(Hsts {
                max_age: 60,
                include_subdomains: true,
                preload: false,
            }),
            paths: BTreeMap::from([("/api".to_owned(), "other".to_owned())]),
            ..wire::Routing::default()
        };
        let Value::Object(patch) = patch else {
            panic!("{patch}")
        };
        patched(&shown, &patch)
    }

    #[test]
    fn a_patch_changes_what_it_names_and_null_goes_back_to_the_default() {
        let routing = after(json!({
            "https_only": null, "hsts": {"max_age": 90}, "paths": {"/api": null, "/x": "other"}, "paused": true
        }));
        let routing = routing.unwrap();
        let hsts = routing.hsts.unwrap();
        assert!(!routing.https_only && routing.paused && hsts.include_subdomains);
        assert_eq!(hsts.max_age, 90);
        assert_eq!(routing.paths.keys().collect::<Vec<_>>(), ["/x"]);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (patch, word) in [
            (
                json!({"http_only": true}),
                "\"http_only\"; it has allow, canary",
            ),
            (json!({"hsts": {"maxage": 3}}), "\"maxage\""),
            (json!({"hsts": {"max_age": "long"}}), "\"long\""),
            (json!({"dyno_protocol": "spdy"}), "`http1` or `http2`"),
        ] {
            let refused = after(patch).unwrap_err().to_string();
            assert!(refused.contains(word), "{refused}");
        }
    }

    #[test]
    fn limits_have_limits_and_paths_a_shape() {
        let limit = |requests, per_seconds| ClientLimit {
            requests,
            per_seconds,
            burst: None,
            block_seconds: 0,
        };
        assert!(check_rate_limit(&limit(100, 60)).is_ok());
        assert!(check_rate_limit(&limit(0, 60)).is_err());
        assert!(check_rate_limit(&limit(1, 0)).is_err());
        for good in ["/api", "/a/b", "/%C3%A4"] {
            assert!(check_prefix(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "api", "/api/", "/a?b", "/a b", "/ä"] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_are_what_people_write() {
        let texts = ["10.1.2.3/8", "192.0.2.1", "2001:db8::/32", "::1"].map(str::to_owned);
        let read: Vec<String> = networks(&texts)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            read,
            ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "::1/128"]
        );
        assert!(networks(&["10.0.0.0/33".to_owned()]).is_err());
    }
}
