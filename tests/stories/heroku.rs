//! The official heroku CLI on a platform with dynos.

use std::process::{Output, Stdio};
use std::time::Duration;

use tests::Platform;
use tokio::io::AsyncWriteExt as _;

#[path = "../heroku/table.rs"]
mod table;

use table::Table;

/// Where `tests/run` installs it.
const PROGRAMS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/tools/heroku/node_modules/.bin"
);
const WITHIN: Duration = Duration::from_secs(120);

async fn heroku(platform: &Platform, args: &[&str], stdin: &[u8]) -> Output {
    let all = [&["heroku-proxy", "--", "heroku"], args].concat();
    let mut command = platform.command(&all);
    let (_, path) = command
        .as_std()
        .get_envs()
        .find(|(name, _)| *name == "PATH")
        .expect("a PATH of its own");
    let path = path.expect("a PATH").to_string_lossy().into_owned();
    command
        .env("PATH", format!("{path}:{PROGRAMS}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    let feed = tokio::spawn(async move { input.write_all(&stdin).await });
    let output = tokio::time::timeout(WITHIN, child.wait_with_output()).await;
    feed.abort();
    output.expect("heroku ends").unwrap()
}

#[tokio::test]
async fn the_official_command_line_runs_scales_restarts_and_rolls_back() {
    hold("dynos").await;
}

/// On a platform where one app was pushed.
async fn hold(name: &str) {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project.push().await.ok();
    let table = Table::named(name);
    assert!(
        table.before.is_empty(),
        "nothing is prepared here but the app"
    );
    let mut progress = table.begin(&[("app", &project.app)]);
    while let Some(command) = progress.next() {
        let words = shell_words::split(&command).unwrap();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let output = heroku(&platform, &words, b"").await;
        let said = [output.stdout, output.stderr].concat();
        let exit = output.status.code().unwrap();
        progress.heard(exit, &String::from_utf8_lossy(&said));
    }
    progress.all_passed();
}

#[tokio::test]
async fn heroku_run_takes_input() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project.push().await.ok();
    let app = project.app.as_str();
    // Input by pipes comes to its end, and so does the command.
    let numbers: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    let counted = heroku(
        &platform,
        &["run", "--no-tty", "-a", app, "--", "sha256sum"],
        numbers.as_bytes(),
    )
    .await;
    let expected = std::process::Command::new("sh")
        .args(["-c", "seq 0 19999 | sha256sum"])
        .output()
        .unwrap();
    let counted = String::from_utf8_lossy(&counted.stdout).into_owned();
    let expected = String::from_utf8_lossy(&expected.stdout).into_owned();
    assert!(counted.contains(expected.trim()), "{counted}");
    let typed = b"echo typed-$((40+2)) inside $DYNO\nexit\n";
    let shell = heroku(
        &platform,
        &["run:inside", "web.1", "-a", app, "bash"],
        typed,
    )
    .await;
    let shell = String::from_utf8_lossy(&shell.stdout).into_owned();
    assert!(shell.contains("typed-42 inside web.1"), "{shell}");
}

#[tokio::test]
async fn what_was_built_for_one_app_of_a_pipeline_is_promoted_to_the_next() {
    let platform = Platform::start().await;
    let staging = platform.project("procfile-only").await;
    staging.push().await.ok();
    let (from, to) = (staging.app.as_str(), format!("{}-live", staging.app));
    let to = to.as_str();
    platform.paas(&["create", to, "--no-remote"]).await.ok();
    platform
        .paas(&["config:set", "COLOUR=blue", "-a", to])
        .await
        .ok();
    let create = ["pipelines:create", "ticks", "-a", from, "-s", "staging"];
    platform.paas(&create).await.ok();
    let add = ["pipelines:add", "ticks", "-a", to, "-s", "production"];
    platform.paas(&add).await.ok();

    let promoted = platform.paas(&["pipelines:promote", "-a", from]).await.ok();
    promoted.says("done");
    let host = format!("{to}.{}", tests::platform::DOMAIN);
    let answer = platform.get(&host, "/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text, "Hello from paas v3 web.1\n");
    let config = platform
        .paas(&["config:get", "COLOUR", "-a", to])
        .await
        .ok();
    config.says("blue");

    let again = heroku(&platform, &["pipelines:promote", "-a", from], b"").await;
    let said = [again.stdout, again.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("Promotion successful"), "{said}");
    let releases = platform.paas(&["releases", "-a", to]).await.ok();
    releases.says("v4").says("Promote");
}
