//! The platform's own hosts, `api.` and `git.`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use model::{ServiceEndpoint, ServiceId, ServiceRole, Timestamp};
use router::Timeouts;
use store::{Txn, key};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::support::*;

async fn announce(platform: &Platform, role: ServiceRole, dyno: &Dyno) {
    let endpoint = ServiceEndpoint {
        id: ServiceId::new(),
        role,
        addr: dyno.addr,
        started_at: Timestamp::now(),
    };
    let key = key::alive_service(role, endpoint.id);
    Txn::new()
        .put(&key::ALIVE_SERVICES, key, &endpoint)
        .commit(&*platform.store)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn api_and_git_go_to_controllers_and_builders_and_no_app_hears_of_it() {
    let mut platform = Platform::start().await;
    let controller = Dyno::http(|request| async move {
        say(format!(
            "controller {}",
            request.headers()["x-forwarded-proto"].to_str().unwrap()
        ))
    })
    .await;
    let builder = Dyno::saying("builder").await;
    announce(&platform, ServiceRole::Controller, &controller).await;
    announce(&platform, ServiceRole::Builder, &builder).await;
    // Held until the announcement has come through, if it has not yet.
    assert_eq!(
        text(&platform.get("api.paas.test", "/apps").await),
        "controller http"
    );
    assert_eq!(
        text(&platform.get("git.paas.test", "/x.git/info/refs").await),
        "builder"
    );
    let secure = Request::get("https://api.paas.test/apps")
        .body(Full::default())
        .unwrap();
    let answer = collect(
        platform
            .http2("api.paas.test")
            .await
            .send_request(secure)
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(text(&answer), "controller https");
    assert!(
        platform.logs.try_recv().is_err(),
        "platform hosts are in no app's log"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_push_is_not_cut_by_the_apps_timeouts() {
    let short = Duration::from_millis(100);
    let platform = Platform::start_with(|config| {
        config.timeouts = Timeouts {
            first_byte: short,
            idle: short,
            ..Timeouts::HEROKU
        };
    })
    .await;
    let builder = Dyno::http(|request| async move {
        let bytes = request.into_body().collect().await.unwrap().to_bytes();
        tokio::time::sleep(Duration::from_millis(600)).await;
        say(bytes.len().to_string())
    })
    .await;
    announce(&platform, ServiceRole::Builder, &builder).await;
    let push = Request::post("/app.git/git-receive-pack")
        .header("host", "git.paas.test")
        .body(Full::new(Bytes::from(vec![7; 8 << 20])))
        .unwrap();
    assert_eq!(text(&platform.ask(push).await), (8 << 20).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_controller_the_api_says_so_in_json() {
    let platform =
        Platform::start_with(|config| config.timeouts.platform_wait = Duration::from_millis(100))
            .await;
    let answer = platform.get("api.paas.test", "/apps").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (503, &"application/json".parse().unwrap())
    );
    assert!(
        text(&answer).contains("\"id\":\"service_unavailable\""),
        "{}",
        text(&answer)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn git_is_spoken_to_over_http1_and_all_else_over_http2() {
    let platform = Platform::start().await;
    for (host, spoken) in [
        ("git.paas.test", "http/1.1"),
        ("api.paas.test", "h2"),
        ("app.paas.test", "h2"),
    ] {
        let stream = platform.tls(host, &["h2", "http/1.1"]).await;
        let (_, session) = stream.get_ref();
        assert_eq!(session.alpn_protocol(), Some(spoken.as_bytes()), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_for_the_controller_that_comes_after_one_that_was_killed() {
    let wait = Duration::from_secs(1);
    let platform = Platform::start_with(|config| config.timeouts.platform_wait = wait).await;
    let killed = Dyno::nowhere(refusing().await);
    announce(&platform, ServiceRole::Controller, &killed).await;
    let began = Instant::now();
    let answer = platform.get("api.paas.test", "/apps").await;
    assert_eq!(answer.status(), 503);
    assert!(began.elapsed() >= wait, "it gave up at once");

    let next = Dyno::saying("next").await;
    let (answer, ()) = tokio::join!(
        biased;
        platform.get("api.paas.test", "/apps"),
        announce(&platform, ServiceRole::Controller, &next)
    );
    assert_eq!(text(&answer), "next");
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Answers who attaches to `SECRET` with a greeting and a word, then with whatever it is sent.
async fn terminal() -> Dyno {
    Dyno::raw(|mut stream| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        if !head.starts_with(&format!("get /attach/{SECRET} http/1.1\r\n")) {
            let refused = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refused).await.unwrap();
            return;
        }
        assert!(head.contains("\r\nhost: api.paas.test\r\n"), "{head}");
        assert!(head.contains("\r\nupgrade: rendezvous\r\n"), "{head}");
        let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: rendezvous\r\n\r\n";
        let all = [&switch[..], b"rendezvous\r\nready "].concat();
        stream.write_all(&all).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_a_secret_over_tls_is_attached_and_hears_a_greeting_alone() {
    let platform = Platform::start().await;
    let controller = terminal().await;
    announce(&platform, ServiceRole::Controller, &controller).await;
    for said in [format!("{SECRET}\r\n"), SECRET.to_owned()] {
        let mut client = platform.tls("api.paas.test", &[]).await;
        client.write_all(said.as_bytes()).await.unwrap();
        let mut greeting = [0; 12];
        client.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"rendezvous\r\n");
        client.write_all(b"typed").await.unwrap();
        let expected = format!("ready {}typed", &said[SECRET.len()..]);
        let mut answer = vec![0; expected.len()];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), expected);
        // And nothing keeps it when the client has gone.
        client.shutdown().await.unwrap();
        assert_eq!(client.read(&mut answer).await.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_good_for_nothing_where_it_is_not_known_or_not_over_tls() {
    let platform = Platform::start().await;
    let controller = terminal().await;
    announce(&platform, ServiceRole::Controller, &controller).await;
    let mut client = platform.tls("api.paas.test", &[]).await;
    let unknown = SECRET.replace('0', "1");
    client.write_all(unknown.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"");
    let plain = platform.raw(&format!("{SECRET}\r\n\r\n")).await;
    assert!(plain.starts_with("HTTP/1.1 400 "), "{plain}");
    // What only begins like one is a request.
    let mut client = platform.tls("api.paas.test", &[]).await;
    client
        .write_all(b"dead / HTTP/1.1\r\nHost: api.paas.test\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    client.read_to_end(&mut heard).await.unwrap();
    let heard = String::from_utf8_lossy(&heard);
    assert!(heard.starts_with("HTTP/1.1 404 "), "{heard}");
}
