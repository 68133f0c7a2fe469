//! teams and teams:*: people who own apps together.

use anyhow::Result;
use controller_api::ClientError;
use controller_api::wire::{App, Team, TeamApp, TeamCreate, TeamMember, TeamUpdate};
use serde_json::json;

use super::confirm::Confirm;
use super::{members, team_apps};
use crate::args::{JsonArgs, TeamCreateArgs, TeamDestroyArgs, TeamInfoArgs, TeamRenameArgs};
use crate::context::Context;
use crate::output::{Colour, Table, clock};

pub(crate) async fn list(context: &Context, args: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let mut teams = client.teams().await?;
    teams.sort_by(|a, b| a.name.cmp(&b.name));
    if args.json {
        return Ok(output.json(&teams)?);
    }
    if teams.is_empty() {
        output.note("You are in no team. Make one with `paas teams:create`.")?;
        return Ok(());
    }
    output.heading("Teams")?;
    let mut table = Table::new();
    for team in teams {
        table.row([
            output.paint.in_colour(Colour::Cyan, team.name.as_str()),
            team.role.map(|role| role.to_string()).unwrap_or_default(),
        ]);
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn create(context: &Context, args: &TeamCreateArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Creating the team {}", args.name));
    let create = TeamCreate {
        name: args.name.clone(),
    };
    let team = client.create_team(&create).await?;
    action.done();
    output.hint(format!(
        "Let others in with: paas members:add EMAIL --team {} --role member",
        team.name
    ))?;
    Ok(())
}

pub(crate) async fn info(context: &Context, args: &TeamInfoArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let members = async { if_allowed(client.team_members(&args.team).await) };
    let (team, members, mut apps) = futures::try_join!(
        client.team(&args.team),
        members,
        client.team_apps(&args.team)
    )?;
    let mut members = members.unwrap_or_default();
    members.sort_by(|a, b| a.email.cmp(&b.email));
    apps.sort_by(|a, b| a.app.name.cmp(&b.app.name));
    if args.json.json {
        return Ok(output.json(&json!({ "team": team, "members": members, "apps": apps }))?);
    }
    output.heading(output.paint.in_colour(Colour::Bold, team.name.as_str()))?;
    let mut table = Table::new();
    for (label, value) in facts(&team, &members, &apps) {
        table.row([format!("{label}:"), value]);
    }
    Ok(output.table(&table)?)
}

fn facts(team: &Team, members: &[TeamMember], apps: &[TeamApp]) -> Vec<(&'static str, String)> {
    let apps: Vec<String> = apps.iter().map(team_apps::named).collect();
    let members: Vec<String> = members.iter().map(members::named).collect();
    let role = team.role.map(|role| role.to_string());
    let mut facts = vec![
        ("Apps", apps.join(", ")),
        ("Created", clock(team.created_at.0)),
        ("Members", members.join(", ")),
        ("Your role", role.unwrap_or_default()),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

pub(crate) async fn rename(context: &Context, args: &TeamRenameArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Renaming the team {} to {}",
        args.team, args.new_name
    ));
    let update = TeamUpdate {
        name: Some(args.new_name.clone()),
    };
    client.update_team(&args.team, &update).await?;
    action.done();
    Ok(())
}

pub(crate) async fn destroy(context: &Context, args: &TeamDestroyArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let name = client.team(&args.team).await?.name.to_string();
    Confirm {
        name: &name,
        given: args.confirm.as_deref(),
        warning: format!("This will destroy the team {name}, and nobody will be in it."),
        done: "destroyed",
    }
    .ask(output)?;
    let action = output.action(format!("Destroying the team {name}"));
    client.destroy_team(&name).await?;
    action.done();
    Ok(())
}

/// Who owns an app: clients are told of a team as of an account, by an address that nobody reads.
pub(super) fn owner(app: &App) -> String {
    match &app.team {
        Some(team) => shown(&team.name),
        None => app.owner.email.to_string(),
    }
}

/// A team where it could be taken for an account.
pub(super) fn shown(name: &str) -> String {
    format!("{name} (team)")
}

/// By its looks: accounts have e-mail addresses.
pub(super) fn is_team(owner: &str) -> bool {
    !owner.contains('@')
}

/// `None` where it is not for whoever asks to see.
pub(super) fn if_allowed<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Err(error) if matches!(error.status(), Some(403 | 404)) => Ok(None),
        answer => answer.map(Some),
    }
}
