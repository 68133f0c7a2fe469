//! Clients come back to the dyno that answered them.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use model::{AppId, PathRoute, Routing};
use serde_json::Value;

use super::metrics::of_app;
use super::rules::{header, over_https, with};
use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_stays_with_the_dyno_that_answered_it_first() {
    let platform = Platform::start().await;
    let said = ["0", "1", "2", "3", "4"];
    let mut dynos = Vec::new();
    for text in said {
        dynos.push(Dyno::saying(text).await);
    }
    let mut route = with(
        &dynos.iter().collect::<Vec<_>>(),
        Routing {
            session_affinity: true,
            ..Routing::default()
        },
    );
    platform.route(&route).await;
    let first = platform.get("app.paas.test", "/").await;
    let set = header(&first, "set-cookie").to_owned();
    assert!(
        set.starts_with("heroku-session-affinity=")
            && set.contains("HttpOnly")
            && !set.contains("Secure"),
        "{set}"
    );
    let cookie = format!("a=b; {}", set.split(';').next().unwrap());
    let again = async || {
        let request = Request::get("/")
            .header("host", "app.paas.test")
            .header("cookie", &cookie);
        platform.ask(request.body(Full::default()).unwrap()).await
    };
    for _ in 0..20 {
        let answer = again().await;
        assert_eq!(
            (answer.body(), header(&answer, "set-cookie")),
            (first.body(), "")
        );
    }
    // When that dyno is gone, another one takes its place.
    let index: usize = text(&first).parse().unwrap();
    route.backends.remove(index);
    platform.route(&route).await;
    let answer = again().await;
    assert_ne!(answer.body(), first.body());
    assert!(header(&answer, "set-cookie").starts_with("heroku-session-affinity="));
    let secure = over_https(&platform, "app.paas.test", "/").await;
    assert!(header(&secure, "set-cookie").ends_with("HttpOnly; Secure; SameSite=None"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_a_path_and_of_the_rest_are_kept_apart() {
    let platform = Platform::start().await;
    let mut dynos = Vec::new();
    for text in ["0", "1", "2", "3", "4", "5"] {
        dynos.push(Dyno::saying(text).await);
    }
    let dynos: Vec<_> = dynos.iter().collect();
    let api = route(AppId::new(), "api-app", &dynos[3..]);
    let front = with(
        &dynos[..3],
        Routing {
            session_affinity: true,
            paths: vec![PathRoute {
                prefix: "/api".to_owned(),
                app: api.app,
            }],
            ..Routing::default()
        },
    );
    platform.route(&api).await;
    platform.route(&front).await;
    let pair = |answer: &Response<Bytes>| {
        let set = header(answer, "set-cookie").to_owned();
        let (pair, attributes) = set.split_once("; ").unwrap();
        (pair.to_owned(), attributes.to_owned())
    };
    let first = [
        platform.get("app.paas.test", "/").await,
        platform.get("app.paas.test", "/api/x").await,
    ];
    let [(rest, of_rest), (path, of_path)] = [pair(&first[0]), pair(&first[1])];
    assert!(of_rest.starts_with("Path=/;") && of_path.starts_with("Path=/api;"));
    // As clients send them: that of the longest path first.
    for _ in 0..10 {
        for (at, cookies, expected) in [
            ("/", rest.clone(), &first[0]),
            ("/api/x", format!("{path}; {rest}"), &first[1]),
        ] {
            let request = Request::get(at)
                .header("host", "app.paas.test")
                .header("cookie", cookies);
            let answer = platform.ask(request.body(Full::default()).unwrap()).await;
            let told = (answer.body(), header(&answer, "set-cookie"));
            assert_eq!(told, (expected.body(), ""));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_moves_rather_than_wait_for_a_dyno_that_has_its_share() {
    let platform = Platform::start().await;
    let mut dynos = Vec::new();
    for text in ["0", "1"] {
        let answer = move |request: Request<hyper::body::Incoming>| async move {
            if request.uri().path() == "/wait" {
                std::future::pending::<()>().await;
            }
            say(text)
        };
        dynos.push(Dyno::http(answer).await);
    }
    let routing = Routing {
        session_affinity: true,
        requests_per_dyno: Some(1),
        ..Routing::default()
    };
    let dynos: Vec<_> = dynos.iter().collect();
    let route = with(&dynos, routing);
    platform.route(&route).await;
    let first = platform.get("app.paas.test", "/").await;
    // A client can have its answer a moment before the router has counted it as done.
    eventually("the dynos to be free", async || {
        let about = platform
            .ask_internally(&of_app(&platform, route.app), TOKEN)
            .await;
        let about: Value = serde_json::from_slice(about.body()).unwrap();
        let backends = about["backends"].as_array().unwrap();
        let is_free = |backend: &Value| backend["in_flight"] == 0;
        backends.iter().all(is_free).then_some(())
    })
    .await;
    let set = header(&first, "set-cookie");
    let cookie = set.split(';').next().unwrap().to_owned();
    let ask = |path: &str| {
        let request = Request::get(path)
            .header("host", "app.paas.test")
            .header("cookie", &cookie);
        request.body(Full::default()).unwrap()
    };
    let mut client = http1(platform.http).await;
    let held = tokio::spawn(client.send_request(ask("/wait")));
    let index: usize = text(&first).parse().unwrap();
    eventually("its dyno to be busy", async || {
        (dynos[index].requests() == 2).then_some(())
    })
    .await;
    let moved = platform.ask(ask("/")).await;
    assert_eq!(moved.status(), 200);
    assert_ne!(moved.body(), first.body());
    assert!(header(&moved, "set-cookie").starts_with("heroku-session-affinity="));
    held.abort();
}
