//! The scheduler's tests: the planner alone, the planner in a simulated world, and the agent over a fake runtime.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod it {
    mod agent;
    mod builds;
    mod faults;
    mod placement;
    mod plan;
    mod simulation;
    mod world;
}
