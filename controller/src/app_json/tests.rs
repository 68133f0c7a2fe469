use proptest::prelude::*;
use serde_json::json;

use super::*;

fn errors(json: &Value) -> String {
    parse(&json.to_string(), None).unwrap_err().join("\n")
}

fn var(name: &str) -> ConfigVarName {
    name.parse().unwrap()
}

#[test]
fn a_manifest_is_read_whole() {
    let text = json!({
        "name": "Ticks", "description": "It ticks", "keywords": ["x"], "logo": "https://x/y.png",
        "env": {
            "PLAIN": "1", "NUMBER": 7, "FLAG": true,
            "LONG": {"description": "d", "value": "v"},
            "MADE": {"description": "d", "generator": "secret"},
            "ASKED": {"description": "d"},
            "MAYBE": {"required": false},
        },
        "formation": {"web": {"quantity": 2, "size": "standard-2x"}, "worker": {"quantity": 0}},
        "buildpacks": [{"url": "heroku/python"}, "https://example.com/x.git"],
        "scripts": {"postdeploy": "bin/seed", "test": "bin/test"},
        "stack": "heroku-24", "success_url": "/welcome",
        "addons": ["acme-pg", {"plan": "acme-redis:mini", "as": "CACHE", "options": {"size": 3}}],
    });
    let manifest = parse(&text.to_string(), None).unwrap();
    assert_eq!(
        manifest.env[&var("NUMBER")],
        Wanted::Value(Secret::from("7"))
    );
    assert_eq!(manifest.env[&var("MADE")], Wanted::Secret);
    let web = &manifest.formation[&"web".parse().unwrap()];
    assert_eq!((web.quantity, web.size), (2, DynoSize::Standard2X));
    let addon = &manifest.addons[1];
    assert_eq!(manifest.addons[0].plan, "acme-pg");
    assert_eq!(
        (addon.plan.as_str(), addon.attached_as.as_deref()),
        ("acme-redis:mini", Some("CACHE"))
    );
    assert_eq!(addon.options["size"], json!(3));
    assert_eq!(
        manifest.buildpacks,
        ["heroku/python", "https://example.com/x.git"]
    );
    assert_eq!(manifest.postdeploy.as_deref(), Some("bin/seed"));
    assert_eq!(manifest.success_url.as_deref(), Some("/welcome"));
    let missing = manifest.config(&BTreeMap::new(), String::new).unwrap_err();
    assert_eq!(missing, ["config var ASKED is required"]);
    let given = BTreeMap::from([
        (var("ASKED"), Secret::from("a")),
        (var("PLAIN"), Secret::from("2")),
        (var("MORE"), Secret::from("m")),
    ]);
    let config = manifest.config(&given, || "s3cret".to_owned()).unwrap();
    let pairs: Vec<_> = config
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose().as_str()))
        .collect();
    assert_eq!(
        pairs,
        [
            ("ASKED", "a"),
            ("FLAG", "true"),
            ("LONG", "v"),
            ("MADE", "s3cret"),
            ("MORE", "m"),
            ("NUMBER", "7"),
            ("PLAIN", "2"),
        ]
    );
}

#[test]
fn an_environment_says_what_is_other_in_it() {
    let text = json!({
        "env": {"A": "1", "B": "2"}, "scripts": {"postdeploy": "all"},
        "environments": {"review": {"env": {"B": "3"}, "scripts": {"postdeploy": {"command": "review"}}}},
    })
    .to_string();
    let review = parse(&text, Some("review")).unwrap();
    assert_eq!(review.env[&var("A")], Wanted::Value(Secret::from("1")));
    assert_eq!(review.env[&var("B")], Wanted::Value(Secret::from("3")));
    assert_eq!(review.postdeploy.as_deref(), Some("review"));
    assert_eq!(parse(&text, Some("test")), parse(&text, None));
}

#[test]
fn what_is_wrong_is_told_by_name() {
    for (json, expected) in [
        (json!([]), "must be a JSON object"),
        (json!({"env": []}), "env in app.json must be an object"),
        (json!({"env": {"A B": "x"}}), "env.A B"),
        (
            json!({"env": {"A": ["x"]}}),
            "env.A in app.json must be text",
        ),
        (
            json!({"env": {"A": {"generator": "uuid"}}}),
            "env.A.generator",
        ),
        (
            json!({"formation": {"web": {"quantity": -1}}}),
            "formation.web.quantity",
        ),
        (
            json!({"formation": {"web": {"size": "huge"}}}),
            "formation.web.size",
        ),
        (json!({"buildpacks": [{}]}), "buildpacks"),
        (
            json!({"scripts": {"postdeploy": 1}}),
            "postdeploy in app.json must be text",
        ),
        (
            json!({"addons": {"plan": "redis"}}),
            "addons in app.json must be a list",
        ),
        (
            json!({"addons": [{"plan": "redis", "as": 1}]}),
            "addons in app.json must be a list of",
        ),
        (json!({"name": 1}), "name in app.json must be text"),
    ] {
        let errors = errors(&json);
        assert!(errors.contains(expected), "{json}: {errors}");
    }
    let syntax = parse("{", None).unwrap_err();
    assert!(syntax[0].contains("not valid JSON"), "{syntax:?}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("env"),
        Just("formation"),
        Just("buildpacks"),
        Just("scripts"),
        Just("addons"),
        Just("environments"),
        Just("review"),
        Just("postdeploy"),
        Just("value"),
        Just("url"),
        Just("required"),
        Just("generator"),
        Just("quantity"),
        Just("size"),
        Just("web"),
        Just("A"),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6).prop_map(|map| {
                let pairs = map.into_iter().map(|(key, value)| (key.to_owned(), value));
                Value::Object(pairs.collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).{0,200}") {
        let _ = parse(&text, Some("review"));
    }

    #[test]
    fn any_json_is_read_or_refused_with_few_reasons(json in any_json()) {
        if let Err(errors) = parse(&json.to_string(), Some("review")) {
            prop_assert!(!errors.is_empty() && errors.len() <= MAX_ERRORS);
        }
    }

    #[test]
    fn every_var_that_is_named_gets_its_value(vars in prop::collection::btree_map("[A-Z]{1,8}", "[a-z]{0,8}", 0..20)) {
        let manifest = parse(&json!({ "env": vars }).to_string(), None).unwrap();
        let config = manifest.config(&BTreeMap::new(), String::new).unwrap();
        let read: BTreeMap<_, _> = config
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.expose().clone()))
            .collect();
        prop_assert_eq!(read, vars);
    }
}
