//! Logging a terminal in by way of a browser, which here is one with cookies and no scripts.

use std::time::Duration;

use controller::Scheme;
use model::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use store::{Txn, key};
use tokio::task::JoinHandle;

use crate::harness::{Another, Platform, User};

/// What a person sees and sends.
#[derive(Clone)]
pub(crate) struct Browser {
    user: User,
    cookie: String,
}

pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) headers: reqwest::header::HeaderMap,
}

impl Browser {
    pub(crate) fn new(user: &User) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(controller_api::tls::client_config(None).unwrap())
            .build()
            .unwrap();
        Self {
            user: User {
                http,
                ..user.clone()
            },
            cookie: String::new(),
        }
    }

    /// The same person's browser as a phisher would like to have it.
    fn with_cookie_of(&self, other: &Self) -> Self {
        Self {
            cookie: other.cookie.clone(),
            ..self.clone()
        }
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        form: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Page {
        let path = path.split('#').next().unwrap();
        let url = format!("http://{}{path}", self.user.addr);
        let mut request = self.user.http.request(method.clone(), url);
        if method == Method::POST {
            request = request.body(
                url::form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(form)
                    .finish(),
            );
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.header("cookie", &self.cookie).send().await.unwrap();
        if let Some(set) = response.headers().get("set-cookie") {
            let set = set.to_str().unwrap();
            assert!(set.contains("; HttpOnly; SameSite=Lax"), "{set}");
            self.cookie = set.split(';').next().unwrap().to_owned();
        }
        Page {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.call(Method::GET, path, &[], &[]).await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Page {
        self.call(Method::POST, path, form, &[]).await
    }

    /// Proves who it is; the page that comes then.
    pub(crate) async fn log_in(&mut self, place: &str, user: &User, code: &str) -> Page {
        let form = self.get(place).await.form_token();
        let answer = self
            .post(
                place,
                &[
                    ("form", &form),
                    ("email", &user.email),
                    ("password", &user.password),
                    ("code", code),
                ],
            )
            .await;
        if answer.status != StatusCode::SEE_OTHER {
            return answer;
        }
        assert_eq!(answer.location(), place);
        self.get(place).await
    }

    pub(crate) async fn decide(&mut self, place: &str, decision: &str) -> Page {
        let form = self.get(place).await.form_token();
        let fields = [("form", form.as_str()), ("decision", decision)];
        self.post(&format!("{place}/decision"), &fields).await
    }
}

impl Page {
    /// What its form carries to prove that it was ours.
    pub(crate) fn form_token(&self) -> String {
        let (_, rest) = self.text.split_once("name=\"form\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    pub(crate) fn location(&self) -> &str {
        self.headers["location"].to_str().unwrap()
    }
}

/// A terminal that has begun to log in.
#[derive(Clone)]
pub(crate) struct Terminal {
    nobody: User,
    /// The path for the browser.
    pub(crate) place: String,
    cli_url: String,
    token: String,
    code: String,
}

impl Terminal {
    pub(crate) async fn begin(platform: &Platform) -> Self {
        let body = json!({"description": "Heroku CLI login from <desk>"});
        Self::begin_with(platform, body).await
    }

    async fn begin_with(platform: &Platform, body: Value) -> Self {
        let begun = platform.nobody().post("/auth", body).await.expect(201);
        let text = |name: &str| begun[name].as_str().unwrap().to_owned();
        let (place, code) = (text("browser_url"), text("code"));
        let (place, shown) = place.split_once('#').unwrap();
        assert_eq!(shown, code);
        Self {
            nobody: platform.nobody(),
            place: place.to_owned(),
            cli_url: text("cli_url"),
            token: text("token"),
            code,
        }
    }

    /// Asks how it goes, as long as that takes. It is being told when this returns.
    pub(crate) async fn wait(&self) -> JoinHandle<Value> {
        let url = format!("http://{}{}", self.nobody.addr, self.cli_url);
        let request = self.nobody.http.get(url).bearer_auth(&self.token);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        tokio::spawn(async move { response.json().await.unwrap() })
    }
}

#[tokio::test]
async fn a_terminal_is_logged_in_when_its_owner_says_so_in_a_browser() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let terminal = Terminal::begin(&platform).await;
    let waiting = terminal.wait().await;
    let mut browser = Browser::new(&ann);
    let shown = browser.get(&terminal.place).await;
    assert!(shown.text.contains(&terminal.code) && shown.text.contains("127.0.0.1"));
    assert!(
        shown.text.contains("login from &lt;desk&gt;"),
        "{}",
        shown.text
    );
    let policy = shown.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));

    let wrong = User {
        password: "wrong".to_owned(),
        ..ann.clone()
    };
    let refused = browser.log_in(&terminal.place, &wrong, "").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("is wrong"));
    let asked = browser.log_in(&terminal.place, &ann, "").await;
    assert!(asked.text.contains("ann@example.com") && asked.text.contains(&terminal.code));
    assert!(!waiting.is_finished());
    let done = browser.decide(&terminal.place, "approve").await;
    assert!(done.text.contains("is logged in"), "{}", done.text);

    let token = waiting.await.unwrap()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let logged_in = ann.with_token(&token);
    assert_eq!(
        logged_in.get("/account").await.expect(200)["email"],
        ann.email
    );
    let own = logged_in.get("/oauth/authorizations/~").await.expect(200);
    assert_eq!(own["description"], "Heroku CLI login from <desk>");
    let done = platform.admin.get("/audit-entries").await.expect(200);
    let approval = "POST /auth/browser/{login}/decision";
    let mut deeds = done.as_array().unwrap().iter().map(ToString::to_string);
    let deed = deeds.find(|deed| deed.contains(approval)).unwrap();
    let id = own["id"].as_str().unwrap();
    for told in ["approve", "127.0.0.1", "login from <desk>", id] {
        assert!(deed.contains(told), "{told}: {deed}");
    }
    // It is over: nobody gets another token of it.
    let (id, _) = ann
        .with_token(&terminal.token)
        .get(&terminal.cli_url)
        .await
        .error(404);
    assert_eq!(id, "not_found");
    assert_eq!(
        browser.get(&terminal.place).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_refused_terminal_is_told_and_gets_nothing() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let terminal = Terminal::begin(&platform).await;
    let mut browser = Browser::new(&ann);
    browser.log_in(&terminal.place, &ann, "").await;
    browser.decide(&terminal.place, "refuse").await;
    let told = terminal.wait().await.await.unwrap();
    assert!(told["error"].as_str().unwrap().contains("refused"));
    assert!(told.get("access_token").is_none());
}

#[tokio::test]
async fn only_the_terminal_that_began_is_told_how_it_goes() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let (one, other) = (
        Terminal::begin(&platform).await,
        Terminal::begin(&platform).await,
    );
    for token in ["", &other.token, &ann.token] {
        let asking = ann.with_token(token);
        asking.get(&one.cli_url).await.error(401);
    }
    ann.get("/auth/cli/nothing").await.error(404);
}

