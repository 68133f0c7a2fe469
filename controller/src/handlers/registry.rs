//! The buildpack registry, as far as the official clients ask it: what a name such as `heroku/python` stands for. They ask
//! without a token, as they would ask Heroku's.

use axum::Json;
use axum::extract::{Path, Query};
use serde::Serialize;

use crate::actions::buildpacks::SHIPPED;
use crate::error::{ApiError, ApiResult};

const NAMESPACE: &str = "heroku";

#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    namespace: &'static str,
    name: &'static str,
    description: String,
    /// What an app's buildpack is set to.
    blob_url: String,
}

fn entry(name: &'static str) -> Entry {
    Entry {
        namespace: NAMESPACE,
        name,
        description: format!("The platform's own buildpack for {name}"),
        blob_url: format!("urn:buildpack:{NAMESPACE}/{name}"),
    }
}

pub(crate) async fn show(Path(wanted): Path<String>) -> ApiResult<Json<Entry>> {
    let (namespace, name) = wanted.split_once('/').unwrap_or((NAMESPACE, &wanted));
    let known = SHIPPED
        .iter()
        .find(|known| namespace == NAMESPACE && **known == name);
    known
        .map(|name| Json(entry(name)))
        .ok_or_else(|| ApiError::not_found("buildpack"))
}

/// `in[namespace][]` and `in[name][]`, each as often as one likes, and `like[description]`, a part of the text.
pub(crate) async fn search(Query(wanted): Query<Vec<(String, String)>>) -> Json<Vec<Entry>> {
    let is_in = |key: &str, value: &str| {
        let mut given = wanted.iter().filter(|(name, _)| name == key).peekable();
        given.peek().is_none() || given.any(|(_, one)| one == value)
    };
    let is_like = |text: &str| {
        let mut parts = wanted
            .iter()
            .filter(|(name, _)| name == "like[description]");
        parts.all(|(_, part)| text.contains(part.as_str()))
    };
    let mut found: Vec<Entry> = SHIPPED.into_iter().map(entry).collect();
    found.retain(|entry| {
        is_in("in[namespace][]", entry.namespace)
            && is_in("in[name][]", entry.name)
            && is_like(&entry.description)
    });
    Json(found)
}
