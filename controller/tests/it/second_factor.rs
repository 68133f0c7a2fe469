//! Logging in with a code of a device besides the password.

use model::{SecondFactorRule, Timestamp};
use reqwest::Method;
use serde_json::json;
use totp_rs::{Builder, Secret, Totp};

use crate::browser_login::{Browser, Terminal};
use crate::harness::{Another, Answer, Platform, User, basic};

/// Somebody's device. The platform takes the code of the step before and of the one after, so both of these are good for half
/// a minute at least.
pub(crate) struct Device {
    totp: Totp,
    step: u64,
}

impl Device {
    fn new(secret: &str) -> Self {
        let secret = Secret::try_from_base32(secret).unwrap();
        let now = u64::try_from(Timestamp::now().as_second()).unwrap();
        Self {
            totp: Builder::new().with_secret(secret).build().unwrap(),
            step: now / 30,
        }
    }

    fn code(&self) -> String {
        self.totp.generate(self.step * 30).to_string()
    }

    pub(crate) fn next_code(&self) -> String {
        self.totp.generate((self.step + 1) * 30).to_string()
    }
}

async fn log_in(user: &User, code: Option<&str>) -> Answer {
    let basic = basic(&user.email, &user.password);
    let mut headers = vec![("authorization", basic.as_str())];
    headers.extend(code.map(|code| ("heroku-two-factor-code", code)));
    let nobody = user.with_token("");
    nobody
        .call(Method::POST, "/oauth/authorizations", None, &headers)
        .await
}

pub(crate) async fn enable(user: &User) -> (Device, Vec<String>) {
    let password = json!({"password": user.password});
    let begun = user.post("/account/two-factor", password).await.expect(201);
    let device = Device::new(begun["secret"].as_str().unwrap());
    let url = begun["otpauth_url"].as_str().unwrap();
    assert!(url.starts_with("otpauth://totp/paas.localhost:"), "{url}");
    let code = json!({"code": device.code()});
    let confirmed = user
        .post("/account/two-factor/actions/confirm", code)
        .await
        .expect(200);
    let codes = confirmed["recovery_codes"].as_array().unwrap();
    let codes: Vec<_> = codes
        .iter()
        .map(|code| code.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(codes.len(), 10);
    (device, codes)
}

#[tokio::test]
async fn a_password_alone_lets_in_until_a_code_has_come_back_and_then_no_more() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let wrong = json!({"password": "wrong"});
    ann.post("/account/two-factor", wrong).await.error(403);
    let password = json!({"password": ann.password});
    ann.post("/account/two-factor", password).await.expect(201);
    log_in(&ann, None).await.expect(201);
    let shown = ann.get("/account").await.expect(200);
    assert_eq!(shown["two_factor_authentication"], false);

    let (device, recovery) = enable(&ann).await;
    let shown = ann.get("/account").await.expect(200);
    assert_eq!(shown["two_factor_authentication"], true);
    let (id, message) = log_in(&ann, None).await.error(403);
    assert_eq!(id, "two_factor");
    assert!(message.contains("two-factor code"), "{message}");
    assert_eq!(
        log_in(&ann, Some("000000")).await.error(403).0,
        "two_factor"
    );
    let code = device.next_code();
    log_in(&ann, Some(&code)).await.expect(201);
    // It was seen over a shoulder.
    assert_eq!(log_in(&ann, Some(&code)).await.error(403).0, "two_factor");
    log_in(&ann, Some(&recovery[0])).await.expect(201);
    // The token of before goes on, and with it nobody can have another device count.
    let password = json!({"password": ann.password});
    ann.post("/account/two-factor", password).await.error(422);
}

#[tokio::test]
async fn of_many_who_bring_one_code_at_once_one_gets_in() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let (device, recovery) = enable(&ann).await;
    for code in [device.next_code(), recovery[0].clone()] {
        let tries = (0..4).map(|_| log_in(&ann, Some(&code)));
        let answers = futures::future::join_all(tries).await;
        let let_in = answers.iter().filter(|answer| answer.status == 201);
        assert_eq!(let_in.count(), 1);
    }
}

#[tokio::test]
async fn recovery_codes_let_in_once_each_and_new_ones_end_the_old() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let (device, codes) = enable(&ann).await;
    log_in(&ann, Some(&codes[0])).await.expect(201);
    log_in(&ann, Some(&codes[0])).await.error(403);
    log_in(&ann, Some(&codes[1].to_uppercase()))
        .await
        .expect(201);
    let shown = ann.get("/account/two-factor").await.expect(200);
    assert_eq!(shown["recovery_codes"], 8);
    let renew = "/account/two-factor/recovery-codes";
    let proof = json!({"password": ann.password, "code": "123"});
    ann.post(renew, proof).await.error(403);
    let proof = json!({"password": ann.password, "code": device.next_code()});
    let renewed = ann.post(renew, proof).await.expect(200);
    log_in(&ann, Some(&codes[2])).await.error(403);
    let new = renewed["recovery_codes"][0].as_str().unwrap();
    log_in(&ann, Some(new)).await.expect(201);
    // At rest there is nothing that lets in.
    let records = store::key::ACCOUNTS.all(&*platform.store).await.unwrap();
    let at_rest = format!("{}", serde_json::to_value(&records[0].value).unwrap())
        + &format!("{}", serde_json::to_value(&records[1].value).unwrap());
    assert!(at_rest.contains("recovery_codes"));
    assert!(!at_rest.contains(&new.replace('-', "")), "{at_rest}");
}

