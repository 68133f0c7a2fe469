//! Everything that is done through the API is on record before it is done, and how it went soon after.
//!
//! Whoever wants to do something waits until the audit log has it; those who want to at the same time share a block. Where
//! the log cannot be written, nothing is done.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, RawPathParams};
use axum::http::{Extensions, HeaderMap};
use controller_api::host_listener::Peer;
use model::audit::{AuditRecord, Deed, DeedApp, DeedEnd};
use model::{Account, Timestamp, TokenId};
use serde_json::Value;
use store::{Store, StoreError, audit};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::auth::Session;
use crate::context::actor;
use crate::guard::AppAccess;

/// Records that wait for their turn.
const QUEUE: usize = 1024;
/// Of one block.
const MOST: usize = 256;
/// How long ends of deeds wait for company.
const GATHER: Duration = Duration::from_secs(1);
/// Ends that are kept for a store that takes nothing.
const MOST_ENDS: usize = 4096;
const WITHIN: Duration = Duration::from_secs(10);
const MAX_TEXT: usize = 100;
const MAX_NAMES: usize = 30;

/// Where records are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    begun: mpsc::Sender<Waiting>,
    ended: mpsc::Sender<DeedEnd>,
}

#[derive(Debug)]
struct Waiting {
    deed: Deed,
    told: oneshot::Sender<bool>,
}

/// What has been handed in, and is to be written.
#[derive(Debug)]
pub(crate) struct Pending {
    begun: mpsc::Receiver<Waiting>,
    ended: mpsc::Receiver<DeedEnd>,
}

tokio::task_local! {
    /// What the request that is under way asks for.
    static DETAILS: RefCell<Details>;
}

#[derive(Debug, Default)]
struct Details {
    text: String,
    /// The names themselves are what the user made up, and no value may be told whatever its name.
    is_of_secrets: bool,
}

/// The log has not taken it, so it must not be done.
#[derive(Debug, thiserror::Error)]
#[error("the audit log could not be written")]
pub(crate) struct NotOnRecord;

impl Audit {
    pub(crate) fn new() -> (Self, Pending) {
        let ((begin, begun), (end, ended)) = (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
        let audit = Self {
            begun: begin,
            ended: end,
        };
        (audit, Pending { begun, ended })
    }

    /// Returns when the deed is on record.
    pub(crate) async fn begin(&self, deed: Deed) -> Result<(), NotOnRecord> {
        let (told, heard) = oneshot::channel();
        let hand_in = async {
            self.begun.send(Waiting { deed, told }).await.ok()?;
            heard.await.ok()
        };
        match timeout(WITHIN, hand_in).await {
            Ok(Some(true)) => Ok(()),
            _ => Err(NotOnRecord),
        }
    }

    /// On record a little later, unless the controller is killed before.
    pub(crate) fn end(&self, end: DeedEnd) {
        if self.ended.try_send(end).is_err() {
            warn!("The audit log is behind: how a request went is not on record");
        }
    }

    /// Does it, once it is on record.
    pub(crate) async fn of<T>(
        &self,
        deed: Deed,
        act: impl Future<Output = T>,
        status: impl FnOnce(&T) -> u16,
    ) -> Result<T, NotOnRecord> {
        let id = deed.id;
        let details = Details {
            text: String::new(),
            is_of_secrets: deed.what.contains("config-vars"),
        };
        self.begin(deed).await?;
        DETAILS
            .scope(RefCell::new(details), async {
                let done = act.await;
                self.end(DeedEnd {
                    id,
                    at: Timestamp::now(),
                    status: status(&done),
                    details: DETAILS.with(RefCell::take).text,
                });
                Ok(done)
            })
            .await
    }
}

/// Writes what is handed in, and once more what there is when the controller leaves.
pub(crate) async fn run(store: Arc<dyn Store>, mut pending: Pending, leaving: CancellationToken) {
    let mut ends: Vec<DeedEnd> = Vec::new();
    loop {
        let mut waiting = Vec::new();
        let gather = async {
            match ends.is_empty() {
                true => std::future::pending().await,
                false => tokio::time::sleep(GATHER).await,
            }
        };
        let is_last = tokio::select! {
            count = pending.begun.recv_many(&mut waiting, MOST) => count == 0,
            Some(end) = pending.ended.recv(), if ends.len() < MOST_ENDS => {
                ends.push(end);
                if ends.len() < MOST {
                    continue;
                }
                false
            }
            () = gather => false,
            () = leaving.cancelled() => true,
        };
        while ends.len() < MOST
            && let Ok(end) = pending.ended.try_recv()
        {
            ends.push(end);
        }
        let written = ends.len().min(MOST);
        let begun = waiting.iter().map(|waiting| waiting.deed.clone());
        let ended = ends[..written].iter().cloned();
        let records: Vec<_> = ended
            .map(AuditRecord::Ended)
            .chain(begun.map(AuditRecord::Begun))
            .collect();
        let appended = match records.is_empty() {
            true => Ok(()),
            false => append(&*store, &records).await,
        };
        if let Err(error) = &appended {
            warn!(
                error = error as &dyn std::error::Error,
                "Could not write the audit log"
            );
        } else {
            ends.drain(..written);
        }
        for waiting in waiting {
            // Who has stopped waiting does nothing.
            let _ = waiting.told.send(appended.is_ok());
        }
        if is_last {
            return;
        }
    }
}

async fn append(store: &dyn Store, records: &[AuditRecord]) -> Result<(), StoreError> {
    match audit::append(store, records).await {
        // It may be there all the same.
        Err(error) if error.is_retryable() => audit::append(store, records).await,
        appended => appended,
    }
}

/// Of a request that was let in.
pub(crate) fn deed(
    session: &Session,
    access: Option<&AppAccess>,
    from: Option<IpAddr>,
    what: String,
    params: &RawPathParams,
) -> Deed {
    let parameters: BTreeMap<String, String> = params
        .iter()
        .map(|(name, value)| (name.to_owned(), shown(value)))
        .collect();
    Deed {
        id: Uuid::now_v7(),
        at: Timestamp::now(),
        actor: actor(&session.account),
        token: Some(session.token.value.id),
        from,
        what,
        parameters,
        app: access.map(|access| DeedApp {
            id: access.app.value.id,
            name: access.app.value.name.clone(),
        }),
    }
}

/// Of somebody who logs in, or makes a token by another.
pub(crate) fn login(account: &Account, token: Option<TokenId>, from: Option<IpAddr>) -> Deed {
    Deed {
        id: Uuid::now_v7(),
        at: Timestamp::now(),
        actor: actor(account),
        token,
        from,
        what: "POST /oauth/authorizations".to_owned(),
        parameters: BTreeMap::new(),
        app: None,
    }
}

/// A URL may hold a password.
fn shown(value: &str) -> String {
    match value.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{}://{}…", cut(scheme), cut(host))
        }
        None => cut(value),
    }
}

