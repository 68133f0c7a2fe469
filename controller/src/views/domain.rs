//! Domains.

use controller_api::wire;
use model::{Acm, AcmProgress, App, Domain, DomainId, Hostname, SniEndpoint};

use controller_api::wire::Named;

use super::{app_ref, id_of};
use crate::config::Config;

/// What an app has of certificates.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    pub(crate) endpoints: Vec<SniEndpoint>,
    pub(crate) acm: Option<Acm>,
    pub(crate) progress: Option<AcmProgress>,
}

impl Certificates {
    fn serving(&self, name: &Hostname) -> Option<Named> {
        let mut endpoints = self.endpoints.iter();
        let found = endpoints.find(|endpoint| endpoint.serves.contains(name))?;
        Some(Named {
            id: found.id.as_uuid(),
            name: found.name.clone(),
        })
    }

    /// How it goes with getting one, and why not well.
    fn acm(&self, name: &Hostname) -> (Option<String>, Option<String>) {
        if self.acm.is_none() {
            return (None, None);
        }
        let known = self.progress.as_ref().and_then(|all| all.names.get(name));
        known.map_or((None, None), |known| {
            let status = known.status.as_str().to_owned();
            (Some(status), known.reason.clone())
        })
    }
}

pub(crate) fn domain(
    config: &Config,
    app: &App,
    domain: &Domain,
    certificates: &Certificates,
) -> wire::Domain {
    let (acm_status, acm_status_reason) = certificates.acm(&domain.hostname);
    wire::Domain {
        acm_status,
        acm_status_reason,
        app: app_ref(app),
        cname: Some(default_host(config, app)),
        created_at: domain.created_at.into(),
        hostname: domain.hostname.clone(),
        id: domain.id,
        kind: "custom".to_owned(),
        sni_endpoint: certificates.serving(&domain.hostname),
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
