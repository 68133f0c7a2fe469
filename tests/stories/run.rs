//! One-off dynos: output, exit status, pipes, detached. The terminal itself is tested with the command line's own tests.

use std::process::Stdio;
use std::time::Duration;

use tests::Platform;
use tests::eventually::eventually;
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn run_gives_output_exit_status_and_pipes_and_leaves_no_container() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project.push().await.ok();

    project
        .paas(&["run", "--no-tty", "--", "echo", "Hello, 世界"])
        .await
        .ok()
        .says("Hello, 世界");
    let said = project
        .paas(&[
            "run",
            "--no-tty",
            "--",
            "bash",
            "-c",
            "echo out; echo err >&2; exit 7",
        ])
        .await;
    assert_eq!(said.status, 7, "{said:?}");
    assert!(said.stdout.contains("out"), "{said:?}");
    assert!(said.stderr.contains("err"), "{said:?}");
    let said = project
        .paas(&["run", "--no-tty", "--", "no-such-program"])
        .await;
    assert_eq!(said.status, 127, "{said:?}");

    // A megabyte in, the same megabyte out.
    let input: String = (0..100_000).map(|n| format!("{n:09}\n")).collect();
    let mut cat = platform.command(&["run", "-a", &project.app, "--no-tty", "--", "cat"]);
    cat.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut cat = cat.spawn().unwrap();
    let mut stdin = cat.stdin.take().unwrap();
    let sent = input.clone();
    let feed = tokio::spawn(async move { stdin.write_all(sent.as_bytes()).await });
    let output = tokio::time::timeout(Duration::from_secs(60), cat.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    feed.await.unwrap().unwrap();
    assert!(output.status.success());
    assert!(
        output.stdout == input.as_bytes(),
        "{} bytes came back",
        output.stdout.len()
    );

    eventually(
        "only the web dyno is left",
        Duration::from_secs(30),
        || async { (platform.containers("dyno").await.len() == 1).then_some(()) },
    )
    .await;
}

