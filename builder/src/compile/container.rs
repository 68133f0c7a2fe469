//! A build in a container of its own: the build image, the driver of `buildpacks/`, and limits on everything.
//!
//! Nothing of the host is in it but the build's own directories; no engine socket, no capabilities, an unprivileged user.
//! Config vars are files that the driver hands to the buildpacks, never its environment.

use std::sync::Arc;

use async_trait::async_trait;
use buildpacks::JobError;
use buildpacks::outcome::{BuildOutcome, FailureKind};
use buildpacks::stack::{CA_BUNDLE, CA_VARIABLES};
use bytes::Bytes;
use futures::StreamExt as _;
use model::BuildpackRef;
use runtime::{
    ContainerExit, ContainerId, ContainerSpec, Labels, LogKeeping, Mount, OutputStream, Runtime,
    RuntimeError, Ulimit,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Compile, CompileError, CompileJob, Compiled};
use crate::Config;
use crate::config::{ContainerConfig, Limits};

#[derive(Debug)]
pub struct ContainerCompiler {
    container: ContainerConfig,
    limits: Limits,
    runtime: Arc<dyn Runtime>,
}

impl ContainerCompiler {
    pub fn new(config: &Config, runtime: Arc<dyn Runtime>) -> Self {
        Self {
            container: config.container.clone(),
            limits: config.limits.clone(),
            runtime,
        }
    }

    /// Carried by every container of this installation's builds.
    fn labels(&self) -> Labels {
        Labels::from([
            ("paas.kind".to_owned(), "build".to_owned()),
            ("paas.instance".to_owned(), self.container.instance.clone()),
        ])
    }

    fn spec(&self, job: &CompileJob) -> ContainerSpec {
        let mut spec = ContainerSpec::new(
            format!("paas-build-{}", job.build),
            &self.container.image,
            job.command.clone(),
        );
        spec.labels = self.labels();
        spec.labels
            .insert("paas.app".to_owned(), job.app_name.to_string());
        spec.labels
            .insert("paas.build".to_owned(), job.build.to_string());
        spec.env = job
            .job
            .environment()
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        spec.working_dir = "/app".to_owned();
        spec.hostname = Some("build".to_owned());
        spec.network = Some(self.container.network.name.clone());
        spec.mounts = self.mounts(job);
        if self.container.ca_bundle.is_some() {
            spec.env
                .extend(CA_VARIABLES.map(|name| (name.to_owned(), CA_BUNDLE.into())));
        }
        spec.limits = runtime::Limits {
            memory_bytes: Some(self.limits.memory_bytes),
            // Half the weight of a dyno: builds may take what is idle, and no more.
            cpu_shares: Some(256),
            cpu_quota_millis: Some(millis(self.limits.cpus)),
            pids: self.limits.pids,
            // Not more of anything: where the engine itself is confined it may not raise a limit, and then starts nothing.
            ulimits: vec![Ulimit {
                name: "core".to_owned(),
                soft: 0,
                hard: 0,
            }],
            // Before dynos, should the host run out of memory.
            oom_score_adj: 800,
            shm_bytes: Some(256 << 20),
        };
        spec.logs = LogKeeping::Off;
        spec
    }

    fn mounts(&self, job: &CompileJob) -> Vec<Mount> {
        let bind = |source, target: &str, read_only| Mount::Bind {
            source,
            target: target.into(),
            read_only,
        };
        let mut mounts: Vec<_> = job
            .job
            .mounts()
            .into_iter()
            .map(|mount| bind(mount.host, &mount.container, mount.read_only))
            .collect();
        mounts.push(bind(job.workspace.app(), "/app", false));
        mounts.push(bind(job.workspace.var_tmp(), "/var/tmp", false));
        if let Some(bundle) = &self.container.ca_bundle {
            mounts.push(bind(bundle.clone(), CA_BUNDLE, true));
        }
        mounts
    }

