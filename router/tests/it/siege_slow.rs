//! Slow clients: heads, bodies and reading, a little at a time, so that they are never silent for long.

use std::time::{Duration, Instant};

use bytes::Bytes;
use model::AppId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::frames::*;
use super::siege::*;
use super::support::*;

/// Whoever is cut off is, within this; many times what is allowed, for the machine may be busy.
const SOON: Duration = Duration::from_secs(20);

async fn app(platform: &Platform) -> Dyno {
    let dyno = Dyno::http(|request| async move {
        let body = http_body_util::BodyExt::collect(request.into_body()).await;
        say(body.map_or(0, |body| body.to_bytes().len()).to_string())
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    dyno
}

/// Says `first`, and then `more` again and again, until it is hung up on. All that it was told.
async fn trickle(platform: &Platform, first: &[u8], more: &[u8]) -> String {
    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    stream.write_all(first).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let saying = async {
        while write.write_all(more).await.is_ok() {
            sleep(SHORT / 8).await;
        }
    };
    let mut heard = Vec::new();
    let hearing = async {
        let _ = read.read_to_end(&mut heard).await;
    };
    let both = async {
        tokio::select! {
            () = saying => {}
            () = hearing => {}
        }
    };
    timeout(SOON, both).await.expect("it was let go on");
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_have_one_deadline_however_busy_they_are() {
    let platform = besieged(|_| {}).await;
    let (dyno, bystander) = (app(&platform).await, Bystander::at(&platform).await);
    let begun = b"GET / HTTP/1.1\r\nHost: app.paas.test\r\n";
    for (first, more) in [
        (&b""[..], &b"G"[..]),
        (begun, b"X"),
        (begun, b"X: y\r\n"),
        (b"", b"\r\n"),
    ] {
        trickle(&platform, first, more).await;
    }
    assert_eq!(dyno.requests(), 0);
    bystander.was_served().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_is_h28_and_its_dyno_is_freed() {
    let mut platform = besieged(|_| {}).await;
    let (_dyno, bystander) = (app(&platform).await, Bystander::at(&platform).await);
    let head = "POST / HTTP/1.1\r\nHost: app.paas.test\r\n";
    let sized = format!("{head}Content-Length: 100000\r\n\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    for (first, more) in [(sized, &b"x"[..]), (chunked, b"1\r\nx\r\n")] {
        let answer = trickle(&platform, first.as_bytes(), more).await;
        assert!(answer.starts_with("HTTP/1.1 499 "), "{answer}");
        assert!(h28(&mut platform).await.contains(" method=POST "));
    }
    bystander.was_served().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_over_http2_is_h28() {
    let mut platform = besieged(|_| {}).await;
    let (_dyno, bystander) = (app(&platform).await, Bystander::at(&platform).await);
    let mut client = Framed::agreed(&platform, &[]).await;
    client.say(&post(1, "/")).await;
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < SOON, "it was let go on");
        client.say(&frame(DATA, 0, 1, b"x")).await;
        let answer = client.next_within(SHORT / 8).await;
        if let Some(answer) = answer.filter(|frame| frame.kind == HEADERS) {
            assert!(!answer.is_ok());
            break;
        }
    }
    assert!(h28(&mut platform).await.contains(" protocol=http2.0 "));
    bystander.was_served().await;
}

/// What is slow but not an attack: much slower than any line, and longer than every deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_is_none() {
    let platform = besieged(|_| {}).await;
    let _dyno = app(&platform).await;
    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: app.paas.test\r\nConnection: close\r\nContent-Length: 20000\r\n\r\n";
    stream.write_all(head).await.unwrap();
    for _ in 0..20 {
        sleep(SHORT / 8).await;
        stream.write_all(&[b'x'; 1_000]).await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("\r\n\r\n20000"), "{answer}");
}

/// Once there is an answer it is a stream, and both may say as little as they like, as long as they say something.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_both_ways_may_be_slow() {
    let platform = besieged(|_| {}).await;
    let dyno = Dyno::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let mut echoed = 0;
        while echoed < 40 {
            let mut some = [0; 64];
            let Ok(count @ 1..) = stream.read(&mut some).await else {
                return;
            };
            echoed += some[..count].iter().filter(|byte| **byte == b'x').count();
            stream.write_all(b"1\r\ny\r\n").await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nHost: app.paas.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let began = Instant::now();
    for _ in 0..40 {
        stream.write_all(b"1\r\nx\r\n").await.unwrap();
        sleep(SHORT / 8).await;
    }
    assert!(began.elapsed() > 3 * SHORT);
    let mut heard = Vec::new();
    while !heard.ends_with(b"0\r\n\r\n") {
        let read = timeout(PATIENCE, stream.read_buf(&mut heard)).await;
        assert!(
            matches!(read, Ok(Ok(1..))),
            "{}",
            String::from_utf8_lossy(&heard)
        );
    }
}

/// Reads a byte now and then, through a small window.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_a_byte_now_and_then_is_h28() {
    let mut platform = besieged(|_| {}).await;
    let body = Bytes::from(vec![b'x'; 64 << 20]);
    let dyno = Dyno::http(move |_| std::future::ready(say(body.clone()))).await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let bystander = Bystander::at(&platform).await;
    let before = memory();
    let mut slow = Vec::new();
    for _ in 0..20 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 * 1024).unwrap();
        let mut stream = socket.connect(platform.http).await.unwrap();
        let ask = b"GET / HTTP/1.1\r\nHost: app.paas.test\r\n\r\n";
        stream.write_all(ask).await.unwrap();
        slow.push(tokio::spawn(async move {
            let mut some = [0; 512];
            while let Ok(1..) = stream.read(&mut some).await {
                sleep(SHORT / 4).await;
            }
        }));
    }
    assert!(h28(&mut platform).await.contains(" method=GET "));
    for slow in slow {
        // What the kernel has for it goes on coming.
        slow.abort();
    }
    assert_grew_no_more(before, 64 << 20);
    bystander.was_served().await;
}