#[tokio::test]
async fn nobody_but_the_browser_that_proved_who_it_is_can_say_yes() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    // A phisher begins, looks at the page himself, and has Ann's browser take his cookie.
    let terminal = Terminal::begin(&platform).await;
    let mut phisher = Browser::new(&ann);
    phisher.get(&terminal.place).await;
    let mut annes = Browser::new(&ann).with_cookie_of(&phisher);
    let asked = annes.log_in(&terminal.place, &ann, "").await;
    assert!(asked.text.contains("Is it yours"));
    let seen = phisher.get(&terminal.place).await;
    assert!(!seen.text.contains("Is it yours"), "{}", seen.text);
    let decided = phisher.decide(&terminal.place, "approve").await;
    assert_eq!(decided.status, StatusCode::NOT_FOUND);

    let waiting = terminal.wait().await;
    // A page of an app makes her browser send what it likes: it does not have the form's token, and browsers say where from.
    let decision = format!("{}/decision", terminal.place);
    let forged = annes.post(&decision, &[("decision", "approve")]).await;
    assert_eq!(forged.location(), terminal.place);
    let form = annes.get(&terminal.place).await.form_token();
    let fields = [("form", form.as_str()), ("decision", "approve")];
    for header in [
        ("origin", "http://evil.paas.localhost"),
        ("sec-fetch-site", "same-site"),
    ] {
        let forged = annes
            .call(Method::POST, &decision, &fields, &[header])
            .await;
        assert_eq!(forged.status, StatusCode::SEE_OTHER);
    }
    assert!(!waiting.is_finished());
    annes.post(&decision, &fields).await;
    assert!(waiting.await.unwrap()["access_token"].is_string());
}

