//! Domains.

use controller_api::wire;
use model::{App, Domain, DomainId, Hostname};

use super::{app_ref, id_of};
use crate::config::Config;

pub(crate) fn domain(config: &Config, app: &App, domain: &Domain) -> wire::Domain {
    wire::Domain {
        acm_status: None,
        acm_status_reason: None,
        app: app_ref(app),
        cname: Some(default_host(config, app)),
        created_at: domain.created_at.into(),
        hostname: domain.hostname.clone(),
        id: domain.id,
        kind: "custom".to_owned(),
        sni_endpoint: None,
        status: "succeeded".to_owned(),
        updated_at: domain.updated_at.into(),
    }
}

/// The app's own name below the platform's domain: implied, so it has no record. `None` if it is no host name.
pub(crate) fn default_domain(config: &Config, app: &App) -> Option<wire::Domain> {
    let hostname: Hostname = default_host(config, app).parse().ok()?;
    Some(wire::Domain {
        acm_status: None,
        acm_status_reason: None,
        app: app_ref(app),
        cname: None,
        created_at: app.created_at.into(),
        id: DomainId::from_uuid(id_of("default domain", &app.id.to_string())),
        hostname,
        kind: "heroku".to_owned(),
        sni_endpoint: None,
        status: "succeeded".to_owned(),
        updated_at: app.created_at.into(),
    })
}

fn default_host(config: &Config, app: &App) -> String {
    format!("{}.{}", app.name, config.domain)
}
