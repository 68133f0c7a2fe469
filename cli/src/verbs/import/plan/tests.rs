use proptest::prelude::*;

use super::super::described::{DomainThere, SizeThere};
use super::*;

fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret<String>> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), Secret::from(*value)))
        .collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn process(process_type: &str, quantity: u32, size: SizeThere) -> ProcessThere {
    ProcessThere {
        process_type: process_type.to_owned(),
        quantity,
        size,
    }
}

fn sized(process_type: &str, quantity: u32, size: &str) -> ProcessThere {
    process(process_type, quantity, SizeThere::Named(size.to_owned()))
}

fn person(name: &str, permission: Option<&'static str>) -> PersonThere {
    PersonThere {
        name: name.to_owned(),
        permission,
    }
}

/// An app with a bit of everything.
fn shop() -> Described {
    Described {
        kind: "heroku",
        whence: "api.heroku.com".to_owned(),
        name: "shop".to_owned(),
        config: vars(&[
            ("SECRET", "s"),
            ("MODE", "production"),
            ("DATABASE_URL", "postgres://there"),
            ("PORT", "80"),
            ("not-a-name", "x"),
        ]),
        ties: BTreeMap::from([
            (
                "DATABASE_URL".to_owned(),
                Tie::Addon("heroku-postgresql:mini (pg-1)".to_owned()),
            ),
            (
                "PORT".to_owned(),
                Tie::Platform("the platform chooses it".to_owned()),
            ),
        ]),
        domains: ["WWW.shop.example", "no domain"]
            .map(|hostname| DomainThere {
                hostname: hostname.to_owned(),
                target: None,
            })
            .to_vec(),
        formation: vec![
            sized("web", 2, "Standard-2X"),
            sized("worker", 1, "Private-M"),
            sized("clock", 0, "Basic"),
            sized("release", 0, "Standard-1X"),
        ],
        buildpacks: texts(&["urn:buildpack:heroku/nodejs", "heroku/python"]),
        people: vec![
            person("me@x.com", Some("manage")),
            person("dev@x.com", Some("deploy")),
        ],
        drains: vec!["https://user:pw@logs.example/in?key=1".into()],
        session_affinity: true,
        stack: Some("heroku-22".to_owned()),
        ..Described::default()
    }
}

fn here(app: Option<AppHere>) -> Here {
    Here {
        email: "me@x.com".to_owned(),
        stacks: texts(&["heroku-24"]),
        buildpacks: texts(&["heroku/nodejs", "heroku/python"]),
        app,
    }
}

fn wanted() -> Wanted {
    Wanted {
        name: "shop".to_owned(),
        ..Wanted::default()
    }
}

/// As one reads it: a line for each thing, and whether it is done, kept or left.
fn told(plan: &Plan) -> Vec<String> {
    let line = |mark: &str, item: &Item| {
        let note = match item.note.as_str() {
            "" => String::new(),
            note => format!(" ({note})"),
        };
        format!("{mark} {} {}{note}", item.kind, item.name)
    };
    let steps = plan.steps.iter().flat_map(|step| step.items(&plan.app));
    let steps = steps.map(|item| line("+", &item));
    let kept = plan.kept.iter().map(|item| line("=", item));
    let left = plan.left.iter().map(|item| line("-", item));
    steps.chain(kept).chain(left).collect()
}

/// What is here after the plan was carried out.
fn after(plan: &Plan, before: Option<AppHere>) -> AppHere {
    let mut app = before.unwrap_or_default();
    for step in plan.steps.clone() {
        match step {
            Step::Create { .. } => app.people.push("me@x.com".to_owned()),
            Step::Buildpacks(buildpacks) => app.buildpacks = buildpacks,
            Step::Config(vars) => app.config.extend(vars),
            Step::Scale(scaled) => {
                for one in scaled {
                    app.formation
                        .insert(one.process_type, (one.quantity, one.size));
                }
            }
            Step::Domain(hostname) => app.domains.push(hostname),
            Step::Drain(url) => app.drains.push(url.into_exposed()),
            Step::SessionAffinity => app.session_affinity = true,
            Step::Person(person) => app.people.push(person.name),
        }
    }
    app
}

