//! Attacks by HTTP/2's own means. Each ends with the attacker told to be calm and hung up on, or held within a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::AppId;
use tokio::io::AsyncWriteExt as _;

use super::frames::*;
use super::siege::*;
use super::support::*;

/// Bytes an attacker may get rid of before it must have been hung up on: the kernel's buffers, and those that are
/// thrown away so that it hears why.
const MOST: usize = 16 << 20;

/// Never answers, and counts.
async fn deaf(platform: &Platform) -> Dyno {
    let dyno = Dyno::http(|_| std::future::pending()).await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    dyno
}

/// Sends what `each` gives until it is hung up on. What it was told.
async fn flood(client: &mut Framed, mut each: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
    let (mut number, mut sent) = (0, 0);
    loop {
        let mut some = Vec::new();
        for _ in 0..100 {
            number += 1;
            some.extend(each(number));
        }
        if !client.say(&some).await {
            return client.end().await;
        }
        sent += some.len();
        assert!(sent <= MOST, "it was let go on");
    }
}

/// The stream of the `number`th request, from 1.
const fn stream(number: u32) -> u32 {
    2 * number - 1
}

/// CVE-2023-44487, as it was first seen: taken back in the same breath.
#[tokio::test(flavor = "multi_thread")]
async fn requests_taken_back_at_once_end_the_connection() {
    let platform = Platform::start().await;
    let (dyno, bystander) = (deaf(&platform).await, Bystander::at(&platform).await);
    let before = memory();
    for _ in 0..10 {
        let mut client = Framed::agreed(&platform, &[]).await;
        let told = flood(&mut client, |number| {
            [get(stream(number), "/"), reset(stream(number))].concat()
        })
        .await;
        // What it is told may be lost on a client that goes on talking.
        assert!(
            told.is_none_or(|code| code == ENHANCE_YOUR_CALM),
            "{told:?}"
        );
    }
    assert!(dyno.requests() <= 10 * 600, "{}", dyno.requests());
    assert_grew_no_more(before, 64 << 20);
    bystander.was_served().await;
}

