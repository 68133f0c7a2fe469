//! Git: stock `git` run on bare repositories, one per app.

mod bring_up;
pub(crate) mod command;
pub(crate) mod converse;
pub(crate) mod packs;
pub(crate) mod repo;
pub(crate) mod repos;
pub(crate) mod service;

pub(crate) use command::Git;
pub(crate) use repo::Repo;
pub(crate) use repos::Repos;
pub(crate) use service::Service;
