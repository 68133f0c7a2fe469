//! The node agent: makes one host's containers be what the store says, and writes down what they are.
//!
//! It takes no orders. It follows the dynos placed on its node; for each there is a *keeper*, a task that looks at record
//! and container, asks [`decide`] for the next step, takes it, and looks again. A change in the store, the end of a
//! container and a timer all mean the same: look again. So start, restart of the agent and a missed event are one path.
//!
//! Invariants:
//! - A container is stopped only because a live store said so: without a store everything runs on, and what crashes is
//!   started again from what its keeper remembers.
//! - A restart of the agent restarts nothing: running containers are adopted by their labels.
//! - Only this agent writes the statuses of its node's dynos, only when they change, by compare-and-set.
//! - The node counts as alive only while its engine answers and its disk takes writes ([`health`]), and only once every
//!   dyno that it had before has been looked at ([`presence`]).
//! - What was asked for inside a dyno ends with its user, with the dyno and with the agent, and holds up neither ([`inside`]).
//! - A dyno can reach the world, and neither its host, its neighbours nor the cloud's metadata ([`firewall`]).

mod attach;
mod config;
mod decide;
mod environment;
mod firewall;
mod health;
mod inside;
mod keeper;
mod launch;
mod log_follow;
mod network;
mod presence;
mod probe;
mod quota;
mod slugs;
mod status;
mod supervise;
mod view;

use std::sync::Arc;

use controller_api::LogSink;
use runtime::Runtime;
use store::{Keyring, Store, blob::BlobStore};
use tokio_util::sync::CancellationToken;

pub use config::{Config, Firewall};
pub use supervise::AgentError;

/// Runs the agent until `shutdown`. Containers run on after that; the next agent of this node adopts them.
pub async fn run(
    config: Config,
    store: Arc<dyn Store>,
    keyring: Keyring,
    blobs: BlobStore,
    runtime: Arc<dyn Runtime>,
    logs: LogSink,
    shutdown: CancellationToken,
) -> Result<(), AgentError> {
    supervise::run(
        supervise::Means {
            config,
            store,
            keyring,
            blobs,
            runtime,
            logs,
        },
        shutdown,
    )
    .await
}
