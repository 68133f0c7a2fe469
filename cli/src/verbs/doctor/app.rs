//! An app: what runs, what was released, what leads to it.

use std::collections::BTreeMap;

use controller_api::wire::{App, Domain, Dyno, Formation, Release, ReleaseStatus, SniEndpoint};
use controller_api::{Client, ClientError, ReleaseRange};
use jiff::Timestamp;

use super::finding::Finding;
use super::names::{self, Leads};

/// A release that is on trial for longer hangs somewhere.
const PENDING_SECONDS: i64 = 10 * 60;
/// Certificates that end within this are told.
pub(super) const EXPIRES_SOON_SECONDS: i64 = 14 * 24 * 3600;

struct Facts {
    app: App,
    dynos: Vec<Dyno>,
    formation: Vec<Formation>,
    /// The newest.
    release: Option<Release>,
    domains: Vec<Domain>,
    endpoints: Vec<SniEndpoint>,
    leads: BTreeMap<String, Leads>,
}

pub(super) async fn look(
    client: &Client,
    app: &str,
    is_named: bool,
    now: Timestamp,
) -> Vec<Finding> {
    match gather(client, app).await {
        Ok(facts) => judge(&facts, now),
        // What the directory's remote leads to was told with the remote.
        Err(error) if error.status() == Some(404) && !is_named => Vec::new(),
        Err(error) if error.status() == Some(404) => vec![missing(client, app).await],
        Err(error) => vec![Finding::error("app", &error.into())],
    }
}

async fn gather(client: &Client, name: &str) -> Result<Facts, ClientError> {
    let (app, dynos, formation, releases, domains, endpoints) = futures::try_join!(
        client.app(name),
        client.dynos(name),
        client.formation(name),
        client.releases(name, ReleaseRange::Newest(1)),
        client.domains(name),
        client.sni_endpoints(name),
    )?;
    let leads = names::look(&domains).await;
    Ok(Facts {
        app,
        dynos,
        formation,
        release: releases.into_iter().next(),
        domains,
        endpoints,
        leads,
    })
}

async fn missing(client: &Client, app: &str) -> Finding {
    let near = crate::verbs::suggest::app_like(client, app).await;
    Finding::problem(
        "app",
        format!("There is no app {app} that you may see"),
        match near {
            Some(near) => format!("Did you mean {near}? All of them: `paas apps --all`."),
            None => "List the apps you may see with `paas apps --all`.".to_owned(),
        },
    )
}

fn judge(facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(release(facts, now));
    findings.extend(crashed(facts));
    findings.extend(no_web(facts));
    let name = &facts.app.name;
    if facts.app.maintenance {
        findings.push(Finding::warning(
            "maintenance",
            format!("{name} is in maintenance mode: visitors see a notice"),
            format!("End it with `paas maintenance:off -a {name}`."),
        ));
    }
    findings.extend(
        facts
            .domains
            .iter()
            .filter_map(|domain| address(facts, domain)),
    );
    findings.extend(
        facts
            .domains
            .iter()
            .filter_map(|domain| certificate(facts, domain)),
    );
    findings.extend(facts.endpoints.iter().filter_map(|endpoint| {
        expiry(
            &format!("The certificate {} of {name}", endpoint.name),
            endpoint.ssl_cert.expires_at.0,
            now,
            if endpoint.ssl_cert.acm {
                format!("The platform should have renewed it: see `paas certs:auto -a {name}`.")
            } else {
                format!(
                    "Put another in its place: `paas certs:update CRT KEY --name {} -a {name}`.",
                    endpoint.name
                )
            },
        )
    }));
    if findings.is_empty() {
        findings.push(Finding::ok(
            "app",
            format!("{name} is well: {}", running(facts)),
        ));
    }
    findings
}

fn running(facts: &Facts) -> String {
    let up = facts.dynos.iter().filter(|dyno| dyno.state == "up").count();
    let dynos = if up == 1 {
        "1 dyno up".to_owned()
    } else {
        format!("{up} dynos up")
    };
    match &facts.release {
        Some(release) => format!("v{}, {dynos}", release.version),
        None => dynos,
    }
}

