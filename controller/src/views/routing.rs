//! How an app's requests are treated, with other apps by name.

use std::collections::BTreeMap;

use controller_api::wire;
use model::{AppId, Routing};
use store::{Store, StoreError, key};

/// What led to an app that is gone is left out: it leads nowhere, and is dropped with the next change.
pub(crate) async fn view(
    store: &dyn Store,
    routing: &Routing,
) -> Result<wire::Routing, StoreError> {
    let mut names = BTreeMap::new();
    for app in routing.others() {
        let seen = key::APPS.get(store, &key::app(app)).await?;
        names.extend(seen.map(|seen| (app, seen.value.name.to_string())));
    }
    let name = |app: AppId| names.get(&app).cloned();
    let texts = |networks: &[ipnet::IpNet]| networks.iter().map(text).collect();
    Ok(wire::Routing {
        https_only: routing.https_only,
        hsts: routing.hsts,
        canonical_host: routing.canonical_host.as_ref().map(ToString::to_string),
        allow: texts(&routing.allow),
        deny: texts(&routing.deny),
        rate_limit: routing.rate_limit,
        paths: routing
            .paths
            .iter()
            .filter_map(|route| Some((route.prefix.clone(), name(route.app)?)))
            .collect(),
        canary: routing.canary.and_then(|canary| {
            Some(wire::Canary {
                app: name(canary.app)?,
                percent: canary.percent,
            })
        }),
        paused: routing.paused,
        session_affinity: routing.session_affinity,
        compression: routing.compression,
        dyno_protocol: routing.dyno_protocol,
        requests_per_dyno: routing.requests_per_dyno,
    })
}

/// A single address as people write it.
fn text(network: &ipnet::IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}
