//! One add-on, step by step to where it is to be.

use std::convert::Infallible;
use std::time::Duration;

use model::addon::{
    Addon, AddonService, AddonState, Attachment, Options, ProviderSecrets, Tries, Wish,
};
use model::{AddonId, Attached, Timestamp};
use serde_json::Value;
use store::ledger::{AppendError, Base};
use store::{Committed, StoreError, Txn, Versioned, key};
use tracing::{error, info, warn};

use super::answer::{Asked, asked, is_gone, shown};
use super::grants::{GRANT_FOR, Grant};
use super::progress::{
    give_up, into_state, note_given, note_spoiled, provisioned, read, replace, replaced,
};
use super::provider::{Asking, Provider};
use super::release::{self, Change};
use super::{attachments_of, is_ours_to_see_to, service_of};
use crate::actions::{ActionError, sentence};
use crate::context::{Context, Ctx};
use crate::views::platform::REGION;

const AFTER_TROUBLE: Duration = Duration::from_secs(3);
/// How often one that takes its time is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After a silent provider, when its name for an add-on is not known.
const AGAIN_FOR_NAME: Duration = Duration::from_secs(60);
/// Between two releases of an app because of its provider, so that it cannot keep the app from ever being proven.
const BETWEEN_RELEASES: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Between two tries to have one made, and to have one taken away.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
const LONGEST_PAUSE_AT_THE_END: Duration = Duration::from_secs(3600);
/// How long a provider may be silent that is asked for one, and how long it may take over it.
const ASKED_FOR: jiff::SignedDuration = jiff::SignedDuration::from_hours(12);
const MADE_WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// How long one that never came to be is shown.
const SHOWN_FOR: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

enum Next {
    Over,
    /// For so long, or until something changes.
    Wait(Duration),
    /// For so long, whatever changes.
    Leave(Duration),
    Now,
}

pub(super) async fn drive(context: Ctx, id: AddonId) {
    loop {
        let pause = match step(&context, id).await {
            Ok(Next::Over) => return,
            Ok(Next::Now) => continue,
            Ok(Next::Wait(pause)) => pause,
            Ok(Next::Leave(pause)) => {
                tokio::select! {
                    () = context.shutdown.cancelled() => return,
                    () = tokio::time::sleep(pause) => continue,
                }
            }
            Err(ActionError::Store(StoreError::Contended { .. })) => Duration::from_millis(50),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, addon.id = %id, "Could not see to an add-on; will retry");
                AFTER_TROUBLE
            }
        };
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = context.addons.changed() => {}
        }
    }
}

async fn step(context: &Context, id: AddonId) -> Result<Next, ActionError> {
    // Another one may have come that is before this.
    if !is_ours_to_see_to(context).await? {
        return Ok(Next::Over);
    }
    let Some(seen) = read(context, id).await? else {
        return Ok(Next::Over);
    };
    let app = key::APPS
        .get(context.store(), &key::app(seen.value.app))
        .await?;
    if app.is_none() && seen.value.state.is_wanted() {
        give_up(context, &seen, None).await?;
        return Ok(Next::Now);
    }
    let now = Timestamp::now();
    match seen.value.state.clone() {
        AddonState::Requested { wish, tries } => match wait(tries, now) {
            Some(pause) => Ok(Next::Wait(pause)),
            None => request(context, &seen, wish, tries).await,
        },
        AddonState::Provisioning { wish, tries } => match wait(tries, now) {
            Some(pause) => Ok(Next::Wait(pause)),
            None => look(context, &seen, wish).await,
        },
        AddonState::Provisioned if seen.value.is_nameless() => {
            let is_known = match known(context, &seen.value).await? {
                Some(known) => learn_name(context, &seen, &known).await?,
                None => false,
            };
            Ok(match is_known {
                true => Next::Now,
                false => Next::Leave(AGAIN_FOR_NAME),
            })
        }
        AddonState::Provisioned => catch_up(context, &seen).await,
        AddonState::Deprovisioning { failure, tries } => match wait(tries, now) {
            Some(pause) => Ok(Next::Wait(pause)),
            None => remove(context, &seen, failure, tries).await,
        },
        AddonState::Failed { .. } => forget_later(context, &seen).await,
    }
}

fn wait(tries: Tries, now: Timestamp) -> Option<Duration> {
    let wait = tries.not_before?.duration_since(now);
    (wait.is_positive()).then(|| wait.unsigned_abs())
}

