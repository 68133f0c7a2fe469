//! apps --team, apps:lock, apps:unlock, apps:join, apps:leave: what a team has to do with its apps.

use anyhow::Result;
use controller_api::wire::{TeamApp, TeamAppUpdate};

use super::apps;
use crate::args::{AppOnly, JsonArgs};
use crate::context::Context;
use crate::failure::Failure;

pub(crate) async fn list(context: &Context, team: &str, args: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let mut apps = client.team_apps(team).await?;
    apps.sort_by(|a, b| a.app.name.cmp(&b.app.name));
    if args.json {
        return Ok(output.json(&apps)?);
    }
    if apps.is_empty() {
        output.note(format!("There are no apps in team {team}."))?;
        return Ok(());
    }
    output.heading(format!("Apps in team {team}"))?;
    for app in &apps {
        output.line(named(app))?;
    }
    Ok(())
}

pub(super) fn named(app: &TeamApp) -> String {
    let locked = if app.locked { " (locked)" } else { "" };
    format!("{}{locked}", apps::named(&app.app))
}

pub(crate) async fn lock(context: &Context, args: &AppOnly) -> Result<()> {
    let app = find(context, args).await?;
    let name = app.app.name.as_str();
    if app.locked {
        return Err(Failure::new(format!("Cannot lock {name}: it is locked already")).into());
    }
    lock_named(context, name).await
}

/// One that is not known to be locked.
pub(super) async fn lock_named(context: &Context, app: &str) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Locking {}", output.app(app)));
    client.update_team_app(app, &locked(true)).await?;
    action.done();
    Ok(())
}

pub(crate) async fn unlock(context: &Context, args: &AppOnly) -> Result<()> {
    let app = find(context, args).await?;
    let name = app.app.name.as_str();
    if !app.locked {
        return Err(Failure::new(format!("Cannot unlock {name}: it is not locked")).into());
    }
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Unlocking {}", output.app(name)));
    client.update_team_app(name, &locked(false)).await?;
    action.done();
    Ok(())
}

async fn find(context: &Context, args: &AppOnly) -> Result<TeamApp> {
    let app = context.app(&args.app)?;
    Ok(context.client()?.team_app(&app).await?)
}

fn locked(locked: bool) -> TeamAppUpdate {
    TeamAppUpdate {
        locked: Some(locked),
        owner: None,
    }
}

pub(crate) async fn join(context: &Context, args: &AppOnly) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Joining {}", output.app(&app)));
    let me = client.account().await?.email;
    client.join_app(&app, me.as_str()).await?;
    action.done();
    Ok(())
}

pub(crate) async fn leave(context: &Context, args: &AppOnly) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Leaving {}", output.app(&app)));
    let me = client.account().await?.email;
    client.remove_collaborator(&app, me.as_str()).await?;
    action.done();
    Ok(())
}
