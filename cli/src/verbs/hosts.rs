//! nodes:token, nodes:tag, nodes:remove: which hosts the platform has.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use controller_api::wire::{NodeTokenCreate, NodeUpdate};

use crate::args::{NodeArgs, NodeTagArgs, NodeTokenArgs};
use crate::context::Context;

pub(crate) async fn token(context: &Context, args: NodeTokenArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let create = NodeTokenCreate {
        expires_in: args
            .expires_in
            .map(|span| i64::try_from(span.as_secs()).unwrap_or(i64::MAX)),
        roles: args.roles.map(|roles| roles.into_iter().collect()),
        uses: args.uses,
    };
    let token = client.create_node_token(&create).await?;
    if args.json.json {
        return Ok(output.json(&token)?);
    }
    // The token alone on standard output: scripts read it.
    output.line(token.token.expose())?;
    let roles: Vec<_> = token.roles.iter().map(|role| role.as_str()).collect();
    let hosts = match token.uses {
        1 => "one host".to_owned(),
        many => format!("{many} hosts"),
    };
    output.note(format!(
        "For {hosts} as {}, until {}. On the host: provisioning/join TOKEN (or paasd join TOKEN)",
        roles.join(", "),
        crate::output::clock(token.expires_at.0)
    ))?;
    Ok(())
}

pub(crate) async fn tag(context: &Context, args: &NodeTagArgs) -> Result<()> {
    let mut tags = BTreeMap::new();
    for text in &args.tags {
        let (name, value) = match (text.split_once('='), text.strip_suffix('-')) {
            (Some((name, value)), _) if !name.is_empty() && !value.is_empty() => {
                (name, Some(value.to_owned()))
            }
            (None, Some(name)) if !name.is_empty() => (name, None),
            _ => bail!("{text} is no tag: write disk=ssd to set one, disk- to take it away"),
        };
        tags.insert(name.to_owned(), value);
    }
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Tagging {}", args.node));
    let update = NodeUpdate {
        tags,
        ..NodeUpdate::default()
    };
    let node = client.update_node(&args.node, &update).await?;
    action.done();
    if args.json.json {
        output.json(&node)?;
    }
    Ok(())
}

pub(crate) async fn remove(context: &Context, args: &NodeArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Removing {}", args.node));
    let node = client.remove_node(&args.node).await?;
    action.done();
    if args.json.json {
        output.json(&node)?;
    }
    Ok(())
}
