//! Logging in at an identity provider: a real one, of the npm registry, in a process of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use controller::OidcConfig;
use model::Secret;
use reqwest::{Method, StatusCode};
use serde_json::json;
use store::key;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use url::Url;

use crate::browser_login::{Browser, Page, Terminal};
use crate::harness::{Platform, User};
use crate::second_factor::enable;

/// Where `tests/run` installs it.
fn installed() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/oidc-provider");
    let provider = root.join("node_modules/oidc-provider");
    assert!(
        provider.exists(),
        "the OpenID Connect provider is missing: tests/run installs it"
    );
    provider
}

struct Provider {
    issuer: String,
    http: reqwest::Client,
    _process: Child,
    /// It dies of a closed pipe.
    _words: Lines<BufReader<ChildStdout>>,
}

impl Provider {
    async fn start(redirect: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/oidc-provider.mjs");
        let newer = installed().join("../.bin/node");
        let node = if newer.exists() { newer } else { "node".into() };
        let mut process = Command::new(node)
            .arg(script)
            .arg(installed())
            .arg(redirect)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let issuer = lines.next_line().await.unwrap().unwrap();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(controller_api::tls::client_config(None).unwrap())
            .build()
            .unwrap();
        Self {
            issuer,
            http,
            _process: process,
            _words: lines,
        }
    }

    /// Logs in there, as `name`, `address+group,group` or `name/address`, and agrees; the address that it sends the browser back to.
    async fn log_in(&self, start: &str, login: &str) -> Url {
        let (address, groups) = login.split_once('+').unwrap_or((login, ""));
        let (of, address) = address.split_once('/').unwrap_or((address, address));
        let name = of.split('@').next().unwrap();
        let email = match address.contains('@') {
            true => address.to_owned(),
            false => format!("{address}@example.com"),
        };
        let mut person: Url = format!("{}/person", self.issuer).parse().unwrap();
        person.query_pairs_mut().extend_pairs([
            ("sub", name),
            ("email", &email),
            ("groups", groups),
        ]);
        self.http.get(person).send().await.unwrap();
        let mut visit = Visit {
            http: self.http.clone(),
            cookies: BTreeMap::new(),
        };
        let mut next: Url = start.parse().unwrap();
        for _ in 0..12 {
            if !next.as_str().starts_with(&self.issuer) {
                return next;
            }
            let at = next.clone();
            next = match visit.go(Method::GET, &at, "").await {
                Ok(to) => to,
                Err(page) => {
                    let prompt = if page.contains("value=\"login\"") {
                        format!("prompt=login&login={name}&password=x")
                    } else {
                        "prompt=consent".to_owned()
                    };
                    visit.go(Method::POST, &at, &prompt).await.unwrap()
                }
            };
        }
        panic!("the provider leads in a circle: {next}");
    }
}

