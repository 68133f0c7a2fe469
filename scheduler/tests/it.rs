//! The scheduler's tests: the planner alone, the planner in a simulated world, and the agent over a fake runtime.

mod it {
    mod agent;
    mod plan;
    mod simulation;
    mod world;
}
