//! Git: stock `git` run on bare repositories, one per app.

pub(crate) mod command;
pub(crate) mod converse;
pub(crate) mod repo;
pub(crate) mod service;

pub(crate) use command::Git;
pub(crate) use repo::{Repo, Repos};
pub(crate) use service::Service;
