//! What RFC 9113 and RFC 7541 say of a server that is sent this or that, frame by frame; after the sections, and with the
//! names, of h2spec.

use std::time::Duration;

use model::AppId;

use super::frames::*;
use super::support::*;

/// What is to become of it.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// The connection ends with `GOAWAY` and one of these codes.
    Connection(&'static [u32]),
    /// Stream 1 is reset with one of these codes, and the connection goes on. The protocol lets a server end the
    /// connection instead, with the same code.
    Stream(&'static [u32]),
    /// Stream 1 is answered with 200.
    Answered,
    /// Stream 1 is not answered with 200: reset, or answered with something else.
    Refused,
    /// Nothing: a ping is answered.
    Goes,
}

use Then::{Answered, Connection, Goes, Refused, Stream};

const PROTOCOL: Then = Connection(&[PROTOCOL_ERROR]);
const SIZE: Then = Connection(&[FRAME_SIZE_ERROR, PROTOCOL_ERROR]);
const CLOSED: Then = Connection(&[STREAM_CLOSED, PROTOCOL_ERROR]);
const FLOW: Then = Connection(&[FLOW_CONTROL_ERROR, PROTOCOL_ERROR]);
const COMPRESSION: Then = Connection(&[COMPRESSION_ERROR]);
const MALFORMED: Then = Stream(&[PROTOCOL_ERROR]);

type Case = (&'static str, Vec<u8>, Then);

fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

const WHOLE: u8 = END_HEADERS | END_STREAM;

/// The beginning of a request, with more fields.
fn asks(more: &[(&str, &str)]) -> Vec<u8> {
    let block = [request("GET", "/"), fields(more)].concat();
    headers(WHOLE, 1, &block)
}

fn with(first: Vec<u8>, then: Vec<u8>) -> Vec<u8> {
    [first, then].concat()
}

/// RFC 9113, sections 3 to 5: frames and streams.
fn frames_and_streams() -> Vec<Case> {
    let long = vec![0; 16_385];
    let padded = |pad: u8| [&[pad], request("GET", "/").as_slice()].concat();
    vec![
        (
            "4.1 a frame of an unknown type",
            frame(0xff, 0, 0, &[0; 8]),
            Goes,
        ),
        ("4.1 undefined flags", frame(PING, 0x16, 0, &[1; 8]), Goes),
        ("4.1 a reserved bit", frame(PING, 0, 1 << 31, &[1; 8]), Goes),
        (
            "4.2 a frame as long as may be",
            with(
                post(1, "/"),
                frame(DATA, END_STREAM, 1, &vec![b'x'; 16_384]),
            ),
            Answered,
        ),
        (
            "4.2 data that is too long",
            with(post(1, "/"), frame(DATA, 0, 1, &long)),
            SIZE,
        ),
        (
            "4.2 headers that are too long",
            headers(WHOLE, 1, &long),
            SIZE,
        ),
        (
            "4.2 settings that are too long",
            frame(SETTINGS, 0, 0, &vec![0; 16_386]),
            SIZE,
        ),
        (
            "4.3 an invalid header block",
            headers(WHOLE, 1, &[0x40, 0x0a, b'x']),
            COMPRESSION,
        ),
        (
            "4.3 a priority within a header block",
            with(
                headers(END_STREAM, 1, &request("GET", "/")),
                frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
            ),
            PROTOCOL,
        ),
        (
            "4.3 another's headers within a header block",
            with(headers(END_STREAM, 1, &request("GET", "/")), get(3, "/")),
            PROTOCOL,
        ),
        ("5.1 idle: data", frame(DATA, END_STREAM, 1, b"x"), PROTOCOL),
        ("5.1 idle: a reset", reset(1), PROTOCOL),
        ("5.1 idle: a window", window_update(1, 100), PROTOCOL),
        (
            "5.1 idle: a continuation",
            frame(CONTINUATION, END_HEADERS, 1, &request("GET", "/")),
            PROTOCOL,
        ),
        (
            "5.1 idle: a priority",
            with(frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]), get(1, "/")),
            Answered,
        ),
        (
            "5.1 half closed: data",
            with(get(1, "/slow"), frame(DATA, END_STREAM, 1, b"x")),
            Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        (
            "5.1 half closed: headers",
            with(get(1, "/slow"), get(1, "/slow")),
            Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        (
            "5.1 half closed: a continuation",
            with(
                get(1, "/slow"),
                frame(CONTINUATION, END_HEADERS, 1, &request("GET", "/")),
            ),
            CLOSED,
        ),
        (
            "5.1 closed by a reset: data",
            [post(1, "/"), reset(1), frame(DATA, END_STREAM, 1, b"x")].concat(),
            Stream(&[STREAM_CLOSED]),
        ),
        (
            "5.1 closed by a reset: headers",
            [post(1, "/"), reset(1), get(1, "/")].concat(),
            Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        (
            "5.1 closed by a reset: a continuation",
            [
                post(1, "/"),
                reset(1),
                frame(CONTINUATION, END_HEADERS, 1, &request("GET", "/")),
            ]
            .concat(),
            CLOSED,
        ),
        ("5.1.1 an even stream", get(2, "/"), PROTOCOL),
        (
            "5.1.1 a stream before the last",
            with(get(5, "/slow"), get(3, "/")),
            CLOSED,
        ),
        (
            "5.3.1 headers that depend on themselves",
            headers(
                WHOLE | PRIORITIZED,
                1,
                &[&[0, 0, 0, 1, 16], request("GET", "/").as_slice()].concat(),
            ),
            MALFORMED,
        ),
        (
            "5.3.1 a priority that depends on itself",
            with(post(1, "/"), frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 16])),
            MALFORMED,
        ),
        (
            "5.5 an unknown frame within a header block",
            with(
                headers(END_STREAM, 1, &request("GET", "/")),
                frame(0xff, 0, 1, &[]),
            ),
            PROTOCOL,
        ),
        (
            "6.2 padding as long as the frame",
            headers(WHOLE | PADDED, 1, &padded(200)),
            PROTOCOL,
        ),
        (
            "6.2 padding",
            headers(WHOLE | PADDED, 1, &[padded(3), vec![0; 3]].concat()),
            Answered,
        ),
        (
            "6.2 priority and padding",
            headers(
                WHOLE | PADDED | PRIORITIZED,
                1,
                &[&[2, 0, 0, 0, 0, 9], request("GET", "/").as_slice(), &[0; 2]].concat(),
            ),
            Answered,
        ),
    ]
}

/// RFC 9113, section 6: each type of frame.
fn types_of_frames() -> Vec<Case> {
    let settings = |id, value| frame(SETTINGS, 0, 0, &setting(id, value));
    vec![
        ("6.1 data of no stream", frame(DATA, 0, 0, b"x"), PROTOCOL),
        (
            "6.1 padding as long as the data",
            with(
                post(1, "/"),
                frame(DATA, END_STREAM | PADDED, 1, &[5, b'x']),
            ),
            PROTOCOL,
        ),
        (
            "6.1 padded data",
            with(
                post(1, "/"),
                frame(DATA, END_STREAM | PADDED, 1, &[2, b'x', 0, 0]),
            ),
            Answered,
        ),
        ("6.2 headers of no stream", get(0, "/"), PROTOCOL),
        (
            "6.3 a priority of no stream",
            frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 1]),
            PROTOCOL,
        ),
        (
            "6.3 a priority of another length",
            with(get(1, "/slow"), frame(PRIORITY, 0, 1, &[0; 4])),
            Connection(&[FRAME_SIZE_ERROR, PROTOCOL_ERROR]),
        ),
        ("6.4 a reset of no stream", reset(0), PROTOCOL),
        (
            "6.4 a reset of another length",
            with(get(1, "/slow"), frame(RST_STREAM, 0, 1, &[0; 3])),
            SIZE,
        ),
        (
            "6.5 an acknowledgement with settings",
            frame(SETTINGS, ACK, 0, &setting(1, 1)),
            SIZE,
        ),
        (
            "6.5 settings of a stream",
            frame(SETTINGS, 0, 1, &setting(3, 1)),
            PROTOCOL,
        ),
        (
            "6.5 settings of another length",
            frame(SETTINGS, 0, 0, &[0, 3, 0]),
            SIZE,
        ),
        (
            "6.5 an acknowledgement of nothing",
            frame(SETTINGS, ACK, 0, &[]),
            PROTOCOL,
        ),
        (
            "6.5.2 push that is neither on nor off",
            settings(2, 2),
            PROTOCOL,
        ),
        (
            "6.5.2 a window that is too large",
            settings(4, 1 << 31),
            FLOW,
        ),
        (
            "6.5.2 frames that are too small",
            settings(5, 16_383),
            PROTOCOL,
        ),
        (
            "6.5.2 frames that are too large",
            settings(5, 1 << 24),
            PROTOCOL,
        ),
        ("6.5.2 an unknown setting", settings(0xff, 1), Goes),
        (
            "6.5.3 a window said twice",
            frame(SETTINGS, 0, 0, &[setting(4, 100), setting(4, 1)].concat()),
            Goes,
        ),
        (
            "6.6 a promise",
            frame(
                PUSH_PROMISE,
                END_HEADERS,
                1,
                &[&[0, 0, 0, 2], request("GET", "/").as_slice()].concat(),
            ),
            PROTOCOL,
        ),
        (
            "6.7 an answer to no ping",
            frame(PING, ACK, 0, &[9; 8]),
            Goes,
        ),
        (
            "6.7 a ping of a stream",
            frame(PING, 0, 1, &[0; 8]),
            PROTOCOL,
        ),
        (
            "6.7 a ping of another length",
            frame(PING, 0, 0, &[0; 6]),
            SIZE,
        ),
        (
            "6.8 a goodbye of a stream",
            frame(GOAWAY, 0, 1, &[0; 8]),
            PROTOCOL,
        ),
        (
            "6.8 a goodbye that is too short",
            frame(GOAWAY, 0, 0, &[0; 7]),
            SIZE,
        ),
        (
            "6.9 a window opened by nothing",
            window_update(0, 0),
            PROTOCOL,
        ),
        (
            "6.9 a stream's window opened by nothing",
            with(get(1, "/slow"), window_update(1, 0)),
            MALFORMED,
        ),
        (
            "6.9 a window of another length",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
            SIZE,
        ),
        (
            "6.9.1 a window opened too far",
            window_update(0, (1 << 31) - 1).repeat(2),
            FLOW,
        ),
        (
            "6.9.1 a stream's window opened too far",
            with(get(1, "/slow"), window_update(1, (1 << 31) - 1).repeat(2)),
            Stream(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.9.2 all windows opened too far by a setting",
            [
                get(1, "/slow"),
                window_update(1, (1 << 30) - 1),
                settings(4, (1 << 31) - 1),
            ]
            .concat(),
            Connection(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.10 several continuations",
            [
                headers(END_STREAM, 1, &request("GET", "/")),
                frame(CONTINUATION, 0, 1, &fields(&[("a", "b")])),
                frame(CONTINUATION, END_HEADERS, 1, &fields(&[("c", "d")])),
            ]
            .concat(),
            Answered,
        ),
        (
            "6.10 a continuation with something between",
            [
                headers(END_STREAM, 1, &request("GET", "/")),
                frame(DATA, 0, 1, b"x"),
                frame(CONTINUATION, END_HEADERS, 1, &[]),
            ]
            .concat(),
            PROTOCOL,
        ),
        (
            "6.10 a continuation of no stream",
            with(
                headers(END_STREAM, 1, &request("GET", "/")),
                frame(CONTINUATION, END_HEADERS, 0, &[]),
            ),
            PROTOCOL,
        ),
        (
            "6.10 a continuation of what has ended",
            with(get(1, "/slow"), frame(CONTINUATION, END_HEADERS, 1, &[])),
            PROTOCOL,
        ),
        (
            "6.10 a continuation of data",
            with(
                with(post(1, "/"), frame(DATA, END_STREAM, 1, b"x")),
                frame(CONTINUATION, END_HEADERS, 1, &[]),
            ),
            PROTOCOL,
        ),
        (
            "7 a goodbye with an unknown code",
            frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]),
            Goes,
        ),
        (
            "7 a reset with an unknown code",
            with(get(1, "/slow"), frame(RST_STREAM, 0, 1, &[0, 0, 0, 0xff])),
            Goes,
        ),
    ]
}