/// A browser, as far as the provider needs one.
struct Visit {
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

impl Visit {
    /// Where it leads next, or the page that is shown there.
    async fn go(&mut self, method: Method, at: &Url, form: &str) -> Result<Url, String> {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        let request = self
            .http
            .request(method, at.clone())
            .header("cookie", cookies.join("; "))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        let response = request.send().await.unwrap();
        for set in response.headers().get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        match response.headers().get("location") {
            Some(to) => Ok(at.join(to.to_str().unwrap()).unwrap()),
            None => Err(response.text().await.unwrap()),
        }
    }
}

/// A platform whose people prove themselves there.
async fn start(configure: impl FnOnce(&mut OidcConfig)) -> (Platform, Provider) {
    // The provider is to know the platform's address, and the platform the provider's: of a listener that is bound already.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let redirect = format!("http://api.paas.localhost:{port}/auth/callback");
    let provider = Provider::start(&redirect).await;
    let mut oidc = oidc_config(provider.issuer.clone());
    configure(&mut oidc);
    let platform = Platform::start_at(listener, |config| config.oidc = Some(oidc)).await;
    (platform, provider)
}

fn oidc_config(issuer: String) -> OidcConfig {
    OidcConfig {
        issuer,
        client_id: "paas".to_owned(),
        client_secret: Secret::from("a secret of the tests' own"),
        scopes: ["email", "profile", "groups"].map(str::to_owned).into(),
        groups_claim: "groups".to_owned(),
        allowed_domains: Vec::new(),
        allowed_groups: Vec::new(),
        admin_group: None,
        create_accounts: false,
        ca: None,
    }
}

/// Goes to the provider from a terminal's page, and comes back.
async fn come_by(
    provider: &Provider,
    browser: &mut Browser,
    terminal: &Terminal,
    login: &str,
) -> Page {
    let asked = browser.get(&terminal.place).await;
    assert!(asked.text.contains("/provider\""), "{}", asked.text);
    let sent = browser.get(&format!("{}/provider", terminal.place)).await;
    let start = sent.location().to_owned();
    for wanted in [
        "code_challenge_method=S256",
        "nonce=",
        "state=",
        "scope=openid",
    ] {
        assert!(start.contains(wanted), "{start}");
    }
    let back = provider.log_in(&start, login).await;
    let path = format!("{}?{}", back.path(), back.query().unwrap());
    let answer = browser.get(&path).await;
    if answer.status != StatusCode::SEE_OTHER {
        return answer;
    }
    let place = answer.location().to_owned();
    browser.get(&place).await
}

/// Gives the password of the account that is to be linked; the page that comes then.
async fn link(
    browser: &mut Browser,
    asked: &Page,
    terminal: &Terminal,
    password: &str,
    code: &str,
) -> Page {
    let form = asked.form_token();
    let fields = [
        ("form", form.as_str()),
        // Whose account it is was decided before.
        ("email", "admin@example.com"),
        ("password", password),
        ("code", code),
    ];
    let answer = browser.post(&terminal.place, &fields).await;
    if answer.status != StatusCode::SEE_OTHER {
        return answer;
    }
    browser.get(&terminal.place).await
}

async fn token_of(browser: &mut Browser, terminal: &Terminal, user: &User) -> User {
    let done = browser.decide(&terminal.place, "approve").await;
    assert!(done.text.contains("is logged in"), "{}", done.text);
    let told = terminal.wait().await.await.unwrap();
    user.with_token(told["access_token"].as_str().unwrap())
}

#[tokio::test]
async fn who_is_known_here_logs_in_there_and_stays_the_same_by_subject() {
    let (platform, provider) = start(|_| {}).await;
    let ann = platform.user("ann").await;
    let terminal = Terminal::begin(&platform).await;
    let mut browser = Browser::new(&ann);
    let asked = come_by(&provider, &mut browser, &terminal, "ann").await;
    assert!(asked.text.contains("Link your account"), "{}", asked.text);
    let asked = link(&mut browser, &asked, &terminal, &ann.password, "").await;
    assert!(asked.text.contains("Is it yours"), "{}", asked.text);
    assert!(asked.text.contains("ann@example.com"));
    let token = token_of(&mut browser, &terminal, &ann).await;
    assert_eq!(token.get("/account").await.expect(200)["id"], json!(ann.id));

    // Her address there is another now; she is not.
    let terminal = Terminal::begin(&platform).await;
    let asked = come_by(
        &provider,
        &mut browser,
        &terminal,
        "ann@married.example.org",
    )
    .await;
    assert!(asked.text.contains("ann@example.com"), "{}", asked.text);

    // Strangers are told to be invited, and those without a verified address nothing.
    for (login, why) in [
        ("eve", "Ask an administrator"),
        ("unverified", "not verified"),
    ] {
        let terminal = Terminal::begin(&platform).await;
        let refused = come_by(&provider, &mut Browser::new(&ann), &terminal, login).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert!(refused.text.contains(why), "{}", refused.text);
    }
}

#[tokio::test]
async fn newcomers_of_the_right_groups_get_accounts_and_administrators_are_such_by_theirs() {
    let (platform, provider) = start(|oidc| {
        oidc.create_accounts = true;
        oidc.allowed_domains = vec!["example.com".to_owned()];
        oidc.allowed_groups = vec!["developers".to_owned(), "operators".to_owned()];
        oidc.admin_group = Some("operators".to_owned());
    })
    .await;
    let nobody = platform.nobody();
    for (login, why) in [
        ("eve", "none of the groups"),
        ("eve@evil.org+developers", "domain"),
    ] {
        let terminal = Terminal::begin(&platform).await;
        let refused = come_by(&provider, &mut Browser::new(&nobody), &terminal, login).await;
        assert!(refused.text.contains(why), "{}", refused.text);
    }
    for (login, status) in [
        ("dora+developers", 403),
        ("dora+operators", 200),
        ("dora+developers", 403),
    ] {
        let terminal = Terminal::begin(&platform).await;
        let mut browser = Browser::new(&nobody);
        come_by(&provider, &mut browser, &terminal, login).await;
        let dora = token_of(&mut browser, &terminal, &nobody).await;
        let account = dora.get("/account").await.expect(200);
        assert_eq!(account["email"], "dora@example.com");
        assert_eq!(account["name"], "dora of the provider");
        assert_eq!(account["federated"], true);
        assert_eq!(dora.get("/nodes").await.status.as_u16(), status);
    }
    // There is no password that lets her in.
    for password in ["", "!", "x"] {
        let dora = User {
            email: "dora@example.com".to_owned(),
            ..nobody.clone()
        };
        dora.log_in(password).await.error(401);
    }
}

#[tokio::test]
async fn an_invitation_is_taken_up_by_logging_in_there() {
    let (platform, provider) = start(|_| {}).await;
    let invite = json!({"email": "ivy@example.com", "is_admin": true});
    platform
        .admin
        .post("/account-invitations", invite)
        .await
        .expect(201);
    let terminal = Terminal::begin(&platform).await;
    let mut browser = Browser::new(&platform.nobody());
    come_by(&provider, &mut browser, &terminal, "ivy").await;
    let ivy = token_of(&mut browser, &terminal, &platform.nobody()).await;
    ivy.get("/nodes").await.expect(200);
    let left = platform.admin.get("/account-invitations").await.expect(200);
    assert_eq!(left, json!([]));
}

#[tokio::test]
async fn only_the_browser_that_went_comes_back_and_once() {
    let (platform, provider) = start(|_| {}).await;
    let ann = platform.user("ann").await;
    let terminal = Terminal::begin(&platform).await;
    let mut browser = Browser::new(&ann);
    let sent = browser.get(&format!("{}/provider", terminal.place)).await;
    let back = provider.log_in(sent.location(), "ann").await;
    let path = format!("{}?{}", back.path(), back.query().unwrap());
    // Somebody is led to follow another's way back.
    let led = Browser::new(&ann).get(&path).await;
    assert_eq!(led.status, StatusCode::NOT_FOUND);
    for bent in [
        path.replace("state=", "state=x"),
        path.split("&state=").next().unwrap().to_owned(),
        "/auth/callback".to_owned(),
    ] {
        let answer = browser.clone().get(&bent).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{bent}");
    }
    assert_eq!(
        browser.clone().get(&path).await.status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(browser.get(&path).await.status, StatusCode::NOT_FOUND);

    // A code that is none, and a no.
    for answer in ["code=nonsense", "error=access_denied"] {
        let terminal = Terminal::begin(&platform).await;
        let sent = browser.get(&format!("{}/provider", terminal.place)).await;
        let start: Url = sent.location().parse().unwrap();
        let state = start
            .query_pairs()
            .find(|(name, _)| name == "state")
            .unwrap()
            .1;
        let path = format!("/auth/callback?{answer}&state={state}");
        assert_eq!(browser.get(&path).await.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn without_its_provider_the_platform_still_takes_passwords() {
    let (platform, provider) = start(|_| {}).await;
    let ann = platform.user("ann").await;
    drop(provider);
    let terminal = Terminal::begin(&platform).await;
    let mut browser = Browser::new(&ann);
    let failed = browser.get(&format!("{}/provider", terminal.place)).await;
    assert!(failed.text.contains("cannot be reached"), "{}", failed.text);
    let asked = browser.log_in(&terminal.place, &ann, "").await;
    assert!(asked.text.contains("Is it yours"));
    // Nobody drives it without end.
    for _ in 1..200 {
        browser.get(&format!("{}/provider", terminal.place)).await;
    }
    let many = browser.get(&format!("{}/provider", terminal.place)).await;
    assert!(many.text.contains("Too many"), "{}", many.text);
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_asked_once_for_all_who_wait_and_then_left_alone() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", silent.local_addr().unwrap());
    let platform = Platform::start_with(|config| {
        config.oidc = Some(oidc_config(issuer));
    })
    .await;
    let nobody = platform.nobody();
    let terminal = Terminal::begin(&platform).await;
    let way = format!("{}/provider", terminal.place);
    let mut browsers: Vec<_> = (0..20).map(|_| Browser::new(&nobody)).collect();
    let asking = browsers.iter_mut().map(|browser| browser.get(&way));
    let asked = tokio::spawn(async move {
        let mut calls = 0;
        while let Ok((mut call, _)) = silent.accept().await {
            calls += 1;
            // Takes the question, and hangs up on it.
            let mut some = [0; 64];
            let _ = call.read(&mut some).await;
            CALLS.store(calls, Ordering::Relaxed);
        }
    });
    for failed in futures::future::join_all(asking).await {
        assert!(failed.text.contains("cannot be reached"), "{}", failed.text);
    }
    // A client may try a second time when it was hung up on.
    assert!(CALLS.load(Ordering::Relaxed) <= 2);
    asked.abort();
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

#[tokio::test]
async fn an_account_that_was_unlinked_is_linked_with_whoever_has_its_address_then() {
    let (platform, provider) = start(|oidc| {
        oidc.create_accounts = true;
        oidc.allowed_domains = vec!["example.com".to_owned()];
    })
    .await;
    let nobody = platform.nobody();
    let terminal = Terminal::begin(&platform).await;
    let mut browser = Browser::new(&nobody);
    come_by(&provider, &mut browser, &terminal, "dora").await;
    let dora = token_of(&mut browser, &terminal, &nobody).await;
    let account = dora.get("/account").await.expect(200);

    // The client was registered anew: to the provider she is another subject.
    let anew = "dora2/dora@example.com";
    let terminal = Terminal::begin(&platform).await;
    let refused = come_by(&provider, &mut Browser::new(&nobody), &terminal, anew).await;
    assert!(refused.text.contains("accounts:unlink"), "{}", refused.text);
    let place = "/accounts/dora@example.com/identity";
    dora.delete(place).await.error(403);
    let unlinked = platform.admin.delete(place).await.expect(200);
    assert_eq!(unlinked["federated"], false);
    let (_, why) = platform.admin.delete(place).await.error(422);
    assert!(why.contains("nobody"), "{why}");

    let terminal = Terminal::begin(&platform).await;
    let mut browser = Browser::new(&nobody);
    come_by(&provider, &mut browser, &terminal, anew).await;
    let again = token_of(&mut browser, &terminal, &nobody).await;
    assert_eq!(again.get("/account").await.expect(200)["id"], account["id"]);
    // All of an issuer at once.
    let unlink = async |issuer: &str| {
        let body = json!({"issuer": issuer});
        let path = "/account-identities/actions/unlink";
        platform.admin.post(path, body).await
    };
    unlink("https://id.example.com").await.error(422);
    let unlinked = unlink(&provider.issuer).await.expect(200);
    assert_eq!(unlinked[0]["email"], "dora@example.com");
    let terminal = Terminal::begin(&platform).await;
    come_by(&provider, &mut Browser::new(&nobody), &terminal, anew).await;
    // To whom the old subject belongs is a stranger's affair: the address is taken.
    let terminal = Terminal::begin(&platform).await;
    let refused = come_by(&provider, &mut Browser::new(&nobody), &terminal, "dora").await;
    assert!(refused.text.contains("somebody else"), "{}", refused.text);
}

#[tokio::test]
async fn an_account_with_a_password_is_linked_with_nobody_who_does_not_know_it() {
    let (platform, provider) = start(|_| {}).await;
    let ann = platform.user("ann").await;
    let (device, _) = enable(&ann).await;
    // Somebody whom the provider lets have her address.
    let terminal = Terminal::begin(&platform).await;
    let mut thief = Browser::new(&ann);
    let asked = come_by(&provider, &mut thief, &terminal, "eve/ann").await;
    assert!(asked.text.contains("Link your account"), "{}", asked.text);
    let refused = link(&mut thief, &asked, &terminal, "guess", "").await;
    assert!(
        refused.text.contains("The password is wrong"),
        "{}",
        refused.text
    );
    let admins = link(
        &mut thief,
        &refused,
        &terminal,
        &platform.admin.password,
        "",
    )
    .await;
    assert!(
        admins.text.contains("The password is wrong"),
        "{}",
        admins.text
    );
    let refused = link(&mut thief, &admins, &terminal, &ann.password, "").await;
    assert!(refused.text.contains("two-factor code"), "{}", refused.text);
    let decided = thief.decide(&terminal.place, "approve").await;
    assert_eq!(decided.status, StatusCode::NOT_FOUND);
    // Nor is it asked of another browser.
    let elsewhere = Browser::new(&ann).get(&terminal.place).await;
    assert!(!elsewhere.text.contains("Link your account"));
    let shown = ann.get("/account").await.expect(200);
    assert_eq!(shown["federated"], false);

    let terminal = Terminal::begin(&platform).await;
    let mut browser = Browser::new(&ann);
    let asked = come_by(&provider, &mut browser, &terminal, "ann").await;
    let code = device.next_code();
    link(&mut browser, &asked, &terminal, &ann.password, &code).await;
    token_of(&mut browser, &terminal, &ann).await;
    // From now on she has what the provider asks for.
    let terminal = Terminal::begin(&platform).await;
    let asked = come_by(&provider, &mut browser, &terminal, "ann").await;
    assert!(asked.text.contains("Is it yours"), "{}", asked.text);

    let done = platform.admin.get("/audit-entries").await.expect(200);
    let deeds = done.as_array().unwrap().iter().map(ToString::to_string);
    let linked: Vec<_> = deeds.filter(|deed| deed.contains("linked")).collect();
    assert_eq!(linked.len(), 1, "{linked:?}");
    assert!(linked[0].contains("\"ann\""), "{linked:?}");
}

#[tokio::test]
async fn of_two_who_come_with_one_address_at_once_one_gets_the_account() {
    let (platform, provider) = start(|oidc| {
        oidc.create_accounts = true;
        oidc.allowed_domains = vec!["example.com".to_owned()];
    })
    .await;
    let nobody = platform.nobody();
    let mut ways = Vec::new();
    for login in ["one/dora", "two/dora"] {
        let terminal = Terminal::begin(&platform).await;
        let mut browser = Browser::new(&nobody);
        let sent = browser.get(&format!("{}/provider", terminal.place)).await;
        let back = provider.log_in(sent.location(), login).await;
        let path = format!("{}?{}", back.path(), back.query().unwrap());
        ways.push((browser, path));
    }
    let coming = ways.iter_mut().map(|(browser, path)| browser.get(path));
    let came = futures::future::join_all(coming).await;
    let mut statuses: Vec<_> = came.iter().map(|page| page.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 403]);
    assert_eq!(
        key::ACCOUNT_IDENTITIES
            .all(&*platform.store)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn what_an_identity_provider_does_to_accounts_is_on_record() {
    let (platform, provider) = start(|oidc| {
        oidc.create_accounts = true;
        oidc.allowed_groups = vec!["developers".to_owned(), "operators".to_owned()];
        oidc.admin_group = Some("operators".to_owned());
    })
    .await;
    // She is invited as an administrator, and is none by her groups: not now, and not the next time.
    let invite = json!({"email": "dora@example.com", "is_admin": true});
    platform
        .admin
        .post("/account-invitations", invite)
        .await
        .expect(201);
    for (login, status) in [
        ("dora+developers", 403),
        ("dora+operators", 200),
        ("dora+developers", 403),
    ] {
        let terminal = Terminal::begin(&platform).await;
        let mut browser = Browser::new(&platform.nobody());
        come_by(&provider, &mut browser, &terminal, login).await;
        let dora = token_of(&mut browser, &terminal, &platform.nobody()).await;
        assert_eq!(dora.get("/nodes").await.status.as_u16(), status, "{login}");
    }
    let done = platform.admin.get("/audit-entries").await.expect(200);
    let deeds: Vec<_> = done
        .as_array()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .filter(|deed| deed.contains("/auth/callback"))
        .collect();
    for told in ["made, as invited", "granted", "taken"] {
        let of_it = deeds.iter().filter(|deed| deed.contains(told));
        assert_eq!(of_it.count(), 1, "{told}: {deeds:#?}");
    }
}

#[tokio::test]
async fn who_is_suspended_does_not_come_in_there_either() {
    let (platform, provider) = start(|oidc| {
        oidc.create_accounts = true;
        oidc.allowed_domains = vec!["example.com".to_owned()];
    })
    .await;
    let nobody = platform.nobody();
    let terminal = Terminal::begin(&platform).await;
    let mut browser = Browser::new(&nobody);
    come_by(&provider, &mut browser, &terminal, "dora").await;
    let dora = token_of(&mut browser, &terminal, &nobody).await;
    let suspend = "/accounts/dora@example.com/actions/suspend";
    platform.admin.post(suspend, json!({})).await.expect(200);
    dora.get("/account").await.error(401);
    let terminal = Terminal::begin(&platform).await;
    let refused = come_by(&provider, &mut Browser::new(&nobody), &terminal, "dora").await;
    assert!(refused.text.contains("suspended"), "{}", refused.text);
}
