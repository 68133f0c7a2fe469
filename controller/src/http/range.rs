//! Lists by pages, Heroku's way: `Range: version ..; max=15, order=desc` in, 206 and `Next-Range` out.
//!
//! Any field of the listed objects that is a string or a number can order them. Without a `Range`, lists are ordered by
//! `id`. A page that would end among equals goes on to their end, so that the next one loses none of them.

use std::cmp::Ordering;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use crate::error::{ApiError, ApiResult};

const DEFAULT_MAX: usize = 200;
const MAX: usize = 1000;

/// The part of a list that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PageRange {
    field: String,
    start: Option<Bound>,
    end: Option<Bound>,
    max: usize,
    descending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    text: String,
    /// `]4..`: 4 itself is left out.
    exclusive: bool,
}

/// One page, ready to be sent.
#[derive(Debug)]
pub(crate) struct Page {
    items: Vec<Value>,
    field: String,
    next: Option<String>,
}

impl Default for PageRange {
    fn default() -> Self {
        Self {
            field: "id".to_owned(),
            start: None,
            end: None,
            max: DEFAULT_MAX,
            descending: false,
        }
    }
}

impl PageRange {
    /// `None` for what is no range of ours (`bytes=0-99`, nonsense): such a header is ignored, as HTTP wants it.
    fn parse(text: &str) -> Option<Self> {
        let mut range = Self::default();
        for part in text
            .split([';', ','])
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            if let Some((start, end)) = part.split_once("..") {
                let (field, start) = split_field(start.trim());
                if !field.is_empty() {
                    range.field = field.to_owned();
                }
                range.start = Bound::parse_start(start);
                range.end = Bound::parse_end(end.trim());
                continue;
            }
            let (name, value) = part.split_once('=')?;
            match (name.trim(), value.trim()) {
                ("max", value) => range.max = value.parse::<usize>().ok()?.clamp(1, MAX),
                ("order", value) if value.eq_ignore_ascii_case("desc") => range.descending = true,
                ("order", value) if value.eq_ignore_ascii_case("asc") => range.descending = false,
                _ => return None,
            }
        }
        Some(range)
    }

    /// With `alias` for another name of `field`.
    pub(crate) fn reading(mut self, alias: &str, field: &str) -> Self {
        if self.field == alias {
            field.clone_into(&mut self.field);
        }
        self
    }

    pub(crate) fn page<T: Serialize>(&self, items: impl IntoIterator<Item = T>) -> ApiResult<Page> {
        let items: Result<Vec<_>, _> = items.into_iter().map(serde_json::to_value).collect();
        let mut items = items.map_err(ApiError::internal)?;
        if let Some(without) = items.iter().find(|item| !is_key(&item[&self.field])) {
            return Err(ApiError::unsatisfiable_range(format!(
                "This list cannot be ordered by {:?}; it can by {}.",
                self.field,
                fields(without).join(", ")
            )));
        }
        items.retain(|item| self.contains(&item[&self.field]));
        items.sort_by(|a, b| {
            let order =
                compare(&a[&self.field], &b[&self.field]).then_with(|| compare(&a["id"], &b["id"]));
            if self.descending {
                order.reverse()
            } else {
                order
            }
        });
        let mut end = self.max.min(items.len());
        while end > 0 && end < items.len() && items[end][&self.field] == items[end - 1][&self.field]
        {
            end += 1;
        }
        let next = (end < items.len()).then(|| self.after(&items[end - 1][&self.field]));
        items.truncate(end);
        Ok(Page {
            items,
            field: self.field.clone(),
            next,
        })
    }

    fn contains(&self, key: &Value) -> bool {
        let (low, high) = if self.descending {
            (&self.end, &self.start)
        } else {
            (&self.start, &self.end)
        };
        let above = low.as_ref().is_none_or(|bound| match bound.compare(key) {
            Ordering::Less => true,
            Ordering::Equal => !bound.exclusive,
            Ordering::Greater => false,
        });
        let below = high.as_ref().is_none_or(|bound| match bound.compare(key) {
            Ordering::Greater => true,
            Ordering::Equal => !bound.exclusive,
            Ordering::Less => false,
        });
        above && below
    }

    /// The range of the next page: clients send it back as it is.
    fn after(&self, last: &Value) -> String {
        let end = self.end.as_ref().map_or_else(String::new, Bound::to_end);
        let order = if self.descending { ", order=desc" } else { "" };
        format!(
            "{} ]{}..{end}; max={}{order}",
            self.field,
            key_text(last),
            self.max
        )
    }
}

impl Bound {
    fn parse_start(text: &str) -> Option<Self> {
        let (text, exclusive) = match text.strip_prefix(']') {
            Some(rest) => (rest, true),
            None => (text.strip_prefix('[').unwrap_or(text), false),
        };
        (!text.is_empty()).then(|| Self {
            text: text.to_owned(),
            exclusive,
        })
    }

    fn parse_end(text: &str) -> Option<Self> {
        let (text, exclusive) = match text.strip_suffix('[') {
            Some(rest) => (rest, true),
            None => (text.strip_suffix(']').unwrap_or(text), false),
        };
        (!text.is_empty()).then(|| Self {
            text: text.to_owned(),
            exclusive,
        })
    }

    fn to_end(&self) -> String {
        format!("{}{}", self.text, if self.exclusive { "[" } else { "" })
    }

