//! Commands inside dynos that are up.

use model::{
    AppId, ConfigVars, DynoId, DynoState, DynoStatus, Exit, ExitReason, Inside, NodeHeartbeat,
    Timestamp,
};
use serde_json::json;
use store::{Txn, key};

use crate::harness::{Platform, User};
use crate::world::id_of;

const WEB: &str = "/apps/ticks/dynos/web.1";

/// An app with this dyno, up on a host that is alive.
async fn serving(platform: &Platform) -> (User, AppId, DynoId) {
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    platform
        .push(app, &ann, &[("web", "serve"), ("task", "bin/task --all")])
        .await;
    platform.prove(app).await;
    let dyno = platform.dyno(app, "web.1").await;
    let node = platform.dyno_record(app, dyno).await.node.unwrap();
    let heartbeat = NodeHeartbeat {
        node,
        version: "1".to_owned(),
        started_at: Timestamp::now(),
    };
    let place = key::alive_node(node);
    let txn = Txn::new().put(&key::ALIVE_NODES, place, &heartbeat);
    txn.commit(&*platform.store).await.unwrap();
    (ann, app, dyno)
}

async fn asked_for(platform: &Platform, app: AppId) -> Vec<Inside> {
    let below = key::inside_of(app);
    let all = key::INSIDE.list(&*platform.store, &below).await.unwrap();
    all.into_iter().map(|seen| seen.value).collect()
}

async fn say(platform: &Platform, app: AppId, dyno: DynoId, state: DynoState) {
    let node = platform.dyno_record(app, dyno).await.node.unwrap();
    let status = DynoStatus {
        dyno,
        app,
        node,
        state,
        restarts: 0,
        updated_at: Timestamp::now(),
    };
    let place = key::dyno_status(app, dyno);
    let txn = Txn::new().put(&key::DYNO_STATUS, place, &status);
    txn.commit(&*platform.store).await.unwrap();
}

#[tokio::test]
async fn a_command_inside_a_dyno_is_left_for_the_agent_of_its_node_and_is_no_dyno() {
    let platform = Platform::start().await;
    let (ann, app, dyno) = serving(&platform).await;
    let before = ann.get("/apps/ticks/dynos").await.expect(200);
    let body = json!({
        "command": "task now",
        "env": {"TERM": "xterm", "COLUMNS": 132, "LINES": "43", "TOKEN": "s3cret"},
    });
    let answer = ann.post(WEB, body).await.expect(201);
    assert_eq!(
        (&answer["id"], &answer["name"], &answer["state"]),
        (&json!(dyno.to_string()), &json!("web.1"), &json!("up"))
    );
    assert_eq!(answer["command"], json!("bin/task --all now"));
    let asked = asked_for(&platform, app).await;
    let [inside] = asked.as_slice() else {
        panic!("one of them: {asked:?}")
    };
    let url = answer["attach_url"].as_str().unwrap();
    assert!(
        url.starts_with("rendezvous://") && url.ends_with(inside.attach.secret.expose().as_str()),
        "{url}"
    );
    let record = platform.dyno_record(app, dyno).await;
    assert_eq!((inside.dyno, Some(inside.node)), (dyno, record.node));
    assert_eq!(inside.command, "bin/task --all now");
    assert!(inside.attach.tty && !inside.is_taken);
    assert_eq!((inside.attach.columns, inside.attach.lines), (132, 43));
    let env: ConfigVars = platform
        .keyring
        .open(&key::inside(app, inside.id), &inside.env)
        .unwrap();
    assert_eq!(env.get("TOKEN"), Some("s3cret"));
    assert!(!serde_json::to_string(inside).unwrap().contains("s3cret"));
    assert_eq!(ann.get("/apps/ticks/dynos").await.expect(200), before);
    assert_eq!(platform.dyno_record(app, dyno).await, record);
}

