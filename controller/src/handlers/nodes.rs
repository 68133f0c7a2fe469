//! Nodes.

use std::collections::HashMap;

use axum::extract::State;
use model::{Dyno, NodeId};
use store::key;

use crate::context::Ctx;
use crate::error::ApiResult;
use crate::http::range::{Page, PageRange};
use crate::views::node::node;

pub(crate) async fn list(State(context): State<Ctx>, range: PageRange) -> ApiResult<Page> {
    let store = context.store();
    let nodes = key::NODES.all(store).await?;
    let heartbeats = key::ALIVE_NODES.all(store).await?;
    let alive: HashMap<NodeId, _> = heartbeats
        .iter()
        .map(|seen| (seen.value.node, &seen.value))
        .collect();
    let dynos = key::DYNOS.all(store).await?;
    let mut placed: HashMap<NodeId, Vec<&Dyno>> = HashMap::new();
    for dyno in &dynos {
        if let Some(node) = dyno.value.node {
            placed.entry(node).or_default().push(&dyno.value);
        }
    }
    range.page(nodes.iter().map(|seen| {
        let dynos = placed
            .get(&seen.value.id)
            .map(Vec::as_slice)
            .unwrap_or_default();
        node(&seen.value, alive.get(&seen.value.id).copied(), dynos)
    }))
}
