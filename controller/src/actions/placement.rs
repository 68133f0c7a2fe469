//! Where an app's dynos may run. Not a release: the planner moves what is in the wrong place.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use controller_api::wire::{PlacementUpdate, TypePlacementUpdate};
use model::placement::{has_all, listed};
use model::{Actor, App, AppId, Node, NodeId, Placement, ProcessType, Timestamp, TypePlacement};
use store::{Committed, Store, Txn, key};

use super::nodes::{check_tags, tagged};
use super::{ActionError, Attempts, formation, read_app};
use crate::context::Context;
use crate::find;

/// All of the update or nothing. One that no node could ever satisfy is refused, and what runs is not touched.
pub(crate) async fn update(
    context: &Context,
    app: AppId,
    by: &Actor,
    update: &PlacementUpdate,
) -> Result<App, ActionError> {
    check(update)?;
    let mut attempts = Attempts::default();
    loop {
        let seen = read_app(context.store(), app).await?;
        let types = resolve(context, &seen.value, update).await?;
        let changed = App {
            placement: changed(&seen.value.placement, update, &types),
            updated_at: Timestamp::now(),
            ..seen.value.clone()
        };
        if changed.placement == seen.value.placement {
            return Ok(seen.value);
        }
        let usable = usable_nodes(context.store()).await?;
        check_satisfiable(&seen.value.placement, &changed.placement, update, &usable)?;
        let txn = Txn::new().replace(&key::APPS, &seen, &changed);
        if let Committed::Done(_) = txn.commit(context.store()).await? {
            context.tell(app, by, &describe(update)).await;
            return Ok(changed);
        }
        attempts.lost().await?;
    }
}

fn check(update: &PlacementUpdate) -> Result<(), ActionError> {
    let of_types = update.types.values().flat_map(|of_type| &of_type.tags);
    let tags = update.tags.iter().chain(of_types);
    check_tags(tags.map(|(name, value)| (name, value.as_ref())))
}

/// The process types that are meant: those the app has, or has wishes for.
async fn resolve(
    context: &Context,
    app: &App,
    update: &PlacementUpdate,
) -> Result<BTreeMap<ProcessType, TypePlacementUpdate>, ActionError> {
    let slug = find::target_slug(context.store(), app).await?;
    let resolve = |(name, change): (&String, &TypePlacementUpdate)| {
        let known = app
            .placement
            .types
            .keys()
            .find(|known| known.as_str() == name);
        let process_type = match known {
            Some(known) => known.clone(),
            None => formation::resolve(app, slug.as_ref(), name)?,
        };
        Ok((process_type, change.clone()))
    };
    update.types.iter().map(resolve).collect()
}

fn changed(
    placement: &Placement,
    update: &PlacementUpdate,
    types: &BTreeMap<ProcessType, TypePlacementUpdate>,
) -> Placement {
    let mut changed = Placement {
        tags: tagged(&placement.tags, &update.tags),
        types: placement.types.clone(),
    };
    for (process_type, change) in types {
        let own = changed.types.entry(process_type.clone()).or_default();
        own.tags = tagged(&own.tags, &change.tags);
        own.one_per_node = change.one_per_node.unwrap_or(own.one_per_node);
    }
    changed
        .types
        .retain(|_, own| *own != TypePlacement::default());
    changed
}

/// Nodes that take new dynos now.
async fn usable_nodes(store: &dyn Store) -> Result<Vec<Node>, ActionError> {
    let alive = key::ALIVE_NODES.all(store).await?;
    let alive: BTreeSet<NodeId> = alive.iter().map(|seen| seen.value.node).collect();
    let nodes = key::NODES.all(store).await?.into_iter();
    let takes_dynos = |node: &Node| {
        node.runs_dynos() && !node.cordoned && !node.draining && alive.contains(&node.id)
    };
    Ok(nodes.map(|seen| seen.value).filter(takes_dynos).collect())
}