/// The same, but only once the dyno has begun with it: no queue is ever full.
#[tokio::test(flavor = "multi_thread")]
async fn requests_taken_back_one_by_one_end_the_connection() {
    let platform = Platform::start().await;
    let (dyno, bystander) = (deaf(&platform).await, Bystander::at(&platform).await);
    let mut client = Framed::agreed(&platform, &[]).await;
    let mut number = 0;
    loop {
        number += 1;
        assert!(number < 2_000, "it was let go on");
        if !client.say(&get(stream(number), "/")).await {
            break;
        }
        let arrived = dyno.requests();
        let until = Instant::now() + Duration::from_millis(200);
        while dyno.requests() == arrived && Instant::now() < until {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        if !client.say(&reset(stream(number))).await {
            break;
        }
    }
    assert!(number >= 500, "a client may change its mind: {number}");
    assert_eq!(client.end().await, Some(ENHANCE_YOUR_CALM));
    bystander.was_served().await;
}

/// A client that is answered may take back as many requests again.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_changes_its_mind_now_and_then_stays() {
    let platform = Platform::start().await;
    let dyno = Dyno::http(|request| async move {
        if request.uri().path() == "/slow" {
            std::future::pending::<()>().await;
        }
        say("quick")
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut client = Framed::agreed(&platform, &[]).await;
    for turn in 0..1_000 {
        let (slow, quick) = (4 * turn + 1, 4 * turn + 3);
        let both = [get(slow, "/slow"), reset(slow), get(quick, "/")].concat();
        assert!(client.say(&both).await);
        let answer = client
            .until(|frame| frame.kind == HEADERS || frame.kind == GOAWAY)
            .await;
        assert!(answer.unwrap().is_ok(), "{turn}");
        client.say(&window_update(0, 5)).await;
    }
}

/// CVE-2025-8671: what the client does wrong has *us* take the request back, which no count of the client's resets sees.
#[tokio::test(flavor = "multi_thread")]
async fn having_us_reset_streams_is_bounded() {
    let platform = Platform::start().await;
    let (dyno, bystander) = (deaf(&platform).await, Bystander::at(&platform).await);
    let before = memory();
    type Fault = fn(u32) -> Vec<u8>;
    let faults: [(&str, Fault); 4] = [
        ("a window opened by nothing", |id| window_update(id, 0)),
        ("a window opened too far", |id| {
            window_update(id, (1 << 31) - 1)
        }),
        ("data after the end", |id| frame(DATA, 0, id, b"x")),
        ("a stream that depends on itself", |id| {
            frame(
                PRIORITY,
                0,
                id,
                &[id.to_be_bytes().as_slice(), &[1]].concat(),
            )
        }),
    ];
    for (what, fault) in faults {
        let arrived = dyno.requests();
        let mut client = Framed::agreed(&platform, &[]).await;
        let told = flood(&mut client, |number| {
            let id = stream(number);
            [get(id, "/"), fault(id)].concat()
        })
        .await;
        assert!(told.is_none_or(|code| code != NO_ERROR), "{what}: {told:?}");
        assert!(
            dyno.requests() - arrived <= 1_100,
            "{what}: {}",
            dyno.requests()
        );
    }
    assert_grew_no_more(before, 64 << 20);
    bystander.was_served().await;
}

/// CVE-2024-27316: a header list without end. CVE-2019-9518: the same of nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_list_without_end_ends_the_connection() {
    let platform = Platform::start().await;
    let (dyno, bystander) = (deaf(&platform).await, Bystander::at(&platform).await);
    let before = memory();
    for (what, payload) in [
        ("nothing", Vec::new()),
        ("a field", literal("x", "y")),
        ("as much as fits", literal("x", &"y".repeat(16_000))),
        (
            "a name that never ends",
            vec![0x00, 0x7f, 0xff, 0xff, 0xff, 0x07],
        ),
    ] {
        let mut client = Framed::agreed(&platform, &[]).await;
        client
            .say(&frame(HEADERS, END_STREAM, 1, &request("GET", "/")))
            .await;
        let told = flood(&mut client, |_| frame(CONTINUATION, 0, 1, &payload)).await;
        assert!(
            told.is_none_or(|code| [ENHANCE_YOUR_CALM, COMPRESSION_ERROR].contains(&code)),
            "{what}: {told:?}"
        );
    }
    assert_eq!(dyno.requests(), 0);
    assert_grew_no_more(before, 64 << 20);
    bystander.was_served().await;
}

/// CVE-2019-9511, 9512, 9513, 9515: frames that are answered, or change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn frames_without_a_purpose_end_the_connection() {
    let platform = Platform::start().await;
    let (_dyno, bystander) = (deaf(&platform).await, Bystander::at(&platform).await);
    let before = memory();
    let itself = [0, 0, 0, 3, 16];
    for (what, one) in [
        ("pings", frame(PING, 0, 0, &[7; 8])),
        ("answers to pings", frame(PING, ACK, 0, &[7; 8])),
        ("settings", frame(SETTINGS, 0, 0, &setting(4, 65_535))),
        ("empty settings", frame(SETTINGS, 0, 0, &[])),
        ("priorities", frame(PRIORITY, 0, 1, &itself)),
        (
            "priorities of others",
            frame(PRIORITY, 0, 1_000_001, &itself),
        ),
        ("unknown frames", frame(0xfa, 0, 0, &[])),
        ("windows", window_update(0, 1)),
        ("windows of a stream", window_update(1, 1)),
        ("empty data", frame(DATA, 0, 1, &[])),
        (
            "data of nothing but padding",
            frame(DATA, PADDED, 1, &[3, 0, 0, 0]),
        ),
    ] {
        let mut client = Framed::agreed(&platform, &[]).await;
        client.say(&post(1, "/")).await;
        let told = flood(&mut client, |_| one.clone()).await;
        assert!(
            told.is_none_or(|code| code == ENHANCE_YOUR_CALM),
            "{what}: {told:?}"
        );
    }
    assert_grew_no_more(before, 64 << 20);
    bystander.was_served().await;
}

