//! Dynos: listing, running, restarting, stopping.

use model::{DynoKind, DynoName, Intent, ProcessType};
use serde_json::json;
use store::key;

use crate::harness::{Platform, each};
use crate::world::id_of;

#[tokio::test]
async fn dynos_are_listed_with_their_state_and_found_by_name_and_id() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    platform.push(app, &ann, &[("web", "serve")]).await;
    platform.prove(app).await;
    let id = platform.dyno(app, "web.1").await;
    let listed = ann.get("/apps/ticks/dynos").await.expect(200);
    assert_eq!(
        (each(&listed, "name"), each(&listed, "state")),
        (vec!["web.1".to_owned()], vec!["up".to_owned()])
    );
    assert_eq!(
        (&listed[0]["type"], &listed[0]["release"]["version"]),
        (&json!("web"), &json!(2))
    );
    assert_eq!(listed[0]["attach_url"], json!(null));
    assert_eq!(
        ann.get("/apps/ticks/dynos/web.1").await.expect(200),
        listed[0]
    );
    assert_eq!(
        ann.get(&format!("/apps/ticks/dynos/{id}"))
            .await
            .expect(200),
        listed[0]
    );
    assert!(
        ann.get("/apps/ticks/dynos/web.2")
            .await
            .error(404)
            .1
            .contains("web.2")
    );
}

#[tokio::test]
async fn a_one_off_dyno_is_asked_for_with_the_release_that_should_run() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let (_, message) = ann
        .post("/apps/ticks/dynos", json!({"command": "bash"}))
        .await
        .error(422);
    assert!(message.contains("push"), "{message}");
    platform
        .push(app, &ann, &[("web", "serve"), ("task", "bin/task --all")])
        .await;
    platform.prove(app).await;
    let body = json!({
        "command": "bash", "attach": true, "size": "standard-2x", "type": "run", "force_no_tty": null,
        "env": {"TERM": "xterm", "COLUMNS": "132", "LINES": 43},
    });
    let dyno = ann.post("/apps/ticks/dynos", body).await.expect(201);
    let url = dyno["attach_url"].as_str().unwrap();
    assert!(
        url.starts_with(&format!(
            "rendezvous://api.paas.localhost:{}/",
            platform.addr.port()
        )),
        "{url}"
    );
    let (kind, number) = dyno["name"].as_str().unwrap().split_once('.').unwrap();
    assert!(kind == "run" && (1000..10_000).contains(&number.parse::<u32>().unwrap()));
    assert_eq!(
        (&dyno["state"], &dyno["size"]),
        (&json!("starting"), &json!("Standard-2X"))
    );

    let id = dyno["id"].as_str().unwrap().parse().unwrap();
    let record = platform.dyno_record(app, id).await;
    assert_eq!(
        (record.node, record.intent, record.release.0),
        (None, Intent::Run, 2)
    );
    let DynoKind::OneOff(one_off) = record.kind else {
        panic!("{:?}", record.kind)
    };
    let attach = one_off.attach.unwrap();
    assert!(
        attach.tty
            && url.ends_with(attach.secret.expose().as_str())
            && attach.secret.expose().len() == 32
    );
    assert_eq!((attach.columns, attach.lines), (132, 43));
    let env: model::ConfigVars = platform
        .keyring
        .open(&key::dyno(app, id), &one_off.env)
        .unwrap();
    assert_eq!(
        (env.get("TERM"), env.get("LINES")),
        (Some("xterm"), Some("43"))
    );

    let detached = ann
        .post(
            "/apps/ticks/dynos",
            json!({"command": "task now", "time_to_live": 60}),
        )
        .await
        .expect(201);
    assert_eq!(
        (&detached["attach_url"], &detached["command"]),
        (&json!(null), &json!("bin/task --all now"))
    );
    let listed = ann.get("/apps/ticks/dynos").await.expect(200);
    assert_eq!(each(&listed, "state"), ["starting", "starting"]);
    for bad in [
        json!({}),
        json!({"command": " "}),
        json!({"command": "x", "env": {"A B": "1"}}),
        json!({"command": "x", "size": "Huge"}),
    ] {
        ann.post("/apps/ticks/dynos", bad).await.error(422);
    }
}

#[tokio::test]
async fn a_restart_replaces_dynos_of_the_formation_and_leaves_one_offs_alone() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    platform
        .push(app, &ann, &[("web", "serve"), ("worker", "work")])
        .await;
    platform.prove(app).await;
    let names: Vec<DynoName> = (1..=120)
        .map(|n| DynoName::new(ProcessType::web(), n))
        .collect();
    let webs = platform.dynos(app, &names).await;
    let worker = platform.dyno(app, "worker.1").await;
    let run = ann
        .post("/apps/ticks/dynos", json!({"command": "bash"}))
        .await
        .expect(201);
    let run_id = run["id"].as_str().unwrap().parse().unwrap();

    assert_eq!(
        ann.delete("/apps/ticks/dynos/web.7").await.expect(202),
        json!({})
    );
    assert!(platform.dyno_record(app, webs[6]).await.replace);
    assert!(!platform.dyno_record(app, webs[7]).await.replace);
    ann.delete("/apps/ticks/formations/worker")
        .await
        .expect(202);
    assert!(platform.dyno_record(app, worker).await.replace);
    assert!(!platform.dyno_record(app, webs[7]).await.replace);
    ann.delete("/apps/ticks/dynos").await.expect(202);
    for web in &webs {
        assert!(platform.dyno_record(app, *web).await.replace);
    }
    assert_eq!(platform.dyno_record(app, run_id).await.intent, Intent::Run);
    ann.delete("/apps/ticks/dynos/web.999").await.error(404);

    // A one-off dyno has nobody to take its place: it ends.
    ann.post(
        &format!(
            "/apps/ticks/dynos/{}/actions/stop",
            run["name"].as_str().unwrap()
        ),
        json!({}),
    )
    .await
    .expect(202);
    assert!(matches!(
        platform.dyno_record(app, run_id).await.intent,
        Intent::Stop { .. }
    ));
    ann.get(&format!("/apps/ticks/dynos/{run_id}"))
        .await
        .error(404);
}

#[tokio::test]
async fn all_one_offs_of_a_type_are_stopped_at_once() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    platform.push(app, &ann, &[("web", "serve")]).await;
    platform.prove(app).await;
    for _ in 0..3 {
        ann.post("/apps/ticks/dynos", json!({"command": "sleep 1000"}))
            .await
            .expect(201);
    }
    let names = each(&ann.get("/apps/ticks/dynos").await.expect(200), "name");
    assert_eq!(
        names
            .iter()
            .collect::<std::collections::BTreeSet<_>>()
            .len(),
        3
    );
    ann.post("/apps/ticks/formations/run/actions/stop", json!({}))
        .await
        .expect(202);
    assert_eq!(ann.get("/apps/ticks/dynos").await.expect(200), json!([]));
}
