//! What happened, told from what was published last and what there is now.
//!
//! Pure. Whether one commit or a hundred lie between the two (a controller was down, or slow), it is the same path: states
//! that a thing must have passed through are told too, so nobody waits in vain for the `update` of a release that was
//! proven before anybody looked.

use model::{WebhookAction, WebhookEntity};
use serde_json::{Map, Value, json};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    pub(super) action: WebhookAction,
    pub(super) data: Value,
    pub(super) previous: Map<String, Value>,
}

/// `seen`: as it was published last, or null for what changes no more; `None` where it was not there.
pub(super) fn derive(
    entity: WebhookEntity,
    seen: Option<&Value>,
    now: Option<&Value>,
) -> Vec<Change> {
    match (seen, now) {
        (None, None) => Vec::new(),
        (None, Some(now)) => match first_state(entity, now) {
            Some(first) => vec![create(&first), update(&first, now)],
            None => vec![create(now)],
        },
        (Some(Value::Null), _) => Vec::new(),
        // They go with their app only.
        (Some(_), None) if matches!(entity, WebhookEntity::Build | WebhookEntity::Release) => {
            Vec::new()
        }
        (Some(seen), None) => vec![Change {
            action: WebhookAction::Destroy,
            data: seen.clone(),
            previous: Map::new(),
        }],
        (Some(seen), Some(now)) => {
            let is_told = told_of(entity)
                .iter()
                .any(|field| seen[field] != now[field]);
            is_told.then(|| update(seen, now)).into_iter().collect()
        }
    }
}

/// What to remember of it as published.
pub(super) fn to_see(entity: WebhookEntity, now: &Value) -> Value {
    let may_end = matches!(entity, WebhookEntity::Build | WebhookEntity::Release);
    if may_end && now["status"] != "pending" {
        // An app has many of them, and they stay.
        Value::Null
    } else {
        now.clone()
    }
}

/// The fields whose change is an event. A release changes its app's record too, and a rename the view of all that hangs
/// on the app: those are no news of theirs.
const fn told_of(entity: WebhookEntity) -> &'static [&'static str] {
    match entity {
        WebhookEntity::App => &["name", "owner", "maintenance", "build_stack", "acm"],
        WebhookEntity::Build | WebhookEntity::Release => &["status"],
        WebhookEntity::Collaborator | WebhookEntity::Domain => &[],
        WebhookEntity::Dyno => &["state"],
        WebhookEntity::Formation => &["quantity", "size"],
        WebhookEntity::SniEndpoint => &["certificate_chain", "domains"],
    }
}

/// The state in which a thing of this kind begins, where it has left that already.
fn first_state(entity: WebhookEntity, now: &Value) -> Option<Value> {
    let with = |fields: Value| {
        let mut first = now.clone();
        first["updated_at"] = now["created_at"].clone();
        if let (Some(first), Value::Object(fields)) = (first.as_object_mut(), fields) {
            first.extend(fields);
        }
        Some(first)
    };
    match entity {
        WebhookEntity::Build if now["status"] != "pending" => {
            with(json!({"status": "pending", "slug": null, "release": null}))
        }
        // Without a slug it has nothing to prove.
        WebhookEntity::Release if now["status"] != "pending" && !now["slug"].is_null() => {
            with(json!({"status": "pending", "current": false, "eligible_for_rollback": false}))
        }
        WebhookEntity::Dyno if now["state"] != "starting" => with(json!({"state": "starting"})),
        _ => None,
    }
}

fn create(data: &Value) -> Change {
    Change {
        action: WebhookAction::Create,
        data: data.clone(),
        previous: Map::new(),
    }
}

