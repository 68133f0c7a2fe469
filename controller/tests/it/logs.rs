//! Logs: in by batches, out by sessions.

use std::time::Duration;

use controller_api::wire::LogSessionCreate;
use controller_api::{LogSink, log_sink::BATCH_HEADER};
use model::log::{LogLine, LogSource};
use model::{AppId, Timestamp};
use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::harness::{Platform, User, eventually};
use crate::world::id_of;

pub(crate) fn line(app: AppId, process: &str, text: impl Into<String>) -> LogLine {
    let source = if process == "router" {
        LogSource::Heroku
    } else {
        LogSource::App
    };
    LogLine {
        app,
        at: Timestamp::now(),
        source,
        process: process.to_owned(),
        text: text.into(),
    }
}

/// A sink of this platform, and what stops it.
fn sink(platform: &Platform) -> (LogSink, CancellationToken, tokio::task::JoinHandle<()>) {
    let (_, endpoints) = watch::channel(vec![platform.addr]);
    let (sink, task) = LogSink::new(endpoints, platform.keyring.internal_token().clone(), None);
    let stop = CancellationToken::new();
    let task = tokio::spawn(task.run(stop.clone()));
    (sink, stop, task)
}

/// All that a session without `tail` gives.
pub(crate) async fn read(user: &User, session: LogSessionCreate) -> Vec<String> {
    let mut stream = user.client().logs("ticks", &session).await.unwrap();
    let mut lines = Vec::new();
    while let Some(line) = stream.next().await.unwrap() {
        lines.push(line);
    }
    lines
}

pub(crate) fn texts(lines: &[String]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line.split_once("]: ").unwrap().1)
        .collect()
}

#[tokio::test]
async fn what_is_done_through_the_api_is_told_in_the_apps_log() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    ann.patch("/apps/ticks/config-vars", json!({"FOO": "1"}))
        .await
        .expect(200);
    platform.push(app, &ann, &[("web", "serve")]).await;
    platform.prove(app).await;
    ann.patch("/apps/ticks/formation/web", json!({"quantity": 2}))
        .await
        .expect(200);
    ann.post("/apps/ticks/releases", json!({"release": "v3"}))
        .await
        .expect(201);
    let lines = read(&ann, LogSessionCreate::default()).await;
    assert!(
        lines.iter().all(|line| line.contains("+00:00 app[api]: ")),
        "{lines:#?}"
    );
    assert_eq!(
        texts(&lines),
        [
            "Initial release by user ann@example.com",
            "Release v1 created by user ann@example.com",
            "Set FOO config vars by user ann@example.com",
            "Release v2 created by user ann@example.com",
            "Scaled to web@2:Standard-1X by user ann@example.com",
            "Rollback to v3 by user ann@example.com",
            "Release v4 created by user ann@example.com",
        ]
    );
}

#[tokio::test]
async fn five_thousand_lines_come_out_as_they_went_in() {
    let platform = Platform::start_with(|config| config.logs.segment_bytes = 5 << 20).await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let tail = LogSessionCreate {
        lines: Some(1),
        tail: Some(true),
        ..LogSessionCreate::default()
    };
    let mut stream = ann.client().logs("ticks", &tail).await.unwrap();
    assert!(stream.next().await.unwrap().unwrap().contains("Release v1"));
    let (sink, _stop, _task) = sink(&platform);
    for n in 0..5000 {
        sink.send(line(app, "web.1", format!("line {n}")));
    }
    for n in 0..5000 {
        let line = tokio::time::timeout(Duration::from_secs(60), stream.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(line.ends_with(&format!("app[web.1]: line {n}")), "{line}");
    }
    let newest = read(
        &ann,
        LogSessionCreate {
            lines: Some(2),
            ..LogSessionCreate::default()
        },
    )
    .await;
    assert_eq!(texts(&newest), ["line 4998", "line 4999"]);
}

#[tokio::test]
async fn lines_are_chosen_by_source_and_dyno() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let (sink, stop, task) = sink(&platform);
    for process in ["web.1", "web.2", "worker.1", "router"] {
        sink.send(line(app, process, format!("from {process}")));
    }
    stop.cancel();
    task.await.unwrap();
    let session = |source: Option<&str>, dyno: Option<&str>| LogSessionCreate {
        source: source.map(str::to_owned),
        dyno: dyno.map(str::to_owned),
        ..LogSessionCreate::default()
    };
    assert_eq!(
        texts(&read(&ann, session(None, Some("web.1"))).await),
        ["from web.1"]
    );
    assert_eq!(
        texts(&read(&ann, session(None, Some("web"))).await),
        ["from web.1", "from web.2"]
    );
    assert_eq!(
        texts(&read(&ann, session(Some("heroku"), None)).await),
        ["from router"]
    );
    assert_eq!(
        texts(&read(&ann, session(Some("app"), Some("worker"))).await),
        ["from worker.1"]
    );
    ann.post("/apps/ticks/log-sessions", json!({"source": "mars"}))
        .await
        .error(422);
}

