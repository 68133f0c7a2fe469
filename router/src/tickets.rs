//! Session tickets: a client that was here a while ago need not shake hands at length again, whichever worker or router it
//! comes to, and after a restart too.
//!
//! Their keys come from the store, where a controller makes new ones and forgets old ones: nobody can open yesterday's
//! recorded sessions with what is found today. Until they are known, this process seals with one of its own.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use model::TicketKey;
use model::certificate::TICKETS_LAST;
use rustls::server::ProducesTickets;

const NAME: usize = 16;
const NONCE: usize = 24;

/// Shared by all that shake hands.
#[derive(Debug)]
pub(crate) struct Tickets {
    keys: ArcSwap<Vec<Key>>,
    own: Key,
}

struct Key {
    name: [u8; NAME],
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key([redacted])")
    }
}

impl Tickets {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            keys: ArcSwap::default(),
            own: Key {
                name: rand::random(),
                cipher: XChaCha20Poly1305::new(&rand::random::<[u8; 32]>().into()),
            },
        })
    }

    /// The platform's keys, newest first; one that is none is left out.
    pub(crate) fn set(&self, keys: &[TicketKey]) {
        self.keys
            .store(Arc::new(keys.iter().filter_map(Key::read).collect()));
    }
}

impl Key {
    fn read(key: &TicketKey) -> Option<Self> {
        let (mut name, mut bytes) = ([0; NAME], [0; 32]);
        hex::decode_to_slice(&key.name, &mut name).ok()?;
        hex::decode_to_slice(key.key.expose(), &mut bytes).ok()?;
        Some(Self {
            name,
            cipher: XChaCha20Poly1305::new(&bytes.into()),
        })
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload {
            msg: plain,
            aad: &self.name,
        };
        let sealed = self.cipher.encrypt(XNonce::from_slice(&nonce), payload);
        Some([self.name.as_slice(), &nonce, &sealed.ok()?].concat())
    }

    fn open(&self, nonce: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let payload = Payload {
            msg: sealed,
            aad: &self.name,
        };
        self.cipher.decrypt(XNonce::from_slice(nonce), payload).ok()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(TICKETS_LAST.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.load();
        keys.first().unwrap_or(&self.own).seal(plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE)?;
        let keys = self.keys.load();
        let mut known = keys.iter().chain([&self.own]);
        known
            .find(|key| key.name == name)
            .and_then(|key| key.open(nonce, sealed))
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    fn key(byte: u8) -> TicketKey {
        TicketKey {
            name: hex::encode([byte; NAME]),
            key: hex::encode([byte; 32]).into(),
            made_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_ticket_of_one_router_opens_at_another_with_the_same_keys() {
        let (one, two) = (Tickets::new(), Tickets::new());
        one.set(&[key(1)]);
        two.set(&[key(2), key(1)]);
        let ticket = one.encrypt(b"session").unwrap();
        assert_eq!(two.decrypt(&ticket).unwrap(), b"session");
        two.set(&[key(3), key(2)]);
        assert!(two.decrypt(&ticket).is_none(), "its key was forgotten");
    }

    #[test]
    fn before_there_are_keys_a_process_opens_its_own_and_still_does_after() {
        let (one, two) = (Tickets::new(), Tickets::new());
        let ticket = one.encrypt(b"session").unwrap();
        assert!(two.decrypt(&ticket).is_none());
        one.set(&[key(1)]);
        assert_eq!(one.decrypt(&ticket).unwrap(), b"session");
    }

    #[test]
    fn what_was_tampered_with_opens_nothing() {
        let tickets = Tickets::new();
        let ticket = tickets.encrypt(b"session").unwrap();
        for index in 0..ticket.len() {
            let mut other = ticket.clone();
            other[index] ^= 1;
            assert!(tickets.decrypt(&other).is_none(), "byte {index}");
            assert!(tickets.decrypt(&ticket[..index]).is_none());
        }
    }

    #[test]
    fn keys_that_are_none_are_left_out() {
        let tickets = Tickets::new();
        let bad = TicketKey {
            name: "xyz".to_owned(),
            ..key(1)
        };
        tickets.set(&[bad, key(2)]);
        let ticket = tickets.encrypt(b"session").unwrap();
        assert_eq!(ticket[..NAME], [2; NAME]);
    }
}
