//! Every parser that the world reaches, as a function of bytes that panics if what must hold does not. Called with random
//! bytes by the tests below, and with chosen ones by the targets in `router/fuzz`.

#[cfg(test)]
mod differential;

use std::fmt;
use std::net::IpAddr;

use http::Version;

use crate::buffer::{Buf, Buffers};
use crate::http1::framing::{Arriving, Framing};
use crate::http1::request::{self, Fields as _, Lines, Origin, Terms};
use crate::http1::response;
use crate::http1::scan::{Limits, Scan};
use crate::http2::fields::FieldList;
use crate::http2::hpack;
use crate::{proxied, table};

/// A request as somebody reads it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Seen {
    pub method: Vec<u8>,
    /// As it stands in the first line.
    pub target: Vec<u8>,
    /// By name in lower case, and then by value.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        write!(f, "{} {}", text(&self.method), text(&self.target))?;
        for (name, value) in &self.fields {
            write!(f, " [{}: {}]", text(name), text(value))?;
        }
        write!(f, " {:?}", text(&self.body))
    }
}

/// A request that was taken, and what a dyno is sent of it.
#[derive(Debug, Clone)]
pub struct Taken {
    pub seen: Seen,
    pub sent: Vec<u8>,
}

/// The end of a head, however its bytes come.
fn end(bytes: &[u8], limits: &Limits) -> Option<usize> {
    let whole = Scan::default().end(bytes, limits);
    let mut scan = Scan::default();
    // In pieces that grow, so that it is not quadratic here.
    let (mut at, mut step) = (0, 1);
    let found = loop {
        at = (at + step).min(bytes.len());
        step = step * 5 / 4 + 1;
        let found = scan.end(&bytes[..at], limits);
        if at == bytes.len() || found != Ok(None) {
            break found;
        }
    };
    match (whole, found) {
        (Ok(whole), Ok(found)) => assert_eq!(whole, found, "by pieces it ends elsewhere"),
        (whole, found) => assert!(whole.is_err() && found.is_err(), "{whole:?} {found:?}"),
    }
    let end = whole.ok().flatten();
    assert!(end.is_none_or(|end| end <= bytes.len() && bytes[..end].ends_with(b"\n")));
    end
}

/// All requests in what a connection brings, up to one that is refused or not complete.
pub fn requests(bytes: &[u8]) -> Vec<Taken> {
    let mut all = Vec::new();
    let mut buf = Buf::new(Buffers::new());
    // What comes behind it would only be more of the same.
    buf.push(&bytes[..bytes.len().min(32 * 1024)]);
    loop {
        while buf.data().starts_with(b"\r\n") {
            buf.advance(2);
        }
        let Some(length) = end(buf.data(), &request::LIMITS) else {
            return all;
        };
        let head = buf.data()[..length].to_vec();
        let read = request::parse(&head, |line, fields| take(&head, line, fields));
        let Ok(Some((mut taken, framing, stays))) = read else {
            return all;
        };
        buf.advance(length);
        let Some(body) = body(&mut buf, framing) else {
            return all;
        };
        push_body(&mut taken.sent, framing, &body);
        taken.seen.body = body;
        all.push(taken);
        if !stays {
            return all;
        }
    }
}

const ORIGIN: Origin<'static> = Origin {
    peer: "192.0.2.1",
    is_https: false,
    port: 80,
    https_port: 443,
    is_believed: false,
    unix_millis: 1,
};

fn take(head: &[u8], line: request::Line<'_>, fields: Lines<'_>) -> Option<(Taken, Framing, bool)> {
    let terms = Terms::of(&line, fields);
    let host = terms.host.and_then(|host| std::str::from_utf8(host).ok());
    if terms.fault.is_some() || host.and_then(table::parse_host).is_none() {
        return None;
    }
    let (sent, places) = request::write(Vec::new(), &line, fields, &terms, terms.framing, &ORIGIN);
    assert_eq!(places.path.of(&sent), line.path);
    let target = head.split(|byte| *byte == b' ').nth(1);
    let mut fields: Vec<_> = fields
        .each()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()))
        .collect();
    fields.sort();
    let seen = Seen {
        method: line.method.to_vec(),
        target: target.unwrap_or_default().to_vec(),
        fields,
        body: Vec::new(),
    };
    Some((Taken { seen, sent }, terms.framing, terms.stays))
}

/// `None`: not all of it is there, or it is no body.
fn body(buf: &mut Buf, framing: Framing) -> Option<Vec<u8>> {
    let (mut arriving, mut body) = (Arriving::new(framing), Vec::new());
    loop {
        let before = buf.len();
        arriving.look(buf).ok()?;
        let piece = arriving.piece(buf).to_vec();
        arriving.consume(buf, piece.len());
        body.extend_from_slice(&piece);
        if arriving.is_over() {
            return Some(body);
        }
        if buf.len() == before && piece.is_empty() {
            return None;
        }
    }
}

