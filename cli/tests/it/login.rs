use std::os::unix::fs::PermissionsExt as _;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;

use super::harness::Cli;
use super::run_pipes::{Kind, Script, answer_run};
use super::shapes::{account, app, authorization};
use super::stub::{Stub, TOKEN};

fn ready(stub: Stub) -> Cli {
    stub.on("POST /oauth/authorizations", authorization(TOKEN))
        .on("GET /account", account());
    Cli::logged_out(stub)
}

#[test]
fn a_script_logs_in_with_a_password_and_nobody_else_can_read_the_token() {
    let cli = ready(Stub::start());
    let api = format!("http://{}", cli.stub.addr);
    let outcome = cli.paas_with_stdin(
        &[
            "login",
            "--api",
            &api,
            "--email",
            "me@example.com",
            "--password-stdin",
        ],
        b"pw\n",
    );
    outcome
        .answers("")
        .says(&format!("Logged in as me@example.com at {api}\n"));
    let sent = &cli.stub.seen("POST /oauth/authorizations")[0];
    assert_eq!(sent.authorization, "Basic bWVAZXhhbXBsZS5jb206cHc=");
    assert_eq!(sent.body["scope"], json!(["global"]));
    assert_eq!(
        cli.config_file().metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    cli.paas(&["whoami"]).answers("me@example.com\n");
    cli.paas(&["auth:token"]).answers(&format!("{TOKEN}\n"));
}

#[test]
fn a_token_is_enough_and_a_wrong_one_is_not_kept() {
    let cli = ready(Stub::start());
    let api = format!("http://{}", cli.stub.addr);
    let wrong = cli.paas_with_stdin(&["login", "--api", &api, "--token-stdin"], b"wrong");
    wrong.fails(
        1,
        " ▸    Error: Invalid credentials provided.\n ▸    Log in again with `paas login`, or check PAAS_API_KEY.\n",
    );
    assert!(!cli.config_file().exists());
    assert_eq!(
        cli.paas_with_stdin(&["login", "--api", &api, "--token-stdin"], TOKEN.as_bytes())
            .code,
        0
    );
    cli.paas(&["whoami"]).answers("me@example.com\n");
}

#[test]
fn a_wrong_password_is_told_as_such() {
    let cli = Cli::logged_out(Stub::start());
    cli.stub.refuse(
        "POST /oauth/authorizations",
        401,
        "unauthorized",
        "Invalid credentials provided.",
    );
    let api = format!("http://{}", cli.stub.addr);
    let outcome = cli.paas_with_stdin(
        &[
            "login",
            "--api",
            &api,
            "-e",
            "me@example.com",
            "--password-stdin",
        ],
        b"pw",
    );
    outcome.fails(
        1,
        " ▸    Error: The e-mail address or the password is wrong\n",
    );
}

#[test]
fn what_is_no_platform_is_told_before_a_password_is_asked_for() {
    let cli = Cli::logged_out(Stub::start());
    cli.stub.page("GET /account", 404, "<h1>Nothing here</h1>");
    let api = format!("http://{}", cli.stub.addr);
    for secret in ["--token-stdin", "--interactive"] {
        cli.paas_with_stdin(&["login", "--api", &api, secret], TOKEN.as_bytes())
            .fails(
                1,
                &format!(
                    " ▸    Error: There is no paas API at {api}: it answered with status 404\n \
                     ▸    The address begins with api, such as https://api.example.com; apps have others.\n"
                ),
            );
    }
    // Nothing secret was sent either.
    let seen = cli.stub.seen("GET /account");
    assert!(seen.iter().all(|seen| seen.authorization.is_empty()));
    assert_eq!(seen.len(), 2);
}

#[test]
fn logging_out_forgets_everything_here_and_there() {
    let cli = ready(Stub::start());
    cli.stub
        .on("DELETE /oauth/authorizations/~", authorization(TOKEN));
    let api = format!("http://{}", cli.stub.addr);
    cli.paas_with_stdin(&["login", "--api", &api, "--token-stdin"], TOKEN.as_bytes());
    cli.git(&[
        "config",
        "--global",
        "credential.https://example.org.helper",
        "store",
    ]);
    cli.paas(&["logout"]).says("Logging out... done\n");
    assert_eq!(cli.stub.seen("DELETE /oauth/authorizations/~").len(), 1);
    assert!(!cli.config_file().exists());
    assert_eq!(
        cli.git(&["config", "--global", "--list"]).trim(),
        "credential.https://example.org.helper=store"
    );
    let outcome = cli.paas(&["whoami"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("paas login --api"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_token_goes_to_no_other_platform_than_its_own() {
    let mut cli = ready(Stub::start());
    let api = format!("http://{}", cli.stub.addr);
    cli.paas_with_stdin(&["login", "--api", &api, "--token-stdin"], TOKEN.as_bytes());
    let other = Stub::start();
    other.on("GET /account", account());
    cli.set("PAAS_API_URL", &format!("http://{}", other.addr));
    let outcome = cli.paas(&["whoami"]);
    assert_eq!(outcome.code, 1);
    assert!(other.seen("GET /account").is_empty());
    cli.set("PAAS_API_KEY", TOKEN);
    cli.paas(&["whoami"]).answers("me@example.com\n");
}

struct Ca {
    pem: String,
    certificate: String,
    key: String,
}

fn ca() -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec![
        "api.paas.localhost".to_owned(),
        "git.paas.localhost".to_owned(),
    ];
    let leaf = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    Ca {
        pem: issuer.pem(),
        certificate: leaf.pem(),
        key: key.serialize_pem(),
    }
}

#[test]
fn a_private_ca_is_trusted_for_the_api_for_git_and_for_attaching() {
    let ca = ca();
    let cli = ready(Stub::start_with_tls(ca.certificate, ca.key));
    let port = cli.stub.addr.port();
    let api = format!("https://api.paas.localhost:{port}");
    let untrusted =
        cli.paas_with_stdin(&["login", "--api", &api, "--token-stdin"], TOKEN.as_bytes());
    assert_eq!(untrusted.code, 1);
    assert!(
        untrusted.stderr.contains("--ca-file"),
        "{}",
        untrusted.stderr
    );

    let file = cli.dir.path().join("ca.pem");
    std::fs::write(&file, &ca.pem).unwrap();
    let login = cli.paas_with_stdin(
        &[
            "login",
            "--api",
            &api,
            "--ca-file",
            "ca.pem",
            "--token-stdin",
        ],
        TOKEN.as_bytes(),
    );
    assert_eq!(login.code, 0, "{}", login.stderr);
    // A copy is kept: the file may go.
    std::fs::remove_file(file).unwrap();
    cli.paas(&["whoami"]).answers("me@example.com\n");

    let git_host = format!("https://git.paas.localhost:{port}");
    let ca_file = cli.git(&["config", "--global", &format!("http.{git_host}/.sslCAInfo")]);
    assert_eq!(std::fs::read_to_string(ca_file.trim()).unwrap(), ca.pem);

    let other_ca = self::ca();
    let mut git = cli.command("git");
    git.args(["ls-remote", &format!("{git_host}/myapp.git")]);
    // Build machines often name the system's authorities so, over all configuration.
    let elsewhere = cli.dir.path().join("elsewhere.pem");
    std::fs::write(&elsewhere, other_ca.pem).unwrap();
    let output = git.env("GIT_SSL_CAINFO", elsewhere).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Authentication failed"), "{said}");

    answer_run(&cli);
    cli.stub.script(Script::new(Kind::Cat));
    let outcome = cli.paas_with_stdin(&["run", "-a", "myapp", "cat"], b"over tls");
    assert_eq!(
        (outcome.stdout.as_str(), outcome.code),
        ("over tls", 0),
        "{}",
        outcome.stderr
    );
}

#[test]
fn git_gets_the_token_for_the_platforms_host_and_for_no_other() {
    let ca = ca();
    let cli = ready(Stub::start_with_tls(ca.certificate, ca.key));
    let port = cli.stub.addr.port();
    std::fs::write(cli.dir.path().join("ca.pem"), &ca.pem).unwrap();
    let api = format!("https://api.paas.localhost:{port}");
    cli.paas_with_stdin(
        &[
            "login",
            "--api",
            &api,
            "--ca-file",
            "ca.pem",
            "--token-stdin",
        ],
        TOKEN.as_bytes(),
    );
    let fill = |host: &str| {
        let mut git = cli.command("git");
        git.args(["credential", "fill"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        let mut child = git.stderr(std::process::Stdio::null()).spawn().unwrap();
        let asked = format!("protocol=https\nhost={host}\n\n");
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), asked.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    let ours = fill(&format!("git.paas.localhost:{port}"));
    assert!(ours.contains(&format!("password={TOKEN}\n")), "{ours}");
    for other in ["git.paas.localhost", "github.com"] {
        assert!(!fill(other).contains(TOKEN), "{other}");
    }
    let asked = b"protocol=https\nhost=github.com\n\n";
    cli.paas_with_stdin(&["git:credentials", "get"], asked)
        .answers("");
    let plain = format!("protocol=http\nhost=git.paas.localhost:{port}\n");
    cli.paas_with_stdin(&["git:credentials", "get"], plain.as_bytes())
        .answers("");
}

#[test]
fn the_platforms_own_git_host_replaces_the_guessed_one() {
    let cli = ready(Stub::start());
    let api = format!("http://{}", cli.stub.addr);
    cli.paas_with_stdin(&["login", "--api", &api, "--token-stdin"], TOKEN.as_bytes());
    cli.git(&["init", "-q"]);
    cli.stub
        .on("POST /apps", app("myapp"))
        .on("GET /apps/myapp/config-vars", json!({ "A": "1" }));
    assert_eq!(cli.paas(&["create", "myapp"]).code, 0);
    // The app is now found by the remote that was made, though its host is not beside the API's.
    cli.paas(&["config:get", "A"]).answers("1\n");
}
