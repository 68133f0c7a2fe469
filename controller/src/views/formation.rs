//! Formations.

use controller_api::wire;
use model::{App, ProcessType, Slug};

use super::{app_ref, id_of, named};

/// The process types an app has: those of its slug, and those that still have dynos though its slug has them no more. Before
/// there is code, those that were scaled ahead of it.
pub(crate) fn types<'a>(app: &'a App, slug: Option<&'a Slug>) -> Vec<&'a ProcessType> {
    let of_slug = slug.into_iter().flat_map(|slug| slug.process_types.keys());
    let still_there = app
        .formation
        .iter()
        .filter(|(_, formation)| formation.quantity > 0 || slug.is_none())
        .map(|(name, _)| name);
    let mut types: Vec<_> = of_slug.chain(still_there).collect();
    types.sort();
    types.dedup();
    types
}

pub(crate) fn formations(app: &App, slug: Option<&Slug>) -> Vec<wire::Formation> {
    types(app, slug)
        .into_iter()
        .map(|process_type| formation(app, slug, process_type))
        .collect()
}

pub(crate) fn formation(
    app: &App,
    slug: Option<&Slug>,
    process_type: &ProcessType,
) -> wire::Formation {
    let size = app.size(process_type);
    let command = slug
        .and_then(|slug| slug.process_types.get(process_type))
        .cloned()
        .unwrap_or_default();
    wire::Formation {
        app: app_ref(app),
        command,
        created_at: app.created_at.into(),
        dyno_size: named("dyno-size", size.as_str()),
        id: id_of("formation", &format!("{} {process_type}", app.id)),
        quantity: app.quantity(process_type),
        size,
        process_type: process_type.to_string(),
        updated_at: app.updated_at.into(),
    }
}
