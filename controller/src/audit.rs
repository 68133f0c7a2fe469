//! Everything that is done through the API is on record before it is done, and how it went soon after.
//!
//! Whoever wants to do something waits until the audit log has it; those who want to at the same time share a block. Where
//! the log cannot be written, nothing is done.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, RawPathParams};
use axum::http::{Extensions, HeaderMap};
use controller_api::host_listener::{Peer, forwarded_for};
use model::audit::{AuditRecord, Deed, DeedApp, DeedEnd};
use model::{Account, Addon, App, Timestamp, TokenId};
use serde_json::Value;
use store::{Store, StoreError, audit};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::auth::Session;
use crate::context::actor;
use crate::guard::AppAccess;

/// Records that wait for their turn.
const QUEUE: usize = 1024;
/// Of one block, of each kind. Each record is a few kilobytes at most, so a block is well below what a commit may be.
const MOST: usize = 100;
/// How long ends of deeds wait for company.
const GATHER: Duration = Duration::from_secs(1);
/// Ends that are kept for a store that takes nothing.
const MOST_ENDS: usize = 4096;
const WITHIN: Duration = Duration::from_secs(10);
const MAX_TEXT: usize = 100;
const MAX_NAMES: usize = 30;
const MAX_DETAILS: usize = 500;
/// Things of a list that are told one by one.
const MAX_LISTED: usize = 10;

/// Where records are handed in.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    begun: mpsc::Sender<Waiting>,
    ended: mpsc::Sender<DeedEnd>,
    /// Whose turn it is to read the log.
    pub(crate) reading: Arc<Semaphore>,
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
            reading: Arc::new(Semaphore::new(1)),
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

/// Writes what is handed in, and what is left when the controller leaves.
pub(crate) async fn run(store: Arc<dyn Store>, mut pending: Pending, leaving: CancellationToken) {
    let mut ends: VecDeque<DeedEnd> = VecDeque::new();
    let mut due = None;
    loop {
        let mut waiting = Vec::new();
        let gathered = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let is_last = tokio::select! {
            count = pending.begun.recv_many(&mut waiting, MOST) => count == 0,
            Some(end) = pending.ended.recv(), if ends.len() < MOST_ENDS => {
                ends.push_back(end);
                due.get_or_insert_with(|| Instant::now() + GATHER);
                if ends.len() < MOST {
                    continue;
                }
                false
            }
            () = gathered => false,
            () = leaving.cancelled() => true,
        };
        while ends.len() < MOST_ENDS
            && let Ok(end) = pending.ended.try_recv()
        {
            ends.push_back(end);
        }
        write(&*store, waiting, &mut ends).await;
        while is_last && !ends.is_empty() {
            let left = ends.len();
            write(&*store, Vec::new(), &mut ends).await;
            if ends.len() == left {
                break;
            }
        }
        if is_last {
            return;
        }
        due = (!ends.is_empty()).then(|| Instant::now() + GATHER);
    }
}

/// A block of what waits. Ends that cannot be written hold up nobody who wants to begin.
async fn write(store: &dyn Store, waiting: Vec<Waiting>, ends: &mut VecDeque<DeedEnd>) {
    let some = ends.len().min(MOST);
    let ended = ends.iter().take(some).cloned().map(AuditRecord::Ended);
    let begun: Vec<_> = waiting
        .iter()
        .map(|waiting| AuditRecord::Begun(waiting.deed.clone()))
        .collect();
    let all: Vec<_> = ended.chain(begun.iter().cloned()).collect();
    let appended = match append(store, &all).await {
        Err(error) if !error.is_retryable() && some > 0 => {
            warn!(
                error = &error as &dyn std::error::Error,
                "How some requests went cannot be put on record"
            );
            ends.drain(..some);
            append(store, &begun).await
        }
        Ok(()) => {
            ends.drain(..some);
            Ok(())
        }
        failed => failed,
    };
    if let Err(error) = &appended {
        warn!(
            error = error as &dyn std::error::Error,
            "Could not write the audit log"
        );
    }
    for waiting in waiting {
        // Who has stopped waiting does nothing.
        let _ = waiting.told.send(appended.is_ok());
    }
}

async fn append(store: &dyn Store, records: &[AuditRecord]) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
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

/// Of an add-on's provider.
pub(crate) fn of_provider(
    addon: &Addon,
    app: Option<&App>,
    from: Option<IpAddr>,
    what: String,
    params: &RawPathParams,
) -> Deed {
    let parameters = params
        .iter()
        .map(|(name, value)| (name.to_owned(), shown(value)));
    let provider = ("by the provider".to_owned(), addon.service.to_string());
    Deed {
        id: Uuid::now_v7(),
        at: Timestamp::now(),
        actor: addon.actor.clone(),
        token: None,
        from,
        what,
        parameters: parameters.chain([provider]).collect(),
        app: app.map(|app| DeedApp {
            id: app.id,
            name: app.name.clone(),
        }),
    }
}

/// Of somebody who logs in, or makes a token by another.
pub(crate) fn login(account: &Account, token: Option<TokenId>, from: Option<IpAddr>) -> Deed {
    Deed {
        token,
        ..without_token(account, from, "POST /oauth/authorizations")
    }
}

/// Of somebody who has proven who he is by other means.
pub(crate) fn without_token(account: &Account, from: Option<IpAddr>, what: &str) -> Deed {
    Deed {
        id: Uuid::now_v7(),
        at: Timestamp::now(),
        actor: actor(account),
        token: None,
        from,
        what: what.to_owned(),
        parameters: BTreeMap::new(),
        app: None,
    }
}

