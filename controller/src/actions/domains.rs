//! Adding and removing custom domains.

use model::{App, Domain, DomainId, Hostname, Timestamp};
use store::{Committed, Store, Txn, Versioned, key};

use super::ActionError;
use crate::context::Context;

const MAX_DOMAINS: usize = 1000;

pub(crate) async fn add(
    context: &Context,
    app: &App,
    hostname: &str,
) -> Result<Domain, ActionError> {
    let hostname: Hostname = hostname.parse()?;
    let platform = &context.config.domain;
    if is_within(&hostname, platform) {
        return Err(ActionError::invalid(format!(
            "{hostname} is below the platform's own domain, {platform}; only other domains can be added."
        )));
    }
    if list(context.store(), app).await?.len() >= MAX_DOMAINS {
        return Err(ActionError::invalid(format!(
            "An app may have at most {MAX_DOMAINS} domains."
        )));
    }
    let now = Timestamp::now();
    let domain = Domain {
        id: DomainId::new(),
        app: app.id,
        hostname,
        created_at: now,
        updated_at: now,
    };
    let place = key::domain(&domain.hostname);
    let txn = Txn::new()
        .exists(key::app(app.id))
        .create(&key::DOMAINS, place.clone(), &domain);
    if let Committed::Done(_) = txn.commit(context.store()).await? {
        return Ok(domain);
    }
    Err(match key::DOMAINS.get(context.store(), &place).await? {
        Some(other) if other.value.app == app.id => {
            ActionError::invalid(format!("{} is added to this app already.", domain.hostname))
        }
        Some(_) => ActionError::invalid(format!(
            "{} is currently in use by another app.",
            domain.hostname
        )),
        None => ActionError::Gone { resource: "app" },
    })
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
    store: &dyn Store,
    domain: &Versioned<Domain>,
) -> Result<(), ActionError> {
    let txn = Txn::new().unchanged(domain).delete(domain.key.clone());
    match txn.commit(store).await? {
        Committed::Done(_) => Ok(()),
        Committed::Conflict => Err(ActionError::Gone { resource: "domain" }),
    }
}

fn is_within(hostname: &Hostname, platform: &str) -> bool {
    let name = hostname.as_str();
    name == platform
        || name
            .strip_suffix(platform)
            .is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_platform_are_told_from_look_alikes() {
        let within = |name: &str| is_within(&name.parse().unwrap(), "paas.localhost");
        assert!(
            within("paas.localhost") && within("api.paas.localhost") && within("*.paas.localhost")
        );
        assert!(
            !within("notpaas.localhost")
                && !within("localhost")
                && !within("paas.localhost.example.com")
        );
    }
}
