//! The router over real sockets: a real store in memory, real threads, dynos played by small servers.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop there"
)]

mod it {
    mod client_faults;
    mod faults;
    mod headers;
    mod metrics;
    mod name_server;
    mod platform;
    mod protocols;
    mod proxied;
    mod restart;
    mod restored;
    mod routing;
    mod silent_hosts;
    mod smuggling;
    mod streaming;
    mod support;
    mod switch;
    mod tcp;
    mod traces;
    mod upgrades;
}
