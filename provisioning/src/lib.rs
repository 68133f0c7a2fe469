//! What a host needs before the platform can live on it: certificates of its own, a place among the others, free ports,
//! and a check-up.
//!
//! Nothing here knows the store or the roles. The scripts beside this crate (`up`, `join`, `down`) install packages and start
//! programs; what they and `paasd` share in logic is here.

pub mod doctor;
pub mod identity;
pub mod join;
pub mod local_ca;
pub mod ports;

mod files;
