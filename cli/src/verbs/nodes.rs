//! nodes: the hosts that run dynos, and how full they are.

use anyhow::Result;
use controller_api::wire::Node;

use super::apps::bytes;
use crate::args::JsonArgs;
use crate::context::Context;
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
        "Tags",
    ];
    table.row(titles.map(|title| output.paint.in_colour(Colour::Bold, title)));
    for node in nodes {
        table.row([
            node.name.clone(),
            state(context, &node),
            node.zone.clone().unwrap_or_else(|| "-".to_owned()),
            node.dynos.to_string(),
            format!(
                "{} of {}",
                bytes(node.memory_reserved_bytes),
                bytes(node.memory_bytes)
            ),
            node.cpus.to_string(),
            node.address.to_string(),
            node.tags
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
                .join(" "),
        ]);
    }
    Ok(output.table(&table)?)
}

fn state(context: &Context, node: &Node) -> String {
    let state = context.output.paint.state(&node.state);
    if node.cordoned {
        format!("{state}, cordoned")
    } else {
        state
    }
}
