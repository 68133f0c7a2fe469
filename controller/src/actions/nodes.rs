//! What administrators ask of a host. Its record is the host's own, which keeps what is set here.

use std::collections::BTreeMap;

use controller_api::wire::NodeUpdate;
use model::placement::{MAX_TAG_CHARS, parse_tag_part};
use model::{Node, NodeId};
use store::{Committed, Store, Txn, Versioned, key};

use super::{ActionError, Attempts};
use crate::context::Context;

pub(crate) async fn update(
    context: &Context,
    identity: &str,
    update: &NodeUpdate,
) -> Result<(), ActionError> {
    let tags = update.tags.iter();
    check_tags(tags.map(|(name, value)| (name, value.as_ref())))?;
    let mut attempts = Attempts::default();
    loop {
        let seen = find(context.store(), identity).await?;
        let node = Node {
            cordoned: update.cordoned.unwrap_or(seen.value.cordoned),
            draining: update.draining.unwrap_or(seen.value.draining),
            tags: tagged(&seen.value.tags, &update.tags),
            ..seen.value.clone()
        };
        if node == seen.value {
            return Ok(());
        }
        let txn = Txn::new().replace(&key::NODES, &seen, &node);
        if let Committed::Done(_) = txn.commit(context.store()).await? {
            return Ok(());
        }
        attempts.lost().await?;
    }
}

/// `tags` with the changes made; `None` takes one away.
pub(super) fn tagged(
    tags: &BTreeMap<String, String>,
    changes: &BTreeMap<String, Option<String>>,
) -> BTreeMap<String, String> {
    let mut tags = tags.clone();
    for (name, value) in changes {
        match value {
            Some(value) => tags.insert(name.clone(), value.clone()),
            None => tags.remove(name),
        };
    }
    tags
}

/// Names and values of tags are plain words, so that `name=value` can be written anywhere.
pub(crate) fn check_tags<'a>(
    tags: impl Iterator<Item = (&'a String, Option<&'a String>)>,
) -> Result<(), ActionError> {
    let is_plain = |word: &String| parse_tag_part(word).is_ok();
    for (name, value) in tags {
        if !is_plain(name) || value.is_some_and(|value| !is_plain(value)) {
            return Err(ActionError::invalid(format!(
                "{} is no tag: name and value are made of letters, digits and -_./, {MAX_TAG_CHARS} at most.",
                format!("{name}={}", value.map_or("", String::as_str))
                    .chars()
                    .take(150)
                    .collect::<String>()
            )));
        }
    }
    Ok(())
}

/// By id, or by a name that only one node has.
pub(crate) async fn find(
    store: &dyn Store,
    identity: &str,
) -> Result<Versioned<Node>, ActionError> {
    if let Ok(id) = identity.parse::<NodeId>() {
        let found = key::NODES.get(store, &key::node(id)).await?;
        return found.ok_or_else(|| no_node(identity));
    }
    let mut named = key::NODES.all(store).await?;
    named.retain(|seen| seen.value.name == identity);
    match named.len() {
        0 => Err(no_node(identity)),
        1 => Ok(named.remove(0)),
        many => Err(ActionError::invalid(format!(
            "{many} nodes are called {identity}; name it by its id (paas nodes --json)."
        ))),
    }
}

pub(crate) fn no_node(identity: &str) -> ActionError {
    ActionError::NotFound {
        resource: "node",
        message: format!(
            "Couldn't find the node {}. See `paas nodes`.",
            identity.chars().take(100).collect::<String>()
        ),
    }
}
