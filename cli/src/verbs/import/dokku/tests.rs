use proptest::prelude::*;

use super::*;

/// What the commands in the manual say of an app, in the words of Dokku 0.38.
const SAID: &str = include_str!("tests/shop.dokku");
/// What they said in 2020, when `ps:scale` drew another table, with the variables as for a shell.
const SAID_LONG_AGO: &str = include_str!("tests/shop-2020.dokku");

fn described(text: &str) -> Described {
    let said = parse(text).unwrap();
    let name = said.apps.iter().next().cloned().unwrap_or_default();
    describe(said, name, "shop.dokku".to_owned())
}

fn left(described: &Described) -> Vec<String> {
    let left = described.left.iter();
    left.map(|item| format!("{} {}", item.kind, item.name))
        .collect()
}

#[test]
fn an_app_is_read_from_what_dokku_says_of_it() {
    let shop = described(SAID);
    assert_eq!(shop.name, "shop");
    let value = |name: &str| shop.config[name].expose().as_str();
    assert_eq!(value("SECRET_KEY_BASE"), "it's {\"deep\"}\nand long");
    assert_eq!(value("EMPTY"), "");
    assert!(
        matches!(&shop.ties["DATABASE_URL"], Tie::Addon(owner) if owner.contains("dokku-postgres-shopdb"))
    );
    assert!(matches!(
        &shop.ties["DOKKU_POSTGRES_AQUA_URL"],
        Tie::Addon(_)
    ));
    assert!(matches!(
        &shop.ties["DOKKU_LETSENCRYPT_EMAIL"],
        Tie::Platform(_)
    ));
    assert!(matches!(&shop.ties["GIT_REV"], Tie::Platform(_)));
    assert!(!shop.ties.contains_key("API_URL"));
    let domains: Vec<_> = shop
        .domains
        .iter()
        .map(|one| one.hostname.as_str())
        .collect();
    assert_eq!(domains, ["www.shop.example", "shop.example"]);
    let process = |name: &str| {
        shop.formation
            .iter()
            .find(|one| one.process_type == name)
            .unwrap()
    };
    assert_eq!(
        (process("web").quantity, &process("web").size),
        (2, &SizeThere::Bytes(1 << 30))
    );
    assert_eq!(
        (
            process("mail-worker").quantity,
            &process("mail-worker").size
        ),
        (1, &SizeThere::Bytes(512 << 20))
    );
    assert_eq!(
        shop.buildpacks,
        [
            "https://github.com/heroku/heroku-buildpack-nodejs.git",
            "https://github.com/heroku/heroku-buildpack-python.git"
        ]
    );
    assert_eq!(
        shop.formation.len(),
        2,
        "what `report` says of Docker is no formation"
    );
    assert!(shop.has_certificates);
    // What it will be called here is not known yet.
    assert!(!shop.left.iter().any(|item| item.note.contains("-a shop")));
    assert_eq!(
        left(&shop),
        [
            "storage -v /var/lib/dokku/data/storage/shop:/app/uploads",
            "cron tasks 2",
            "certificate shop.example www.shop.example",
            "branch production",
            "docker options --shm-size",
            "service dokku-postgres-shopdb",
            "domain shop.dokku.example",
        ]
    );
}

#[test]
fn older_answers_are_understood_too() {
    let shop = described(SAID_LONG_AGO);
    assert_eq!(shop.config["MOTTO"].expose(), "it's\ntwo lines");
    assert_eq!(shop.config["MODE"].expose(), "production");
    let scale: Vec<_> = shop
        .formation
        .iter()
        .map(|one| (one.process_type.as_str(), one.quantity))
        .collect();
    assert_eq!(scale, [("web", 1), ("worker", 3)]);
    assert_eq!(shop.domains[0].hostname, "old.shop.example");
    assert!(left(&shop).contains(&"builder dockerfile".to_owned()));
}

#[test]
fn json_is_understood_wherever_dokku_offers_it() {
    let text = r#"[{"name":"A","value":"1"}]
[{"process_type":"web","quantity":0}]
{"app-enabled":"true","app-vhosts":"a.example","domains-app-vhosts":"a.example","domains-global-vhosts":""}
=====> shop buildpacks information
"#;
    let shop = described(text);
    assert_eq!(shop.config["A"].expose(), "1");
    assert_eq!(shop.formation[0].quantity, 0);
    assert_eq!(shop.domains[0].hostname, "a.example");
}

#[test]
fn what_is_missing_is_told_with_the_command_for_it() {
    let shop = described("-----> Scaling for shop\nproctype: qty\n--------: ---\nweb:  1\n");
    assert_eq!(
        left(&shop),
        ["answer config:export --format json", "answer report"]
    );
}

#[test]
fn what_dokku_said_is_quoted_in_the_commands_that_are_told() {
    let shop = described(
        "=====> shop;id git information\n       Git deploy branch: a$(id)\n       Ssl enabled: false\n",
    );
    let notes: Vec<_> = shop.left.iter().map(|item| item.note.as_str()).collect();
    assert_eq!(
        notes,
        [
            "here main is deployed: git push paas 'a$(id):main'",
            "nothing is known of it: dokku config:export --format json 'shop;id'",
            "nothing is known of it: dokku ps:scale 'shop;id'",
        ]
    );
    let dashed = described("=====> shop git information\n       Git deploy branch: --exec=id\n");
    assert!(
        dashed.left[0]
            .note
            .ends_with("git push paas refs/heads/--exec=id:main")
    );
}

#[test]
fn docker_options_are_named_without_their_values() {
    for (said, names) in [
        ("--link a:b --link=a:b --restart=on-failure:10", vec![]),
        (
            "-e TOKEN=hunter2 -eTOKEN=hunter2 --env=TOKEN=hunter2 --privileged",
            vec!["-e", "--env", "--privileged"],
        ),
        (
            "--label 'a=b -hunter2 --hunter2' -v /a:/b",
            vec!["--label", "-v"],
        ),
        ("-\u{e9}\u{e9} --", vec!["-\u{e9}", "--"]),
        ("", vec![]),
    ] {
        assert_eq!(options(said), names, "{said}");
    }
}

#[test]
fn what_is_not_from_dokku_is_refused() {
    for text in ["", "hello\nworld\n", "[1, 2]\n", "{\"A\": 1}\n"] {
        assert!(parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_value_leads_to_the_dokku_host_when_its_host_is_a_service_there() {
    for (value, found) in [
        (
            "postgres://postgres:pw@dokku-postgres-db:5432/db",
            Some("dokku-postgres-db"),
        ),
        (
            "redis://:p@ss@dokku-redis-cache:6379",
            Some("dokku-redis-cache"),
        ),
        ("https://dokku-postgres.example.com/", None),
        ("dokku-postgres-db", None),
        ("", None),
    ] {
        assert_eq!(service(value), found, "{value}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(export |=====> |-----> |[A-Z]{1,3}='|'|\\\\'|\\{|\\[|\"|: |\n|       |web|[0-9]){0,30}") {
        let _ = parse(&text);
    }

    #[test]
    fn every_value_that_dokku_quotes_is_read_back(values in prop::collection::btree_map("[A-Z_]{1,8}", "[a-z' \n\"\\\\$={}\\[]{0,12}", 1..6)) {
        let exported: String = values
            .iter()
            .map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', "'\\''")))
            .collect();
        prop_assert_eq!(&parse(&exported).unwrap().config.unwrap(), &values);
        let json = serde_json::to_string(&values).unwrap();
        prop_assert_eq!(&parse(&json).unwrap().config.unwrap(), &values);
    }
}
