//! Requests that two parties could read differently: refused, or passed on so that there is one reading only.
//!
//! Behind each of them comes `GET /smuggled`. A dyno that ever sees a request without the router's own fields was given
//! one that the router took for a part of another.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt as _;
use model::AppId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::faults::hasty;
use super::support::*;

const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\n\r\n";

/// What a server built on hyper made of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    path: String,
    body: Vec<u8>,
    is_from_router: bool,
}

async fn witness() -> (Dyno, Arc<Mutex<Vec<Seen>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = seen.clone();
    let dyno = Dyno::http(move |request| {
        let all = all.clone();
        async move {
            let path = request.uri().path().to_owned();
            let fields = ["via", "x-request-id", "x-request-start", "x-forwarded-for"];
            let is_from_router = fields
                .iter()
                .all(|name| request.headers().contains_key(*name));
            // A body that breaks off was no request.
            if let Ok(body) = request.into_body().collect().await {
                let body = body.to_bytes().to_vec();
                all.lock().unwrap().push(Seen {
                    path,
                    body,
                    is_from_router,
                });
            }
            say("seen")
        }
    })
    .await;
    (dyno, seen)
}

/// The statuses of what came back before the connection was closed, or nothing had come for so long.
async fn statuses(to: SocketAddr, bytes: &[u8], patience: Duration) -> Vec<u16> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // The other end may have seen enough before the end of it.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    while let Ok(Ok(1..)) = tokio::time::timeout(patience, stream.read_buf(&mut answer)).await {}
    String::from_utf8_lossy(&answer)
        .split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|rest| rest.get(..3)?.parse().ok())
        .collect()
}

fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /first HTTP/1.1\r\nHost: app.paas.test\r\n{fields}\r\n{body}{NEXT}").into_bytes()
}

const CHUNKED: &str = "1\r\nx\r\n0\r\n\r\n";

/// Transfer codings that are not just `chunked`, or are said in a way of which one may not be sure.
const CODINGS: [&str; 42] = [
    "Transfer-Encoding: chunked\t",
    "Transfer-Encoding: chunked \t ",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: 'chunked'",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: chunked\t, identity",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: cow",
    "Transfer-Encoding:",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: chunked\x0b",
    "Transfer-Encoding: \x0cchunked",
    "Transfer-Encoding: chunked\0",
    "Transfer-Encoding: \0chunked",
    "Transfer-Encoding: chunked\rX: y",
    "Transfer-Encoding: chunked\nX: y",
    "Transfer-Encoding\n: chunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "\tTransfer-Encoding: chunked",
    "X: y\r\n Transfer-Encoding: chunked",
    "Transfer-Encoding: x\r\n chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
    "Transfer_Encoding: chunked",
    "Transfer Encoding: chunked",
    "Transfer-Encoding; chunked",
    "Transfer-Encoding chunked",
    ": chunked",
    "Transfer-\u{200b}Encoding: chunked",
    "Transfer-Encoding\0: chunked",
];

/// Lengths that are none, or more than one.
const LENGTHS: [&str; 27] = [
    "Content-Length: +3",
    "Content-Length: -3",
    "Content-Length: 0x3",
    "Content-Length: 3 3",
    "Content-Length: 3,3",
    "Content-Length: 3, 3",
    "Content-Length: 3;",
    "Content-Length: \"3\"",
    "Content-Length: 3.0",
    "Content-Length: 3e0",
    "Content-Length: 1_0",
    "Content-Length:",
    "Content-Length: three",
    "Content-Length: 99999999999999999999",
    "Content-Length: 18446744073709551619",
    "Content-Length: 3\0",
    "Content-Length: \x0b3",
    "Content-Length: 3\x0c",
    "Content-Length: 3\r\nContent-Length: 4",
    "Content-Length: 4\r\nContent-Length: 3",
    "Content-Length: 3\r\nContent-Length: 3",
    "Content-Length: 0\r\nContent-Length: 3",
    "Content-Length : 3",
    " Content-Length: 3",
    "X: y\r\n\tContent-Length: 3",
    "Content-Length\0: 3",
    "Content-Length: 3\nX: y",
];

