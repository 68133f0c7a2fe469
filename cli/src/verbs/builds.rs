//! builds, builds:output.

use std::io::Write as _;

use anyhow::Result;
use controller_api::wire::Build;
use futures::StreamExt as _;

use crate::args::{BuildArgs, ReleasesArgs};
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
            "{} has no builds. Make one with `git push paas main`.",
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
        stdout.write_all(&chunk?)?;
        stdout.flush()?;
    }
    Ok(())
}
