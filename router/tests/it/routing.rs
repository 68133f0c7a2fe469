//! Which app answers a host name.

use http::Request;
use http_body_util::Full;
use model::AppId;
use store::{Txn, key};

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_finds_its_app_whatever_its_case_and_port() {
    let platform = Platform::start().await;
    let (one, two) = (Dyno::saying("one").await, Dyno::saying("two").await);
    let mut first = route(AppId::new(), "one", &[&one]);
    first.hosts.push("www.example.com".parse().unwrap());
    let mut second = route(AppId::new(), "two", &[&two]);
    second.hosts.push("*.example.com".parse().unwrap());
    platform.route(&first).await;
    platform.route(&second).await;

    for (host, said) in [
        ("one.paas.test", "one"),
        ("ONE.Paas.Test:8080", "one"),
        ("two.paas.test", "two"),
        ("www.example.com", "one"),
        ("other.example.com:80", "two"),
    ] {
        assert_eq!(text(&platform.get(host, "/").await), said, "{host}");
    }
    for unknown in [
        "three.paas.test",
        "a.b.example.com",
        "example.com",
        "127.0.0.1:80",
        "[::1]:80",
    ] {
        let answer = platform.get(unknown, "/").await;
        assert_eq!(answer.status(), 404, "{unknown}");
        assert!(text(&answer).contains("No such app"));
    }
    let absolute = Request::get("http://one.paas.test/x")
        .header("host", "two.paas.test")
        .body(Full::default())
        .unwrap();
    assert_eq!(
        text(&platform.ask(absolute).await),
        "one",
        "an absolute URI goes before the Host header"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_own_domain_says_what_it_is() {
    let platform = Platform::start().await;
    let answer = platform.get(DOMAIN, "/").await;
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["content-type"].to_str().unwrap()
        ),
        (200, "text/html; charset=utf-8")
    );
    assert!(text(&answer).contains("&lt;app&gt;.paas.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_proper_host_are_refused() {
    let platform = Platform::start().await;
    for bad in [
        "GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.test\r\nhost: b.test\r\nconnection: close\r\n\r\n",
    ] {
        assert!(
            platform.raw(bad).await.starts_with("HTTP/1.1 400 "),
            "{bad}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_of_nonsense_hurts_only_its_own_app() {
    let mut platform = Platform::start().await;
    let (one, two) = (Dyno::saying("one").await, Dyno::saying("two").await);
    let app = AppId::new();
    platform.route(&route(app, "one", &[&one])).await;
    platform.route(&route(AppId::new(), "two", &[&two])).await;

    let nonsense = store::Commit {
        ops: vec![store::Op::Put {
            key: key::route(app),
            value: b"[1, 2"[..].into(),
            lease: None,
        }],
        ..Default::default()
    };
    let store::Committed::Done(revision) = platform.store.commit(nonsense).await.unwrap() else {
        panic!()
    };
    platform.acknowledged(revision).await;
    assert_eq!(platform.get("one.paas.test", "/").await.status(), 503);
    assert!(
        platform
            .log()
            .await
            .starts_with("at=error code=H99 desc=\"Platform error\"")
    );
    assert_eq!(text(&platform.get("two.paas.test", "/").await), "two");

    platform.route(&route(app, "one", &[&one])).await;
    assert_eq!(text(&platform.get("one.paas.test", "/").await), "one");

    let Ok(store::Committed::Done(revision)) = Txn::new()
        .delete(key::route(app))
        .commit(&*platform.store)
        .await
    else {
        panic!()
    };
    platform.acknowledged(revision).await;
    assert_eq!(platform.get("one.paas.test", "/").await.status(), 404);
}
