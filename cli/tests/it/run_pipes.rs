use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};

use super::harness::{Cli, program};
use super::shapes::{attachable, dyno};

const STDIN: u8 = 0;
pub(crate) const STDOUT: u8 = 1;
const STDERR: u8 = 2;

/// What the far end of an attached dyno does.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) kind: Kind,
    pub(crate) controls: Arc<Mutex<Vec<Value>>>,
    pub(crate) typed: Arc<Mutex<Vec<u8>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sends back what it gets, and ends with its input.
    Cat,
    /// A prompt; keys come back; `q` ends with 7.
    Shell,
    /// Writes to both outputs and exits with 3.
    BothOutputs,
    /// Runs until it is sent a signal, and exits with 130.
    UntilSignal,
    /// Cannot be started.
    Broken,
    /// Hangs up without a word.
    Lost,
    /// Does nothing, for good.
    Hung,
}

impl Script {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            controls: Arc::default(),
            typed: Arc::default(),
        }
    }

    pub(crate) async fn play(self, mut socket: WebSocket) {
        match self.kind {
            Kind::Shell => say(&mut socket, STDOUT, b"$ ").await,
            Kind::BothOutputs => {
                say(&mut socket, STDOUT, b"to out\n").await;
                say(&mut socket, STDERR, b"to err\n").await;
                return exit(&mut socket, 3).await;
            }
            Kind::UntilSignal => say(&mut socket, STDOUT, b"running\n").await,
            Kind::Broken => {
                let error =
                    json!({ "error": "The dyno could not be started: no room on any node" });
                return end(&mut socket, &error).await;
            }
            Kind::Lost => return,
            Kind::Cat | Kind::Hung => {}
        }
        while let Some(Ok(message)) = socket.recv().await {
            match message {
                Message::Text(text) => {
                    let control: Value = serde_json::from_str(&text).unwrap();
                    self.controls.lock().unwrap().push(control.clone());
                    match self.kind {
                        Kind::Cat if control["eof"] == true => return exit(&mut socket, 0).await,
                        Kind::UntilSignal if control["signal"] == "INT" => {
                            return exit(&mut socket, 130).await;
                        }
                        _ => {}
                    }
                }
                Message::Binary(frame) => {
                    assert!(frame[0] == STDIN && frame.len() <= 64 * 1024);
                    match self.kind {
                        Kind::Cat => say(&mut socket, STDOUT, &frame[1..]).await,
                        Kind::Shell => {
                            self.typed.lock().unwrap().extend_from_slice(&frame[1..]);
                            say(&mut socket, STDOUT, &frame[1..]).await;
                            if frame.contains(&b'q') {
                                return exit(&mut socket, 7).await;
                            }
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
    }
}

async fn say(socket: &mut WebSocket, stream: u8, data: &[u8]) {
    let mut frame = vec![stream];
    frame.extend_from_slice(data);
    let _ = socket.send(Message::Binary(frame.into())).await;
}

/// The last word, after which the client is heard out: hung up on, it might not hear it.
async fn end(socket: &mut WebSocket, control: &Value) {
    let _ = socket.send(Message::Text(control.to_string().into())).await;
    while let Some(Ok(_)) = socket.recv().await {}
}

async fn exit(socket: &mut WebSocket, status: i64) {
    end(socket, &json!({ "exit": { "status": status } })).await;
}

/// A dyno that can be attached to, and is up when one looks again.
pub(crate) fn answer_run(cli: &Cli) {
    cli.stub
        .on("POST /apps/myapp/dynos", attachable("run.4242"))
        .on(
            "GET /apps/myapp/dynos/run.4242",
            dyno("run.4242", 1, "starting"),
        )
        .on("GET /apps/myapp/dynos/run.4242", dyno("run.4242", 1, "up"));
}

fn cli(kind: Kind) -> (Cli, Script) {
    let cli = Cli::new();
    let script = Script::new(kind);
    answer_run(&cli);
    cli.stub.script(script.clone());
    (cli, script)
}

#[test]
fn ten_megabytes_go_through_pipes_and_come_back_as_they_were() {
    let (cli, _) = cli(Kind::Cat);
    let mut command = cli.command(program());
    command
        .args(["run", "-a", "myapp", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let sent: Vec<u8> = (0..10_000_019_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let (mut stdin, copy) = (child.stdin.take().unwrap(), sent.clone());
    let writer = std::thread::spawn(move || stdin.write_all(&copy).unwrap());
    let mut received = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut received)
        .unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(
        received == sent,
        "{} bytes came back of {}",
        received.len(),
        sent.len()
    );
    let asked = &cli.stub.seen("POST /apps/myapp/dynos")[0].body;
    assert_eq!(
        *asked,
        json!({ "attach": true, "command": "cat", "force_no_tty": true })
    );
}

#[test]
fn outputs_stay_apart_and_the_exit_status_is_the_commands() {
    let (cli, _) = cli(Kind::BothOutputs);
    let outcome = cli.paas(&["run", "sh -c 'exit 3'", "-a", "myapp"]);
    assert_eq!((outcome.stdout.as_str(), outcome.code), ("to out\n", 3));
    assert_eq!(
        outcome.stderr,
        "Running sh -c 'exit 3' on ⬢ myapp... up, run.4242\nto err\n"
    );
}

#[test]
fn ctrl_c_is_passed_on_to_a_command_with_pipes() {
    let (cli, script) = cli(Kind::UntilSignal);
    let mut command = cli.command(program());
    command
        .args(["run", "-a", "myapp", "sleep", "1000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut said = [0; 8];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut said)
        .unwrap();
    let interrupt = cli
        .command("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupt.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(
        script
            .controls
            .lock()
            .unwrap()
            .contains(&json!({ "signal": "INT" }))
    );
}

#[test]
fn a_command_that_hangs_is_left_at_the_second_signal() {
    let (cli, script) = cli(Kind::Hung);
    let mut command = cli.command(program());
    command
        .args(["run", "-a", "myapp", "hang"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let kill = || {
        assert!(
            cli.command("kill")
                .args(["-INT", &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        )
    };
    let controls = || script.controls.lock().unwrap().clone();
    eventually(|| controls().contains(&json!({ "eof": true })));
    kill();
    eventually(|| controls().contains(&json!({ "signal": "INT" })));
    kill();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_dyno_that_cannot_be_started_or_is_lost_is_an_error_in_words() {
    let (broken, _) = cli(Kind::Broken);
    let outcome = broken.paas(&["run", "x", "-a", "myapp"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome
            .stderr
            .ends_with(" ▸    Error: The dyno could not be started: no room on any node\n"),
        "{}",
        outcome.stderr
    );
    let (lost, _) = cli(Kind::Lost);
    let outcome = lost.paas(&["run", "x", "-a", "myapp"]);
    assert_eq!(outcome.code, 1);
    let said = outcome.stderr;
    assert!(
        said.contains("was lost") && said.contains("run:detached"),
        "{said}"
    );
    assert!(!said.contains("WebSocket"), "{said}");
}

#[test]
fn an_attach_that_is_refused_says_why() {
    let cli = Cli::new();
    answer_run(&cli);
    let outcome = cli.paas(&["run", "x", "-a", "myapp"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("Nobody is expected there."),
        "{}",
        outcome.stderr
    );
}

/// A dyno that is up, and can be attached to.
fn inside(kind: Kind) -> Cli {
    let (cli, _) = cli(kind);
    let mut web = attachable("web.1");
    web["state"] = "up".into();
    cli.stub.on("POST /apps/myapp/dynos/web.1", web);
    cli
}

#[test]
fn a_command_inside_a_dyno_is_run_as_one_in_a_dyno_of_its_own() {
    for (verb, words) in [
        (
            "run:inside",
            &["web.1", "sh", "-c", "exit 3", "-a", "myapp"][..],
        ),
        (
            "ps:exec",
            &["-a", "myapp", "web.1", "--", "sh", "-c", "exit 3"],
        ),
    ] {
        let cli = inside(Kind::BothOutputs);
        let outcome = cli.paas(&[&[verb], words].concat());
        assert_eq!((outcome.stdout.as_str(), outcome.code), ("to out\n", 3));
        assert_eq!(
            outcome.stderr,
            "Running sh -c exit 3 inside web.1 of ⬢ myapp... up, web.1\nto err\n"
        );
        assert_eq!(
            cli.stub.seen("POST /apps/myapp/dynos/web.1")[0].body,
            json!({ "command": "sh -c 'exit 3'", "force_no_tty": true })
        );
    }
}

#[test]
fn inside_a_dyno_no_command_is_a_shell() {
    let cli = inside(Kind::BothOutputs);
    let outcome = cli.paas(&["run:inside", "web.1", "-e", "A=1", "-a", "myapp"]);
    assert!(
        outcome
            .stderr
            .starts_with("Running a shell inside web.1 of ⬢ myapp... up, web.1\n"),
        "{}",
        outcome.stderr
    );
    assert_eq!(
        cli.stub.seen("POST /apps/myapp/dynos/web.1")[0].body,
        json!({ "env": { "A": "1" }, "force_no_tty": true })
    );
}

#[test]
fn losing_a_command_inside_a_dyno_is_not_losing_the_dyno() {
    let outcome = inside(Kind::Broken).paas(&["run:inside", "web.1", "x", "-a", "myapp"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("no room on any node"));
    let outcome = inside(Kind::Lost).paas(&["run:inside", "web.1", "x", "-a", "myapp"]);
    assert_eq!(outcome.code, 1);
    let said = outcome.stderr;
    assert!(
        said.contains("was lost") && said.contains("the dyno is not"),
        "{said}"
    );
}

/// Looks again and again, for ten seconds at most.
#[track_caller]
pub(crate) fn eventually(mut holds: impl FnMut() -> bool) {
    let (never, deadline) = std::sync::mpsc::channel::<()>();
    for _ in 0..1000 {
        if holds() {
            return;
        }
        let _ = deadline.recv_timeout(Duration::from_millis(10));
    }
    drop(never);
    panic!("it did not come true within ten seconds");
}