#[tokio::test]
async fn a_session_is_read_as_events_or_as_text_without_a_token() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let session = ann
        .post(
            "/apps/ticks/log-sessions",
            json!({"lines": "1", "tail": false}),
        )
        .await
        .expect(201);
    let url: url::Url = session["logplex_url"].as_str().unwrap().parse().unwrap();
    let nobody = platform.nobody();
    let text = nobody.get(url.path()).await;
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(
        text.text
            .ends_with("app[api]: Release v1 created by user ann@example.com\n")
    );
    let events = nobody
        .call(
            Method::GET,
            url.path(),
            None,
            &[("accept", "text/event-stream")],
        )
        .await;
    let event = events.text.strip_prefix("retry: 10\n\nid: ").unwrap();
    let (id, rest) = event.split_once("\ndata: ").unwrap();
    assert!(rest.contains("Release v1 created"), "{rest}");
    // Taken up after a line, it goes on with the next.
    let (sink, stop, task) = sink(&platform);
    sink.send(line(app, "web.1", "three"));
    stop.cancel();
    task.await.unwrap();
    let headers = [("accept", "text/event-stream"), ("last-event-id", id)];
    let resumed = nobody.call(Method::GET, url.path(), None, &headers).await;
    assert!(
        resumed.text.contains("]: three\n") && !resumed.text.contains("Release v1"),
        "{}",
        resumed.text
    );
    nobody.get("/streams/logs/forged").await.error(404);
    ann.delete("/apps/ticks").await.expect(200);
    let over = nobody.get(url.path()).await.error(404);
    assert_eq!(over.1, "Log stream timed out. Please try again.");
}

#[tokio::test]
async fn logs_outlive_the_controller_and_a_tail_ends_with_the_app() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let (sink, stop, task) = sink(&platform);
    sink.send(line(app, "web.1", "before"));
    stop.cancel();
    task.await.unwrap();
    let (store, dir) = (platform.store.clone(), platform.dir.clone());
    let log = dir.path().join("logs").join(app.to_string());
    platform.stop().await;
    assert!(log.exists());

    // Another controller, on the same store and disk.
    let reopened = tokio::fs::read_dir(&log)
        .await
        .unwrap()
        .next_entry()
        .await
        .unwrap()
        .unwrap()
        .path();
    let text = tokio::fs::read_to_string(reopened).await.unwrap();
    assert!(text.ends_with("app[web.1]: before\n"));
    let again = Platform::restart_on(store, dir, ann, |_| {}).await;
    let tail = LogSessionCreate {
        lines: Some(10),
        tail: Some(true),
        ..LogSessionCreate::default()
    };
    let mut stream = again.1.client().logs("ticks", &tail).await.unwrap();
    for expected in ["Initial release", "Release v1", "before"] {
        assert!(stream.next().await.unwrap().unwrap().contains(expected));
    }
    again.1.delete("/apps/ticks").await.expect(200);
    let end = tokio::time::timeout(Duration::from_secs(60), stream.next())
        .await
        .unwrap();
    assert_eq!(end.unwrap_err().status(), Some(404));
}

#[tokio::test]
async fn a_batch_that_comes_twice_is_taken_once_and_lines_of_no_app_are_dropped() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(controller_api::tls::client_config(None).unwrap())
        .build()
        .unwrap();
    let gone = AppId::new();
    let body: String = [
        line(app, "web.1", "one"),
        line(gone, "web.1", "lost"),
        line(app, "web.1", "two"),
    ]
    .iter()
    .map(|line| format!("{}\n", serde_json::to_string(line).unwrap()))
    .collect();
    let batch = format!("{} 1", uuid::Uuid::new_v4());
    for _ in 0..2 {
        let answer = http
            .post(format!("http://{}/internal/logs", platform.addr))
            .bearer_auth(platform.keyring.internal_token().expose())
            .header(BATCH_HEADER, &batch)
            .body(body.clone())
            .send();
        assert_eq!(answer.await.unwrap().status(), 204);
    }
    let session = LogSessionCreate {
        dyno: Some("web".to_owned()),
        ..LogSessionCreate::default()
    };
    assert_eq!(texts(&read(&ann, session).await), ["one", "two"]);
    assert!(
        !platform
            .dir
            .path()
            .join("logs")
            .join(gone.to_string())
            .exists()
    );
}

#[tokio::test]
async fn a_sink_waits_for_a_controller_and_loses_nothing_that_fits() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let (found, endpoints) = watch::channel(Vec::new());
    let (sink, task) = LogSink::new(endpoints, platform.keyring.internal_token().clone(), None);
    let stop = CancellationToken::new();
    let task = tokio::spawn(task.run(stop.clone()));
    for n in 0..10 {
        sink.send(line(app, "web.1", format!("line {n}")));
    }
    found.send(vec![platform.addr]).unwrap();
    eventually("arrived", async || {
        let session = LogSessionCreate {
            dyno: Some("web".to_owned()),
            ..LogSessionCreate::default()
        };
        read(&ann, session).await.len() == 10
    })
    .await;
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_burst_arrives_whole_whatever_it_is_made_of() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let (found, endpoints) = watch::channel(Vec::new());
    let (sink, task) = LogSink::new(endpoints, platform.keyring.internal_token().clone(), None);
    let stop = CancellationToken::new();
    let task = tokio::spawn(task.run(stop.clone()));
    // On the wire each of these characters is six.
    let text = "\u{1}".repeat(1000);
    for _ in 0..3000 {
        sink.send(line(app, "web.1", text.as_str()));
    }
    sink.send(line(app, "worker.1", "the last"));
    found.send(vec![platform.addr]).unwrap();
    eventually("the last of it is there", async || {
        let session = LogSessionCreate {
            dyno: Some("worker".to_owned()),
            ..LogSessionCreate::default()
        };
        texts(&read(&ann, session).await) == ["the last"]
    })
    .await;
    stop.cancel();
    task.await.unwrap();
}
