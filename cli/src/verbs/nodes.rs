//! nodes, nodes:info, nodes:cordon, nodes:drain, nodes:uncordon: the hosts, how full they are, and whether they are used.

use anyhow::Result;
use controller_api::HostRole;
use controller_api::wire::{Node, NodeUpdate};

use super::apps::bytes;
use crate::args::{JsonArgs, NodeArgs, NodeDrainArgs};
use crate::context::Context;
use crate::follow;
use crate::output::{Colour, Table};

pub(crate) async fn list(context: &Context, args: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let mut nodes = client.nodes().await?;
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    if args.json {
        return Ok(output.json(&nodes)?);
    }
    if nodes.is_empty() {
        output.note("The platform has no nodes: dynos cannot run anywhere.")?;
        return Ok(());
    }
    let mut table = Table::new();
    let titles = [
        "Name",
        "State",
        "Zone",
        "Dynos",
        "Memory reserved",
        "CPUs",
        "Address",
        "Roles",
        "Tags",
    ];
    table.row(titles.map(|title| output.paint.in_colour(Colour::Bold, title)));
    for node in nodes {
        table.row([
            node.name.clone(),
            state(context, &node),
            node.zone.clone().unwrap_or_else(|| "-".to_owned()),
            node.dynos.to_string(),
            memory(&node),
            node.cpus.to_string(),
            node.address.to_string(),
            roles(&node),
            tags(&node),
        ]);
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn info(context: &Context, args: &NodeArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let node = client.node(&args.node).await?;
    if args.json.json {
        return Ok(output.json(&node)?);
    }
    output.heading(output.paint.in_colour(Colour::Bold, &node.name))?;
    let mut table = Table::new();
    for (label, value) in [
        ("Address", node.address.to_string()),
        ("Builds", node.builds.to_string()),
        ("CPUs", node.cpus.to_string()),
        ("Dynos", node.dynos.to_string()),
        ("Id", node.id.to_string()),
        ("Joined", crate::output::clock(node.joined_at.0)),
        ("Memory reserved", memory(&node)),
        ("Roles", roles(&node)),
        ("State", state(context, &node)),
        ("Tags", tags(&node)),
        ("Version", node.version.clone().unwrap_or_default()),
        ("Zone", node.zone.clone().unwrap_or_default()),
    ] {
        if !value.is_empty() {
            table.row([format!("{label}:"), value]);
        }
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn cordon(context: &Context, args: &NodeArgs) -> Result<()> {
    let update = NodeUpdate {
        cordoned: Some(true),
        ..NodeUpdate::default()
    };
    change(context, args, "Cordoning", &update).await
}

pub(crate) async fn uncordon(context: &Context, args: &NodeArgs) -> Result<()> {
    let update = NodeUpdate {
        cordoned: Some(false),
        draining: Some(false),
        ..NodeUpdate::default()
    };
    change(context, args, "Uncordoning", &update).await
}

async fn change(
    context: &Context,
    args: &NodeArgs,
    doing: &str,
    update: &NodeUpdate,
) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("{doing} {}", args.node));
    let node = client.update_node(&args.node, update).await?;
    action.done();
    if args.json.json {
        output.json(&node)?;
    }
    Ok(())
}

pub(crate) async fn drain(context: &Context, args: &NodeDrainArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Draining {}", args.node));
    let update = NodeUpdate {
        draining: Some(true),
        ..NodeUpdate::default()
    };
    let node = client.update_node(&args.node, &update).await?;
    if args.no_wait {
        action.done_with(format!("{} to move", dynos(node.dynos)));
        return Ok(());
    }
    follow::drained(&client, &args.node, action).await
}

fn dynos(count: u32) -> String {
    if count == 1 {
        "1 dyno".to_owned()
    } else {
        format!("{count} dynos")
    }
}

fn memory(node: &Node) -> String {
    let (reserved, all) = (node.memory_reserved_bytes, node.memory_bytes);
    format!("{} of {}", bytes(reserved), bytes(all))
}

fn tags(node: &Node) -> String {
    let tags = node
        .tags
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    tags.collect::<Vec<_>>().join(" ")
}

fn roles(node: &Node) -> String {
    if HostRole::ALL.iter().all(|role| node.roles.contains(role)) {
        return "all".to_owned();
    }
    let roles: Vec<_> = node.roles.iter().map(|role| role.as_str()).collect();
    roles.join(",")
}

fn state(context: &Context, node: &Node) -> String {
    let state = context.output.paint.state(&node.state);
    match (node.draining, node.cordoned) {
        (true, _) => format!("{state}, draining"),
        (false, true) => format!("{state}, cordoned"),
        (false, false) => state,
    }
}
