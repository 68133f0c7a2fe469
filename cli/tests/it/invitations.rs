//! Inviting somebody, and being invited.

use super::harness::Cli;
use super::platform::Platform;
use super::run_pipes::eventually;
use super::run_terminal::Terminal;
use super::stub::Stub;

#[test]
fn an_invitation_is_given_out_listed_and_taken_up_at_a_terminal() {
    let platform = Platform::start();
    let admin = platform.cli();
    let invited = admin.paas(&["accounts:invite", "ivy@example.com", "--admin"]);
    let url = invited.stdout.trim().to_owned();
    assert!(url.contains("/auth/invitation/paas_"), "{url}");
    assert!(
        invited.stderr.contains("--invitation paas_"),
        "{}",
        invited.stderr
    );
    let listed = admin.paas(&["accounts:invitations"]).stdout;
    assert!(
        listed.contains("ivy@example.com") && listed.contains("administrator"),
        "{listed}"
    );

    let ivy = Cli::logged_out(Stub::start());
    let (api, _) = url.split_once("/auth/").unwrap();
    let login = ["login", "--api", api, "--invitation", &url, "--no-git"];
    let mut terminal = Terminal::start(&ivy, &login);
    terminal.shows("Your name: ");
    terminal.press(b"Ivy\n");
    let mut choose = |times: usize, password: &str, again: &str| {
        let asked = |what: &str| terminal.screen().matches(what).count() == times;
        eventually(|| asked("Password: "));
        assert!(!terminal.echoes());
        terminal.press(format!("{password}\n").as_bytes());
        let asked = |what: &str| terminal.screen().matches(what).count() == times;
        eventually(|| asked("Password again: "));
        terminal.press(format!("{again}\n").as_bytes());
    };
    choose(1, "correct horse", "battery staple");
    choose(2, "correct horse", "correct horse");
    assert_eq!(terminal.ends_with(), 0, "{}", terminal.screen());
    ivy.paas(&["whoami"]).answers("ivy@example.com\n");
    ivy.paas(&["accounts:invitations"]).answers("");
    // It was good once.
    let again = ivy.paas_with_stdin(
        &[
            "login",
            "--api",
            api,
            "--invitation",
            &url,
            "--password-stdin",
        ],
        b"correct horse",
    );
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("that invitation"), "{}", again.stderr);

    admin.paas(&["accounts:invite", "gus@example.com"]);
    let gone = admin.paas(&["accounts:uninvite", "gus@example.com"]);
    assert_eq!(gone.code, 0, "{}", gone.stderr);
    admin.paas(&["accounts:invitations"]).answers("");
}

#[test]
fn somebody_is_suspended_and_resumed_and_an_account_unlinked() {
    let platform = Platform::start();
    let admin = platform.cli();
    admin.paas(&["accounts:create", "ivy@example.com"]);
    let suspended = admin.paas(&["accounts:suspend", "ivy@example.com", "--json"]);
    assert!(
        suspended.stdout.contains("\"suspended_at\": \"2"),
        "{}",
        suspended.stdout
    );
    let resumed = admin.paas(&["accounts:resume", "ivy@example.com"]);
    assert_eq!(resumed.code, 0);
    assert!(
        resumed.stderr.contains("Resuming ivy@example.com"),
        "{}",
        resumed.stderr
    );
    let unlinked = admin.paas(&["accounts:unlink", "ivy@example.com"]);
    assert_eq!(unlinked.code, 1);
    assert!(
        unlinked.stderr.contains("linked with nobody"),
        "{}",
        unlinked.stderr
    );
}
