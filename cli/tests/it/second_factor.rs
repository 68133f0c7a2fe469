//! A code of a device besides the password, as people at a terminal meet it.

use std::time::{SystemTime, UNIX_EPOCH};

use totp_rs::{Builder, Secret};

use super::harness::Cli;
use super::heroku::Heroku;
use super::platform::{EMAIL, Platform};
use super::run_pipes::eventually;
use super::run_terminal::Terminal;

/// The steps of a device; the platform takes the code of one early or late, so two of them are good for half a minute.
struct Device {
    secret: String,
    step: u64,
}

impl Device {
    fn new(secret: String) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self {
            secret,
            step: now.as_secs() / 30,
        }
    }

    fn code(&self, steps: u64) -> String {
        let secret = Secret::try_from_base32(&self.secret).unwrap();
        let totp = Builder::new().with_secret(secret).build().unwrap();
        totp.generate((self.step + steps) * 30).to_string()
    }
}

/// What follows `label` on its line.
fn after(screen: &str, label: &str) -> String {
    let (_, rest) = screen.split_once(label).unwrap();
    rest.lines().next().unwrap().trim().to_owned()
}

/// The device, and the first recovery code.
fn enable(cli: &Cli, password: &str) -> (Device, String) {
    let mut terminal = Terminal::start(cli, &["auth:2fa:enable"]);
    terminal.shows("Password: ");
    assert!(!terminal.echoes());
    terminal.press(format!("{password}\n").as_bytes());
    terminal.shows("Code that the app shows: ");
    let screen = terminal.screen();
    assert!(screen.contains('▀') && screen.contains('▄'), "{screen}");
    let secret = after(&screen, "Or type the secret: ").replace(' ', "");
    let device = Device::new(secret);
    // Mistyped: the same code of the app's is asked for again.
    terminal.press(b"000000\n");
    eventually(|| {
        terminal
            .screen()
            .matches("Code that the app shows: ")
            .count()
            == 2
    });
    terminal.press(format!("{}\n", device.code(0)).as_bytes());
    assert_eq!(terminal.ends_with(), 0, "{}", terminal.screen());
    terminal.shows("not shown again");
    let screen = terminal.screen();
    assert!(!screen.contains(password));
    let (_, codes) = screen.split_once("Recovery codes:").unwrap();
    let codes: Vec<_> = codes.lines().filter(|line| line.contains('-')).collect();
    (device, codes[0].trim().to_owned())
}

fn log_in(cli: &Cli, password: &str, code: &str) -> (u32, String) {
    let mut terminal = Terminal::start(cli, &["login", "-i", "--email", EMAIL, "--no-git"]);
    terminal.shows("Password: ");
    terminal.press(format!("{password}\n").as_bytes());
    terminal.shows("Two-factor code: ");
    assert!(!terminal.echoes());
    terminal.press(format!("{code}\n").as_bytes());
    let status = terminal.ends_with();
    (status, terminal.screen())
}

#[test]
fn a_device_is_enrolled_at_the_terminal_and_login_asks_for_its_code() {
    let platform = Platform::start();
    let cli = platform.cli();
    cli.paas(&["auth:2fa"])
        .answers("Two-factor authentication is not enabled\n");
    let (device, recovery) = enable(&cli, &platform.password);
    cli.paas(&["auth:2fa"])
        .answers("Two-factor authentication is enabled\n10 recovery codes are left\n");
    let (status, screen) = log_in(&cli, &platform.password, "000000");
    assert_eq!(status, 1);
    assert!(screen.contains("two-factor code is not right"), "{screen}");
    let (status, screen) = log_in(&cli, &platform.password, &device.code(1));
    assert_eq!(status, 0, "{screen}");
    terminal_shows(&screen, "Logged in as admin@example.com");

    let script = ["login", "--email", EMAIL, "--password-stdin", "--no-git"];
    let refused = cli.paas_with_stdin(&script, platform.password.as_bytes());
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("--code"), "{}", refused.stderr);
    let with_code = [&script[..], &["--code", &recovery]].concat();
    let outcome = cli.paas_with_stdin(&with_code, platform.password.as_bytes());
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    cli.paas(&["auth:2fa"])
        .answers("Two-factor authentication is enabled\n9 recovery codes are left\n");
}

fn terminal_shows(screen: &str, text: &str) {
    assert!(screen.contains(text), "{screen}");
}

#[test]
fn the_official_heroku_cli_asks_for_the_code() {
    let heroku = Heroku::start();
    let password = heroku.platform.password.clone();
    let (device, recovery) = enable(&heroku.cli, &password);
    let said = heroku.run(&["auth:2fa"]);
    assert!(said.stdout.contains("is enabled"), "{}", said.stdout);

    let script = "unset HEROKU_API_KEY; heroku login -i && heroku auth:whoami";
    let log_in = |code: &str| {
        let args = ["heroku-proxy", "--", "sh", "-c", script];
        let mut terminal = Terminal::start(&heroku.cli, &args);
        terminal.shows("Email");
        terminal.press(format!("{EMAIL}\r").as_bytes());
        terminal.shows("Password");
        terminal.press(format!("{password}\r").as_bytes());
        terminal.shows("Two-factor code");
        terminal.press(format!("{code}\r").as_bytes());
        let status = terminal.ends_with();
        (status, terminal.screen())
    };
    let (status, screen) = log_in("000000");
    assert_ne!(status, 0, "{screen}");
    terminal_shows(&screen, "two-factor code is not right");
    for code in [device.code(1), recovery] {
        let (status, screen) = log_in(&code);
        assert_eq!(status, 0, "{screen}");
        terminal_shows(&screen, "admin@example.com");
    }
}
