//! A request's head: read as it came, by whichever protocol, and written as a dyno gets it.

use std::net::IpAddr;

use http::Version;
use httparse::{Header, ParserConfig};

use crate::fault::Fault;
use crate::http1::field::Field;
use crate::http1::framing::Framing;
use crate::http1::scan::{Limits, Refused};
use crate::http1::{self, FEW_FIELDS, MAX_FIELDS, parse_length, push_decimal, push_field, tokens};

const MAX_LINE: usize = 8192;
const MAX_NAME: usize = 1000;
const MAX_METHOD: usize = 127;
/// Room for a head, far more than any client has use for; one that fills it is too long.
pub(crate) const MAX_HEAD: usize = 256 * 1024;

pub(crate) const LIMITS: Limits = Limits {
    first_line: MAX_LINE,
    line: MAX_LINE,
    lines: MAX_FIELDS + 1,
    whole: MAX_HEAD - 1,
    bare_line_feed: false,
};

/// What HTTP/2 clients that know of no TLS begin with.
pub(crate) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl From<Refused> for Fault {
    fn from(_: Refused) -> Self {
        Self::BadHeader
    }
}

/// A request's first line, and by it where its fields are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) method: &'a [u8],
    /// What takes the place of a `Host` field, where there is such a thing.
    pub(crate) authority: Option<&'a [u8]>,
    /// Path and query, or `*`.
    pub(crate) path: &'a [u8],
    pub(crate) version: Version,
}

/// The fields of a head, in the order they came.
pub(crate) trait Fields<'a>: Copy {
    fn each(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])>;

    /// Puts those whose name is kept behind `out`, as lines.
    fn push_kept(self, out: &mut Vec<u8>, keep: impl FnMut(&[u8]) -> bool);
}

/// An HTTP/1 head's, with the bytes they were read from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines<'a> {
    head: &'a [u8],
    fields: &'a [Header<'a>],
}

impl Lines<'_> {
    pub(crate) const NONE: Self = Self {
        head: &[],
        fields: &[],
    };
}

impl<'a> Fields<'a> for Lines<'a> {
    fn each(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.fields
            .iter()
            .map(|field| (field.name.as_bytes(), field.value))
    }

    fn push_kept(self, out: &mut Vec<u8>, keep: impl FnMut(&[u8]) -> bool) {
        http1::push_kept(out, self.head, self.fields, keep);
    }
}

/// Reads the whole head in `bytes`, for as long as `with` takes.
pub(crate) fn parse<R>(
    bytes: &[u8],
    with: impl FnOnce(Line<'_>, Lines<'_>) -> R,
) -> Result<R, Fault> {
    let mut few = http1::fields::<FEW_FIELDS>();
    match parse_into(bytes, &mut few) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut many = http1::fields::<MAX_FIELDS>();
            let read = parse_into(bytes, &mut many).map_err(|_| Fault::BadHeader)?;
            line(&read).map(|line| {
                with(
                    line,
                    Lines {
                        head: bytes,
                        fields: read.headers,
                    },
                )
            })
        }
        Err(_) => Err(Fault::BadHeader),
        Ok(read) => line(&read).map(|line| {
            with(
                line,
                Lines {
                    head: bytes,
                    fields: read.headers,
                },
            )
        }),
    }
}

fn parse_into<'b, 'h>(
    bytes: &'b [u8],
    fields: &'h mut [std::mem::MaybeUninit<Header<'b>>],
) -> Result<httparse::Request<'h, 'b>, httparse::Error> {
    let mut read = httparse::Request::new(&mut []);
    let parsed =
        ParserConfig::default().parse_request_with_uninit_headers(&mut read, bytes, fields)?;
    match parsed {
        httparse::Status::Complete(_) if read.headers.iter().any(|it| is_unsure(bytes, it)) => {
            Err(httparse::Error::HeaderValue)
        }
        httparse::Status::Complete(length) if length == bytes.len() => Ok(read),
        // Where we see the end and the parser does not, somebody else may see another yet.
        _ => Err(httparse::Error::Token),
    }
}

