//! What nobody should send, to every endpoint there is: an answer in Heroku's form comes of it, no 5xx and no panic.
//!
//! The same each time, unless `PAAS_FUZZ_CASES` asks for more (`tests/run --fuzz`).

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::harness::{Answer, Platform, User};
use crate::provider::Provider;
use crate::schema;
use crate::world::id_of;

/// Of each endpoint.
const CASES: u64 = 12;
/// They hold the line, or are for programs of the platform's own.
const SKIPPED: [&str; 4] = ["/internal/", "/streams/", "/attach/", "/auth/cli/"];

/// What bodies of one endpoint or another have.
const KEYS: &[&str] = &[
    "acm",
    "action",
    "$paas",
    "addon",
    "addon_attachment",
    "addon_service",
    "admin",
    "api",
    "app",
    "args",
    "attach",
    "attachment",
    "authorization",
    "autodestroy",
    "branch",
    "build",
    "buildpack",
    "buildpacks",
    "canary",
    "certificate_chain",
    "checksum",
    "code",
    "command",
    "commit",
    "config",
    "confirm",
    "count",
    "description",
    "dyno",
    "email",
    "enabled",
    "env",
    "environments",
    "existing",
    "expires_in",
    "feature",
    "force",
    "force_no_tty",
    "formation",
    "generation",
    "grant_type",
    "host",
    "hostname",
    "id",
    "in",
    "include",
    "level",
    "lines",
    "location",
    "maintenance",
    "message",
    "name",
    "namespace",
    "new_password",
    "owner",
    "password",
    "permissions",
    "pipeline",
    "plan",
    "port",
    "private_key",
    "process_types",
    "public_key",
    "quantity",
    "rate_limit",
    "recipient",
    "region",
    "release",
    "reservable",
    "routes",
    "scope",
    "secret",
    "size",
    "slug",
    "sni_endpoint",
    "source",
    "source_blob",
    "stack",
    "stage",
    "stale_days",
    "tail",
    "targets",
    "time_to_live",
    "token",
    "type",
    "unavailable",
    "updates",
    "url",
    "user",
    "version",
    "weight",
    "FOO",
    "__proto__",
    "",
];

const TEXTS: &[&str] = &[
    "",
    " ",
    "web",
    "myapp",
    "acme-pg",
    "acme-pg:dev",
    "mydb",
    "~",
    "0",
    "-1",
    "1",
    "v1",
    "heroku-24",
    "heroku/python",
    "standard-1x",
    "staging",
    "admin@example.com",
    "a@b",
    "https://example.com/x.git",
    "http://127.0.0.1:1/",
    "file:///etc/passwd",
    "*.example.com",
    "xn--n3h.example.com",
    "пример.рф",
    "../../etc/passwd",
    "a\u{0}b",
    "\u{202e}evil",
    "💥💥💥",
    "a\r\nSet-Cookie: x=y",
    "'; DROP TABLE apps; --",
    "{{7*7}}",
    "$(id)",
    "%s%n",
    "01234567-89ab-cdef-0123-456789abcdef",
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    "ssh-rsa AAAA x",
    "ssh-ed25519",
    "NaN",
    "null",
];

const RANGES: &[&str] = &[
    "",
    "id ..",
    "id ..; max=0",
    "id ..; max=1001",
    "id ..; max=-1",
    "name a..b; max=1,order=desc",
    "version ]4..; max=2",
    "..",
    "id",
    "; ; ;",
    "id ]..[;",
    "nonsense ..",
    "id ..; max=99999999999999999999",
    "\u{7f}",
    "id ..; order=sideways",
];

const ACCEPTS: &[&str] = &[
    "application/vnd.heroku+json; version=3",
    "application/vnd.heroku+json; version=3.sdk",
    "*/*",
    "",
    ";;;",
    "application/vnd.heroku+json; version=99999999999999999999",
    "text/html, \u{7f}",
    "application/json;q=nan",
];

fn text(rng: &mut StdRng) -> String {
    match rng.random_range(0..12) {
        0 => "x".repeat(rng.random_range(200..70_000)),
        1 => (0..rng.random_range(0..40))
            .map(|_| char::from_u32(rng.random_range(0..0x3000)).unwrap_or('?'))
            .collect(),
        _ => (*TEXTS.choose(rng).unwrap()).to_owned(),
    }
}

fn value(rng: &mut StdRng, depth: u32) -> Value {
    match rng.random_range(0..11) {
        0 => Value::Null,
        1 => json!(rng.random::<bool>()),
        2 => json!(rng.random_range(-2..3)),
        3 => json!(
            *[i64::MIN, i64::MAX, 1 << 32, 65_536, 100_000]
                .choose(rng)
                .unwrap()
        ),
        4 => json!(*[0.5, -0.0, 1e308].choose(rng).unwrap()),
        5 if depth > 0 => (0..rng.random_range(0..4))
            .map(|_| value(rng, depth - 1))
            .collect(),
        6 | 7 if depth > 0 => object(rng, depth - 1),
        _ => json!(text(rng)),
    }
}

fn object(rng: &mut StdRng, depth: u32) -> Value {
    let mut object = Map::new();
    for _ in 0..rng.random_range(0..6) {
        let key = match rng.random_range(0..10) {
            0 => text(rng),
            _ => (*KEYS.choose(rng).unwrap()).to_owned(),
        };
        object.insert(key, value(rng, depth));
    }
    Value::Object(object)
}

