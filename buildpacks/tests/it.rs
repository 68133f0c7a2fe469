//! The driver, the shipped packs and the stack, in real containers: each test builds a fixture app of `tests/apps` exactly as
//! the builder does and, where the build succeeds, serves it from the run image.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets the unexpected ends there, and shows where"
)]

mod it {
    mod buildpacks;
    mod failures;
    mod harness;
    mod http;
    mod languages;
    mod limits;
    mod repository;
}
