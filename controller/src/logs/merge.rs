//! One app's lines from several controllers, made one again: pure.
//!
//! A line is written to two controllers where there are two, and its times and words are its sender's, so both copies read
//! the same. Each controller's lines come in the order in which it got them, which keeps every dyno's own order; between
//! controllers, the earlier time goes first. A line that was said twice is held twice by whoever holds it: of lines that
//! read the same, as many are passed on as the controller with the most of them has.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// What is remembered of lines that were passed on; copies that come later than so many others are taken for new ones.
const MAX_SEEN: usize = 50_000;

/// Which of the controllers.
pub(super) type Source = usize;

#[derive(Debug, Default)]
pub(super) struct Merge {
    sources: Vec<Arrived>,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Arrived {
    lines: VecDeque<Held>,
    /// The number of the last line that was passed on or left out.
    position: Option<u64>,
    /// Lines up to this number were passed on in an earlier session.
    told: u64,
}

#[derive(Debug)]
struct Held {
    id: u64,
    line: String,
    /// When it came, by a clock of the caller's.
    at: u64,
}

impl Merge {
    /// A source whose lines up to number `told` have been passed on before.
    pub(super) fn add_source(&mut self, told: u64) -> Source {
        self.sources.push(Arrived {
            told,
            ..Arrived::default()
        });
        self.sources.len() - 1
    }

    pub(super) fn push(&mut self, source: Source, id: u64, line: String, at: u64) {
        if let Some(arrived) = self.sources.get_mut(source) {
            arrived.lines.push_back(Held { id, line, at });
        }
    }

    /// Lines that wait.
    pub(super) fn held(&self) -> usize {
        self.sources.iter().map(|source| source.lines.len()).sum()
    }

    /// The number of each source's last line that was passed on.
    pub(super) fn positions(&self) -> impl Iterator<Item = Option<u64>> {
        self.sources.iter().map(|source| source.position)
    }

    /// The next line, while there is one that came at `until` or before; younger ones of an earlier time go before it. What
    /// was told in an earlier session comes before all else, so that copies of it are known.
    pub(super) fn next(&mut self, until: u64) -> Option<String> {
        loop {
            let heads = || {
                self.sources
                    .iter()
                    .enumerate()
                    .filter_map(|(source, arrived)| Some((source, arrived.lines.front()?)))
            };
            if !heads().any(|(_, held)| held.at <= until) {
                return None;
            }
            let (source, _) = heads().min_by_key(|(source, held)| {
                let told = self.sources.get(*source).map_or(0, |source| source.told);
                (held.id > told, time_of(&held.line))
            })?;
            let arrived = self.sources.get_mut(source)?;
            let held = arrived.lines.pop_front()?;
            arrived.position = Some(held.id);
            let is_new = self.seen.is_new(source, &held.line);
            if is_new && held.id > arrived.told {
                self.pass_over_copies();
                return Some(held.line);
            }
        }
    }

    /// Copies that have come are behind us at once, so that positions say of each source what was told.
    fn pass_over_copies(&mut self) {
        for (source, arrived) in self.sources.iter_mut().enumerate() {
            while let Some(held) = arrived
                .lines
                .pop_front_if(|held| self.seen.is_copy(source, &held.line))
            {
                arrived.position = Some(held.id);
                self.seen.is_new(source, &held.line);
            }
        }
    }
}

/// Of equal length, so that text order is time order.
fn time_of(line: &str) -> &str {
    line.split_once(' ').map_or("", |(time, _)| time)
}

/// How often each line came, by source.
#[derive(Debug, Default)]
struct Seen {
    counts: HashMap<u64, Count>,
    oldest: VecDeque<u64>,
}

#[derive(Debug, Default)]
struct Count {
    passed_on: u32,
    of: Vec<u32>,
}

impl Seen {
    /// Whether the next line of this source is one that was passed on for another.
    fn is_copy(&self, source: Source, line: &str) -> bool {
        self.counts.get(&hash(line)).is_some_and(|count| {
            count.of.get(source).copied().unwrap_or_default() < count.passed_on
        })
    }

