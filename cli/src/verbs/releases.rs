//! releases, releases:info, rollback.

use anyhow::Result;
use controller_api::client::ReleaseRange;
use controller_api::wire::{Release, ReleaseStatus};
use serde_json::json;

use super::config;
use crate::args::{ReleaseArgs, ReleasesArgs, RollbackArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::follow;
use crate::output::{Colour, Output, Table, ago};

/// How far back `rollback` alone looks for a release to go back to.
const ROLLBACK_REACH: u32 = 100;

pub(crate) async fn list(context: &Context, args: &ReleasesArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let output = &context.output;
    let releases = context
        .client()?
        .releases(&app, ReleaseRange::Newest(args.num))
        .await?;
    if args.json.json {
        return Ok(output.json(&releases)?);
    }
    if releases.is_empty() {
        output.note(format!("{} has no releases.", output.app(&app)))?;
        return Ok(());
    }
    let current = releases.iter().find(|release| release.current);
    match current {
        Some(current) => {
            output.heading(format!("{app} Releases - Current: v{}", current.version))?
        }
        None => output.heading(format!("{app} Releases"))?,
    }
    let mut table = Table::new();
    for release in &releases {
        table.row([
            version(output, release),
            described(output, release),
            release.user.email.to_string(),
            ago(release.created_at.0),
        ]);
    }
    Ok(output.table(&table)?)
}

fn version(output: &Output, release: &Release) -> String {
    let colour = match release.status {
        ReleaseStatus::Failed => Colour::Red,
        ReleaseStatus::Pending => Colour::Yellow,
        _ if release.current => Colour::Green,
        _ => Colour::Dim,
    };
    output
        .paint
        .in_colour(colour, &format!("v{}", release.version))
}

fn described(output: &Output, release: &Release) -> String {
    let (colour, status) = match release.status {
        ReleaseStatus::Succeeded => return release.description.clone(),
        ReleaseStatus::Pending => (Colour::Yellow, "in progress"),
        ReleaseStatus::Failed => (Colour::Red, "failed"),
        ReleaseStatus::Expired => (Colour::Dim, "replaced before it was up"),
    };
    format!(
        "{} {}",
        release.description,
        output.paint.in_colour(colour, status)
    )
}

pub(crate) async fn info(context: &Context, args: &ReleaseArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let release = match &args.release {
        Some(wanted) => client.release(&app, wanted).await?,
        None => follow::newest_release(&client, &app)
            .await?
            .ok_or_else(|| Failure::new(format!("{app} has no releases")))?,
    };
    let version = format!("v{}", release.version);
    let failure = match release.status {
        ReleaseStatus::Failed => Some(client.release_failure(&app, &version).await?),
        _ => None,
    };
    if args.json.json {
        return Ok(output.json(&json!({ "release": release, "failure": failure }))?);
    }
    output.heading(format!("Release {version}"))?;
    let status = release.status.as_str();
    let mut table = Table::new();
    table.row(["By:".to_owned(), release.user.email.to_string()]);
    table.row(["Change:".to_owned(), release.description.clone()]);
    let current = if release.current { ", current" } else { "" };
    table.row([
        "Status:".to_owned(),
        format!("{}{current}", output.paint.state(status)),
    ]);
    if let Some(failure) = &failure {
        table.row(["Reason:".to_owned(), failure.reason.clone()]);
    }
    table.row(["When:".to_owned(), ago(release.created_at.0)]);
    output.table(&table)?;
    if let Some(failure) = failure.filter(|failure| !failure.log_tail.is_empty()) {
        output.line("")?;
        output.heading(format!("{version} Last log lines"))?;
        output.line(failure.log_tail.join("\n"))?;
    }
    let vars = client.release_config_vars(&app, &version).await?;
    if !vars.is_empty() {
        output.line("")?;
        output.heading(format!("{version} Config vars"))?;
        config::show(output, &vars)?;
    }
    Ok(())
}

pub(crate) async fn rollback(context: &Context, args: &RollbackArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let releases = client
        .releases(&app, ReleaseRange::Newest(ROLLBACK_REACH))
        .await?;
    let current = releases.iter().find(|release| release.current);
    let target = match &args.release {
        Some(wanted) => client.release(&app, wanted).await?,
        None => before(&releases, current).cloned().ok_or_else(|| {
            Failure::new(format!("{app} has no earlier release to roll back to"))
                .advise("See its releases with `paas releases`.")
        })?,
    };
    let action = output.action(format!(
        "Rolling back {} to v{}",
        output.app(&app),
        target.version
    ));
    let release = client.rollback(&app, &target.id.to_string()).await?;
    if args.wait.no_wait {
        action.end(&format!("v{} is on its way", release.version));
    } else {
        follow::release(output, &client, &app, release.version, action).await?;
    }
    output.hint("Rollback affects code and config vars; it does not add or remove add-ons.")?;
    if let Some(current) = current {
        let undo = format!("paas rollback v{}", current.version);
        output.hint(format!("To undo, run: {}", output.err_paint.command(&undo)))?;
    }
    Ok(())
}

/// The release to which one would go back: the newest before the current that once served.
fn before<'a>(releases: &'a [Release], current: Option<&Release>) -> Option<&'a Release> {
    let current = current.map_or(u64::MAX, |current| current.version);
    releases
        .iter()
        .find(|release| release.version < current && release.eligible_for_rollback)
}
