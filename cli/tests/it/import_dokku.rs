//! import dokku: from files with what a Dokku host said.

use serde_json::{Value, json};

use super::platform::Platform;

const SAID: &str = include_str!("../../src/verbs/import/dokku/tests/shop.dokku");

#[test]
fn an_app_of_dokku_comes_over_from_a_file_a_directory_or_standard_input() {
    let platform = Platform::start();
    let cli = platform.cli();
    let file = cli.dir.path().join("shop.dokku");
    std::fs::write(&file, SAID).unwrap();
    let parts = cli.dir.path().join("parts");
    std::fs::create_dir(&parts).unwrap();
    let (config, rest) = SAID.split_once("\n-----> Scaling").unwrap();
    std::fs::write(parts.join("2-config.json"), config).unwrap();
    std::fs::write(parts.join("1-rest"), format!("-----> Scaling{rest}")).unwrap();
    let outcome = cli.paas(&["import", "dokku", "shop.dokku"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    for line in [
        "=== shop of shop.dokku to shop, a new app\n",
        "  storage         -v /var/lib/dokku/data/storage/shop:/app/uploads",
        "1. Give it what the add-ons gave it there: paas config:set DATABASE_URL=… DOKKU_POSTGRES_AQUA_URL=… -a shop\n",
    ] {
        assert!(outcome.stdout.contains(line), "{line}: {}", outcome.stdout);
    }
    let vars = cli.paas(&["config", "-a", "shop", "--json"]).stdout;
    let vars: Value = serde_json::from_str(&vars).unwrap();
    assert_eq!(
        vars,
        json!({
            "API_URL": "https://api.shop.example", "EMPTY": "", "NODE_ENV": "production",
            "SECRET_KEY_BASE": "it's {\"deep\"}\nand long",
        })
    );
    cli.paas(&["ps:scale", "-a", "shop"])
        .answers("mail-worker=1:Standard-1X web=2:Standard-2X\n");
    for again in [
        cli.paas(&["import", "dokku", "parts"]),
        cli.paas_with_stdin(&["import", "dokku", "-"], SAID.as_bytes()),
    ] {
        assert_eq!(again.code, 0, "{}", again.stderr);
        assert!(
            again.stdout.contains("Nothing is to be done"),
            "{}",
            again.stdout
        );
    }
}

#[test]
fn what_is_no_answer_of_dokkus_is_refused_in_plain_words() {
    let platform = Platform::start();
    let cli = platform.cli();
    let refuse = |stdin: &[u8], words: &str| {
        let outcome = cli.paas_with_stdin(&["import", "dokku", "-"], stdin);
        assert_eq!(outcome.code, 1);
        assert!(
            outcome.stderr.contains(words),
            "{words}: {}",
            outcome.stderr
        );
    };
    refuse(b"hello\n", "There is nothing of Dokku's in it");
    refuse(b"\xff\xfe", "is no text");
    refuse(b"{\"A\":\"1\"}\n", "Nothing there says which app it is of");
    refuse(
        b"=====> one ps information\n       Running: true\n=====> two ps information\n",
        "This tells of several apps: one, two",
    );
    // A terminal is shown nothing that it would obey, nor what turns the words about.
    refuse(
        "=====> o\u{1b}ne ps information\n       Running: true\n=====> t\u{202e}wo ps information\n".as_bytes(),
        "This tells of several apps: one, two",
    );
    refuse(
        "{\"A\u{202e}B\": 1}\n".as_bytes(),
        "Error: AB in the JSON is no text",
    );
    refuse(&vec![b'x'; 5 << 20], "at most 4 MB are read");
    let missing = cli.paas(&["import", "dokku", "nosuch"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("nosuch"), "{}", missing.stderr);
    let named = cli.paas_with_stdin(
        &["import", "dokku", "-", "--to", "shop"],
        b"{\"A\":\"1\"}\n",
    );
    assert_eq!(named.code, 0, "{}", named.stderr);
}

#[test]
fn who_names_no_source_is_told_which_there_are() {
    let platform = Platform::start();
    let outcome = platform.cli().paas(&["import"]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome
            .stderr
            .contains("Error: 'paas import' requires a subcommand")
            && outcome.stderr.contains("heroku, deis, dokku"),
        "{}",
        outcome.stderr
    );
}
