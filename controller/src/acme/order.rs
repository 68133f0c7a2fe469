//! One order: the authority's question, the answer put where routers find it, and the certificate.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
    Problem, RetryPolicy,
};
use model::{Challenge, Hostname, Revision, Secret, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use store::leader::Leadership;
use store::{Committed, StoreError, Txn, key};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::chain;
use crate::actions::certificates::Offered;
use crate::context::Context;

/// How long routers may take to learn of a challenge; mostly it is a few milliseconds.
const ROUTERS_WITHIN: Duration = Duration::from_secs(10);
const ASK_ROUTERS_EVERY: Duration = Duration::from_millis(20);
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(80));

/// Why there is no certificate, in words for whoever wanted it.
#[derive(Debug)]
pub(super) enum OrderError {
    /// The authority looked, and said no.
    Refused(String),
    /// It will not hear of more for a while.
    TooMany(String),
    /// Nothing that the domain or its owner is to blame for.
    Trouble(String),
}

impl OrderError {
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Refused(words) | Self::TooMany(words) | Self::Trouble(words) => words,
        }
    }
}

impl From<Error> for OrderError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => problem.into(),
            error => Self::Trouble(format!(
                "The certificate authority did not answer as it should: {}",
                chain(&error)
            )),
        }
    }
}

impl From<Problem> for OrderError {
    fn from(problem: Problem) -> Self {
        let kind = problem.r#type.as_deref().unwrap_or_default();
        let kind = kind.rsplit(':').next().unwrap_or_default().to_owned();
        let detail = problem.detail.unwrap_or_else(|| kind.clone());
        let words = format!("The certificate authority says: {detail}");
        match kind.as_str() {
            "rateLimited" => Self::TooMany(words),
            "serverInternal" | "badNonce" => Self::Trouble(words),
            _ => Self::Refused(words),
        }
    }
}

impl From<StoreError> for OrderError {
    fn from(error: StoreError) -> Self {
        Self::Trouble(format!("The platform's store failed: {}", chain(&error)))
    }
}

impl From<rcgen::Error> for OrderError {
    fn from(error: rcgen::Error) -> Self {
        Self::Trouble(format!("No request could be made: {error}"))
    }
}

/// A certificate for one name, and its key, which was made here and has been nowhere else.
pub(super) async fn order(
    context: &Context,
    leadership: &Leadership,
    account: &Account,
    name: &Hostname,
) -> Result<Offered, OrderError> {
    let identifiers = [Identifier::Dns(name.to_string())];
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    if order.state().status == OrderStatus::Pending {
        prove(context, leadership, &mut order, name).await?;
        let ready = order.poll_ready(&POLL).await;
        if !matches!(ready, Ok(OrderStatus::Ready)) {
            return Err(why_not(&mut order, ready.err()).await);
        }
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_string()])?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key)?;
    order.finalize_csr(request.der()).await?;
    let chain = order.poll_certificate(&POLL).await?;
    Offered::new(&chain, Secret::new(key.serialize_pem())).map_err(|error| {
        OrderError::Trouble(format!(
            "The certificate authority issued what cannot be used: {error}"
        ))
    })
}

/// Has routers answer the authority, and tells it to ask.
async fn prove(
    context: &Context,
    leadership: &Leadership,
    order: &mut Order,
    name: &Hostname,
) -> Result<(), OrderError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut asked = authorization
            .challenge(ChallengeType::Http01)
            .ok_or_else(|| {
                OrderError::Refused(
                    "The certificate authority does not ask over HTTP, which is the one way that is spoken here."
                        .to_owned(),
                )
            })?;
        let challenge = Challenge {
            hostname: name.clone(),
            token: asked.token.clone(),
            answer: asked.key_authorization().as_str().to_owned(),
            created_at: Timestamp::now(),
        };
        let txn = Txn::new().put(&key::CHALLENGES, key::challenge(name), &challenge);
        let Committed::Done(revision) = leadership.guard(txn).commit(context.store()).await? else {
            return Err(OrderError::Trouble(
                "Another controller gets certificates by now.".to_owned(),
            ));
        };
        await_routers(context, revision).await?;
        asked.set_ready().await?;
    }
    Ok(())
}

/// Until every router that is alive answers by what was committed: the authority may ask any of them.
async fn await_routers(context: &Context, revision: Revision) -> Result<(), StoreError> {
    let deadline = Instant::now() + ROUTERS_WITHIN;
    loop {
        let routers = key::ALIVE_ROUTERS.all(context.store()).await?;
        let mut behind = routers
            .iter()
            .filter(|router| router.value.certificates < revision);
        let Some(router) = behind.next() else {
            return Ok(());
        };
        if Instant::now() >= deadline {
            warn!(router.id = %router.value.id, "A router does not know of a challenge yet; going on without it");
            return Ok(());
        }
        sleep(ASK_ROUTERS_EVERY).await;
    }
}

/// What the authority found when it looked; it is said of the authorization, not of the order.
async fn why_not(order: &mut Order, error: Option<Error>) -> OrderError {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let problem = state
            .challenges
            .iter()
            .find_map(|challenge| challenge.error.clone());
        if let Some(problem) = problem {
            return problem.into();
        }
    }
    match error {
        Some(error) => error.into(),
        None => OrderError::Refused(
            "The certificate authority refused, and did not say why.".to_owned(),
        ),
    }
}

pub(super) async fn forget_challenge(
    context: &Context,
    leadership: &Leadership,
    name: &Hostname,
) -> Result<(), StoreError> {
    let txn = Txn::new().delete(key::challenge(name));
    leadership.guard(txn).commit(context.store()).await?;
    Ok(())
}
