//! What is told with every answer, whatever was asked: Heroku's clients print it, once. What operators want everybody to
//! know, and that a token is about to end.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use model::{Timestamp, Token};
use store::{Committed, Follower, StoreError, Txn, key};
use tracing::warn;

use crate::actions::ActionError;
use crate::context::{Context, Ctx};

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-heroku-warning");

/// The platform-wide record.
const NAME: &str = "notice";
const MAX_MESSAGE: usize = 300;
/// A token that was made for so long or longer is told of its end so long before it.
const LONG_LIVED: Duration = Duration::from_secs(7 * 24 * 3600);
const BEFORE_ITS_END: Duration = Duration::from_secs(3 * 24 * 3600);

/// The operators' message as it is now.
#[derive(Debug, Default)]
pub(crate) struct Notice {
    current: RwLock<Option<HeaderValue>>,
}

impl Notice {
    fn set(&self, message: Option<&str>) {
        let value = message.and_then(|message| HeaderValue::from_str(message).ok());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = value;
    }

    /// All that whoever has this token is to know.
    pub(crate) fn for_token(&self, token: &Token, now: Timestamp) -> Vec<HeaderValue> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let ending = ending(token, now).and_then(|text| HeaderValue::try_from(text).ok());
        current.iter().cloned().chain(ending).collect()
    }
}

fn ending(token: &Token, now: Timestamp) -> Option<String> {
    let end = token.expires_at?;
    let lifetime = end.duration_since(token.created_at).unsigned_abs();
    let left = end.duration_since(now).unsigned_abs();
    if lifetime < LONG_LIVED || left > BEFORE_ITS_END {
        return None;
    }
    let hours = left.as_secs() / 3600;
    Some(format!(
        "This token expires in {hours} hours. Log in anew, or make another: paas authorizations:create"
    ))
}

/// Follows what operators say, until the controller ends.
pub(crate) async fn run(context: Ctx) {
    let mut news = Follower::new(context.store.clone(), vec![key::platform(NAME)]);
    loop {
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            update = news.next() => {
                if update.is_empty() {
                    continue;
                }
            }
        }
        match read(&context).await {
            Ok(message) => context.notice.set(message.as_deref()),
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "What operators want everybody to know cannot be read"
            ),
        }
    }
}

pub(crate) async fn read(context: &Context) -> Result<Option<String>, StoreError> {
    let place = key::platform(NAME);
    match key::PLATFORM.get(context.store(), &place).await? {
        Some(sealed) => context.keyring.open(&place, &sealed.value).map(Some),
        None => Ok(None),
    }
}

pub(crate) async fn say(context: &Context, message: &str) -> Result<(), ActionError> {
    let message = message.trim();
    // What does not fit a header would be something else in every client.
    let fits = message.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if message.is_empty() || message.len() > MAX_MESSAGE || !fits {
        return Err(ActionError::invalid(format!(
            "A notice is one line of 1 to {MAX_MESSAGE} letters, digits and signs of ASCII: it goes in a header."
        )));
    }
    let place = key::platform(NAME);
    let sealed = context.keyring.seal(&place, &message)?;
    let txn = Txn::new().put(&key::PLATFORM, place, &sealed);
    let Committed::Done(_) = txn.commit(context.store()).await? else {
        return Err(ActionError::Store(StoreError::Contended { attempts: 1 }));
    };
    context.notice.set(Some(message));
    Ok(())
}

pub(crate) async fn withdraw(context: &Context) -> Result<(), ActionError> {
    let txn = Txn::new().delete(key::platform(NAME));
    txn.commit(context.store()).await?;
    context.notice.set(None);
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::{AccountId, TokenId};

    use super::*;

    #[test]
    fn a_long_lived_token_is_told_of_its_end_some_days_before_it() {
        let day = |n: i64| Timestamp::from_second(n * 24 * 3600).unwrap();
        let token = |lasts: Option<i64>| Token {
            id: TokenId::new(),
            account: AccountId::new(),
            description: String::new(),
            scope: Vec::new(),
            created_at: day(0),
            expires_at: lasts.map(day),
        };
        assert_eq!(ending(&token(None), day(1000)), None);
        assert_eq!(ending(&token(Some(1)), day(0)), None, "made for a job");
        assert_eq!(ending(&token(Some(30)), day(26)), None);
        let told = ending(&token(Some(30)), day(28)).unwrap();
        assert!(told.contains("in 48 hours"), "{told}");
    }
}
