//! The Platform API as types: what goes over the wire, and the client that speaks it.
//!
//! The shapes are those of Heroku's Platform API v3, complete: a field the schema lists is always sent. Unknown fields
//! are ignored on the way in. This crate depends on the nouns (`model`) and on nothing else of ours, and stays light
//! enough for a CLI: building a [`Client`] reads no files unless the address is https.

pub mod archives;
pub mod attach;
pub mod client;
#[cfg(feature = "hosts")]
pub mod host_listener;
#[cfg(feature = "hosts")]
pub mod host_tls;
pub mod join;
pub mod log_sink;
pub mod log_stream;
pub mod time;
pub mod tls;
pub mod wire;

pub use client::{
    ApiError, Client, ClientError, ClientOptions, Greeting, ReleaseRange, is_localhost,
    keep_end_to_end,
};
pub use log_sink::{LogSink, LogSinkTask};
pub use log_stream::LogStream;
pub use model::{
    AppName, ConfigVarName, DrainUrl, DynoId, DynoSize, Email, HostRole, Hostname, Secret,
};
pub use time::WireTime;

/// The header in which the platform says its version to those who are logged in.
pub const PLATFORM_VERSION: &str = "paas-version";
