//! What a host needs before the platform can live on it: certificates of its own, free ports, and a check-up.
//!
//! Everything here is synchronous and short; nothing knows the store or the other roles. The scripts beside this crate
//! (`up`, `down`) install packages and start programs; what they and `paasd` share in logic is here.

pub mod doctor;
pub mod local_ca;
pub mod ports;
