//! Adding and removing custom domains.

use model::{Account, App, Domain, DomainId, Hostname, Permission, Timestamp};
use store::{Committed, Store, StoreError, Txn, Versioned, key};

use super::turn::Turn;
use super::{ActionError, Attempts, certificates, read_app};
use crate::context::Context;
use crate::find;

const MAX_DOMAINS: usize = 1000;

pub(crate) async fn add(
    context: &Context,
    by: &Account,
    app: &App,
    hostname: &str,
    endpoint: Option<&str>,
) -> Result<Domain, ActionError> {
    let hostname: Hostname = hostname.parse()?;
    check_name(&hostname, &context.config.domain, by)?;
    let now = Timestamp::now();
    let domain = Domain {
        id: DomainId::new(),
        app: app.id,
        hostname,
        created_at: now,
        updated_at: now,
    };
    let store = context.store();
    let mut attempts = Attempts::default();
    loop {
        let turn = Turn::look(store).await?;
        check_others(store, by, app, &domain.hostname).await?;
        read_app(store, app.id).await?;
        let txn = Txn::new().exists(key::app(app.id)).create(
            &key::DOMAINS,
            key::domain(&domain.hostname),
            &domain,
        );
        let txn = turn.take(context, txn)?;
        let txn =
            certificates::with_new_domain(store, app, &domain.hostname, endpoint, txn).await?;
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(domain);
        }
        attempts.lost().await?;
    }
}

/// What can be said of a name without knowing the others.
fn check_name(hostname: &Hostname, platform: &str, by: &Account) -> Result<(), ActionError> {
    let base = base(hostname);
    if base == platform || is_below(base, platform) {
        return Err(ActionError::invalid(format!(
            "{hostname} is below the platform's own domain, {platform}; only other domains can be added."
        )));
    }
    if !base.contains('.') {
        return Err(ActionError::invalid(format!(
            "{hostname} would take a whole top-level domain; add a name such as www.example.com or *.example.com."
        )));
    }
    // Whoever runs paas.example.com may well want an app at example.com.
    if is_below(platform, base) && !by.is_admin {
        return Err(ActionError::invalid(format!(
            "{hostname} is above the platform's own domain, {platform}; only an administrator of the platform may add it."
        )));
    }
    Ok(())
}

/// A name is free when nobody has it, and no other app that is none of the caller's has a wildcard around it or, if it
/// is a wildcard, a name within it.
async fn check_others(
    store: &dyn Store,
    by: &Account,
    app: &App,
    hostname: &Hostname,
) -> Result<(), ActionError> {
    let domains = key::DOMAINS.all(store).await?;
    let (own, others): (Vec<_>, Vec<_>) = domains
        .into_iter()
        .map(|domain| domain.value)
        .partition(|domain| domain.app == app.id);
    if own.iter().any(|domain| domain.hostname == *hostname) {
        return Err(ActionError::invalid(format!(
            "{hostname} is added to this app already."
        )));
    }
    if own.len() >= MAX_DOMAINS {
        return Err(ActionError::invalid(format!(
            "An app may have at most {MAX_DOMAINS} domains."
        )));
    }
    for other in others {
        let name = &other.hostname;
        let how = if name == hostname {
            return Err(ActionError::invalid(format!(
                "{hostname} is currently in use by another app."
            )));
        } else if is_around(name, hostname) {
            "is within"
        } else if is_around(hostname, name) {
            "is around"
        } else {
            continue;
        };
        if !may_operate(store, by, &other).await? {
            return Err(ActionError::invalid(format!(
                "{hostname} {how} {name}, which is currently in use by another app that you have no access to."
            )));
        }
    }
    Ok(())
}

/// Whether the app of a domain is one of the caller's; an app that is just being destroyed is nobody's.
async fn may_operate(store: &dyn Store, by: &Account, domain: &Domain) -> Result<bool, StoreError> {
    let Some(app) = key::APPS.get(store, &key::app(domain.app)).await? else {
        return Ok(true);
    };
    let role = find::role(store, by, &app.value).await?;
    Ok(role.is_some_and(|role| role.may(Permission::Operate)))
}

/// Custom domains, without the app's own name below the platform's.
pub(crate) async fn list(
    store: &dyn Store,
    app: &App,
) -> Result<Vec<Versioned<Domain>>, ActionError> {
    let mut domains = key::DOMAINS.all(store).await?;
    domains.retain(|domain| domain.value.app == app.id);
    Ok(domains)
}

/// By id or host name.
pub(crate) async fn find(
    store: &dyn Store,
    app: &App,
    identity: &str,
) -> Result<Versioned<Domain>, ActionError> {
    let id = identity.parse::<DomainId>().ok();
    let hostname = identity.parse::<Hostname>().ok();
    let is_meant =
        |domain: &Domain| Some(domain.id) == id || Some(&domain.hostname) == hostname.as_ref();
    let found = list(store, app)
        .await?
        .into_iter()
        .find(|domain| is_meant(&domain.value));
    found.ok_or_else(|| ActionError::NotFound {
        resource: "domain",
        message: format!(
            "Couldn't find the domain {}. See `paas domains`.",
            identity.chars().take(300).collect::<String>()
        ),
    })
}

pub(crate) async fn remove(
    context: &Context,
    app: &App,
    identity: &str,
) -> Result<Domain, ActionError> {
    let store = context.store();
    let mut attempts = Attempts::default();
    loop {
        let turn = Turn::look(store).await?;
        let seen = find(store, app, identity).await?;
        let txn = Txn::new().unchanged(&seen).delete(seen.key.clone());
        let txn = turn.take(context, txn)?;
        let txn = certificates::without_domain(store, app.id, &seen.value.hostname, txn).await?;
        if let Committed::Done(_) = txn.commit(store).await? {
            return Ok(seen.value);
        }
        attempts.lost().await?;
    }
}

/// The name without a leading `*.`
fn base(hostname: &Hostname) -> &str {
    let name = hostname.as_str();
    name.strip_prefix("*.").unwrap_or(name)
}

/// Whether the first is a wildcard and the second a name or wildcard at any depth below it: a router matches one label,
/// but whose the zone is, is whose all of it is.
fn is_around(wildcard: &Hostname, name: &Hostname) -> bool {
    wildcard.is_wildcard() && is_below(base(name), base(wildcard))
}

fn is_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above)
        .is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_are_told_from_look_alikes() {
        assert!(is_below("api.paas.localhost", "paas.localhost"));
        for other in [
            "paas.localhost",
            "notpaas.localhost",
            "localhost",
            "paas.localhost.example.com",
        ] {
            assert!(!is_below(other, "paas.localhost"), "{other}");
        }
    }

    #[test]
    fn a_wildcard_is_around_what_is_below_it_at_any_depth() {
        let around = |a: &str, b: &str| is_around(&a.parse().unwrap(), &b.parse().unwrap());
        for inner in ["c.wild.test", "d.c.wild.test", "*.c.wild.test"] {
            assert!(around("*.wild.test", inner), "{inner}");
            assert!(!around(inner, "*.wild.test"), "{inner}");
        }
        for other in ["wild.test", "c.notwild.test", "*.wild.test"] {
            assert!(!around("*.wild.test", other), "{other}");
        }
    }
}