#[tokio::test]
async fn it_goes_with_password_and_code_or_by_an_administrator_who_is_another() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let (device, _) = enable(&ann).await;
    let disable = "/account/two-factor/actions/disable";
    let without = json!({"password": "wrong", "code": device.next_code()});
    ann.post(disable, without).await.error(403);
    let without = json!({"password": ann.password, "code": "000000"});
    ann.post(disable, without).await.error(403);
    let proof = json!({"password": ann.password, "code": device.next_code()});
    let gone = ann.post(disable, proof).await.expect(200);
    assert_eq!(gone["enabled"], false);
    log_in(&ann, None).await.expect(201);

    enable(&ann).await;
    let place = format!("/accounts/{}/two-factor", ann.email);
    ann.delete(&place).await.error(403);
    let reset = platform.admin.delete(&place).await.expect(200);
    assert_eq!(reset["two_factor_authentication"], false);
    log_in(&ann, None).await.expect(201);
    let own = format!("/accounts/{}/two-factor", platform.admin.email);
    platform.admin.delete(&own).await.error(403);
    let nobody = "/accounts/nobody@example.com/two-factor";
    platform.admin.delete(nobody).await.error(404);
}

#[tokio::test]
async fn codes_are_guessed_at_no_more_often_than_some_times_at_whatever_controller() {
    let platform = Platform::start().await;
    let another = Another::start(&platform).await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let (device, recovery) = enable(&ann).await;
    let elsewhere = another.user(&ann);
    // With the password here and there, and with a token.
    for at in [&ann, &elsewhere, &ann] {
        log_in(at, Some("000000")).await.error(403);
    }
    let preauthorize = async |code: &str| {
        let headers = [("heroku-two-factor-code", code)];
        let path = "/apps/ticks/pre-authorizations";
        ann.call(Method::PUT, path, None, &headers).await
    };
    for _ in 0..2 {
        preauthorize("000000").await.error(403);
    }
    let code = device.next_code();
    for at in [&ann, &elsewhere] {
        assert_eq!(log_in(at, Some(&code)).await.error(429).0, "rate_limit");
    }
    preauthorize(&code).await.error(429);
    // Nobody guesses a recovery code: it lets in all the same, and then codes count again.
    log_in(&ann, Some("01234-56789-abcde-f0123"))
        .await
        .error(403);
    log_in(&elsewhere, Some(&recovery[0])).await.expect(201);
    log_in(&ann, Some(&code)).await.expect(201);
}

#[tokio::test]
async fn many_wrong_codes_at_once_are_no_way_around_their_count() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    enable(&ann).await;
    let tries = (0..9).map(|_| log_in(&ann, Some("000000")));
    let answers = futures::future::join_all(tries).await;
    let looked_at = answers.iter().filter(|answer| answer.status == 403);
    assert!(looked_at.count() <= 5);
}

#[tokio::test]
async fn an_app_is_authorized_ahead_with_a_code() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    ann.app("ticks").await;
    let path = "/apps/ticks/pre-authorizations";
    ann.put(path, json!({})).await.expect(200);
    let (device, recovery) = enable(&ann).await;
    assert_eq!(ann.put(path, json!({})).await.error(403).0, "two_factor");
    // No recovery code is used up for it.
    let headers = [("heroku-two-factor-code", recovery[0].as_str())];
    let answer = ann.call(Method::PUT, path, None, &headers).await;
    assert!(answer.error(403).1.contains("for logging in"));
    let shown = ann.get("/account/two-factor").await.expect(200);
    assert_eq!(shown["recovery_codes"], 10);
    let code = device.next_code();
    let headers = [("heroku-two-factor-code", code.as_str())];
    let answer = ann.call(Method::PUT, path, None, &headers).await;
    answer.expect(200);
}

#[tokio::test]
async fn of_whom_one_is_asked_may_do_nothing_but_get_it() {
    let platform =
        Platform::start_with(|config| config.second_factor = SecondFactorRule::Administrators)
            .await;
    let admin = platform.admin.clone();
    let (id, message) = admin.get("/apps").await.error(403);
    assert_eq!(id, "forbidden");
    assert!(message.contains("paas auth:2fa:enable"), "{message}");
    admin.get("/account").await.expect(200);
    // Nor get a token that may do more.
    admin
        .post("/oauth/authorizations", json!({}))
        .await
        .error(403);
    let shown = admin.get("/account/two-factor").await.expect(200);
    assert_eq!(shown["required"], true);
    let token = log_in(&admin, None).await.expect(201);
    let token = token["access_token"]["token"].as_str().unwrap().to_owned();
    admin.with_token(&token).get("/nodes").await.error(403);

    let (device, _) = enable(&admin).await;
    admin.get("/nodes").await.expect(200);
    let proof = json!({"password": admin.password, "code": device.next_code()});
    let disable = "/account/two-factor/actions/disable";
    admin.post(disable, proof).await.error(403);
    // Of others none is asked.
    let ann = platform.user("ann").await;
    ann.get("/apps").await.expect(200);
}

#[tokio::test]
async fn a_login_by_the_password_alone_ends_when_a_second_factor_is_enabled() {
    let platform = Platform::start().await;
    let ann = platform.user("ann").await;
    let terminal = Terminal::begin(&platform).await;
    let mut thief = Browser::new(&ann);
    thief.log_in(&terminal.place, &ann, "").await;
    thief.decide(&terminal.place, "approve").await;
    enable(&ann).await;
    let told = terminal.wait().await.await.unwrap();
    let why = told["error"].as_str().unwrap();
    assert!(why.contains("has changed"), "{why}");
}