#[test]
fn a_new_app_gets_what_has_a_place_here_and_the_rest_is_told_with_the_reason() {
    let plan = plan(&shop(), &here(None), &wanted());
    assert_eq!(
        told(&plan),
        [
            "+ app shop",
            "+ buildpacks heroku/nodejs, heroku/python",
            "+ config var MODE",
            "+ config var SECRET",
            "+ formation web=2:Standard-2X",
            "+ formation worker=1:Performance-M (Private-M, 2.5 GB there)",
            "+ feature http-session-affinity",
            "+ domain www.shop.example",
            "+ drain https://logs.example/in",
            "+ collaborator dev@x.com (may deploy)",
            "- stack heroku-22 (there is no such stack here; it is built on heroku-24)",
            "- config var DATABASE_URL (it is of heroku-postgresql:mini (pg-1))",
            "- config var PORT (the platform chooses it)",
            "- config var not-a-name (a config var's name must start with a letter or _ and have at most 255 characters of a-z, A-Z, 0-9 and _)",
            "- domain no domain (a domain must be a DNS name such as www.example.com or *.example.com)",
        ]
    );
    assert_eq!(plan.missing, ["DATABASE_URL"]);
    assert!(plan.overwritten.is_empty());
    let configs = plan
        .steps
        .iter()
        .filter(|step| matches!(step, Step::Config(_)));
    assert_eq!(configs.count(), 1, "one release");
}

#[test]
fn what_was_set_here_since_stays_unless_it_is_to_be_overwritten() {
    let app = || {
        let mut app = after(&plan(&shop(), &here(None), &wanted()), None);
        app.config.insert("MODE".to_owned(), "staging".into());
        app.config
            .insert("DATABASE_URL".to_owned(), "postgres://here".into());
        app.formation.insert("web".to_owned(), (5, DynoSize::Basic));
        app.buildpacks = texts(&["heroku/python"]);
        app
    };
    let kept = plan(&shop(), &here(Some(app())), &wanted());
    assert!(kept.steps.is_empty(), "{:?}", kept.steps);
    let lines = told(&kept);
    for line in [
        "= buildpacks heroku/python (heroku/nodejs, heroku/python there)",
        "= config var MODE (it has another value there)",
        "= formation web=5:Basic (web=2:Standard-2X there)",
    ] {
        assert!(lines.contains(&line.to_owned()), "{line}: {lines:#?}");
    }
    assert!(kept.missing.is_empty(), "a database is set here");
    let overwrite = Wanted {
        overwrite: true,
        ..wanted()
    };
    let changed = plan(&shop(), &here(Some(app())), &overwrite);
    assert_eq!(
        changed.overwritten,
        [
            "buildpacks heroku/python",
            "config var MODE",
            "formation web=5:Basic"
        ]
    );
    assert!(changed.kept.is_empty());
    let app = after(&changed, Some(app()));
    assert_eq!(app.config["MODE"].expose(), "production");
    assert_eq!(app.config["DATABASE_URL"].expose(), "postgres://here");
}

#[test]
fn no_command_names_a_config_var_that_could_not_be_one() {
    let mut there = shop();
    for name in ["A$(id)_URL", "B_URL"] {
        there.config.insert(name.to_owned(), "x".into());
        there
            .ties
            .insert(name.to_owned(), Tie::Addon("it".to_owned()));
    }
    let plan = plan(&there, &here(None), &wanted());
    assert_eq!(plan.missing, ["B_URL", "DATABASE_URL"]);
}

#[test]
fn with_code_here_only_its_own_process_types_are_scaled() {
    let app = AppHere {
        has_code: true,
        formation: BTreeMap::from([("web".to_owned(), (1, DynoSize::Standard1X))]),
        ..AppHere::default()
    };
    let overwrite = Wanted {
        overwrite: true,
        ..wanted()
    };
    let plan = plan(&shop(), &here(Some(app)), &overwrite);
    let lines = told(&plan);
    assert!(
        lines.contains(&"+ formation web=2:Standard-2X".to_owned()),
        "{lines:#?}"
    );
    assert!(
        lines.contains(
            &"- formation worker=1:Performance-M (the code that was pushed here has no such process type)".to_owned()
        ),
        "{lines:#?}"
    );
}

