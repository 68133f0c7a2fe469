//! apps, apps:info, apps:rename, apps:destroy, apps:open.

use anyhow::Result;
use controller_api::wire::{Addon, App, AppUpdate, Collaborator, Dyno};
use controller_api::{Client, ClientError};
use serde_json::json;

use super::confirm::Confirm;
use super::{team_apps, teams};
use crate::args::{AppArgs, AppsArgs, DestroyArgs, InfoArgs, OpenArgs, RenameArgs};
use crate::browser;
use crate::context::Context;
use crate::failure::Failure;
use crate::git;
use crate::output::{Colour, Table};

pub(crate) async fn list(context: &Context, args: &AppsArgs) -> Result<()> {
    if let Some(team) = team(args)? {
        return team_apps::list(context, team, args.json).await;
    }
    let (client, output) = (context.client()?, &context.output);
    let list = async {
        if args.all {
            client.all_apps().await
        } else {
            client.apps().await
        }
    };
    let (mut apps, account) = futures::try_join!(list, client.account())?;
    apps.sort_by(|a, b| a.name.cmp(&b.name));
    if args.json.json {
        return Ok(output.json(&apps)?);
    }
    let email = account.email;
    let (own, others): (Vec<App>, Vec<App>) =
        apps.into_iter().partition(|app| app.owner.email == email);
    if own.is_empty() && others.is_empty() {
        output.note("You have no apps yet. Make one with `paas create`.")?;
        return Ok(());
    }
    if !own.is_empty() {
        output.heading(format!("{email} Apps"))?;
        for app in &own {
            output.line(named(app))?;
        }
    }
    if !others.is_empty() {
        if !own.is_empty() {
            output.line("")?;
        }
        output.heading(if args.all {
            "Other Apps"
        } else {
            "Collaborated Apps"
        })?;
        let mut table = Table::new();
        for app in &others {
            table.row([named(app), teams::owner(app)]);
        }
        output.table(&table)?;
    }
    Ok(())
}

fn team(args: &AppsArgs) -> Result<Option<&str>, Failure> {
    let Some(team) = args.team.name() else {
        return Ok(None);
    };
    if !(args.all || args.personal) {
        return Ok(Some(team));
    }
    // PAAS_TEAM may be in the environment; what is asked for is meant.
    if std::env::var_os("PAAS_TEAM").is_some_and(|usual| usual == team) {
        return Ok(None);
    }
    Err(Failure::usage(
        "Give either --team, or --all or --personal, not both",
    ))
}

pub(super) fn named(app: &App) -> String {
    let maintenance = if app.maintenance {
        " (maintenance)"
    } else {
        ""
    };
    format!("{}{maintenance}", app.name)
}

/// The app of a verb that also takes it as its first word.
fn app_of(context: &Context, name: Option<&String>, args: &AppArgs) -> Result<String> {
    match name {
        Some(name) => Ok(context.about(name.clone())),
        None => context.app(args),
    }
}

