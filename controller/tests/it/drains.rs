//! Lines on their way out through drains.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use controller::DrainsConfig;
use controller_api::host_listener::HostListener;
use controller_api::log_sink::{BATCH_HEADER, home_of};
use controller_api::wire::LogSessionCreate;
use model::AppId;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::harness::{Another, Platform, User, eventually};
use crate::logs::{line, read, texts};
use crate::receivers::{HttpReceiver, Messages, SyslogReceiver};
use crate::world::id_of;

const DRAINS: &str = "/apps/ticks/log-drains";

/// Lines of a dyno, in numbered batches, as a node sends them.
struct Dyno {
    app: AppId,
    sender: Uuid,
    number: AtomicU64,
}

impl Dyno {
    fn of(app: AppId) -> Self {
        Self {
            app,
            sender: Uuid::new_v4(),
            number: AtomicU64::new(0),
        }
    }

    async fn say(&self, controllers: &[User], lines: impl IntoIterator<Item = String>) {
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        let lines: Vec<_> = lines.into_iter().collect();
        for controller in controllers {
            self.send(controller, number, &lines).await;
        }
    }

    async fn send(&self, controller: &User, number: u64, lines: &[String]) {
        let lines = lines
            .iter()
            .map(|text| line(self.app, "web.1", text.as_str()));
        let body: String = lines
            .map(|line| serde_json::to_string(&line).unwrap() + "\n")
            .collect();
        let answer = controller
            .http
            .post(format!("http://{}/internal/logs", controller.addr))
            .bearer_auth(&controller.token)
            .header(BATCH_HEADER, format!("{} {number}", self.sender))
            .body(body)
            .send();
        assert_eq!(answer.await.unwrap().status(), 204);
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("line {n}")).collect()
}

/// An app with drains that are known to be open.
struct Drained {
    platform: Platform,
    ann: User,
    dyno: Dyno,
}

impl Drained {
    async fn start(to: &[(&str, &Messages)]) -> Self {
        let drained = Self::start_on(Platform::start().await).await;
        drained.add(to).await
    }

    async fn start_on(platform: Platform) -> Self {
        let ann = platform.user("ann").await;
        let app = id_of(&ann.app("ticks").await);
        Self {
            platform,
            ann,
            dyno: Dyno::of(app),
        }
    }

    async fn add(self, to: &[(&str, &Messages)]) -> Self {
        for (url, _) in to {
            self.ann.post(DRAINS, json!({"url": url})).await.expect(201);
        }
        for (_, messages) in to {
            probe(self.dyno.app, &self.platform.internal(), messages).await;
        }
        self
    }

    async fn say(&self, lines: impl IntoIterator<Item = String>) {
        let controller = self.platform.internal();
        self.dyno.say(&[controller], lines).await;
    }

    /// What the platform says about drains in the app's log.
    async fn told(&self) -> Vec<String> {
        let wanted = LogSessionCreate {
            dyno: Some("logplex".to_owned()),
            ..LogSessionCreate::default()
        };
        let lines = read(&self.ann, wanted).await;
        texts(&lines).into_iter().map(str::to_owned).collect()
    }

    async fn until_told(&self, words: &str) {
        eventually(words, async || {
            self.told().await.iter().any(|line| line.contains(words))
        })
        .await;
    }
}

