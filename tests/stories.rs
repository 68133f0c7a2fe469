//! The product, told as its users live it: real Docker, real git, the built binaries.

#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that meets the unexpected ends there, and shows where"
)]

mod stories {
    mod access;
    mod addons;
    #[cfg(feature = "real-s3")]
    mod bucket;
    mod build_limits;
    mod certs;
    mod deploy;
    mod failures;
    mod git;
    mod heroku;
    mod hosts;
    mod hosts_builds;
    mod hosts_chaos;
    mod hosts_logs;
    mod hosts_steady;
    mod hosts_store;
    mod join;
    mod kill;
    mod migrate;
    mod operate;
    mod run;
    mod sources;
    mod spread;
    mod stress;
    mod upgrade;
    mod watch;
    mod zero_loss;
}
