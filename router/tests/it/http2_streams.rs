//! What streams of one HTTP/2 connection owe each other, and what a client may count on: turns, windows, words in good time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http_body_util::BodyExt as _;
use model::AppId;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use router::Timeouts;
use tokio::io::AsyncWriteExt as _;

use super::frames::*;
use super::siege::*;
use super::support::*;

/// Answers with the length of what it was sent, or for `/slow` never.
async fn counting(platform: &Platform) -> Dyno {
    let dyno = Dyno::http(|request| async move {
        if request.uri().path() == "/slow" {
            std::future::pending::<()>().await;
        }
        let body = request.into_body().collect().await;
        say(body.map_or(0, |body| body.to_bytes().len()).to_string())
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    dyno
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_word_before_it_sends_its_body_gets_it() {
    let platform = Platform::start().await;
    let _dyno = counting(&platform).await;
    let mut client = Framed::agreed(&platform, &[]).await;
    let more = fields(&[("expect", "100-continue"), ("content-length", "3")]);
    let block = [request("POST", "/"), more].concat();
    client.say(&frame(HEADERS, END_HEADERS, 1, &block)).await;
    let word = client.until(|frame| frame.kind == HEADERS).await.unwrap();
    // `:status` by its number, and what the Huffman code makes of three digits.
    let block = &b"\x48\x82\x08\x01"[..];
    assert_eq!((word.flags, &word.payload[..]), (END_HEADERS, block));
    client.say(&frame(DATA, END_STREAM, 1, b"abc")).await;
    let answer = client.until(|frame| frame.kind == HEADERS).await.unwrap();
    assert!(answer.is_ok());
    let body = client.until(|frame| frame.kind == DATA).await.unwrap();
    assert_eq!(body.payload, b"3");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_come_at_the_same_time_have_their_turns() {
    const LENGTH: usize = 1 << 20;
    let platform = Platform::start().await;
    let dyno = Dyno::http(|_| async { say(vec![b'x'; LENGTH]) }).await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut client = Framed::agreed(&platform, &setting(4, 1 << 30)).await;
    let asks: Vec<u8> = (0..20).flat_map(|n| get(2 * n + 1, "/")).collect();
    client.say(&asks).await;
    let mut got: HashMap<u32, usize> = HashMap::new();
    let mut left_when_first_ended = None;
    let (mut begun, mut open) = (0, 20);
    while open > 0 {
        let frame = client.next().await.unwrap();
        if frame.kind == HEADERS {
            begun += 1;
            // Until now there was no window for more than a part of one.
            if begun == 20 {
                client.say(&window_update(0, 1 << 30)).await;
            }
        }
        if frame.kind != DATA {
            continue;
        }
        *got.entry(frame.stream).or_default() += frame.payload.len();
        if frame.flags & END_STREAM != 0 {
            open -= 1;
            left_when_first_ended.get_or_insert(20 * LENGTH - got.values().sum::<usize>());
        }
    }
    assert!(got.len() == 20 && got.values().all(|length| *length == LENGTH));
    // One after the other, 19 of 20 would be left.
    let left = left_when_first_ended.unwrap();
    assert!(
        left < 10 * LENGTH,
        "{left} bytes left when the first had ended"
    );
}

/// What a client that keeps to its windows may send.
struct Uploads {
    client: Framed,
    connection: usize,
    streams: HashMap<u32, usize>,
}

impl Uploads {
    async fn begin(platform: &Platform) -> Self {
        let mut client = Framed::begin(platform, &[]).await;
        let mut connection = 65_535;
        while connection == 65_535 {
            let frame = client.next().await.unwrap();
            if frame.kind == WINDOW_UPDATE {
                connection += number(&frame);
            }
        }
        client.say(&frame(SETTINGS, ACK, 0, &[])).await;
        Self {
            client,
            connection,
            streams: HashMap::new(),
        }
    }

    /// The next frame that is no window's.
    async fn next(&mut self) -> Frame {
        loop {
            let frame = self.client.next().await.unwrap();
            match (frame.kind, frame.stream) {
                (WINDOW_UPDATE, 0) => self.connection += number(&frame),
                (WINDOW_UPDATE, id) => *self.streams.entry(id).or_default() += number(&frame),
                _ => return frame,
            }
        }
    }

    /// Sends so much of a body, each frame with 100 bytes of padding.
    async fn send(&mut self, stream: u32, mut length: usize, ends: bool) {
        self.streams.entry(stream).or_insert(256 * 1024);
        while length > 0 {
            let window = self.connection.min(self.streams[&stream]);
            if window < 200 {
                let frame = self.client.next().await.expect("the window stays shut");
                match (frame.kind, frame.stream) {
                    (WINDOW_UPDATE, 0) => self.connection += number(&frame),
                    (WINDOW_UPDATE, id) => *self.streams.get_mut(&id).unwrap() += number(&frame),
                    _ => {}
                }
                continue;
            }
            let some = length.min(window - 101).min(16_000);
            length -= some;
            let payload = [&[100][..], &vec![b'x'; some], &[0; 100]].concat();
            let flags = if ends && length == 0 { END_STREAM } else { 0 };
            let frame = frame(DATA, flags | PADDED, stream, &payload);
            self.client.say(&frame).await;
            self.connection -= payload.len();
            *self.streams.get_mut(&stream).unwrap() -= payload.len();
        }
    }
}

fn number(frame: &Frame) -> usize {
    u32::from_be_bytes(frame.payload[..].try_into().unwrap()) as usize
}

/// What is padding, of a stream that was taken back, or of one whose answer did not wait for it, is given back too: a window
/// from which a little is lost each time shuts at last.
#[tokio::test(flavor = "multi_thread")]
async fn no_upload_takes_of_the_window_for_good() {
    let platform = Platform::start().await;
    let _dyno = counting(&platform).await;
    let mut client = Uploads::begin(&platform).await;
    for turn in 0..12 {
        let id = 6 * turn + 1;
        // Taken back in the middle.
        client.client.say(&post(id, "/slow")).await;
        client.send(id, 200_000, false).await;
        client.client.say(&reset(id)).await;
        // For nobody, so that nobody reads it.
        let nobody = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "nobody.paas.test"),
        ];
        let head = frame(HEADERS, END_HEADERS, id + 2, &fields(&nobody));
        client.client.say(&head).await;
        client.send(id + 2, 100_000, true).await;
        // Read.
        client.client.say(&post(id + 4, "/")).await;
        client.send(id + 4, 2_000_000, true).await;
        loop {
            let frame = client.next().await;
            if frame.kind == DATA && frame.stream == id + 4 {
                assert_eq!(frame.payload, b"2000000", "{turn}");
                break;
            }
        }
    }
}

/// Its connection is open, and silent as if it had lost its network.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_gone_is_noticed_although_nothing_is_to_be_said_to_it() {
    let platform = besieged(|config| {
        config.timeouts.idle = Timeouts::HEROKU.idle;
    })
    .await;
    let dyno = counting(&platform).await;
    let mut gone = Framed::agreed(&platform, &[]).await;
    let mut there = Framed::agreed(&platform, &[]).await;
    for client in [&mut gone, &mut there] {
        client.say(&get(1, "/slow")).await;
    }
    let answered = AtomicU32::new(0);
    let stays = async {
        while let Some(ping) = there.until(|frame| frame.kind == PING).await {
            there.say(&frame(PING, ACK, 0, &ping.payload)).await;
            answered.fetch_add(1, Ordering::SeqCst);
        }
    };
    tokio::select! {
        () = stays => panic!("a client that answers was hung up on"),
        _ = gone.end() => {}
    }
    assert!(answered.load(Ordering::SeqCst) > 0);
    assert_eq!(dyno.requests(), 2);
}

/// Frames that are nearly right, in any order: the connection may end, and nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_one_client_says_disturbs_another() {
    let platform = Platform::start().await;
    let _dyno = counting(&platform).await;
    let bystander = Bystander::at(&platform).await;
    let mut random = StdRng::seed_from_u64(9113);
    let before = memory();
    for _ in 0..300 {
        let mut client = Framed::begin(&platform, &[]).await;
        let mut said = Vec::new();
        for _ in 0..random.random_range(1..40) {
            let id = random.random_range(0..12);
            let mut next = match random.random_range(0..12) {
                0 | 1 => get(id | 1, "/"),
                2 => post(id | 1, "/"),
                3 => frame(DATA, random.random(), id, &[3, 0, 0, 0, 0]),
                4 => reset(id),
                5 => window_update(id, random.random_range(0..1 << 20)),
                6 => frame(
                    SETTINGS,
                    0,
                    0,
                    &setting(random.random_range(1..9), random.random()),
                ),
                7 => frame(HEADERS, random.random(), id | 1, &request("GET", "/")),
                8 => frame(
                    CONTINUATION,
                    random.random(),
                    id | 1,
                    &fields(&[("x", "y")]),
                ),
                9 => frame(
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    id | 1,
                    &fields(&[("x", "y")]),
                ),
                10 => frame(PING, 0, 0, &[7; 8]),
                _ => frame(random.random(), random.random(), id, &[0; 6]),
            };
            if random.random_ratio(1, 4) {
                let at = random.random_range(0..next.len());
                next[at] = random.random();
            }
            said.extend(next);
        }
        client.say(&said).await;
        // Some go at once, and some hear what there is to be heard.
        if random.random() {
            client.say(&frame(0xee, 0, 0, &[0; 16_385])).await;
            client.end().await;
        }
    }
    assert_grew_no_more(before, 64 << 20);
    bystander.was_served().await;
}