    async fn run(
        &self,
        id: &ContainerId,
        output: mpsc::Sender<Bytes>,
        stop: &CancellationToken,
    ) -> Result<ContainerExit, CompileError> {
        let attached = self
            .runtime
            .attach(id)
            .await
            .map_err(CompileError::internal("attach to the build"))?;
        self.runtime
            .start(id)
            .await
            .map_err(CompileError::internal("start the build"))?;
        let running = async {
            let (exit, ()) = tokio::join!(self.runtime.wait(id), relay(attached.output, output));
            exit.map_err(CompileError::internal("wait for the build"))
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(CompileError::Stopped),
            exit = running => exit,
        }
    }
}

#[async_trait]
impl Compile for ContainerCompiler {
    async fn compile(
        &self,
        job: CompileJob,
        output: mpsc::Sender<Bytes>,
        stop: CancellationToken,
    ) -> Result<Compiled, CompileError> {
        self.runtime
            .ensure_network(&self.container.network)
            .await
            .map_err(CompileError::internal("prepare the build's network"))?;
        let id = match self.runtime.create(&self.spec(&job)).await {
            Ok(id) => id,
            Err(error) if error.is_not_found() => {
                let message = format!(
                    "The platform has no build image {}; its operators can make it.",
                    self.container.image
                );
                return Err(CompileError::Failed(message));
            }
            Err(error) => return Err(CompileError::internal("make the build's container")(error)),
        };
        let exit = self.run(&id, output, &stop).await;
        let removed = remove(&*self.runtime, &id).await;
        let exit = exit?;
        // While it may still run, its directories are not ours.
        removed.map_err(CompileError::internal("end the build"))?;
        outcome(&job, exit)
    }

    async fn remove_leftovers(&self) {
        let found = match self.runtime.list(&self.labels()).await {
            Ok(found) => found,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not look for builds left running"
                );
                return;
            }
        };
        for container in found {
            match self.runtime.remove(&container.id).await {
                Ok(()) => info!(name = container.name, "Removed a build left running"),
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not remove a build left running"
                ),
            }
        }
    }
}

/// An engine that is busy killing ten thousand processes may need to be asked again.
async fn remove(runtime: &dyn Runtime, id: &ContainerId) -> Result<(), RuntimeError> {
    let mut attempts = 0;
    loop {
        match runtime.remove(id).await {
            Err(error) if attempts < 3 => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not remove a build's container; will retry"
                );
                attempts += 1;
            }
            other => return other,
        }
    }
}

async fn relay(mut from: OutputStream, output: mpsc::Sender<Bytes>) {
    while let Some(Ok(chunk)) = from.next().await {
        if output.send(chunk.bytes).await.is_err() {
            return;
        }
    }
}

fn outcome(job: &CompileJob, exit: ContainerExit) -> Result<Compiled, CompileError> {
    match job.job.outcome() {
        Ok(BuildOutcome::Built(built)) => Ok(Compiled {
            tree: job
                .job
                .built_tree()
                .map_err(|error| CompileError::Failed(error.to_string()))?,
            buildpacks: built
                .buildpacks
                .into_iter()
                .map(|buildpack| BuildpackRef(buildpack.name))
                .collect(),
            language: built.language,
            process_types: built.process_types,
        }),
        Ok(BuildOutcome::Failed(failure)) => {
            if matches!(failure.kind, FailureKind::Internal) {
                warn!(build.id = %job.build, message = failure.message, "A build found its job wanting");
            }
            Err(CompileError::Told(failure.message))
        }
        Err(JobError::NoResult) if exit.oom => Err(CompileError::OutOfMemory),
        Err(JobError::NoResult) => Err(CompileError::Failed(format!(
            "The build was killed (status {}) before it could say why.",
            exit.status
        ))),
        // The build wrote something else in its place: its own fault, whatever it was.
        Err(error) => Err(CompileError::Failed(format!("{error}."))),
    }
}

fn millis(cpus: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of CPUs, bounded below and above"
    )]
    let millis = (cpus.clamp(0.01, 1000.0) * 1000.0) as u32;
    millis
}
