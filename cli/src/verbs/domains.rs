//! domains, domains:add, domains:update, domains:remove.

use anyhow::Result;
use controller_api::wire::{DomainCreate, DomainUpdate};

use crate::args::{AppJson, DomainArgs, DomainUpdateArgs};
use crate::context::Context;
use crate::output::{Colour, Table};

pub(crate) async fn list(context: &Context, args: &AppJson) -> Result<()> {
    let app = context.app(&args.app)?;
    let output = &context.output;
    let domains = context.client()?.domains(&app).await?;
    if args.json.json {
        return Ok(output.json(&domains)?);
    }
    let (custom, own): (Vec<_>, Vec<_>) = domains
        .into_iter()
        .partition(|domain| domain.kind == "custom");
    output.heading(format!("{app} Platform Domain"))?;
    for domain in own {
        output.line(domain.hostname)?;
    }
    if custom.is_empty() {
        return Ok(());
    }
    output.line("")?;
    output.heading(format!("{app} Custom Domains"))?;
    let mut table = Table::new();
    let title = |text: &str| output.paint.in_colour(Colour::Bold, text);
    table.row([
        title("Domain Name"),
        title("DNS Record Type"),
        title("DNS Target"),
    ]);
    for domain in custom {
        // A name without a label of its own cannot have a CNAME.
        let apex = domain.hostname.as_str().matches('.').count() < 2;
        let record = if apex { "ALIAS or ANAME" } else { "CNAME" };
        table.row([
            domain.hostname.to_string(),
            record.to_owned(),
            domain.cname.unwrap_or_default(),
        ]);
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn add(context: &Context, args: &DomainArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Adding {} to {}", args.hostname, output.app(&app)));
    let create = DomainCreate {
        hostname: args.hostname.clone(),
        sni_endpoint: None,
    };
    let domain = client.add_domain(&app, &create).await?;
    action.done();
    if let Some(target) = domain.cname {
        output.hint(format!(
            "Have the DNS of {} point to {target}",
            domain.hostname
        ))?;
    }
    Ok(())
}

pub(crate) async fn update(context: &Context, args: &DomainUpdateArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Updating {} of {}",
        args.hostname,
        output.app(&app)
    ));
    let update = DomainUpdate {
        sni_endpoint: Some(args.cert.clone()).filter(|name| name != "none"),
    };
    client.update_domain(&app, &args.hostname, &update).await?;
    action.done();
    Ok(())
}

pub(crate) async fn remove(context: &Context, args: &DomainArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Removing {} from {}",
        args.hostname,
        output.app(&app)
    ));
    client.remove_domain(&app, &args.hostname).await?;
    action.done();
    Ok(())
}