/// Reads until all that may be sent before the client has said more was sent.
async fn use_up_the_window(client: &mut Framed) {
    let mut left = 65_535;
    while left > 0 {
        let frame = client.next().await.unwrap();
        if frame.kind == DATA {
            left -= frame.payload.len();
        }
    }
}

/// A window bounds data, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_body_waits_for_no_window() {
    let platform = Platform::start().await;
    let dyno = Dyno::http(|_| async { say(vec![b'x'; 1 << 20]) }).await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut client = Framed::agreed(&platform, &setting(4, 1 << 30)).await;
    // What all streams together may be sent at first is less than one answer.
    client.say(&[get(1, "/"), get(3, "/")].concat()).await;
    use_up_the_window(&mut client).await;
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 5, &request("HEAD", "/"));
    client.say(&head).await;
    let answer = client
        .until(|frame| frame.kind == HEADERS && frame.stream == 5)
        .await;
    assert_eq!(answer.unwrap().flags, END_HEADERS | END_STREAM);
}

/// curl 7.88 forgets an answer that comes together with word that nobody needs the rest of its request.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_answered_early_may_go_on_for_a_moment() {
    let platform = Platform::start().await;
    let dyno = Dyno::raw(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            .await;
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut client = Framed::agreed(&platform, &[]).await;
    let is_end = |frame: &Frame| frame.kind == DATA && frame.flags & END_STREAM != 0;
    client.say(&post(1, "/")).await;
    let end = client
        .until(|frame| is_end(frame) || frame.kind == RST_STREAM)
        .await;
    assert!(is_end(&end.unwrap()), "it was reset");
    let rest = frame(DATA, END_STREAM, 1, b"the rest");
    client
        .say(&[rest, frame(PING, 0, 0, &[1; 8])].concat())
        .await;
    let next = client
        .until(|frame| [PING, RST_STREAM].contains(&frame.kind))
        .await;
    assert_eq!(next.unwrap().kind, PING, "it was done");
    // One that does not end is told to.
    client.say(&post(3, "/")).await;
    let told = client
        .until(|frame| frame.kind == RST_STREAM)
        .await
        .unwrap();
    assert_eq!((told.stream, told.code()), (3, NO_ERROR));
}