/// Who listens is told why.
#[tokio::test(flavor = "multi_thread")]
async fn an_attacker_that_listens_is_told_to_be_calm() {
    let platform = Platform::start().await;
    let _dyno = deaf(&platform).await;
    let mut client = Framed::agreed(&platform, &[]).await;
    let some = frame(PING, ACK, 0, &[7; 8]).repeat(500);
    for _ in 0..10 {
        assert!(client.say(&some).await);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    client.say(&some.repeat(2)).await;
    assert_eq!(client.end().await, Some(ENHANCE_YOUR_CALM));
}

/// A field of 4 KB, once, and then thousands of times by its number.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_header_list_that_unpacks_to_a_large_one_is_refused() {
    let platform = Platform::start().await;
    let (dyno, bystander) = (deaf(&platform).await, Bystander::at(&platform).await);
    let before = memory();
    for number in 1..=20 {
        let mut client = Framed::agreed(&platform, &[]).await;
        let mut block = request("GET", "/");
        block.push(0x40);
        block.extend(integer(1, 7, 0));
        block.push(b'x');
        block.extend(integer(4_000, 7, 0));
        block.extend([b'y'; 4_000]);
        block.extend([0x80 | 62; 10_000]);
        client
            .say(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block))
            .await;
        let refused = client
            .until(|frame| [HEADERS, RST_STREAM, GOAWAY].contains(&frame.kind))
            .await;
        assert!(refused.is_none_or(|frame| !frame.is_ok()), "{number}");
    }
    assert_eq!(dyno.requests(), 0);
    assert_grew_no_more(before, 64 << 20);
    bystander.was_served().await;
}

/// A thousand small fields are allowed, more are not; neither is one that is as large as all may be.
#[tokio::test(flavor = "multi_thread")]
async fn header_bombs_are_refused() {
    let platform = Platform::start().await;
    let (dyno, bystander) = (deaf(&platform).await, Bystander::at(&platform).await);
    let before = memory();
    let many = literal("x", "y").repeat(3_000);
    let long = literal("x", &"y".repeat(70_000));
    for block in [many, long] {
        let mut client = Framed::agreed(&platform, &[]).await;
        let block = [request("GET", "/"), block].concat();
        let mut frames = Vec::new();
        for (at, piece) in block.chunks(16_384).enumerate() {
            let is_last = (at + 1) * 16_384 >= block.len();
            let kind = if at == 0 { HEADERS } else { CONTINUATION };
            let end = if is_last { END_HEADERS } else { 0 };
            let flags = if at == 0 { end | END_STREAM } else { end };
            frames.extend(frame(kind, flags, 1, piece));
        }
        client.say(&frames).await;
        let refused = client
            .until(|frame| [HEADERS, RST_STREAM, GOAWAY].contains(&frame.kind))
            .await;
        assert!(refused.is_none_or(|frame| !frame.is_ok()));
    }
    assert_eq!(dyno.requests(), 0);
    assert_grew_no_more(before, 64 << 20);
    bystander.was_served().await;
}

