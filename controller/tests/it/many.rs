//! Several controllers on one store, and controllers that die.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use controller_api::LogSink;
use controller_api::log_stream::LogStream;
use controller_api::wire::LogSessionCreate;
use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Another, Platform, User, each, eventually};
use crate::logs::{line, read, texts};
use crate::world::id_of;

struct Sender {
    sink: LogSink,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Sender {
    fn to(platform: &Platform, controllers: Vec<SocketAddr>) -> Self {
        let (_, endpoints) = watch::channel(controllers);
        let (sink, task) = LogSink::new(endpoints, platform.keyring.internal_token().clone(), None);
        let stop = CancellationToken::new();
        let task = tokio::spawn(task.run(stop.clone()));
        Self { sink, stop, task }
    }

    /// Once all that was sent has arrived somewhere.
    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn of_web(lines: u16) -> LogSessionCreate {
    LogSessionCreate {
        dyno: Some("web".to_owned()),
        lines: Some(lines),
        ..LogSessionCreate::default()
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("line {n}")).collect()
}

async fn next(stream: &mut LogStream) -> String {
    let line = tokio::time::timeout(Duration::from_secs(60), stream.next());
    let line = line.await.unwrap().unwrap().unwrap();
    line.split_once("]: ").unwrap().1.to_owned()
}

#[tokio::test]
async fn lines_are_read_once_and_in_order_from_any_controller_and_outlive_one() {
    let platform = Platform::start().await;
    let mut other = Another::start(&platform).await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let both = vec![platform.addr, other.addr];
    let sender = Sender::to(&platform, both);
    let tail = LogSessionCreate {
        tail: Some(true),
        ..of_web(1)
    };
    let mut tails = Vec::new();
    for user in [&ann, &other.user(&ann)] {
        tails.push(user.client().logs("ticks", &tail).await.unwrap());
    }
    sender.sink.send(line(app, "web.1", "begin"));
    for stream in &mut tails {
        assert_eq!(next(stream).await, "begin");
    }
    for n in 0..3_000 {
        sender.sink.send(line(app, "web.1", format!("line {n}")));
    }
    for stream in &mut tails {
        for n in 0..3_000 {
            assert_eq!(next(stream).await, format!("line {n}"));
        }
    }
    for user in [&ann, &other.user(&ann)] {
        assert_eq!(
            texts(&read(user, of_web(1_500)).await),
            numbers(1_500..3_000)
        );
    }
    // In the middle of it, one dies. The sender hears of it late, or never.
    for n in 3_000..4_000 {
        sender.sink.send(line(app, "web.1", format!("line {n}")));
        if n == 3_100 {
            other.kill();
        }
    }
    sender.end().await;
    for n in 3_000..4_000 {
        assert_eq!(next(&mut tails[0]).await, format!("line {n}"));
    }
    assert_eq!(
        texts(&read(&ann, of_web(1_500)).await),
        numbers(2_500..4_000)
    );
}

#[tokio::test]
async fn what_only_a_dead_controller_has_is_there_again_when_it_is_back() {
    let platform = Platform::start().await;
    let mut other = Another::start(&platform).await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let sender = Sender::to(&platform, vec![other.addr]);
    for n in 0..10 {
        sender.sink.send(line(app, "web.1", format!("line {n}")));
    }
    sender.end().await;
    assert_eq!(texts(&read(&ann, of_web(100)).await), numbers(0..10));
    other.kill();
    assert_eq!(texts(&read(&ann, of_web(100)).await), numbers(0..0));
    let sender = Sender::to(&platform, vec![platform.addr]);
    for n in 10..20 {
        sender.sink.send(line(app, "web.1", format!("line {n}")));
    }
    sender.end().await;
    assert_eq!(texts(&read(&ann, of_web(100)).await), numbers(10..20));
    other.boot(&platform).await;
    assert_eq!(texts(&read(&ann, of_web(100)).await), numbers(0..20));
}

#[tokio::test]
async fn a_session_is_taken_up_at_another_controller_where_it_was_cut_off() {
    let platform = Platform::start().await;
    let mut other = Another::start(&platform).await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let both = vec![platform.addr, other.addr];
    let sender = Sender::to(&platform, both.clone());
    for n in 0..100 {
        sender.sink.send(line(app, "web.1", format!("line {n}")));
    }
    sender.end().await;
    let session = ann
        .post(
            "/apps/ticks/log-sessions",
            json!({"dyno": "web", "lines": 1000}),
        )
        .await
        .expect(201);
    let url: url::Url = session["logplex_url"].as_str().unwrap().parse().unwrap();
    let events = async |user: &User, after: &str| {
        let mut headers = vec![("accept", "text/event-stream")];
        if !after.is_empty() {
            headers.push(("last-event-id", after));
        }
        user.call(Method::GET, url.path(), None, &headers)
            .await
            .text
    };
    let told = events(&other.user(&ann), "").await;
    let id_at = |text: &str| {
        let event = told.split("\n\n").find(|event| event.ends_with(text));
        let id = event.unwrap().lines().next().unwrap();
        id.strip_prefix("id: ").unwrap().to_owned()
    };
    let (middle, last) = (id_at("]: line 49"), id_at("]: line 99"));
    let lines = |told: String| -> Vec<String> {
        told.lines()
            .filter_map(|line| Some(line.split_once("]: ")?.1.to_owned()))
            .collect()
    };
    assert_eq!(lines(events(&ann, &middle).await), numbers(50..100));
    assert_eq!(lines(events(&ann, &last).await), numbers(0..0));
    other.kill();
    let sender = Sender::to(&platform, both);
    for n in 100..120 {
        sender.sink.send(line(app, "web.1", format!("line {n}")));
    }
    sender.end().await;
    assert_eq!(lines(events(&ann, &last).await), numbers(100..120));
}

/// Sixty-four changes over two controllers, one of which dies in the middle of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn operations_over_two_controllers_are_done_once_or_not_at_all() {
    let platform = Platform::start().await;
    let mut other = Another::start(&platform).await;
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    let at_other = other.user(&ann);
    let set = async |user: User, name: String| {
        let response = user
            .http
            .patch(format!("http://{}/apps/ticks/config-vars", user.addr))
            .bearer_auth(&user.token)
            .json(&json!({&name: "1"}))
            .send()
            .await;
        // `None`: the answer was lost, or is the dying controller's own: nobody knows.
        let status = response.ok().map(|response| response.status().as_u16());
        (name, status.filter(|status| *status < 500))
    };
    let calls = (0..64).map(|n| {
        let user = if n % 2 == 0 { &ann } else { &at_other };
        set(user.clone(), format!("V{n}"))
    });
    let all = tokio::spawn(futures::future::join_all(calls.collect::<Vec<_>>()));
    eventually("some are done", async || {
        platform.record(app).await.value.latest.0 >= 8
    })
    .await;
    other.kill();
    let answers = all.await.unwrap();
    let releases = ann
        .get_range("/apps/ticks/releases", "version ..; max=1000")
        .await
        .expect(200);
    let versions = each(&releases, "version");
    let dense: Vec<_> = (1..=versions.len()).map(|n| n.to_string()).collect();
    assert_eq!(versions, dense);
    let descriptions = each(&releases, "description");
    let distinct: BTreeSet<_> = descriptions.iter().collect();
    assert_eq!(distinct.len(), descriptions.len(), "{descriptions:?}");
    let config = ann.get("/apps/ticks/config-vars").await.expect(200);
    let mut lost = 0;
    for (name, status) in &answers {
        let is_set = config.get(name).is_some();
        let described = descriptions.contains(&format!("Set {name} config vars"));
        assert_eq!(is_set, described, "{name}");
        match status {
            Some(200) => assert!(is_set, "{name} was acknowledged"),
            Some(409) => assert!(!is_set, "{name} was refused"),
            Some(other) => panic!("{name}: {other}"),
            None => lost += 1,
        }
    }
    assert!(lost > 0, "nothing was under way when the controller died");
    ann.patch("/apps/ticks/config-vars", json!({"AFTER": "1"}))
        .await
        .expect(200);
}
