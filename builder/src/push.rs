//! Pushes under way: how the hook's call finds the push it belongs to, and who may still stop it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Actor, AppId, AppName, TokenId};
use rand::RngCore as _;
use tokio_util::sync::CancellationToken;

/// All pushes of this builder that have a git process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pushes {
    /// By their secret. Guards the map for single look-ups only.
    running: Arc<Mutex<HashMap<String, Push>>>,
}

/// One push; clones are the same push.
#[derive(Debug, Clone)]
pub(crate) struct Push(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    secret: String,
    app: AppId,
    app_name: AppName,
    actor: Actor,
    origin: Origin,
    /// Guards a few words; decides between a client that leaves and a release that begins.
    phase: Mutex<Phase>,
    cancelled: CancellationToken,
    /// Fires when git has ended, and with it whatever the push did to the repository.
    finished: CancellationToken,
}

/// From where a push came, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Origin {
    pub(crate) from: Option<IpAddr>,
    /// That it was let in by.
    pub(crate) token: Option<TokenId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client decides: when it goes, all ends.
    Building,
    /// The release is being made or proven; it goes on without the client.
    Releasing,
    Cancelled,
}

/// Takes the push off the list when dropped.
#[derive(Debug)]
pub(crate) struct Registered {
    pushes: Pushes,
    push: Push,
}

impl Pushes {
    pub(crate) fn begin(
        &self,
        app: AppId,
        app_name: AppName,
        actor: Actor,
        origin: Origin,
    ) -> Registered {
        let mut secret = [0u8; 16];
        rand::rng().fill_bytes(&mut secret);
        let push = Push(Arc::new(Inner {
            secret: hex::encode(secret),
            app,
            app_name,
            actor,
            origin,
            phase: Mutex::new(Phase::Building),
            cancelled: CancellationToken::new(),
            finished: CancellationToken::new(),
        }));
        lock(&self.running).insert(push.0.secret.clone(), push.clone());
        Registered {
            pushes: self.clone(),
            push,
        }
    }

    pub(crate) fn find(&self, secret: &str) -> Option<Push> {
        lock(&self.running).get(secret).cloned()
    }
}

impl Registered {
    pub(crate) const fn push(&self) -> &Push {
        &self.push
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        lock(&self.pushes.running).remove(&self.push.0.secret);
        // Without its git process a push can have no effect any more.
        self.push.client_gone();
        self.push.0.finished.cancel();
    }
}

impl Push {
    pub(crate) fn secret(&self) -> &str {
        &self.0.secret
    }

    pub(crate) fn app(&self) -> AppId {
        self.0.app
    }

    pub(crate) fn app_name(&self) -> &AppName {
        &self.0.app_name
    }

    pub(crate) fn actor(&self) -> &Actor {
        &self.0.actor
    }

    pub(crate) fn origin(&self) -> Origin {
        self.0.origin
    }

    /// The client left. `true`: everything is to end now; `false`: the push is releasing and goes on.
    pub(crate) fn client_gone(&self) -> bool {
        let mut phase = lock(&self.0.phase);
        if *phase == Phase::Releasing {
            return false;
        }
        *phase = Phase::Cancelled;
        self.0.cancelled.cancel();
        true
    }

    /// The point of no return; `false` if the client has left already.
    pub(crate) fn begin_release(&self) -> bool {
        let mut phase = lock(&self.0.phase);
        let open = *phase != Phase::Cancelled;
        if open {
            *phase = Phase::Releasing;
        }
        open
    }

    /// Fires when git has ended.
    pub(crate) fn finished(&self) -> &CancellationToken {
        &self.0.finished
    }

    /// Fires when the push is to end before it releases.
    pub(crate) fn cancelled(&self) -> &CancellationToken {
        &self.0.cancelled
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use model::{AccountId, AppId};

    use super::*;

    fn push(pushes: &Pushes) -> Registered {
        let actor = Actor {
            account: AccountId::new(),
            email: "a@example.com".parse().unwrap(),
        };
        pushes.begin(
            AppId::new(),
            "ticks".parse().unwrap(),
            actor,
            Origin::default(),
        )
    }

    #[test]
    fn a_client_that_leaves_early_cancels_and_one_that_leaves_late_does_not() {
        let pushes = Pushes::default();
        let early = push(&pushes);
        assert!(early.push().client_gone());
        assert!(early.push().cancelled().is_cancelled());
        assert!(!early.push().begin_release());

        let late = push(&pushes);
        assert!(late.push().begin_release());
        assert!(!late.push().client_gone());
        assert!(!late.push().cancelled().is_cancelled());
    }

    #[test]
    fn a_push_is_found_by_its_secret_while_it_runs() {
        let pushes = Pushes::default();
        let registered = push(&pushes);
        let secret = registered.push().secret().to_owned();
        assert!(pushes.find(&secret).is_some());
        drop(registered);
        assert!(pushes.find(&secret).is_none());
    }
}