/// Whether a tab follows a transfer coding: a blank by the RFC, which not all parsers take for one, and who disagrees about a
/// body's end can be made to see another request in it.
fn is_unsure(head: &[u8], field: &Header<'_>) -> bool {
    if !field.name.eq_ignore_ascii_case("transfer-encoding") {
        return false;
    }
    let end = field.value.as_ptr().addr() + field.value.len() - head.as_ptr().addr();
    let rest = head[end..].split(|byte| *byte == b'\n').next();
    rest.is_some_and(|rest| rest.contains(&b'\t'))
}

fn line<'b>(read: &httparse::Request<'_, 'b>) -> Result<Line<'b>, Fault> {
    let (Some(method), Some(target), Some(version)) = (read.method, read.path, read.version) else {
        return Err(Fault::BadHeader);
    };
    let version = match version {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let (authority, path) = split_target(method, target.as_bytes())?;
    Ok(Line {
        method: method.as_bytes(),
        authority,
        path,
        version,
    })
}

/// The four forms of RFC 9112, 3.2.
fn split_target<'a>(method: &str, target: &'a [u8]) -> Result<(Option<&'a [u8]>, &'a [u8]), Fault> {
    if method == "CONNECT" {
        return Err(Fault::BadMethod);
    }
    if target.contains(&b'#') || target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return Err(Fault::BadHeader);
    }
    if target.first() == Some(&b'/') || (target == b"*" && method == "OPTIONS") {
        return Ok((None, target));
    }
    let scheme = |name: &[u8]| {
        target
            .get(..name.len())
            .filter(|start| start.eq_ignore_ascii_case(name))
            .map(|start| &target[start.len()..])
    };
    let rest = scheme(b"http://").or_else(|| scheme(b"https://"));
    let rest = rest.ok_or(Fault::BadHeader)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
    let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
    match path.first() {
        // A query without a path is one of the root; no client in use writes that.
        Some(b'?') => Err(Fault::BadHeader),
        Some(_) => Ok((Some(authority), path)),
        None if method == "OPTIONS" => Ok((Some(authority), b"*")),
        None => Ok((Some(authority), b"/")),
    }
}

/// What a head asks for, apart from what is for the app.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    /// The `Host` field, or what takes its place.
    pub(crate) host: Option<&'a [u8]>,
    /// Of an HTTP/1 message. The other protocol frames its bodies itself.
    pub(crate) framing: Framing,
    /// Whether the client would have the connection stay.
    pub(crate) stays: bool,
    /// What the client would switch to, where that is something to pass on.
    pub(crate) upgrade: Option<&'a [u8]>,
    /// What an HTTP/1.1 server wants to be told by whoever opens a WebSocket, where the client's protocol does without.
    pub(crate) websocket_key: Option<&'a str>,
    pub(crate) expects_go_ahead: bool,
    /// The client's, if it is fit to be one.
    pub(crate) request_id: Option<&'a [u8]>,
    /// What a proxy in front says: whether its client used TLS, and which port.
    forwarded_https: Option<bool>,
    forwarded_port: Option<u16>,
    /// Whether `Connection` names fields to be taken off.
    names_fields: bool,
    /// Why the request cannot be passed on.
    pub(crate) fault: Option<Fault>,
}

