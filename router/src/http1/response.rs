//! A dyno's answer: its head, read, and written as the client gets it.

use http::header::{CONTENT_ENCODING, SET_COOKIE, STRICT_TRANSPORT_SECURITY, VARY};
use http::{HeaderName, Version};
use httparse::{Header, ParserConfig};

use crate::coding::Coding;
use crate::fault::Fault;
use crate::http1::field::Field;
use crate::http1::framing::Framing;
use crate::http1::request::via;
use crate::http1::scan::{Limits, Refused};
use crate::http1::{
    self, DECIMAL, FEW_FIELDS, MAX_FIELDS, decimal, parse_length, push_decimal, push_field,
    push_kept, tokens,
};

const MAX_STATUS_LINE: usize = 8192;
const MAX_LINE: usize = 512 * 1024;
const MAX_COOKIE: usize = 8192;
/// Room for a head; one that fills it is too long.
pub(crate) const MAX_HEAD: usize = 1024 * 1024;

pub(crate) const LIMITS: Limits = Limits {
    first_line: MAX_STATUS_LINE,
    line: MAX_LINE,
    lines: MAX_FIELDS + 1,
    whole: MAX_HEAD - 1,
    bare_line_feed: true,
};

/// Why no head like this is passed on.
pub(crate) const fn refused(why: Refused) -> Fault {
    match why {
        Refused::LongFirstLine => Fault::OversizedStatusLine,
        Refused::BareLineFeed | Refused::LongLine | Refused::TooLong => Fault::OversizedResponse,
    }
}

/// Whether it may still become a head: nothing else is waited for.
pub(crate) fn may_be_head(bytes: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.";
    let some = bytes.len().min(START.len());
    bytes[..some] == START[..some]
}

/// Whether the head only says that another will follow: 1xx, but for the switch to another protocol.
pub(crate) fn is_interim(head: &[u8]) -> bool {
    head.get(9) == Some(&b'1') && head.get(9..12) != Some(b"101")
}

/// A head, and what it means for whoever carries it.
#[derive(Debug)]
pub(crate) struct Answer<'b, 'h> {
    /// The bytes it was read from.
    head: &'b [u8],
    pub(crate) status: u16,
    reason: &'b str,
    fields: &'h [Header<'b>],
    pub(crate) framing: Framing,
    /// Whether the dyno's connection may be used again.
    pub(crate) stays: bool,
    pub(crate) upgrade: Option<&'b [u8]>,
    names_fields: bool,
    has_date: bool,
    /// What is said of the length where the body itself is not sent.
    length: Option<u64>,
}

/// Reads the whole head in `bytes`. `to_head`: it answers a `HEAD` request.
pub(crate) fn parse<R>(
    bytes: &[u8],
    to_head: bool,
    with: impl FnOnce(Answer<'_, '_>) -> R,
) -> Result<R, Fault> {
    let mut few = http1::fields::<FEW_FIELDS>();
    match parse_into(bytes, &mut few) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut many = http1::fields::<MAX_FIELDS>();
            let read = parse_into(bytes, &mut many).map_err(|_| Fault::PoorResponse)?;
            Answer::of(bytes, &read, to_head).map(with)
        }
        Err(_) => Err(Fault::PoorResponse),
        Ok(read) => Answer::of(bytes, &read, to_head).map(with),
    }
}

fn parse_into<'b, 'h>(
    bytes: &'b [u8],
    fields: &'h mut [std::mem::MaybeUninit<Header<'b>>],
) -> Result<httparse::Response<'h, 'b>, httparse::Error> {
    let mut read = httparse::Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut read, bytes, fields)?;
    match parsed {
        httparse::Status::Complete(length) if length == bytes.len() => Ok(read),
        _ => Err(httparse::Error::Token),
    }
}