#[tokio::test]
async fn where_no_host_takes_dynos_a_run_says_so_and_a_restart_stops_nothing() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project.push().await.ok();
    let before = platform.containers("dyno").await;
    let nodes = project.paas(&["nodes", "--json"]).await.ok().stdout;
    let nodes: serde_json::Value = serde_json::from_str(&nodes).unwrap();
    let node = nodes[0]["name"].as_str().unwrap();
    project.paas(&["nodes:cordon", node]).await.ok();

    let run = project.paas(&["run", "--no-tty", "--", "true"]).await;
    assert!(!run.success(), "{}", run.all());
    let run = run.says("could not be placed: there is no live node that takes new dynos");
    run.says(&format!("cordoned: {node}"));
    let restart = project.paas(&["ps:restart"]).await;
    assert!(!restart.success(), "{}", restart.all());
    assert_eq!(platform.containers("dyno").await, before);
    assert_eq!(project.get("/").await.status, 200);

    project.paas(&["nodes:uncordon", node]).await.ok();
    eventually("it is restarted", Duration::from_secs(60), || async {
        let after = platform.containers("dyno").await;
        (after.len() == 1 && after != before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn run_detached_logs_what_it_says() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project.push().await.ok();
    project
        .paas(&["run:detached", "--", "echo", "from afar"])
        .await
        .ok()
        .says("run.");
    eventually(
        "its line is in the log",
        Duration::from_secs(30),
        || async {
            project
                .paas(&["logs", "-n", "100"])
                .await
                .ok()
                .stdout
                .contains("from afar")
                .then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn a_terminal_has_the_size_of_ours_and_takes_keys() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project.push().await.ok();
    let mut script = at_a_terminal(&platform, &format!("run -a {} bash", project.app));
    let mut keys = script.stdin.take().unwrap();
    let mut screen = script.stdout.take().unwrap();
    let mut seen = Seen::default();
    let talk = async {
        expect(&mut screen, &mut seen, "$ ").await;
        keys.write_all(b"stty size; echo tty-$((40+2))\r")
            .await
            .unwrap();
        expect(&mut screen, &mut seen, "31 97").await;
        expect(&mut screen, &mut seen, "tty-42").await;
        keys.write_all(b"sleep 1000\r").await.unwrap();
        expect(&mut screen, &mut seen, "sleep 1000").await;
        keys.write_all(b"\x03echo after-$((1+1))\r").await.unwrap();
        expect(&mut screen, &mut seen, "after-2").await;
        keys.write_all(b"exit 5\r").await.unwrap();
        drop(keys);
        script.wait().await.unwrap().code()
    };
    let code = tokio::time::timeout(Duration::from_secs(60), talk).await;
    assert_eq!(
        code.unwrap_or_else(|_| panic!("no end in sight:\n{}", seen.text)),
        Some(5),
        "{}",
        seen.text
    );
}

#[tokio::test]
async fn run_inside_joins_a_dyno_that_serves_and_leaves_it_serving() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project.push().await.ok();
    let before = platform.containers("dyno").await;
    let inside = async |words: &[&str]| {
        let all = [&["run:inside", "--no-tty", "web.1", "--"], words].concat();
        project.paas(&all).await
    };

    inside(&["sh", "-c", "echo $DYNO:$PORT:$PWD > /app/left"])
        .await
        .ok();
    let found = inside(&["cat", "/app/left"]).await.ok();
    assert_eq!(found.stdout, "web.1:5000:/app\n");
    // One word is a shell line.
    inside(&["cat /proc/[0-9]*/cmdline"])
        .await
        .says("server.py");
    let said = inside(&["sh", "-c", "echo out; echo err >&2; exit 7"]).await;
    assert_eq!(
        (said.status, said.stdout.as_str()),
        (7, "out\n"),
        "{said:?}"
    );
    assert!(said.stderr.contains("err"), "{said:?}");

    let mut cat = platform.command(&["ps:exec", "-a", &project.app, "web.1", "sha256sum"]);
    cat.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut cat = cat.spawn().unwrap();
    let mut stdin = cat.stdin.take().unwrap();
    let input: String = (0..100_000).map(|n| format!("{n:09}\n")).collect();
    let feed = tokio::spawn(async move { stdin.write_all(input.as_bytes()).await });
    let output = tokio::time::timeout(Duration::from_secs(60), cat.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    feed.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let sum = "9ee83169944fc6c3791173603b00180b3eec690383f852335c621f4779f09bec";
    assert!(output.status.success() && said.starts_with(sum), "{said}");

    let nobody = project
        .paas(&["run:inside", "web.7", "true"])
        .await
        .failed();
    nobody.says("Couldn't find the dyno web.7");
    assert_eq!(platform.containers("dyno").await, before);
    let shown = project.paas(&["ps"]).await.ok();
    assert!(!shown.stdout.contains("run."), "{shown:?}");
    assert_eq!(project.get("/").await.status, 200);
}

#[tokio::test]
async fn a_shell_inside_a_dyno_has_our_terminal_and_ends_when_the_dyno_is_restarted() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project.push().await.ok();
    let mut script = at_a_terminal(&platform, &format!("run:inside web.1 -a {}", project.app));
    let mut keys = script.stdin.take().unwrap();
    let mut screen = script.stdout.take().unwrap();
    let mut seen = Seen::default();
    let talk = async {
        expect(&mut screen, &mut seen, "$ ").await;
        keys.write_all(b"stty size; echo in-$DYNO-$((40+2))\r")
            .await
            .unwrap();
        expect(&mut screen, &mut seen, "31 97").await;
        expect(&mut screen, &mut seen, "in-web.1-42").await;
        project.paas(&["ps:restart", "web.1"]).await.ok();
        expect(&mut screen, &mut seen, "the dyno has ended").await;
        script.wait().await.unwrap().code()
    };
    let code = tokio::time::timeout(Duration::from_secs(60), talk).await;
    assert_eq!(
        code.unwrap_or_else(|_| panic!("no end in sight:\n{}", seen.text)),
        Some(1),
        "{}",
        seen.text
    );
}

/// `paas` at a real terminal of 97 columns and 31 lines, which `script` gives it.
fn at_a_terminal(platform: &Platform, words: &str) -> tokio::process::Child {
    let paas = tests::platform::binary("paas");
    let inner = format!("stty cols 97 rows 31; {} {words}", paas.display());
    let mut script = tokio::process::Command::new("script");
    script
        .args(["-qefc", &inner, "/dev/null"])
        .current_dir(platform.home());
    platform.environment(&mut script);
    script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// What the terminal has shown, and how much of it was looked for already.
#[derive(Default)]
struct Seen {
    text: String,
    looked_at: usize,
}

/// Reads until `wanted` comes after what was expected before.
async fn expect(screen: &mut tokio::process::ChildStdout, seen: &mut Seen, wanted: &str) {
    let mut buffer = [0u8; 4096];
    loop {
        if let Some(at) = seen.text[seen.looked_at..].find(wanted) {
            seen.looked_at += at + wanted.len();
            return;
        }
        let read = tokio::io::AsyncReadExt::read(screen, &mut buffer)
            .await
            .unwrap();
        assert!(read > 0, "it ended before {wanted:?}:\n{}", seen.text);
        seen.text
            .push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}
