//! Running one-off dynos, restarting and stopping dynos.

use std::collections::{BTreeMap, HashSet};

use controller_api::wire::DynoCreate;
use model::dyno::{Attach, OneOff};
use model::{
    Actor, App, AppId, ConfigVarName, ConfigVars, Dyno, DynoId, DynoKind, DynoName, DynoSize,
    Intent, ProcessType, Secret, Slug, Timestamp,
};
use rand::Rng as _;
use store::{Committed, Txn, Versioned, key};

use super::{ActionError, Attempts, read_app};
use crate::attach::{Kind, new_secret};
use crate::context::Context;
use crate::find::{self, KnownDyno};

const MAX_COMMAND: usize = 32 * 1024;
const MAX_ONE_OFFS: usize = 100;
/// Seconds a detached dyno may run.
const MAX_TIME_TO_LIVE: i64 = 24 * 3600;
/// Well below the store's limit on one commit.
const CHUNK: usize = 50;
const SCREEN: (u16, u16) = (80, 24);

/// A one-off dyno with the slug and config of the release that the app should run. The scheduler places it.
pub(crate) async fn run(
    context: &Context,
    app: AppId,
    by: &Actor,
    create: &DynoCreate,
) -> Result<(App, Dyno), ActionError> {
    start(context, app, by, create, |_| Txn::new()).await
}

/// The same, and in the same commit what `also` makes of it.
pub(crate) async fn start(
    context: &Context,
    app: AppId,
    by: &Actor,
    create: &DynoCreate,
    mut also: impl FnMut(&mut Dyno) -> Txn + Send,
) -> Result<(App, Dyno), ActionError> {
    let process_type: ProcessType = create
        .process_type
        .as_deref()
        .filter(|name| !name.is_empty())
        .unwrap_or("run")
        .parse()?;
    let mut attempts = Attempts::default();
    loop {
        let seen = read_app(context.store(), app).await?.value;
        let release = key::RELEASES
            .get(context.store(), &key::release(app, seen.target))
            .await?
            .ok_or(ActionError::Gone { resource: "app" })?
            .value;
        let slug = find::slug(context.store(), app, release.slug)
            .await?
            .ok_or_else(|| {
                ActionError::invalid(format!(
                    "Nothing was deployed to {} yet: push some code first.",
                    seen.name
                ))
            })?;
        let id = DynoId::new();
        let mut dyno = Dyno {
            id,
            app,
            app_name: seen.name.clone(),
            name: free_name(context, app, &process_type).await?,
            kind: DynoKind::OneOff(one_off(context, app, id, by, create)?),
            release: release.version,
            release_id: release.id,
            node: None,
            command: command(&create.command, &slug)?,
            size: create
                .size
                .as_deref()
                .map(str::parse::<DynoSize>)
                .transpose()?
                .unwrap_or_default(),
            intent: Intent::Run,
            replace: false,
            created_at: Timestamp::now(),
        };
        let txn =
            also(&mut dyno)
                .exists(key::app(app))
                .create(&key::DYNOS, key::dyno(app, id), &dyno);
        if let Committed::Done(_) = txn.commit(context.store()).await? {
            context
                .tell(
                    app,
                    by,
                    &format!("Starting process with command `{}`", dyno.command),
                )
                .await;
            return Ok((seen, dyno));
        }
        attempts.lost().await?;
    }
}

fn one_off(
    context: &Context,
    app: AppId,
    dyno: DynoId,
    by: &Actor,
    create: &DynoCreate,
) -> Result<OneOff, ActionError> {
    let env = environment(&create.env)?;
    let is_attached = create.attach.unwrap_or_default();
    let attach = is_attached.then(|| attach(context, &create.env, create.force_no_tty));
    let time_to_live = create
        .time_to_live
        .unwrap_or(MAX_TIME_TO_LIVE)
        .clamp(1, MAX_TIME_TO_LIVE);
    Ok(OneOff {
        env: context.keyring.seal(&key::dyno(app, dyno), &env)?,
        attach,
        time_to_live_secs: time_to_live.unsigned_abs(),
        requested_by: by.clone(),
        is_kept: false,
    })
}

/// A new secret, and what the two who meet by it have.
pub(super) fn attach(
    context: &Context,
    env: &BTreeMap<String, String>,
    force_no_tty: Option<bool>,
) -> Attach {
    let side = |name: &str, usual: u16| {
        env.get(name)
            .and_then(|text| text.parse().ok())
            .filter(|size| *size > 0)
            .unwrap_or(usual)
    };
    let tty = !force_no_tty.unwrap_or_default();
    let kind = match tty {
        true => Kind::Terminal,
        false => Kind::Pipes,
    };
    Attach {
        secret: new_secret(&context.keyring, kind),
        tty,
        columns: side("COLUMNS", SCREEN.0),
        lines: side("LINES", SCREEN.1),
    }
}

pub(super) fn environment(env: &BTreeMap<String, String>) -> Result<ConfigVars, ActionError> {
    let mut change = model::ConfigChange::default();
    for (name, value) in env {
        change.0.insert(
            name.parse::<ConfigVarName>()?,
            Some(Secret::from(value.as_str())),
        );
    }
    Ok(ConfigVars::default().with(&change)?)
}

