//! Scaling: how many dynos of a process type, and how large. Not a release.

use controller_api::wire::{FormationBatch, FormationChange, FormationUpdate};
use model::app::MAX_QUANTITY;
use model::{Actor, App, AppId, DynoSize, Formation, ProcessType, Slug, Timestamp};
use store::{Committed, Txn, key};

use super::{ActionError, Attempts, read_app};
use crate::context::Context;
use crate::{find, views};

/// Of process types that no code has told of yet.
const MAX_AHEAD: usize = 100;

/// A change whose words are understood.
#[derive(Debug)]
struct Change {
    /// As it was asked for: it may be a formation's id.
    identity: String,
    change: FormationChange,
    size: Option<DynoSize>,
}

/// What came of scaling.
#[derive(Debug)]
pub(crate) struct Scaled {
    pub(crate) app: App,
    pub(crate) slug: Option<Slug>,
    /// The types that were named, in the order they were.
    pub(crate) types: Vec<ProcessType>,
}

/// All of the updates or none.
pub(crate) async fn scale(
    context: &Context,
    app: AppId,
    by: &Actor,
    batch: FormationBatch,
) -> Result<Scaled, ActionError> {
    let ahead = batch.ahead;
    let changes = batch
        .updates
        .into_iter()
        .map(parse)
        .collect::<Result<Vec<_>, _>>()?;
    let mut attempts = Attempts::default();
    loop {
        let seen = read_app(context.store(), app).await?;
        let slug = find::target_slug(context.store(), &seen.value).await?;
        let mut changed = seen.value.clone();
        let mut types = Vec::new();
        for change in &changes {
            let process_type = match resolve(&seen.value, slug.as_ref(), &change.identity) {
                Err(ActionError::NotFound { .. }) if ahead && slug.is_none() => {
                    change.identity.parse::<ProcessType>()?
                }
                known => known?,
            };
            if types.contains(&process_type) {
                return Err(ActionError::invalid(format!(
                    "The process type {process_type} is named twice; say once how it should be."
                )));
            }
            if ahead && slug.is_none() {
                // No web dyno is a wish, too, and has to be said: without a word of how many, there is the one that a first
                // release begins with.
                let unsaid = change.change.quantity.is_none();
                let begun = Formation {
                    quantity: u32::from(unsaid && process_type.is_web()),
                    size: DynoSize::default(),
                };
                changed
                    .formation
                    .entry(process_type.clone())
                    .or_insert(begun);
            }
            apply(&mut changed, &process_type, change)?;
            types.push(process_type);
        }
        if ahead && slug.is_none() && changed.formation.len() > MAX_AHEAD {
            return Err(ActionError::invalid(format!(
                "At most {MAX_AHEAD} process types can be scaled before there is code."
            )));
        }
        if changed == seen.value {
            return Ok(Scaled {
                app: changed,
                slug,
                types,
            });
        }
        changed.updated_at = Timestamp::now();
        let txn = Txn::new().replace(&key::APPS, &seen, &changed);
        if let Committed::Done(_) = txn.commit(context.store()).await? {
            context.tell(app, by, &describe(&changed, &types)).await;
            return Ok(Scaled {
                app: changed,
                slug,
                types,
            });
        }
        attempts.lost().await?;
    }
}

/// The process type meant by a name or a formation's id.
pub(crate) fn resolve(
    app: &App,
    slug: Option<&Slug>,
    identity: &str,
) -> Result<ProcessType, ActionError> {
    let types = views::formation::types(app, slug);
    let is_meant = |process_type: &&&ProcessType| {
        process_type.as_str() == identity
            || views::formation::formation(app, slug, process_type)
                .id
                .to_string()
                == identity
    };
    if let Some(process_type) = types.iter().find(is_meant) {
        return Ok((*process_type).clone());
    }
    let hint = if types.is_empty() {
        "Nothing was deployed yet: process types come with the first push.".to_owned()
    } else {
        let names: Vec<_> = types
            .iter()
            .map(|process_type| process_type.as_str())
            .collect();
        format!("This app has: {}.", names.join(", "))
    };
    Err(ActionError::NotFound {
        resource: "formation",
        message: format!(
            "Couldn't find that process type ({}). {hint}",
            identity.chars().take(100).collect::<String>()
        ),
    })
}

fn parse(update: FormationUpdate) -> Result<Change, ActionError> {
    let size = update.change.size.as_deref().map(str::parse).transpose()?;
    Ok(Change {
        identity: update.process_type,
        change: update.change,
        size,
    })
}

fn apply(app: &mut App, process_type: &ProcessType, change: &Change) -> Result<(), ActionError> {
    let now = app.quantity(process_type);
    let quantity = change
        .change
        .quantity
        .map_or(now, |quantity| quantity.of(now));
    if quantity > MAX_QUANTITY {
        return Err(ActionError::invalid(format!(
            "A process type may have at most {MAX_QUANTITY} dynos."
        )));
    }
    if process_type.is_release() && quantity > 0 {
        return Err(ActionError::invalid(
            "The release type runs by itself before each release, and is not scaled.",
        ));
    }
    let size = change.size.unwrap_or_else(|| app.size(process_type));
    if quantity != now || size != app.size(process_type) {
        app.formation
            .insert(process_type.clone(), Formation { quantity, size });
    }
    Ok(())
}

/// `Scaled to web@2:Standard-1X worker@0:Standard-1X`
fn describe(app: &App, types: &[ProcessType]) -> String {
    let formations: Vec<_> = types
        .iter()
        .map(|name| format!("{name}@{}:{}", app.quantity(name), app.size(name)))
        .collect();
    format!("Scaled to {}", formations.join(" "))
}
