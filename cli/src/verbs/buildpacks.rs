//! buildpacks, buildpacks:set, :add, :remove, :clear. The list is read, changed here, and written whole.

use anyhow::Result;
use controller_api::Client;

use crate::args::{AppJson, AppOnly, BuildpackAddArgs, BuildpackRemoveArgs};
use crate::context::Context;
use crate::failure::Failure;

pub(crate) async fn list(context: &Context, args: &AppJson) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    if args.json.json {
        return Ok(output.json(&client.buildpacks(&app).await?)?);
    }
    let packs = installed(&client, &app).await?;
    match packs.as_slice() {
        [] => Ok(output.note(format!(
            "{} has no buildpacks set; builds detect what they need.",
            output.app(&app)
        ))?),
        [only] => {
            output.heading(format!("{app} Buildpack"))?;
            Ok(output.line(only)?)
        }
        several => {
            output.heading(format!("{app} Buildpacks"))?;
            Ok(output.line(numbered(several, ""))?)
        }
    }
}

/// As they are shown and typed: in order, without the prefix that names carry inside.
pub(super) async fn installed(client: &Client, app: &str) -> Result<Vec<String>> {
    let mut installations = client.buildpacks(app).await?;
    installations.sort_by_key(|installation| installation.ordinal);
    Ok(installations
        .into_iter()
        .map(|installation| shown(&installation.buildpack.url))
        .collect())
}

fn shown(url: &str) -> String {
    url.strip_prefix("urn:buildpack:").unwrap_or(url).to_owned()
}

fn numbered(packs: &[String], indent: &str) -> String {
    let lines: Vec<String> = packs
        .iter()
        .enumerate()
        .map(|(i, pack)| format!("{indent}{}. {pack}", i + 1))
        .collect();
    lines.join("\n")
}

/// Position in the list from 1, as a place in it.
fn place(index: Option<u32>) -> Option<usize> {
    index.map(|index| index as usize - 1)
}

pub(crate) async fn set(context: &Context, args: &BuildpackAddArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let client = context.client()?;
    let mut packs = installed(&client, &app).await?;
    let at = place(args.index).unwrap_or(0);
    refuse_twice(&app, &packs, &args.buildpack, Some(at))?;
    match packs.get_mut(at) {
        Some(pack) => pack.clone_from(&args.buildpack),
        None => packs.push(args.buildpack.clone()),
    }
    write(context, &client, &app, "set", &packs).await
}

pub(crate) async fn add(context: &Context, args: &BuildpackAddArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let client = context.client()?;
    let mut packs = installed(&client, &app).await?;
    refuse_twice(&app, &packs, &args.buildpack, None)?;
    let at = place(args.index).map_or(packs.len(), |at| at.min(packs.len()));
    packs.insert(at, args.buildpack.clone());
    write(context, &client, &app, "added", &packs).await
}

fn refuse_twice(
    app: &str,
    packs: &[String],
    pack: &str,
    except: Option<usize>,
) -> Result<(), Failure> {
    let there = packs
        .iter()
        .enumerate()
        .any(|(at, other)| other == pack && Some(at) != except);
    if there {
        return Err(Failure::new(format!(
            "The buildpack {pack} is already set on {app}"
        )));
    }
    Ok(())
}

pub(crate) async fn remove(context: &Context, args: &BuildpackRemoveArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let client = context.client()?;
    let mut packs = installed(&client, &app).await?;
    let at = match &args.buildpack {
        Some(pack) => packs
            .iter()
            .position(|other| *other == shown(pack))
            .or_else(|| pack.parse::<usize>().ok()?.checked_sub(1)),
        None => place(args.index),
    };
    let at = at.filter(|at| *at < packs.len()).ok_or_else(|| {
        Failure::new(format!("{app} has no such buildpack"))
            .advise("See which it has with `paas buildpacks`.")
    })?;
    packs.remove(at);
    write(context, &client, &app, "removed", &packs).await
}

pub(crate) async fn clear(context: &Context, args: &AppOnly) -> Result<()> {
    let app = context.app(&args.app)?;
    let client = context.client()?;
    client.set_buildpacks(&app, &[]).await?;
    say_next(context, &app, "Buildpacks cleared.", &[])
}

async fn write(
    context: &Context,
    client: &Client,
    app: &str,
    done: &str,
    packs: &[String],
) -> Result<()> {
    client.set_buildpacks(app, packs).await?;
    say_next(context, app, &format!("Buildpack {done}."), packs)
}

fn say_next(context: &Context, app: &str, done: &str, packs: &[String]) -> Result<()> {
    let output = &context.output;
    let (app, push) = (
        output.app(app),
        output.err_paint.command("git push paas main"),
    );
    output.note(match packs {
        [] => format!("{done} Next release on {app} will detect buildpacks normally."),
        [only] => format!("{done} Next release on {app} will use {only}.\nRun {push} to make it."),
        several => {
            format!(
                "{done} Next release on {app} will use:\n{}\nRun {push} to make it.",
                numbered(several, "  ")
            )
        }
    })?;
    Ok(())
}