fn again(tries: Tries, longest: Duration) -> Tries {
    let pause = FIRST_PAUSE
        .saturating_mul(1 << tries.failures.min(16))
        .min(longest);
    Tries {
        failures: tries.failures.saturating_add(1),
        not_before: Timestamp::now().checked_add(pause).ok(),
    }
}

/// A provider, with what it and the platform know each other by.
struct Known {
    service: AddonService,
    secrets: ProviderSecrets,
}

impl Known {
    fn provider(&self) -> Provider<'_> {
        Provider {
            service: &self.service,
            secrets: &self.secrets,
        }
    }
}

async fn known(context: &Context, addon: &Addon) -> Result<Option<Known>, ActionError> {
    let Some(service) = service_of(context.store(), &addon.service).await? else {
        return Ok(None);
    };
    let secrets = context.keyring.open(&service.key, &service.value.secrets)?;
    Ok(Some(Known {
        service: service.value,
        secrets,
    }))
}

async fn request(
    context: &Context,
    seen: &Versioned<Addon>,
    wish: Wish,
    tries: Tries,
) -> Result<Next, ActionError> {
    let addon = &seen.value;
    let Some(known) = known(context, addon).await? else {
        let message = format!("There is no add-on service {} any more.", addon.service);
        into_state(context, seen, AddonState::Failed { message }).await?;
        return Ok(Next::Now);
    };
    if !addon.asked {
        // From here on it may have made one, whatever is heard of it.
        let changed = Addon {
            asked: true,
            ..addon.clone()
        };
        let Some(seen) = replaced(context, seen, changed).await? else {
            return Ok(Next::Now);
        };
        return hear(context, &seen, &known, (wish, tries), true).await;
    }
    hear(context, seen, &known, (wish, tries), false).await
}

async fn hear(
    context: &Context,
    seen: &Versioned<Addon>,
    known: &Known,
    (wish, tries): (Wish, Tries),
    is_first: bool,
) -> Result<Next, ActionError> {
    let addon = &seen.value;
    match ask(context, addon, known).await? {
        Asked::Given(given) => {
            if !note_given(context, addon.id, &given, true).await? {
                take_back(context, addon, known, given.provider_id).await;
            }
        }
        Asked::Accepted(given) => {
            if !note_given(context, addon.id, &given, false).await? {
                take_back(context, addon, known, given.provider_id).await;
            }
        }
        Asked::Refused(message) if is_first => {
            let state = AddonState::Failed { message };
            into_state(context, seen, state).await?;
        }
        // What was made before, if anything was, nobody knows.
        Asked::Refused(message) => {
            give_up(context, seen, Some(message)).await?;
        }
        Asked::Spoiled { provider_id, why } => {
            info!(addon.name = %addon.name, "An add-on is of no use and is to be taken away: {why}");
            note_spoiled(context, addon.id, provider_id, &sentence(&why)).await?;
        }
        Asked::Unknown(why) if Timestamp::now().duration_since(addon.created_at) > ASKED_FOR => {
            give_up(context, seen, Some(sentence(&why))).await?;
        }
        Asked::Unknown(why) => {
            info!(addon.name = %addon.name, "An add-on is to be asked for again: {why}");
            let tries = again(tries, LONGEST_PAUSE);
            let changed = Addon {
                message: Some(format!("It is asked for again: {why}.")),
                state: AddonState::Requested { wish, tries },
                updated_at: Timestamp::now(),
                ..addon.clone()
            };
            replace(context, seen, &changed).await?;
        }
    }
    Ok(Next::Now)
}

/// Asks for it, once more or for the first time.
async fn ask(context: &Context, addon: &Addon, known: &Known) -> Result<Asked, ActionError> {
    let now = Timestamp::now();
    let asking = Asking {
        callback_url: context.config.api_url(&format!("/addons/{}", addon.id)),
        grant: Grant::new(addon.id, &known.secrets, now).seal(&context.keyring)?,
        grant_until: now.checked_add(GRANT_FOR).unwrap_or(Timestamp::MAX),
        region: REGION.to_owned(),
    };
    let options: Options = match &addon.options {
        Some(sealed) => context.keyring.open(&key::addon(addon.id), sealed)?,
        None => Options::default(),
    };
    let providers = &context.addons.providers;
    let heard = providers.provision(known.provider(), addon, &options, &asking);
    Ok(asked(heard.await, &known.service.config_vars))
}

