//! Formations.

use serde_json::json;

use crate::harness::{Platform, each};
use crate::world::id_of;

#[tokio::test]
async fn an_app_is_scaled_in_every_notation_and_it_is_no_release() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    platform
        .push(
            app,
            &ann,
            &[("web", "serve"), ("worker", "work"), ("release", "migrate")],
        )
        .await;
    platform.prove(app).await;
    let shown = ann
        .get_range("/apps/ticks/formation", "type ..")
        .await
        .expect(200);
    assert_eq!(each(&shown, "type"), ["release", "web", "worker"]);
    assert_eq!(each(&shown, "quantity"), ["0", "1", "0"]);
    assert_eq!(each(&shown, "command"), ["migrate", "serve", "work"]);

    for (sent, quantity) in [
        (json!(3), 3),
        (json!("4"), 4),
        (json!("+1"), 5),
        (json!("-2"), 3),
        (json!("-9"), 0),
    ] {
        let updates = json!({"updates": [{"type": "web", "quantity": sent}]});
        let scaled = ann
            .patch("/apps/ticks/formation", updates)
            .await
            .expect(200);
        assert_eq!(
            (each(&scaled, "type"), &scaled[0]["quantity"]),
            (vec!["web".to_owned()], &json!(quantity))
        );
    }
    let both = json!({"updates": [
        {"type": "worker", "quantity": 2, "size": "standard-2x"},
        {"type": "web", "quantity": 1},
    ]});
    let scaled = ann.patch("/apps/ticks/formation", both).await.expect(200);
    assert_eq!(each(&scaled, "type"), ["worker", "web"]);
    assert_eq!(
        (&scaled[0]["size"], &scaled[0]["dyno_size"]["name"]),
        (&json!("Standard-2X"), &json!("Standard-2X"))
    );
    let one = ann
        .patch("/apps/ticks/formation/worker", json!({"quantity": "+1"}))
        .await
        .expect(200);
    assert_eq!(
        (&one["quantity"], &one["size"]),
        (&json!(3), &json!("Standard-2X"))
    );
    let by_id = format!("/apps/ticks/formation/{}", one["id"].as_str().unwrap());
    assert_eq!(ann.get(&by_id).await.expect(200)["type"], "worker");
    assert_eq!(
        each(
            &ann.get("/apps/ticks/releases").await.expect(200),
            "version"
        ),
        ["1", "2"]
    );
}

#[tokio::test]
async fn what_cannot_be_scaled_is_refused_and_then_nothing_is() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let update = |name: &str, quantity: serde_json::Value| json!({"updates": [{"type": name, "quantity": quantity}]});
    let (_, message) = ann
        .patch("/apps/ticks/formation", update("web", json!(1)))
        .await
        .error(404);
    assert!(
        message.contains("web") && message.contains("first push"),
        "{message}"
    );
    platform
        .push(
            app,
            &ann,
            &[("web", "serve"), ("worker", "work"), ("release", "migrate")],
        )
        .await;
    platform.prove(app).await;
    let (id, message) = ann
        .patch("/apps/ticks/formation", update("clock", json!(1)))
        .await
        .error(404);
    assert_eq!(id, "not_found");
    assert!(
        message.contains("clock") && message.contains("web, worker"),
        "{message}"
    );
    ann.patch("/apps/ticks/formation", update("web", json!("many")))
        .await
        .error(422);
    ann.patch("/apps/ticks/formation", update("web", json!(1001)))
        .await
        .error(422);
    ann.patch("/apps/ticks/formation", update("release", json!(1)))
        .await
        .error(422);
    ann.patch("/apps/ticks/formation/web", json!({"size": "Huge"}))
        .await
        .error(422);
    let half =
        json!({"updates": [{"type": "web", "quantity": 7}, {"type": "clock", "quantity": 1}]});
    ann.patch("/apps/ticks/formation", half).await.error(404);
    let twice =
        json!({"updates": [{"type": "web", "quantity": 7}, {"type": "web", "quantity": 8}]});
    let message = ann.patch("/apps/ticks/formation", twice).await.error(422).1;
    assert!(message.contains("web is named twice"), "{message}");
    assert_eq!(
        ann.get("/apps/ticks/formation/web").await.expect(200)["quantity"],
        1
    );
}

