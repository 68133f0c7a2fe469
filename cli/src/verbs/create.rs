//! apps:create: the app, its buildpacks, the git remote to push to, and its add-ons.

use anyhow::Result;
use controller_api::wire::AppCreate;
use controller_api::wire::app::Identity;

use super::{addons, git_remote};
use crate::args::CreateArgs;
use crate::context::Context;
use crate::failure::Failure;

pub(crate) async fn create(context: &Context, args: CreateArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let wanted = AppCreate {
        name: args.name.or(args.app),
        stack: args.stack.map(Identity),
        team: args.team.name().map(|team| Identity(team.to_owned())),
        locked: args.locked.then_some(true),
        ..AppCreate::default()
    };
    if args.locked && wanted.team.is_none() {
        return Err(Failure::usage("Only a team's app can be locked")
            .advise("Say which team's with --team.")
            .into());
    }
    let what = wanted
        .name
        .as_deref()
        .map_or_else(|| "app".to_owned(), |name| output.app(name));
    let action = output.action(match &wanted.team {
        Some(Identity(team)) => format!("Creating {what} in team {team}"),
        None => format!("Creating {what}"),
    });
    let app = match &wanted.team {
        Some(_) => client.create_team_app(&wanted).await?.app,
        None => client.create_app(&wanted).await?,
    };
    let name = app.name.as_str();
    match wanted.name {
        Some(_) => action.done(),
        None => action.done_with(output.app(name)),
    }
    if !args.buildpack.is_empty() {
        let action = output.action(format!(
            "Setting buildpack to {}",
            args.buildpack.join(", ")
        ));
        client.set_buildpacks(name, &args.buildpack).await?;
        action.done();
    }
    if args.json.json {
        output.json(&app)?;
    } else {
        output.line(format!(
            "{} | {}",
            app.web_url.as_deref().unwrap_or_default(),
            app.git_url
        ))?;
    }
    if !args.no_remote {
        git_remote::after_create(context, &app, &args.remote, args.ssh_git)?;
    }
    // Last: what a provider refuses leaves an app to work with.
    for plan in args.addons {
        addons::create::of_plan(context, name, plan).await?;
    }
    Ok(())
}
