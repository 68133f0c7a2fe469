//! Certificates: one that somebody brings, one that the platform gets, and the platform's own; by real clients.

use std::path::Path;
use std::time::Duration;

use tests::Platform;
use tests::authority::{Authority, make_certificate};
use tests::command::{Said, run};
use tests::eventually::eventually;
use tokio::process::Command;

const SOON: Duration = Duration::from_secs(60);

/// `curl` that trusts nobody but `ca`, of a name that leads to the platform.
async fn curl(platform: &Platform, ca: &Path, name: &str, args: &[&str]) -> Said {
    let port = platform.https.port();
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--include", "--max-time", "30"])
        .args(["--resolve", &format!("{name}:{port}:127.0.0.1")])
        .args(args)
        .arg("--cacert")
        .arg(ca)
        .arg(format!("https://{name}:{port}/"));
    run(&mut command, SOON).await.unwrap()
}

#[tokio::test]
async fn each_name_is_served_with_its_own_certificate_got_or_brought() {
    let mut authority = Authority::prepare().await;
    let settings = authority.settings();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let mut platform = Platform::with(&settings).await;
    authority.start(platform.http).await;
    let root = authority.root().await;
    let (brought, key) = make_certificate(platform.path(), "brought", &["brought.test"]).await;
    let file = |path: &Path| path.to_string_lossy().into_owned();
    let secret = fs_err::read_to_string(&key).unwrap();
    let name = {
        let project = platform.project("procfile-only").await;
        project.push().await.ok();
        project.paas(&["domains:add", "brought.test"]).await.ok();
        project
            .paas(&["certs:add", &file(&brought), &file(&key)])
            .await
            .ok()
            .says("brought.test");
        project.paas(&["domains:add", "got.test"]).await.ok();
        project.paas(&["certs:auto:enable"]).await.ok();
        eventually("the platform gets a certificate", SOON, || async {
            let said = project.paas(&["certs:auto", "--json"]).await.ok();
            let auto: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
            let mut domains = auto["domains"].as_array().unwrap().iter();
            let got = domains.find(|domain| domain["hostname"] == "got.test")?;
            (got["acm_status"] == "ok").then_some(())
        })
        .await;
        project.paas(&["certs"]).await.ok().says("ACM").says("SNI");

        // Over HTTP/2, by whoever trusts that authority and no other.
        eventually("it is shown", SOON, || async {
            let said = curl(&platform, &root, "got.test", &["--http2"]).await;
            (said.stdout.contains("HTTP/2 200") && said.stdout.contains("Hello")).then_some(())
        })
        .await;
        for tls in ["1.2", "1.3"] {
            let args = ["--tls-max", tls];
            curl(&platform, &brought, "brought.test", &args)
                .await
                .ok()
                .says("Hello");
        }
        curl(&platform, &root, "brought.test", &[]).await.failed();
        curl(&platform, &brought, "got.test", &["--tls-max", "1.1"])
            .await
            .failed();

        // One name for the connection, another in the request.
        let misdirected = ["--header", "Host: brought.test"];
        curl(&platform, &root, "got.test", &misdirected)
            .await
            .ok()
            .says("421")
            .says("H32");
        let nobodys = ["--header", "Host: nobody.test"];
        curl(&platform, &root, "got.test", &nobodys)
            .await
            .ok()
            .says("421")
            .says("H31");
        eventually("the log tells", SOON, || async {
            let said = project.paas(&["logs", "-n", "200"]).await.ok();
            said.stdout.contains("code=H32").then_some(())
        })
        .await;
        format!("{}.{}", project.app, tests::platform::DOMAIN)
    };

    platform.kill_and_boot().await;
    curl(&platform, &root, "got.test", &[])
        .await
        .ok()
        .says("Hello");

    // The platform's own is exchanged under a server that runs on. It is the last thing: the command line trusts the old one.
    let names = ["paas.localhost", "*.paas.localhost"];
    let (next, next_key) = make_certificate(platform.path(), "next", &names).await;
    curl(&platform, &next, &name, &[]).await.failed();
    platform
        .paas(&["platform:certs:set", &file(&next), &file(&next_key)])
        .await
        .ok();
    eventually("the platform's new certificate is shown", SOON, || async {
        let said = curl(&platform, &next, &name, &[]).await;
        said.stdout.contains("Hello").then_some(())
    })
    .await;

    let log = platform.server_log();
    assert!(!log.contains("PRIVATE KEY"), "a key is in the log");
    for line in secret.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!log.contains(line), "a key is in the log");
    }
}
