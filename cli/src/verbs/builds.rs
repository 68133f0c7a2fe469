//! builds, builds:output, builds:cancel, builds:cache:purge.

use std::io::Write as _;

use anyhow::Result;
use controller_api::wire::Build;
use futures::StreamExt as _;

use crate::args::{AppJson, BuildArgs, BuildCancelArgs, ReleasesArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Table, ago};

pub(crate) async fn list(context: &Context, args: &ReleasesArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let output = &context.output;
    let mut builds = newest_first(context.client()?.builds(&app).await?);
    builds.truncate(args.num as usize);
    if args.json.json {
        return Ok(output.json(&builds)?);
    }
    if builds.is_empty() {
        output.note(format!(
            "{} has no builds. Make one with `git push paas main` or `paas builds:create`.",
            output.app(&app)
        ))?;
        return Ok(());
    }
    output.heading(format!("{app} Builds"))?;
    let mut table = Table::new();
    for build in &builds {
        let commit = build.source_blob.version.as_deref().unwrap_or_default();
        table.row([
            build.id.to_string(),
            output.paint.state(&build.status),
            commit.chars().take(8).collect(),
            build.user.email.to_string(),
            ago(build.created_at.0),
        ]);
    }
    Ok(output.table(&table)?)
}

fn newest_first(mut builds: Vec<Build>) -> Vec<Build> {
    builds.sort_by_key(|build| std::cmp::Reverse(build.created_at));
    builds
}

pub(crate) async fn output(context: &Context, args: &BuildArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let client = context.client()?;
    let build = match &args.build {
        Some(id) => client.build(&app, id).await?,
        None => newest_first(client.builds(&app).await?)
            .into_iter()
            .next()
            .ok_or_else(|| Failure::new(format!("{app} has no builds")))?,
    };
    let mut chunks = Box::pin(client.build_output(&build).await?);
    let mut stdout = std::io::stdout().lock();
    while let Some(chunk) = chunks.next().await {
        stdout.write_all(&shown(&chunk?))?;
        stdout.flush()?;
    }
    Ok(())
}

/// Without the bytes by which a build that prints nothing shows that it lives.
pub(super) fn shown(chunk: &[u8]) -> Vec<u8> {
    chunk.iter().copied().filter(|byte| *byte != 0).collect()
}

pub(crate) async fn cancel(context: &Context, args: &BuildCancelArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let build = match &args.build {
        Some(id) => id.clone(),
        None => newest_first(client.builds(&app).await?)
            .into_iter()
            .find(|build| build.status == "pending")
            .ok_or_else(|| Failure::new(format!("{app} has no build that has not ended")))?
            .id
            .to_string(),
    };
    if args.json.json {
        return Ok(output.json(&client.cancel_build(&app, &build).await?)?);
    }
    let action = output.action(format!("Cancelling build {build} of {}", output.app(&app)));
    client.cancel_build(&app, &build).await?;
    action.done();
    Ok(())
}

pub(crate) async fn purge_cache(context: &Context, args: &AppJson) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    if args.json.json {
        client.purge_build_cache(&app).await?;
        return Ok(output.json(&serde_json::json!({ "app": app }))?);
    }
    let action = output.action(format!("Purging the build cache of {}", output.app(&app)));
    client.purge_build_cache(&app).await?;
    action.done();
    Ok(())
}
