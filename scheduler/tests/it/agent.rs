//! The node agent over a fake engine and a store in memory.

mod attached;
mod docker;
mod fixture;
mod flaky;
mod inside;
mod life;
mod presence;
mod restart;
mod trouble;