/// A URL may hold a password.
fn shown(value: &str) -> String {
    let may_be_one = value.contains("//") || (value.contains('@') && value.contains(':'));
    if !may_be_one {
        return cut(value);
    }
    let url = url::Url::parse(value).ok();
    match url.as_ref().and_then(url::Url::host_str) {
        Some(host) => format!("…//{}…", cut(host)),
        None => "…".to_owned(),
    }
}

pub(crate) fn cut(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_TEXT)
        .collect()
}

/// Fields whose values are names of things, and no secrets.
const TOLD: [&str; 31] = [
    "addon",
    "app",
    "build_stack",
    "description",
    "email",
    "enabled",
    "force",
    "hostname",
    "is_admin",
    "issuer",
    "locked",
    "maintenance",
    "name",
    "new_owner",
    "owner",
    "permissions",
    "pipeline",
    "plan",
    "quantity",
    "recipient",
    "release",
    "role",
    "roles",
    "scope",
    "size",
    "source",
    "stage",
    "state",
    "targets",
    "team",
    "user",
];

/// What the request that is under way asks for: what may be told of its body's values, and the names of its other fields.
pub(crate) fn note(body: &[u8]) {
    let _ = DETAILS.try_with(|details| {
        let mut details = details.borrow_mut();
        if body.trim_ascii().is_empty() {
            return;
        }
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
            details.text = "(a body that cannot be told)".to_owned();
            return;
        };
        let is_told = |name: &str| !details.is_of_secrets && TOLD.contains(&name);
        let told = fields.iter().filter(|(name, _)| is_told(name));
        let others = fields.iter().filter(|(name, _)| !is_told(name));
        let told = told.map(|(name, value)| match text_of(value) {
            Some(value) => format!("{}={value}", cut(name)),
            None => cut(name),
        });
        let all: Vec<_> = told
            .chain(others.map(|(name, _)| cut(name)))
            .take(MAX_NAMES)
            .collect();
        details.text = all.join(", ").chars().take(MAX_DETAILS).collect();
    });
}

/// What it is about, where its path and its body do not say so.
pub(crate) fn also(text: &str) {
    let _ = DETAILS.try_with(|details| {
        let mut details = details.borrow_mut();
        if !details.text.is_empty() {
            details.text.push_str(", ");
        }
        details.text.push_str(text);
    });
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(shown(text)),
        Value::Number(number) => Some(cut(&number.to_string())),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(things) => {
            let things = things.iter().take(MAX_LISTED).filter_map(text_of);
            Some(things.collect::<Vec<_>>().join("+"))
        }
        Value::Object(thing) => ["name", "id", "email", "app"]
            .iter()
            .find_map(|field| text_of(thing.get(*field)?)),
        Value::Null => None,
    }
}

/// Who is at the other end, behind a router or not.
pub(crate) fn caller(extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
    forwarded_for(headers).or_else(|| {
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
            (json!({"stack": "x", "name": "ticks"}), "name=ticks, stack"),
            (
                json!({"app": {"id": "1"}, "stage": "staging"}),
                "app=1, stage=staging",
            ),
            (
                json!({"private_key": "-----BEGIN", "quantity": 3}),
                "quantity=3, private_key",
            ),
            (json!({"url": "https://u:p@h/x"}), "url"),
            (
                json!({"user": "a@b.c", "permissions": ["view", "deploy"]}),
                "permissions=view+deploy, user=a@b.c",
            ),
            (
                json!({"source": {"app": {"id": "1"}}, "targets": [{"app": {"id": "2"}}]}),
                "source=1, targets=2",
            ),
            (json!({}), ""),
        ] {
            assert_eq!(noted(body, false).await, told);
        }
        // However much is sent, and in whatever order.
        let mut many: serde_json::Map<_, _> =
            (0..100).map(|n| (format!("!{n}"), json!("x"))).collect();
        many.insert("user".to_owned(), json!("a@b.c"));
        let told = noted(Value::Object(many), false).await;
        assert!(told.starts_with("user=a@b.c, !0"), "{told}");
        let long: String = "☃".repeat(5000);
        let told = noted(
            json!({"user": [&long, &long, &long, &long, &long, &long, &long]}),
            false,
        )
        .await;
        assert!(told.chars().count() <= MAX_DETAILS, "{told}");
    }

    #[tokio::test]
    async fn a_body_that_cannot_be_told_is_told_to_be_one() {
        let noting = async {
            note(br#"{"x":1e999,"user":"a@b.c"}"#);
            DETAILS.with(RefCell::take).text
        };
        let told = DETAILS.scope(RefCell::default(), noting).await;
        assert_eq!(told, "(a body that cannot be told)");
    }

    #[tokio::test]
    async fn a_config_var_that_is_called_like_a_field_is_still_a_secret() {
        let body = json!({"name": "hunter2", "state": "hunter3"});
        assert_eq!(noted(body, true).await, "name, state");
    }

    #[test]
    fn a_url_is_told_without_who_may_use_it() {
        for (url, told) in [
            (
                "syslog+tls://u:p@logs.example.com:1/x?y",
                "…//logs.example.com…",
            ),
            ("https://u:pa/ss@logs.example.com", "…"),
            ("https:/u:p@logs.example.com", "…//logs.example.com…"),
            ("www.example.com", "www.example.com"),
            ("a@b.c", "a@b.c"),
        ] {
            assert_eq!(shown(url), told);
        }
    }
}
