//! What handlers and actions work with: built once, shared by all requests.

use std::net::SocketAddr;
use std::sync::Arc;

use model::log::{LogLine, LogSource};
use model::{Account, Actor, AppId, Timestamp};
use store::blob::BlobStore;
use store::{Keyring, Store};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::addons::Addons;
use crate::attach::Meetings;
use crate::audit::Audit;
use crate::auth::Passwords;
use crate::builders::Builders;
use crate::config::Config;
use crate::drains::Drains;
use crate::limits::{Guesses, Requests};
use crate::logs::{Batches, LogStore, Peers};
use crate::notice::Notice;
use crate::oidc::Provider;
use crate::routers::Routers;
use crate::terminals::Terminals;

pub(crate) type Ctx = Arc<Context>;

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keyring: Keyring,
    pub(crate) blobs: BlobStore,
    pub(crate) logs: LogStore,
    pub(crate) batches: Batches,
    pub(crate) drains: Drains,
    /// Where this controller is on record.
    pub(crate) addr: SocketAddr,
    pub(crate) peers: Peers,
    pub(crate) routers: Routers,
    pub(crate) meetings: Meetings,
    pub(crate) passwords: Passwords,
    pub(crate) guesses: Guesses,
    pub(crate) addons: Addons,
    pub(crate) audit: Audit,
    pub(crate) requests: Requests,
    pub(crate) notice: Notice,
    /// Places for sources on their way to this disk.
    pub(crate) uploads: Semaphore,
    pub(crate) builders: Builders,
    pub(crate) provider: Option<Provider>,
    pub(crate) terminals: Arc<Terminals>,
    /// Streams end when it fires.
    pub(crate) shutdown: CancellationToken,
}

impl Context {
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Tells an app's log what was done through the API: `app[api]: Scaled to web@2:Standard-1X by user a@b.c`.
    pub(crate) async fn tell(&self, app: AppId, actor: &Actor, text: &str) {
        let line = LogLine {
            app,
            at: Timestamp::now(),
            source: LogSource::App,
            process: "api".to_owned(),
            text: format!("{text} by user {}", actor.email),
        };
        self.drains.offer_own(line.clone());
        if let Err(error) = self.logs.append(app, vec![line]).await {
            warn!(error = &error as &dyn std::error::Error, app.id = %app, "Could not write to the app's log");
        }
    }
}

pub(crate) fn actor(account: &Account) -> Actor {
    Actor {
        account: account.id,
        email: account.email.clone(),
    }
}
