//! The routers' word, asked for by the controller at the moment somebody asks it.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use model::{RouterAbout, RouterId, RouterReport, Timestamp};
use serde_json::{Value, json};
use store::{Txn, key};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::harness::{Platform, each};

const STATUS: &str = "/platform/routers";

/// A stand-in for a router: it answers in one router's name, to whoever shows the platform's token.
async fn stand_in(token: &str, id: RouterId, answer: Value) -> SocketAddr {
    let said = (format!("Bearer {token}"), id, answer);
    let say = async |State((token, id, answer)): State<(String, RouterId, Value)>,
                     Path(asked): Path<Vec<String>>,
                     headers: HeaderMap| {
        if headers.get("authorization").map(|shown| shown.as_bytes()) != Some(token.as_bytes()) {
            return Err(StatusCode::NOT_FOUND);
        }
        if asked[0] != id.to_string() {
            return Err(StatusCode::MISDIRECTED_REQUEST);
        }
        Ok(axum::Json(answer))
    };
    let routes = Router::new()
        .route("/internal/routers/{router}", get(say))
        .route("/internal/routers/{router}/apps/{app}", get(say))
        .with_state(said);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    addr
}

async fn announce(platform: &Platform, id: RouterId, about: RouterAbout) {
    let report = RouterReport {
        certificates: 0,
        id,
        applied: 1,
        draining: [].into(),
        started_at: Timestamp::now(),
        about,
    };
    let put = Txn::new().put(&key::ALIVE_ROUTERS, key::alive_router(id), &report);
    put.commit(&*platform.store).await.unwrap();
}

fn reading(id: RouterId) -> Value {
    let latency = json!({"p50": 1.5, "p99": null});
    json!({
        "backends": 1, "buffers": 0, "connections": {"http1": 1, "http2": 0, "tcp": 0, "upgraded": 0}, "id": id,
        "latency": latency, "memory_bytes": 1, "quarantined_backends": 0, "requests_in_flight": 0,
        "requests_per_second": 4.5, "routes": 1, "tcp_ports": [], "uptime_seconds": 9, "version": "7.8.9",
        "window_seconds": 12.5,
    })
}

#[tokio::test]
async fn every_router_is_named_whether_it_answers_or_not_and_nobody_waits_long() {
    let platform = Platform::start().await;
    let token = platform.keyring.internal_token().expose().clone();
    let (well, silent, taken_over, old) = (
        RouterId::new(),
        RouterId::new(),
        RouterId::new(),
        RouterId::new(),
    );
    let host = platform.node("alpha", "").await;
    let addr = stand_in(&token, well, reading(well)).await;
    let at = |addr: SocketAddr| RouterAbout {
        addr: Some(addr),
        ..RouterAbout::default()
    };
    announce(
        &platform,
        well,
        RouterAbout {
            host: Some(host),
            closed_ports: [(25, "in use".to_owned())].into(),
            ..at(addr)
        },
    )
    .await;
    // Takes connections and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    announce(&platform, silent, at(mute.local_addr().unwrap())).await;
    // Where another process answers now.
    announce(&platform, taken_over, at(addr)).await;
    let leaving = RouterAbout {
        leaving: true,
        ..at(addr)
    };
    announce(&platform, old, leaving).await;

    let began = Instant::now();
    let status = platform.admin.get(STATUS).await.expect(200);
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    let of = |id: RouterId| {
        let routers = status["routers"].as_array().unwrap();
        routers
            .iter()
            .find(|r| r["id"] == json!(id))
            .unwrap()
            .clone()
    };
    assert_eq!(status["routers"].as_array().unwrap().len(), 4);
    assert_eq!(
        (
            &of(well)["host"],
            &of(well)["state"],
            &of(well)["reading"]["version"]
        ),
        (&json!("alpha"), &json!("up"), &json!("7.8.9"))
    );
    assert_eq!(of(well)["closed_ports"]["25"], "in use");
    assert_eq!(
        (&of(silent)["state"], &of(silent)["reading"]),
        (&json!("no answer"), &Value::Null)
    );
    let reason = of(silent)["error"].to_string();
    assert!(reason.contains("within 2 s"), "{reason}");
    let reason = of(taken_over)["error"].to_string();
    assert!(reason.contains("another process"), "{reason}");
    assert_eq!(of(old)["state"], "draining");
    // Whoever runs the platform is told of the port where he looks first, too.
    let status = platform.admin.get("/platform/status").await.expect(200);
    let problems = status["problems"].to_string();
    assert!(
        problems.contains("port 25") && problems.contains("alpha"),
        "{problems}"
    );
}

#[tokio::test]
async fn whoever_may_see_an_app_is_told_of_its_traffic() {
    let platform = Platform::start().await;
    let token = platform.keyring.internal_token().expose().clone();
    let id = RouterId::new();
    let latency = json!({"p50": 1.5, "p99": 20.0});
    let answer = json!({
        "backends": [{"address": "10.0.0.7:32768", "in_flight": 2, "name": "web.1", "state": "up"}],
        "bytes_in": 1, "bytes_out": 2, "codes": {"H12": 1}, "connect": latency, "id": id, "in_flight": 4,
        "latency": latency, "requests_per_second": 12.0, "statuses": {"2xx": 119, "5xx": 1}, "upgraded": 0,
        "window_seconds": 10.0,
    });
    let addr = Some(stand_in(&token, id, answer).await);
    let about = RouterAbout {
        addr,
        ..RouterAbout::default()
    };
    announce(&platform, id, about).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let traffic = ann.get("/apps/ticks/traffic").await.expect(200);
    assert_eq!(each(&traffic["routers"], "state"), ["up"]);
    let reading = &traffic["routers"][0]["reading"];
    assert_eq!(reading["statuses"]["2xx"], 119);
    assert_eq!(each(&reading["backends"], "name"), ["web.1"]);
}
