//! The product, told as its users live it: real Docker, real git, the built binaries.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that meets the unexpected ends there, and shows where"
)]

mod stories {
    mod access;
    mod build_limits;
    mod deploy;
    mod failures;
    mod git;
    mod kill;
    mod operate;
    mod run;
    mod zero_loss;
}
