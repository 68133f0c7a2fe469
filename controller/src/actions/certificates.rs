//! An app's certificates: taking them in, and which of its domains each serves.
//!
//! An endpoint's record names the domains it serves, so that a router needs nothing else; a domain is in one of them at
//! most, which taking the turn upholds.

use std::collections::BTreeSet;

use model::{
    App, AppId, Domain, EndpointId, EndpointOrigin, Hostname, Secret, SniEndpoint, Timestamp,
};
use store::{Committed, Store, StoreError, Txn, Versioned, key};

use super::turn::Turn;
use super::{ActionError, Attempts, app_names, domains, sentence};
use crate::certificate::{BadCertificate, Inspected, inspect};
use crate::context::Context;

/// As many as an app may have domains.
const MAX_ENDPOINTS: usize = 1000;
/// Longer than any chain and key that pass.
const MAX_TEXT: usize = 128 << 10;

impl From<BadCertificate> for ActionError {
    fn from(error: BadCertificate) -> Self {
        Self::invalid(sentence(&error.to_string()))
    }
}

/// What somebody brings, or an authority has issued.
#[derive(Debug)]
pub(crate) struct Offered {
    inspected: Inspected,
    key: Secret<String>,
}

impl Offered {
    pub(crate) fn new(chain: &str, key: Secret<String>) -> Result<Self, ActionError> {
        if chain.len().max(key.expose().len()) > MAX_TEXT {
            return Err(ActionError::invalid(
                "This is too long for a certificate and its key.",
            ));
        }
        let inspected = inspect(chain, &key, Timestamp::now())?;
        Ok(Self { inspected, key })
    }
}

pub(crate) async fn list(
    store: &dyn Store,
    app: AppId,
) -> Result<Vec<Versioned<SniEndpoint>>, StoreError> {
    key::CERTIFICATES
        .list(store, &key::certificates_of(app))
        .await
}

/// By id or name.
pub(crate) async fn find(
    store: &dyn Store,
    app: AppId,
    identity: &str,
) -> Result<Versioned<SniEndpoint>, ActionError> {
    pick(list(store, app).await?, identity)
}

fn pick(
    endpoints: Vec<Versioned<SniEndpoint>>,
    identity: &str,
) -> Result<Versioned<SniEndpoint>, ActionError> {
    let id = identity.parse::<EndpointId>().ok();
    let mut endpoints = endpoints.into_iter();
    let found = endpoints.find(|seen| Some(seen.value.id) == id || seen.value.name == identity);
    found.ok_or_else(|| ActionError::NotFound {
        resource: "sni_endpoint",
        message: format!(
            "Couldn't find the certificate {}. See `paas certs`.",
            identity.chars().take(300).collect::<String>()
        ),
    })
}

/// A new endpoint, which serves every domain that it covers and that nobody has given another certificate.
pub(crate) async fn add(
    context: &Context,
    app: &App,
    offered: &Offered,
) -> Result<SniEndpoint, ActionError> {
    let store = context.store();
    let facts = &offered.inspected.facts;
    let mut attempts = Attempts::default();
    loop {
        let turn = Turn::look(store).await?;
        let mut endpoints = list(store, app.id).await?;
        let names = names(&domains::list(store, app).await?);
        let covered: BTreeSet<_> = names
            .into_iter()
            .filter(|name| facts.covers(name))
            .collect();
        if covered.is_empty() {
            return Err(covers_none(app, offered));
        }
        if endpoints.len() >= MAX_ENDPOINTS {
            return Err(ActionError::invalid(format!(
                "An app may have at most {MAX_ENDPOINTS} certificates."
            )));
        }
        let now = Timestamp::now();
        let id = EndpointId::new();
        let place = key::certificate(app.id, id);
        let mut endpoint = SniEndpoint {
            id,
            app: app.id,
            name: free_name(&endpoints)?,
            origin: EndpointOrigin::Given,
            chain: offered.inspected.chain.clone(),
            key: context.keyring.seal(&place, &offered.key)?,
            facts: facts.clone(),
            serves: covered,
            created_at: now,
            updated_at: now,
        };
        let mut txn = turn.take(context, Txn::new().exists(key::app(app.id)))?;
        for other in &mut endpoints {
            if keeps_its_domains(&other.value, now) {
                for name in &other.value.serves {
                    endpoint.serves.remove(name);
                }
            } else {
                txn = release(txn, other, &endpoint.serves);
            }
        }
        let txn = txn.create(&key::CERTIFICATES, place, &endpoint);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(endpoint);
        }
        attempts.lost().await?;
    }
}

