//! The official heroku CLI on a platform with dynos.

use std::process::{Output, Stdio};
use std::time::Duration;

use tests::Platform;
use tokio::io::AsyncWriteExt as _;

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

/// What it says, and how it ends.
async fn says(platform: &Platform, args: &[&str], status: i32, words: &[&str]) {
    let output = heroku(platform, args, b"").await;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
    for word in words {
        assert!(
            said.contains(word),
            "{args:?} does not say {word:?}: {said}"
        );
    }
}

#[tokio::test]
async fn the_official_command_line_runs_scales_restarts_and_rolls_back() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project.push().await.ok();
    let app = project.app.as_str();
    says(&platform, &["ps", "-a", app], 0, &["=== web", "web.1: up"]).await;
    says(
        &platform,
        &["ps:scale", "web=2", "-a", app],
        0,
        &["now running web at 2"],
    )
    .await;
    says(&platform, &["ps:wait", "-a", app], 0, &[]).await;
    says(
        &platform,
        &["config:set", "COLOUR=blue", "-a", app],
        0,
        &["v3"],
    )
    .await;
    says(&platform, &["ps:wait", "-a", app], 0, &[]).await;
    says(&platform, &["ps:restart", "-a", app], 0, &["done"]).await;
    says(
        &platform,
        &["releases", "-a", app],
        0,
        &["v3", "Set COLOUR"],
    )
    .await;
    says(&platform, &["rollback", "v2", "-a", app], 0, &["done, v4"]).await;
    says(
        &platform,
        &["logs", "-a", app, "-n", "200"],
        0,
        &["State changed from starting to up"],
    )
    .await;
    says(
        &platform,
        &["run:detached", "echo", "done", "-a", app],
        0,
        &["heroku logs --app"],
    )
    .await;
}

#[tokio::test]
async fn heroku_run_gives_output_exit_status_and_takes_input() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project.push().await.ok();
    let app = project.app.as_str();
    says(
        &platform,
        &["run", "-a", app, "--", "echo", "Hello, 世界"],
        0,
        &["Hello, 世界"],
    )
    .await;
    says(
        &platform,
        &["run", "--no-tty", "-a", app, "--", "echo hi"],
        0,
        &["hi"],
    )
    .await;
    says(
        &platform,
        &["run", "--exit-code", "-a", app, "--", "sh -c 'exit 7'"],
        7,
        &[],
    )
    .await;
    says(
        &platform,
        &[
            "run",
            "-a",
            app,
            "--",
            "sh -c 'echo [$COLUMNS] [$TERM]; tty'",
        ],
        0,
        &["/dev/pts/"],
    )
    .await;
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

    let promote = ["pipelines:promote", "-a", from];
    says(
        &platform,
        &promote,
        0,
        &["Promotion successful", "succeeded"],
    )
    .await;
    says(&platform, &["releases", "-a", to], 0, &["v4", "Promote"]).await;
}
