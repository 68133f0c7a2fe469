use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use serde_json::json;

use super::harness::{Cli, program};
use super::run_pipes::{Kind, Script, answer_run, eventually};
use super::shapes::{current, release};

/// A program in a terminal of its own.
pub(crate) struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn std::io::Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    screen: Arc<Mutex<Vec<u8>>>,
    /// Keeps the terminal and its settings alive when the program has ended.
    _slave: Box<dyn portable_pty::SlavePty + Send>,
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize {
        rows,
        cols,
        pixel_width: 0,
        pixel_height: 0,
    }
}

impl Terminal {
    pub(crate) fn start(cli: &Cli, args: &[&str]) -> Self {
        Self::run(cli, program(), args)
    }

    pub(crate) fn run(cli: &Cli, program: &str, args: &[&str]) -> Self {
        let pair = native_pty_system().openpty(size(24, 80)).unwrap();
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.cwd(cli.dir.path());
        command.env_clear();
        for (name, value) in cli.env() {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, shown) = (pair.master.try_clone_reader().unwrap(), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                shown.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Self {
            keyboard: pair.master.take_writer().unwrap(),
            master: pair.master,
            child,
            screen,
            _slave: pair.slave,
        }
    }

    pub(crate) fn shows(&self, text: &str) {
        eventually(|| self.screen().contains(text));
    }

    pub(crate) fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
        self.keyboard.flush().unwrap();
    }

    pub(crate) fn echoes(&self) -> bool {
        format!("{:?}", self.master.get_termios().unwrap().local_flags).contains("ECHO ")
    }

    pub(crate) fn ends_with(&mut self) -> u32 {
        eventually(|| self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().exit_code()
    }
}

fn shell() -> (Cli, Script) {
    let cli = Cli::new();
    let script = Script::new(Kind::Shell);
    answer_run(&cli);
    cli.stub.script(script.clone());
    (cli, script)
}

#[test]
fn a_shell_gets_every_key_and_the_window_and_the_terminal_is_given_back() {
    let (cli, script) = shell();
    let mut terminal = Terminal::start(&cli, &["run", "-a", "myapp", "bash"]);
    terminal.shows("$ ");
    terminal.shows("up, run.4242");
    assert!(!terminal.echoes(), "raw mode");
    let asked = cli.stub.seen("POST /apps/myapp/dynos")[0].body.clone();
    assert_eq!(
        asked,
        json!({ "attach": true, "command": "bash", "env": { "TERM": "xterm", "COLUMNS": "80", "LINES": "24" } })
    );
    eventually(|| {
        script
            .controls
            .lock()
            .unwrap()
            .contains(&json!({ "resize": { "columns": 80, "lines": 24 } }))
    });

    terminal.master.resize(size(50, 132)).unwrap();
    eventually(|| {
        script
            .controls
            .lock()
            .unwrap()
            .contains(&json!({ "resize": { "columns": 132, "lines": 50 } }))
    });

    terminal.press(b"a\x03\x1a\x04\r");
    eventually(|| *script.typed.lock().unwrap() == b"a\x03\x1a\x04\r");
    terminal.press(b"q");
    assert_eq!(terminal.ends_with(), 7);
    assert!(terminal.echoes(), "the terminal is as before");
}

#[test]
fn four_ctrl_c_leave_a_dyno_that_hangs_and_give_the_terminal_back() {
    let (cli, _) = shell();
    let mut terminal = Terminal::start(&cli, &["run", "-a", "myapp", "bash"]);
    terminal.shows("$ ");
    terminal.press(b"\x03\x03\x03\x03");
    assert_eq!(terminal.ends_with(), 130);
    assert!(terminal.echoes());
}

#[test]
fn ended_by_a_signal_the_terminal_is_given_back_too() {
    let (cli, _) = shell();
    let mut terminal = Terminal::start(&cli, &["run", "-a", "myapp", "bash"]);
    terminal.shows("$ ");
    let process = terminal.child.process_id().unwrap().to_string();
    assert!(
        cli.command("kill")
            .args(["-TERM", &process])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(terminal.ends_with(), 143);
    assert!(terminal.echoes());
}

#[test]
fn progress_is_rewritten_in_place_and_coloured_and_values_are_echoed() {
    let cli = Cli::new();
    cli.stub
        .on(
            "GET /apps/myapp/releases",
            json!([current(release(3, "succeeded", "Deploy"))]),
        )
        .on(
            "GET /apps/myapp/releases",
            json!([release(4, "pending", "Set A config vars")]),
        )
        .on(
            "PATCH /apps/myapp/config-vars",
            json!({ "A": "1", "OLD": "secret" }),
        )
        .on(
            "GET /apps/myapp/releases/v4",
            release(4, "pending", "Set A config vars"),
        )
        .on(
            "GET /apps/myapp/releases/v4",
            release(4, "succeeded", "Set A config vars"),
        )
        .on(
            "GET /apps/myapp/dynos",
            json!([super::shapes::dyno("web.1", 1, "starting")]),
        );
    let mut terminal = Terminal::start(&cli, &["config:set", "A=1", "-a", "myapp"]);
    assert_eq!(terminal.ends_with(), 0);
    terminal.shows("1\r\n");
    let screen = terminal.screen();
    assert!(
        screen.contains("\r\x1b[K") && screen.contains("v4, web.1 starting (0s)"),
        "{screen}"
    );
    assert!(
        screen.contains("\x1b[35m⬢ myapp\x1b[0m... done, v4\r\n"),
        "{screen}"
    );
    assert!(
        screen.contains("\x1b[32mA:\x1b[0m  1\r\n") && !screen.contains("secret"),
        "{screen}"
    );
}

#[test]
fn a_password_is_asked_for_without_showing_it() {
    let mut cli = Cli::new();
    cli.unset("PAAS_API_KEY");
    cli.stub
        .on(
            "POST /oauth/authorizations",
            super::shapes::authorization(super::stub::TOKEN),
        )
        .on("GET /account", super::shapes::account());
    let mut terminal = Terminal::start(&cli, &["login", "-i"]);
    terminal.shows("Email: ");
    terminal.press(b"me@example.com\n");
    terminal.shows("Password: ");
    assert!(!terminal.echoes());
    terminal.press(b"correct horse\n");
    assert_eq!(terminal.ends_with(), 0);
    terminal.shows("Logged in as me@example.com");
    assert!(!terminal.screen().contains("horse"));
    assert!(terminal.echoes());
    let sent = &cli.stub.seen("POST /oauth/authorizations")[0];
    assert_eq!(
        sent.authorization,
        "Basic bWVAZXhhbXBsZS5jb206Y29ycmVjdCBob3JzZQ=="
    );
}

#[test]
fn no_color_is_respected() {
    let mut cli = Cli::new();
    cli.set("NO_COLOR", "1");
    cli.stub
        .on("GET /apps/myapp/config-vars", json!({ "A": "1" }));
    let mut terminal = Terminal::start(&cli, &["config", "-a", "myapp"]);
    assert_eq!(terminal.ends_with(), 0);
    terminal.shows("A:  1");
    assert!(
        !terminal.screen().contains("\x1b["),
        "{}",
        terminal.screen()
    );
}
