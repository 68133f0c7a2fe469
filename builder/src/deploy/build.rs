//! One build: the code into a workspace, the workspace through the compiler, the tree into a slug in the blob store.
//!
//! Every limit ends the build at once and with a sentence that names it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use buildpacks::{JobSpec, Stack};
use bytes::Bytes;
use model::{Build, BuildpackRef, Checksum, ProcessType};
use serde::{Deserialize, Serialize};
use store::ledger::read_base;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::failure::Failure;
use super::transcript::Transcript;
use super::{Commit, Job, Work};
use crate::compile::{CompileError, CompileJob, Compiled};
use crate::config::Limits;
use crate::housekeeping::{blocking, tree_size};
use crate::slug::{self, PackError, Packed, Times};
use crate::workspace::Workspace;
use crate::{archive, source, words};

/// A slug, and what the release needs to know of it; as one builder tells another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Built {
    pub(crate) slug: Packed,
    /// The commit, or what whoever brought an archive calls its content.
    #[serde(rename = "commit")]
    pub(crate) version: Option<String>,
    #[serde(rename = "commit_description")]
    pub(crate) version_description: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) process_types: BTreeMap<ProcessType, String>,
    /// Those that built it, in order.
    pub(crate) buildpacks: Vec<BuildpackRef>,
    /// Nobody named them: they found the app themselves.
    pub(crate) detected: bool,
}

pub(crate) async fn build(
    job: Job<'_>,
    turn_lost: &CancellationToken,
    build: &Build,
    transcript: &mut Transcript,
) -> Result<Built, Failure> {
    check_disk(job)?;
    let version = version(job).await?;
    let base = read_base(&*job.builder.store, &job.builder.keyring, build.app)
        .await?
        .ok_or_else(|| Failure::refused(["The app does not exist any more.".to_owned()]))?;

    let chosen = match job.code {
        Work::Archive(archive) if !archive.buildpacks.is_empty() => &archive.buildpacks,
        _ => &base.app.value.buildpacks,
    };
    let config = base.all_config();
    let buildpacks = buildpacks::source::of_build(chosen, &config)
        .map_err(|invalid| Failure::refused([format!("{invalid}.")]))?;
    let stack = Stack::from_name(&build.stack).unwrap_or(Stack::DEFAULT);

    transcript.raw(b"Compressing source files...");
    let workspace = Workspace::create(&job.builder.config.builds_dir(), build.id)
        .map_err(files("prepare the build"))?;
    transcript
        .keep_in(&workspace.log())
        .map_err(files("keep the build's output"))?;
    let spec = JobSpec {
        build: build.id,
        stack,
        buildpacks: &buildpacks,
        config: &config,
        source_version: version.as_deref().unwrap_or_default(),
        request_id: &build.id.to_string(),
    };
    let laid_out = buildpacks::Job::lay_out(workspace.root(), &spec)
        .map_err(|e| Failure::internal("prepare the build")(e.into()))?;
    let laid_out = Arc::new(laid_out);
    let supervised = Supervised {
        job,
        turn_lost,
        workspace: &workspace,
    };
    let code = tokio::select! {
        code = code(job, build, version.as_deref(), &workspace, &laid_out) => code?,
        why = supervised.trouble() => return Err(why),
    };
    let (caches, cache_dir) = (job.builder.caches.clone(), laid_out.cache_dir());
    let app = build.app;
    caches
        .fetch_shared(&*job.builder.store, &job.builder.blobs, app)
        .await;
    blocking(move || caches.check_out(app, &cache_dir))
        .await
        .map_err(files("prepare the build cache"))?;
    transcript.raw(b" done.\nBuilding source:\n\n");

    let compile = CompileJob {
        build: build.id,
        app: build.app,
        app_name: job.push.app_name().clone(),
        job: laid_out.clone(),
        workspace: workspace.clone(),
        command: code.command,
    };
    let compiled = supervised.compile(compile, transcript).await?;

    transcript.topic("Compressing...");
    let slug = pack(job, compiled.tree, code.time, &workspace, transcript).await?;
    keep_cache(job, &laid_out).await;
    Ok(Built {
        slug,
        version_description: code.description,
        version,
        language: compiled.language,
        process_types: compiled.process_types,
        detected: buildpacks.is_empty(),
        buildpacks: compiled.buildpacks,
    })
}

/// What the code is called.
async fn version(job: Job<'_>) -> Result<Option<String>, Failure> {
    let Commit { deploy, repo } = match job.code {
        Work::Commit(commit) => commit,
        Work::Archive(archive) => return Ok(archive.version.clone()),
    };
    let commit = repo.commit(&deploy.commit).await?;
    let commit = commit.ok_or_else(|| {
        Failure::refused([format!(
            "{} is not a commit, and only commits can be deployed.",
            deploy.commit
        )])
    })?;
    Ok(Some(commit))
}