impl<'b, 'h> Answer<'b, 'h> {
    fn of<'r: 'h>(
        head: &'b [u8],
        read: &'r httparse::Response<'h, 'b>,
        to_head: bool,
    ) -> Result<Self, Fault> {
        let (Some(version), Some(status)) = (read.version, read.code) else {
            return Err(Fault::PoorResponse);
        };
        if !(100..=999).contains(&status) {
            return Err(Fault::PoorResponse);
        }
        let mut answer = Answer {
            head,
            status,
            reason: read.reason.unwrap_or_default(),
            fields: read.headers,
            framing: Framing::UntilClose,
            stays: version == 1,
            upgrade: None,
            names_fields: false,
            has_date: false,
            length: None,
        };
        let (mut is_chunked, mut other_coding) = (false, false);
        for Header { name, value } in read.headers.iter() {
            match Field::of(name.as_bytes()) {
                Field::Connection => {
                    for token in tokens(value) {
                        if token.eq_ignore_ascii_case(b"close") {
                            answer.stays = false;
                        } else if token.eq_ignore_ascii_case(b"keep-alive") {
                            answer.stays |= version == 0;
                        } else if !token.eq_ignore_ascii_case(b"upgrade") {
                            answer.names_fields = true;
                        }
                    }
                }
                Field::TransferEncoding => {
                    other_coding |= is_chunked || !value.eq_ignore_ascii_case(b"chunked");
                    is_chunked = true;
                }
                Field::ContentLength => match (parse_length(value), answer.length) {
                    (Some(new), None) => answer.length = Some(new),
                    (Some(new), Some(old)) if new == old => {}
                    _ => return Err(Fault::BadResponseLength),
                },
                Field::SetCookie if value.len() > MAX_COOKIE => return Err(Fault::OversizedCookie),
                Field::Upgrade => answer.upgrade = Some(value),
                Field::Date => answer.has_date = true,
                _ => {}
            }
        }
        let is_empty = to_head || status < 200 || status == 204 || status == 304;
        answer.framing = match (is_chunked, answer.length) {
            _ if is_empty => Framing::Empty,
            // Encoded in a way that nobody asked for: the client would take the encoding for the body.
            (true, _) if other_coding => return Err(Fault::PoorResponse),
            (true, _) if version == 0 => return Err(Fault::PoorResponse),
            (true, _) => Framing::Chunked,
            (false, Some(0)) => Framing::Empty,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        };
        if is_chunked {
            answer.length = None;
        }
        Ok(answer)
    }

    fn is_passed_on(&self, name: &[u8]) -> bool {
        match Field::of(name) {
            Field::ContentLength => false,
            field if field.is_of_the_hop() => false,
            field => !(self.names_fields && field.may_be_named() && self.is_named(name)),
        }
    }

    fn is_named(&self, name: &[u8]) -> bool {
        self.fields.iter().any(|header| {
            Field::of(header.name.as_bytes()) == Field::Connection
                && tokens(header.value).any(|token| token.eq_ignore_ascii_case(name))
        })
    }
}

/// What the client's connection has to do with an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hop<'a> {
    pub(crate) version: Version,
    /// How the body goes on.
    pub(crate) framing: Framing,
    /// Whether its lines do not end as they should, and are written one by one.
    pub(crate) is_rewritten: bool,
    /// What is said in `Connection`, if anything.
    pub(crate) connection: Option<&'static str>,
    /// For an answer that has none of its own.
    pub(crate) date: &'a [u8],
    pub(crate) added: Added<'a>,
}

/// What the app's rules add to its answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Added<'a> {
    /// In place of what the dyno says in `Strict-Transport-Security`.
    pub(crate) hsts: Option<&'a str>,
    pub(crate) cookie: Option<&'a str>,
    /// The body is compressed on its way.
    pub(crate) coding: Option<Coding>,
    /// Others might be answered otherwise.
    pub(crate) varies: bool,
}