/// RFC 9113, section 8: what HTTP makes of it.
fn messages() -> Vec<Case> {
    let only = |list: &[(&str, &str)]| headers(WHOLE, 1, &fields(list));
    let path = (":path", "/");
    let scheme = (":scheme", "http");
    let method = (":method", "GET");
    let host = (":authority", "app.paas.test");
    let sized = |length: &str| {
        let block = [request("POST", "/"), fields(&[("content-length", length)])].concat();
        headers(END_HEADERS, 1, &block)
    };
    vec![
        (
            "8.1 trailers that do not end",
            with(
                post(1, "/slow"),
                headers(END_HEADERS, 1, &fields(&[("x", "y")])),
            ),
            MALFORMED,
        ),
        (
            "8.1 trailers",
            with(post(1, "/"), headers(WHOLE, 1, &fields(&[("x", "y")]))),
            Answered,
        ),
        (
            "8.2.1 a name in upper case",
            asks(&[("X-UPPER", "y")]),
            MALFORMED,
        ),
        (
            "8.2.1 a line feed in a value",
            asks(&[("x", "a\nb: c")]),
            MALFORMED,
        ),
        (
            "8.2.1 a carriage return in a value",
            asks(&[("x", "a\r\nb: c")]),
            MALFORMED,
        ),
        (
            "8.2.1 a zero byte in a value",
            asks(&[("x", "a\0b")]),
            MALFORMED,
        ),
        ("8.2.1 a colon in a name", asks(&[("x:y", "z")]), MALFORMED),
        ("8.2.1 a space in a name", asks(&[("x y", "z")]), MALFORMED),
        ("8.2.1 a name that is empty", asks(&[("", "z")]), MALFORMED),
        (
            "8.2.2 a field of the connection",
            asks(&[("connection", "keep-alive")]),
            MALFORMED,
        ),
        (
            "8.2.2 a transfer coding",
            asks(&[("transfer-encoding", "chunked")]),
            MALFORMED,
        ),
        (
            "8.2.2 TE that is not trailers",
            asks(&[("te", "trailers, deflate")]),
            MALFORMED,
        ),
        (
            "8.2.2 TE that is trailers",
            asks(&[("te", "trailers")]),
            Answered,
        ),
        (
            "8.2.3 cookies in pieces",
            asks(&[("cookie", "a=b"), ("cookie", "c=d")]),
            Answered,
        ),
        (
            "8.3 an unknown pseudo-field",
            asks_pseudo(":test", "x"),
            MALFORMED,
        ),
        (
            "8.3 a pseudo-field of answers",
            asks_pseudo(":status", "200"),
            MALFORMED,
        ),
        (
            "8.3 a pseudo-field in trailers",
            with(
                post(1, "/"),
                headers(WHOLE, 1, &fields(&[(":method", "GET")])),
            ),
            MALFORMED,
        ),
        (
            "8.3 a pseudo-field after others",
            only(&[method, scheme, path, ("x", "y"), host]),
            MALFORMED,
        ),
        ("8.3.1 no path", only(&[method, scheme, host]), Refused),
        (
            "8.3.1 an empty path",
            only(&[method, scheme, (":path", ""), host]),
            Refused,
        ),
        ("8.3.1 no method", only(&[scheme, path, host]), Refused),
        ("8.3.1 no scheme", only(&[method, path, host]), Refused),
        (
            "8.3.1 two methods",
            only(&[method, method, scheme, path, host]),
            MALFORMED,
        ),
        (
            "8.3.1 two schemes",
            only(&[method, scheme, scheme, path, host]),
            MALFORMED,
        ),
        (
            "8.3.1 two paths",
            only(&[method, scheme, path, path, host]),
            MALFORMED,
        ),
        (
            "8.3.1 a space in the path",
            only(&[method, scheme, (":path", "/a b"), host]),
            Refused,
        ),
        (
            "8.3.1 a method that is none",
            only(&[(":method", "G ET"), scheme, path, host]),
            Refused,
        ),
        (
            "8.3.1 two authorities",
            only(&[method, scheme, path, host, host]),
            MALFORMED,
        ),
        (
            "8.3.1 nobody's host",
            only(&[method, scheme, path]),
            Refused,
        ),
        (
            "8.1.1 less data than was said",
            with(sized("5"), frame(DATA, END_STREAM, 1, b"abc")),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.1.1 more data than was said",
            with(sized("1"), frame(DATA, END_STREAM, 1, b"abc")),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.1.1 more data than was said, in pieces",
            [
                sized("4"),
                frame(DATA, 0, 1, b"abc"),
                frame(DATA, END_STREAM, 1, b"abc"),
            ]
            .concat(),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.1.1 as much data as was said",
            with(sized("3"), frame(DATA, END_STREAM, 1, b"abc")),
            Answered,
        ),
        (
            "8.3.1 a host that is not the authority",
            asks(&[("host", "other.paas.test")]),
            MALFORMED,
        ),
        (
            "8.1.1 a length, and no data",
            asks(&[("content-length", "3")]),
            MALFORMED,
        ),
        (
            "8.5 a tunnel to elsewhere",
            only(&[(":method", "CONNECT"), host]),
            Refused,
        ),
        (
            "8441 a tunnel without a path",
            only(&[
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                scheme,
                host,
            ]),
            Refused,
        ),
        (
            "8441 a protocol without a tunnel",
            only(&[method, (":protocol", "websocket"), scheme, path, host]),
            Refused,
        ),
    ]
}

