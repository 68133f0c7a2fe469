//! What an app may wish for its requests: who comes in, how, to which dyno, and how the answer goes back.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use model::{AppId, Canary, ClientLimit, Hsts, PathRoute, Route, Routing};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::support::*;

pub(super) fn with(dynos: &[&Dyno], routing: Routing) -> Route {
    let mut route = route(AppId::new(), "app", dynos);
    route.hosts.push("www.example.com".parse().unwrap());
    route.routing = routing;
    route
}

pub(super) fn header<'a>(answer: &'a Response<Bytes>, name: &str) -> &'a str {
    answer
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

pub(super) async fn over_https(platform: &Platform, host: &str, path: &str) -> Response<Bytes> {
    let request = Request::get(format!("https://{host}{path}")).body(Full::default());
    let mut client = platform.http2("app.paas.test").await;
    collect(client.send_request(request.unwrap()).await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_led_to_https_and_told_to_stay_there() {
    let mut platform = Platform::start().await;
    let dyno = Dyno::http(|_| async {
        let mut answer = say("ok");
        let weak = "max-age=1".parse().unwrap();
        answer
            .headers_mut()
            .insert("strict-transport-security", weak);
        answer
    })
    .await;
    let hsts = Hsts {
        max_age: 300,
        include_subdomains: true,
        preload: false,
    };
    let routing = Routing {
        https_only: true,
        hsts: Some(hsts),
        ..Routing::default()
    };
    platform.route(&with(&[&dyno], routing)).await;
    let answer = platform.get("app.paas.test", "/a?b=c").await;
    assert_eq!(answer.status(), 301);
    assert_eq!(header(&answer, "location"), "https://app.paas.test/a?b=c");
    assert_eq!(
        header(&answer, "strict-transport-security"),
        "",
        "not over plain HTTP"
    );
    let line = platform.log().await;
    assert!(
        line.starts_with("at=info method=GET path=\"/a?b=c\"")
            && line.contains("dyno= connect= service= status=301"),
        "{line}"
    );

    let answer = over_https(&platform, "app.paas.test", "/").await;
    let said: Vec<_> = answer
        .headers()
        .get_all("strict-transport-security")
        .iter()
        .collect();
    assert_eq!(said, ["max-age=300; includeSubDomains"]);
    let mut stream = platform.tls("app.paas.test", &["http/1.1"]).await;
    let request = b"GET / HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let count = answer.matches("max-age").count();
    assert!(
        count == 1 && answer.contains("includeSubDomains"),
        "{answer}"
    );
    assert_eq!(dyno.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_names_lead_to_the_canonical_one() {
    let platform = Platform::start().await;
    let dyno = Dyno::saying("ok").await;
    let routing = Routing {
        canonical_host: Some("www.example.com".parse().unwrap()),
        ..Routing::default()
    };
    platform.route(&with(&[&dyno], routing)).await;
    let post = Request::post("/form")
        .header("host", "app.paas.test")
        .body(Full::from("x=1"));
    let answer = platform.ask(post.unwrap()).await;
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "location")),
        (308, "http://www.example.com/form")
    );
    assert_eq!(text(&platform.get("www.example.com", "/").await), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_may_come_do_and_a_proxys_word_counts_if_it_is_trusted() {
    let mut platform = Platform::start_with(|config| {
        config.proxies.trusted = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let dyno = Dyno::saying("ok").await;
    let routing = Routing {
        allow: vec!["192.0.2.0/24".parse().unwrap()],
        deny: vec!["192.0.2.66/32".parse().unwrap()],
        ..Routing::default()
    };
    platform.route(&with(&[&dyno], routing)).await;
    for (passed_on, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.66", 403),
        ("198.51.100.1", 403),
        // What the client wrote itself stands before what the proxy knows.
        ("192.0.2.1, 198.51.100.1", 403),
        ("198.51.100.1, 192.0.2.1", 200),
        ("192.0.2.1, 127.0.0.2", 200),
        ("nonsense", 403),
    ] {
        let request = Request::get("/")
            .header("host", "app.paas.test")
            .header("x-forwarded-for", passed_on);
        let answer = platform.ask(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status(), status, "{passed_on}");
    }
    platform.log().await;
    let line = platform.log().await;
    assert!(
        line.starts_with("at=warning code=P10 desc=\"Address not allowed\""),
        "{line}"
    );

    let platform = Platform::start().await;
    let routing = Routing {
        allow: vec!["192.0.2.0/24".parse().unwrap()],
        ..Routing::default()
    };
    platform.route(&with(&[&dyno], routing)).await;
    let forged = Request::get("/")
        .header("host", "app.paas.test")
        .header("x-forwarded-for", "192.0.2.1");
    assert_eq!(
        platform
            .ask(forged.body(Full::default()).unwrap())
            .await
            .status(),
        403
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_much_is_shut_out_and_the_log_says_so_once() {
    let mut platform = Platform::start_with(|config| {
        config.proxies.trusted = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let dyno = Dyno::saying("ok").await;
    let routing = Routing {
        rate_limit: Some(ClientLimit {
            requests: 3,
            per_seconds: 3600,
            burst: None,
            block_seconds: 600,
        }),
        ..Routing::default()
    };
    let mut route = with(&[&dyno], routing);
    platform.route(&route).await;
    let ask = async |client: &str| {
        let request = Request::get("/")
            .header("host", "app.paas.test")
            .header("x-forwarded-for", client);
        platform.ask(request.body(Full::default()).unwrap()).await
    };
    for _ in 0..3 {
        assert_eq!(ask("192.0.2.1").await.status(), 200);
    }
    let refused = ask("192.0.2.1").await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = header(&refused, "retry-after").parse().unwrap();
    assert!((1000..=1201).contains(&wait), "{wait}");
    assert_eq!(ask("192.0.2.1").await.status(), 429);
    assert_eq!(
        ask("192.0.2.2").await.status(),
        200,
        "another's limit is its own"
    );
    // What changes elsewhere in the route forgives nobody.
    route.hosts.push("more.example.com".parse().unwrap());
    platform.route(&route).await;
    assert_eq!(ask("192.0.2.1").await.status(), 429);
    assert_eq!(dyno.requests(), 4);
    let mut codes = Vec::new();
    for _ in 0..5 {
        codes.push(
            platform
                .log()
                .await
                .contains("code=P11 desc=\"Rate limit exceeded\""),
        );
    }
    assert_eq!(codes, [false, false, false, true, false]);
    assert!(platform.logs.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_and_a_share_of_requests_go_to_other_apps() {
    let mut platform = Platform::start().await;
    let (main, api, new) = (
        Dyno::saying("main").await,
        Dyno::saying("api").await,
        Dyno::saying("new").await,
    );
    let (api_app, new_app) = (
        route(AppId::new(), "api-app", &[&api]),
        route(AppId::new(), "new-app", &[&new]),
    );
    platform.route(&api_app).await;
    platform.route(&new_app).await;
    let paths = vec![PathRoute {
        prefix: "/api".to_owned(),
        app: api_app.app,
    }];
    let mut front = with(
        &[&main],
        Routing {
            paths,
            ..Routing::default()
        },
    );
    platform.route(&front).await;
    for (path, said) in [
        ("/", "main"),
        ("/apis", "main"),
        ("/api", "api"),
        ("/api/x?y", "api"),
    ] {
        assert_eq!(
            text(&platform.get("app.paas.test", path).await),
            said,
            "{path}"
        );
    }
    // The line is in the log of the app that answered.
    let mut of = Vec::new();
    for _ in 0..4 {
        of.push(platform.logs.recv().await.unwrap().app);
    }
    assert_eq!(of, [front.app, front.app, api_app.app, api_app.app]);

    front.routing.canary = Some(Canary {
        app: new_app.app,
        percent: 100,
    });
    platform.route(&front).await;
    assert_eq!(text(&platform.get("app.paas.test", "/").await), "new");
    assert_eq!(text(&platform.get("app.paas.test", "/api").await), "api");
    // Nobody is left without an answer when the other app is destroyed.
    let gone = store::Txn::new().delete(store::key::route(new_app.app));
    let store::Committed::Done(revision) = gone.commit(&*platform.store).await.unwrap() else {
        panic!("no condition was set")
    };
    platform.acknowledged(revision).await;
    assert_eq!(text(&platform.get("app.paas.test", "/").await), "main");
}

const LONG: &str = "All work and no play makes Jack a dull boy. ";

fn long() -> Answer {
    let mut answer = say(LONG.repeat(2000));
    for (name, value) in [("content-type", "text/html"), ("etag", "\"v1\"")] {
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_compressed_for_clients_that_take_it() {
    let platform = Platform::start().await;
    let dyno = Dyno::http(|request| async move {
        let mut answer = long();
        let kind = request
            .uri()
            .path()
            .trim_start_matches('/')
            .replace('+', "/");
        if !kind.is_empty() {
            answer
                .headers_mut()
                .insert("content-type", kind.parse().unwrap());
        }
        answer
    })
    .await;
    platform
        .route(&with(
            &[&dyno],
            Routing {
                compression: true,
                ..Routing::default()
            },
        ))
        .await;
    let mut http2 = platform.http2("app.paas.test").await;
    for (accepts, coding) in [
        ("gzip, br", "gzip"),
        ("gzip, zstd", "zstd"),
        ("br", ""),
        ("", ""),
    ] {
        let request = || {
            let request = Request::get("https://app.paas.test/").header("accept-encoding", accepts);
            request.body(Full::<Bytes>::default()).unwrap()
        };
        let mut over_http1 = request();
        *over_http1.uri_mut() = "/".parse().unwrap();
        over_http1
            .headers_mut()
            .insert("host", "app.paas.test".parse().unwrap());
        let answers = [
            platform.ask(over_http1).await,
            collect(http2.send_request(request()).await.unwrap()).await,
        ];
        for answer in answers {
            assert_eq!(header(&answer, "content-encoding"), coding);
            assert_eq!(header(&answer, "vary"), "Accept-Encoding");
            let tag = if coding.is_empty() {
                "\"v1\""
            } else {
                "W/\"v1\""
            };
            assert_eq!(header(&answer, "etag"), tag);
            let mut plain = Vec::new();
            match coding {
                "gzip" => {
                    let mut unpacked = flate2::read::GzDecoder::new(&answer.body()[..]);
                    std::io::Read::read_to_end(&mut unpacked, &mut plain).unwrap();
                }
                "zstd" => plain = zstd::decode_all(&answer.body()[..]).unwrap(),
                _ => plain.extend_from_slice(answer.body()),
            }
            assert_eq!(String::from_utf8(plain).unwrap(), LONG.repeat(2000));
            assert!(
                coding.is_empty() || answer.body().len() < 8000,
                "{}",
                answer.body().len()
            );
        }
    }
    for as_it_is in ["/image+png", "/text+event-stream"] {
        let request = Request::get(as_it_is)
            .header("host", "app.paas.test")
            .header("accept-encoding", "gzip");
        let answer = platform.ask(request.body(Full::default()).unwrap()).await;
        assert_eq!(
            (header(&answer, "content-encoding"), header(&answer, "vary")),
            ("", ""),
            "{as_it_is}"
        );
    }
}

/// What was said is not kept back until there is more.
#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_answer_comes_through_as_it_is_said() {
    let platform = Platform::start().await;
    let (say_more, more) = tokio::sync::watch::channel(0);
    let dyno = Dyno::raw(move |mut stream| {
        let mut more = more.clone();
        async move {
            read_head(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head).await.unwrap();
            for part in 1..=2 {
                more.wait_for(|said| *said >= part).await.unwrap();
                stream.write_all(format!("5\r\npart{part}\r\n").as_bytes()).await.unwrap();
            }
            more.wait_for(|said| *said >= 3).await.unwrap();
            stream.write_all(b"0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    platform
        .route(&with(
            &[&dyno],
            Routing {
                compression: true,
                ..Routing::default()
            },
        ))
        .await;
    let mut client = platform.http2("app.paas.test").await;
    let request = Request::get("https://app.paas.test/").header("accept-encoding", "gzip");
    let mut answer = client
        .send_request(request.body(Full::<Bytes>::default()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    for part in 1..=2 {
        say_more.send_replace(part);
        let expected = (1..=part)
            .map(|part| format!("part{part}"))
            .collect::<String>();
        while decoder.get_ref() != expected.as_bytes() {
            let frame = tokio::time::timeout(PATIENCE, answer.body_mut().frame())
                .await
                .expect("nothing came");
            std::io::Write::write_all(&mut decoder, &frame.unwrap().unwrap().into_data().unwrap())
                .unwrap();
            std::io::Write::flush(&mut decoder).unwrap();
        }
    }
    say_more.send_replace(3);
    let rest = answer.into_body().collect().await.unwrap().to_bytes();
    std::io::Write::write_all(&mut decoder, &rest).unwrap();
    assert_eq!(decoder.finish().unwrap(), b"part1part2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_app_holds_requests_and_resumes_with_all_of_them() {
    let platform = Platform::start_with(|config| config.backlog_per_dyno = 4).await;
    let dyno = Dyno::saying("ok").await;
    let mut route = with(
        &[&dyno],
        Routing {
            paused: true,
            ..Routing::default()
        },
    );
    platform.route(&route).await;
    let addr = platform.http;
    let ask = move || async move {
        let request = Request::get("/")
            .header("host", "app.paas.test")
            .body(Full::default())
            .unwrap();
        collect(http1(addr).await.send_request(request).await.unwrap()).await
    };
    // As many wait as there is room for, five times four. The rest is told at once.
    let mut asked: tokio::task::JoinSet<_> = (0..24).map(|_| ask()).collect();
    for _ in 0..4 {
        let refused = asked.join_next().await.unwrap().unwrap();
        assert!(refused.status() == 503 && text(&refused).contains("H11"));
    }
    assert_eq!(dyno.requests(), 0);
    // They come all at once, and are let through as there is room.
    route.routing.paused = false;
    platform.route(&route).await;
    for answer in asked.join_all().await {
        assert_eq!(text(&answer), "ok");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_ends_in_words_when_it_lasts_too_long() {
    let mut platform =
        Platform::start_with(|config| config.timeouts.boot = Duration::from_millis(100)).await;
    let dyno = Dyno::saying("ok").await;
    platform
        .route(&with(
            &[&dyno],
            Routing {
                paused: true,
                ..Routing::default()
            },
        ))
        .await;
    let answer = platform.get("app.paas.test", "/").await;
    assert!(answer.status() == 503 && text(&answer).contains("paused"));
    let line = platform.log().await;
    assert!(
        line.starts_with("at=info code=P12 desc=\"Paused\""),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_says_how_much_one_dyno_gets_at_once() {
    let mut platform = Platform::start().await;
    let dyno = Dyno::raw(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    platform
        .route(&with(
            &[&dyno],
            Routing {
                requests_per_dyno: Some(2),
                ..Routing::default()
            },
        ))
        .await;
    let mut held = Vec::new();
    for count in 1..=2 {
        let mut stream = TcpStream::connect(platform.http).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: app.paas.test\r\n\r\n")
            .await
            .unwrap();
        held.push(stream);
        eventually("the dyno to be asked", async || {
            (dyno.connections() == count).then_some(())
        })
        .await;
    }
    assert!(text(&platform.get("app.paas.test", "/").await).contains("H11"));
    assert!(platform.log().await.contains("code=H11"));
}
