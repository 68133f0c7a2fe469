//! builds:create: code that is not pushed is uploaded, built and released.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use controller_api::Client;
use controller_api::client::ClientError;
use controller_api::wire::{Build, BuildCreate, ReleaseStatus, SourceBlobCreate};
use futures::StreamExt as _;
use tokio::sync::watch;
use tokio_util::io::ReaderStream;

use super::builds::shown;
use crate::args::BuildCreateArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::follow;
use crate::output::Output;
use crate::tarball;

const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) async fn create(context: &Context, args: &BuildCreateArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let source_blob = source(output, &client, args).await?;
    let create = BuildCreate {
        source_blob,
        buildpacks: None,
    };
    let build = client.create_build(&app, &create).await?;
    if !args.json.json {
        show(&client, &build).await?;
    }
    let build = ended(&client, &app, build).await?;
    if args.json.json {
        output.json(&build)?;
    }
    if build.status != "succeeded" {
        return Err(
            Failure::new(format!("Build {} of {app} {}", build.id, build.status))
                .advise("Read it again with `paas builds:output`.")
                .into(),
        );
    }
    let release = build
        .release
        .context("a build that succeeded has a release")?;
    let release = client.release(&app, &release.id.to_string()).await?;
    let version = format!("v{}", release.version);
    if release.status == ReleaseStatus::Failed {
        let failure = client.release_failure(&app, &version).await?;
        return Err(follow::tell_failure(output, &app, &version, &failure)?.into());
    }
    Ok(())
}

/// Where the code is, once it is where a build can have it.
async fn source(
    output: &Output,
    client: &Client,
    args: &BuildCreateArgs,
) -> Result<SourceBlobCreate> {
    let version = args.version.clone();
    if let Some(url) = &args.source_url {
        return Ok(SourceBlobCreate {
            url: url.clone(),
            version,
            ..SourceBlobCreate::default()
        });
    }
    if let Some(file) = &args.source_tar {
        let url = upload(output, client, file).await?;
        return Ok(SourceBlobCreate {
            url,
            version,
            ..SourceBlobCreate::default()
        });
    }
    let tarball = tarball::of(&args.dir)?;
    if tarball.is_behind {
        output.hint("Only what is committed is built; there are changes that are not.")?;
    }
    let url = upload(output, client, tarball.file.path()).await?;
    Ok(SourceBlobCreate {
        url,
        version: version.or(tarball.commit),
        ..SourceBlobCreate::default()
    })
}

async fn upload(output: &Output, client: &Client, file: &Path) -> Result<String> {
    let open = fs_err::tokio::File::open(file).await?;
    let length = open.metadata().await?.len();
    let source = client.create_source().await?.source_blob;
    let action = output.action(format!("Uploading {}", size(length)));
    let (told, mut sent) = watch::channel(0);
    let pieces = ReaderStream::new(open);
    let progress = move |sent| {
        let _ = told.send_replace(sent);
    };
    let uploading = client.upload(&source.put_url, length, pieces, progress);
    tokio::pin!(uploading);
    loop {
        tokio::select! {
            uploaded = &mut uploading => break uploaded?,
            Ok(()) = sent.changed() => {
                let percent = *sent.borrow_and_update() * 100 / length.max(1);
                action.progress(format!("{percent} %"));
            }
        }
    }
    action.done();
    Ok(source.get_url)
}

fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1 << 20 => format!("{} MB", bytes >> 20),
        bytes => format!("{} KB", bytes.div_ceil(1024)),
    }
}

/// What it prints, to its end. A connection that breaks on the way is no end of the build.
async fn show(client: &Client, build: &Build) -> Result<()> {
    let mut chunks = Box::pin(client.build_output(build).await?);
    let mut stdout = std::io::stdout().lock();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => {
                stdout.write_all(&shown(&chunk))?;
                stdout.flush()?;
            }
            Err(ClientError::Interrupted { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The build with its end, and its release decided.
async fn ended(client: &Client, app: &str, mut build: Build) -> Result<Build> {
    let id = build.id.to_string();
    loop {
        let is_decided = match &build.release {
            Some(release) => {
                let release = client.release(app, &release.id.to_string()).await?;
                release.status != ReleaseStatus::Pending
            }
            None => build.status != "pending",
        };
        if is_decided {
            return Ok(build);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        build = client.build(app, &id).await?;
    }
}