fn asks_pseudo(name: &str, value: &str) -> Vec<u8> {
    let block = [request("GET", "/"), fields(&[(name, value)])].concat();
    headers(WHOLE, 1, &block)
}

/// RFC 7541: header blocks.
fn header_blocks() -> Vec<Case> {
    let block = |before: &[u8], after: &[u8]| {
        headers(
            WHOLE,
            1,
            &[before, request("GET", "/").as_slice(), after].concat(),
        )
    };
    vec![
        (
            "2.3.3 an index beyond both tables",
            block(&[], &[0x80 | 70]),
            COMPRESSION,
        ),
        (
            "2.3.3 a name beyond both tables",
            block(&[], &[&[0x40 | 0x3f, 60][..], &[1, b'y']].concat()),
            COMPRESSION,
        ),
        (
            "4.2 a table size at the end",
            block(&[], &[0x21]),
            COMPRESSION,
        ),
        (
            "4.2 a table size at the beginning",
            block(&[0x3f, 0xe1, 0x1f], &[]),
            Answered,
        ),
        (
            "5.1 a number without end",
            block(&[], &[0xff; 20]),
            COMPRESSION,
        ),
        (
            "5.2 padding of eight bits",
            block(&[], &[0x00, 1, b'x', 0x82, 0x1f, 0xff, 0xff]),
            COMPRESSION,
        ),
        (
            "5.2 padding of zeros",
            block(&[], &[0x00, 1, b'x', 0x81, 0x18]),
            COMPRESSION,
        ),
        (
            "5.2 an end of string in a string",
            block(&[], &[0x00, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]),
            COMPRESSION,
        ),
        (
            "5.2 a string longer than the block",
            block(&[], &[0x00, 0x7f, 0xf0, 0x01, b'x']),
            COMPRESSION,
        ),
        ("6.1 the index of nothing", block(&[], &[0x80]), COMPRESSION),
        (
            "6.2 a field for the table, and its index",
            block(&[0x82], &[]),
            MALFORMED,
        ),
        (
            "6.3 a table larger than was said",
            block(&[0x3f, 0xff, 0xff, 0x0f], &[]),
            COMPRESSION,
        ),
    ]
}