impl Added<'_> {
    /// Whether a field of the dyno's makes way.
    fn replaces(&self, name: &[u8]) -> bool {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        (self.hsts.is_some() && is("strict-transport-security"))
            // A range of what is sent would be none of what the dyno has.
            || (self.coding.is_some() && (is("etag") || is("accept-ranges")))
    }

    fn each(&self) -> impl Iterator<Item = (HeaderName, &str)> {
        let vary = self.varies.then_some("Accept-Encoding");
        [
            (STRICT_TRANSPORT_SECURITY, self.hsts),
            (SET_COOKIE, self.cookie),
            (CONTENT_ENCODING, self.coding.map(Coding::name)),
            (VARY, vary),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

impl Answer<'_, '_> {
    /// The head as an HTTP/1 client gets it.
    pub(crate) fn write(&self, hop: &Hop<'_>, head: &mut Vec<u8>) {
        head.extend_from_slice(b"HTTP/1.1 ");
        push_decimal(head, self.status.into());
        head.push(b' ');
        head.extend_from_slice(self.reason.as_bytes());
        head.extend_from_slice(b"\r\n");
        let keeps = |name: &[u8]| self.is_passed_on(name) && !hop.added.replaces(name);
        if hop.is_rewritten {
            for Header { name, value } in self.fields {
                if keeps(name.as_bytes()) {
                    push_field(head, name.as_bytes(), value);
                }
            }
        } else {
            push_kept(head, self.head, self.fields, keeps);
        }
        for (name, value) in hop.added.each() {
            push_field(head, name.as_str().as_bytes(), value.as_bytes());
        }
        if let Some(tag) = self.weakened_tag(hop) {
            push_field(head, b"ETag", &tag);
        }
        if !self.has_date {
            push_field(head, b"Date", hop.date);
        }
        push_field(head, b"Via", via(hop.version).as_bytes());
        let length = self.length.filter(|_| hop.added.coding.is_none());
        match (hop.framing, length) {
            (Framing::Chunked, _) => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            (_, Some(length)) if self.status != 204 && self.status >= 200 => {
                head.extend_from_slice(b"Content-Length: ");
                push_decimal(head, length);
                head.extend_from_slice(b"\r\n");
            }
            _ => {}
        }
        if self.status == 101
            && let Some(protocol) = self.upgrade
        {
            push_field(head, b"Upgrade", protocol);
        }
        if let Some(connection) = hop.connection {
            push_field(head, b"Connection", connection.as_bytes());
        }
        head.extend_from_slice(b"\r\n");
    }

    /// What is compressed is not, byte for byte, what the dyno's tag is of.
    fn weakened_tag(&self, hop: &Hop<'_>) -> Option<Vec<u8>> {
        hop.added.coding?;
        let tag = self.field("etag")?;
        let strength: &[u8] = if tag.starts_with(b"W/") { b"" } else { b"W/" };
        Some([strength, tag].concat())
    }

    /// The first field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        let named = |header: &&Header<'_>| header.name.eq_ignore_ascii_case(name);
        self.fields.iter().find(named).map(|header| header.value)
    }

    /// How long the body is, where that is said.
    pub(crate) const fn length(&self) -> Option<u64> {
        self.length
    }

    /// The fields as an HTTP/2 client gets them, but for the case of their names.
    pub(crate) fn each_field(&self, hop: &Hop<'_>, mut put: impl FnMut(&[u8], &[u8])) {
        for Header { name, value } in self.fields {
            let name = name.as_bytes();
            if self.is_passed_on(name) && !hop.added.replaces(name) {
                put(name, value);
            }
        }
        for (name, value) in hop.added.each() {
            put(name.as_str().as_bytes(), value.as_bytes());
        }
        if let Some(tag) = self.weakened_tag(hop) {
            put(b"etag", &tag);
        }
        if !self.has_date {
            put(b"date", hop.date);
        }
        put(b"via", via(hop.version).as_bytes());
        let length = self.length.filter(|_| hop.added.coding.is_none());
        if let Some(length) = length.filter(|_| self.status != 204 && self.status >= 200) {
            let mut text = [0; DECIMAL];
            put(b"content-length", decimal(&mut text, length));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOP: Hop<'static> = Hop {
        version: Version::HTTP_11,
        framing: Framing::Empty,
        is_rewritten: false,
        connection: None,
        date: b"today",
        added: Added {
            hsts: None,
            cookie: None,
            coding: None,
            varies: false,
        },
    };

    fn read<R>(
        head: &str,
        to_head: bool,
        with: impl FnOnce(Answer<'_, '_>) -> R,
    ) -> Result<R, Fault> {
        let head = head.replace('\n', "\r\n") + "\r\n";
        parse(head.as_bytes(), to_head, with)
    }

    fn framing(head: &str) -> Result<Framing, Fault> {
        read(head, false, |answer| answer.framing)
    }

    #[test]
    fn a_body_ends_as_its_head_says() {
        for (fields, expected) in [
            ("Content-Length: 5\n", Framing::Length(5)),
            ("Content-Length: 0\n", Framing::Empty),
            ("Content-Length: 5\nContent-Length: 5\n", Framing::Length(5)),
            ("", Framing::UntilClose),
            (
                "Transfer-Encoding: chunked\nContent-Length: 5\n",
                Framing::Chunked,
            ),
        ] {
            let head = format!("HTTP/1.1 200 OK\n{fields}");
            assert_eq!(framing(&head), Ok(expected), "{head}");
        }
        for empty in [
            "204 No Content",
            "304 Not Modified",
            "101 Switching Protocols",
        ] {
            let head = format!("HTTP/1.1 {empty}\nContent-Length: 5\n");
            assert_eq!(framing(&head), Ok(Framing::Empty), "{head}");
        }
        let head = "HTTP/1.1 200 OK\nContent-Length: 5\n";
        assert_eq!(
            read(head, true, |answer| answer.framing),
            Ok(Framing::Empty)
        );
    }

    #[test]
    fn what_nobody_could_pass_on_is_refused_by_name() {
        for (head, fault) in [
            ("SSH-2.0-OpenSSH\n".to_owned(), Fault::PoorResponse),
            ("HTTP/2.0 200 OK\n".to_owned(), Fault::PoorResponse),
            (
                "HTTP/1.1 200 OK\nContent-Length: x\n".to_owned(),
                Fault::BadResponseLength,
            ),
            (
                "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n".to_owned(),
                Fault::BadResponseLength,
            ),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked\n".to_owned(),
                Fault::PoorResponse,
            ),
            (
                "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n".to_owned(),
                Fault::PoorResponse,
            ),
            (
                format!("HTTP/1.1 200 OK\nSet-Cookie: {}\n", "x".repeat(9000)),
                Fault::OversizedCookie,
            ),
        ] {
            assert_eq!(framing(&head), Err(fault), "{head}");
        }
    }

    #[test]
    fn the_client_gets_it_without_the_hop_and_with_ours() {
        let head = "HTTP/1.1 200 Fine\nServer: x\nConnection: keep-alive, x-inner\nKeep-Alive: timeout=5\n\
                    X-Inner: 1\nSet-Cookie: a=1\nSet-Cookie: b=2\nContent-Length: 5\n";
        let written = read(head, false, |answer| {
            let mut head = Vec::new();
            answer.write(&HOP, &mut head);
            String::from_utf8(head).unwrap()
        });
        assert_eq!(
            written.as_deref(),
            Ok(
                "HTTP/1.1 200 Fine\r\nServer: x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nDate: today\r\n\
                 Via: 1.1 heroku-router\r\nContent-Length: 5\r\n\r\n"
            )
        );
        let mut fields = Vec::new();
        let each = read(head, false, |answer| {
            answer.each_field(&HOP, |name, value| {
                let field = [name, b": ", value].concat();
                fields.push(String::from_utf8(field).unwrap());
            });
        });
        assert_eq!(each, Ok(()));
        assert_eq!(
            fields,
            [
                "Server: x",
                "Set-Cookie: a=1",
                "Set-Cookie: b=2",
                "date: today",
                "via: 1.1 heroku-router",
                "content-length: 5"
            ]
        );
    }

    #[test]
    fn lines_that_end_in_a_line_feed_alone_end_as_they_should_for_the_client() {
        let head = b"HTTP/1.1 200 OK\nA: 1\nB: 2\n\n";
        let hop = Hop {
            is_rewritten: true,
            ..HOP
        };
        let written = parse(head, false, |answer| {
            let mut head = Vec::new();
            answer.write(&hop, &mut head);
            String::from_utf8(head).unwrap()
        })
        .unwrap();
        assert!(
            written.starts_with("HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nDate: "),
            "{written}"
        );
        assert_eq!(
            written.matches('\n').count(),
            written.matches("\r\n").count()
        );
    }

    #[test]
    fn interim_heads_are_told_from_final_ones() {
        assert!(is_interim(b"HTTP/1.1 100 Continue\r\n\r\n"));
        assert!(is_interim(b"HTTP/1.1 103 Early Hints\r\n\r\n"));
        assert!(!is_interim(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"));
        assert!(!is_interim(b"HTTP/1.1 200 OK\r\n\r\n"));
        assert!(may_be_head(b"HT") && may_be_head(b"HTTP/1.1") && !may_be_head(b"SSH"));
    }
}
