//! access, access:add, access:remove: who may work on an app.

use anyhow::Result;

use crate::args::{AccessAddArgs, AccessArgs, AccessUpdateArgs, AppJson};
use crate::context::Context;
use crate::output::{Colour, Table};

pub(crate) async fn list(context: &Context, args: &AppJson) -> Result<()> {
    let app = context.app(&args.app)?;
    let output = &context.output;
    let mut people = context.client()?.collaborators(&app).await?;
    people.sort_by(|a, b| a.user.email.cmp(&b.user.email));
    if args.json.json {
        return Ok(output.json(&people)?);
    }
    output.heading(format!("{app} Access"))?;
    let mut table = Table::new();
    for person in people {
        let role = person.role.unwrap_or_else(|| "collaborator".to_owned());
        let permissions = person.permissions.iter().map(|one| one.name.as_str());
        table.row([
            output
                .paint
                .in_colour(Colour::Cyan, person.user.email.as_str()),
            role,
            permissions.collect::<Vec<_>>().join(", "),
        ]);
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn add(context: &Context, args: &AccessAddArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Adding {} access to the app {}",
        args.email,
        output.app(&app)
    ));
    let permissions = Some(args.permissions.clone()).filter(|named| !named.is_empty());
    client
        .add_collaborator(&app, &args.email, permissions)
        .await?;
    action.done();
    Ok(())
}

pub(crate) async fn update(context: &Context, args: &AccessUpdateArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Updating {} in the app {}",
        args.email,
        output.app(&app)
    ));
    client
        .update_collaborator(&app, &args.email, args.permissions.clone())
        .await?;
    action.done();
    Ok(())
}

pub(crate) async fn remove(context: &Context, args: &AccessArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Removing {} access from the app {}",
        args.email,
        output.app(&app)
    ));
    client.remove_collaborator(&app, &args.email).await?;
    action.done();
    Ok(())
}