/// Whether for all that the update newly asks for there is a node. Whether there is room on it is the planner's to say.
fn check_satisfiable(
    before: &Placement,
    after: &Placement,
    update: &PlacementUpdate,
    usable: &[Node],
) -> Result<(), ActionError> {
    let sets = |tags: &BTreeMap<String, Option<String>>| tags.values().any(Option::is_some);
    if !sets(&update.tags) && !update.types.values().any(|of_type| sets(&of_type.tags)) {
        return Ok(());
    }
    let tags_of = |placement: &Placement, process_type: Option<&ProcessType>| match process_type {
        Some(process_type) => placement.tags_for(process_type),
        None => placement.tags.clone(),
    };
    for process_type in iter::once(None).chain(after.types.keys().map(Some)) {
        let tags = tags_of(after, process_type);
        let is_as_before = tags_of(before, process_type) == tags;
        if is_as_before || usable.iter().any(|node| has_all(&node.tags, &tags)) {
            continue;
        }
        let of_type = process_type.map_or_else(String::new, |name| format!(" for {name}"));
        return Err(ActionError::invalid(format!(
            "No live node that takes new dynos has the tag {}, as would be needed{of_type}; nothing was changed. {}",
            listed(&tags),
            offered(usable)
        )));
    }
    Ok(())
}

/// What there is to choose from.
fn offered(usable: &[Node]) -> String {
    const MOST: usize = 20;
    let pair = |(name, value): (&String, &String)| format!("{name}={value}");
    let tags: BTreeSet<String> = usable
        .iter()
        .flat_map(|node| node.tags.iter().map(pair))
        .collect();
    if tags.is_empty() {
        return "No such node has any tag; administrators set them with `paas nodes:tag`."
            .to_owned();
    }
    let shown: Vec<String> = tags.iter().take(MOST).cloned().collect();
    format!("There are nodes with: {}.", shown.join(", "))
}

/// `Set tags disk=ssd; remove tags gpu of worker`
fn describe(update: &PlacementUpdate) -> String {
    let mut words = words(&update.tags, "");
    for (process_type, change) in &update.types {
        words.extend(self::words(&change.tags, &format!(" of {process_type}")));
        words.extend(change.one_per_node.map(|alone| match alone {
            true => format!("let no two dynos of {process_type} share a node"),
            false => format!("let dynos of {process_type} share a node"),
        }));
    }
    let text = words.join("; ");
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

fn words(tags: &BTreeMap<String, Option<String>>, whose: &str) -> Vec<String> {
    let set: Vec<String> = tags
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)))
        .collect();
    let removed: Vec<&str> = tags
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    let mut words = Vec::new();
    if !set.is_empty() {
        words.push(format!("set tags {}{whose}", set.join(" ")));
    }
    if !removed.is_empty() {
        words.push(format!("remove tags {}{whose}", removed.join(" ")));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, Option<&str>)]) -> BTreeMap<String, Option<String>> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
            .collect()
    }

    #[test]
    fn an_update_merges_and_leaves_no_empty_types_behind() {
        let worker: ProcessType = "worker".parse().unwrap();
        let change = |tags, one_per_node| {
            let change = TypePlacementUpdate { one_per_node, tags };
            BTreeMap::from([(worker.clone(), change)])
        };
        let update = PlacementUpdate {
            tags: tags(&[("disk", Some("ssd"))]),
            ..PlacementUpdate::default()
        };
        let one = changed(
            &Placement::default(),
            &update,
            &change(tags(&[("gpu", Some("yes"))]), Some(true)),
        );
        assert!(one.is_one_per_node(&worker));
        assert_eq!(listed(&one.tags_for(&worker)), "disk=ssd and gpu=yes");
        let nothing = PlacementUpdate::default();
        let two = changed(&one, &nothing, &change(tags(&[("gpu", None)]), None));
        assert!(two.is_one_per_node(&worker) && two.types[&worker].tags.is_empty());
        let three = changed(&two, &nothing, &change(tags(&[]), Some(false)));
        assert!(three.types.is_empty() && listed(&three.tags) == "disk=ssd");
    }

    #[test]
    fn the_log_says_what_was_changed() {
        let mut update = PlacementUpdate {
            tags: tags(&[("disk", Some("ssd")), ("gpu", None)]),
            ..PlacementUpdate::default()
        };
        assert_eq!(describe(&update), "Set tags disk=ssd; remove tags gpu");
        let of_type = TypePlacementUpdate {
            one_per_node: Some(true),
            tags: tags(&[("disk", Some("hdd"))]),
        };
        update.types.insert("worker".to_owned(), of_type);
        update.tags.clear();
        assert_eq!(
            describe(&update),
            "Set tags disk=hdd of worker; let no two dynos of worker share a node"
        );
    }
}
