//! Records as they go over the wire. Pure: what a view needs is handed to it.

pub(crate) mod account;
pub(crate) mod addon;
pub(crate) mod app;
pub(crate) mod app_setup;
pub(crate) mod audit;
pub(crate) mod build;
pub(crate) mod certificate;
pub(crate) mod collaborator;
pub(crate) mod domain;
pub(crate) mod dyno;
pub(crate) mod formation;
pub(crate) mod log_drain;
pub(crate) mod node;
pub(crate) mod pipeline;
pub(crate) mod platform;
pub(crate) mod platform_status;
pub(crate) mod release;
pub(crate) mod review_app;
pub(crate) mod router;
pub(crate) mod routing;
pub(crate) mod team;
pub(crate) mod webhook;

use controller_api::wire::{AppRef, Named, UserRef};
use model::{Actor, App};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

pub(crate) fn app_ref(app: &App) -> AppRef {
    AppRef {
        id: app.id,
        name: app.name.clone(),
    }
}

pub(crate) fn user_ref(actor: &Actor) -> UserRef {
    UserRef {
        id: actor.account,
        email: actor.email.clone(),
    }
}

/// A thing that is known by its name; its id is made from kind and name, so it is the same everywhere and for ever.
pub(crate) fn named(kind: &str, name: &str) -> Named {
    Named {
        id: id_of(kind, name),
        name: name.to_owned(),
    }
}

pub(crate) fn id_of(kind: &str, name: &str) -> Uuid {
    let hash = Sha256::new()
        .chain_update(kind)
        .chain_update([0])
        .chain_update(name)
        .finalize();
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Heroku's word for what this platform is; clients of later ones behave differently.
pub(crate) const GENERATION: &str = "cedar";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_names_are_lasting_and_apart() {
        assert_eq!(id_of("stack", "heroku-24"), id_of("stack", "heroku-24"));
        assert_ne!(id_of("stack", "heroku-24"), id_of("region", "heroku-24"));
        assert_ne!(id_of("a", "bc"), id_of("ab", "c"));
    }
}