/// Bodies that are no chunks.
const CHUNKS: [&str; 26] = [
    "1 \r\nx\r\n0\r\n\r\n",
    " 1\r\nx\r\n0\r\n\r\n",
    "1\t\r\nx\r\n0\r\n\r\n",
    "0x1\r\nx\r\n0\r\n\r\n",
    "+1\r\nx\r\n0\r\n\r\n",
    "-1\r\nx\r\n0\r\n\r\n",
    "1_0\r\nx\r\n0\r\n\r\n",
    "g\r\nx\r\n0\r\n\r\n",
    "\r\nx\r\n0\r\n\r\n",
    ";a\r\nx\r\n0\r\n\r\n",
    "1\nx\n0\n\n",
    "1\r\nx\n0\r\n\r\n",
    "1\nx\r\n0\r\n\r\n",
    "1\rx\r\n0\r\n\r\n",
    "1\r\nx\r0\r\n\r\n",
    "1\r\nxx\r\n0\r\n\r\n",
    "2\r\nx\r\n0\r\n\r\n",
    "1\r\nx0\r\n\r\n",
    "1;a\nb\r\nx\r\n0\r\n\r\n",
    "1;a\rb\r\nx\r\n0\r\n\r\n",
    "1;\0\r\nx\r\n0\r\n\r\n",
    "100000000000000001\r\nx\r\n0\r\n\r\n",
    "FFFFFFFFFFFFFFFF\r\nx\r\n0\r\n\r\n",
    "0\n\r\n",
    "0\r\nX: y\nZ: z\r\n\r\n",
    "0\r\nX: y\rZ: z\r\n\r\n",
];

/// First lines and fields that not everybody reads alike.
const HEADS: [&str; 30] = [
    "GET  /first HTTP/1.1\r\nHost: app.paas.test\r\n\r\n",
    "GET /first  HTTP/1.1\r\nHost: app.paas.test\r\n\r\n",
    "GET\t/first\tHTTP/1.1\r\nHost: app.paas.test\r\n\r\n",
    " GET /first HTTP/1.1\r\nHost: app.paas.test\r\n\r\n",
    "GET /first HTTP/1.1 \r\nHost: app.paas.test\r\n\r\n",
    "GET /first HTTP/1.1\nHost: app.paas.test\n\n",
    "GET /first HTTP/1.1\r\nHost: app.paas.test\n\r\n",
    "GET /first HTTP/1.1\rHost: app.paas.test\r\r",
    "GET /first HTTP/1.2\r\nHost: app.paas.test\r\n\r\n",
    "GET /first HTTP/2.0\r\nHost: app.paas.test\r\n\r\n",
    "GET /first HTTP/11\r\nHost: app.paas.test\r\n\r\n",
    "GET /first HTTP/1.1.1\r\nHost: app.paas.test\r\n\r\n",
    "GET /first http/1.1\r\nHost: app.paas.test\r\n\r\n",
    "GET /first\r\nHost: app.paas.test\r\n\r\n",
    "GET /fir st HTTP/1.1\r\nHost: app.paas.test\r\n\r\n",
    "GET first HTTP/1.1\r\nHost: app.paas.test\r\n\r\n",
    "GET ?first HTTP/1.1\r\nHost: app.paas.test\r\n\r\n",
    "GET /first#part HTTP/1.1\r\nHost: app.paas.test\r\n\r\n",
    "GET /first\0 HTTP/1.1\r\nHost: app.paas.test\r\n\r\n",
    "G=T@ /first HTTP/1.1\r\nHost: app.paas.test\r\n\r\n",
    "GET ftp://app.paas.test/first HTTP/1.1\r\nHost: app.paas.test\r\n\r\n",
    "GET http://user@app.paas.test/first HTTP/1.1\r\nHost: app.paas.test\r\n\r\n",
    "GET /first HTTP/1.1\r\n\r\n",
    "GET /first HTTP/1.1\r\nHost: app.paas.test\r\nHost: other.paas.test\r\n\r\n",
    "GET /first HTTP/1.1\r\nHost: app.paas.test\r\n Host: other.paas.test\r\n\r\n",
    "GET /first HTTP/1.1\r\nHost : app.paas.test\r\n\r\n",
    "GET /first HTTP/1.1\r\nHost: app.paas.test, other.paas.test\r\n\r\n",
    "GET /first HTTP/1.1\r\nHost: app.paas.test\r\nno colon\r\n\r\n",
    "GET /first HTTP/1.1\r\nHost: app.paas.test\r\nX: a\rb\r\n\r\n",
    "POST /first HTTP/1.0\r\nHost: app.paas.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
];