/// Code that is where the build's container finds it.
struct Code {
    command: Vec<String>,
    description: Option<String>,
    /// Of all its files, in seconds since 1970.
    time: u64,
}

async fn code(
    job: Job<'_>,
    build: &Build,
    version: Option<&str>,
    workspace: &Workspace,
    laid_out: &buildpacks::Job,
) -> Result<Code, Failure> {
    let tar = laid_out.source_tar();
    let repo = match job.code {
        Work::Commit(Commit { repo, .. }) => repo,
        Work::Archive(archive) => {
            let file = workspace.archive();
            let brought = archive::bring(job.builder, archive, &file, &tar).await?;
            fs_err::remove_file(file).map_err(files("remove the archive"))?;
            return Ok(Code {
                command: laid_out.command(),
                description: build
                    .source_blob
                    .as_ref()
                    .and_then(|blob| blob.version_description.clone()),
                time: brought.newest,
            });
        }
    };
    let commit = version.unwrap_or_default();
    source::export(repo, commit, &tar).await?;
    let submodules = source::submodules(repo, commit).await?;
    let command = source::fetch_first(&tar, &submodules, laid_out.command())
        .map_err(files("prepare the submodules"))?;
    Ok(Code {
        command,
        description: source::subject(repo, commit).await,
        time: source::time(repo, commit).await,
    })
}

fn files(doing: &'static str) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure::internal(doing)(source.into())
}

/// A full disk breaks running apps; a refused push does not.
fn check_disk(job: Job<'_>) -> Result<(), Failure> {
    let config = &job.builder.config;
    let found = nix::sys::statvfs::statvfs(&config.data_dir)
        .map_err(|errno| files("look at the disk")(errno.into()))?;
    let (free, all) = (
        u128::from(found.blocks_available()),
        u128::from(found.blocks()),
    );
    let used_percent = 100 - free * 100 / all.max(1);
    if used_percent > u128::from(config.limits.max_disk_percent) {
        return Err(Failure::refused([
            format!(
                "The platform's disk is {used_percent} % full, so that it builds nothing until there is room."
            ),
            "Nothing was deployed. Please tell the platform's operators.".to_owned(),
        ]));
    }
    Ok(())
}

/// Without it the next build takes longer, and that is all.
async fn keep_cache(job: Job<'_>, laid_out: &buildpacks::Job) {
    let (caches, app) = (job.builder.caches.clone(), job.push.app());
    let kept = match laid_out.kept_cache() {
        Ok(cache) => blocking(move || caches.keep(app, &cache)).await,
        Err(error) => Err(io::Error::other(error)),
    };
    if let Err(error) = kept {
        warn!(error = &error as &dyn std::error::Error, app.name = %job.push.app_name(), "Could not keep a build cache");
    }
}

/// A compile with somebody watching.
struct Supervised<'a> {
    job: Job<'a>,
    turn_lost: &'a CancellationToken,
    workspace: &'a Workspace,
}

/// Chunks of output on their way to the transcript.
const DEPTH: usize = 64;
const LOOK_AT_DISK_EVERY: Duration = Duration::from_secs(3);

