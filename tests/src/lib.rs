//! The harness of the stories: a whole platform in a temporary directory, its users, and load.
//!
//! Everything is the real thing: the built `paasd` and `paas`, stock `git`, Docker, and etcd where a run asks for it
//! (`PAAS_STORY_STORE=etcd`). Every port is chosen by the kernel, every name is unique, and what a platform made in Docker
//! goes with it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that meets the unexpected ends there, and shows where"
)]

pub mod authority;
pub mod command;
pub mod eventually;
pub mod lab;
pub mod load;
pub mod outside;
pub mod platform;
pub mod project;
pub mod pulse;
pub mod web;

pub use lab::Lab;
pub use platform::Platform;
pub use project::Project;