fn ambiguous() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for coding in CODINGS {
        all.push(post(&format!("{coding}\r\n"), CHUNKED));
        all.push(post(&format!("Content-Length: 3\r\n{coding}\r\n"), CHUNKED));
    }
    for length in LENGTHS {
        all.push(post(&format!("{length}\r\n"), "abc"));
    }
    for chunks in CHUNKS {
        all.push(post("Transfer-Encoding: chunked\r\n", chunks));
    }
    for head in HEADS {
        all.push(format!("{head}{NEXT}").into_bytes());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_hides_in_another() {
    let platform = hasty().await;
    let (dyno, seen) = witness().await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let all = ambiguous();
    assert!(all.len() >= 100);
    for bytes in all {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let got = statuses(platform.http, &bytes, PATIENCE).await;
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        for request in &seen {
            assert!(request.is_from_router, "{text:?}: {seen:?}");
        }
        let answered = got.iter().filter(|status| **status == 200).count();
        assert_eq!(answered, seen.len(), "{text:?}: {got:?} {seen:?}");
        // What was refused ends the connection: whatever follows it may be a part of it.
        let refused = got.iter().position(|status| *status != 200);
        assert!(
            refused.is_none_or(|at| at + 1 == got.len()),
            "{text:?}: {got:?}"
        );
    }
}

/// Ambiguous ones that are refused outright.
#[tokio::test(flavor = "multi_thread")]
async fn what_frames_a_body_is_said_plainly_or_not_at_all() {
    let platform = hasty().await;
    let (dyno, seen) = witness().await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    // One reading only: a field of another name, which goes no further.
    let harmless = ["Transfer_Encoding: chunked"];
    let codings = CODINGS
        .iter()
        .filter(|coding| !harmless.contains(coding))
        .map(|coding| post(&format!("{coding}\r\n"), CHUNKED));
    let lengths = LENGTHS
        .iter()
        .map(|length| post(&format!("{length}\r\n"), "abc"));
    let heads = HEADS
        .iter()
        .map(|head| format!("{head}{NEXT}").into_bytes());
    for bytes in codings.chain(lengths).chain(heads) {
        let got = statuses(platform.http, &bytes, PATIENCE).await;
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(got, [400], "{text:?}");
    }
    assert_eq!(*seen.lock().unwrap(), []);
}

/// Where hyper, asked directly, takes a request, it is given the same one by the router.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_on_is_what_a_dyno_would_have_read_itself() {
    let platform = hasty().await;
    let (dyno, seen) = witness().await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let plain = [
        post("", ""),
        post("Content-Length: 0\r\n", ""),
        post("Content-Length: 3\r\n", "abc"),
        post("content-LENGTH:   3  \r\n", "abc"),
        post("Transfer-Encoding: chunked\r\n", CHUNKED),
        post("Transfer-Encoding:chunked\r\n", CHUNKED),
        post("Transfer-Encoding: \tchunked \r\n", CHUNKED),
        post("tRANSFER-eNCODING: CHUNKED\r\n", CHUNKED),
        post(
            "Transfer-Encoding: chunked\r\n",
            "1;a=b\r\nx\r\n0\r\nX: y\r\n\r\n",
        ),
        post(
            "Transfer-Encoding: chunked\r\n",
            "00A\r\n0123456789\r\n000\r\n\r\n",
        ),
    ];
    let (itself, by_itself) = witness().await;
    let (all, mut compared) = (plain.into_iter().chain(ambiguous()), 0);
    for (bytes, number) in all.zip(0..) {
        // What comes late is not taken for another's.
        let path = format!("/first-{number}");
        let text = String::from_utf8(bytes).unwrap().replace("/first", &path);
        let through = statuses(platform.http, text.as_bytes(), PATIENCE).await;
        // Nothing ends a request that hyper waits for the rest of.
        let direct = statuses(itself.addr, text.as_bytes(), Duration::from_millis(200)).await;
        if through.first() == Some(&200) && direct.first() == Some(&200) {
            let body = |all: &Mutex<Vec<Seen>>| {
                let all = all.lock().unwrap();
                let this = all.iter().find(|seen| seen.path == path);
                this.map(|seen| seen.body.clone())
            };
            assert!(body(&seen).is_some(), "{text:?}");
            assert_eq!(body(&seen), body(&by_itself), "{text:?}");
            compared += 1;
        }
    }
    assert!(compared >= 10, "{compared}");
}
