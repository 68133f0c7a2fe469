//! The builder as its clients meet it: stock git over HTTP and SSH, with the embedded store.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and what it measures is printed"
)]

mod it {
    mod access;
    mod archives;
    mod common;
    mod concurrency;
    mod deploys;
    mod docker;
    mod large;
    mod many;
    mod outage;
    mod placed;
    mod refs;
    mod repositories;
    mod restart;
}