impl<'a> Terms<'a> {
    pub(crate) fn of(line: &Line<'a>, fields: impl Fields<'a>) -> Self {
        let mut terms = Terms {
            host: line.authority,
            framing: Framing::Empty,
            stays: line.version != Version::HTTP_10,
            upgrade: None,
            websocket_key: None,
            expects_go_ahead: false,
            request_id: None,
            forwarded_https: None,
            forwarded_port: None,
            names_fields: false,
            fault: None,
        };
        if line.method.len() > MAX_METHOD
            || line.method.len() + line.path.len() + " HTTP/1.1".len() + 1 > MAX_LINE
        {
            terms.fault = Some(Fault::BadHeader);
        }
        let (mut hosts, mut length, mut coding, mut count) = (0, None, None, 0);
        let (mut asks_to_switch, mut wanted) = (false, None);
        for (name, value) in fields.each() {
            count += 1;
            if name.len() > MAX_NAME || name.len() + 2 + value.len() > MAX_LINE {
                terms.refuse(Fault::BadHeader);
            }
            match Field::of(name) {
                Field::Host => {
                    hosts += 1;
                    terms.host = terms.host.or(Some(value));
                }
                Field::Connection => {
                    for token in tokens(value) {
                        if token.eq_ignore_ascii_case(b"close") {
                            terms.stays = false;
                        } else if token.eq_ignore_ascii_case(b"upgrade") {
                            asks_to_switch = true;
                        } else if token.eq_ignore_ascii_case(b"keep-alive") {
                            terms.stays |= line.version == Version::HTTP_10;
                        } else {
                            terms.names_fields = true;
                        }
                    }
                }
                // Two that agree could be read as one, and are more likely somebody's trial of that.
                Field::ContentLength if length.is_some() => terms.refuse(Fault::BadHeader),
                Field::ContentLength => match parse_length(value) {
                    Some(value) => length = Some(value),
                    None => terms.refuse(Fault::BadHeader),
                },
                Field::TransferEncoding => {
                    let is_chunked = value.eq_ignore_ascii_case(b"chunked");
                    // A body in anything before the last chunk would be passed on without it being said.
                    if coding.is_some() || !is_chunked || line.version == Version::HTTP_10 {
                        terms.refuse(Fault::BadHeader);
                    }
                    coding = Some(());
                }
                Field::Expect if value.eq_ignore_ascii_case(b"100-continue") => {
                    terms.expects_go_ahead = line.version != Version::HTTP_10;
                }
                Field::Expect => terms.refuse(Fault::BadExpect),
                // HTTP/2 over the dyno's connection would be requests that nobody here sees.
                Field::Upgrade if !starts_as_http2(value) => wanted = Some(value),
                Field::ForwardedProto => terms.forwarded_https = parse_proto(value),
                Field::ForwardedPort => {
                    let port = parse_length(value).and_then(|port| u16::try_from(port).ok());
                    terms.forwarded_port = port;
                }
                Field::RequestId if is_fit(value) => {
                    terms.request_id = terms.request_id.or(Some(value));
                }
                _ => {}
            }
        }
        if count > MAX_FIELDS {
            terms.refuse(Fault::BadHeader);
        }
        if hosts > 1 || terms.host.is_none() {
            terms.fault = Some(Fault::BadHost);
        }
        terms.framing = match (coding, length) {
            (Some(()), None) => Framing::Chunked,
            (Some(()), Some(_)) => {
                // The chunks are believed. If somebody before us believed the length, what follows is not another request.
                terms.stays = false;
                Framing::Chunked
            }
            (None, Some(0) | None) => Framing::Empty,
            (None, Some(length)) => Framing::Length(length),
        };
        if asks_to_switch && terms.framing == Framing::Empty && line.version == Version::HTTP_11 {
            terms.upgrade = wanted;
        }
        terms
    }

    fn refuse(&mut self, fault: Fault) {
        self.fault = self.fault.or(Some(fault));
        self.stays = false;
    }
}

/// Of several, the one next to us is believed.
fn parse_proto(value: &[u8]) -> Option<bool> {
    let last = tokens(value).last()?;
    if last.eq_ignore_ascii_case(b"https") {
        Some(true)
    } else {
        last.eq_ignore_ascii_case(b"http").then_some(false)
    }
}

fn starts_as_http2(value: &[u8]) -> bool {
    value
        .get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"h2"))
}

fn is_fit(id: &[u8]) -> bool {
    (20..=200).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=-".contains(byte))
}

/// How a client reached us, as the app is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// The other end of the connection, as text.
    pub(crate) peer: &'a str,
    pub(crate) is_https: bool,
    /// The public port they used.
    pub(crate) port: u16,
    /// The public port of HTTPS.
    pub(crate) https_port: u16,
    /// Whether what the peer says of the client before it is believed.
    pub(crate) is_believed: bool,
    /// When the request came, in milliseconds since 1970.
    pub(crate) unix_millis: u64,
}

