//! The same bytes read by us, by hyper, and by Node (llhttp): what we take, the others read as the same request, or refuse
//! for a reason that is named here; and what we pass on, all of them read as one request and nothing else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::AsyncWriteExt as _;

use super::{Seen, Taken, requests};

/// Somebody else's parser.
trait Witness {
    fn read(&mut self, bytes: &[u8]) -> Vec<Seen>;
}

struct Hyper(tokio::runtime::Runtime);

impl Hyper {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Self(runtime.unwrap())
    }
}

impl Witness for Hyper {
    fn read(&mut self, bytes: &[u8]) -> Vec<Seen> {
        let all = Arc::new(Mutex::new(Vec::new()));
        let seen = all.clone();
        self.0.block_on(async {
            let (mut client, server) = tokio::io::duplex(1 << 20);
            client.write_all(bytes).await.unwrap();
            client.shutdown().await.unwrap();
            let service = service_fn(move |request: Request<Incoming>| {
                let seen = seen.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    // A body that breaks off was no request.
                    if let Ok(body) = body.collect().await {
                        let fields = parts.headers.iter();
                        let mut fields: Vec<_> = fields
                            .map(|(name, value)| {
                                (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec())
                            })
                            .collect();
                        fields.sort();
                        seen.lock().unwrap().push(Seen {
                            method: parts.method.as_str().into(),
                            target: parts.uri.to_string().into(),
                            fields,
                            body: body.to_bytes().to_vec(),
                        });
                    }
                    Ok::<_, std::convert::Infallible>(Response::new(Empty::<&[u8]>::new()))
                }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .half_close(true)
                .max_headers(2_000)
                .serve_connection(TokioIo::new(server), service)
                .await;
        });
        std::mem::take(&mut *all.lock().unwrap())
    }
}

struct Node {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Node {
    fn start() -> Self {
        let started = Command::new("node")
            .args(["-e", include_str!("witness.js")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut process = started.expect("node is needed as a witness (Debian: nodejs)");
        Self {
            to: process.stdin.take().unwrap(),
            from: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Witness for Node {
    fn read(&mut self, bytes: &[u8]) -> Vec<Seen> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        self.to.write_all(&[&length, bytes].concat()).unwrap();
        self.to.flush().unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        let all: Vec<serde_json::Value> = serde_json::from_str(&line).expect("node has ended");
        all.iter().map(seen_by_node).collect()
    }
}

fn seen_by_node(request: &serde_json::Value) -> Seen {
    let bytes = |value: &serde_json::Value| -> Vec<u8> {
        let text = value.as_str().unwrap().chars();
        text.map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
    };
    let fields = request["fields"].as_array().unwrap();
    let mut fields: Vec<_> = fields
        .chunks(2)
        .map(|field| (bytes(&field[0]).to_ascii_lowercase(), bytes(&field[1])))
        .collect();
    fields.sort();
    Seen {
        method: bytes(&request["method"]),
        target: bytes(&request["target"]),
        fields,
        body: bytes(&request["body"]),
    }
}

/// Why another may refuse what we take. Everything else is a failure of one of us, and everything that is read differently.
fn is_refused_for_a_reason(seen: &Seen, all: &[u8], witness: &str) -> bool {
    let is_ascii = |bytes: &[u8]| bytes.iter().all(u8::is_ascii);
    match witness {
        // http::Uri takes fewer characters than browsers send.
        "hyper" => seen.target.iter().any(|byte| !is_uri(*byte)) || !is_ascii(&seen.target),
        "node" => {
            let known = [
                "GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE",
            ];
            // llhttp knows its methods by name, and takes length and chunks together for an attack; we take the chunks, do not
            // pass the length on, and close.
            let method = std::str::from_utf8(&seen.method).unwrap_or_default();
            let has = |name: &[u8]| seen.fields.iter().any(|(field, _)| field == name);
            !known.contains(&method)
                || !is_ascii(&seen.target)
                || (has(b"content-length") && has(b"transfer-encoding"))
                // It reads an extension of a chunk by a grammar; we throw it away.
                || (has(b"transfer-encoding") && all.contains(&b';'))
                // A tab before the end of a length's line is white space by RFC 9110, 5.6.3, and not for it.
                || (has(b"content-length") && all.windows(2).any(|two| two == b"\t\r"))
                // Nor does it take what would frame a message as a trailer; we throw all of a request's away.
                || (has(b"transfer-encoding") && frames_behind_it(seen, all))
        }
        _ => false,
    }
}

/// Whether a length or a coding stands somewhere else than in its head.
fn frames_behind_it(seen: &Seen, all: &[u8]) -> bool {
    let all = all.to_ascii_lowercase();
    [&b"content-length:"[..], b"transfer-encoding:"]
        .iter()
        .any(|name| {
            let said = all.windows(name.len()).filter(|some| some == name).count();
            let fields = seen.fields.iter();
            said > fields
                .filter(|(field, _)| field == &name[..name.len() - 1])
                .count()
        })
}

const fn is_uri(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(
            byte,
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
        )
}

/// The same, as far as both can tell: `http::Uri` writes an absolute target its own way.
fn is_same(ours: &Seen, theirs: &Seen, witness: &str) -> bool {
    let is_absolute = !ours.target.starts_with(b"/");
    let target = ours.target == theirs.target || (witness == "hyper" && is_absolute);
    target && ours.method == theirs.method && told(ours) == told(theirs) && ours.body == theirs.body
}

/// The fields, without a length that chunks make void: hyper takes it off, as we do.
fn told(seen: &Seen) -> Vec<&(Vec<u8>, Vec<u8>)> {
    let has_chunks = seen
        .fields
        .iter()
        .any(|(name, _)| name == b"transfer-encoding");
    let fields = seen.fields.iter();
    fields
        .filter(|(name, _)| !has_chunks || name != b"content-length")
        .collect()
}

/// What one of the others makes of it that differs.
fn compare(
    name: &str,
    witness: &mut dyn Witness,
    bytes: &[u8],
    ours: &[Taken],
) -> Result<(), String> {
    let theirs = witness.read(bytes);
    for (number, taken) in ours.iter().enumerate() {
        match theirs.get(number) {
            Some(theirs) if is_same(&taken.seen, theirs, name) => {}
            // Behind what it has refused there is nothing to compare.
            None if is_refused_for_a_reason(&taken.seen, bytes, name) => break,
            theirs => {
                return Err(format!(
                    "{name} at {number}: {theirs:?}, not {:?}",
                    taken.seen
                ));
            }
        }
        // What follows is of another protocol, unless the app declines.
        if taken
            .seen
            .fields
            .iter()
            .any(|(field, _)| field == b"upgrade")
        {
            break;
        }
    }
    for Taken { seen, sent } in ours {
        let read = witness.read(sent);
        let is_one = match read.as_slice() {
            [one] => {
                one.method == seen.method && one.body == seen.body && !is_ambiguous(&one.fields)
            }
            [] => is_refused_for_a_reason(seen, sent, name),
            _ => false,
        };
        if !is_one {
            let sent = String::from_utf8_lossy(sent);
            return Err(format!(
                "{name} of what was passed on: {read:?} of {sent:?}"
            ));
        }
    }
    Ok(())
}

fn is_ambiguous(fields: &[(Vec<u8>, Vec<u8>)]) -> bool {
    let count = |wanted: &[u8]| fields.iter().filter(|(name, _)| name == wanted).count();
    count(b"content-length") + count(b"transfer-encoding") > 1 || count(b"host") != 1
}

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: b.test\r\n\r\n";

/// The parts of requests: those that nobody would doubt, and others.
const METHODS: (&[&str], &[&str]) = (
    &["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE"],
    &["BREW", "get", "M-X", "G=T"],
);
const TARGETS: (&[&str], &[&str]) = (
    &["/", "/a?b=c", "//x", "/%00", "/;x", "/a/../b"],
    &[
        "*",
        "http://a.test/x",
        "https://a.test",
        "/a#b",
        "/\u{e9}",
        "/a|b",
        "?x",
        "/a\tb",
        "http://",
    ],
);
const VERSIONS: (&[&str], &[&str]) = (
    &["HTTP/1.1"],
    &["HTTP/1.0", "HTTP/1.2", "http/1.1", "HTTP/1.1 "],
);
const FIELDS: (&[&str], &[&str]) = (
    &[
        "X: y",
        "Cookie: a=b",
        "Connection: keep-alive",
        "Connection: close",
        "X-Forwarded-For: 192.0.2.1",
        "TE: trailers",
        "Expect: 100-continue",
        "Connection: x",
        "Upgrade: websocket",
        "X-Request-Id: 12345678901234567890",
        "X: \u{e9}",
        "X:y",
        "X:\ty \t",
        "X:",
        "Trailer: x",
        "Keep-Alive: 5",
        "Connection: upgrade",
        "X!#$%&'*+-.^_`|~: y",
    ],
    &[
        "Content-Length: 3",
        "Content-Length: 0",
        "Content-Length: 03",
        "Content-Length: +3",
        "Content-Length: 3, 3",
        "Content-Length : 3",
        "Content-Length: 3 ",
        "Content_Length: 9",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: Chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: \tchunked",
        "transfer-encoding:chunked",
        "Transfer_Encoding: chunked",
        "Host: a.test",
        "Host: b.test",
        ": x",
        "X",
        "X\r\n y",
        "X: a\r\n b",
        "X: \x7f",
        "X: \0",
        "X: a\rb",
        "X y: z",
        "Expect: x",
        "Connection: content-length",
        "Connection: host",
        "Connection: transfer-encoding",
    ],
);
const LINE_ENDS: (&[&str], &[&str]) = (&["\r\n"], &["\n", " \r\n", "\r\r\n", "\r\n\r\n"]);
/// Fields, and the body that they announce.
type Framed = (&'static str, &'static str);

const FRAMED: (&[Framed], &[Framed]) = (
    &[
        ("", ""),
        ("Content-Length: 3\r\n", "abc"),
        ("Content-Length: 0\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        (
            "Transfer-Encoding: chunked\r\n",
            "03\r\nabc\r\nA\r\n0123456789\r\n00\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "3;x=y\r\nabc\r\n0;z\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\nX: y\r\nZ:\r\n\r\n",
        ),
        (
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
        ),
    ],
    &[
        ("", "abc"),
        ("Content-Length: 5\r\n", "abc"),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
        ("Transfer-Encoding: chunked\r\n", "abc"),
        ("Transfer-Encoding: chunked\r\n", "3\nabc\n0\n\n"),
        ("Transfer-Encoding: chunked\r\n", "3 \r\nabc\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n"),
        ("Transfer-Encoding: chunked\r\n", "3\r\nabcd\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\nabc"),
        (
            "Transfer-Encoding: chunked\r\n",
            "3;\"\r\n\"\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "3\r\nabc\r\n0\r\n X: y\r\n\r\n",
        ),
    ],
);

/// Of the first ones mostly.
fn mostly<T: Copy + std::fmt::Debug + 'static>(
    (good, odd): (&'static [T], &'static [T]),
) -> impl Strategy<Value = T> {
    prop_oneof![12 => select(good), 1 => select(odd)]
}

/// A request that may be one, and may be two, or none.
fn candidates() -> impl Strategy<Value = Vec<u8>> {
    let field =
        (mostly(FIELDS), mostly(LINE_ENDS)).prop_map(|(field, end)| format!("{field}{end}"));
    let fields = prop::collection::vec(field, 0..4);
    let line = (mostly(METHODS), mostly(TARGETS), mostly(VERSIONS));
    let whole = (line, mostly(FRAMED), fields).prop_map(|(line, (framing, body), fields)| {
        let ((method, target, version), fields) = (line, fields.concat());
        let head = format!("{method} {target} {version}\r\nHost: a.test\r\n{framing}{fields}\r\n");
        format!("{head}{body}{NEXT}").into_bytes()
    });
    let odd = select(b"\r\n\t :;,\0\x0b\x0c0a3=/%\"\x7f\x80\xff_-".to_vec());
    let edit = (any::<prop::sample::Index>(), 0..3u8, odd);
    let edits = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(edit, 1..4),
    ];
    (whole, edits).prop_map(|(mut bytes, edits)| {
        for (at, what, byte) in edits {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

#[test]
fn what_we_take_others_read_the_same_and_what_we_pass_on_is_one_request() {
    let (mut hyper, mut node) = (Hyper::new(), Node::start());
    // Neither the witnesses nor the proptest are to be trusted blindly: a plain one is seen by all.
    let plain = format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc{NEXT}");
    for witness in [&mut hyper as &mut dyn Witness, &mut node] {
        assert_eq!(witness.read(plain.as_bytes()).len(), 2);
    }
    let (taken, tried) = (std::cell::Cell::new(0_u32), std::cell::Cell::new(0_u32));
    let witnesses = std::cell::RefCell::new((hyper, node));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: super::cases(4_000),
        source_file: Some(file!()),
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&candidates(), |bytes| {
        let ours = requests(&bytes);
        tried.set(tried.get() + 1);
        taken.set(taken.get() + u32::from(!ours.is_empty()));
        let (hyper, node) = &mut *witnesses.borrow_mut();
        for (name, witness) in [("hyper", hyper as &mut dyn Witness), ("node", node)] {
            let text = String::from_utf8_lossy(&bytes);
            let compared = compare(name, witness, &bytes, &ours);
            compared.map_err(|why| TestCaseError::fail(format!("{why}\nin {text:?}")))?;
        }
        Ok(())
    });
    if let Err(failed) = outcome {
        panic!("{failed}");
    }
    // Nor is a test that compares nothing one.
    assert!(
        taken.get() > tried.get() / 3,
        "{} of {}",
        taken.get(),
        tried.get()
    );
}