#[tokio::test]
async fn without_a_command_it_is_a_shell() {
    let platform = Platform::start().await;
    let (ann, app, dyno) = serving(&platform).await;
    let by_id = format!("/apps/ticks/dynos/{dyno}");
    for (path, body) in [
        (WEB, json!({})),
        (WEB, json!({"command": null})),
        (&by_id, json!({"command": " ", "force_no_tty": true})),
    ] {
        let answer = ann.post(path, body).await.expect(201);
        assert_eq!(answer["command"], json!("bash"));
    }
    let has_terminal = |inside: &Inside| inside.attach.tty;
    let asked = asked_for(&platform, app).await;
    assert_eq!(
        asked.iter().filter(|inside| has_terminal(inside)).count(),
        2
    );
}

#[tokio::test]
async fn a_dyno_that_is_not_up_says_how_it_is_and_what_to_do() {
    let platform = Platform::start().await;
    let (ann, app, dyno) = serving(&platform).await;
    let (_, message) = ann
        .post("/apps/ticks/dynos/web.2", json!({}))
        .await
        .error(404);
    assert!(
        message.contains("Couldn't find the dyno web.2"),
        "{message}"
    );

    let now = Timestamp::now();
    let exit = Exit {
        reason: ExitReason::Exited { status: 1 },
        log_tail: Vec::new(),
    };
    for (state, words) in [
        (
            DynoState::Starting { since: now },
            "web.1 is starting, and commands run inside dynos that are up. Try again when `paas ps` shows it up.",
        ),
        (
            DynoState::Crashed {
                at: now,
                exit,
                retry_at: now,
            },
            "web.1 is crashed, and commands run inside dynos that are up. See why with `paas logs --dyno web.1`.",
        ),
    ] {
        say(&platform, app, dyno, state).await;
        let (id, message) = ann.post(WEB, json!({"command": "bash"})).await.error(422);
        assert_eq!((id.as_str(), message.as_str()), ("invalid_params", words));
    }
    say(
        &platform,
        app,
        dyno,
        DynoState::Up {
            since: now,
            addr: None,
        },
    )
    .await;
    let node = platform.dyno_record(app, dyno).await.node.unwrap();
    let txn = Txn::new().delete(key::alive_node(node));
    txn.commit(&*platform.store).await.unwrap();
    let (_, message) = ann.post(WEB, json!({})).await.error(422);
    assert_eq!(
        message,
        "The host of web.1 does not answer. Try again in a moment."
    );
    assert!(asked_for(&platform, app).await.is_empty());
}

#[tokio::test]
async fn commands_inside_one_dyno_have_a_bound() {
    let platform = Platform::start().await;
    let (ann, app, _) = serving(&platform).await;
    for _ in 0..10 {
        ann.post(WEB, json!({"command": "bash"})).await.expect(201);
    }
    let (_, message) = ann.post(WEB, json!({"command": "bash"})).await.error(422);
    assert_eq!(
        message,
        "10 commands run inside web.1; wait for some to end."
    );
    let ended = asked_for(&platform, app).await.remove(0);
    let txn = Txn::new().delete(key::inside(app, ended.id));
    txn.commit(&*platform.store).await.unwrap();
    ann.post(WEB, json!({"command": "bash"})).await.expect(201);
}

#[tokio::test]
async fn what_ran_inside_a_dyno_is_told_and_with_what_variables_is_not() {
    let platform = Platform::start().await;
    let (ann, _, _) = serving(&platform).await;
    let body = json!({"command": "env | sort", "env": {"TOKEN": "s3cret"}});
    ann.post(WEB, body).await.expect(201);
    for bad in [
        json!({"command": "x", "env": {"A B": "1"}}),
        json!({"command": 7}),
    ] {
        ann.post(WEB, bad).await.error(422);
    }
    let wanted = controller_api::wire::LogSessionCreate::default();
    let mut lines = ann.client().logs("ticks", &wanted).await.unwrap();
    let mut log = String::new();
    while let Some(line) = lines.next().await.unwrap() {
        log.push_str(&line);
        log.push('\n');
    }
    assert!(
        log.contains(
            "app[api]: Starting process with command `env | sort` inside web.1 by user ann@"
        ),
        "{log}"
    );
    assert!(!log.contains("s3cret"), "{log}");
}
