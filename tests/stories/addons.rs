//! Add-ons, with the sample provider as a program of its own, reached and calling over the network.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tests::Platform;
use tests::eventually::eventually;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const SOON: Duration = Duration::from_secs(60);

fn program() -> Command {
    let path = "../samples/addon-provider/provider.py";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let mut command = Command::new("python3");
    command.arg(path).kill_on_drop(true);
    command
}

/// The provider, and its manifest. It trusts the platform's own authority, as one would that is on no public name.
async fn provider(platform: &Platform) -> (Child, PathBuf) {
    let mut child = program()
        .env("SSL_CERT_FILE", platform.data().join("tls/ca.pem"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = said.next_line().await.unwrap().expect("its address");
    let manifest = program().args(["--manifest", &url]).output().await;
    let file = platform.home().join("manifest.json");
    fs_err::write(&file, manifest.unwrap().stdout).unwrap();
    (child, file)
}

#[tokio::test]
async fn an_add_on_reaches_the_dynos_of_its_app_and_outlives_a_kill() {
    let mut platform = Platform::start().await;
    let (_provider, manifest) = provider(&platform).await;
    let manifest = manifest.to_str().unwrap();
    platform.paas(&["addon-services:add", manifest]).await.ok();
    let app = {
        let project = platform.project("procfile-only").await;
        project.write(
            "Procfile",
            "web: POWERED_BY=${SAMPLE_KEYS_URL:-nothing} python3 server.py\n",
        );
        project.commit("Say which key").await;
        project.push().await.ok();
        project
            .eventually("it runs", |answer| answer.text.contains("from nothing"))
            .await;
        project
            .paas(&["addons:create", "sample-keys:dev", "--name", "mykeys"])
            .await
            .ok()
            .says("Created mykeys as SAMPLE_KEYS_URL");
        project
            .eventually("its dyno has the key", |answer| {
                answer.text.contains("from keys://")
            })
            .await;
        project.app.clone()
    };

    // A provider that takes its time calls the platform back; who kills the platform meanwhile loses nothing.
    platform
        .paas(&[
            "addons:create",
            "sample-keys:slow",
            "-a",
            &app,
            "--as",
            "CACHE",
            "--name",
            "slowkeys",
        ])
        .await
        .ok()
        .says("Your key is being cut.");
    platform.kill_and_boot().await;
    platform
        .paas(&["addons:wait", "slowkeys", "-a", &app])
        .await
        .ok();
    platform
        .paas(&[
            "run",
            "-a",
            &app,
            "--",
            "echo [$CACHE_URL] [$SAMPLE_KEYS_URL]",
        ])
        .await
        .ok()
        .says_line(&["[keys://", "] [keys://"]);

    platform
        .paas(&[
            "addons:destroy",
            "mykeys",
            "slowkeys",
            "-a",
            &app,
            "--confirm",
            &app,
        ])
        .await
        .ok();
    let host = format!("{app}.{}", tests::platform::DOMAIN);
    eventually("its dyno has no key", SOON, || async {
        let answer = platform.get(&host, "/").await;
        answer.text.contains("from nothing").then_some(())
    })
    .await;
    platform
        .paas(&["addons", "-a", &app])
        .await
        .ok()
        .says("no add-ons");
}