/// Has no end to say, and counts how much of it was taken.
async fn endless(platform: &Platform) -> (Dyno, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let all = taken.clone();
    let dyno = Dyno::raw(move |mut stream| {
        let all = all.clone();
        async move {
            read_head(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
            let _ = stream.write_all(head).await;
            while let Ok(count @ 1..) = stream.write(&[b'x'; 16_384]).await {
                all.fetch_add(count, Ordering::SeqCst);
            }
        }
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    (dyno, taken)
}

/// Its windows are wide open, and it reads not one byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_is_cut_off_and_little_is_kept_for_it() {
    let mut platform = besieged(|config| {
        config.backlog_per_dyno = 10_000;
        // Time to give it as much as it could be given.
        config.timeouts.idle = 5 * SHORT;
    })
    .await;
    let (dyno, _) = endless(&platform).await;
    let bystander = Bystander::at(&platform).await;
    let before = memory();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let wide = setting(4, (1 << 31) - 1);
        let mut client = Framed::begin(&platform, &wide).await;
        let asks: Vec<u8> = (1..=200).flat_map(|n| get(stream(n), "/")).collect();
        client.say(&window_update(0, (1 << 30) - 1)).await;
        client.say(&asks).await;
        clients.push(client);
    }
    let log = log_of(&mut platform, "app").await;
    assert!(log.starts_with("sock=client at=warning code=H28 "), "{log}");
    println!("{} MiB more", memory().saturating_sub(before) >> 20);
    // Dynos' and the router's buffers for 400 requests, and twice what a client's connection may keep.
    assert_grew_no_more(before, 64 << 20);
    drained(&platform, &dyno).await;
    for client in &mut clients {
        client.end().await;
    }
    bystander.was_served().await;
}

/// Its windows are shut, and it answers pings: everything looks alive but nothing moves.
#[tokio::test(flavor = "multi_thread")]
async fn streams_whose_windows_stay_shut_are_reset_and_their_dynos_freed() {
    let mut platform = besieged(|config| config.backlog_per_dyno = 10_000).await;
    let (dyno, _) = endless(&platform).await;
    let bystander = Bystander::at(&platform).await;
    let before = memory();
    for window in [0, 1] {
        let mut client = Framed::agreed(&platform, &setting(4, window)).await;
        let asks: Vec<u8> = (1..=100).flat_map(|n| get(stream(n), "/")).collect();
        client.say(&asks).await;
        let mut reset = 0;
        while let Some(frame) = client.next().await {
            match frame.kind {
                RST_STREAM => reset += 1,
                PING if frame.flags == 0 => {
                    client
                        .say(&super::frames::frame(PING, ACK, 0, &frame.payload))
                        .await;
                }
                _ => {}
            }
        }
        assert_eq!(reset, 100, "and then it was told to leave");
        let log = log_of(&mut platform, "app").await;
        assert!(log.starts_with("sock=client at=warning code=H28 "), "{log}");
    }
    assert_grew_no_more(before, 160 << 20);
    drained(&platform, &dyno).await;
    bystander.was_served().await;
}

/// A connection over which nothing is asked, but which looks alive.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_asks_for_nothing_is_told_to_leave() {
    let platform = besieged(|_| {}).await;
    let mut idle = Framed::agreed(&platform, &[]).await;
    let mut told = None;
    while let Some(frame) = idle.next().await {
        match frame.kind {
            PING if frame.flags == 0 => {
                idle.say(&super::frames::frame(PING, ACK, 0, &frame.payload))
                    .await;
            }
            GOAWAY => told = Some(frame.code()),
            _ => {}
        }
    }
    assert_eq!(told, Some(NO_ERROR));
}

/// Chose HTTP/2, and says nothing, a part of the preface, or a part of a header list.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_does_not_get_to_its_first_request_is_closed() {
    let platform = besieged(|_| {}).await;
    let bystander = Bystander::at(&platform).await;
    let mut half = Framed::silent(&platform).await;
    half.say(&PREFACE[..20]).await;
    assert_eq!(half.end().await, None);
    let mut hello = Framed::begin(&platform, &[]).await;
    hello
        .say(&frame(HEADERS, END_STREAM, 1, &request("GET", "/")))
        .await;
    let began = Instant::now();
    hello.end().await;
    assert!(began.elapsed() < Duration::from_secs(30));
    let mut secure = platform.tls("app.paas.test", &["h2"]).await;
    let mut said = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut secure, &mut said);
    let _ = tokio::time::timeout(PATIENCE, read)
        .await
        .expect("it stayed");
    bystander.was_served().await;
}

/// The first line of the app that is no bystander.
async fn log_of(platform: &mut Platform, app: &str) -> String {
    let host = format!(" host={app}.paas.test ");
    loop {
        let log = platform.log().await;
        if log.contains(&host) {
            return log;
        }
    }
}

/// Takes the route away, and waits until no request holds the dyno.
async fn drained(platform: &Platform, dyno: &Dyno) {
    platform.route(&route(AppId::new(), "other", &[])).await;
    platform.drained(dyno.id).await;
}
