//! Config vars.

use serde_json::{Value, json};

use crate::harness::{Platform, each};
use crate::world::id_of;

#[tokio::test]
async fn a_change_is_a_release_and_values_stay_exact() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let odd = " a=b\n\"quoted\" $HOME é \\ \t'x' ";
    let all = ann
        .patch(
            "/apps/ticks/config-vars",
            json!({"ODD": odd, "EMPTY": "", "A": "1"}),
        )
        .await
        .expect(200);
    assert_eq!(all, json!({"A": "1", "EMPTY": "", "ODD": odd}));
    assert_eq!(ann.get("/apps/ticks/config-vars").await.expect(200), all);
    let left = ann
        .patch("/apps/ticks/config-vars", json!({"A": null, "B": "2"}))
        .await
        .expect(200);
    assert_eq!(left, json!({"B": "2", "EMPTY": "", "ODD": odd}));
    let releases = ann
        .get_range("/apps/ticks/releases", "version ..")
        .await
        .expect(200);
    assert_eq!(
        each(&releases, "description"),
        [
            "Initial release",
            "Set A, EMPTY, ODD config vars",
            "Set B config vars, remove A"
        ]
    );
    // Each release keeps what it had.
    assert_eq!(
        ann.get("/apps/ticks/releases/2/config-vars")
            .await
            .expect(200),
        all
    );
    assert_eq!(
        ann.get("/apps/ticks/releases/v1/config-vars")
            .await
            .expect(200),
        json!({})
    );
}

#[tokio::test]
async fn what_changes_nothing_is_no_release() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    ann.patch("/apps/ticks/config-vars", json!({"A": "1"}))
        .await
        .expect(200);
    for same in [json!({"A": "1"}), json!({"NEVER_SET": null}), json!({})] {
        assert_eq!(
            ann.patch("/apps/ticks/config-vars", same).await.expect(200),
            json!({"A": "1"})
        );
    }
    // Only what changes is named.
    ann.patch("/apps/ticks/config-vars", json!({"A": "1", "B": "2"}))
        .await
        .expect(200);
    let releases = ann
        .get_range("/apps/ticks/releases", "version ]2..")
        .await
        .expect(200);
    assert_eq!(each(&releases, "description"), ["Set B config vars"]);
}

#[tokio::test]
async fn bad_names_and_values_are_refused_in_plain_words() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    for (bad, word) in [
        (json!({"1A": "x"}), "1A"),
        (json!({"A-B": "x"}), "A-B"),
        (json!({"A": "a\u{0}b"}), "NUL"),
        (json!({"A": "x".repeat(70_000)}), "65536"),
        (json!({"A": 1}), "string"),
    ] {
        let (id, message) = ann.patch("/apps/ticks/config-vars", bad).await.error(422);
        assert_eq!(id, "invalid_params");
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(
        each(
            &ann.get("/apps/ticks/releases").await.expect(200),
            "version"
        ),
        ["1"]
    );
}

#[tokio::test]
async fn config_builds_on_the_release_on_trial_and_never_on_a_failed_one() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    platform.push(app, &ann, &[("web", "serve")]).await;
    platform.prove(app).await;
    ann.patch("/apps/ticks/config-vars", json!({"GOOD": "1"}))
        .await
        .expect(200);
    platform.prove(app).await;
    ann.patch("/apps/ticks/config-vars", json!({"BAD": "1"}))
        .await
        .expect(200);
    assert_eq!(
        ann.get("/apps/ticks/config-vars").await.expect(200),
        json!({"GOOD": "1", "BAD": "1"})
    );
    platform.fail(app, "web.1 exited with status 1").await;
    assert_eq!(
        ann.get("/apps/ticks/config-vars").await.expect(200),
        json!({"GOOD": "1"})
    );
    let next = ann
        .patch("/apps/ticks/config-vars", json!({"NEXT": "1"}))
        .await
        .expect(200);
    assert_eq!(next, json!({"GOOD": "1", "NEXT": "1"}));
    let releases: Value = ann
        .get_range("/apps/ticks/releases", "version ..")
        .await
        .expect(200);
    assert_eq!(
        each(&releases, "status"),
        ["succeeded", "succeeded", "succeeded", "failed", "pending"]
    );
}

#[tokio::test]
async fn config_is_sealed_at_rest() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    ann.patch(
        "/apps/ticks/config-vars",
        json!({"TOKEN": "hunter2hunter2"}),
    )
    .await
    .expect(200);
    let everything = store::Store::list(&*platform.store, &store::Key::root())
        .await
        .unwrap();
    for entry in everything.entries {
        let text = String::from_utf8_lossy(&entry.value).into_owned();
        assert!(!text.contains("hunter2"), "{} holds the value", entry.key);
        assert!(!text.contains(&ann.token), "{} holds a token", entry.key);
    }
}
