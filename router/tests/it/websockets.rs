//! What RFC 6455 lets two ends say to each other, through the router: byte for byte, however it is cut. The dyno gives back
//! what it gets, so nothing but the router can change it. After the groups of the Autobahn test suite.

use std::time::Duration;

use model::AppId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::siege::*;
use super::support::*;

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FIN: u8 = 0x80;

/// A client's frame: masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ ..65_536 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// Agrees to whatever is asked for, says what it was asked, and gives back every byte.
async fn mirror() -> Dyno {
    Dyno::raw(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let asked = |name: &str| {
            let line = head.lines().find_map(|line| {
                let (field, value) = line.split_once(':')?;
                field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            });
            line.unwrap_or_default()
        };
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\
             Sec-WebSocket-Extensions: {}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
            asked("sec-websocket-key"),
            asked("sec-websocket-extensions"),
            asked("sec-websocket-protocol"),
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    })
    .await
}

async fn open(platform: &Platform) -> TcpStream {
    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let ask = "GET /socket HTTP/1.1\r\nHost: app.paas.test\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
               Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
               Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=15, x-other\r\n\
               Sec-WebSocket-Protocol: chat, superchat\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let head = timeout(PATIENCE, read_head(&mut stream)).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for line in [
        "Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=15, x-other\r\n",
        "Sec-WebSocket-Protocol: chat, superchat\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\n",
    ] {
        assert_eq!(head.matches(line).count(), 1, "{line}: {head}");
    }
    stream
}

/// Says it in pieces, and hears the same.
async fn echoes(stream: &mut TcpStream, bytes: &[u8], piece: usize) {
    let (mut read, mut write) = stream.split();
    let say = async {
        for piece in bytes.chunks(piece) {
            write.write_all(piece).await.unwrap();
            if bytes.len() < 1_000 {
                // So that it leaves by itself.
                tokio::task::yield_now().await;
            }
        }
    };
    let mut heard = vec![0; bytes.len()];
    let hear = async { read.read_exact(&mut heard).await.unwrap() };
    timeout(PATIENCE, async { tokio::join!(say, hear) })
        .await
        .expect("no echo");
    assert!(heard == bytes, "{} bytes are not the same", bytes.len());
}

async fn mirrored() -> (Platform, Dyno) {
    let platform = Platform::start().await;
    let dyno = mirror().await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    (platform, dyno)
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_every_kind_pass_unchanged_however_they_are_cut() {
    let (platform, _dyno) = mirrored().await;
    let close = |code: u16, why: &str| {
        let payload = [&code.to_be_bytes(), why.as_bytes()].concat();
        frame(FIN | CLOSE, &payload)
    };
    let mut cases = Vec::new();
    // 1: lengths around each way of saying them.
    for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536] {
        cases.push(frame(FIN | TEXT, &vec![b'*'; length]));
        cases.push(frame(FIN | BINARY, &vec![0xfe; length]));
    }
    // 2: pings and pongs, those that nobody asked for and those that are too long too.
    for length in [0, 4, 125, 126] {
        cases.push(frame(FIN | PING, &vec![0xff; length]));
        cases.push(frame(FIN | PONG, &vec![0; length]));
    }
    // 3, 4: reserved bits and opcodes, which mean something to those who agreed on it.
    for first in [0x90, 0xa0, 0xc0, 0xf0].map(|bits| bits | TEXT) {
        cases.push(frame(first, b"reserved"));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        cases.push(frame(FIN | opcode, b"unknown"));
    }
    // 5: fragments, with control frames between them, and those that belong to nothing.
    cases.push([frame(TEXT, b"frag"), frame(FIN, b"ment")].concat());
    let between = [
        frame(TEXT, b"a"),
        frame(FIN | PING, b"ping"),
        frame(0, b"b"),
        frame(FIN | PONG, b""),
        frame(FIN, b"c"),
    ];
    cases.push(between.concat());
    cases.push([frame(PING, b"a"), frame(FIN, b"b")].concat());
    cases.push([frame(0, b"of nothing"), frame(FIN | TEXT, b"x")].concat());
    cases.push(
        (0..200)
            .flat_map(|n| frame(if n == 0 { BINARY } else { 0 }, &[n]))
            .collect(),
    );
    // 6: text that is none, cut within a character.
    cases.push(frame(
        FIN | TEXT,
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    ));
    cases.push([frame(TEXT, b"\xf4\x90"), frame(FIN, b"\x80\x80")].concat());
    // 7: goodbyes, with every code that may be said and some that may not, and what follows them.
    for code in [
        0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1011, 1015, 3000, 4999, 65_535,
    ] {
        cases.push(close(code, "why"));
    }
    cases.push([close(1000, ""), frame(FIN | TEXT, b"after the end")].concat());
    cases.push(frame(FIN | CLOSE, b"x"));
    assert!(cases.len() >= 60);
    let mut stream = open(&platform).await;
    for case in &cases {
        let mut pieces = vec![case.len(), 1 + case.len() / 3];
        if case.len() < 1_000 {
            pieces.push(1);
        }
        for piece in pieces {
            echoes(&mut stream, case, piece).await;
        }
    }
    // All of them at once, over one connection.
    echoes(&mut stream, &cases.concat(), 1 << 20).await;
}

/// 9: limits and performance.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_16_megabytes_passes_without_being_kept() {
    let (platform, _dyno) = mirrored().await;
    let mut stream = open(&platform).await;
    let large: Vec<u8> = (0..16 << 20_u32).map(|n| (n % 251) as u8).collect();
    let large = frame(FIN | BINARY, &large);
    let before = memory();
    echoes(&mut stream, &large, 1 << 16).await;
    // What was heard is this test's own.
    assert_grew_no_more(before, 48 << 20);
    let small = frame(FIN | BINARY, &[7; 1_000]).repeat(4_000);
    echoes(&mut stream, &small, 997).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_said_all_still_hears_the_rest() {
    let (platform, _dyno) = mirrored().await;
    let mut stream = open(&platform).await;
    let last = [
        frame(FIN | TEXT, &[b'x'; 100_000]),
        frame(FIN | CLOSE, &1000_u16.to_be_bytes()),
    ]
    .concat();
    stream.write_all(&last).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert!(heard == last);
}

/// One that is in the middle of a frame when it goes is no reason to keep the other waiting.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_cut_off_in_the_middle_of_a_frame_takes_the_other_end_along() {
    let platform = Platform::start().await;
    let (told, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let dyno = Dyno::raw(move |mut stream| {
        let told = told.clone();
        async move {
            read_head(&mut stream).await;
            let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
            stream.write_all(switch).await.unwrap();
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all).await;
            let _ = told.send(all.len());
        }
    })
    .await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    let mut stream = TcpStream::connect(platform.http).await.unwrap();
    let ask = b"GET / HTTP/1.1\r\nHost: app.paas.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    read_head(&mut stream).await;
    let whole = frame(FIN | BINARY, &[1; 1_000]);
    stream.write_all(&whole[..500]).await.unwrap();
    drop(stream);
    let heard = timeout(Duration::from_secs(20), ended.recv()).await;
    assert_eq!(heard.expect("it was kept"), Some(500));
}
