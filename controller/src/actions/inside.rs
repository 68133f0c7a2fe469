//! A command inside a dyno that runs. The agent of its node takes it from here.

use controller_api::attach::MEET_WITHIN;
use controller_api::wire::InsideCreate;
use model::{Actor, App, DynoState, Inside, InsideId, Timestamp};
use std::time::Duration;
use store::{Committed, Txn, key};

use super::ActionError;
use super::dynos::{attach, command, environment, no_dyno};
use crate::context::Context;
use crate::find::{self, KnownDyno};

const MAX_PER_DYNO: usize = 10;
const MAX_PER_APP: usize = 100;
/// What it is when nothing is asked for.
const SHELL: &str = "bash";
/// After which nobody comes to it any more: the client's time, and some for the agent.
const ASKED_FOR: Duration = Duration::from_secs(MEET_WITHIN.as_secs() + 30);

pub(crate) async fn open(
    context: &Context,
    app: &App,
    by: &Actor,
    identity: &str,
    create: &InsideCreate,
) -> Result<(KnownDyno, Inside), ActionError> {
    let store = context.store();
    let known = meant(context, app, identity).await?;
    let dyno = &known.dyno.value;
    let node = match (dyno.node, known.status.as_ref().map(|status| &status.state)) {
        (Some(node), Some(DynoState::Up { .. })) => node,
        (_, state) => return Err(not_up(&known, state)),
    };
    let host = key::ALIVE_NODES.get(store, &key::alive_node(node)).await?;
    if host.is_none() {
        return Err(ActionError::invalid(format!(
            "The host of {} does not answer. Try again in a moment.",
            dyno.name
        )));
    }
    let release = key::RELEASES
        .get(store, &key::release(app.id, dyno.release))
        .await?
        .ok_or(ActionError::Gone { resource: "dyno" })?
        .value;
    let slug = find::slug(store, app.id, release.slug)
        .await?
        .ok_or(ActionError::Gone { resource: "dyno" })?;
    let given = create.command.as_deref().map(str::trim);
    let given = given.filter(|given| !given.is_empty()).unwrap_or(SHELL);
    has_room(context, app, &known).await?;
    let id = InsideId::new();
    let place = key::inside(app.id, id);
    let inside = Inside {
        id,
        app: app.id,
        dyno: dyno.id,
        dyno_name: dyno.name.clone(),
        node,
        command: command(given, &slug)?,
        env: context.keyring.seal(&place, &environment(&create.env)?)?,
        attach: attach(context, &create.env, create.force_no_tty),
        requested_by: by.clone(),
        is_taken: false,
        created_at: Timestamp::now(),
    };
    let lease = store.lease(ASKED_FOR).await?;
    let txn = Txn::new()
        .exists(key::dyno(app.id, dyno.id))
        .absent(place.clone())
        .put_leased(&key::INSIDE, place, &inside, lease.id());
    if txn.commit(store).await? == Committed::Conflict {
        return Err(no_dyno(identity));
    }
    let text = format!(
        "Starting process with command `{}` inside {}",
        inside.command, dyno.name
    );
    context.tell(app.id, by, &text).await;
    Ok((known, inside))
}

/// Of two of that name, while one takes the other's place, the one that is up.
async fn meant(context: &Context, app: &App, identity: &str) -> Result<KnownDyno, ActionError> {
    let all = find::dynos(context.store(), app.id).await?;
    let named = all.into_iter().filter(|known| known.is_called(identity));
    named
        .max_by_key(|known| (known.is_up(), known.dyno.value.created_at))
        .ok_or_else(|| no_dyno(identity))
}

fn not_up(known: &KnownDyno, state: Option<&DynoState>) -> ActionError {
    let name = &known.dyno.value.name;
    let advice = match state {
        Some(DynoState::Crashed { .. }) => format!("See why with `paas logs --dyno {name}`."),
        _ => "Try again when `paas ps` shows it up.".to_owned(),
    };
    let state = state.map_or("starting", DynoState::as_str);
    ActionError::invalid(format!(
        "{name} is {state}, and commands run inside dynos that are up. {advice}"
    ))
}

async fn has_room(context: &Context, app: &App, known: &KnownDyno) -> Result<(), ActionError> {
    let dyno = &known.dyno.value;
    let all = key::INSIDE
        .list(context.store(), &key::inside_of(app.id))
        .await?;
    let here = all
        .iter()
        .filter(|inside| inside.value.dyno == dyno.id)
        .count();
    let full = match () {
        () if here >= MAX_PER_DYNO => format!("{MAX_PER_DYNO} commands run inside {}", dyno.name),
        () if all.len() >= MAX_PER_APP => {
            format!("{MAX_PER_APP} commands run inside dynos of this app")
        }
        () => return Ok(()),
    };
    Err(ActionError::invalid(format!(
        "{full}; wait for some to end."
    )))
}