/// What was made for an add-on that nobody knows of any more.
async fn take_back(context: &Context, addon: &Addon, known: &Known, provider_id: String) {
    let made = Addon {
        provider_id: Some(provider_id),
        ..addon.clone()
    };
    let providers = &context.addons.providers;
    if !is_gone(&providers.deprovision(known.provider(), &made).await) {
        error!(
            addon.id = %addon.id, addon.service = %addon.service, provider.id = made.provider_id,
            "A provider has made something that nobody wants any more, and did not take it away; have it do so"
        );
    }
}

/// By what name its provider knows it: asked for once more, by the id that it has here, it says so. Whether that is on
/// record.
async fn learn_name(
    context: &Context,
    seen: &Versioned<Addon>,
    known: &Known,
) -> Result<bool, ActionError> {
    let addon = &seen.value;
    let provider_id = match ask(context, addon, known).await? {
        Asked::Given(given) | Asked::Accepted(given) => given.provider_id,
        Asked::Spoiled {
            provider_id: Some(provider_id),
            ..
        } => provider_id,
        // It has no other, then.
        Asked::Spoiled { .. } | Asked::Refused(_) => addon.id.to_string(),
        Asked::Unknown(_) => return Ok(false),
    };
    let changed = Addon {
        provider_id: Some(provider_id),
        ..addon.clone()
    };
    replace(context, seen, &changed).await
}

/// Of one whose provider takes its time.
async fn look(context: &Context, seen: &Versioned<Addon>, wish: Wish) -> Result<Next, ActionError> {
    let addon = &seen.value;
    if Timestamp::now().duration_since(addon.created_at) > MADE_WITHIN {
        let why = "Its provider did not make it within a day.".to_owned();
        give_up(context, seen, Some(why)).await?;
        return Ok(Next::Now);
    }
    let known = known(context, addon).await?;
    let Some(known) = known.filter(|known| known.service.tells_status) else {
        return Ok(Next::Wait(LOOK_EVERY));
    };
    // Whatever changes elsewhere, it is not asked more often.
    let heard = context
        .addons
        .providers
        .status(known.provider(), addon)
        .await;
    let Ok((200, body)) = &heard else {
        return Ok(Next::Leave(LOOK_EVERY));
    };
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match body.get("state").and_then(Value::as_str) {
        Some("provisioned") => {}
        Some("failed") => {
            let why = body.get("message").and_then(Value::as_str).and_then(shown);
            let why = why.unwrap_or_else(|| "Its provider could not make it.".to_owned());
            give_up(context, seen, Some(why)).await?;
            return Ok(Next::Now);
        }
        _ => return Ok(Next::Leave(LOOK_EVERY)),
    }
    let given = body.get("config").and_then(Value::as_object);
    let given = given.cloned().unwrap_or_default().into_iter().collect();
    match super::answer::config(given, &known.service.config_vars) {
        Ok(config) => {
            let changed = super::progress::with_config(context, seen, &config)?;
            provisioned(context, seen, changed, &wish).await?;
        }
        Err(why) => {
            give_up(context, seen, Some(sentence(&why))).await?;
        }
    }
    Ok(Next::Now)
}

/// Apps get a release with what its provider gives now, and not more often than they can be proven.
async fn catch_up(context: &Context, seen: &Versioned<Addon>) -> Result<Next, ActionError> {
    let (addon, now) = (&seen.value, Timestamp::now());
    let (mut trouble, mut left_for) = (None, None);
    for attachment in attachments_of(context.store(), addon.id).await? {
        let attached = &attachment.value;
        if attached.released >= addon.config_version {
            continue;
        }
        let since = now.duration_since(attached.updated_at).unsigned_abs();
        if attached.updated_at > attached.created_at && since < BETWEEN_RELEASES {
            left_for = left_for.max(Some(BETWEEN_RELEASES - since));
            continue;
        }
        let description = format!("Update {} by {}", attached.name, addon.service);
        let changed = Attachment {
            released: addon.config_version,
            updated_at: now,
            ..attached.clone()
        };
        // The ledger reads what the add-on gives by itself.
        let also = || Txn::new().replace(&key::ATTACHMENTS, &attachment, &changed);
        let appended = append(context, attached, &description, |base| {
            (also(), base.attached.clone())
        });
        // One app's trouble is not the others'.
        trouble = appended.await.err().or(trouble);
    }
    match (trouble, left_for) {
        (Some(trouble), _) => Err(trouble),
        (None, Some(left_for)) => Ok(Next::Wait(left_for)),
        (None, None) => Ok(Next::Over),
    }
}