fn push_body(sent: &mut Vec<u8>, framing: Framing, body: &[u8]) {
    match framing {
        Framing::Empty => {}
        Framing::Length(_) | Framing::UntilClose => sent.extend_from_slice(body),
        Framing::Chunked => {
            if !body.is_empty() {
                crate::http1::chunks::push_size(sent, body.len());
                sent.extend_from_slice(body);
                sent.extend_from_slice(b"\r\n");
            }
            sent.extend_from_slice(b"0\r\n\r\n");
        }
    }
}

/// What is passed on is one request for us too, with the same method and body.
pub fn request(bytes: &[u8]) {
    for Taken { seen, sent } in requests(bytes) {
        let again = requests(&sent);
        let text = String::from_utf8_lossy(&sent);
        assert_eq!(again.len(), 1, "{text:?}");
        assert_eq!(again[0].seen.method, seen.method, "{text:?}");
        assert_eq!(again[0].seen.body, seen.body, "{text:?}");
    }
    let _ = request::guess(bytes);
}

/// A dyno's answer, and what a client is sent of its head.
pub fn response(bytes: &[u8]) {
    let _ = response::may_be_head(bytes);
    let Some(length) = end(bytes, &response::LIMITS) else {
        return;
    };
    let head = &bytes[..length];
    let _ = response::is_interim(head);
    for to_head in [false, true] {
        let mut written = Vec::new();
        let read = response::parse(head, to_head, |answer| {
            let hop = response::Hop {
                version: Version::HTTP_11,
                framing: answer.framing,
                is_rewritten: true,
                connection: None,
                date: b"Thu, 01 Jan 1970 00:00:00 GMT",
                added: response::Added::default(),
            };
            answer.write(&hop, &mut written);
            answer.each_field(&hop, |_, _| {});
            answer.status
        });
        let Ok(status) = read else { continue };
        // One head, and nothing behind it.
        let again = response::parse(&written, to_head, |answer| answer.status);
        let text = String::from_utf8_lossy(&written);
        assert_eq!(again, Ok(status), "{text:?}");
        assert_eq!(
            end(&written, &response::LIMITS),
            Some(written.len()),
            "{text:?}"
        );
    }
}

/// The same body in whatever pieces it comes.
pub fn chunks(bytes: &[u8]) {
    let Some((&by, bytes)) = bytes.split_first() else {
        return;
    };
    let by = usize::from(by).max(1);
    let read = |by: usize| {
        let (mut chunks, mut body, mut at) = (crate::http1::chunks::Chunks::new(), Vec::new(), 0);
        while at < bytes.len() && !chunks.is_over() {
            let mut some = bytes[at..(at + by).min(bytes.len())].to_vec();
            let taken = chunks.take(&mut some).ok()?;
            assert!(taken.data <= taken.raw && taken.raw <= some.len());
            body.extend_from_slice(&some[..taken.data]);
            at += taken.raw;
        }
        Some((body, at, chunks.is_over()))
    };
    assert_eq!(read(by), read(bytes.len().max(1)));
}

pub fn proxy_protocol(bytes: &[u8]) {
    proxied::fuzz(bytes);
}

pub fn host(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Some(host) = table::parse_host(text) {
        let host = host.into_owned();
        assert_eq!(host, host.to_ascii_lowercase());
        assert!(host.bytes().all(|byte| byte.is_ascii_graphic()), "{host:?}");
        // One dot at the end is none; more are a host that nobody has.
        let again = table::parse_host(&host);
        assert!(host.ends_with('.') || again.as_deref() == Some(&host));
    }
}

/// A header block of HTTP/2, and what a dyno is sent of it if it is a request: one request, and the same.
pub fn header_block(bytes: &[u8]) {
    hpack::fuzz(bytes);
    let mut list = FieldList::default();
    let mut scratch = Vec::new();
    let read = hpack::Decoder::new().decode(bytes, &mut scratch, |item| list.push(item));
    let (Ok(()), Ok(asked)) = (read, list.request()) else {
        return;
    };
    let line = asked.line;
    let terms = Terms::of(&line, &list);
    let host = terms.host.and_then(|host| std::str::from_utf8(host).ok());
    if terms.fault.is_some() || host.and_then(table::parse_host).is_none() {
        return;
    }
    let (sent, _) = request::write(Vec::new(), &line, &list, &terms, Framing::Chunked, &ORIGIN);
    let again = requests(&[&sent, &b"0\r\n\r\n"[..]].concat());
    let text = String::from_utf8_lossy(&sent);
    assert_eq!(again.len(), 1, "{text:?}");
    assert_eq!(again[0].seen.method, line.method, "{text:?}");
    assert_eq!(again[0].seen.target, line.path, "{text:?}");
}

pub fn address(bytes: &[u8]) {
    if let Some(bytes) = bytes.first_chunk::<16>() {
        let peer = request::peer_text(IpAddr::from(*bytes));
        assert!(peer.parse::<IpAddr>().is_ok(), "{peer}");
    }
}