/// slowloris: many at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_slow_heads_keep_nobody_out_and_take_little_memory() {
    let platform = besieged(|_| {}).await;
    let (_dyno, bystander) = (app(&platform).await, Bystander::at(&platform).await);
    let before = memory();
    let mut slow = Vec::new();
    for _ in 0..1_000 {
        let mut stream = TcpStream::connect(platform.http).await.unwrap();
        let begun = b"GET / HTTP/1.1\r\nHost: app.paas.test\r\nX: ";
        let _ = stream.write_all(begun).await;
        slow.push(stream);
    }
    assert_grew_no_more(before, 32 << 20);
    let began = Instant::now();
    for stream in &mut slow {
        let read = timeout(SOON, stream.read(&mut [0])).await;
        assert!(!matches!(read.expect("it was kept"), Ok(1..)));
    }
    assert!(began.elapsed() < SOON);
    bystander.was_served().await;
}

/// The first line of the app that says who was too slow.
async fn h28(platform: &mut Platform) -> String {
    loop {
        let log = platform.log().await;
        if !log.contains(" host=bystander.paas.test ") {
            assert!(log.starts_with("sock=client at=warning code=H28 "), "{log}");
            return log;
        }
    }
}

/// Somebody else's attacks: slowloris, R-U-Dead-Yet, the range attack, slow reading (Debian: slowhttptest).
#[tokio::test(flavor = "multi_thread")]
async fn slowhttptest_finds_the_app_available_and_holds_no_dyno() {
    let platform = besieged(|_| {}).await;
    // More than the kernel takes off the router's hands.
    let body = Bytes::from(vec![b'x'; 64 << 20]);
    let dyno = Dyno::http(move |request| {
        let is_large = request.uri().path() == "/large";
        std::future::ready(say(if is_large { body.clone() } else { Bytes::new() }))
    })
    .await;
    let mut app = route(AppId::new(), "app", &[&dyno]);
    // An address of IPv4 for whoever connects, and a name for whoever routes.
    let host = "127.0.0.0x1";
    app.hosts.push(host.parse().unwrap());
    platform.route(&app).await;
    let url = format!("http://{host}:{}/", platform.http.port());
    let mut attacks = Vec::new();
    for (mode, path) in [("-H", ""), ("-B", ""), ("-R", ""), ("-X", "large")] {
        let attack = Command::new("slowhttptest")
            .args([mode, "-u", &format!("{url}{path}")])
            .args(["-c", "200", "-r", "200", "-i", "1", "-l", "10", "-p", "5"])
            .kill_on_drop(true)
            .output();
        attacks.push(async move { (mode, timeout(PATIENCE, attack).await) });
    }
    for (mode, ended) in futures::future::join_all(attacks).await {
        let ended = ended.expect("it goes on");
        let said = ended
            .expect("slowhttptest is needed (Debian: slowhttptest)")
            .stdout;
        let said = String::from_utf8_lossy(&said).into_owned();
        let last = said.rsplit("slow HTTP test status").next().unwrap();
        println!("{mode} {last}");
        assert!(last.contains("YES"), "{mode}: not available: {last}");
        // Who reads slowly goes on reading what it has, and does not look whether more will come.
        let is_left = mode == "-X" || last.contains("No open connections left");
        assert!(is_left, "{mode}: {last}");
    }
    app.backends.clear();
    platform.route(&app).await;
    platform.drained(dyno.id).await;
}
