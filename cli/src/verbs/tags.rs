//! tags, tags:set, tags:unset, ps:apart: which hosts an app's dynos may run on.

use std::collections::BTreeMap;

use anyhow::Result;
use controller_api::wire::{Placement, PlacementUpdate, TypePlacementUpdate};

use crate::args::{ApartArgs, AppJson, TagArgs, TagSetArgs, TagUnsetArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::follow;
use crate::output::{Colour, Output, Table};

pub(crate) async fn list(context: &Context, args: &AppJson) -> Result<()> {
    let app = context.app(&args.app)?;
    let placement = context.client()?.placement(&app).await?;
    let output = &context.output;
    if args.json.json {
        return Ok(output.json(&placement)?);
    }
    if placement.tags.is_empty() && placement.types.is_empty() {
        output.note(format!(
            "{} asks for no tags: its dynos run on any host.",
            output.app(&app)
        ))?;
        return Ok(());
    }
    output.heading(format!("{app} Tags"))?;
    show(output, &placement)
}

/// `disk=ssd`, and for a process type `disk=hdd  worker only`.
fn show(output: &Output, placement: &Placement) -> Result<()> {
    let mut table = Table::new();
    let tag = |(name, value): (&String, &String)| {
        output
            .paint
            .in_colour(Colour::Green, &format!("{name}={value}"))
    };
    for pair in &placement.tags {
        table.row([tag(pair), String::new()]);
    }
    for (process_type, own) in &placement.types {
        for pair in &own.tags {
            table.row([tag(pair), format!("{process_type} only")]);
        }
    }
    output.table(&table)?;
    for (process_type, own) in &placement.types {
        if own.one_per_node {
            output.line(format!("{process_type}: no two dynos on one host"))?;
        }
    }
    Ok(())
}

pub(crate) async fn set(context: &Context, args: &TagSetArgs) -> Result<()> {
    let split = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), Some(value.to_owned())))
        }
        _ => Err(Failure::usage(format!("{text} is no tag"))
            .advise("Tags are set as NAME=VALUE: paas tags:set disk=ssd")),
    };
    let tags = args.tags.iter().map(split).collect::<Result<_, _>>()?;
    change(context, &args.of, "Setting", tags).await
}

pub(crate) async fn unset(context: &Context, args: &TagUnsetArgs) -> Result<()> {
    if let Some(name) = args.names.iter().find(|name| name.contains('=')) {
        let name = name.split('=').next().unwrap_or_default();
        return Err(Failure::usage("Tags are unset by name alone")
            .advise(format!("Try `paas tags:unset {name}`."))
            .into());
    }
    let tags = args.names.iter().map(|name| (name.clone(), None)).collect();
    change(context, &args.of, "Unsetting", tags).await
}

async fn change(
    context: &Context,
    of: &TagArgs,
    doing: &str,
    tags: BTreeMap<String, Option<String>>,
) -> Result<()> {
    let app = context.app(&of.app)?;
    let (client, output) = (context.client()?, &context.output);
    let names: Vec<&str> = tags.keys().map(String::as_str).collect();
    let names = output.err_paint.in_colour(Colour::Green, &names.join(", "));
    let action = output.action(format!("{doing} tags {names} of {}", output.app(&app)));
    let update = match &of.process_type {
        None => PlacementUpdate {
            tags,
            ..PlacementUpdate::default()
        },
        Some(process_type) => {
            let own = TypePlacementUpdate {
                tags,
                ..TypePlacementUpdate::default()
            };
            of_type(process_type, own)
        }
    };
    let placement = client.update_placement(&app, &update).await?;
    match placement.misplaced {
        0 => action.done(),
        misplaced if of.wait.no_wait => action.done_with(format!("{misplaced} dynos to move")),
        _ => follow::moved(&client, &app, action).await?,
    }
    if of.json.json {
        return Ok(output.json(&client.placement(&app).await?)?);
    }
    show(output, &placement)
}

fn of_type(process_type: &str, own: TypePlacementUpdate) -> PlacementUpdate {
    PlacementUpdate {
        types: BTreeMap::from([(process_type.to_owned(), own)]),
        ..PlacementUpdate::default()
    }
}

pub(crate) async fn apart(context: &Context, args: &ApartArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let process_type = &args.process_type;
    let action = output.action(match args.off {
        false => format!("Keeping {process_type} dynos of {} apart", output.app(&app)),
        true => format!(
            "Letting {process_type} dynos of {} share hosts",
            output.app(&app)
        ),
    });
    let own = TypePlacementUpdate {
        one_per_node: Some(!args.off),
        ..TypePlacementUpdate::default()
    };
    client
        .update_placement(&app, &of_type(process_type, own))
        .await?;
    action.done();
    Ok(())
}