/// A new drain is open a moment after it was added.
async fn probe(app: AppId, controller: &User, messages: &Messages) {
    let dyno = Dyno::of(app);
    let text = format!("probe of {app} by {}", controller.addr);
    for _ in 0..100 {
        dyno.say(std::slice::from_ref(controller), [text.clone()])
            .await;
        for _ in 0..20 {
            if messages.all().iter().any(|m| m.ends_with(&text)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    panic!("the drain does not open");
}

async fn until(messages: &Messages, expected: &[String]) {
    eventually("the lines come", async || {
        messages.texts().len() >= expected.len()
    })
    .await;
    assert_eq!(messages.texts(), expected);
}

#[tokio::test]
async fn lines_are_posted_as_logplex_posts_them() {
    let receiver = HttpReceiver::start().await;
    let url = format!("http://ann:p%40ss@{}/in/take", receiver.addr);
    let drained = Drained::start(&[(&url, &receiver.messages)]).await;
    drained.say(numbers(0..300)).await;
    until(&receiver.messages, &numbers(0..300)).await;
    drained
        .ann
        .patch("/apps/ticks", json!({"maintenance": true}))
        .await
        .expect(200);
    eventually("what the API has to say goes, too", async || {
        let all = receiver.messages.all();
        all.iter()
            .any(|m| m.contains(" host app api - Enable maintenance mode by user ann@"))
    })
    .await;
    let listed = drained.ann.get(DRAINS).await.expect(200);
    let token = listed[0]["token"].as_str().unwrap();
    let mut ids = BTreeSet::new();
    for post in receiver.posts() {
        let header = |name: &str| post.headers[name].to_str().unwrap();
        assert_eq!(header("content-type"), "application/logplex-1");
        assert_eq!(header("logplex-drain-token"), token);
        assert_eq!(header("logplex-msg-count"), post.messages.len().to_string());
        assert!(header("user-agent").starts_with("Logplex/v"));
        assert_eq!(
            header("authorization"),
            crate::harness::basic("ann", "p@ss")
        );
        assert!(
            ids.insert(header("logplex-frame-id").to_owned()),
            "one id twice"
        );
    }
    let first = receiver.messages.all();
    let first = first
        .iter()
        .find(|message| message.ends_with(" - line 0"))
        .unwrap();
    assert!(
        first.starts_with("<190>1 20") && first.contains(" host app web.1 - "),
        "{first}"
    );
    assert_eq!(drained.told().await, [""; 0]);
}

#[tokio::test]
async fn lines_go_to_several_drains_in_order_and_once() {
    let (syslog, http) = (SyslogReceiver::start().await, HttpReceiver::start().await);
    let url = format!("syslog://{}", syslog.addr);
    let to = [(&*url, &syslog.messages), (&*http.url(), &http.messages)];
    let drained = Drained::start(&to).await;
    for n in 0..20 {
        drained.say(numbers(n * 100..(n + 1) * 100)).await;
    }
    // A batch that is sent again was there.
    let again = numbers(1_900..2_000);
    drained
        .dyno
        .send(&drained.platform.internal(), 20, &again)
        .await;
    drained.say(numbers(2_000..2_001)).await;
    until(&syslog.messages, &numbers(0..2_001)).await;
    until(&http.messages, &numbers(0..2_001)).await;
    assert_eq!(syslog.connections.load(Ordering::Relaxed), 1);
    let listed = drained.ann.get(DRAINS).await.expect(200);
    let of_syslog = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|drain| drain["url"] == url)
        .unwrap();
    let token = of_syslog["token"].as_str().unwrap();
    let messages = syslog.messages.all();
    let line = messages
        .iter()
        .find(|message| message.ends_with("line 7"))
        .unwrap();
    assert!(
        line.contains(&format!(" {token} app web.1 - - line 7")),
        "{line}"
    );
}

fn self_signed(name: &str) -> (String, rustls::ServerConfig) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (made.cert.pem(), config)
}

#[tokio::test]
async fn over_tls_only_a_receiver_that_is_vouched_for_gets_lines() {
    let (ca, trusted) = self_signed("localhost");
    let trusted_https = trusted.clone();
    let (_, unknown) = self_signed("localhost");
    let trusted = SyslogReceiver::start_tls(trusted).await;
    let unknown = SyslogReceiver::start_tls(unknown).await;
    let platform = Platform::start_with(|config| config.drains.ca = Some(ca)).await;
    let drained = Drained::start_on(platform).await;
    let over_https = HttpReceiver::start_tls(trusted_https).await;
    let of = |receiver: &SyslogReceiver, host: &str| {
        format!("syslog+tls://{host}:{}", receiver.addr.port())
    };
    let unknown_https = of(&unknown, "localhost").replace("syslog+tls", "https");
    let refused = [
        of(&unknown, "localhost"),
        of(&trusted, "127.0.0.1"),
        unknown_https,
    ];
    for url in &refused {
        drained
            .ann
            .post(DRAINS, json!({"url": url}))
            .await
            .expect(201);
    }
    let url = of(&trusted, "localhost");
    let https = format!("https://localhost:{}/drain", over_https.addr.port());
    let to = [(&*url, &trusted.messages), (&*https, &over_https.messages)];
    let drained = drained.add(&to).await;
    drained.say(numbers(0..100)).await;
    until(&trusted.messages, &numbers(0..100)).await;
    until(&over_https.messages, &numbers(0..100)).await;
    for url in &refused {
        drained.until_told(&format!("uri=\"{url}\"")).await;
    }
    let told = drained.told().await;
    let is_l14 = |line: &String| line.starts_with("Error L14 (certificate validation): error=");
    assert!(told.iter().all(is_l14) && told.len() == 3, "{told:#?}");
    assert_eq!(unknown.messages.all(), [""; 0]);
}

#[tokio::test]
async fn a_receiver_that_hangs_up_is_connected_to_again() {
    let receiver = SyslogReceiver::start().await;
    let url = format!("syslog://{}", receiver.addr);
    let drained = Drained::start(&[(&url, &receiver.messages)]).await;
    for n in 0..4 {
        drained.say(numbers(n * 10..(n + 1) * 10)).await;
        until(&receiver.messages, &numbers(0..(n + 1) * 10)).await;
        receiver.hang_up();
    }
    assert!(receiver.connections.load(Ordering::Relaxed) >= 4);
    assert_eq!(drained.told().await, [""; 0], "that is no trouble");
}

#[tokio::test]
async fn a_receiver_that_is_away_gets_its_lines_when_it_is_back() {
    let receiver = SyslogReceiver::start().await;
    let url = format!("syslog://{}", receiver.addr);
    let drained = Drained::start(&[(&url, &receiver.messages)]).await;
    let addr = receiver.stop().await;
    // What the kernel had taken when the connection ended is lost: nobody answers in syslog.
    drained
        .say(["probe of the broken connection".to_owned()])
        .await;
    drained.say(numbers(0..50)).await;
    drained
        .until_told("takes no lines: no connection: connection refused. It is tried again.")
        .await;
    let receiver = SyslogReceiver::start_at(addr, None).await;
    until(&receiver.messages, &numbers(0..50)).await;
    drained.until_told("takes lines again").await;
    assert_eq!(drained.told().await.len(), 2);
    // Nothing of that has gone into the drain.
    let all = receiver.messages.all();
    assert!(
        !all.iter().any(|message| message.contains("logplex")),
        "{all:#?}"
    );
}

#[tokio::test]
async fn a_batch_that_fails_is_posted_again_under_its_id_until_it_is_taken() {
    let receiver = HttpReceiver::start().await;
    let drained = Drained::start(&[(&receiver.url(), &receiver.messages)]).await;
    receiver.answer(503);
    drained.say(numbers(0..5)).await;
    drained
        .until_told("takes no lines: it answers 503 Service Unavailable")
        .await;
    receiver.answer(200);
    until(&receiver.messages, &numbers(0..5)).await;
    let posts = receiver.posts();
    let failed: Vec<_> = posts.iter().filter(|post| post.status == 503).collect();
    let taken = posts
        .iter()
        .find(|post| post.messages == failed[0].messages && post.status == 200);
    let id = |headers: &axum::http::HeaderMap| headers["logplex-frame-id"].clone();
    assert!(failed.len() >= 3);
    for post in &failed {
        assert_eq!(id(&post.headers), id(&taken.unwrap().headers));
    }
    drained.until_told("takes lines again").await;
}

#[tokio::test]
async fn a_batch_whose_receiver_hangs_up_in_the_middle_is_posted_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/drain", listener.local_addr().unwrap());
    let drained = Drained::start(&[]).await;
    drained
        .ann
        .post(DRAINS, json!({"url": url}))
        .await
        .expect(201);
    // Lines come on and on, until they have found somebody twice.
    let hung_up = async {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 64]).await.unwrap();
        }
    };
    let talking = async {
        loop {
            drained.say(["probe".to_owned()]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = hung_up => {}
        () = talking => {}
    }
    let receiver = HttpReceiver::serve(HostListener::from(listener));
    drained.say(numbers(0..100)).await;
    until(&receiver.messages, &numbers(0..100)).await;
    let all = receiver.messages.all();
    assert!(all.iter().any(|m| m.ends_with("probe")) && !all.iter().any(|m| m.contains("L10")));
}

#[tokio::test]
async fn what_a_receiver_refuses_is_dropped_counted_and_not_sent_elsewhere() {
    let receiver = HttpReceiver::start().await;
    let drained = Drained::start(&[(&receiver.url(), &receiver.messages)]).await;
    for status in [404, 307] {
        receiver.answer(status);
        let before = receiver.messages.dropped();
        drained.say(numbers(0..5)).await;
        eventually("it is refused", async || {
            receiver.posts().iter().any(|post| post.status == status)
        })
        .await;
        receiver.answer(204);
        eventually("it is told", async || {
            receiver.messages.dropped() >= before + 5
        })
        .await;
    }
    assert_eq!(receiver.messages.texts(), [""; 0]);
    drained
        .until_told("refuses lines, which are dropped: it answers 404 Not Found")
        .await;
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_holds_up_nobody_and_is_told_what_it_missed() {
    let (slow, fast) = (HttpReceiver::start().await, SyslogReceiver::start().await);
    let url = format!("syslog://{}", fast.addr);
    let to = [(&*slow.url(), &slow.messages), (&*url, &fast.messages)];
    let drained = Drained::start(&to).await;
    // Once nothing else is on its way.
    drained.say(["probe of both".to_owned()]).await;
    eventually("it comes", async || {
        let all = slow.messages.all();
        all.iter().any(|message| message.ends_with("probe of both"))
    })
    .await;
    slow.open(false);
    for n in 0..8 {
        drained.say(numbers(n * 1_000..(n + 1) * 1_000)).await;
        until(&fast.messages, &numbers(0..(n + 1) * 1_000)).await;
    }
    slow.open(true);
    eventually("all is told or said to be dropped", async || {
        slow.messages.texts().len() + slow.messages.dropped() >= 8_000
    })
    .await;
    let (said, dropped) = (slow.messages.texts(), slow.messages.dropped());
    assert!(
        dropped > 0 && said.len() + dropped == 8_000,
        "{} and {dropped}",
        said.len()
    );
    assert_eq!(said[said.len() - 5_000..], numbers(3_000..8_000));
    let all = slow.messages.all();
    let l10 = all
        .iter()
        .find(|message| message.contains("Error L10"))
        .unwrap();
    assert!(
        l10.starts_with("<172>1 ") && l10.contains(" host heroku logplex - Error L10"),
        "{l10}"
    );
    // The app's log has it all.
    let wanted = LogSessionCreate {
        lines: Some(1_500),
        ..LogSessionCreate::default()
    };
    assert_eq!(
        texts(&read(&drained.ann, wanted).await),
        numbers(6_500..8_000)
    );
}

#[tokio::test]
async fn a_drain_that_is_removed_or_led_elsewhere_sends_nothing_more_there() {
    let (first, second) = (HttpReceiver::start().await, HttpReceiver::start().await);
    let drained = Drained::start(&[(&first.url(), &first.messages)]).await;
    let listed = drained.ann.get(DRAINS).await.expect(200);
    let place = format!("{DRAINS}/{}", listed[0]["id"].as_str().unwrap());
    drained
        .ann
        .put(&place, json!({"url": second.url()}))
        .await
        .expect(200);
    probe(
        drained.dyno.app,
        &drained.platform.internal(),
        &second.messages,
    )
    .await;
    drained.say(numbers(0..10)).await;
    until(&second.messages, &numbers(0..10)).await;
    assert_eq!(first.messages.texts(), [""; 0]);

    let drained = drained.add(&[(&first.url(), &first.messages)]).await;
    drained.ann.delete(&place).await.expect(200);
    let dyno = drained.dyno;
    let controllers = [drained.platform.internal()];
    // Lines go to the other drain on and on, and soon to that one only.
    eventually("it has stopped", async || {
        let before = second.messages.all().len();
        let seen = first.messages.texts().len();
        dyno.say(&controllers, numbers(0..1)).await;
        eventually("the other goes on", async || {
            first.messages.texts().len() > seen
        })
        .await;
        second.messages.all().len() == before
    })
    .await;
}

#[tokio::test]
async fn what_is_on_its_way_when_a_drain_is_led_elsewhere_is_counted_as_lost() {
    let (first, second) = (HttpReceiver::start().await, HttpReceiver::start().await);
    let drained = Drained::start(&[(&first.url(), &first.messages)]).await;
    first.answer(503);
    drained.say(numbers(0..5)).await;
    eventually("it fails", async || {
        first.posts().iter().any(|post| post.status == 503)
    })
    .await;
    let listed = drained.ann.get(DRAINS).await.expect(200);
    let place = format!("{DRAINS}/{}", listed[0]["id"].as_str().unwrap());
    drained
        .ann
        .put(&place, json!({"url": second.url()}))
        .await
        .expect(200);
    eventually("the other is told", async || {
        let all = second.messages.all();
        all.iter().any(|message| message.contains("Error L10"))
    })
    .await;
}

#[tokio::test]
async fn what_waits_goes_out_when_the_controller_stops() {
    let receiver = HttpReceiver::start().await;
    let drained = Drained::start(&[(&receiver.url(), &receiver.messages)]).await;
    receiver.answer(503);
    drained.say(numbers(0..5)).await;
    eventually("it fails", async || {
        receiver.posts().iter().any(|post| post.status == 503)
    })
    .await;
    drained.say(numbers(5..2_000)).await;
    receiver.answer(204);
    drained.platform.stop().await;
    assert_eq!(receiver.messages.texts(), numbers(0..2_000));
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_connected_to() {
    let receiver = SyslogReceiver::start().await;
    let platform = Platform::start_with(|config| config.drains = DrainsConfig::default()).await;
    let drained = Drained::start_on(platform).await;
    for url in [
        format!("syslog://localhost:{}", receiver.addr.port()),
        format!("http://localhost:{}/", receiver.addr.port()),
    ] {
        drained
            .ann
            .post(DRAINS, json!({"url": url}))
            .await
            .expect(201);
    }
    eventually("both are told to lead nowhere", async || {
        drained.say(numbers(0..1)).await;
        let told = drained.told().await;
        told.iter()
            .filter(|line| line.contains("leads to no public address"))
            .count()
            == 2
    })
    .await;
    assert_eq!(receiver.connections.load(Ordering::Relaxed), 0);
}

/// Apps of which each of two controllers is home to some, each with a drain to one receiver.
async fn apps_of_two(
    platform: &Platform,
    other: &Another,
    ann: &User,
    url: &str,
) -> Vec<(AppId, bool)> {
    let both = [platform.addr, other.addr];
    let mut apps: Vec<(AppId, bool)> = Vec::new();
    for n in 0..40 {
        let made: Value = ann.app(&format!("app-{n}")).await;
        let app = id_of(&made);
        let is_here = home_of(app, &both) == Some(platform.addr);
        if apps.iter().filter(|(_, here)| *here == is_here).count() < 2 {
            let path = format!("/apps/app-{n}/log-drains");
            ann.post(&path, json!({"url": url})).await.expect(201);
            apps.push((app, is_here));
        }
    }
    assert_eq!(apps.len(), 4);
    apps
}

#[tokio::test]
async fn with_two_controllers_each_line_is_delivered_once_and_one_takes_over_from_the_other() {
    let receiver = HttpReceiver::start().await;
    let platform = Platform::start().await;
    let mut other = Another::start(&platform).await;
    let ann = platform.user("ann").await;
    let apps = apps_of_two(&platform, &other, &ann, &receiver.url()).await;
    let internal = platform.internal();
    let both = [internal.clone(), other.user(&internal)];
    for (app, _) in &apps {
        for controller in &both {
            probe(*app, controller, &receiver.messages).await;
        }
    }
    let dynos: Vec<_> = apps.iter().map(|(app, _)| Dyno::of(*app)).collect();
    for n in 0..50 {
        for dyno in &dynos {
            let lines = (n * 10..(n + 1) * 10).map(|n| format!("{} {n}", dyno.app));
            // To both, to the one or to the other, as it may happen.
            let to = [&both[..], &both[..1], &both[1..]][n % 3];
            dyno.say(to, lines).await;
        }
    }
    eventually("all lines come", async || {
        receiver.messages.texts().len() >= 2_000
    })
    .await;
    let came = receiver.messages.texts();
    let apart: BTreeSet<_> = came.iter().collect();
    assert_eq!((came.len(), apart.len()), (2_000, 2_000));

    // The home of two of them dies; the other has their lines, too, and takes over once that is known.
    other.kill();
    for dyno in &dynos {
        dyno.say(&both[..1], ["the end".to_owned()]).await;
    }
    eventually("the last lines come", async || {
        receiver
            .messages
            .texts()
            .iter()
            .filter(|text| *text == "the end")
            .count()
            == 4
    })
    .await;
}
