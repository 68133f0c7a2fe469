//! How webhooks are told: again and again, in order, nowhere they should not be, and whoever dies.

use std::time::Duration;

use controller::Config;
use serde_json::{Value, json};
use store::key;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::harness::{Another, Platform, each, eventually};
use crate::receiver::{
    Answer, Receiver, Request, add, deliveries, eventually_statuses, switch_maintenance, ticks,
    told,
};

#[tokio::test]
async fn sync_is_tried_again_until_it_is_taken_and_notify_is_not() {
    let platform = Platform::start().await;
    let (ann, _) = ticks(&platform).await;
    let (sync, notify) = (Receiver::start().await, Receiver::start().await);
    for receiver in [&sync, &notify] {
        receiver.will_answer([Answer::Status(500), Answer::Status(404)]);
    }
    add(&ann, "ticks", &["api:app"], "sync", &sync.url()).await;
    add(&ann, "ticks", &["api:app"], "notify", &notify.url()).await;
    switch_maintenance(&ann, true).await;
    let requests = sync.got(3).await;
    let bodies: Vec<_> = requests
        .iter()
        .map(|r| r.body["webhook_metadata"].clone())
        .collect();
    assert_eq!(bodies[0]["delivery"], bodies[2]["delivery"]);
    assert_ne!(bodies[0]["attempt"], bodies[2]["attempt"]);
    eventually("both are over", async || {
        let mut statuses = each(&deliveries(&ann).await, "status");
        statuses.sort();
        statuses == ["failed", "succeeded"]
    })
    .await;
    let all = deliveries(&ann).await;
    for delivery in all.as_array().unwrap() {
        let (attempts, code, level) = (
            &delivery["num_attempts"],
            &delivery["last_attempt"]["code"],
            &delivery["webhook"]["level"],
        );
        match level.as_str().unwrap() {
            "sync" => assert_eq!((attempts, code), (&json!(3), &json!(204))),
            _ => assert_eq!((attempts, code), (&json!(1), &json!(500))),
        }
    }
    assert_eq!((sync.requests().len(), notify.requests().len()), (3, 1));
}

#[tokio::test]
async fn sync_is_given_up_in_the_end() {
    let platform = Platform::start_with(|config| {
        config.webhooks.first_pause = Duration::from_nanos(1);
    })
    .await;
    let (ann, _) = ticks(&platform).await;
    let receiver = Receiver::start().await;
    receiver.will_answer([Answer::Status(503); 20]);
    add(&ann, "ticks", &["api:app"], "sync", &receiver.url()).await;
    switch_maintenance(&ann, true).await;
    eventually_statuses(&ann, &["failed"]).await;
    let delivery = &deliveries(&ann).await[0];
    assert_eq!(delivery["num_attempts"], 10);
    assert_eq!(delivery["next_attempt_at"], Value::Null);
    assert_eq!(receiver.requests().len(), 10);
}

#[tokio::test]
async fn a_receiver_gets_events_in_order_and_one_at_a_time() {
    let platform = Platform::start().await;
    let (ann, _) = ticks(&platform).await;
    let receiver = Receiver::start().await;
    receiver.will_answer([Answer::Hang; 20]);
    add(&ann, "ticks", &["api:app"], "notify", &receiver.url()).await;
    for n in 0..20 {
        switch_maintenance(&ann, n % 2 == 0).await;
    }
    receiver.got(1).await;
    receiver.release();
    let requests = receiver.got(20).await;
    let sequences: Vec<_> = requests.iter().map(Request::sequence).collect();
    assert_eq!(sequences, (1..=20).collect::<Vec<_>>());
    assert_eq!(receiver.most_under_way(), 1);
}

