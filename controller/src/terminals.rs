//! Terminals that wait to be logged in: each holds a connection, and strangers may begin to wait.
//!
//! A login has one that waits at this controller; another one takes its place. So whoever wants many places has to begin as
//! many logins, which are counted by network, and so are the places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::Key;
use tokio_util::sync::CancellationToken;

use crate::limits::network;

const MOST: usize = 500;
/// A company may have one address.
const MOST_OF_NETWORK: usize = 100;

#[derive(Debug, Default)]
pub(crate) struct Terminals {
    /// By login.
    waiting: Mutex<HashMap<Key, Place>>,
}

#[derive(Debug)]
struct Place {
    network: Option<IpAddr>,
    displaced: CancellationToken,
}

/// A terminal's place, for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Turn {
    terminals: Arc<Terminals>,
    login: Key,
    /// Fires when another one waits for the same login.
    pub(crate) displaced: CancellationToken,
}

impl Terminals {
    /// `None`: there is no place left, or none for this network.
    pub(crate) fn wait(self: &Arc<Self>, login: &Key, from: Option<IpAddr>) -> Option<Turn> {
        let network = from.map(network);
        let mut waiting = self.lock();
        let others = waiting.iter().filter(|(of, _)| *of != login);
        let neighbours = others.clone().filter(|(_, place)| place.network == network);
        if others.clone().count() >= MOST || neighbours.count() >= MOST_OF_NETWORK {
            return None;
        }
        let displaced = CancellationToken::new();
        let place = Place {
            network,
            displaced: displaced.clone(),
        };
        if let Some(before) = waiting.insert(login.clone(), place) {
            before.displaced.cancel();
        }
        Some(Turn {
            terminals: self.clone(),
            login: login.clone(),
            displaced,
        })
    }

    /// The map is valid after every statement.
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Place>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // The place of one that was displaced is another's.
        if !self.displaced.is_cancelled() {
            self.terminals.lock().remove(&self.login);
        }
    }
}

#[cfg(test)]
mod tests {
    use store::key;

    use super::*;
    use crate::auth;

    fn login(number: usize) -> Key {
        key::browser_login(&auth::token_hash(&number.to_string()))
    }

    #[test]
    fn one_waits_for_a_login_and_the_newest_it_is() {
        let terminals = Arc::new(Terminals::default());
        let first = terminals.wait(&login(1), None).unwrap();
        let second = terminals.wait(&login(1), None).unwrap();
        assert!(first.displaced.is_cancelled() && !second.displaced.is_cancelled());
        drop(first);
        assert_eq!(terminals.lock().len(), 1);
        drop(second);
        assert!(terminals.lock().is_empty());
    }

    #[test]
    fn one_network_does_not_take_all_places_and_one_login_takes_one() {
        let terminals = Arc::new(Terminals::default());
        let from = |address: &str| Some(address.parse().unwrap());
        let mut kept = Vec::new();
        for _ in 0..2 * MOST {
            kept.push(terminals.wait(&login(0), from("10.6.6.6")).unwrap());
        }
        assert_eq!(terminals.lock().len(), 1);
        for number in 1..MOST_OF_NETWORK {
            kept.push(terminals.wait(&login(number), from("10.6.6.6")).unwrap());
        }
        let more = login(MOST_OF_NETWORK);
        assert!(terminals.wait(&more, from("10.6.6.6")).is_none());
        assert!(terminals.wait(&more, from("10.0.0.1")).is_some());
        // Whoever has a place may ask again.
        assert!(terminals.wait(&login(0), from("10.6.6.6")).is_some());
    }
}
