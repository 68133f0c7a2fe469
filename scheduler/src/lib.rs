//! Where dynos run, and that they do.
//!
//! Two halves that meet only in the store: the scheduler proper (a pure [`plan`] and the [`reconcile`] loop of its
//! elected leader) writes what should be; the node [`agent`] makes it so on its own host and writes what is.

pub mod agent;
pub mod host;
pub mod memory;
pub mod plan;
pub mod planner;
pub mod reconcile;
pub mod snapshot;

pub use plan::Rules;
pub use reconcile::{Config, run};
