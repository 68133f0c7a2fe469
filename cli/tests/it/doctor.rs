//! What is found wrong: with canned answers, with certificates of all sorts, and with the real controller.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use super::harness::Cli;
use super::platform::Platform;
use super::shapes::{account, app, current, dyno, formation, release};
use super::stub::{Stub, TOKEN};

/// What it found, of which each is `state check: message` with the advice in a line of its own.
fn found(cli: &Cli, args: &[&str]) -> (i32, String) {
    let outcome = cli.paas(&[&["doctor", "--json"], args].concat());
    assert_eq!(outcome.stderr, "");
    let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let text = json["checks"].as_array().unwrap().iter().map(|check| {
        let word = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
        format!(
            "{} {}: {}\n{}\n",
            word("state"),
            word("check"),
            word("message"),
            word("advice")
        )
    });
    (outcome.code, text.collect())
}

#[track_caller]
fn assert_finds(found: &(i32, String), code: i32, parts: &[&str]) {
    for part in parts {
        assert!(found.1.contains(part), "no {part:?} in\n{}", found.1);
    }
    assert_eq!(found.0, code, "{}", found.1);
}

/// Logged in to a platform where all is well with the app `shop`.
fn healthy() -> Cli {
    let cli = Cli::new();
    cli.stub
        .on("GET /account", account())
        .on("GET /apps/shop", app("shop"))
        .on("GET /apps/shop/dynos", json!([dyno("web.1", 1, "up")]))
        .on("GET /apps/shop/formation", json!([formation("web", 1)]))
        .on(
            "GET /apps/shop/releases",
            json!([current(release(4, "succeeded", "Deploy"))]),
        )
        .on("GET /apps/shop/domains", json!([]))
        .on("GET /apps/shop/sni-endpoints", json!([]))
        .refuse(
            "GET /platform/status",
            403,
            "forbidden",
            "Only administrators may.",
        );
    cli
}

#[test]
fn all_is_well_is_a_list_of_what_was_looked_at() {
    let cli = healthy();
    let outcome = cli.paas(&["doctor", "-a", "shop"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stdout);
    let address = format!("http://{} answers", cli.stub.addr);
    for line in [
        &address,
        "ok       Logged in as me@example.com",
        "ok       shop is well: v4, 1 dyno up",
        "\nAll is well.",
    ] {
        assert!(outcome.stdout.contains(line), "{line}: {}", outcome.stdout);
    }
}

#[test]
fn who_is_not_logged_in_is_told_how() {
    let cli = Cli::logged_out(Stub::start());
    let found = found(&cli, &[]);
    assert_finds(
        &found,
        1,
        &["problem login: You are not logged in", "paas login --api"],
    );
}

#[test]
fn a_token_that_is_not_taken_or_soon_ends_is_told() {
    let mut cli = healthy();
    let mut authorization = super::shapes::authorization("****");
    authorization["access_token"]["expires_in"] = json!(7200);
    cli.stub.on("GET /oauth/authorizations/~", authorization);
    assert_finds(
        &found(&cli, &[]),
        0,
        &["warning login: The token is good for 2 hours only"],
    );
    cli.set("PAAS_API_KEY", "stale");
    let found = found(&cli, &["-a", "shop"]);
    assert_finds(
        &found,
        1,
        &[
            "problem login: The platform does not take the token",
            "`paas login`",
        ],
    );
    assert!(
        !found.1.contains("shop"),
        "without a login nothing is known of it"
    );
}

#[test]
fn a_token_for_less_than_everything_sees_what_it_may() {
    let cli = Cli::new();
    let refused = "This token has the scope write-protected, and this needs identity.";
    cli.stub
        .refuse("GET /account", 403, "forbidden", refused)
        .refuse("GET /platform/status", 403, "forbidden", refused);
    let found = found(&cli, &[]);
    assert_finds(
        &found,
        0,
        &["ok login: Logged in with a token that may not"],
    );
}

#[test]
fn the_way_to_the_platform_is_looked_at_step_by_step() {
    let mut cli = healthy();
    cli.set("PAAS_API_URL", "https://api.paas.invalid");
    assert_finds(
        &found(&cli, &[]),
        1,
        &["problem dns: The name api.paas.invalid leads nowhere"],
    );
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    cli.set(
        "PAAS_API_URL",
        &format!("https://api.paas.localhost:{port}"),
    );
    assert_finds(
        &found(&cli, &[]),
        1,
        &[
            "problem tcp: Port",
            "of api.paas.localhost (127.0.0.1) cannot be reached",
        ],
    );
}

#[test]
fn a_clock_that_is_off_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut cli = healthy();
    cli.set(
        "PAAS_API_URL",
        &format!("http://{}", listener.local_addr().unwrap()),
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // A request of a few headers comes in one piece.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 401 Unauthorized\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nconnection: close\r\n\r\n",
            );
        }
    });
    let found = found(&cli, &[]);
    assert_finds(
        &found,
        1,
        &[
            "warning clock: This machine's clock is",
            "s ahead of the platform's",
        ],
    );
}