/// Out of the apps that have it, then from its provider, then from the books.
async fn remove(
    context: &Context,
    seen: &Versioned<Addon>,
    failure: Option<String>,
    tries: Tries,
) -> Result<Next, ActionError> {
    let (store, addon) = (context.store(), &seen.value);
    let mut trouble = None;
    for attachment in attachments_of(store, addon.id).await? {
        let name = &attachment.value.name;
        let description = format!("Detach {name} (@ref:{})", addon.name);
        let gone = || {
            Txn::new()
                .unchanged(&attachment)
                .delete(attachment.key.clone())
        };
        let appended = append(context, &attachment.value, &description, |base| {
            let mut attached = base.attached.clone();
            attached.remove(name);
            (gone(), attached)
        });
        trouble = appended.await.err().or(trouble);
    }
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    if addon.drain.is_some() {
        let drain = key::log_drain(addon.app, addon.drain_id());
        Txn::new().delete(drain).commit(store).await?;
    }
    let known = known(context, addon).await?;
    if addon.is_nameless()
        && let Some(known) = &known
        && !learn_name(context, seen, known).await?
    {
        let tries = again(tries, LONGEST_PAUSE_AT_THE_END);
        let state = AddonState::Deprovisioning { failure, tries };
        into_state(context, seen, state).await?;
        return Ok(Next::Now);
    }
    // By the name that was just learnt, if so.
    let Some(seen) = read(context, addon.id).await? else {
        return Ok(Next::Over);
    };
    let (seen, addon) = (&seen, &seen.value);
    // Of a service that is no more there is nobody to tell.
    if addon.asked
        && let Some(known) = known
    {
        let heard = context
            .addons
            .providers
            .deprovision(known.provider(), addon)
            .await;
        if !is_gone(&heard) {
            warn!(addon.name = %addon.name, "A provider did not take an add-on away; will ask again");
            let tries = again(tries, LONGEST_PAUSE_AT_THE_END);
            let state = AddonState::Deprovisioning { failure, tries };
            into_state(context, seen, state).await?;
            return Ok(Next::Now);
        }
    }
    match failure {
        Some(message) => {
            into_state(context, seen, AddonState::Failed { message }).await?;
        }
        None => {
            forget(context, seen).await?;
        }
    }
    Ok(Next::Now)
}

async fn forget_later(context: &Context, seen: &Versioned<Addon>) -> Result<Next, ActionError> {
    let shown = Timestamp::now().duration_since(seen.value.updated_at);
    if shown < SHOWN_FOR {
        return Ok(Next::Wait((SHOWN_FOR - shown).unsigned_abs()));
    }
    forget(context, seen).await?;
    Ok(Next::Now)
}

/// Its name may be another's from then on.
pub(crate) async fn forget(
    context: &Context,
    seen: &Versioned<Addon>,
) -> Result<bool, ActionError> {
    let txn = Txn::new()
        .unchanged(seen)
        .delete(seen.key.clone())
        .delete(key::addon_name(&seen.value.name));
    Ok(txn.commit(context.store()).await? != Committed::Conflict)
}

/// `change`: what the app's add-ons give from then on, and what goes with it.
async fn append(
    context: &Context,
    attachment: &Attachment,
    description: &str,
    change: impl Fn(&Base) -> (Txn, Attached) + Send + Sync,
) -> Result<(), ActionError> {
    let app = attachment.app;
    let appended = release::append(context, app, &attachment.actor, |base| {
        let (also, attached) = change(base);
        Ok::<_, Infallible>(Change {
            description: description.to_owned(),
            attached,
            config: base.config.clone(),
            also,
        })
    });
    match appended.await {
        Ok(()) => Ok(()),
        // There is nobody to be told, and the attachment goes without a release.
        Err(AppendError::NoSuchApp) => {
            let txn = Txn::new().delete(key::attachment(app, &attachment.name));
            txn.commit(context.store()).await?;
            Ok(())
        }
        Err(AppendError::Store(error)) => Err(error.into()),
        Err(AppendError::Refused(never)) => match never {},
    }
}