#[tokio::test]
async fn passwords_are_guessed_at_there_no_more_often_than_elsewhere() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let terminal = Terminal::begin(&platform).await;
    let wrong = User {
        password: "wrong".to_owned(),
        ..ann.clone()
    };
    let mut browser = Browser::new(&ann);
    for _ in 0..10 {
        browser.log_in(&terminal.place, &wrong, "").await;
    }
    let refused = browser.log_in(&terminal.place, &ann, "").await;
    assert!(
        refused.text.contains("Too many wrong passwords"),
        "{}",
        refused.text
    );
    ann.log_in(&ann.password).await.error(429);
}

#[tokio::test]
async fn a_login_takes_ten_minutes_at_most_and_another_controller_may_end_it() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let late = Terminal::begin(&platform).await;
    let waiting = late.wait().await;
    let at = key::BROWSER_LOGINS.all(&*platform.store).await.unwrap();
    let mut over = at[0].value.clone();
    over.expires_at = Timestamp::now();
    let txn = Txn::new().replace(&key::BROWSER_LOGINS, &at[0], &over);
    txn.commit(&*platform.store).await.unwrap();
    let told = waiting.await.unwrap();
    assert!(told["error"].as_str().unwrap().contains("too long"));
    let mut browser = Browser::new(&ann);
    assert_eq!(browser.get(&late.place).await.status, StatusCode::NOT_FOUND);

    let terminal = Terminal::begin(&platform).await;
    let waiting = terminal.wait().await;
    let another = Another::start(&platform).await;
    let mut elsewhere = Browser::new(&another.user(&ann));
    elsewhere.log_in(&terminal.place, &ann, "").await;
    elsewhere.decide(&terminal.place, "approve").await;
    let told = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(told.unwrap().unwrap()["access_token"].is_string());
    // What was over went when the next one began.
    assert!(
        key::BROWSER_LOGINS
            .all(&*platform.store)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn one_address_begins_no_more_logins_than_some() {
    let platform = Platform::start().await;
    let nobody = platform.nobody();
    for _ in 0..60 {
        nobody.post("/auth", json!({})).await.expect(201);
    }
    let (id, message) = nobody.post("/auth", json!({})).await.error(429);
    assert_eq!(id, "rate_limit");
    assert!(message.contains("from your address"), "{message}");
    let bad = json!({"expires_in": 0});
    let elsewhere = [("x-forwarded-for", "10.9.9.9")];
    let answer = nobody
        .call(Method::POST, "/auth", Some(bad), &elsewhere)
        .await;
    answer.error(422);
}

#[tokio::test]
async fn no_page_that_asks_for_a_password_is_shown_in_the_clear() {
    let platform = Platform::start_with(|config| config.api.scheme = Scheme::Https).await;
    let nobody = platform.nobody();
    let headers = [("x-forwarded-proto", "http")];
    let answer = nobody
        .call(Method::GET, "/auth/browser/x", None, &headers)
        .await;
    assert_eq!(answer.error(403).0, "https_required");
    // Nor is a secret taken that is no header's.
    for path in ["/account-invitations/actions/accept", "/nodes"] {
        let answer = nobody
            .call(Method::POST, path, Some(json!({})), &headers)
            .await;
        assert_eq!(answer.error(403).0, "https_required", "{path}");
    }
}

/// Changes what proves who Ann is, once somebody has her password.
async fn change_password(ann: &User) {
    let change = json!({"password": ann.password, "new_password": "another one"});
    ann.patch("/account", change).await.expect(200);
}

#[tokio::test]
async fn a_login_that_was_half_done_ends_with_the_password_it_was_done_by() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let (identified, approved) = (
        Terminal::begin(&platform).await,
        Terminal::begin(&platform).await,
    );
    let mut thief = Browser::new(&ann);
    for terminal in [&identified, &approved] {
        let asked = thief.log_in(&terminal.place, &ann, "").await;
        assert!(asked.text.contains("Is it yours"), "{}", asked.text);
        if terminal.place == approved.place {
            thief.decide(&terminal.place, "approve").await;
        }
    }
    // The second cookie has taken the place of the first: he proves it again there.
    let asked = thief.log_in(&identified.place, &ann, "").await;
    let form = asked.form_token();
    change_password(&ann).await;

    let told = approved.wait().await.await.unwrap();
    let why = told["error"].as_str().unwrap();
    assert!(why.contains("has changed"), "{why}");
    let fields = [("form", form.as_str()), ("decision", "approve")];
    let decision = format!("{}/decision", identified.place);
    let decided = thief.post(&decision, &fields).await;
    assert_eq!(decided.status, StatusCode::NOT_FOUND);
    let shown = thief.get(&identified.place).await;
    assert!(shown.text.contains("E-mail address"), "{}", shown.text);
    let tokens = ann.get("/oauth/authorizations").await.expect(200);
    assert_eq!(tokens.as_array().unwrap().len(), 1, "{tokens}");
}

