//! How much may be asked: calls per account, and guesses at passwords.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{AccountId, Email};
use tokio::time::Instant;

/// Wrong passwords within [`GUESS_WINDOW`] for one account from one address: few, for they are somebody's mistakes.
const GUESSES_PER_LOGIN: u32 = 10;
/// From one address for all accounts, so that one password is not tried on everybody.
const GUESSES_PER_ADDRESS: u32 = 50;
/// For one account from all addresses: many, for whoever reaches this also keeps its owner out.
const GUESSES_PER_ACCOUNT: u32 = 200;
/// Terminals that one address may have logged in by way of a browser.
const TERMINALS_PER_ADDRESS: u32 = 60;
/// Ways to the identity provider from one address: many, for a company has one.
const DEPARTURES_PER_ADDRESS: u32 = 200;
const GUESS_WINDOW: Duration = Duration::from_secs(600);
/// No more guessers than this are remembered.
const MAX_GUESSERS: usize = 10_000;

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

/// Counts wrong passwords, and what else strangers may do so often.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    passwords: Counts<Guesser>,
    /// Apart: those who are many here are not to have others forgotten there.
    terminals: Counts<IpAddr>,
    departures: Counts<IpAddr>,
}

#[derive(Debug)]
struct Counts<K> {
    windows: Mutex<HashMap<K, Window>>,
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self {
            windows: Mutex::default(),
        }
    }
}

/// One attempt at a password.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guess<'a> {
    /// `None` where whoever tries has shown a token.
    pub(crate) address: Option<IpAddr>,
    pub(crate) email: &'a Email,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Guesser {
    Login(Option<IpAddr>, Email),
    Address(IpAddr),
    Account(Email),
}

#[derive(Debug, Clone, Copy)]
struct Window {
    count: u32,
    since: Instant,
}

impl Guesses {
    /// Counts an attempt, before the password is looked at, as if it were wrong: many at once are no way around. Or says
    /// how long to wait for the next.
    pub(crate) fn begin(&self, guess: Guess<'_>, now: Instant) -> Result<(), Duration> {
        let limit = |guesser: Guesser| (guesser.limit(), guesser);
        let guessers = guess.guessers().into_iter().map(limit).collect();
        self.passwords.count(guessers, now)
    }

    /// Each begins a record.
    pub(crate) fn begin_terminal(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let counted = vec![(TERMINALS_PER_ADDRESS, network(address))];
        self.terminals.count(counted, now)
    }

    /// Each changes a record, and may have the identity provider asked.
    pub(crate) fn begin_departure(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let counted = vec![(DEPARTURES_PER_ADDRESS, network(address))];
        self.departures.count(counted, now)
    }

    /// The attempt was no guess after all.
    pub(crate) fn was_right(&self, guess: Guess<'_>) {
        self.passwords.take_back(&guess.guessers());
    }
}

impl<K: Clone + Eq + Hash> Counts<K> {
    /// Each with its limit.
    fn count(&self, counted: Vec<(u32, K)>, now: Instant) -> Result<(), Duration> {
        let mut windows = lock(&self.windows);
        windows.retain(|_, window| window.left(now).is_some());
        let full = counted.iter().filter_map(|(limit, of)| {
            let window = windows.get(of)?;
            (window.count >= *limit).then(|| window.left(now))?
        });
        if let Some(wait) = full.max() {
            return Err(wait);
        }
        for (_, of) in counted {
            if windows.len() >= MAX_GUESSERS && !windows.contains_key(&of) {
                forget_oldest(&mut windows);
            }
            let window = windows.entry(of).or_insert(Window {
                count: 0,
                since: now,
            });
            window.count += 1;
        }
        Ok(())
    }

    fn take_back(&self, counted: &[K]) {
        let mut windows = lock(&self.windows);
        for of in counted {
            if let Some(window) = windows.get_mut(of) {
                window.count = window.count.saturating_sub(1);
            }
        }
    }
}

impl Guess<'_> {
    fn guessers(&self) -> Vec<Guesser> {
        let address = self.address.map(network);
        let mut guessers = vec![
            Guesser::Login(address, self.email.clone()),
            Guesser::Account(self.email.clone()),
        ];
        guessers.extend(address.map(Guesser::Address));
        guessers
    }
}

impl Guesser {
    const fn limit(&self) -> u32 {
        match self {
            Self::Login(..) => GUESSES_PER_LOGIN,
            Self::Address(_) => GUESSES_PER_ADDRESS,
            Self::Account(_) => GUESSES_PER_ACCOUNT,
        }
    }
}

/// An IPv6 customer has a /64 of addresses to choose from.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

fn forget_oldest<K: Clone + Eq + Hash>(windows: &mut HashMap<K, Window>) {
    let oldest = windows.iter().min_by_key(|(_, window)| window.since);
    if let Some(oldest) = oldest.map(|(of, _)| of.clone()) {
        windows.remove(&oldest);
    }
}

impl Window {
    /// How long it stays open.
    fn left(self, now: Instant) -> Option<Duration> {
        GUESS_WINDOW
            .checked_sub(now.duration_since(self.since))
            .filter(|left| !left.is_zero())
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

    fn guess<'a>(address: &str, email: &'a Email) -> Guess<'a> {
        Guess {
            address: Some(address.parse().unwrap()),
            email,
        }
    }

    fn email(text: &str) -> Email {
        text.parse().unwrap()
    }

    #[test]
    fn guessing_is_stopped_for_one_account_from_one_address_and_only_for_a_while() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let (a, b) = (email("a@x"), email("b@x"));
        for _ in 0..GUESSES_PER_LOGIN {
            guesses.begin(guess("10.0.0.1", &a), now).unwrap();
        }
        let later = now + Duration::from_secs(60);
        let wait = guesses.begin(guess("10.0.0.1", &a), later).unwrap_err();
        assert_eq!(wait, GUESS_WINDOW - Duration::from_secs(60));
        assert!(guesses.begin(guess("10.0.0.2", &a), later).is_ok());
        assert!(guesses.begin(guess("10.0.0.1", &b), later).is_ok());
        let window_over = now + GUESS_WINDOW;
        assert!(guesses.begin(guess("10.0.0.1", &a), window_over).is_ok());
    }

    #[test]
    fn neither_many_accounts_nor_many_addresses_are_a_way_around() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let victim = email("victim@x");
        let mut spray =
            (0..).map(|n| guesses.begin(guess("10.0.0.1", &email(&format!("{n}@x"))), now));
        assert_eq!(spray.position(|tried| tried.is_err()), Some(50));
        let mut spread = (0..).map(|n| guesses.begin(guess(&format!("10.1.0.{n}"), &victim), now));
        assert_eq!(spread.position(|tried| tried.is_err()), Some(200));
        let neighbours =
            |n: u32| guesses.begin(guess(&format!("2001:db8::{n:x}"), &email("c@x")), now);
        assert_eq!((0..).position(|n| neighbours(n).is_err()), Some(10));
    }

    #[test]
    fn right_passwords_do_not_count_and_what_is_remembered_is_bounded() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let a = email("a@x");
        for _ in 0..2 * GUESSES_PER_ACCOUNT {
            guesses.begin(guess("10.0.0.1", &a), now).unwrap();
            guesses.was_right(guess("10.0.0.1", &a));
        }
        for n in 0..MAX_GUESSERS {
            let (high, low) = (n / 256, n % 256);
            let email = email(&format!("{n}@x"));
            let _ = guesses.begin(guess(&format!("10.2.{high}.{low}"), &email), now);
        }
        assert_eq!(lock(&guesses.passwords.windows).len(), MAX_GUESSERS);
    }
}
