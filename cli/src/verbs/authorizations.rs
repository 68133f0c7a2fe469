//! authorizations and authorizations:*: tokens, what they are good for, and for how long.

use anyhow::{Context as _, Result};
use controller_api::wire::{Authorization, AuthorizationCreate, AuthorizationUpdate};

use crate::args::{AuthorizationArgs, AuthorizationCreateArgs, AuthorizationUpdateArgs, JsonArgs};
use crate::context::Context;
use crate::output::{Output, Table};

pub(crate) async fn list(context: &Context, args: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let authorizations = client.authorizations().await?;
    if args.json {
        return Ok(output.json(&authorizations)?);
    }
    let mut table = Table::new();
    for authorization in authorizations {
        table.row([
            authorization.description.clone(),
            authorization.id.to_string(),
            authorization.scope.join(", "),
            until(&authorization),
        ]);
    }
    Ok(output.table(&table)?)
}

fn until(authorization: &Authorization) -> String {
    let token = authorization.access_token.as_ref();
    match token.and_then(|token| token.expires_in) {
        None => "does not expire".to_owned(),
        Some(seconds) if seconds < 3600 => format!("{} minutes left", seconds / 60),
        Some(seconds) if seconds < 48 * 3600 => format!("{} hours left", seconds / 3600),
        Some(seconds) => format!("{} days left", seconds / 86_400),
    }
}

pub(crate) async fn create(context: &Context, args: &AuthorizationCreateArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let create = AuthorizationCreate {
        description: args.description.clone(),
        expires_in: args.expires_in,
        scope: Some(args.scope.clone()).filter(|scope| !scope.is_empty()),
    };
    let action = output.action("Creating an authorization");
    let made = client.create_token(&create).await?;
    action.done();
    show(output, &made, args.short, args.json.json)
}

pub(crate) async fn info(context: &Context, args: &AuthorizationArgs) -> Result<()> {
    let found = context.client()?.authorization(&args.id).await?;
    show(&context.output, &found, false, args.json.json)
}

pub(crate) async fn update(context: &Context, args: &AuthorizationUpdateArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let update = AuthorizationUpdate {
        description: Some(args.description.clone()),
    };
    let action = output.action("Updating the authorization");
    client.update_authorization(&args.id, &update).await?;
    action.done();
    Ok(())
}

pub(crate) async fn rotate(context: &Context, args: &AuthorizationArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action("Giving the authorization another token");
    let rotated = client.rotate_authorization(&args.id).await?;
    action.done();
    show(output, &rotated, false, args.json.json)
}

pub(crate) async fn revoke(context: &Context, args: &AuthorizationArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action("Revoking the authorization");
    let gone = client.revoke_authorization(&args.id).await?;
    action.done_with(&gone.description);
    match args.json.json {
        true => Ok(output.json(&gone)?),
        false => Ok(()),
    }
}

fn show(output: &Output, authorization: &Authorization, short: bool, json: bool) -> Result<()> {
    if json {
        return Ok(output.json(authorization)?);
    }
    let token = authorization.access_token.as_ref();
    let token = token.context("the platform sent no token")?;
    if short {
        return Ok(output.line(token.token.expose())?);
    }
    let mut table = Table::new();
    table.row(["ID:".to_owned(), authorization.id.to_string()]);
    table.row(["Description:".to_owned(), authorization.description.clone()]);
    table.row(["Scope:".to_owned(), authorization.scope.join(", ")]);
    table.row(["Token:".to_owned(), token.token.expose().clone()]);
    table.row(["Expires:".to_owned(), until(authorization)]);
    Ok(output.table(&table)?)
}