/// An API over TLS with a certificate that is good from and until these years, and its authority's certificate.
fn with_certificate(from: i32, until: i32, name: &str) -> (Stub, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::from_params(&params, &key);
    let leaf_key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new([name.to_owned()]).unwrap();
    leaf.not_before = date_time_ymd(from, 1, 1);
    leaf.not_after = date_time_ymd(until, 1, 1);
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
    let stub = Stub::start_with_tls(leaf.pem(), leaf_key.serialize_pem());
    (stub, authority.pem())
}

#[test]
fn a_certificate_that_is_not_good_is_told_with_what_to_do() {
    let host = "api.paas.localhost";
    for (from, until, name, is_trusted, message, advice) in [
        (2020, 2021, host, true, "has expired", "renew it"),
        (
            2990,
            2999,
            host,
            true,
            "is not valid yet",
            "clock is probably behind",
        ),
        (2020, 2999, host, false, "does not trust", "--ca-file"),
        (
            2020,
            2999,
            "other.localhost",
            true,
            "is not for api.paas.localhost",
            "--api URL",
        ),
    ] {
        let (stub, authority) = with_certificate(from, until, name);
        let address = format!("https://{host}:{}", stub.addr.port());
        let mut cli = Cli::logged_out(stub);
        cli.set("PAAS_API_URL", &address);
        cli.set("PAAS_API_KEY", TOKEN);
        if is_trusted {
            let file = cli.dir.path().join("ca.pem");
            std::fs::write(&file, authority).unwrap();
            cli.set("PAAS_CA_FILE", file.to_str().unwrap());
        }
        assert_finds(&found(&cli, &[]), 1, &["problem tls: ", message, advice]);
    }
}

#[test]
fn an_app_that_is_not_there_is_told_with_the_one_that_was_meant() {
    let cli = healthy();
    cli.stub.on("GET /users/~/apps", json!([app("shop")]));
    let found = found(&cli, &["-a", "shpo"]);
    assert_finds(
        &found,
        1,
        &["problem app: There is no app shpo", "Did you mean shop?"],
    );
}

#[test]
fn what_the_directory_says_is_checked_against_the_platform() {
    let mut cli = healthy();
    // git over HTTPS asks for credentials; the address is never called here.
    cli.set("PAAS_API_URL", &format!("http://{}", cli.stub.addr));
    cli.git(&["init", "-q", "-b", "try-this"]);
    let host = cli.stub.addr.ip();
    cli.git(&["remote", "add", "paas", &format!("https://{host}/shop.git")]);
    cli.git(&["remote", "add", "old", &format!("https://{host}/gone.git")]);
    let first = found(&cli, &[]);
    assert_finds(
        &first,
        1,
        &[
            "ok remote: The git remote paas leads to shop",
            "problem remote: The git remote old leads to gone, which is gone or not yours\nRemove it with `git remote remove old`",
            "warning credentials: git does not ask paas for the token",
            "warning branch: The branch here is try-this",
            "git push ",
        ],
    );
    cli.git(&["remote", "remove", "old"]);
    cli.git(&["checkout", "-q", "-b", "main"]);
    let key = format!("credential.https://{host}.helper");
    cli.git(&["config", &key, "!paas git:credentials"]);
    let second = found(&cli, &[]);
    assert_finds(&second, 0, &["ok credentials", "ok app: shop is well"]);
    cli.git(&[
        "remote",
        "set-url",
        "paas",
        "https://git.example.com/shop.git",
    ]);
    assert_finds(
        &found(&cli, &[]),
        0,
        &["warning remote: The git remote paas is not of"],
    );
}

#[test]
fn without_git_nothing_can_be_pushed() {
    let mut cli = healthy();
    cli.set("PATH", cli.dir.path().to_str().unwrap().to_owned().as_str());
    assert_finds(
        &found(&cli, &[]),
        1,
        &["problem git: There is no git on the PATH"],
    );
}

#[test]
fn the_real_platform_is_told_of_to_its_administrator_with_an_app_that_was_never_deployed() {
    let platform = Platform::start();
    let cli = platform.cli();
    assert_eq!(cli.paas(&["create", "shop", "--no-remote"]).code, 0);
    let found = found(&cli, &["-a", "shop"]);
    assert_finds(
        &found,
        1,
        &[
            "ok login: Logged in as admin@example.com",
            &format!(
                "ok version: This paas is {0}, the platform {0}",
                env!("CARGO_PKG_VERSION")
            ),
            "warning dynos: Nothing was deployed to shop yet",
            // A controller by itself is no platform.
            "problem platform: Platform: no router is alive",
        ],
    );
    assert!(!found.1.contains("clock:"), "{}", found.1);
}