fn body(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..10) {
        0 => Vec::new(),
        1 => (0..rng.random_range(0..300))
            .map(|_| rng.random())
            .collect(),
        2 => "[".repeat(rng.random_range(1..5000)).into_bytes(),
        3 => value(rng, 3).to_string().into_bytes(),
        4 => {
            let mut cut = object(rng, 3).to_string().into_bytes();
            cut.truncate(rng.random_range(0..=cut.len()));
            cut
        }
        _ => object(rng, 3).to_string().into_bytes(),
    }
}

/// An endpoint's path with what is there and what cannot be.
fn path(rng: &mut StdRng, template: &str) -> String {
    template
        .split('/')
        .map(|segment| match segment {
            "{app}" if rng.random_ratio(3, 4) => "myapp".to_owned(),
            "{addon}" if rng.random_ratio(3, 4) => "mydb".to_owned(),
            "{service}" if rng.random_ratio(1, 2) => "acme-pg".to_owned(),
            "{type}" if rng.random_ratio(1, 2) => "web".to_owned(),
            "{release}" if rng.random_ratio(1, 2) => "1".to_owned(),
            _ if segment.starts_with('{') => {
                let text: String = text(rng).chars().take(3000).collect();
                match text.as_str() {
                    // What would make it another path.
                    "" | "." | ".." => "%20".to_owned(),
                    // The schema knows people by `~` alone.
                    "admin@example.com" if segment == "{user}" => "~".to_owned(),
                    // Nobody is to lose the token that he asks with.
                    "~" if template.starts_with("/oauth") => "%7F".to_owned(),
                    text => percent(text),
                }
            }
            _ => segment.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("/")
}

fn percent(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| match is_plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// What is larger may be hung up on before it was read, where it is refused without a look.
const SMALL: usize = 16 * 1024;

async fn send(
    by: &User,
    method: &Method,
    path: &str,
    body: Vec<u8>,
    headers: [(&str, &str); 3],
) -> Option<Answer> {
    let is_small = body.len() <= SMALL;
    let mut request = by
        .http
        .request(method.clone(), format!("http://{}{path}", by.addr))
        .bearer_auth(&by.token)
        // A connection with a body that nobody read ends after its answer, and the next request would meet that.
        .header("connection", "close")
        .body(body);
    for (name, value) in headers {
        // Not all of them may be said at all.
        if let Ok(value) = reqwest::header::HeaderValue::from_bytes(value.as_bytes()) {
            request = request.header(name, value);
        }
    }
    let response = tokio::time::timeout(Duration::from_secs(30), request.send());
    let response = match response.await.unwrap() {
        Err(error) if !is_small && error.is_request() => return None,
        response => response.unwrap(),
    };
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    Some(Answer {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        text,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_can_be_sent_makes_it_fail() {
    let cases = std::env::var("PAAS_FUZZ_CASES")
        .ok()
        .map(|cases| cases.parse::<u64>().unwrap());
    let seed = match cases {
        Some(_) => rand::random(),
        None => 1,
    };
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let platform = Platform::start().await;
    let provider = Provider::start().await;
    let rules = controller::rules();
    let endpoints: Vec<_> = rules
        .iter()
        .filter(|(_, path, _)| !SKIPPED.iter().any(|skipped| path.starts_with(skipped)))
        .collect();
    for round in 0..cases.map_or(CASES, |cases| cases.div_ceil(endpoints.len() as u64)) {
        // As the last round has left it, or anew.
        let _ = platform.admin.post("/apps", json!({"name": "myapp"})).await;
        let _ = platform
            .admin
            .post("/addon-services", provider.manifest())
            .await;
        let addon = json!({"plan": "acme-pg", "name": "mydb"});
        let _ = platform.admin.post("/apps/myapp/addons", addon).await;
        let app = platform.admin.get("/apps/myapp").await;
        if round % 4 == 0 && app.status == 200 {
            platform
                .push(
                    id_of(&app.body),
                    &platform.admin,
                    &[("web", "serve"), ("worker", "work")],
                )
                .await;
        }
        for (method, template, _) in &endpoints {
            let path = path(&mut rng, template);
            let sent = match *method == Method::GET {
                true => Vec::new(),
                false => body(&mut rng),
            };
            let headers = [
                ("range", *RANGES.choose(&mut rng).unwrap()),
                ("accept", *ACCEPTS.choose(&mut rng).unwrap()),
                (
                    "content-type",
                    *["application/json", "text/plain", ""]
                        .choose(&mut rng)
                        .unwrap(),
                ),
            ];
            let shown = String::from_utf8_lossy(&sent[..sent.len().min(2000)]).into_owned();
            let answer = send(&platform.admin, method, &path, sent, headers).await;
            let Some(answer) = answer else { continue };
            let status = answer.status.as_u16();
            println!("{method} {path} {headers:?} {shown} -> {status}");
            // There is no builder here, and what needs one says so.
            let needs_builder = answer.text.contains("builder");
            assert!(
                status < 500 || (status == 503 && needs_builder),
                "{}",
                answer.text
            );
            if status != 206 && !(status == 200 && answer.headers.contains_key("next-range")) {
                schema::check(method, &path, &answer);
            }
        }
    }
    platform.admin.get("/account").await.expect(200);
    platform.stop().await;
}