#[test]
fn a_drain_is_the_same_however_it_is_written() {
    let mut there = shop();
    there.drains = [
        "HTTPS://logs.example:443/in",
        "syslog+tls://logs.example",
        "syslog+tls://logs.example:6514",
        "ftp://user:pw@logs.example/in",
    ]
    .map(Secret::from)
    .to_vec();
    let app = AppHere {
        drains: texts(&["https://logs.example/in"]),
        ..AppHere::default()
    };
    let plan = plan(&there, &here(Some(app)), &wanted());
    let lines = told(&plan);
    let drains: Vec<_> = lines
        .iter()
        .filter(|line| line.contains(" drain "))
        .collect();
    assert_eq!(
        drains,
        [
            "+ drain syslog+tls://logs.example",
            "- drain ftp://logs.example/in (a drain's URL begins with syslog://, syslog+tls://, https:// or http://, not ftp://)",
        ]
    );
}

#[test]
fn where_no_size_is_said_the_size_here_stays() {
    let mut there = shop();
    there.formation = vec![
        process("web", 2, SizeThere::Any),
        process("worker", 3, SizeThere::Any),
    ];
    let app = || AppHere {
        has_code: true,
        formation: BTreeMap::from([
            ("web".to_owned(), (2, DynoSize::PerformanceM)),
            ("worker".to_owned(), (1, DynoSize::Standard2X)),
        ]),
        ..AppHere::default()
    };
    let overwrite = Wanted {
        overwrite: true,
        ..wanted()
    };
    let plan = plan(&there, &here(Some(app())), &overwrite);
    let lines = told(&plan);
    assert!(
        lines.contains(&"+ formation worker=3:Standard-2X".to_owned()),
        "{lines:#?}"
    );
    assert_eq!(
        after(&plan, Some(app())).formation["web"],
        (2, DynoSize::PerformanceM)
    );
    assert_eq!(plan.overwritten, ["formation worker=1:Standard-2X"]);
}

#[test]
fn no_web_dyno_is_taken_over_too() {
    let mut there = shop();
    there.formation = vec![
        sized("web", 0, "Basic"),
        process("worker", 0, SizeThere::Any),
    ];
    let plan = plan(&there, &here(None), &wanted());
    let lines = told(&plan);
    assert!(
        lines.contains(&"+ formation web=0:Basic".to_owned()),
        "{lines:#?}"
    );
    assert!(
        !lines.iter().any(|line| line.contains("worker")),
        "{lines:#?}"
    );
}

#[test]
fn parts_can_be_left_out_and_the_vars_of_add_ons_taken_along() {
    let wanted = Wanted {
        addon_vars: true,
        skip: vec![
            Part::Domains,
            Part::Formation,
            Part::Buildpacks,
            Part::Collaborators,
            Part::Drains,
            Part::Features,
        ],
        ..wanted()
    };
    let mut plan = plan(&shop(), &here(None), &wanted);
    plan.left.clear();
    assert_eq!(
        told(&plan),
        [
            "+ app shop",
            "+ config var DATABASE_URL",
            "+ config var MODE",
            "+ config var SECRET"
        ]
    );
}

#[test]
fn buildpacks_are_found_here_by_name_or_fetched_by_url() {
    let shipped = texts(&["heroku/python"]);
    for (theirs, ours) in [
        ("urn:buildpack:heroku/python", Ok("heroku/python")),
        ("python", Ok("heroku/python")),
        ("heroku/python", Ok("heroku/python")),
        (
            "heroku/java",
            Ok("https://github.com/heroku/heroku-buildpack-java.git"),
        ),
        (
            "https://x.example/pack.git#v1",
            Ok("https://x.example/pack.git#v1"),
        ),
        (
            "vendor/pack",
            Err("there is no buildpack of this name here"),
        ),
        (
            "ssh://git@x.example/pack.git",
            Err("buildpacks are not fetched by ssh here"),
        ),
    ] {
        let ours = ours.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(buildpack(theirs, &shipped), ours, "{theirs}");
    }
}