fn release(facts: &Facts, now: Timestamp) -> Option<Finding> {
    let name = &facts.app.name;
    let release = facts.release.as_ref()?;
    let version = release.version;
    let minutes = (now.as_second() - release.created_at.0.as_second()) / 60;
    match release.status {
        ReleaseStatus::Failed => Some(Finding::problem(
            "release",
            format!("The newest release of {name}, v{version}, failed; the one before it serves"),
            format!("See why with `paas releases:info v{version} -a {name}`."),
        )),
        ReleaseStatus::Pending if minutes * 60 >= PENDING_SECONDS => Some(Finding::warning(
            "release",
            format!(
                "The newest release of {name}, v{version}, has been pending for {minutes} minutes"
            ),
            format!(
                "See what it waits for with `paas ps -a {name}` and `paas logs -a {name} --source heroku`."
            ),
        )),
        _ => None,
    }
}

fn crashed(facts: &Facts) -> Option<Finding> {
    let crashed = facts.dynos.iter().filter(|dyno| dyno.state == "crashed");
    let names: Vec<&str> = crashed.map(|dyno| dyno.name.as_str()).collect();
    let first = names.first()?;
    let name = &facts.app.name;
    Some(Finding::problem(
        "dynos",
        format!("Crashed on {name}: {}", names.join(", ")),
        format!("See why with `paas logs --dyno {first} -a {name}`."),
    ))
}

fn no_web(facts: &Facts) -> Option<Finding> {
    let name = &facts.app.name;
    if facts.formation.is_empty() {
        return Some(Finding::warning(
            "dynos",
            format!("Nothing was deployed to {name} yet"),
            "Deploy it with `git push paas main`.",
        ));
    }
    let web = facts
        .formation
        .iter()
        .find(|formation| formation.process_type == "web");
    match web {
        Some(web) if web.quantity == 0 => Some(Finding::warning(
            "dynos",
            format!("{name} has no web dyno: nobody answers its visitors"),
            format!("Start one with `paas ps:scale web=1 -a {name}`."),
        )),
        // An app of workers alone has no visitors.
        _ => None,
    }
}

fn address(facts: &Facts, domain: &Domain) -> Option<Finding> {
    let target = domain.cname.as_deref().unwrap_or_default();
    let name = &domain.hostname;
    match facts.leads.get(name.as_str())? {
        Leads::Here => None,
        Leads::Nowhere => Some(Finding::problem(
            "domain",
            format!("The domain {name} leads nowhere: DNS has no address for it"),
            format!("Make a CNAME record for it with the value {target}."),
        )),
        Leads::Elsewhere => Some(Finding::warning(
            "domain",
            format!("The domain {name} does not lead to {target}"),
            "Unless there is a proxy in front, make it a CNAME record with that value.",
        )),
    }
}

fn certificate(facts: &Facts, domain: &Domain) -> Option<Finding> {
    if domain.kind != "custom" {
        return None;
    }
    let (app, name) = (&facts.app.name, &domain.hostname);
    if let Some(reason) = &domain.acm_status_reason {
        let message = format!("No certificate could be got for {name}: {reason}");
        let advice =
            format!("Mend that, then try anew at once with `paas certs:auto:refresh -a {app}`.");
        // One that is there serves on.
        return Some(if domain.sni_endpoint.is_some() {
            Finding::warning("certificate", message, advice)
        } else {
            Finding::problem("certificate", message, advice)
        });
    }
    (domain.sni_endpoint.is_none() && !facts.app.acm).then(|| {
        Finding::warning(
            "certificate",
            format!("The domain {name} has no certificate: browsers warn of it over HTTPS"),
            format!("Have the platform get one with `paas certs:auto:enable -a {app}`, or bring one with `paas certs:add`."),
        )
    })
}

/// Of a certificate that ends soon, or has.
pub(super) fn expiry(
    which: &str,
    at: Timestamp,
    now: Timestamp,
    advice: String,
) -> Option<Finding> {
    let left = at.as_second() - now.as_second();
    if left <= 0 {
        return Some(Finding::problem(
            "certificate",
            format!("{which} has expired"),
            advice,
        ));
    }
    let days = left / (24 * 3600);
    (left < EXPIRES_SOON_SECONDS).then(|| {
        Finding::warning(
            "certificate",
            format!("{which} expires in {days} days"),
            advice,
        )
    })
}

#[cfg(test)]
mod tests;
