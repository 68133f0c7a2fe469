//! Certificates that the platform gets itself, by ACME (RFC 8555): one controller at a time, elected.
//!
//! Level-based: what each domain of an app with managed certificates has is compared with what it should have, and an
//! order is made for what is missing or due. Authorities ask over plain HTTP (HTTP-01), and any router answers from a
//! record. Whoever loses the election in between writes nothing any more, and the next one begins anew.

mod account;
mod budget;
mod http;
mod order;
mod plan;
mod progress;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use instant_acme::Account;
use model::{AppId, Hostname, Timestamp};
use store::leader::{Leadership, campaign};
use store::{Follower, StoreError, key};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::actions::{self, ActionError};
use crate::config::AcmeConfig;
use crate::context::{Context, Ctx};
use budget::Budget;
use order::OrderError;
use plan::{Due, Wanted};

const ELECTION: &str = "acme";
/// Renewals come by the clock; all else wakes.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Orders that are under way at once.
const AT_ONCE: usize = 4;
/// From its beginning to the certificate, its authority's time for thinking included.
const ORDER_WITHIN: Duration = Duration::from_secs(180);

#[derive(Debug, thiserror::Error)]
enum AcmeError {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("what was got could not be kept")]
    Keep(#[from] ActionError),
    #[error("the authority has no account for us")]
    Account(#[from] account::AccountError),
}

/// For as long as this controller runs.
pub(crate) async fn run(context: Ctx) {
    let Some(config) = context.config.acme.clone() else {
        return;
    };
    let candidate = context.addr.to_string();
    loop {
        let leadership = tokio::select! {
            () = context.shutdown.cancelled() => return,
            leadership = campaign(&context.store, ELECTION, &candidate) => leadership,
        };
        info!("This controller gets certificates from now on");
        let lost = leadership.lost().clone();
        tokio::select! {
            () = context.shutdown.cancelled() => {}
            () = lost.cancelled() => warn!("Another controller gets certificates from now on"),
            () = lead(&context, &config, &leadership) => {}
        }
        leadership.resign().await;
        if context.shutdown.is_cancelled() {
            return;
        }
    }
}

async fn lead(context: &Ctx, config: &AcmeConfig, leadership: &Leadership) {
    let mut wishes = Follower::new(context.store.clone(), vec![key::ACM.prefix()]);
    let mut domains = Follower::new(context.store.clone(), vec![key::DOMAINS.prefix()]);
    let mut budget = Budget::new(config.orders_per_hour);
    let mut account = None;
    loop {
        let looked = look(context, config, leadership, &mut budget, &mut account).await;
        if let Err(error) = looked {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not look after certificates; will retry"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = changed(&mut wishes) => {}
            () = changed(&mut domains) => {}
        }
    }
}

async fn changed(follower: &mut Follower) {
    while follower.next().await.is_empty() {}
}

/// Orders what is due, as far as the budget goes.
async fn look(
    context: &Ctx,
    config: &AcmeConfig,
    leadership: &Leadership,
    budget: &mut Budget,
    account: &mut Option<Account>,
) -> Result<(), AcmeError> {
    let mut orders = Vec::new();
    for wanted in wanted(context).await? {
        for name in &wanted.domains {
            match plan::due(&wanted, name, Timestamp::now()) {
                Due::Order => orders.push((wanted.acm.app, name.clone(), wanted.has_managed(name))),
                Due::Never(why) => {
                    progress::never(context, leadership, wanted.acm.app, name, why).await?;
                }
                Due::Done => progress::done(context, leadership, &wanted, name).await?,
                Due::Later => {}
            }
        }
    }
    let now = Instant::now();
    orders.retain(|_| budget.take(now));
    if orders.is_empty() {
        return Ok(());
    }
    let account = match account {
        Some(account) => account.clone(),
        None => match account::open(context, config, leadership).await {
            Ok(opened) => account.insert(opened).clone(),
            Err(error) => {
                for (app, name, _) in &orders {
                    let failed = OrderError::Trouble(format!(
                        "The certificate authority could not be asked: {}",
                        chain(&error)
                    ));
                    progress::failed(context, leadership, *app, name, &failed, true).await?;
                }
                return Err(error.into());
            }
        },
    };
    let mut running = futures::stream::iter(orders)
        .map(|(app, name, is_renewal)| {
            let account = &account;
            async move { get(context, leadership, account, app, &name, is_renewal).await }
        })
        .buffer_unordered(AT_ONCE);
    while let Some(got) = running.next().await {
        if let Err(error) = got {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not keep what became of a certificate; will retry"
            );
        }
    }
    Ok(())
}

/// One certificate, from the order to the record, and what became of it in words.
async fn get(
    context: &Context,
    leadership: &Leadership,
    account: &Account,
    app: AppId,
    name: &Hostname,
    is_renewal: bool,
) -> Result<(), AcmeError> {
    if !progress::begun(context, leadership, app, name).await? {
        return Ok(());
    }
    let ordering = order::order(context, leadership, account, name);
    let issued = match tokio::time::timeout(ORDER_WITHIN, ordering).await {
        Ok(issued) => issued,
        Err(_) => Err(OrderError::Trouble(
            "The certificate authority took too long.".to_owned(),
        )),
    };
    order::forget_challenge(context, leadership, name).await?;
    match issued {
        Ok(offered) => {
            let guard = |txn| leadership.guard(txn);
            if actions::certificates::keep_issued(context, app, name, &offered, guard).await? {
                progress::got(context, leadership, app, name).await?;
                info!(app.id = %app, host = %name, "Got a certificate");
            }
            Ok(())
        }
        Err(error) => {
            info!(app.id = %app, host = %name, reason = error.words(), "Could not get a certificate");
            progress::failed(context, leadership, app, name, &error, is_renewal).await
        }
    }
}

/// The apps that want it, and what they have.
async fn wanted(context: &Context) -> Result<Vec<Wanted>, AcmeError> {
    let store = context.store();
    let wishes = key::ACM.all(store).await?;
    if wishes.is_empty() {
        return Ok(Vec::new());
    }
    let mut domains: HashMap<AppId, Vec<Hostname>> = HashMap::new();
    for domain in key::DOMAINS.all(store).await? {
        let of_app = domains.entry(domain.value.app).or_default();
        of_app.push(domain.value.hostname);
    }
    let mut wanted = Vec::new();
    for wish in wishes {
        let app = wish.value.app;
        let endpoints = actions::certificates::list(store, app).await?;
        let progress = key::ACM_PROGRESS
            .get(store, &key::acm_progress(app))
            .await?;
        wanted.push(Wanted {
            acm: wish.value,
            progress: progress.map(|seen| seen.value),
            domains: domains.remove(&app).unwrap_or_default(),
            endpoints: endpoints.into_iter().map(|seen| seen.value).collect(),
        });
    }
    Ok(wanted)
}

/// An error with all that led to it, for people.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The client that speaks to the authority.
fn client(config: &AcmeConfig) -> Result<Arc<http::Http>, account::AccountError> {
    http::Http::new(config.ca.as_deref()).map(Arc::new)
}