/// Whether a new certificate leaves an old one's domains alone: what somebody chose stays, while it is good.
fn keeps_its_domains(endpoint: &SniEndpoint, now: Timestamp) -> bool {
    endpoint.origin == EndpointOrigin::Given && endpoint.facts.expires_at > now
}

/// Takes names from another endpoint; one that the platform got itself and that serves nothing any more goes.
fn release(txn: Txn, other: &Versioned<SniEndpoint>, names: &BTreeSet<Hostname>) -> Txn {
    let mut left = other.value.clone();
    left.serves.retain(|name| !names.contains(name));
    if left.serves == other.value.serves {
        return txn;
    }
    if left.serves.is_empty() && left.origin == EndpointOrigin::Managed {
        return txn.unchanged(other).delete(other.key.clone());
    }
    left.updated_at = Timestamp::now();
    txn.replace(&key::CERTIFICATES, other, &left)
}

/// Another certificate in an endpoint's place; it must do for all that the endpoint serves.
pub(crate) async fn update(
    context: &Context,
    app: &App,
    identity: &str,
    offered: &Offered,
) -> Result<SniEndpoint, ActionError> {
    let store = context.store();
    let facts = &offered.inspected.facts;
    let mut attempts = Attempts::default();
    loop {
        let turn = Turn::look(store).await?;
        let endpoints = list(store, app.id).await?;
        let seen = pick(endpoints.clone(), identity)?;
        if let Some(name) = seen.value.serves.iter().find(|name| !facts.covers(name)) {
            return Err(ActionError::invalid(format!(
                "The new certificate does not cover {name}, which {} serves; its names are {}.",
                seen.value.name,
                names_of(offered)
            )));
        }
        let names = names(&domains::list(store, app).await?);
        let free = names.into_iter().filter(|name| {
            facts.covers(name)
                && !endpoints
                    .iter()
                    .any(|other| other.value.serves.contains(name))
        });
        let mut changed = seen.value.clone();
        changed.serves.extend(free);
        if changed.serves.is_empty() {
            return Err(covers_none(app, offered));
        }
        changed.origin = EndpointOrigin::Given;
        changed.chain.clone_from(&offered.inspected.chain);
        changed.key = context.keyring.seal(&seen.key, &offered.key)?;
        changed.facts = facts.clone();
        changed.updated_at = Timestamp::now();
        let txn = turn.take(context, Txn::new().exists(key::app(app.id)))?;
        let txn = txn.replace(&key::CERTIFICATES, &seen, &changed);
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}

pub(crate) async fn remove(
    context: &Context,
    app: &App,
    identity: &str,
) -> Result<SniEndpoint, ActionError> {
    let seen = find(context.store(), app.id, identity).await?;
    let txn = Txn::new().unchanged(&seen).delete(seen.key.clone());
    match txn.commit(context.store()).await? {
        Committed::Done(_) => Ok(seen.value),
        Committed::Conflict => Err(ActionError::Gone {
            resource: "sni_endpoint",
        }),
    }
}

/// Has a domain served by the endpoint that is named, or by none of the app's.
pub(crate) async fn assign(
    context: &Context,
    app: &App,
    domain: &Domain,
    identity: Option<&str>,
) -> Result<(), ActionError> {
    let store = context.store();
    let name = &domain.hostname;
    let only = BTreeSet::from([name.clone()]);
    let mut attempts = Attempts::default();
    loop {
        let turn = Turn::look(store).await?;
        let endpoints = list(store, app.id).await?;
        let wanted = match identity {
            Some(identity) => Some(pick(endpoints.clone(), identity)?),
            None => None,
        };
        let txn = Txn::new().exists(key::domain(name));
        let mut txn = turn.take(context, txn)?;
        for other in &endpoints {
            if wanted.as_ref().is_none_or(|wanted| wanted.key != other.key) {
                txn = release(txn, other, &only);
            }
        }
        if let Some(wanted) = &wanted
            && !wanted.value.serves.contains(name)
        {
            if !wanted.value.facts.covers(name) {
                return Err(ActionError::invalid(format!(
                    "The certificate {} does not cover {name}.",
                    wanted.value.name
                )));
            }
            let mut changed = wanted.value.clone();
            changed.serves.insert(name.clone());
            changed.updated_at = Timestamp::now();
            txn = txn.replace(&key::CERTIFICATES, wanted, &changed);
        }
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(());
        }
        attempts.lost().await?;
    }
}