    /// This bound against a key. A bound that is no number lies after all numbers.
    fn compare(&self, key: &Value) -> Ordering {
        match key {
            Value::Number(number) => match (self.text.parse::<f64>(), number.as_f64()) {
                (Ok(bound), Some(number)) => bound.total_cmp(&number),
                _ => Ordering::Greater,
            },
            other => self.text.as_str().cmp(other.as_str().unwrap_or_default()),
        }
    }
}

impl Page {
    #[cfg(test)]
    fn values(&self, field: &str) -> Vec<String> {
        self.items
            .iter()
            .map(|item| key_text(&item[field]))
            .collect()
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let content_range = match (self.items.first(), self.items.last()) {
            (Some(first), Some(last)) => Some(format!(
                "{} {}..{}",
                self.field,
                key_text(&first[&self.field]),
                key_text(&last[&self.field])
            )),
            _ => None,
        };
        let accept_ranges = self.items.first().map(|item| fields(item).join(", "));
        let status = if self.next.is_some() {
            StatusCode::PARTIAL_CONTENT
        } else {
            StatusCode::OK
        };
        let mut response = (status, axum::Json(self.items)).into_response();
        let headers = response.headers_mut();
        for (name, text) in [
            (header::CONTENT_RANGE.as_str(), content_range),
            (header::ACCEPT_RANGES.as_str(), accept_ranges),
            ("next-range", self.next),
        ] {
            if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok())
                && let Ok(name) = axum::http::HeaderName::try_from(name)
            {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageRange {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        let text = parts
            .headers
            .get(header::RANGE)
            .and_then(|value| value.to_str().ok());
        Ok(text.and_then(Self::parse).unwrap_or_default())
    }
}

/// `id ]abc` → (`id`, `]abc`); `]abc` alone has no field.
fn split_field(text: &str) -> (&str, &str) {
    match text.split_once(char::is_whitespace) {
        Some((field, start)) => (field, start.trim()),
        None if text.starts_with(['[', ']']) => ("", text),
        None => (text, ""),
    }
}

fn is_key(value: &Value) -> bool {
    value.is_string() || value.is_number()
}

fn fields(item: &Value) -> Vec<&str> {
    let Some(object) = item.as_object() else {
        return Vec::new();
    };
    object
        .iter()
        .filter(|(_, value)| is_key(value))
        .map(|(name, _)| name.as_str())
        .collect()
}

fn key_text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.as_str().cmp(&b.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn releases(count: u64) -> Vec<Value> {
        (1..=count).map(|n| json!({"id": format!("{:03}", 999 - n), "version": n, "type": "web", "slug": null})).collect()
    }

    fn versions(range: &str, count: u64) -> Vec<String> {
        PageRange::parse(range)
            .unwrap()
            .page(releases(count))
            .unwrap()
            .values("version")
    }

    #[test]
    fn ranges_are_read_in_every_spelling_clients_use() {
        assert_eq!(versions("version ..; max=2, order=desc", 5), ["5", "4"]);
        assert_eq!(versions("version ..; order=desc,max=1", 5), ["5"]);
        assert_eq!(versions("version ]2..; max=2", 5), ["3", "4"]);
        assert_eq!(versions("version 2..3", 5), ["2", "3"]);
        assert_eq!(versions("version [2..4[", 5), ["2", "3"]);
        assert_eq!(versions("version ]4..2;order=desc", 5), ["3", "2"]);
        assert_eq!(versions("id ..; max=1000;", 3), ["3", "2", "1"]);
        assert_eq!(versions("", 3), ["3", "2", "1"]);
        assert_eq!(PageRange::parse("bytes=0-99"), None);
        assert_eq!(PageRange::parse("version ..; max=x"), None);
    }

    #[test]
    fn numbers_are_ordered_as_numbers() {
        assert_eq!(versions("version 9..; max=3", 12), ["9", "10", "11"]);
    }

    #[test]
    fn fields_that_are_no_keys_are_refused_by_name() {
        for field in ["slug", "nonsense"] {
            let range = PageRange::parse(&format!("{field} ..")).unwrap();
            assert!(range.page(releases(1)).is_err());
            assert!(range.page(releases(0)).is_ok());
        }
    }

    #[test]
    fn a_page_does_not_end_among_equals() {
        let page = PageRange::parse("type ..; max=2")
            .unwrap()
            .page(releases(5))
            .unwrap();
        assert_eq!((page.items.len(), page.next), (5, None));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[a-z0-9 .;,=\\[\\]]{0,40}") {
            if let Some(range) = PageRange::parse(&text) {
                let _ = range.page(releases(5));
            }
        }

        #[test]
        fn following_next_range_gives_every_item_once(
            count in 0u64..60,
            max in 1usize..20,
            descending in any::<bool>(),
            field in prop::sample::select(vec!["id", "version", "type"]),
        ) {
            let order = if descending { ", order=desc" } else { "" };
            let mut wanted = Some(format!("{field} ..; max={max}{order}"));
            let mut seen = Vec::new();
            while let Some(text) = wanted.take() {
                let page = PageRange::parse(&text).unwrap().page(releases(count)).unwrap();
                seen.extend(page.values("version"));
                wanted = page.next;
            }
            let mut sorted: Vec<u64> = seen.iter().map(|v| v.parse().unwrap()).collect();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (1..=count).collect::<Vec<_>>());
        }
    }
}
