//! The lease of a presence, as agents and routers keep theirs.

use rand::rngs::StdRng;
use store::LeaseId;

use super::Millis;
use super::link::{Answer, Answered, Ask, DEADLINE, Link};

#[derive(Debug, Default)]
pub(super) struct Lease<const TTL: Millis> {
    held: Option<Held>,
    grant: Option<(u64, Millis)>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    id: i64,
    alive_until: Millis,
    kept_at: Millis,
}

/// What it hung on the lease is gone with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) struct Lost(pub(super) bool);

impl<const TTL: Millis> Lease<TTL> {
    pub(super) fn id(&self) -> Option<LeaseId> {
        self.held.map(|held| LeaseId(held.id))
    }

    pub(super) fn give_up(&mut self) {
        *self = Self::default();
    }

    pub(super) fn hear(&mut self, answered: &Answered) -> Lost {
        match answered.answer {
            Answer::Granted(id) if self.grant.is_some_and(|(ask, _)| ask == answered.id) => {
                self.grant = None;
                self.held = Some(Held {
                    id,
                    alive_until: answered.sent_at + TTL,
                    kept_at: answered.sent_at,
                });
            }
            Answer::KeptAlive(true) => {
                if let Some(held) = &mut self.held {
                    held.alive_until = held.alive_until.max(answered.sent_at + TTL);
                }
            }
            Answer::KeptAlive(false) => {
                self.give_up();
                return Lost(true);
            }
            _ => {}
        }
        Lost(false)
    }

    /// Asks for one, or for more time.
    pub(super) fn keep(&mut self, link: &mut Link, now: Millis, random: &mut StdRng) -> Lost {
        let mut lost = Lost(false);
        if self.grant.is_some_and(|(_, until)| now > until) {
            self.give_up();
            lost = Lost(true);
        }
        match &mut self.held {
            None if self.grant.is_none() => {
                let id = link.ask(Ask::Grant { ttl: TTL }, now, random);
                self.grant = Some((id, now + DEADLINE));
            }
            Some(held) if now >= held.alive_until => {
                self.give_up();
                lost = Lost(true);
            }
            Some(held) if now >= held.kept_at + TTL / 4 => {
                held.kept_at = now;
                link.ask(Ask::KeepAlive { lease: held.id }, now, random);
            }
            _ => {}
        }
        lost
    }
}