#[tokio::test]
async fn whoever_is_asked_learns_what_he_gives_away() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let phish = json!({"description": "\u{202e}x. Your administrator has approved this.", "expires_in": 31_622_400});
    let terminal = Terminal::begin_with(&platform, phish).await;
    let mut browser = Browser::new(&ann);
    let asked = browser.log_in(&terminal.place, &ann, "").await;
    assert!(
        asked
            .text
            .contains("\u{201c}x. Your administrator has approved this.\u{201d}"),
        "{}",
        asked.text
    );
    assert!(asked.text.contains("for 30 days") && asked.text.contains("did not ask for this"));
    assert!(!asked.text.contains("an administrator of the platform"));
    assert!(!asked.text.contains("another network"), "{}", asked.text);
    let far = [("x-forwarded-for", "192.0.2.7")];
    let asked = browser.call(Method::GET, &terminal.place, &[], &far).await;
    assert!(
        asked
            .text
            .contains("another network than this browser, which is at 192.0.2.7"),
        "{}",
        asked.text
    );
    browser.decide(&terminal.place, "approve").await;
    let told = terminal.wait().await.await.unwrap();
    let ann = ann.with_token(told["access_token"].as_str().unwrap());
    let own = ann.get("/oauth/authorizations/~").await.expect(200);
    let lasts = own["access_token"]["expires_in"].as_i64().unwrap();
    assert!(lasts <= 30 * 86_400, "{own}");

    let terminal = Terminal::begin(&platform).await;
    let mut browser = Browser::new(&platform.admin);
    let asked = browser.log_in(&terminal.place, &platform.admin, "").await;
    assert!(asked.text.contains("an administrator of the platform"));
}

#[tokio::test]
async fn a_login_has_one_terminal_that_waits_however_often_it_asks() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let terminal = Terminal::begin(&platform).await;
    let mut all = Vec::new();
    for _ in 0..600 {
        all.push(terminal.wait().await);
    }
    let told = all.remove(0).await.unwrap();
    let why = told["error"].as_str().unwrap();
    assert!(why.contains("Somebody else asks"), "{why}");
    let other = Terminal::begin(&platform).await;
    let waiting = other.wait().await;
    let mut browser = Browser::new(&ann);
    browser.log_in(&other.place, &ann, "").await;
    browser.decide(&other.place, "approve").await;
    assert!(waiting.await.unwrap()["access_token"].is_string());
}