pub(crate) async fn info(context: &Context, args: &InfoArgs) -> Result<()> {
    let name = app_of(context, args.name.as_ref(), &args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let app = client.app(&name).await?;
    let addons = async { teams::if_allowed(client.addons(&name).await) };
    let (dynos, collaborators, locked, addons) = futures::try_join!(
        client.dynos(&name),
        client.collaborators(&name),
        is_locked(&client, &app),
        addons
    )?;
    let addons = addons.unwrap_or_default();
    if args.json.json {
        return Ok(output.json(&json!({
            "app": app, "addons": addons, "dynos": dynos, "collaborators": collaborators, "locked": locked,
        }))?);
    }
    if args.shell {
        return shell_info(context, &app, &dynos, &addons);
    }
    output.heading(output.paint.in_colour(Colour::Bold, app.name.as_str()))?;
    let mut table = Table::new();
    let plans = ("Addons", plans(&addons, ", "));
    let plans = std::iter::once(plans).filter(|(_, plans)| !plans.is_empty());
    for (label, value) in plans.chain(facts(&app, &dynos, &collaborators, locked)) {
        table.row([format!("{label}:"), value]);
    }
    Ok(output.table(&table)?)
}

/// Only a team's app can be.
async fn is_locked(client: &Client, app: &App) -> Result<Option<bool>, ClientError> {
    if app.team.is_none() {
        return Ok(None);
    }
    let seen = teams::if_allowed(client.team_app(app.name.as_str()).await)?;
    Ok(seen.map(|seen| seen.locked))
}

fn facts(
    app: &App,
    dynos: &[Dyno],
    collaborators: &[Collaborator],
    locked: Option<bool>,
) -> Vec<(&'static str, String)> {
    let others: Vec<String> = collaborators
        .iter()
        .filter(|collaborator| collaborator.user.email != app.owner.email)
        .map(|collaborator| collaborator.user.email.to_string())
        .collect();
    let mut facts = vec![
        ("Collaborators", others.join(", ")),
        ("Created", crate::output::clock(app.created_at.0)),
        ("Dynos", dyno_counts(dynos)),
        ("Git URL", app.git_url.clone()),
        (
            "Locked",
            if locked == Some(true) { "yes" } else { "" }.to_owned(),
        ),
        (
            "Maintenance",
            if app.maintenance { "on" } else { "" }.to_owned(),
        ),
        ("Owner", teams::owner(app)),
        ("Region", app.region.name.clone()),
        ("Repo Size", bytes(app.repo_size.unwrap_or_default())),
        ("Slug Size", bytes(app.slug_size.unwrap_or_default())),
        ("Stack", app.stack.name.clone()),
        ("Web URL", app.web_url.clone().unwrap_or_default()),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

fn shell_info(context: &Context, app: &App, dynos: &[Dyno], addons: &[Addon]) -> Result<()> {
    let team = app.team.as_ref().map(|team| team.name.clone());
    for (key, value) in [
        ("addons", plans(addons, ",")),
        ("created_at", app.created_at.to_string()),
        ("dynos", dyno_counts(dynos)),
        ("git_url", app.git_url.clone()),
        ("maintenance", app.maintenance.to_string()),
        ("name", app.name.to_string()),
        ("owner", app.owner.email.to_string()),
        ("region", app.region.name.clone()),
        ("repo_size", app.repo_size.unwrap_or_default().to_string()),
        ("slug_size", app.slug_size.unwrap_or_default().to_string()),
        ("stack", app.stack.name.clone()),
        ("team", team.unwrap_or_default()),
        ("web_url", app.web_url.clone().unwrap_or_default()),
    ] {
        context
            .output
            .line(format!("{key}={}", git::shell_quoted(&value)))?;
    }
    Ok(())
}

fn plans(addons: &[Addon], between: &str) -> String {
    let plans: Vec<&str> = addons
        .iter()
        .map(|addon| addon.plan.name.as_str())
        .collect();
    plans.join(between)
}

/// `web: 2, worker: 1`.
fn dyno_counts(dynos: &[Dyno]) -> String {
    let mut counts = std::collections::BTreeMap::new();
    for dyno in dynos {
        *counts.entry(dyno.process_type.as_str()).or_insert(0_u32) += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(kind, count)| format!("{kind}: {count}"))
        .collect();
    counts.join(", ")
}

/// `12.3 MB`, in thousands as Heroku counts.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut scaled = bytes as f64;
    let mut unit = 0;
    while scaled >= 1000.0 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{scaled:.1} {}", UNITS[unit])
    }
}

pub(crate) async fn rename(context: &Context, args: &RenameArgs) -> Result<()> {
    let old = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Renaming {} to {}",
        output.app(&old),
        args.new_name
    ));
    let update = AppUpdate {
        name: Some(args.new_name.clone()),
        ..AppUpdate::default()
    };
    let app = client.update_app(&old, &update).await?;
    action.done();
    output.line(format!(
        "{} | {}",
        app.web_url.as_deref().unwrap_or_default(),
        app.git_url
    ))?;
    let hosts = &context.session()?.git;
    for remote in git::remotes() {
        if hosts.app_of(&remote.url).is_some_and(|name| name == old) {
            let over_ssh = !remote.url.starts_with("https://");
            let url = if over_ssh {
                hosts.ssh_url(app.name.as_str())
            } else {
                app.git_url.clone()
            };
            git::set_remote(&remote.name, &url)?;
            output.note(format!("Git remote {} updated", remote.name))?;
        }
    }
    output.hint("Other clones of the repository need their remotes changed by hand.")?;
    Ok(())
}

pub(crate) async fn destroy(context: &Context, args: &DestroyArgs) -> Result<()> {
    let name = app_of(context, args.name.as_ref(), &args.app)?;
    let (client, output) = (context.client()?, &context.output);
    // The name as the platform has it: what is confirmed is what is destroyed.
    let name = client.app(&name).await?.name.to_string();
    Confirm {
        name: &name,
        given: args.confirm.as_deref(),
        warning: format!(
            "This will destroy {} with its releases, config, domains, add-ons and source.",
            output.app(&name)
        ),
        done: "destroyed",
    }
    .ask(output)?;
    let action = output.action(format!("Destroying {}", output.app(&name)));
    client.destroy_app(&name).await?;
    action.done();
    let hosts = &context.session()?.git;
    for remote in git::remotes() {
        if hosts.app_of(&remote.url).is_some_and(|app| app == name) {
            git::remove_remote(&remote.name)?;
            output.note(format!("Git remote {} removed", remote.name))?;
        }
    }
    Ok(())
}

pub(crate) async fn open(context: &Context, args: &OpenArgs) -> Result<()> {
    let name = context.app(&args.app)?;
    let app = context.client()?.app(&name).await?;
    let url = app
        .web_url
        .ok_or_else(|| Failure::new(format!("{name} has no address on the web")))?;
    let url = match &args.path {
        Some(path) if path.contains("://") => path.clone(),
        Some(path) => format!(
            "{}/{}",
            url.trim_end_matches('/'),
            path.trim_start_matches('/')
        ),
        None => url,
    };
    browser::visit(context, &url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_unit_that_reads_best() {
        let told = [0, 999, 1000, 12_345_678, 5_000_000_000].map(bytes);
        assert_eq!(told, ["0 B", "999 B", "1.0 KB", "12.3 MB", "5.0 GB"]);
    }
}