/// A peer's address as it is passed on.
pub(crate) fn peer_text(peer: IpAddr) -> String {
    peer.to_canonical().to_string()
}

/// Where in a written head the log finds its values.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Places {
    pub(crate) method: Place,
    pub(crate) path: Place,
    pub(crate) request_id: Place,
    pub(crate) fwd: Place,
}

impl Places {
    /// So many bytes of the head were taken out at `at`, none of them of a place.
    pub(crate) fn close_gap(&mut self, at: usize, bytes: usize) {
        for place in [
            &mut self.method,
            &mut self.path,
            &mut self.request_id,
            &mut self.fwd,
        ] {
            if place.start as usize >= at {
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                place.start = place.start.saturating_sub(bytes);
                place.end = place.end.saturating_sub(bytes);
            }
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Place {
    start: u32,
    end: u32,
}

impl Place {
    pub(crate) fn of(self, head: &[u8]) -> &[u8] {
        head.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    fn push(head: &mut Vec<u8>, value: &[u8]) -> Self {
        let start = head.len();
        head.extend_from_slice(value);
        // A head is not as long as that.
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            start: place(start),
            end: place(head.len()),
        }
    }
}

/// Writes the head as a dyno gets it into `head`: without what was for this hop, with what the platform adds.
pub(crate) fn write<'a>(
    mut head: Vec<u8>,
    line: &Line<'a>,
    fields: impl Fields<'a>,
    terms: &Terms<'a>,
    framing: Framing,
    origin: &Origin<'_>,
) -> (Vec<u8>, Places) {
    let mut places = Places {
        method: Place::push(&mut head, line.method),
        ..Places::default()
    };
    head.push(b' ');
    places.path = Place::push(&mut head, line.path);
    head.extend_from_slice(b" HTTP/1.1\r\n");
    push_field(&mut head, b"Host", terms.host.unwrap_or_default());

    let (mut cookies, mut lengths) = (0, 0);
    fields.push_kept(&mut head, |name| match Field::of(name) {
        Field::Cookie => {
            cookies += 1;
            false
        }
        Field::ContentLength => {
            lengths += 1;
            false
        }
        Field::Host | Field::Expect | Field::RequestId | Field::ForwardedFor => false,
        Field::ForwardedProto | Field::ForwardedPort | Field::Ours | Field::Forged => false,
        field if field.is_of_the_hop() => false,
        field => !(terms.names_fields && field.may_be_named() && is_named(name, fields)),
    });
    if cookies > 0 {
        push_cookies(&mut head, fields);
    }
    head.extend_from_slice(b"X-Forwarded-For: ");
    places.fwd = push_forwarded_for(&mut head, fields, origin.peer);
    let (is_https, port) = reached_by(terms, origin);
    let proto: &[u8] = if is_https { b"https" } else { b"http" };
    head.extend_from_slice(b"\r\nX-Forwarded-Proto: ");
    head.extend_from_slice(proto);
    head.extend_from_slice(b"\r\nX-Forwarded-Port: ");
    push_decimal(&mut head, port.into());
    head.extend_from_slice(b"\r\nX-Request-Id: ");
    places.request_id = match terms.request_id {
        Some(given) => Place::push(&mut head, given),
        None => Place::push(&mut head, new_request_id(&mut [0; 36])),
    };
    head.extend_from_slice(b"\r\nX-Request-Start: ");
    push_decimal(&mut head, origin.unix_millis);
    head.extend_from_slice(b"\r\nVia: ");
    head.extend_from_slice(via(line.version).as_bytes());
    head.extend_from_slice(b"\r\n");
    if let Some(protocol) = terms.upgrade {
        push_field(&mut head, b"Connection", b"Upgrade");
        push_field(&mut head, b"Upgrade", protocol);
    }
    if let Some(key) = terms.websocket_key {
        push_field(&mut head, b"Sec-WebSocket-Key", key.as_bytes());
    }
    match framing {
        Framing::Chunked | Framing::UntilClose => {
            head.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        Framing::Length(length) => push_length(&mut head, length),
        Framing::Empty if lengths > 0 => push_length(&mut head, 0),
        Framing::Empty => {}
    }
    head.extend_from_slice(b"\r\n");
    (head, places)
}

/// Whether the client used TLS, and which port, by the word of the proxy in front where there is one.
pub(crate) fn reached_by(terms: &Terms<'_>, origin: &Origin<'_>) -> (bool, u16) {
    let said = terms.forwarded_https.filter(|_| origin.is_believed);
    let is_https = said.unwrap_or(origin.is_https);
    let usual = if is_https && !origin.is_https {
        origin.https_port
    } else {
        origin.port
    };
    let port = terms.forwarded_port.filter(|_| origin.is_believed);
    (is_https, port.unwrap_or(usual))
}

fn push_length(head: &mut Vec<u8>, length: u64) {
    head.extend_from_slice(b"Content-Length: ");
    push_decimal(head, length);
    head.extend_from_slice(b"\r\n");
}

fn is_named<'a>(name: &[u8], fields: impl Fields<'a>) -> bool {
    fields.each().any(|(field, value)| {
        Field::of(field) == Field::Connection
            && tokens(value).any(|token| token.eq_ignore_ascii_case(name))
    })
}

/// HTTP/2 clients may send a cookie a field; an HTTP/1.1 app expects one line.
fn push_cookies<'a>(head: &mut Vec<u8>, fields: impl Fields<'a>) {
    head.extend_from_slice(b"Cookie: ");
    let cookies = fields
        .each()
        .filter(|(name, _)| Field::of(name) == Field::Cookie);
    for (index, (_, value)) in cookies.enumerate() {
        if index > 0 {
            head.extend_from_slice(b"; ");
        }
        head.extend_from_slice(value);
    }
    head.extend_from_slice(b"\r\n");
}

/// Whatever list was given, and the real peer at its right.
fn push_forwarded_for<'a>(head: &mut Vec<u8>, fields: impl Fields<'a>, peer: &str) -> Place {
    let start = head.len();
    let given = fields
        .each()
        .filter(|(name, _)| Field::of(name) == Field::ForwardedFor);
    for (_, value) in given {
        head.extend_from_slice(value);
        head.extend_from_slice(b", ");
    }
    let place = Place::push(head, peer.as_bytes());
    Place {
        start: u32::try_from(start).unwrap_or(u32::MAX),
        ..place
    }
}

