//! The routers' word and the ports of TCP routes, through the real programs: certificates on both sides, sockets that one
//! process hands to the next. No dyno has a part in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tests::Platform;
use tests::eventually::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_secs(60);

/// Says everything back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut into) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut into).await;
            });
        }
    });
    addr
}

async fn say_and_hear(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).await.unwrap();
    let mut heard = vec![0; text.len()];
    let read = tokio::time::timeout(SOON, stream.read_exact(&mut heard)).await;
    read.expect("no answer").unwrap();
    assert_eq!(heard, text);
}

fn free_port() -> u16 {
    // Below the ports that the kernel gives to outgoing connections.
    let first = rand::random_range(10_000..15_000);
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (first..15_000).find(is_free).expect("a free port")
}

#[tokio::test]
async fn an_upgrade_hands_tcp_ports_over_and_operators_see_the_router_before_and_after() {
    let metrics = free_port();
    let platform = Platform::with(&[
        "roles = [\"controller\", \"router\"]",
        "router.tcp_address = \"127.0.0.1\"",
        &format!("router.metrics = \"127.0.0.1:{metrics}\""),
    ])
    .await;
    let (port, backend) = (free_port(), echo().await);
    let port_text = port.to_string();
    platform
        .paas(&["tcp-routes:add", &metrics.to_string(), "localhost:1"])
        .await
        .failed()
        .says("the platform's own (router.metrics)");
    // By name: the host's own resolver is asked.
    let target = format!("localhost:{}", backend.port());
    platform
        .paas(&["tcp-routes:add", &port_text, &target])
        .await
        .ok();
    let mut kept = eventually("the port opens", SOON, || async {
        TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    say_and_hear(&mut kept, b"before").await;

    let status = async || {
        let said = platform.paas(&["router:status", "--json"]).await.ok();
        let status: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        status
    };
    let before = status().await;
    assert_eq!(before["routers"][0]["state"], "up", "{before}");
    let reading = &before["routers"][0]["reading"];
    assert_eq!(reading["tcp_ports"][0]["port"], port, "{before}");
    assert_eq!(reading["connections"]["tcp"], 1, "{before}");
    platform.paas(&["router:status"]).await.ok().says("up");

    let stop = Arc::new(AtomicBool::new(false));
    let connecting = tokio::spawn({
        let stop = stop.clone();
        async move {
            let mut made = 0;
            while !stop.load(Ordering::Relaxed) {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                say_and_hear(&mut stream, b"meanwhile").await;
                made += 1;
            }
            made
        }
    });
    platform.upgrade().await;
    // The next process has the port, and answers for itself.
    eventually("the router of the next process", SOON, || async {
        let now = status().await;
        let routers = now["routers"].as_array()?;
        let next = routers
            .iter()
            .find(|r| r["id"] != before["routers"][0]["id"])?;
        (next["state"] == "up" && next["reading"]["tcp_ports"][0]["port"] == port).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    assert!(connecting.await.unwrap() > 0);
    say_and_hear(&mut kept, b"after").await;

    platform.paas(&["tcp-routes:remove", &port_text]).await.ok();
    eventually("the port closes", SOON, || async {
        let tried = TcpStream::connect(("127.0.0.1", port)).await;
        tried.is_err().then_some(())
    })
    .await;
    say_and_hear(&mut kept, b"still").await;
    let metrics = SocketAddr::from(([127, 0, 0, 1], metrics));
    let scraped = tests::web::get(metrics, "metrics", "/metrics")
        .await
        .unwrap();
    assert!(
        scraped.text.contains("paas_router_uptime_seconds "),
        "{}",
        scraped.text
    );
}
