//! How much may be asked: calls per account, and guesses at passwords.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{AccountId, Email};
use tokio::time::Instant;

/// Wrong passwords from one address, or for one account, before both must wait.
const GUESSES_PER_ADDRESS: u32 = 20;
const GUESSES_PER_ACCOUNT: u32 = 50;
const GUESS_WINDOW: Duration = Duration::from_secs(600);
/// Beyond this many keys, those with nothing to remember are forgotten.
const MAX_KEYS: usize = 10_000;

/// A bucket per account that fills up again over an hour.
#[derive(Debug)]
pub(crate) struct Requests {
    per_hour: u32,
    buckets: Mutex<HashMap<AccountId, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Requests {
    pub(crate) fn new(per_hour: u32) -> Self {
        Self {
            per_hour,
            buckets: Mutex::default(),
        }
    }

    /// Takes one; how many are left, or `None` if there was none to take.
    pub(crate) fn take(&self, account: AccountId, now: Instant) -> Option<u32> {
        let mut buckets = lock(&self.buckets);
        let full = f64::from(self.per_hour);
        let bucket = buckets.entry(account).or_insert(Bucket {
            left: full,
            at: now,
        });
        let refill = now.duration_since(bucket.at).as_secs_f64() * full / 3600.0;
        bucket.left = (bucket.left + refill).min(full);
        bucket.at = now;
        if bucket.left < 1.0 {
            return None;
        }
        bucket.left -= 1.0;
        Some(whole(bucket.left))
    }

    pub(crate) fn left(&self, account: AccountId) -> u32 {
        lock(&self.buckets)
            .get(&account)
            .map_or(self.per_hour, |bucket| whole(bucket.left))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and a u32"
)]
const fn whole(left: f64) -> u32 {
    left as u32
}

/// Counts wrong passwords.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    by_address: Mutex<HashMap<IpAddr, Window>>,
    by_account: Mutex<HashMap<Email, Window>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    count: u32,
    since: Instant,
}

impl Guesses {
    /// Whether another attempt may be made at all.
    pub(crate) fn may_try(&self, address: Option<IpAddr>, email: &Email, now: Instant) -> bool {
        address.is_none_or(|address| count(&self.by_address, &address, now) < GUESSES_PER_ADDRESS)
            && count(&self.by_account, email, now) < GUESSES_PER_ACCOUNT
    }

    pub(crate) fn was_wrong(&self, address: Option<IpAddr>, email: &Email, now: Instant) {
        if let Some(address) = address {
            add(&self.by_address, address, now);
        }
        add(&self.by_account, email.clone(), now);
    }
}

fn count<K: Hash + Eq>(windows: &Mutex<HashMap<K, Window>>, key: &K, now: Instant) -> u32 {
    let windows = lock(windows);
    windows
        .get(key)
        .filter(|window| window.is_open(now))
        .map_or(0, |window| window.count)
}

fn add<K: Hash + Eq>(windows: &Mutex<HashMap<K, Window>>, key: K, now: Instant) {
    let mut windows = lock(windows);
    if windows.len() >= MAX_KEYS {
        windows.retain(|_, window| window.is_open(now));
    }
    let window = windows.entry(key).or_insert(Window {
        count: 0,
        since: now,
    });
    if !window.is_open(now) {
        *window = Window {
            count: 0,
            since: now,
        };
    }
    window.count += 1;
}

impl Window {
    fn is_open(&self, now: Instant) -> bool {
        now.duration_since(self.since) < GUESS_WINDOW
    }
}

/// The maps are valid after every statement: a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_up_again() {
        let requests = Requests::new(3600);
        let (account, start) = (AccountId::new(), Instant::now());
        for left in (0..3600).rev() {
            assert_eq!(requests.take(account, start), Some(left));
        }
        assert_eq!(requests.take(account, start), None);
        assert_eq!(requests.take(AccountId::new(), start), Some(3599));
        assert_eq!(
            requests.take(account, start + Duration::from_secs(2)),
            Some(1)
        );
    }

    #[test]
    fn guessing_is_stopped_by_address_and_by_account_and_only_for_a_while() {
        let guesses = Guesses::default();
        let now = Instant::now();
        let (here, there): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let (a, b): (Email, Email) = ("a@x".parse().unwrap(), "b@x".parse().unwrap());
        for _ in 0..GUESSES_PER_ADDRESS {
            assert!(guesses.may_try(Some(here), &a, now));
            guesses.was_wrong(Some(here), &a, now);
        }
        assert!(!guesses.may_try(Some(here), &b, now));
        assert!(guesses.may_try(Some(there), &a, now));
        for _ in GUESSES_PER_ADDRESS..GUESSES_PER_ACCOUNT {
            guesses.was_wrong(None, &a, now);
        }
        assert!(!guesses.may_try(Some(there), &a, now));
        assert!(guesses.may_try(Some(there), &b, now));
        assert!(guesses.may_try(Some(here), &a, now + GUESS_WINDOW));
    }
}
