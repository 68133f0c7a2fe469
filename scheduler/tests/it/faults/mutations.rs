//! Rules that are left out, one at a time, to see that the simulation misses them.

use std::time::Duration;

use ::store::{Compare, key};
use scheduler::plan::Rules;

use super::{Violation, first_failure, number, run};

/// A rule that is left out, to see that it is missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutation {
    /// Commits do not compare the leader's key.
    NoLeaderCompared,
    /// A placement does not compare that its node is the one that was alive.
    NoTargetCompared,
    /// A replacement does not compare that the lost node is still gone.
    NoLossCompared,
    /// A step does not compare the app.
    NoAppCompared,
    /// A dyno's record is written over whatever it has become.
    NoDynoCompared,
    /// A step that nobody knows the fate of does not end the term.
    NoNewTermInDoubt,
    /// The next plan is made before the last one's writes are seen.
    PlansFromThePast,
    /// A dyno is stopped whoever is being answered by it.
    NoDrain,
    /// A router says that a route is in force before it is.
    RoutersReportEarly,
    /// A new leader goes on with the timers it had when it led last.
    InheritsTimers,
    /// A leader believes its host's clock, which jumps.
    BelievesTheClock,
}

impl Mutation {
    pub(super) fn leaves_out(self, compare: &Compare) -> bool {
        let is_alive = key::ALIVE_NODES.holds(compare.key());
        match self {
            Self::NoLeaderCompared => key::LEADERS.holds(compare.key()),
            Self::NoTargetCompared => is_alive && matches!(compare, Compare::Revision { .. }),
            Self::NoLossCompared => is_alive && matches!(compare, Compare::Absent { .. }),
            Self::NoAppCompared => key::APPS.holds(compare.key()),
            Self::NoDynoCompared => key::DYNOS.holds(compare.key()),
            _ => false,
        }
    }

    pub(super) fn bend(self, rules: &mut Rules) {
        if self == Self::NoDrain {
            rules.drain_for = Duration::ZERO;
        }
    }
}

/// A run that misses each: found before, so that it need not be searched for each time.
const MISSED: [(Mutation, u64, &str); 11] = [
    (Mutation::NoLeaderCompared, 6, "is filled twice"),
    (Mutation::NoTargetCompared, 45, "on a node that is gone"),
    (Mutation::NoLossCompared, 14, "is filled twice"),
    (Mutation::NoAppCompared, 0, "is lost"),
    (Mutation::NoDynoCompared, 10, "the wish to restart"),
    (Mutation::NoNewTermInDoubt, 43, "is filled twice"),
    (Mutation::PlansFromThePast, 2, "is filled twice"),
    (Mutation::NoDrain, 0, "while it answers a request"),
    (Mutation::RoutersReportEarly, 3, "is told to stop while"),
    (Mutation::InheritsTimers, 77, "is told to stop while"),
    (Mutation::BelievesTheClock, 38, "is told to stop while"),
];

/// How many runs are tried after the known one: a change of the planner's or the simulation's makes other runs of all seeds.
const TRIES: u64 = 120;

/// `PAAS_SEARCH=1 cargo nextest run -p scheduler --no-capture each_rule` searches from the first seed on and prints where
/// each is missed now: for [`MISSED`], when it has grown slow.
#[test]
fn each_rule_is_missed_when_it_is_left_out() {
    for (mutation, known, what) in MISSED {
        let seeds = match number("PAAS_SEARCH") {
            Some(_) => 0..10_000,
            None => known..known + TRIES,
        };
        let is_missed = |seed| match run(seed, Some(mutation)) {
            Err(Violation(found)) if found.contains(what) => Err(Violation(found)),
            _ => Ok(()),
        };
        let missed = first_failure(seeds, is_missed);
        let (seed, Violation(found)) =
            missed.unwrap_or_else(|| panic!("nothing misses {mutation:?}"));
        eprintln!("{mutation:?}: {seed}: {found}");
        let right = run(seed, None);
        assert!(right.is_ok(), "{seed} goes wrong anyway: {right:?}");
    }
}