/// It asks and takes back, while its windows are shut: nothing of that stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_while_it_waits_is_forgotten() {
    let platform = Platform::start_with(|config| config.backlog_per_dyno = 1_000).await;
    let dyno = Dyno::http(|_| async { say(vec![b'x'; 100_000]) }).await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut client = Framed::agreed(&platform, &[]).await;
    client.say(&get(1, "/")).await;
    use_up_the_window(&mut client).await;
    let mut before = memory();
    for turn in 0..4_000 {
        if turn == 400 {
            before = memory();
        }
        let id = 2 * turn + 3;
        client.say(&get(id, "/")).await;
        let head = client.until(|frame| frame.kind == HEADERS).await;
        assert!(head.unwrap().is_ok());
        client.say(&reset(id)).await;
    }
    // It was 8 KiB each.
    assert_grew_no_more(before, 8 << 20);
}

/// It has so much to hear that it is not listened to, and then hears it: what it has said meanwhile is not forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_not_listened_to_is_heard_later() {
    let platform = Platform::start().await;
    let long = "y".repeat(60_000);
    let head = format!(
        "HTTP/1.1 200 OK\r\nX: {long}\r\nY: {long}\r\nZ: {long}\r\nContent-Length: 0\r\n\r\n"
    );
    let dyno = Dyno::raw(move |mut stream| {
        let head = head.clone();
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(head.as_bytes()).await;
        }
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut client = Framed::agreed(&platform, &[]).await;
    for turn in 0..50 {
        let asks: Vec<u8> = (0..4)
            .flat_map(|n| get(8 * turn + 2 * n + 1, "/"))
            .collect();
        client.say(&asks).await;
        // While the answers are on their way.
        for number in 0..20u8 {
            client.say(&frame(PING, 0, 0, &[number; 8])).await;
            tokio::task::yield_now().await;
        }
        let (mut answers, mut pings) = (0, 0);
        while answers < 4 || pings < 20 {
            let frame = client.next_within(Duration::from_secs(5)).await;
            match frame.expect("it was not heard").kind {
                HEADERS => answers += 1,
                PING => pings += 1,
                _ => {}
            }
        }
    }
}
