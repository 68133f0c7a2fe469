//! How long things took, in a fixed number of buckets.

use std::time::Duration;

use super::counter::Counter;

/// Upper bounds, in microseconds. From a cached answer on the same host to Heroku's time-outs and beyond.
pub(crate) const BOUNDS: [u32; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];
/// The last takes what is longer than all bounds.
const BUCKETS: usize = BOUNDS.len() + 1;

/// One worker's.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_micros: Counter,
}

impl Histogram {
    pub(crate) fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| u64::from(*bound) < micros);
        self.buckets[bucket].one();
        self.sum_micros.add(micros);
    }

    pub(crate) fn read(&self) -> Durations {
        Durations {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].get()),
            sum_micros: self.sum_micros.get(),
        }
    }
}

/// What was observed, added up over workers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Durations {
    buckets: [u64; BUCKETS],
    sum_micros: u64,
}

impl Durations {
    pub(crate) fn add(&mut self, other: &Self) {
        for (bucket, more) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket = bucket.wrapping_add(more);
        }
        self.sum_micros = self.sum_micros.wrapping_add(other.sum_micros);
    }

    /// What has come since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            buckets: std::array::from_fn(|bucket| {
                self.buckets[bucket].saturating_sub(before.buckets[bucket])
            }),
            sum_micros: self.sum_micros.saturating_sub(before.sum_micros),
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(crate) fn sum_seconds(&self) -> f64 {
        self.sum_micros as f64 / 1e6
    }

    /// Upper bound in seconds and count of each bucket, each for itself.
    pub(crate) fn buckets(&self) -> [(f64, u64); BUCKETS] {
        std::array::from_fn(|bucket| {
            let bound = BOUNDS.get(bucket);
            let seconds = bound.map_or(f64::INFINITY, |micros| f64::from(*micros) / 1e6);
            (seconds, self.buckets[bucket])
        })
    }

    /// The duration that `share` (0 to 1) of all stayed below, as if those of a bucket were spread over it evenly. `None`:
    /// nothing was observed.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = share * count as f64;
        let (mut below, mut lower) = (0.0, 0.0);
        for (bucket, here) in self.buckets.iter().enumerate() {
            // Of what is longer than all bounds no more is known.
            let upper = BOUNDS.get(bucket).copied().map_or(lower, f64::from);
            let here = *here as f64;
            if here > 0.0 && below + here >= wanted {
                let micros = lower + (upper - lower) * ((wanted - below) / here).clamp(0.0, 1.0);
                return Some(Duration::from_micros(micros as u64));
            }
            below += here;
            lower = upper;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: &[u64]) -> Durations {
        let histogram = Histogram::default();
        for millis in millis {
            histogram.observe(Duration::from_millis(*millis));
        }
        histogram.read()
    }

    #[test]
    fn a_duration_on_a_bound_belongs_to_that_bucket_and_a_longer_one_to_the_next() {
        let read = of(&[1, 2, 3, 120_000]);
        let filled: Vec<_> = read.buckets().into_iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(
            filled,
            [(0.001, 1), (0.0025, 1), (0.005, 1), (f64::INFINITY, 1)]
        );
        assert_eq!((read.count(), read.sum_seconds()), (4, 120.006));
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let mut many = vec![20; 99];
        many.push(7_000);
        let read = of(&many);
        let p50 = read.quantile(0.5).unwrap();
        assert!((10..=25).contains(&p50.as_millis()), "{p50:?}");
        let p999 = read.quantile(0.999).unwrap();
        assert!((5_000..=10_000).contains(&p999.as_millis()), "{p999:?}");
        assert_eq!(of(&[]).quantile(0.5), None);
        assert_eq!(of(&[90_000]).quantile(0.5), Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_was_before_is_taken_off() {
        let (before, mut after) = (of(&[5]), of(&[5]));
        after.add(&of(&[700, 800]));
        assert_eq!(after.since(&before), of(&[700, 800]));
    }
}
