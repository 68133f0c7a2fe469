//! members and members:*: who is in a team, and as what.

use anyhow::Result;
use controller_api::wire::{TeamMember, TeamMemberSet};

use crate::args::{MemberArgs, MemberSetArgs, MembersArgs};
use crate::context::Context;
use crate::output::{Colour, Table};

pub(crate) async fn list(context: &Context, args: &MembersArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let team = &args.team.team;
    let mut members = client.team_members(team).await?;
    members.sort_by(|a, b| a.email.cmp(&b.email));
    if let Some(role) = args.role {
        members.retain(|member| member.role == role);
    }
    if args.json.json {
        return Ok(output.json(&members)?);
    }
    if members.is_empty() {
        let with_role = args.role.map(|role| format!(" with role {role}"));
        output.note(format!(
            "No members in {team}{}",
            with_role.unwrap_or_default()
        ))?;
        return Ok(());
    }
    output.heading(format!("{team} Members"))?;
    let mut table = Table::new();
    for member in members {
        table.row([
            output.paint.in_colour(Colour::Cyan, member.email.as_str()),
            member.role.to_string(),
        ]);
    }
    Ok(output.table(&table)?)
}

/// `ann@example.com (admin)`
pub(super) fn named(member: &TeamMember) -> String {
    format!("{} ({})", member.email, member.role)
}

pub(crate) async fn add(context: &Context, args: &MemberSetArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let (team, role) = (&args.team.team, args.role);
    let action = output.action(format!("Adding {} to {team} as {role}", args.email));
    client.set_team_member(team, &wanted(args)).await?;
    action.done();
    Ok(())
}

pub(crate) async fn set(context: &Context, args: &MemberSetArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let (team, role) = (&args.team.team, args.role);
    let action = output.action(format!("Setting {} in {team} to {role}", args.email));
    client.update_team_member(team, &wanted(args)).await?;
    action.done();
    Ok(())
}

fn wanted(args: &MemberSetArgs) -> TeamMemberSet {
    TeamMemberSet {
        email: args.email.clone(),
        role: args.role.to_string(),
    }
}

pub(crate) async fn remove(context: &Context, args: &MemberArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let team = &args.team.team;
    let action = output.action(format!("Removing {} from {team}", args.email));
    client.remove_team_member(team, &args.email).await?;
    action.done();
    Ok(())
}
