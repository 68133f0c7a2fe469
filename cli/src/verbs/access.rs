//! access, access:add, access:remove: who may work on an app.

use anyhow::Result;
use controller_api::Client;
use controller_api::wire::{App, AppRef, Collaborator, CollaboratorUser, TeamMember, TeamRole};

use super::teams;
use crate::args::{AccessAddArgs, AccessArgs, AccessUpdateArgs, AppJson};
use crate::context::Context;
use crate::output::{Colour, Table};

pub(crate) async fn list(context: &Context, args: &AppJson) -> Result<()> {
    let name = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let (app, people) = futures::try_join!(client.app(&name), client.collaborators(&name))?;
    let mut people = with_admins(&client, &app, people).await?;
    people.sort_by(|a, b| a.user.email.cmp(&b.user.email));
    if args.json.json {
        return Ok(output.json(&people)?);
    }
    if app.team.is_some() {
        // The team is nobody who works on it.
        people.retain(|person| person.user.email != app.owner.email);
    }
    output.heading(format!("{name} Access"))?;
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

/// Of a team's app also the team's admins, who need not be let in. What they may do is told once, also of those who were.
async fn with_admins(
    client: &Client,
    app: &App,
    mut people: Vec<Collaborator>,
) -> Result<Vec<Collaborator>> {
    let Some(team) = &app.team else {
        return Ok(people);
    };
    let members = teams::if_allowed(client.team_members(&team.name).await)?;
    let mut admins = members.unwrap_or_default();
    admins.retain(|member| member.role == TeamRole::Admin);
    let owner = people
        .iter()
        .find(|person| person.user.email == app.owner.email);
    // Admins may do what the owner may.
    let permissions = owner.map_or_else(Vec::new, |owner| owner.permissions.clone());
    people.retain(|person| !admins.iter().any(|admin| admin.email == person.user.email));
    people.extend(admins.into_iter().map(|admin| Collaborator {
        permissions: permissions.clone(),
        ..as_collaborator(admin, app)
    }));
    Ok(people)
}

fn as_collaborator(admin: TeamMember, app: &App) -> Collaborator {
    Collaborator {
        app: AppRef {
            id: app.id,
            name: app.name.clone(),
        },
        created_at: admin.created_at,
        id: admin.id,
        permissions: Vec::new(),
        role: Some(admin.role.to_string()),
        updated_at: admin.updated_at,
        user: CollaboratorUser {
            email: admin.email,
            federated: admin.federated,
            id: admin.user.id,
        },
    }
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
