//! The store's integration tests: one binary.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod it {
    mod backend;
    mod blob;
    mod cluster;
    mod contract;
    mod crash;
    mod embedded;
    mod etcd;
    mod etcd_server;
    mod faulted;
    mod follow;
    mod leader;
    mod ledger;
    mod linear;
    mod migrate;
    mod model;
    mod outage;
    mod presence;
    mod proxy;
    mod s3;
    mod upkeep;
}
