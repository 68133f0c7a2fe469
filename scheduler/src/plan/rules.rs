//! The planner's constants, in one place so that tests and operators can turn them.

use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Rules {
    /// The platform's domain: an app is reached at `<name>.<domain>`.
    pub domain: String,
    /// How long a node's heartbeat may be missing before its dynos are replaced. Routers leave them at once.
    pub dead_after: Duration,
    /// The same, when most of the nodes are missed at once: that is more likely the store or the network.
    pub mass_dead_after: Duration,
    /// How long a node that was away must have stayed before it gets dynos that another node could have.
    pub steady_after: Duration,
    /// How much of a node's CPUs may be reserved, in hundredths: most dynos idle most of the time.
    pub cpu_overcommit_percent: u32,
    /// How many dynos may be on the move at once to balance the nodes, on all of the platform.
    pub moves_at_once: usize,
    pub pause_between_moves: Duration,
    /// Two nodes whose reserved shares are further apart than this, in thousandths, are evened out unasked: one of them
    /// has come or come back.
    pub unbalanced_beyond: u64,
    /// And on request, until they are no further apart than this.
    pub balanced_within: u64,
    /// How long in-flight requests may hold up the stop of a dyno.
    pub drain_for: Duration,
    /// How long without any router counts as "there are none": removal then needs no acknowledgement.
    pub no_router_after: Duration,
    /// A dyno that is not `web` counts as ready when it has run this long.
    pub settle: Duration,
    /// How long a dyno may go without a place before the release (or the one-off dyno) fails.
    pub place_within: Duration,
    /// How long a dyno of a live release may go without a place before its app's log says so.
    pub tell_unplaced_after: Duration,
    /// How long the release phase may take.
    pub release_phase_within: Duration,
}

impl Rules {
    pub fn for_domain(domain: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            dead_after: Duration::from_secs(2),
            mass_dead_after: Duration::from_secs(60),
            steady_after: Duration::from_secs(30),
            cpu_overcommit_percent: 200,
            moves_at_once: 2,
            pause_between_moves: Duration::from_secs(5),
            unbalanced_beyond: 250,
            balanced_within: 50,
            drain_for: Duration::from_secs(30),
            no_router_after: Duration::from_secs(15),
            settle: Duration::from_secs(2),
            place_within: Duration::from_secs(10),
            tell_unplaced_after: Duration::from_secs(3),
            release_phase_within: Duration::from_secs(3600),
        }
    }
}