#[tokio::test]
async fn a_slow_receiver_holds_up_nobody_but_itself() {
    let platform = Platform::start_with(|config| {
        config.webhooks.attempt_within = Duration::from_secs(600);
    })
    .await;
    let (ann, _) = ticks(&platform).await;
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.will_answer([Answer::Hang]);
    add(&ann, "ticks", &["api:app"], "sync", &slow.url()).await;
    add(&ann, "ticks", &["api:app"], "sync", &quick.url()).await;
    for n in 0..5 {
        switch_maintenance(&ann, n % 2 == 0).await;
    }
    assert_eq!(quick.got(5).await.len(), 5);
    assert_eq!(slow.requests().len(), 1);
    slow.release();
    slow.got(5).await;
}

#[tokio::test]
async fn who_does_not_answer_in_time_has_failed() {
    let platform = Platform::start_with(|config| {
        config.webhooks.attempt_within = Duration::from_millis(200);
    })
    .await;
    let (ann, _) = ticks(&platform).await;
    let receiver = Receiver::start().await;
    receiver.will_answer([Answer::Hang; 5]);
    add(&ann, "ticks", &["api:app"], "notify", &receiver.url()).await;
    switch_maintenance(&ann, true).await;
    eventually_statuses(&ann, &["failed"]).await;
    let attempt = deliveries(&ann).await[0]["last_attempt"].clone();
    assert_eq!(
        (&attempt["error_class"], &attempt["code"]),
        (&json!("Timeout"), &Value::Null)
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_closed_port_is_told() {
    let platform = Platform::start().await;
    let (ann, _) = ticks(&platform).await;
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    receiver.will_answer([Answer::Redirect(elsewhere.addr)]);
    add(&ann, "ticks", &["api:app"], "notify", &receiver.url()).await;
    switch_maintenance(&ann, true).await;
    eventually_statuses(&ann, &["failed"]).await;
    assert_eq!(deliveries(&ann).await[0]["last_attempt"]["code"], 307);
    assert_eq!(elsewhere.requests().len(), 0);
    drop(receiver);
    switch_maintenance(&ann, false).await;
    eventually_statuses(&ann, &["failed", "failed"]).await;
    let classes = deliveries(&ann).await;
    let class = |n: usize| classes[n]["last_attempt"]["error_class"].clone();
    assert!(
        [class(0), class(1)].contains(&json!("ConnectionFailed")),
        "{classes}"
    );
}

#[tokio::test]
async fn who_does_not_speak_tls_where_it_is_called_for_is_told_nothing() {
    let platform = Platform::start().await;
    let (ann, _) = ticks(&platform).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/hooks", listener.local_addr().unwrap());
    add(&ann, "ticks", &["api:app"], "notify", &url).await;
    switch_maintenance(&ann, true).await;
    let (mut connection, _) = listener.accept().await.unwrap();
    connection
        .write_all(b"HTTP/1.1 200 OK\r\n\r\n")
        .await
        .unwrap();
    eventually_statuses(&ann, &["failed"]).await;
    let attempt = deliveries(&ann).await[0]["last_attempt"].clone();
    assert_eq!(attempt["error_class"], "TlsFailed");
}

/// A name is looked at where it leads when it is called, whatever it led to when it was given.
#[tokio::test]
async fn nobody_is_called_on_the_platforms_own_network() {
    let platform = Platform::start_with(|config: &mut Config| {
        config.webhooks.allow_networks.clear();
    })
    .await;
    let (ann, _) = ticks(&platform).await;
    let receiver = Receiver::start().await;
    let url = format!("http://localhost:{}/hooks", receiver.addr.port());
    add(&ann, "ticks", &["api:app"], "notify", &url).await;
    switch_maintenance(&ann, true).await;
    eventually_statuses(&ann, &["failed"]).await;
    let attempt = deliveries(&ann).await[0]["last_attempt"].clone();
    assert_eq!(attempt["error_class"], "AddressRefused");
    assert_eq!(receiver.requests().len(), 0);
}

#[tokio::test]
async fn what_was_on_its_way_or_happened_meanwhile_is_told_after_a_restart() {
    let mut platform = Platform::start().await;
    let (ann, app) = ticks(&platform).await;
    let receiver = Receiver::start().await;
    receiver.will_answer([Answer::Hang]);
    add(
        &ann,
        "ticks",
        &["api:app", "api:release"],
        "sync",
        &receiver.url(),
    )
    .await;
    switch_maintenance(&ann, true).await;
    receiver.got(1).await;
    platform.shut_down().await;
    // While nobody looks, a release comes and is proven.
    platform.push(app, &ann, &[("web", "serve")]).await;
    platform.prove(app).await;
    receiver.release();
    let (store, dir) = (platform.store.clone(), platform.dir.clone());
    let (_platform, ann) = Platform::restart_on(store, dir, ann, |_| {}).await;
    eventually_statuses(&ann, &["succeeded"; 3]).await;
    let requests = receiver.requests();
    assert_eq!(
        told(&requests),
        [
            "app update true",
            "app update true",
            "release create pending",
            "release update succeeded"
        ]
    );
    let sequences: Vec<_> = requests.iter().map(Request::sequence).collect();
    assert_eq!(
        sequences,
        [1, 1, 2, 3],
        "the first was cut off in the middle"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_controllers_tell_once_also_when_the_one_that_does_dies() {
    let mut platform = Platform::start().await;
    let (ann, _) = ticks(&platform).await;
    let receiver = Receiver::start().await;
    add(&ann, "ticks", &["api:app"], "sync", &receiver.url()).await;
    let mut others = [
        Another::start(&platform).await,
        Another::start(&platform).await,
    ];
    platform.shut_down().await;
    for n in 0..10 {
        switch_maintenance(&others[n % 2].user(&ann), n % 2 == 0).await;
    }
    let ends_with = async |count: usize| {
        eventually("all are told", async || {
            let requests = receiver.requests();
            requests
                .last()
                .is_some_and(|r| r.sequence() >= count as u64)
        })
        .await;
        let requests = receiver.requests();
        requests.iter().map(Request::sequence).collect::<Vec<_>>()
    };
    assert_eq!(ends_with(10).await, (1..=10).collect::<Vec<_>>());
    let place = key::leader("webhooks");
    let leader = key::LEADERS.get(&*platform.store, &place).await.unwrap();
    let leader = leader.unwrap().value;
    let dies = usize::from(others[1].addr.to_string() == leader);
    assert_eq!(others[dies].addr.to_string(), leader);
    let ann = others[1 - dies].user(&ann);
    eventually_statuses(&ann, &["succeeded"; 10]).await;
    others[dies].kill();
    // Until its lease lapses nobody tells; then the other does, of how things are by now.
    for n in 0..10 {
        switch_maintenance(&ann, n % 2 == 0).await;
    }
    switch_maintenance(&ann, true).await;
    let told = ends_with(11).await;
    assert_eq!(told, (1..=told.len() as u64).collect::<Vec<_>>());
    eventually("the last state is told", async || {
        receiver.requests().last().unwrap().body["data"]["maintenance"] == true
    })
    .await;
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let platform = Platform::start().await;
    let (ann, app) = ticks(&platform).await;
    let receiver = Receiver::start().await;
    platform.push(app, &ann, &[("web", "serve")]).await;
    add(&ann, "ticks", &["api:dyno"], "notify", &receiver.url()).await;
    let names: Vec<_> = (1..=300)
        .map(|n| format!("web.{n}").parse().unwrap())
        .collect();
    platform.dynos(app, &names).await;
    eventually("all are told of", async || {
        let all = key::WEBHOOK_EVENTS.all(&*platform.store).await.unwrap();
        all.last().is_some_and(|event| event.value.sequence == 600)
    })
    .await;
    let events = key::WEBHOOK_EVENTS.all(&*platform.store).await.unwrap();
    assert_eq!(events.len(), model::webhook::MAX_KEPT);
    let deliveries = key::WEBHOOK_DELIVERIES.all(&*platform.store).await.unwrap();
    assert_eq!(deliveries.len(), model::webhook::MAX_KEPT);
}