    fn is_new(&mut self, source: Source, line: &str) -> bool {
        let hash = hash(line);
        if !self.counts.contains_key(&hash) {
            self.oldest.push_back(hash);
            if self.oldest.len() > MAX_SEEN
                && let Some(oldest) = self.oldest.pop_front()
            {
                self.counts.remove(&oldest);
            }
        }
        let count = self.counts.entry(hash).or_default();
        if count.of.len() <= source {
            count.of.resize(source + 1, 0);
        }
        let Some(here) = count.of.get_mut(source) else {
            return true;
        };
        *here += 1;
        let is_new = *here > count.passed_on;
        count.passed_on = count.passed_on.max(*here);
        is_new
    }
}

fn hash(line: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(time: u32, text: &str) -> String {
        format!("2012-10-11T03:47:{time:02}.000000+00:00 app[web.1]: {text}")
    }

    fn drain(merge: &mut Merge, until: u64) -> Vec<String> {
        std::iter::from_fn(|| merge.next(until)).collect()
    }

    #[test]
    fn copies_are_passed_on_once_and_lines_said_twice_twice() {
        let mut merge = Merge::default();
        let (a, b) = (merge.add_source(0), merge.add_source(0));
        for (id, text) in [(1, "x"), (2, "x"), (3, "y")] {
            merge.push(a, id, line(1, text), 0);
        }
        for (id, text) in [(7, "x"), (8, "x"), (9, "z")] {
            merge.push(b, id, line(1, text), 0);
        }
        let passed = drain(&mut merge, 0);
        assert_eq!(
            passed,
            [line(1, "x"), line(1, "x"), line(1, "y"), line(1, "z")]
        );
        assert_eq!(merge.positions().collect::<Vec<_>>(), [Some(3), Some(9)]);
    }

    #[test]
    fn the_earlier_time_goes_first_and_a_sources_own_order_stays() {
        let mut merge = Merge::default();
        let (a, b) = (merge.add_source(0), merge.add_source(0));
        // Its clock was set back in between.
        for (id, time) in [(1, 2), (2, 9), (3, 4)] {
            merge.push(a, id, line(time, "a"), 0);
        }
        for (id, time) in [(1, 1), (2, 5)] {
            merge.push(b, id, line(time, "b"), 0);
        }
        let times: Vec<_> = drain(&mut merge, 0)
            .iter()
            .map(|line| line[17..19].parse::<u32>().unwrap())
            .collect();
        assert_eq!(times, [1, 2, 5, 9, 4]);
    }

    #[test]
    fn young_lines_wait_and_lines_of_an_earlier_session_only_count() {
        let mut merge = Merge::default();
        let (a, b) = (merge.add_source(2), merge.add_source(0));
        for (id, text) in [(1, "one"), (2, "two"), (3, "three")] {
            merge.push(a, id, line(1, text), 5);
        }
        assert_eq!(drain(&mut merge, 4), [""; 0]);
        merge.push(b, 1, line(1, "two"), 6);
        merge.push(b, 2, line(2, "four"), 6);
        assert_eq!(drain(&mut merge, 5), [line(1, "three")]);
        assert_eq!(merge.held(), 1);
        assert_eq!(drain(&mut merge, 6), [line(2, "four")]);
    }

    proptest! {
        /// Two controllers that each missed some of one dyno's lines, read in any interleaving.
        #[test]
        fn nothing_is_lost_doubled_or_out_of_order(
            held in prop::collection::vec((any::<bool>(), any::<bool>()), 1..60),
            reads in prop::collection::vec(any::<bool>(), 0..200),
        ) {
            let mut merge = Merge::default();
            let sources = [merge.add_source(0), merge.add_source(0)];
            let of = |which: usize| {
                held.iter()
                    .enumerate()
                    .filter(move |(_, (first, second))| [*first || !*second, *second][which])
                    .map(|(n, _)| u64::try_from(n).unwrap())
                    .collect::<VecDeque<_>>()
            };
            let mut left = [of(0), of(1)];
            let mut push = |merge: &mut Merge, which: usize| {
                if let Some(n) = left[which].pop_front() {
                    let second = u32::try_from(n).unwrap();
                    merge.push(sources[which], n + 1, line(second, "text"), 0);
                }
            };
            for first in reads {
                push(&mut merge, usize::from(!first));
            }
            for _ in 0..held.len() {
                push(&mut merge, 0);
                push(&mut merge, 1);
            }
            let passed = drain(&mut merge, 0);
            let expected: Vec<_> = (0..held.len())
                .map(|n| line(u32::try_from(n).unwrap(), "text"))
                .collect();
            prop_assert_eq!(passed, expected);
        }
    }
}