fn update(before: &Value, now: &Value) -> Change {
    let fields = before.as_object().into_iter().flatten();
    let changed = fields.filter(|(name, value)| now[name.as_str()] != **value);
    Change {
        action: WebhookAction::Update,
        data: now.clone(),
        previous: changed.map(|(n, v)| (n.clone(), v.clone())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use WebhookEntity::{App, Build, Collaborator, Domain, Dyno, Formation, Release};

    use super::*;

    /// `create pending`, `update succeeded`: what would be told.
    fn told(entity: WebhookEntity, seen: Option<Value>, now: Option<Value>) -> Vec<String> {
        let changes = derive(entity, seen.as_ref(), now.as_ref());
        let state = |data: &Value| {
            let state = [
                &data["status"],
                &data["state"],
                &data["quantity"],
                &data["name"],
            ];
            let state = state.into_iter().find(|state| !state.is_null());
            state.map(|state| state.to_string().replace('"', ""))
        };
        changes
            .iter()
            .map(|c| {
                format!(
                    "{} {}",
                    c.action.as_str(),
                    state(&c.data).unwrap_or_default()
                )
            })
            .collect()
    }

    fn release(status: &str, slug: Value) -> Value {
        json!({"status": status, "slug": slug, "current": true, "created_at": 1, "updated_at": 2})
    }

    #[test]
    fn what_is_new_is_created_and_what_is_gone_destroyed() {
        let thing = json!({"name": "x"});
        for entity in WebhookEntity::ALL {
            assert_eq!(derive(entity, None, None), []);
            assert_eq!(derive(entity, Some(&thing), Some(&thing)), []);
        }
        for entity in [App, Collaborator, Domain, Formation] {
            assert_eq!(told(entity, None, Some(thing.clone())), ["create x"]);
            assert_eq!(told(entity, Some(thing.clone()), None), ["destroy x"]);
        }
    }

    #[test]
    fn states_that_nobody_saw_are_told_all_the_same() {
        let (slug, pending) = (json!({"id": 1}), release("pending", json!({"id": 1})));
        for (entity, now, expected) in [
            (
                Release,
                release("pending", slug.clone()),
                &["create pending"][..],
            ),
            (
                Release,
                release("succeeded", slug.clone()),
                &["create pending", "update succeeded"],
            ),
            (
                Release,
                release("failed", slug),
                &["create pending", "update failed"],
            ),
            (
                Release,
                release("succeeded", Value::Null),
                &["create succeeded"],
            ),
            (
                Build,
                json!({"status": "failed"}),
                &["create pending", "update failed"],
            ),
            (Dyno, json!({"state": "starting"}), &["create starting"]),
            (
                Dyno,
                json!({"state": "up"}),
                &["create starting", "update up"],
            ),
            (
                Dyno,
                json!({"state": "crashed"}),
                &["create starting", "update crashed"],
            ),
        ] {
            assert_eq!(told(entity, None, Some(now.clone())), expected, "{now}");
        }
        let changes = derive(Release, None, Some(&release("succeeded", json!({"id": 1}))));
        assert_eq!(changes[0].data["current"], false);
        assert_eq!(changes[0].data["updated_at"], 1);
        assert_eq!(changes[1].previous["status"], "pending");
        assert_eq!(
            told(Release, Some(pending), None),
            [""; 0],
            "the app goes, not the release"
        );
    }

    #[test]
    fn what_is_over_is_remembered_as_that_and_never_told_again() {
        for status in ["succeeded", "failed", "expired"] {
            let over = to_see(Release, &release(status, Value::Null));
            assert_eq!(over, Value::Null);
            assert_eq!(
                told(
                    Release,
                    Some(over.clone()),
                    Some(release("failed", Value::Null))
                ),
                [""; 0]
            );
            assert_eq!(told(Release, Some(over), None), [""; 0]);
        }
        let pending = json!({"status": "pending"});
        assert_eq!(to_see(Build, &pending), pending);
        assert_eq!(
            told(Build, Some(pending), Some(json!({"status": "succeeded"}))),
            ["update succeeded"]
        );
    }

    #[test]
    fn only_news_of_its_own_is_an_update_and_it_says_what_was_before() {
        let before = json!({"name": "a", "maintenance": false, "released_at": 1, "updated_at": 1});
        let released =
            json!({"name": "a", "maintenance": false, "released_at": 2, "updated_at": 2});
        assert_eq!(told(App, Some(before.clone()), Some(released)), [""; 0]);
        let renamed = json!({"name": "b", "maintenance": false, "released_at": 1, "updated_at": 2});
        let changes = derive(App, Some(&before), Some(&renamed));
        assert_eq!(changes.len(), 1);
        assert_eq!(
            Value::Object(changes[0].previous.clone()),
            json!({"name": "a", "updated_at": 1})
        );
        let formation = |app: &str, quantity: u32| json!({"app": app, "quantity": quantity});
        assert_eq!(
            told(Formation, Some(formation("a", 1)), Some(formation("b", 1))),
            [""; 0]
        );
        assert_eq!(
            told(Formation, Some(formation("a", 1)), Some(formation("a", 2))),
            ["update 2"]
        );
        assert_eq!(
            told(
                Dyno,
                Some(json!({"state": "up"})),
                Some(json!({"state": "down"}))
            ),
            ["update down"]
        );
        assert_eq!(
            told(Dyno, Some(json!({"state": "down"})), None),
            ["destroy down"]
        );
    }
}
