//! The router over real sockets: a real store in memory, real threads, dynos played by small servers.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop there"
)]

mod it {
    mod affinity;
    mod certificates;
    mod client_faults;
    mod faults;
    mod frames;
    mod grpc;
    mod headers;
    mod http2_spec;
    mod http2_streams;
    mod metrics;
    mod name_server;
    mod platform;
    mod protocols;
    mod proxied;
    mod restart;
    mod restored;
    mod routing;
    mod rules;
    mod siege;
    mod siege_connections;
    mod siege_http2;
    mod siege_slow;
    mod silent_hosts;
    mod smuggling;
    mod storm;
    mod streaming;
    mod support;
    mod switch;
    mod tcp;
    mod traces;
    mod trunks;
    mod upgrades;
    mod websockets;
}