#[tokio::test]
async fn a_type_that_left_the_procfile_is_shown_while_it_has_dynos() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    platform
        .push(app, &ann, &[("web", "serve"), ("worker", "work")])
        .await;
    platform.prove(app).await;
    ann.patch("/apps/ticks/formation/worker", json!({"quantity": 2}))
        .await
        .expect(200);
    platform.push(app, &ann, &[("web", "serve")]).await;
    platform.prove(app).await;
    let shown = ann
        .get_range("/apps/ticks/formation", "type ..")
        .await
        .expect(200);
    assert_eq!(each(&shown, "type"), ["web", "worker"]);
    ann.patch("/apps/ticks/formation/worker", json!({"quantity": 0}))
        .await
        .expect(200);
    assert_eq!(
        each(&ann.get("/apps/ticks/formation").await.expect(200), "type"),
        ["web"]
    );
}

#[tokio::test]
async fn a_size_alone_ahead_of_the_first_push_leaves_it_its_web_dyno() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let sizes = json!({"ahead": true, "updates": [
        {"type": "web", "size": "standard-2x"},
        {"type": "worker", "size": "standard-2x"},
    ]});
    for _ in 0..2 {
        ann.patch("/apps/ticks/formation", sizes.clone())
            .await
            .expect(200);
    }
    platform
        .push(app, &ann, &[("web", "serve"), ("worker", "work")])
        .await;
    platform.prove(app).await;
    let shown = ann
        .get_range("/apps/ticks/formation", "type ..")
        .await
        .expect(200);
    assert_eq!(each(&shown, "type"), ["web", "worker"]);
    assert_eq!(each(&shown, "quantity"), ["1", "0"]);
    assert_eq!(each(&shown, "size"), ["Standard-2X", "Standard-2X"]);
}

#[tokio::test]
async fn what_is_scaled_ahead_of_the_first_push_is_there_when_it_comes() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let ahead = |updates: serde_json::Value| json!({"updates": updates, "ahead": true});
    let wanted = ahead(json!([
        {"type": "web", "quantity": 0},
        {"type": "worker", "quantity": 2, "size": "standard-2x"},
        {"type": "clock", "quantity": 1},
    ]));
    for _ in 0..2 {
        ann.patch("/apps/ticks/formation", wanted.clone())
            .await
            .expect(200);
    }
    let shown = ann
        .get_range("/apps/ticks/formation", "type ..")
        .await
        .expect(200);
    assert_eq!(each(&shown, "type"), ["clock", "web", "worker"]);
    ann.patch(
        "/apps/ticks/formation",
        ahead(json!([{"type": "no type", "quantity": 1}])),
    )
    .await
    .error(422);
    let many: Vec<_> = (0..101)
        .map(|n| json!({"type": format!("t{n}"), "quantity": 1}))
        .collect();
    ann.patch("/apps/ticks/formation", ahead(json!(many)))
        .await
        .error(422);
    platform
        .push(app, &ann, &[("web", "serve"), ("worker", "work")])
        .await;
    platform.prove(app).await;
    let shown = ann
        .get_range("/apps/ticks/formation", "type ..")
        .await
        .expect(200);
    assert_eq!(each(&shown, "type"), ["clock", "web", "worker"]);
    assert_eq!(each(&shown, "quantity"), ["1", "0", "2"]);
    // With code, its types are the ones there are.
    ann.patch(
        "/apps/ticks/formation",
        ahead(json!([{"type": "timer", "quantity": 1}])),
    )
    .await
    .error(404);
}