/// For a domain that is being added: with the endpoint that is to serve it, the one asked for or any that covers it.
pub(super) async fn with_new_domain(
    store: &dyn Store,
    app: &App,
    name: &Hostname,
    identity: Option<&str>,
    txn: Txn,
) -> Result<Txn, ActionError> {
    let endpoints = list(store, app.id).await?;
    let found = match identity {
        Some(identity) => {
            let found = pick(endpoints, identity)?;
            if !found.value.facts.covers(name) {
                return Err(ActionError::invalid(format!(
                    "The certificate {} does not cover {name}.",
                    found.value.name
                )));
            }
            Some(found)
        }
        None => endpoints
            .into_iter()
            .filter(|seen| seen.value.facts.covers(name))
            .max_by_key(|seen| seen.value.facts.expires_at),
    };
    let Some(seen) = found else { return Ok(txn) };
    let mut changed = seen.value.clone();
    changed.serves.insert(name.clone());
    changed.updated_at = Timestamp::now();
    Ok(txn.replace(&key::CERTIFICATES, &seen, &changed))
}

/// For a domain that is being removed: without it in any endpoint.
pub(super) async fn without_domain(
    store: &dyn Store,
    app: AppId,
    name: &Hostname,
    txn: Txn,
) -> Result<Txn, StoreError> {
    let only = BTreeSet::from([name.clone()]);
    let endpoints = list(store, app).await?;
    Ok(endpoints
        .iter()
        .fold(txn, |txn, seen| release(txn, seen, &only)))
}

/// Takes in what an authority issued for a domain, in place of what the platform had for it. `guard` makes it void if
/// somebody else issues by now. `false`: somebody gave the domain another certificate meanwhile, or took it away.
pub(crate) async fn keep_issued(
    context: &Context,
    app: AppId,
    name: &Hostname,
    offered: &Offered,
    guard: impl Fn(Txn) -> Txn,
) -> Result<bool, ActionError> {
    let store = context.store();
    let mut attempts = Attempts::default();
    loop {
        let turn = Turn::look(store).await?;
        let endpoints = list(store, app).await?;
        let serving = endpoints
            .iter()
            .find(|seen| seen.value.serves.contains(name));
        if serving.is_some_and(|seen| seen.value.origin == EndpointOrigin::Given) {
            return Ok(false);
        }
        let domain = key::DOMAINS.get(store, &key::domain(name)).await?;
        let Some(domain) = domain.filter(|domain| domain.value.app == app) else {
            return Ok(false);
        };
        let now = Timestamp::now();
        let id = serving.map_or_else(EndpointId::new, |seen| seen.value.id);
        let place = key::certificate(app, id);
        let endpoint = SniEndpoint {
            id,
            app,
            name: match serving {
                Some(seen) => seen.value.name.clone(),
                None => free_name(&endpoints)?,
            },
            origin: EndpointOrigin::Managed,
            chain: offered.inspected.chain.clone(),
            key: context.keyring.seal(&place, &offered.key)?,
            facts: offered.inspected.facts.clone(),
            serves: BTreeSet::from([name.clone()]),
            created_at: serving.map_or(now, |seen| seen.value.created_at),
            updated_at: now,
        };
        let txn = guard(Txn::new())
            .exists(key::app(app))
            .exists(key::acm(app))
            .unchanged(&domain);
        let txn = turn.take(context, txn)?;
        let txn = match serving {
            Some(seen) => txn.replace(&key::CERTIFICATES, seen, &endpoint),
            None => txn.create(&key::CERTIFICATES, place, &endpoint),
        };
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(true);
        }
        if key::ACM.get(store, &key::acm(app)).await?.is_none() {
            return Ok(false);
        }
        attempts.lost().await?;
    }
}

fn names(domains: &[Versioned<Domain>]) -> Vec<Hostname> {
    let names = domains.iter().map(|domain| domain.value.hostname.clone());
    names.collect()
}

fn covers_none(app: &App, offered: &Offered) -> ActionError {
    ActionError::invalid(format!(
        "The certificate covers none of {}'s domains; its names are {}. Add the domain first: `paas domains:add`.",
        app.name,
        names_of(offered)
    ))
}

/// As many as a sentence bears.
fn names_of(offered: &Offered) -> String {
    let names = offered.inspected.facts.names.iter().take(10);
    names.map(Hostname::as_str).collect::<Vec<_>>().join(", ")
}

fn free_name(endpoints: &[Versioned<SniEndpoint>]) -> Result<String, ActionError> {
    let is_free = |name: &String| !endpoints.iter().any(|seen| seen.value.name == *name);
    let mut names = (0..100)
        .filter_map(|_| app_names::random())
        .map(|name| name.to_string());
    names
        .find(is_free)
        .ok_or_else(|| ActionError::invalid("Try again."))
}
