//! Nodes.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::{BuildPlace, NodeId};
use store::key;

use crate::actions;
use crate::context::{Context, Ctx};
use crate::error::ApiResult;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views::node::{OnNode, node};

pub(crate) async fn list(State(context): State<Ctx>, range: PageRange) -> ApiResult<Page> {
    range.page(all(&context).await?)
}

pub(crate) async fn show(
    State(context): State<Ctx>,
    Path(identity): Path<String>,
) -> ApiResult<Json<wire::Node>> {
    Ok(Json(one(&context, &identity).await?))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    Path(identity): Path<String>,
    JsonBody(body): JsonBody<wire::NodeUpdate>,
) -> ApiResult<Json<wire::Node>> {
    actions::nodes::update(&context, &identity, &body).await?;
    Ok(Json(one(&context, &identity).await?))
}

/// As it was.
pub(crate) fn view_of_removed(removed: &model::Node) -> wire::Node {
    node(removed, None, &OnNode::default())
}

async fn one(context: &Context, identity: &str) -> ApiResult<wire::Node> {
    let id = actions::nodes::find(context.store(), identity)
        .await?
        .value
        .id;
    let found = all(context).await?.into_iter().find(|node| node.id == id);
    Ok(found.ok_or_else(|| actions::nodes::no_node(identity))?)
}

async fn all(context: &Context) -> ApiResult<Vec<wire::Node>> {
    let store = context.store();
    let nodes = key::NODES.all(store).await?;
    let heartbeats = key::ALIVE_NODES.all(store).await?;
    let alive: HashMap<NodeId, _> = heartbeats
        .iter()
        .map(|seen| (seen.value.node, &seen.value))
        .collect();
    let dynos = key::DYNOS.all(store).await?;
    let requests = key::BUILD_REQUESTS.all(store).await?;
    let places = key::BUILD_PLACES.all(store).await?;
    let mut placed: HashMap<NodeId, OnNode<'_>> = HashMap::new();
    for dyno in &dynos {
        if let Some(node) = dyno.value.node {
            placed.entry(node).or_default().dynos.push(&dyno.value);
        }
    }
    for request in requests.iter().map(|seen| &seen.value) {
        let mut answers = places.iter().map(|seen| &seen.value);
        let answer = answers.find(|place| place.app == request.app && place.answers(request));
        if let Some((_, host)) = answer.and_then(BuildPlace::given) {
            placed.entry(host).or_default().builds.push(request);
        }
    }
    let nothing = OnNode::default();
    let views = nodes.iter().map(|seen| {
        let on_it = placed.get(&seen.value.id).unwrap_or(&nothing);
        node(&seen.value, alive.get(&seen.value.id).copied(), on_it)
    });
    Ok(views.collect())
}