fn new_request_id(text: &mut [u8; 36]) -> &[u8] {
    let bytes = rand::Rng::random(&mut rand::rng());
    let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
    id.hyphenated().encode_lower(text);
    text
}

/// What a `Via` field says of us.
pub(crate) const fn via(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2.0 heroku-router",
        Version::HTTP_10 => "1.0 heroku-router",
        _ => "1.1 heroku-router",
    }
}

/// What a head that was refused may still tell the log: method, path and host, as far as they can be made out.
pub(crate) fn guess(bytes: &[u8]) -> Option<(Line<'_>, &[u8])> {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let (method, path) = (words.next()?, words.next()?);
    let is_word = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
    if !is_word(method) || !is_word(path) || method.len() > MAX_METHOD {
        return None;
    }
    let host = lines.find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        name.eq_ignore_ascii_case(b"host")
            .then(|| value[1..].trim_ascii())
    })?;
    let line = Line {
        method,
        authority: Some(host),
        path,
        version: Version::HTTP_11,
    };
    Some((line, host))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin<'static> = Origin {
        peer: "9.9.9.9",
        is_https: true,
        port: 443,
        https_port: 443,
        is_believed: false,
        unix_millis: 1_700_000_000_000,
    };

    fn read<R>(
        head: &str,
        with: impl FnOnce(Line<'_>, Lines<'_>, Terms<'_>) -> R,
    ) -> Result<R, Fault> {
        let head = head.replace('\n', "\r\n") + "\r\n";
        parse(head.as_bytes(), |line, headers| {
            let terms = Terms::of(&line, headers);
            with(line, headers, terms)
        })
    }

    fn sent(head: &str) -> String {
        read(head, |line, headers, terms| {
            let (head, places) = write(Vec::new(), &line, headers, &terms, terms.framing, &ORIGIN);
            assert_eq!(places.method.of(&head), line.method);
            assert_eq!(places.path.of(&head), line.path);
            String::from_utf8(head).unwrap()
        })
        .unwrap()
    }

    fn fault(head: &str) -> Option<Fault> {
        read(head, |_, _, terms| terms.fault).unwrap_or_else(Some)
    }

    #[test]
    fn a_dyno_is_told_what_heroku_tells_and_nothing_of_the_hop() {
        let sent = sent(
            "GET /path?query=1 HTTP/1.1\nhost: App.test:8080\nX-Request-ID: 0123456789abcdef0123\n\
             connection: close, X-Secret, host, Cookie\nX-Secret: 1\nKeep-Alive: timeout=5\nTE: trailers\n\
             X-Forwarded-For: 1.1.1.1\nx-forwarded-for: 2.2.2.2\nX-Forwarded-Proto: ftp\nX_Forwarded_For: 3.3.3.3\n\
             Via: 1.0 old\nAccept: */*\nCookie: a=1\n",
        );
        assert_eq!(
            sent,
            "GET /path?query=1 HTTP/1.1\r\nHost: App.test:8080\r\nVia: 1.0 old\r\nAccept: */*\r\nCookie: a=1\r\n\
             X-Forwarded-For: 1.1.1.1, 2.2.2.2, 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n\
             X-Request-Id: 0123456789abcdef0123\r\nX-Request-Start: 1700000000000\r\nVia: 1.1 heroku-router\r\n\r\n"
        );
    }

    #[test]
    fn a_proxy_that_is_believed_tells_how_the_client_came() {
        let plain = Origin {
            is_https: false,
            port: 80,
            is_believed: true,
            ..ORIGIN
        };
        for (said, expected) in [
            ("X-Forwarded-Proto: https\n", (true, 443)),
            (
                "X-Forwarded-Proto: http, HTTPS\nX-Forwarded-Port: 8443\n",
                (true, 8443),
            ),
            (
                "X-Forwarded-Proto: gopher\nX-Forwarded-Port: 99999\n",
                (false, 80),
            ),
            ("", (false, 80)),
        ] {
            let head = format!("GET / HTTP/1.1\nHost: a\n{said}");
            let reached = read(&head, |_, _, terms| {
                (reached_by(&terms, &plain), reached_by(&terms, &ORIGIN))
            });
            assert_eq!(reached, Ok((expected, (true, 443))), "{said}");
        }
    }

    #[test]
    fn a_body_is_framed_as_it_was_and_an_absolute_target_is_split() {
        let length = sent("POST http://b.test HTTP/1.1\nHost: a.test\nContent-Length: 05\n");
        assert!(length.starts_with("POST / HTTP/1.1\r\nHost: b.test\r\n"));
        assert!(length.ends_with("\r\nContent-Length: 5\r\n\r\n"));
        let none = sent("POST / HTTP/1.1\nHost: a.test\nContent-Length: 0\n");
        assert!(none.ends_with("\r\nContent-Length: 0\r\n\r\n"));
        let chunked =
            sent("POST / HTTP/1.1\nHost: a.test\nContent-Length: 5\nTransfer-Encoding: Chunked\n");
        assert!(chunked.ends_with("\r\nTransfer-Encoding: chunked\r\n\r\n"));
        assert!(!chunked.contains("Content-Length"));
    }

    #[test]
    fn only_a_request_without_a_body_may_switch_and_never_to_http2() {
        let upgrade = |head: &str| {
            read(head, |_, _, terms| {
                terms
                    .upgrade
                    .map(|to| String::from_utf8_lossy(to).into_owned())
            })
            .unwrap()
        };
        let head = "GET / HTTP/1.1\nHost: a\nConnection: keep-alive, Upgrade\nUpgrade: websocket\n";
        assert_eq!(upgrade(head).as_deref(), Some("websocket"));
        assert!(sent(head).contains("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"));
        for not in [
            head.replace("Connection", "X"),
            head.replace("websocket", "h2c"),
            head.replace("HTTP/1.1", "HTTP/1.0"),
            format!("{head}Content-Length: 1\n"),
        ] {
            assert_eq!(upgrade(&not), None, "{not}");
        }
    }

    #[test]
    fn a_connection_stays_unless_somebody_would_rather_not() {
        let stays = |head: &str| read(head, |_, _, terms| terms.stays).unwrap();
        assert!(stays("GET / HTTP/1.1\nHost: a\n"));
        assert!(!stays("GET / HTTP/1.1\nHost: a\nConnection: x, Close\n"));
        assert!(!stays("GET / HTTP/1.0\nHost: a\n"));
        assert!(stays("GET / HTTP/1.0\nHost: a\nConnection: Keep-Alive\n"));
        assert!(!stays(
            "POST / HTTP/1.1\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked\n"
        ));
    }

    #[test]
    fn what_breaks_the_limits_is_refused() {
        let long = "x".repeat(8192);
        assert_eq!(fault("GET / HTTP/1.1\nHost: a\n"), None);
        assert_eq!(
            fault(&format!("{} / HTTP/1.1\nHost: a\n", "M".repeat(128))),
            Some(Fault::BadHeader)
        );
        assert_eq!(
            fault(&format!("GET / HTTP/1.1\nHost: a\na: {long}\n")),
            Some(Fault::BadHeader)
        );
        assert_eq!(
            fault(&format!("GET /{long} HTTP/1.1\nHost: a\n")),
            Some(Fault::BadHeader)
        );
        let many = "h: 1\n".repeat(1001);
        assert_eq!(
            fault(&format!("GET / HTTP/1.1\nHost: a\n{many}")),
            Some(Fault::BadHeader)
        );
        let enough = "h: 1\n".repeat(999);
        assert_eq!(fault(&format!("GET / HTTP/1.1\nHost: a\n{enough}")), None);
        assert_eq!(
            fault("GET / HTTP/1.1\nHost: a\nExpect: coffee\n"),
            Some(Fault::BadExpect)
        );
        assert_eq!(
            fault("GET / HTTP/1.1\nHost: a\nExpect: 100-Continue\n"),
            None
        );
    }

    #[test]
    fn the_host_must_be_one_and_only_one() {
        assert_eq!(fault("GET / HTTP/1.1\n"), Some(Fault::BadHost));
        assert_eq!(
            fault("GET / HTTP/1.1\nHost: a\nHost: a\n"),
            Some(Fault::BadHost)
        );
        assert_eq!(fault("GET http://a/ HTTP/1.1\nHost: b\n"), None);
        assert_eq!(
            fault("CONNECT a:80 HTTP/1.1\nHost: a\n"),
            Some(Fault::BadMethod)
        );
    }

    #[test]
    fn a_clients_request_id_is_kept_only_if_it_is_fit() {
        for (given, kept) in [
            ("a".repeat(20), true),
            ("a".repeat(19), false),
            ("a".repeat(201), false),
            (format!("{} x", "a".repeat(20)), false),
        ] {
            let sent = sent(&format!("GET / HTTP/1.1\nHost: a\nX-Request-Id: {given}\n"));
            let line = format!("\r\nX-Request-Id: {given}\r\n");
            assert_eq!(sent.contains(&line), kept, "{given}");
            assert_eq!(sent.matches("X-Request-Id").count(), 1);
        }
    }

    #[test]
    fn a_refused_head_still_tells_whose_it_was() {
        let head = b"GET /x HTTP/1.1\r\nHost: a.test\r\nbad";
        let (line, host) = guess(head).unwrap();
        assert_eq!(
            (line.method, line.path, host),
            (&b"GET"[..], &b"/x"[..], &b"a.test"[..])
        );
        assert!(guess(b"\x16\x03\x01").is_none());
    }
}