async fn served() -> (Platform, Dyno) {
    let platform = Platform::start_with(|config| config.backlog_per_dyno = 1_000).await;
    let dyno = Dyno::http(|request| async move {
        if request.uri().path() == "/slow" {
            std::future::pending::<()>().await;
        }
        let body = http_body_util::BodyExt::collect(request.into_body()).await;
        say(body.map_or(0, |body| body.to_bytes().len()).to_string())
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    (platform, dyno)
}

const TOKEN: [u8; 8] = *b"spec-end";

/// What is the matter, if anything is.
async fn try_out(platform: &Platform, bytes: &[u8], then: Then) -> Result<(), String> {
    let mut client = Framed::agreed(platform, &[]).await;
    client.say(bytes).await;
    let expected = match then {
        Connection(codes) => {
            let told = client.end().await;
            let is_right = told.is_some_and(|code| codes.contains(&code));
            return is_right.then_some(()).ok_or(format!("GOAWAY {told:?}"));
        }
        Goes => {
            client.say(&frame(PING, 0, 0, &TOKEN)).await;
            client.until(|frame| frame.payload == TOKEN).await
        }
        Stream(_) | Answered | Refused => {
            let decides = |frame: &Frame| {
                let is_its = frame.stream == 1 && [HEADERS, RST_STREAM].contains(&frame.kind);
                is_its || frame.kind == GOAWAY
            };
            client.until(decides).await
        }
    };
    let Some(frame) = expected else {
        return Err("it was hung up on".to_owned());
    };
    let is_right = match then {
        Stream(codes) => frame.kind != HEADERS && codes.contains(&frame.code()),
        Answered => frame.is_ok(),
        Refused => !frame.is_ok(),
        Connection(_) | Goes => true,
    };
    is_right.then_some(()).ok_or(format!("{frame:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sequence_of_frames_ends_as_the_specification_has_it() {
    let (platform, _dyno) = served().await;
    let cases = [
        frames_and_streams(),
        types_of_frames(),
        messages(),
        header_blocks(),
    ]
    .concat();
    assert!(cases.len() >= 100, "{}", cases.len());
    let mut wrong = Vec::new();
    for (name, bytes, then) in cases {
        let patience = Duration::from_secs(5);
        let tried = tokio::time::timeout(patience, try_out(&platform, &bytes, then)).await;
        if let Err(why) = tried.unwrap_or(Err("nothing came of it".to_owned())) {
            wrong.push(format!("{name}: {then:?}, but {why}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(text(&platform.get("app.paas.test", "/").await), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_begins_with_another_preface_is_none() {
    let (platform, _dyno) = served().await;
    for nonsense in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\x01"[..],
        b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = Framed::silent(&platform).await;
        client.say(nonsense).await;
        let mut answer = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut answer);
        let _ = tokio::time::timeout(PATIENCE, read).await.expect("no end");
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_and_settings_are_answered() {
    let (platform, _dyno) = served().await;
    let mut client = Framed::agreed(&platform, &[]).await;
    client.say(&frame(PING, 0, 0, &TOKEN)).await;
    let pong = client.until(|frame| frame.kind == PING).await.unwrap();
    assert_eq!((pong.flags, pong.payload.as_slice()), (ACK, &TOKEN[..]));
    client.say(&frame(SETTINGS, 0, 0, &setting(4, 100))).await;
    let answer = client.until(|frame| frame.kind == SETTINGS).await.unwrap();
    assert_eq!((answer.flags, answer.payload.len()), (ACK, 0));
}

/// RFC 9113, section 5.1.2.
#[tokio::test(flavor = "multi_thread")]
async fn more_streams_than_may_be_open_are_refused_and_the_others_go_on() {
    let (platform, _dyno) = served().await;
    let mut client = Framed::agreed(&platform, &[]).await;
    let asks: Vec<u8> = (0..300).flat_map(|n| get(2 * n + 1, "/slow")).collect();
    client.say(&asks).await;
    for _ in 250..300 {
        let refused = client
            .until(|frame| frame.kind == RST_STREAM)
            .await
            .unwrap();
        assert!(refused.stream > 500, "{refused:?}");
        assert_eq!(refused.code(), REFUSED_STREAM);
    }
    client.say(&[reset(1), get(601, "/")].concat()).await;
    let answer = client.until(|frame| frame.kind == HEADERS).await.unwrap();
    assert!(answer.is_ok() && answer.stream == 601);
}

/// RFC 9113, section 6.9: no more than was allowed, even where what is allowed shrinks below nothing.
#[tokio::test(flavor = "multi_thread")]
async fn windows_are_kept_to() {
    let platform = Platform::start().await;
    let dyno = Dyno::http(|_| async { say(vec![b'x'; 1_000]) }).await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut client = Framed::agreed(&platform, &setting(4, 3)).await;
    client.say(&get(1, "/")).await;
    let got = async |client: &mut Framed, patience| {
        let mut got = 0;
        while let Some(frame) = client.next_within(patience).await {
            got += if frame.kind == DATA {
                frame.payload.len()
            } else {
                0
            };
        }
        got
    };
    let moment = Duration::from_millis(300);
    assert_eq!(got(&mut client, moment).await, 3);
    // 10 more, less what the window shrinks by.
    client
        .say(&[frame(SETTINGS, 0, 0, &setting(4, 0)), window_update(1, 10)].concat())
        .await;
    assert_eq!(got(&mut client, moment).await, 7);
    client.say(&frame(SETTINGS, 0, 0, &setting(4, 1))).await;
    assert_eq!(got(&mut client, moment).await, 1);
    client.say(&window_update(1, 10_000)).await;
    assert_eq!(got(&mut client, moment).await, 1_000 - 11);
}
