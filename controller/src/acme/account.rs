//! The platform's account at the authority. Its key is kept sealed.

use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};
use store::leader::Leadership;
use store::{Committed, StoreError, Txn, key};
use tracing::info;

use super::client;
use crate::config::AcmeConfig;
use crate::context::Context;

const NAME: &str = "acme-account";

#[derive(Debug, thiserror::Error)]
pub(super) enum AccountError {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("the certificates given for the authority cannot be used")]
    Tls(#[source] controller_api::tls::TlsError),
    #[error("no client could be made")]
    Client(#[source] reqwest::Error),
    #[error("the authority did not answer as it should")]
    Authority(#[from] instant_acme::Error),
    #[error("another controller gets certificates by now")]
    Lost,
}

/// An account is of one authority.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    credentials: AccountCredentials,
}

/// The account there is, or a new one.
pub(super) async fn open(
    context: &Context,
    config: &AcmeConfig,
    leadership: &Leadership,
) -> Result<Account, AccountError> {
    let (store, place) = (context.store(), key::platform(NAME));
    let http = client(config)?;
    let builder = Account::builder_with_http(Box::new((*http).clone()));
    if let Some(seen) = key::PLATFORM.get(store, &place).await? {
        let kept: Kept = context.keyring.open(&place, &seen.value)?;
        if kept.directory == config.directory {
            return Ok(builder.from_credentials(kept.credentials).await?);
        }
    }
    let contact = config.email.as_ref().map(|email| format!("mailto:{email}"));
    let contact: Vec<&str> = contact.as_deref().into_iter().collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let (account, credentials) = builder.create(&new, config.directory.clone(), None).await?;
    let kept = Kept {
        directory: config.directory.clone(),
        credentials,
    };
    let sealed = context.keyring.seal(&place, &kept)?;
    let txn = leadership.guard(Txn::new().put(&key::PLATFORM, place, &sealed));
    match txn.commit(store).await? {
        Committed::Done(_) => {
            info!(directory = %config.directory, "The platform has a new account at the certificate authority");
            Ok(account)
        }
        Committed::Conflict => Err(AccountError::Lost),
    }
}
