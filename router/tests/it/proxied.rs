//! Behind a load balancer: who is believed, and about what.

use model::AppId;
use router::Proxies;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::support::*;

async fn mirror() -> Dyno {
    Dyno::http(|request| async move {
        let field = |name: &str| {
            let value = request.headers().get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let seen = ["for", "proto", "port"].map(|what| field(&format!("x-forwarded-{what}")));
        say(seen.join(" | "))
    })
    .await
}

async fn behind(trusted: &str, speak_proxy_protocol: bool) -> (Platform, Dyno) {
    let platform = Platform::start_with(|config| {
        config.proxies = Proxies {
            trusted: vec![trusted.parse().unwrap()],
            speak_proxy_protocol,
        };
    })
    .await;
    let dyno = mirror().await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    (platform, dyno)
}

const ASK: &str = "GET / HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\n\
                   X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_is_believed_and_nobody_else() {
    let (platform, _dyno) = behind("127.0.0.0/8", false).await;
    let answer = platform.raw(ASK).await;
    assert!(
        answer.ends_with("203.0.113.7, 127.0.0.1 | https | 443"),
        "{answer}"
    );

    let (platform, _dyno) = behind("10.0.0.0/8", false).await;
    let answer = platform.raw(ASK).await;
    assert!(
        answer.ends_with("203.0.113.7, 127.0.0.1 | http | 80"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_protocol_names_the_client() {
    let (mut platform, _dyno) = behind("127.0.0.0/8", true).await;
    let ask = "GET / HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\nX-Forwarded-Proto: https\r\n\r\n";
    let answer = platform
        .raw(&format!(
            "PROXY TCP4 203.0.113.7 192.0.2.1 5000 8080\r\n{ask}"
        ))
        .await;
    // The client itself is nobody's proxy.
    assert!(answer.ends_with("203.0.113.7 | http | 8080"), "{answer}");
    let log = platform.log().await;
    assert!(log.contains(" fwd=\"203.0.113.7\" "), "{log}");
    // Who is to begin with it has to.
    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn from_anybody_else_the_proxy_protocol_is_a_bad_request() {
    let (platform, dyno) = behind("10.0.0.0/8", true).await;
    let answer = platform
        .raw(&format!(
            "PROXY TCP4 203.0.113.7 192.0.2.1 5000 443\r\n{ASK}"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(dyno.requests(), 0);
    let answer = platform.raw(ASK).await;
    assert!(answer.ends_with(" | http | 80"), "{answer}");
}
