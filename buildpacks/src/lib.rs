//! Heroku's classic Buildpack API as types, and the packs, driver and stack that ship with the platform.
//!
//! A build is a [`Job`]: this crate lays it out on disk for the driver, which runs inside a build container, and reads the
//! driver's [`BuildOutcome`]. Containers, git and the blob store are the builder's; nothing here starts a process.

pub mod job;
pub mod order;
pub mod outcome;
pub mod procfile;
pub mod release_yaml;
pub mod shipped;
pub mod source;
pub mod stack;

pub use job::{Job, JobError, JobSpec, Mount};
pub use order::{DETECTION_ORDER, ShippedPack};
pub use outcome::{BuildFailure, BuildOutcome, Built, FailureKind, UsedBuildpack};
pub use release_yaml::ReleaseYaml;
pub use source::{BuildpackSource, InvalidBuildpack};
pub use stack::Stack;

use std::collections::BTreeMap;

use model::ProcessType;

/// The commands an app can be run with, by process type.
pub type ProcessTypes = BTreeMap<ProcessType, String>;