impl Supervised<'_> {
    async fn compile(
        &self,
        compile: CompileJob,
        transcript: &mut Transcript,
    ) -> Result<Compiled, Failure> {
        let limits = &self.job.builder.config.limits;
        let stop = CancellationToken::new();
        let (output, mut printed) = mpsc::channel(DEPTH);
        let compiling = self
            .job
            .builder
            .compiler
            .compile(compile, output, stop.clone());
        tokio::pin!(compiling);
        let trouble = self.trouble();
        tokio::pin!(trouble);
        let mut printer = Printer {
            limits,
            transcript,
            bytes: 0,
            was_refused_processes: false,
        };
        let mut reason = None;
        let result = loop {
            tokio::select! {
                result = &mut compiling => break result,
                Some(chunk) = printed.recv() => {
                    if reason.is_none() && let Err(too_much) = printer.print(&chunk) {
                        reason = Some(too_much);
                        stop.cancel();
                    }
                }
                why = &mut trouble, if reason.is_none() => {
                    reason = Some(why);
                    stop.cancel();
                }
            }
        };
        while let Ok(chunk) = printed.try_recv() {
            if reason.is_none()
                && let Err(too_much) = printer.print(&chunk)
            {
                reason = Some(too_much);
            }
        }
        let was_refused_processes = printer.was_refused_processes;
        if reason.is_some() || result.is_err() {
            transcript.build_has_ended();
        }
        match (reason, result) {
            (Some(Failure::Refused(mut lines)), _) if was_refused_processes => {
                lines.push(format!(
                    "It wanted more processes than a build may have ({}).",
                    limits.pids
                ));
                Err(Failure::Refused(lines))
            }
            (Some(reason), _) => Err(reason),
            (None, Ok(compiled)) => Ok(compiled),
            (None, Err(CompileError::Told(reason))) => Err(Failure::Told(reason)),
            (None, Err(CompileError::Failed(reason))) => Err(Failure::refused([reason])),
            (None, Err(CompileError::OutOfMemory)) => Err(Failure::refused([format!(
                "Build ran out of memory (limit {}).",
                words::limit(limits.memory_bytes)
            )])),
            (None, Err(CompileError::Stopped)) => Err(Failure::Cancelled),
            (None, Err(CompileError::Internal { doing, source })) => {
                Err(Failure::internal(doing)(source))
            }
        }
    }

    /// Until something says that the build must end.
    async fn trouble(&self) -> Failure {
        let limits = &self.job.builder.config.limits;
        let overdue = tokio::time::sleep(limits.build_time);
        tokio::select! {
            () = self.job.push.cancelled().cancelled() => Failure::Cancelled,
            () = self.turn_lost.cancelled() => Failure::LockLost,
            () = self.job.builder.ending.cancelled() => Failure::Stopping,
            () = overdue => Failure::refused([format!(
                "Build timed out: it may take {}, and was ended.",
                words::duration(limits.build_time)
            )]),
            () = self.disk_is_used_up(limits.disk_bytes) => Failure::refused([format!(
                "Build used more than {} of disk, and was ended.",
                words::limit(limits.disk_bytes)
            )]),
        }
    }

    async fn disk_is_used_up(&self, limit: u64) {
        loop {
            tokio::time::sleep(LOOK_AT_DISK_EVERY).await;
            // A tree that changes while it is measured may fail to be; the next look will do.
            if tree_size(self.workspace.root().to_owned())
                .await
                .is_ok_and(|size| size > limit)
            {
                return;
            }
        }
    }
}

/// Passes a build's output on, and listens to it.
struct Printer<'a> {
    limits: &'a Limits,
    transcript: &'a mut Transcript,
    bytes: u64,
    /// What a process says that may start no other. A fork bomb does so until its time is up, and cannot say more.
    was_refused_processes: bool,
}

impl Printer<'_> {
    fn print(&mut self, chunk: &Bytes) -> Result<(), Failure> {
        const REFUSED: &[u8] = b"Resource temporarily unavailable";
        self.was_refused_processes = self.was_refused_processes
            || chunk.windows(REFUSED.len()).any(|window| window == REFUSED);
        self.bytes += chunk.len() as u64;
        self.transcript.raw(chunk);
        if self.bytes <= self.limits.output_bytes {
            return Ok(());
        }
        let limit = words::limit(self.limits.output_bytes);
        Err(Failure::refused([format!(
            "Build printed more than {limit} of output, and was ended."
        )]))
    }
}

async fn pack(
    job: Job<'_>,
    tree: PathBuf,
    time: u64,
    workspace: &Workspace,
    transcript: &mut Transcript,
) -> Result<Packed, Failure> {
    let limits = &job.builder.config.limits;
    let (file, limit) = (workspace.slug(), limits.slug_bytes);
    let packing =
        tokio::task::spawn_blocking(move || slug::pack(&tree, &file, Times::All(time), limit))
            .await;
    let packed = match packing {
        Ok(Ok(packed)) => packed,
        Ok(Err(PackError::TooLarge { limit })) => {
            return Err(Failure::refused([format!(
                "Compiled slug is too large (max is {}M).",
                limit >> 20
            )]));
        }
        Ok(Err(source)) => return Err(Failure::internal("pack the slug")(source.into())),
        Err(panic) => return Err(Failure::internal("pack the slug")(panic.into())),
    };
    let stored = job
        .builder
        .blobs
        .put_file(&workspace.slug())
        .await
        .map_err(|e| Failure::internal("store the slug")(e.into()))?;
    check_stored(&packed, &stored)?;
    transcript.detail(&format!("Done: {}", words::size(packed.size)));
    if packed.size > limits.slug_warning_bytes {
        transcript.problem(&format!(
            "Warning: Your slug size ({}) exceeds our soft limit ({} MB) which may affect boot time.",
            words::size(packed.size),
            limits.slug_warning_bytes >> 20
        ));
    }
    Ok(packed)
}

fn check_stored(packed: &Packed, stored: &Checksum) -> Result<(), Failure> {
    if packed.checksum == *stored {
        return Ok(());
    }
    let text = format!("packed as {} and stored as {stored}", packed.checksum);
    Err(Failure::internal("store the slug")(text.into()))
}
