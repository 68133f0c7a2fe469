//! Compiling: a job with a commit in, a built tree and what is known of it out.
//!
//! A trait, so that everything around it can be tested without a container; [`ContainerCompiler`] is how it is really done.

mod container;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use model::{AppId, AppName, BuildId, BuildpackRef, ProcessType};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use container::ContainerCompiler;

use crate::workspace::Workspace;

#[async_trait]
pub trait Compile: Send + Sync + fmt::Debug {
    /// Makes the job's tree out of its source. What the pusher is to read goes to `output`, as it comes. When it returns,
    /// for whatever reason, nothing of it runs any more; `stop` makes it return soon.
    async fn compile(
        &self,
        job: CompileJob,
        output: mpsc::Sender<Bytes>,
        stop: CancellationToken,
    ) -> Result<Compiled, CompileError>;

    /// Ends what an earlier life of this builder left running.
    async fn remove_leftovers(&self) {}
}

#[derive(Debug, Clone)]
pub struct CompileJob {
    pub build: BuildId,
    pub app: AppId,
    pub app_name: AppName,
    /// Laid out, with the source and the cache in place.
    pub job: Arc<buildpacks::Job>,
    pub(crate) workspace: Workspace,
    /// The job's command, or one that does something before it.
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The built tree.
    pub tree: PathBuf,
    /// Those that built it.
    pub buildpacks: Vec<BuildpackRef>,
    /// What the last of them calls the app: `Python`.
    pub language: Option<String>,
    pub process_types: BTreeMap<ProcessType, String>,
}

#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The build failed, and its output says so.
    #[error("{0}")]
    Told(String),
    /// The build failed, and nobody has told the pusher.
    #[error("{0}")]
    Failed(String),
    #[error("the build ran out of memory")]
    OutOfMemory,
    /// `stop` said so.
    #[error("the build was stopped")]
    Stopped,
    #[error("could not {doing}")]
    Internal {
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CompileError {
    fn internal<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        doing: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Internal {
            doing,
            source: source.into(),
        }
    }
}