#[test]
fn buildpacks_stay_where_not_all_of_theirs_are_known() {
    let mut there = shop();
    there.buildpacks = texts(&["heroku/nodejs", "vendor/pack"]);
    let overwrite = Wanted {
        overwrite: true,
        ..wanted()
    };
    let buildpacks_of = |now: &[&str]| {
        let app = AppHere {
            buildpacks: texts(now),
            ..AppHere::default()
        };
        let lines = told(&plan(&there, &here(Some(app)), &overwrite));
        let of_them = lines.iter().filter(|line| line.contains(" buildpack"));
        of_them.cloned().collect::<Vec<_>>()
    };
    let unknown = "- buildpack vendor/pack (there is no buildpack of this name here; once you have its git URL: paas buildpacks:add -i 2 URL -a shop)";
    assert_eq!(
        buildpacks_of(&[]),
        ["+ buildpacks heroku/nodejs", unknown].map(str::to_owned)
    );
    for (now, more) in [
        (&["heroku/nodejs", "https://x.example/pack.git"][..], None),
        (
            &["heroku/python"][..],
            Some(
                "- buildpacks heroku/nodejs (those here stay, since not all of theirs are known: paas buildpacks:set -a shop)",
            ),
        ),
    ] {
        let expected: Vec<_> = [unknown].into_iter().chain(more).collect();
        assert_eq!(buildpacks_of(now), expected);
    }
}

#[test]
fn what_is_secret_in_a_url_is_not_shown() {
    for (url, shown) in [
        ("https://a:b@x.example/p?token=1", "https://x.example/p"),
        ("syslog+tls://x.example:6514", "syslog+tls://x.example:6514"),
        ("https://x.example?token=1", "https://x.example"),
        ("heroku/python", "heroku/python"),
    ] {
        assert_eq!(without_secret(url), shown);
    }
}

prop_compose! {
    fn any_app()(
        config in prop::collection::btree_map("[A-D]{1,2}", "[a-z]{0,3}", 0..6),
        tied in prop::collection::vec("[A-D]", 0..3),
        formation in prop::collection::btree_map("(web|worker|clock|release)", (0u32..4, "(Basic|Eco|Private-L|Odd)"), 0..5),
        buildpacks in prop::collection::vec("(heroku/python|nodejs|vendor/x|https://x.example/p)", 0..4),
        people in prop::collection::vec("(me@x.com|a@x.com|B@x.com|nobody)", 0..4),
        domains in prop::collection::vec("(www|WWW|bad name)[.]x[.]example", 0..4),
    ) -> Described {
        Described {
            config: config.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            ties: tied.into_iter().map(|name| (name, Tie::Addon("it".to_owned()))).collect(),
            formation: formation
                .into_iter()
                .map(|(name, (quantity, size))| sized(&name, quantity, &size))
                .collect(),
            buildpacks,
            people: people.iter().map(|name| person(name, None)).collect(),
            domains: domains
                .into_iter()
                .map(|hostname| DomainThere { hostname, target: None })
                .collect(),
            ..shop()
        }
    }
}

proptest! {
    #[test]
    fn after_the_plan_nothing_is_left_to_do(there in any_app(), other in any_app(), overwrite in any::<bool>()) {
        // Somebody had begun with something else.
        let begun = after(&plan(&other, &here(None), &wanted()), None);
        let how = Wanted { overwrite, ..wanted() };
        let first = plan(&there, &here(Some(begun)), &how);
        let begun = after(&plan(&other, &here(None), &wanted()), None);
        let app = after(&first, Some(begun));
        let again = plan(&there, &here(Some(app)), &how);
        prop_assert!(again.steps.is_empty(), "{:?}", again.steps);
        prop_assert!(again.overwritten.is_empty());
    }

    #[test]
    fn broken_off_anywhere_the_next_run_does_the_rest(there in any_app(), at in 0usize..10) {
        let whole = plan(&there, &here(None), &wanted());
        let mut part = plan(&there, &here(None), &wanted());
        part.steps.truncate(at.max(1));
        let rest = plan(&there, &here(Some(after(&part, None))), &wanted());
        let all: Vec<Step> = part.steps.iter().chain(&rest.steps).cloned().collect();
        prop_assert_eq!(all, whole.steps);
        prop_assert!(rest.overwritten.is_empty());
    }

    #[test]
    fn without_leave_nothing_that_is_here_changes(there in any_app(), other in any_app()) {
        let begun = || after(&plan(&other, &here(None), &wanted()), None);
        let app = after(&plan(&there, &here(Some(begun())), &wanted()), Some(begun()));
        for (name, value) in begun().config {
            prop_assert_eq!(app.config.get(&name), Some(&value));
        }
        for (name, scaled) in begun().formation {
            prop_assert_eq!(app.formation.get(&name), Some(&scaled));
        }
    }
}