/// The command to run; a process type of the app stands for its command.
pub(super) fn command(given: &str, slug: &Slug) -> Result<String, ActionError> {
    let given = given.trim();
    if given.is_empty() || given.len() > MAX_COMMAND || given.contains('\0') {
        return Err(ActionError::invalid(format!(
            "Say what to run: a command of 1 to {MAX_COMMAND} characters, such as bash."
        )));
    }
    let (first, rest) = given.split_once(char::is_whitespace).unwrap_or((given, ""));
    let named = first
        .parse::<ProcessType>()
        .ok()
        .and_then(|name| slug.process_types.get(&name));
    Ok(named.map_or_else(
        || given.to_owned(),
        |command| format!("{command} {rest}").trim_end().to_owned(),
    ))
}

/// `run.4242`, with a number that no dyno of the app has.
async fn free_name(
    context: &Context,
    app: AppId,
    process_type: &ProcessType,
) -> Result<DynoName, ActionError> {
    let dynos = key::DYNOS
        .list(context.store(), &key::dynos_of(app))
        .await?;
    let one_offs = dynos
        .iter()
        .filter(|dyno| matches!(dyno.value.kind, DynoKind::OneOff(_)))
        .count();
    if one_offs >= MAX_ONE_OFFS {
        return Err(ActionError::invalid(format!(
            "{MAX_ONE_OFFS} one-off dynos of this app are running; wait for some to end, or stop them."
        )));
    }
    let taken: HashSet<&DynoName> = dynos.iter().map(|dyno| &dyno.value.name).collect();
    loop {
        let name = DynoName::new(process_type.clone(), rand::rng().random_range(1000..10_000));
        if !taken.contains(&name) {
            return Ok(name);
        }
    }
}

/// What a restart or stop is to do to a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Dynos of the formation get a replacement first; one-off dynos just end.
    Restart,
    /// One-off dynos end; dynos of the formation are replaced, since the formation wants them.
    Stop,
}

/// Which dynos are meant.
#[derive(Debug, Clone)]
pub(crate) enum Which {
    Formation,
    Type(ProcessType),
    /// By name or id.
    One(String),
}

/// Repeats until every dyno meant has its order: whoever changes one meanwhile only delays that. Those made since, perhaps
/// in place of one that had its order, are not meant.
pub(crate) async fn order(
    context: &Context,
    app: AppId,
    which: &Which,
    order: Order,
) -> Result<(), ActionError> {
    let mut attempts = Attempts::default();
    let mut meant = select(context, app, which).await?;
    loop {
        let changes: Vec<_> = meant
            .iter()
            .filter_map(|seen| Some((seen, ordered(&seen.value, order)?)))
            .collect();
        let mut conflict = false;
        for chunk in changes.chunks(CHUNK) {
            let txn = chunk.iter().fold(Txn::new(), |txn, (seen, dyno)| {
                txn.replace(&key::DYNOS, seen, dyno)
            });
            conflict |= txn.commit(context.store()).await? == Committed::Conflict;
        }
        if !conflict {
            return Ok(());
        }
        attempts.lost().await?;
        let ids: HashSet<DynoId> = meant.iter().map(|seen| seen.value.id).collect();
        meant = key::DYNOS
            .list(context.store(), &key::dynos_of(app))
            .await?
            .into_iter()
            .filter(|seen| ids.contains(&seen.value.id))
            .collect();
    }
}

async fn select(
    context: &Context,
    app: AppId,
    which: &Which,
) -> Result<Vec<Versioned<Dyno>>, ActionError> {
    if let Which::One(identity) = which {
        let found = find::dyno(context.store(), app, identity).await?;
        return Ok(vec![found.ok_or_else(|| no_dyno(identity))?.dyno]);
    }
    let all = find::dynos(context.store(), app).await?;
    let is_meant = |known: &KnownDyno| match which {
        Which::Formation => matches!(known.dyno.value.kind, DynoKind::Formation),
        Which::Type(process_type) => known.dyno.value.name.process_type == *process_type,
        Which::One(_) => false,
    };
    Ok(all
        .into_iter()
        .filter(is_meant)
        .map(|known| known.dyno)
        .collect())
}

/// `None` when it has that order already.
fn ordered(dyno: &Dyno, order: Order) -> Option<Dyno> {
    match (&dyno.kind, order) {
        (DynoKind::Formation, Order::Restart | Order::Stop) => (!dyno.replace).then(|| Dyno {
            replace: true,
            ..dyno.clone()
        }),
        (DynoKind::OneOff(_), Order::Restart | Order::Stop)
        | (DynoKind::ReleasePhase, Order::Stop) => (!dyno.is_stopping()).then(|| Dyno {
            intent: Intent::Stop {
                since: Timestamp::now(),
            },
            ..dyno.clone()
        }),
        // Its release waits for its end.
        (DynoKind::ReleasePhase, Order::Restart) => None,
    }
}

pub(crate) fn no_dyno(identity: &str) -> ActionError {
    ActionError::NotFound {
        resource: "dyno",
        message: format!(
            "Couldn't find the dyno {}. See `paas ps`.",
            identity.chars().take(100).collect::<String>()
        ),
    }
}
