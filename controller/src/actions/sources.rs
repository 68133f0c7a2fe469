//! Sources: a place to upload an archive of code to, for whoever has its URL and for a while.

use model::{Account, Checksum, Source, SourceId, Timestamp};
use serde::{Deserialize, Serialize};
use store::{Committed, StoreError, Txn, Versioned, key};

use super::ActionError;
use crate::context::Context;
use crate::http::ticket;

/// Until it is gone, uploaded or not. A build keeps what it is made of.
const EXPIRES_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
/// Of one account that have not expired.
const MAX_AT_ONCE: usize = 20;

/// Lets whoever has it upload to a source, once.
#[derive(Debug, Serialize, Deserialize)]
struct PutTicket(SourceId);

/// Lets whoever has it fetch what was uploaded.
#[derive(Debug, Serialize, Deserialize)]
struct GetTicket(SourceId);

pub(crate) async fn create(context: &Context, by: &Account) -> Result<Source, ActionError> {
    let now = Timestamp::now();
    let all = key::SOURCES.all(context.store()).await?;
    let of_account = all
        .iter()
        .filter(|seen| seen.value.account == by.id && seen.value.expires_at > now);
    if of_account.count() >= MAX_AT_ONCE {
        return Err(ActionError::invalid(format!(
            "You have {MAX_AT_ONCE} sources that have not expired; each does within an hour."
        )));
    }
    let source = Source {
        id: SourceId::new(),
        account: by.id,
        blob: None,
        created_at: now,
        expires_at: now + EXPIRES_AFTER,
    };
    let place = key::source(source.id);
    Txn::new()
        .create(&key::SOURCES, place, &source)
        .commit(context.store())
        .await?;
    Ok(source)
}

pub(crate) fn put_url(context: &Context, source: SourceId) -> Result<String, StoreError> {
    let ticket = ticket::seal(&context.keyring, &PutTicket(source))?;
    Ok(context.config.api_url(&format!("/sources/{ticket}")))
}

pub(crate) fn get_url(context: &Context, source: SourceId) -> Result<String, StoreError> {
    let ticket = ticket::seal(&context.keyring, &GetTicket(source))?;
    Ok(context.config.api_url(&format!("/sources/{ticket}")))
}

/// The source that may be uploaded to with this.
pub(crate) async fn to_put(
    context: &Context,
    ticket: &str,
) -> Result<Option<Versioned<Source>>, StoreError> {
    match ticket::open(&context.keyring, ticket) {
        Some(PutTicket(source)) => live(context, source).await,
        None => Ok(None),
    }
}

/// The source that may be fetched with this.
pub(crate) async fn to_get(
    context: &Context,
    ticket: &str,
) -> Result<Option<Versioned<Source>>, StoreError> {
    match ticket::open(&context.keyring, ticket) {
        Some(GetTicket(source)) => live(context, source).await,
        None => Ok(None),
    }
}

async fn live(
    context: &Context,
    source: SourceId,
) -> Result<Option<Versioned<Source>>, StoreError> {
    let place = key::source(source);
    let found = key::SOURCES.get(context.store(), &place).await?;
    let now = Timestamp::now();
    Ok(found.filter(|found| found.value.expires_at > now))
}

/// What is at the URL of one of our sources; `None` for any other URL.
pub(super) async fn of_url(context: &Context, url: &str) -> Result<Option<Checksum>, ActionError> {
    let Some(ticket) = url.strip_prefix(&context.config.api_url("/sources/")) else {
        return Ok(None);
    };
    let source = to_get(context, ticket).await?.ok_or_else(|| {
        ActionError::invalid("This source is none, or has expired; make a new one.")
    })?;
    let blob = source.value.blob.ok_or_else(|| {
        ActionError::invalid("Nothing was uploaded to this source yet: PUT it to its put_url.")
    })?;
    Ok(Some(blob))
}

/// The first upload is the one that counts.
pub(crate) async fn uploaded(
    context: &Context,
    source: &Versioned<Source>,
    blob: Checksum,
) -> Result<(), ActionError> {
    let uploaded = Source {
        blob: Some(blob),
        ..source.value.clone()
    };
    let txn = Txn::new().replace(&key::SOURCES, source, &uploaded);
    match txn.commit(context.store()).await? {
        Committed::Done(_) => Ok(()),
        Committed::Conflict => Err(used()),
    }
}

pub(crate) fn used() -> ActionError {
    ActionError::invalid("This source was uploaded already; make a new one.")
}