/// How often to try: `usual`, or by `PAAS_FUZZ_CASES`.
#[cfg(test)]
pub(crate) fn cases(usual: u32) -> u32 {
    let wanted = std::env::var("PAAS_FUZZ_CASES").ok();
    wanted
        .and_then(|wanted| wanted.parse().ok())
        .unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    /// What the formats are made of, so that random bytes get beyond the first line.
    fn likely() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            Just(&b"GET / HTTP/1.1\r\n"[..]),
            Just(&b"HTTP/1.1 200 OK\r\n"[..]),
            Just(&b"HTTP/1.1 100 \r\n\r\n"[..]),
            Just(&b"Host: a.test\r\n"[..]),
            Just(&b"Content-Length: 3\r\n"[..]),
            Just(&b"Transfer-Encoding: chunked\r\n"[..]),
            Just(&b"Connection: close, x\r\n"[..]),
            Just(&b"Cookie: a=b\r\n"[..]),
            Just(&b"Set-Cookie: a=b\r\n"[..]),
            Just(&b"X-Forwarded-For: 192.0.2.1, x\r\n"[..]),
            Just(&b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"[..]),
            Just(&b"PROXY TCP6 ::1 ::2 1 2\r\n"[..]),
            Just(&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..]),
            Just(&b"\r\n"[..]),
            Just(&b"\n"[..]),
            Just(&b"3\r\nabc\r\n"[..]),
            Just(&b"0\r\n\r\n"[..]),
            Just(&b";a=b\r\n"[..]),
            Just(&b"[::1]:80"[..]),
            Just(&b"\x82\x84\x86\x41\x06a.test"[..]),
            Just(&b"\x40\x01x\x01y"[..]),
            Just(&b"\xbe\xbf\x3f\x81\x01"[..]),
        ]
        .prop_map(<[u8]>::to_vec);
        let piece = prop_oneof![
            4 => word,
            1 => prop::collection::vec(any::<u8>(), 0..12),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(super::cases(4_000)))]

        #[test]
        fn no_parser_fails_on_likely_bytes(bytes in likely()) {
            for target in [request, response, chunks, proxy_protocol, host, header_block, address] {
                target(&bytes);
            }
        }

        #[test]
        fn no_parser_fails_on_random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            for target in [request, response, chunks, proxy_protocol, host, header_block, address] {
                target(&bytes);
            }
        }
    }

    /// A list of fields, most of which a request may have.
    fn list() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
        let name = prop::sample::select(vec![
            ":method",
            ":path",
            ":scheme",
            ":authority",
            ":protocol",
            "host",
            "cookie",
            "te",
            "content-length",
            "x-forwarded-for",
            "x-request-id",
            "connection",
            "expect",
            "X",
            "a b",
        ]);
        let value = prop_oneof![
            Just(&b"a.test"[..]),
            Just(&b"/"[..]),
            Just(&b"/a?b"[..]),
            Just(&b"GET"[..]),
            Just(&b"CONNECT"[..]),
            Just(&b"trailers"[..]),
            Just(&b"3"[..]),
            Just(&b"*"[..]),
            Just(&b"OPTIONS"[..]),
            Just(&b"/ HTTP/1.1\r\nX: y"[..]),
            Just(&b"100-continue"[..]),
            Just(&b"a\nb"[..]),
            Just(&b"\xff"[..]),
            Just(&b""[..]),
        ];
        let more = prop::collection::vec((name, value.prop_map(<[u8]>::to_vec)), 0..5);
        more.prop_map(|more| {
            let usual = [
                (":method", "GET"),
                (":path", "/"),
                (":scheme", "http"),
                (":authority", "a.test"),
            ];
            let usual = usual.map(|(name, value)| (name, value.as_bytes().to_vec()));
            // What is said again takes the place of the usual, as far as there is one.
            let names: Vec<_> = more.iter().map(|(name, _)| *name).collect();
            let usual = usual.into_iter().filter(|(name, _)| !names.contains(name));
            let (pseudo, others): (Vec<_>, Vec<_>) = usual
                .chain(more.clone())
                .partition(|(name, _)| name.starts_with(':'));
            let all = pseudo.into_iter().chain(others);
            all.map(|(name, value)| (name.to_owned(), value)).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(super::cases(4_000)))]

        #[test]
        fn no_list_of_fields_becomes_more_than_one_request(list in list()) {
            let (mut encoder, mut block) = (hpack::Encoder::new(), Vec::new());
            encoder.begin(&mut block);
            for (name, value) in &list {
                encoder.field(name.as_bytes(), value, &mut block);
            }
            header_block(&block);
        }
    }

    /// As long as may be, in the smallest pieces: a parser that begins anew with each would take minutes.
    #[test]
    fn the_time_for_a_head_grows_with_its_length_only() {
        let line = format!("X: {}\r\n", "y".repeat(200));
        let head = format!("GET / HTTP/1.1\r\n{}", line.repeat(900));
        let began = Instant::now();
        let mut scan = Scan::default();
        for end in 0..head.len() {
            let found = scan.end(&head.as_bytes()[..end], &request::LIMITS);
            assert_eq!(found, Ok(None));
        }
        let whole = format!("{head}Host: a.test\r\n\r\n");
        let read = request::parse(whole.as_bytes(), |line, fields| {
            Terms::of(&line, fields).fault
        });
        assert_eq!(read, Ok(None));
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    }
}
