//! How much each client may ask of an app: a bucket per address, for all workers, in bounded memory.
//!
//! The generic cell rate algorithm: of each address one point in time is kept, up to which its requests are paid for.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::ClientLimit;

const SHARDS: usize = 64;
/// Addresses that are kept. Who is not among them while all of these are busy is let through: a flood from more
/// addresses than that is none that a limit per address could hold.
const MAX_ADDRESSES: usize = 128 * 1024;
/// A shard looks for addresses that owe nothing when it has grown to twice what it last kept, and not before this.
const FEW: usize = 32;

#[derive(Debug)]
pub(crate) struct Limiter {
    limit: ClientLimit,
    /// What one request costs, and how far ahead of time a client may be.
    cost: Duration,
    ahead: Duration,
    began: Instant,
    hashing: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug, Default)]
struct Shard {
    clients: HashMap<u128, Owed>,
    tidy_at: usize,
}

/// Since the limiter began.
#[derive(Debug, Clone, Copy, Default)]
struct Owed {
    paid_until: Duration,
    blocked_until: Duration,
    /// Whether it was refused and has not been let through since.
    is_refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Refuse {
        /// Until it may come again.
        wait: Duration,
        /// Whether it is refused for the first time since it was let through: once is enough to be told of.
        is_first: bool,
    },
}

impl Limiter {
    /// Of a limit as the controller lets it be set: neither none per second nor one for ever.
    pub(crate) fn new(limit: ClientLimit) -> Self {
        let cost = Duration::from_secs(limit.per_seconds.max(1).into()) / limit.requests.max(1);
        let burst = limit.burst.unwrap_or(limit.requests).max(1);
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self {
            limit,
            cost,
            ahead: cost * (burst - 1),
            began: Instant::now(),
            hashing: RandomState::new(),
            shards,
        }
    }

    pub(crate) const fn limit(&self) -> &ClientLimit {
        &self.limit
    }

    /// Counts a request of the client.
    pub(crate) fn ask(&self, client: IpAddr, now: Instant) -> Verdict {
        let now = now.saturating_duration_since(self.began);
        let key = key(client);
        let shard = &self.shards[self.hashing.hash_one(key) as usize % SHARDS];
        // It holds numbers; a panic elsewhere has not spoiled them.
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if !shard.has_room_for(key, now) {
            return Verdict::Pass;
        }
        let owed = shard.clients.entry(key).or_default();
        if owed.blocked_until > now {
            return Verdict::Refuse {
                wait: owed.blocked_until - now,
                is_first: false,
            };
        }
        let paid_until = owed.paid_until.max(now);
        let Some(wait) = (paid_until - now)
            .checked_sub(self.ahead)
            .filter(|wait| !wait.is_zero())
        else {
            owed.paid_until = paid_until + self.cost;
            owed.is_refused = false;
            return Verdict::Pass;
        };
        let is_first = !std::mem::replace(&mut owed.is_refused, true);
        let block = Duration::from_secs(self.limit.block_seconds.into());
        if !block.is_zero() {
            owed.blocked_until = now + block;
        }
        Verdict::Refuse {
            wait: wait.max(block),
            is_first,
        }
    }
}

impl Shard {
    fn has_room_for(&mut self, key: u128, now: Duration) -> bool {
        const MOST: usize = MAX_ADDRESSES / SHARDS;
        if self.clients.len() < self.tidy_at.max(FEW) || self.clients.contains_key(&key) {
            return true;
        }
        self.clients
            .retain(|_, owed| owed.paid_until > now || owed.blocked_until > now);
        self.clients.shrink_to(self.clients.len() * 2);
        self.tidy_at = (self.clients.len() * 2).min(MOST);
        self.clients.len() < MOST
    }
}

