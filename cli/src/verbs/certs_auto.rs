//! certs:auto, certs:auto:enable, :disable, :refresh: certificates that the platform gets, and renews.

use anyhow::Result;
use controller_api::wire::Domain;
use serde::Serialize;

use crate::args::{AppJson, AppOnly};
use crate::context::Context;
use crate::output::{Colour, Table, ago, clock};

/// For scripts.
#[derive(Serialize)]
struct Auto {
    acm: bool,
    domains: Vec<Domain>,
}

pub(crate) async fn show(context: &Context, args: &AppJson) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let acm = client.app(&app).await?.acm;
    let mut domains = client.domains(&app).await?;
    domains.retain(|domain| domain.kind == "custom");
    if args.json.json {
        return Ok(output.json(&Auto { acm, domains })?);
    }
    if !acm {
        output.note(format!(
            "Certificates of {} are not managed. Have the platform get and renew them with: paas certs:auto:enable",
            output.app(&app)
        ))?;
        return Ok(());
    }
    output.heading(format!("{app} Managed Certificates"))?;
    if domains.is_empty() {
        return Ok(output.line("Add a domain to get a certificate: paas domains:add")?);
    }
    let endpoints = client.sni_endpoints(&app).await?;
    let mut table = Table::new();
    let titles = ["Domain", "Status", "Expires", "Last Updated"];
    table.row(titles.map(|title| output.paint.in_colour(Colour::Bold, title)));
    for domain in &domains {
        let expires = domain.sni_endpoint.as_ref().and_then(|serving| {
            let mut endpoints = endpoints.iter();
            let found = endpoints.find(|endpoint| endpoint.name == serving.name)?;
            Some(clock(found.ssl_cert.expires_at.0))
        });
        table.row([
            domain.hostname.to_string(),
            status(context, domain.acm_status.as_deref()),
            expires.unwrap_or_default(),
            ago(domain.updated_at.0),
        ]);
    }
    output.table(&table)?;
    for domain in &domains {
        if let Some(reason) = &domain.acm_status_reason {
            output.note(format!("{}: {reason}", domain.hostname))?;
        }
    }
    Ok(())
}

fn status(context: &Context, status: Option<&str>) -> String {
    let (colour, text) = match status {
        None => (Colour::Yellow, "Waiting"),
        Some("ok") => (Colour::Green, "OK"),
        Some("in-progress") => (Colour::Yellow, "In Progress"),
        Some("failing") => (Colour::Red, "Failing"),
        Some("failed") => (Colour::Red, "Failed"),
        Some(other) => return other.to_owned(),
    };
    context.output.paint.in_colour(colour, text)
}

pub(crate) async fn enable(context: &Context, args: &AppOnly) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Enabling Automatic Certificate Management for {}",
        output.app(&app)
    ));
    client.enable_acm(&app).await?;
    action.done();
    output.hint("Have the DNS of each domain point here; see how it goes with: paas certs:auto")?;
    Ok(())
}

pub(crate) async fn disable(context: &Context, args: &AppOnly) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Disabling Automatic Certificate Management for {}",
        output.app(&app)
    ));
    client.disable_acm(&app).await?;
    action.done();
    Ok(())
}

pub(crate) async fn refresh(context: &Context, args: &AppOnly) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Trying anew to get certificates for {}",
        output.app(&app)
    ));
    client.refresh_acm(&app).await?;
    action.done();
    Ok(())
}
