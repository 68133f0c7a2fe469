//! Manual pages, as `man` sees them.

use super::harness::{Cli, program};
use super::run_terminal::Terminal;

#[test]
fn every_command_has_a_page_that_man_has_nothing_against() {
    let cli = Cli::new();
    let pages = cli.dir.path().join("man1");
    let outcome = cli.paas(&["man", "--output", pages.to_str().unwrap()]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let mut names: Vec<_> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in [
        "paas.1",
        "paas-ps:scale.1",
        "paas-certs:auto:enable.1",
        "paas-import.1",
        "paas-import-heroku.1",
    ] {
        assert!(names.contains(&name.to_owned()), "{name}: {names:?}");
    }
    let mut man = cli.command("man");
    man.args(["--warnings", "-l"])
        .args(names.iter().map(|name| pages.join(name)))
        // Not every character is one of those that a terminal of the C locale has.
        .env("LC_ALL", "C.UTF-8")
        .env("MANPAGER", "cat");
    let output = match man.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("NOT TRIED: there is no man here; apt-get install man-db");
            return;
        }
        output => output.unwrap(),
    };
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("$ paas scale web=3 worker+1\n"));
    assert!(text.contains("paas - Deploy apps with git push, and run them"));
}

#[test]
fn a_page_is_printed_where_nobody_can_turn_it() {
    let cli = Cli::new();
    let page = cli.paas(&["man", "ps:scale"]);
    assert_eq!(page.code, 0, "{}", page.stderr);
    assert!(page.stdout.contains(".SH SYNOPSIS"), "{}", page.stdout);
    // A short name has the page of the long one.
    assert_eq!(cli.paas(&["man", "scale"]).stdout, page.stdout);
    let unknown = cli.paas(&["man", "nosuch"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("no command nosuch"));
}

#[test]
fn on_a_terminal_the_page_is_opened_and_without_man_help_has_to_do() {
    let mut cli = Cli::new();
    cli.set("MANPAGER", "cat");
    // With or without a `man`, this is in both.
    let mut terminal = Terminal::run(&cli, program(), &["man", "ps:scale"]);
    terminal.shows("TYPE=QUANTITY");
    assert_eq!(terminal.ends_with(), 0);
    assert!(!terminal.screen().contains(".SH"), "{}", terminal.screen());
    let empty = cli.dir.path().to_string_lossy().into_owned();
    cli.set("PATH", &empty);
    let mut terminal = Terminal::run(&cli, program(), &["man", "ps:scale"]);
    terminal.shows("paas ps:scale");
    assert_eq!(terminal.ends_with(), 0);
    assert!(
        terminal.screen().contains("Usage:"),
        "{}",
        terminal.screen()
    );
}

#[test]
fn who_asks_for_completion_without_a_shell_is_told_where_it_belongs() {
    let mut cli = Cli::new();
    cli.set("SHELL", "/usr/bin/zsh");
    let told = cli.paas(&["autocomplete"]);
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(told.stdout.contains("~/.zshrc"), "{}", told.stdout);
    assert_eq!(cli.paas(&["completion", "tcsh"]).code, 2);
}