/// Whoever has one address of an IPv6 network of 64 bits has them all.
fn key(client: IpAddr) -> u128 {
    match client.to_canonical() {
        // Nobody has an address of `::/64`.
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limiter(requests: u32, per_seconds: u32, burst: Option<u32>, block_seconds: u32) -> Limiter {
        Limiter::new(ClientLimit {
            requests,
            per_seconds,
            burst,
            block_seconds,
        })
    }

    fn passes(limiter: &Limiter, client: &str, at: Duration) -> bool {
        let now = limiter.began + at;
        limiter.ask(client.parse().unwrap(), now) == Verdict::Pass
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_client_may_ask_in_a_burst_and_then_at_the_rate() {
        let limiter = limiter(60, 60, Some(3), 0);
        let passed: Vec<bool> = [0.0, 0.0, 0.0, 0.0, 0.5, 1.1, 1.2, 2.1]
            .map(|at| passes(&limiter, "192.0.2.1", seconds(at)))
            .into();
        assert_eq!(passed, [true, true, true, false, false, true, false, true]);
        assert!(
            passes(&limiter, "192.0.2.2", seconds(2.2)),
            "another's limit is its own"
        );
    }

    #[test]
    fn who_goes_beyond_is_shut_out_for_as_long_as_is_set() {
        let limiter = limiter(1, 1, None, 10);
        let client = "2001:db8::1";
        assert!(passes(&limiter, client, seconds(0.0)));
        let refused = limiter.ask(client.parse().unwrap(), limiter.began);
        let wait = Duration::from_secs(10);
        assert_eq!(
            refused,
            Verdict::Refuse {
                wait,
                is_first: true
            }
        );
        let again = limiter.ask("2001:db8::2".parse().unwrap(), limiter.began + seconds(4.0));
        let wait = Duration::from_secs(6);
        assert_eq!(
            again,
            Verdict::Refuse {
                wait,
                is_first: false
            },
            "a neighbour of its network"
        );
        assert!(!passes(&limiter, client, seconds(9.9)));
        assert!(passes(&limiter, client, seconds(10.1)));
    }

    #[test]
    fn an_address_has_the_same_bucket_however_it_is_written() {
        let limiter = limiter(1, 100, None, 0);
        assert!(passes(&limiter, "192.0.2.1", seconds(0.0)));
        assert!(!passes(&limiter, "::ffff:192.0.2.1", seconds(0.0)));
    }

    #[test]
    fn no_flood_of_addresses_takes_more_memory_than_there_is_for_them() {
        let limiter = limiter(1, 1000, None, 0);
        let address = |index: u32| IpAddr::from((0x0a00_0000 + index).to_be_bytes());
        for index in 0..2 * MAX_ADDRESSES as u32 {
            let _ = limiter.ask(address(index), limiter.began);
        }
        let kept = || {
            let shards = limiter.shards.iter();
            shards
                .map(|shard| shard.lock().unwrap().clients.len())
                .sum::<usize>()
        };
        assert!(kept() <= MAX_ADDRESSES, "{}", kept());
        // A while later they owe nothing, and make room.
        let later = limiter.began + Duration::from_secs(2000);
        for index in 0..10_000 {
            let _ = limiter.ask(address(3_000_000 + index), later);
        }
        assert!(kept() < 40_000, "{}", kept());
    }

    proptest! {
        #[test]
        fn no_client_gets_more_than_burst_and_rate_allow(
            requests in 1u32..50, per_seconds in 1u32..50, burst in 1u32..20,
            gaps in prop::collection::vec(0u64..2000, 1..200),
        ) {
            let limiter = limiter(requests, per_seconds, Some(burst), 0);
            let (mut at, mut passed) = (Duration::ZERO, 0u32);
            for gap in gaps {
                at += Duration::from_millis(gap);
                passed += u32::from(passes(&limiter, "192.0.2.1", at));
            }
            let earned = at.as_secs_f64() * f64::from(requests) / f64::from(per_seconds);
            prop_assert!(f64::from(passed) <= f64::from(burst) + earned + 1e-6);
        }
    }
}
