//! One suite over both engines, and what only a real one can show.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod it {
    mod confinement;
    mod docker;
    mod engine;
    mod suite;
}