fn cut(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_TEXT)
        .collect()
}

/// Fields whose values are names of things, and no secrets.
const TOLD: [&str; 18] = [
    "app",
    "build_stack",
    "description",
    "enabled",
    "hostname",
    "maintenance",
    "name",
    "new_owner",
    "owner",
    "permissions",
    "pipeline",
    "quantity",
    "recipient",
    "release",
    "size",
    "stage",
    "state",
    "user",
];

/// What the request that is under way asks for: the names of the fields of its body, and what may be told of their values.
pub(crate) fn note(body: &[u8]) {
    let _ = DETAILS.try_with(|details| {
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
            return;
        };
        let mut details = details.borrow_mut();
        let is_told = |name: &str| !details.is_of_secrets && TOLD.contains(&name);
        let told = fields.iter().take(MAX_NAMES).map(|(name, value)| {
            match is_told(name).then(|| text_of(value)).flatten() {
                Some(value) => format!("{}={}", cut(name), shown(&value)),
                None => cut(name),
            }
        });
        details.text = told.collect::<Vec<_>>().join(", ");
    });
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Object(thing) => ["name", "id", "email"]
            .iter()
            .find_map(|field| thing.get(*field)?.as_str())
            .map(str::to_owned),
        _ => None,
    }
}

/// Who is at the other end: behind a router, the address it saw, which it put last.
pub(crate) fn caller(extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
    let forwarded = headers
        .get_all("x-forwarded-for")
        .iter()
        .next_back()
        .and_then(|value| value.to_str().ok());
    let forwarded = forwarded
        .and_then(|list| list.rsplit(',').next())
        .and_then(|last| last.trim().parse().ok());
    forwarded.or_else(|| {
        extensions
            .get::<ConnectInfo<Peer>>()
            .map(|ConnectInfo(peer)| peer.addr.ip())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn noted(body: Value, is_of_secrets: bool) -> String {
        let noting = async {
            note(body.to_string().as_bytes());
            DETAILS.with(RefCell::take).text
        };
        let details = Details {
            text: String::new(),
            is_of_secrets,
        };
        DETAILS.scope(RefCell::new(details), noting).await
    }

    #[tokio::test]
    async fn names_are_told_and_secrets_are_not() {
        for (body, told) in [
            (json!({"SECRET": "hunter2", "B": null}), "B, SECRET"),
            (json!({"name": "ticks", "stack": "x"}), "name=ticks, stack"),
            (
                json!({"app": {"id": "1"}, "stage": "staging"}),
                "app=1, stage=staging",
            ),
            (
                json!({"private_key": "-----BEGIN", "quantity": 3}),
                "private_key, quantity=3",
            ),
            (json!({"url": "https://u:p@h/x"}), "url"),
            (json!({}), ""),
        ] {
            assert_eq!(noted(body, false).await, told);
        }
    }

    #[tokio::test]
    async fn a_config_var_that_is_called_like_a_field_is_still_a_secret() {
        let body = json!({"name": "hunter2", "state": "hunter3"});
        assert_eq!(noted(body, true).await, "name, state");
    }

    #[test]
    fn a_url_is_told_without_who_may_use_it() {
        assert_eq!(
            shown("syslog+tls://u:p@logs.example.com:1/x?y"),
            "syslog+tls://logs.example.com:1…"
        );
        assert_eq!(shown("www.example.com"), "www.example.com");
    }
}
