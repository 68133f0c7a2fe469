//! The heart of it: dynos come and go under load, and nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use model::AppId;
use tokio::task::JoinSet;

use super::support::*;

const ROUNDS: usize = 12;

/// Answers after a moment, sometimes in parts; once it is `gone`, any request is a failure of the router.
async fn worker(gone: Arc<AtomicBool>, late: Arc<AtomicUsize>) -> Dyno {
    Dyno::http(move |request: Request<Incoming>| {
        let (gone, late) = (gone.clone(), late.clone());
        async move {
            if gone.load(Ordering::SeqCst) {
                late.fetch_add(1, Ordering::SeqCst);
            }
            let pause: u64 = request
                .uri()
                .path()
                .trim_start_matches('/')
                .parse()
                .unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if gone.load(Ordering::SeqCst) {
                late.fetch_add(1, Ordering::SeqCst);
            }
            say(vec![b'x'; 1 + usize::try_from(pause).unwrap() * 997])
        }
    })
    .await
}

#[derive(Default)]
struct Load {
    done: AtomicUsize,
    failed: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    fn took(&self, answer: Result<http::Response<Bytes>, hyper::Error>, pause: usize) {
        match answer {
            Ok(answer) if answer.status() == 200 && answer.body().len() == 1 + pause * 997 => {
                self.done.fetch_add(1, Ordering::SeqCst);
            }
            other => {
                eprintln!(
                    "failed: {:?}",
                    other.map(|answer| answer.map(|body| body.len()))
                );
                self.failed.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

async fn whole(
    answer: hyper::Result<http::Response<Incoming>>,
) -> Result<http::Response<Bytes>, hyper::Error> {
    use http_body_util::BodyExt as _;
    let (parts, body) = answer?.into_parts();
    Ok(http::Response::from_parts(
        parts,
        body.collect().await?.to_bytes(),
    ))
}

/// Keep-alive clients over HTTP/1.1, some that post, and streams over HTTP/2.
async fn load(platform: &Platform) -> (Arc<Load>, JoinSet<()>) {
    let (load, mut clients) = (Arc::new(Load::default()), JoinSet::new());
    for client in 0..60_usize {
        let (load, addr) = (load.clone(), platform.http);
        clients.spawn(async move {
            let mut sender = http1(addr).await;
            for turn in 0.. {
                if load.stop.load(Ordering::SeqCst) {
                    return;
                }
                let pause = (client * 7 + turn * 3) % 20;
                let request = Request::builder()
                    .uri(format!("/{pause}"))
                    .header("host", "app.paas.test");
                let request = if client % 3 == 0 {
                    request.method("POST").body(Full::from("some body"))
                } else {
                    request.body(Full::default())
                };
                sender.ready().await.unwrap();
                let answer = whole(sender.send_request(request.unwrap()).await).await;
                load.took(answer, pause);
            }
        });
    }
    for stream in 0..40_usize {
        let load = load.clone();
        let mut sender = platform.http2("app.paas.test").await;
        clients.spawn(async move {
            for turn in 0.. {
                if load.stop.load(Ordering::SeqCst) {
                    return;
                }
                let pause = (stream * 11 + turn * 5) % 20;
                let request = Request::get(format!("https://app.paas.test/{pause}"))
                    .body(Full::default())
                    .unwrap();
                let answer = whole(sender.send_request(request).await).await;
                load.took(answer, pause);
            }
        });
    }
    (load, clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_dynos_again_and_again_under_load_loses_nothing() {
    let platform = Platform::start().await;
    let (app, late) = (AppId::new(), Arc::new(AtomicUsize::new(0)));
    let mut gone = Arc::new(AtomicBool::new(false));
    let mut dynos = vec![
        worker(gone.clone(), late.clone()).await,
        worker(gone.clone(), late.clone()).await,
    ];
    platform
        .route(&route(app, "app", &dynos.iter().collect::<Vec<_>>()))
        .await;
    let (load, mut clients) = load(&platform).await;
    for _ in 0..ROUNDS {
        let enough = load.done.load(Ordering::SeqCst) + 50;
        eventually("some load", async || {
            (load.done.load(Ordering::SeqCst) >= enough).then_some(())
        })
        .await;

        let next_gone = Arc::new(AtomicBool::new(false));
        let next = vec![
            worker(next_gone.clone(), late.clone()).await,
            worker(next_gone.clone(), late.clone()).await,
        ];
        platform
            .route(&route(
                app,
                "app",
                &dynos.iter().chain(&next).collect::<Vec<_>>(),
            ))
            .await;
        platform
            .route(&route(app, "app", &next.iter().collect::<Vec<_>>()))
            .await;
        for dyno in &dynos {
            platform.drained(dyno.id).await;
        }
        gone.store(true, Ordering::SeqCst);
        for dyno in &dynos {
            dyno.kill();
        }
        (dynos, gone) = (next, next_gone);
    }
    load.stop.store(true, Ordering::SeqCst);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    assert_eq!(
        load.failed.load(Ordering::SeqCst),
        0,
        "of {} requests",
        load.done.load(Ordering::SeqCst)
    );
    assert_eq!(
        late.load(Ordering::SeqCst),
        0,
        "requests reached dynos that were acknowledged as removed and drained"
    );
    assert!(load.done.load(Ordering::SeqCst) >= ROUNDS * 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_is_exact_even_when_routes_flap() {
    let platform = Platform::start().await;
    let (app, late) = (AppId::new(), Arc::new(AtomicUsize::new(0)));
    let (stays, never) = (Dyno::saying("x").await, Arc::new(AtomicBool::new(false)));
    // One address that comes and goes: whenever it is out and drained, `gone` says so.
    let gone = Arc::new(AtomicBool::new(false));
    let flaps = worker(gone.clone(), late.clone()).await;
    let base = worker(never, late.clone()).await;
    platform.route(&route(app, "app", &[&base, &flaps])).await;
    let (load, mut clients) = load(&platform).await;
    for _ in 0..2 * ROUNDS {
        let seen = flaps.requests();
        eventually("a request at the flapping dyno", async || {
            (flaps.requests() > seen).then_some(())
        })
        .await;
        platform.route(&route(app, "app", &[&base])).await;
        platform.drained(flaps.id).await;
        gone.store(true, Ordering::SeqCst);
        let enough = load.done.load(Ordering::SeqCst) + 20;
        eventually("some load", async || {
            (load.done.load(Ordering::SeqCst) >= enough).then_some(())
        })
        .await;
        gone.store(false, Ordering::SeqCst);
        platform.route(&route(app, "app", &[&base, &flaps])).await;
    }
    load.stop.store(true, Ordering::SeqCst);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    drop(stays);
    assert_eq!(
        (
            load.failed.load(Ordering::SeqCst),
            late.load(Ordering::SeqCst)
        ),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_dyno_is_reported_until_its_last_byte_is_through() {
    let platform = Platform::start().await;
    let app = AppId::new();
    let old = Dyno::http(|_| async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        say(vec![b'x'; 1 << 20])
    })
    .await;
    let new = Dyno::saying("new").await;
    platform.route(&route(app, "app", &[&old])).await;
    let mut client = http1(platform.http).await;
    let request = Request::get("/")
        .header("host", "app.paas.test")
        .body(Full::default())
        .unwrap();
    let answer = tokio::spawn(client.send_request(request));
    eventually("the request to arrive", async || {
        (old.requests() == 1).then_some(())
    })
    .await;

    let revision = platform.route(&route(app, "app", &[&new])).await;
    let report = platform.acknowledged(revision).await;
    assert_eq!(
        report.draining.into_iter().collect::<Vec<_>>(),
        [(old.id, 1)]
    );
    assert_eq!(text(&platform.get("app.paas.test", "/").await), "new");
    assert_eq!(
        collect(answer.await.unwrap().unwrap()).await.body().len(),
        1 << 20
    );
    platform.drained(old.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_to_a_removed_dyno_are_closed() {
    let platform = Platform::start().await;
    let app = AppId::new();
    let (open, count) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (opened, counted) = (open.clone(), count.clone());
    let dyno = Dyno::raw(move |mut stream| {
        let (open, count) = (opened.clone(), counted.clone());
        async move {
            use tokio::io::AsyncWriteExt as _;
            open.fetch_add(1, Ordering::SeqCst);
            while read_head(&mut stream).await.starts_with("GET") {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await;
            }
            open.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    platform.route(&route(app, "app", &[&dyno])).await;
    for _ in 0..10 {
        assert_eq!(text(&platform.get("app.paas.test", "/").await), "ok");
    }
    assert!(open.load(Ordering::SeqCst) > 0);
    platform.route(&route(app, "app", &[])).await;
    eventually("the connections to be closed", async || {
        (open.load(Ordering::SeqCst) == 0).then_some(())
    })
    .await;
    assert_eq!(count.load(Ordering::SeqCst), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn unrelated_commits_cause_no_reports() {
    let platform = Platform::start().await;
    let dyno = Dyno::saying("x").await;
    let app = AppId::new();
    platform.route(&route(app, "app", &[&dyno])).await;
    let key = store::key::alive_router(platform.id);
    let before = platform.store.get(&key).await.unwrap().unwrap().revision;
    for n in 0..20 {
        let name: model::AppName = format!("name-{n}").parse().unwrap();
        let txn = store::Txn::new().put(&store::key::APP_NAMES, store::key::app_name(&name), &app);
        txn.commit(&*platform.store).await.unwrap();
    }
    // A route change is reported after whatever the others would have caused: in order, exactly one write.
    let revision = platform.commit(&route(app, "app", &[&dyno])).await;
    platform.acknowledged(revision).await;
    let after = platform.store.get(&key).await.unwrap().unwrap();
    assert!(
        before < revision && after.revision == revision + 1,
        "{before} {revision} {}",
        after.revision
    );
}
