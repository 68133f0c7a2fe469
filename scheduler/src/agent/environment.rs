//! A dyno's environment: the app's config, what the caller of a one-off dyno added, and what is ours to say.

use std::collections::BTreeMap;

use model::{App, ConfigVars, Dyno, Release, Secret, Slug};

pub(crate) type Env = BTreeMap<String, Secret<String>>;

/// Where stack images keep the bundle of trusted authorities; ours is mounted over it.
pub(crate) const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

pub(crate) struct Parts<'a> {
    pub dyno: &'a Dyno,
    pub app: Option<&'a App>,
    pub release: &'a Release,
    pub slug: &'a Slug,
    pub config: &'a ConfigVars,
    /// Of a one-off dyno: `TERM`, `COLUMNS`, …
    pub extra: &'a ConfigVars,
    pub stack: &'a str,
    pub port: u16,
}

/// Values pass byte for byte. Later layers win: defaults, config, the caller's, ours.
pub(crate) fn environment(parts: &Parts<'_>) -> Env {
    let mut env = Env::new();
    let mut put = |name: &str, value: String| {
        env.insert(name.to_owned(), Secret::new(value));
    };
    put(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
    );
    put("LANG", "C.UTF-8".to_owned());
    put(
        "PS1",
        r"\[\033[01;34m\]\w\[\033[00m\] \[\033[01;32m\]$ \[\033[00m\]".to_owned(),
    );
    for name in [
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
        "GIT_SSL_CAINFO",
    ] {
        put(name, CA_BUNDLE.to_owned());
    }
    for (name, value) in parts.config.0.iter().chain(&parts.extra.0) {
        put(name.as_str(), value.expose().clone());
    }
    for (name, value) in ours(parts) {
        put(name, value);
    }
    env
}

/// What the caller of a command inside a dyno adds to that dyno's environment.
pub(crate) fn additions(extra: &ConfigVars) -> Env {
    extra
        .0
        .iter()
        .filter(|(name, _)| !OURS.contains(&name.as_str()))
        .map(|(name, value)| (name.as_str().to_owned(), value.clone()))
        .collect()
}

/// The names of [`ours`].
const OURS: [&str; 11] = [
    "HOME",
    "DYNO",
    "STACK",
    "HEROKU_APP_ID",
    "HEROKU_APP_NAME",
    "HEROKU_DYNO_ID",
    "HEROKU_RELEASE_VERSION",
    "HEROKU_RELEASE_CREATED_AT",
    "HEROKU_SLUG_COMMIT",
    "HEROKU_SLUG_DESCRIPTION",
    "PORT",
];

fn ours(parts: &Parts<'_>) -> Vec<(&'static str, String)> {
    let Parts {
        dyno,
        release,
        slug,
        ..
    } = parts;
    let app_name = parts.app.map_or(&dyno.app_name, |app| &app.name);
    let mut ours = vec![
        ("HOME", "/app".to_owned()),
        ("DYNO", dyno.name.to_string()),
        ("STACK", parts.stack.to_owned()),
        ("HEROKU_APP_ID", dyno.app.to_string()),
        ("HEROKU_APP_NAME", app_name.to_string()),
        ("HEROKU_DYNO_ID", dyno.id.to_string()),
        ("HEROKU_RELEASE_VERSION", release.version.to_string()),
        (
            "HEROKU_RELEASE_CREATED_AT",
            release
                .created_at
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
        ),
        (
            "HEROKU_SLUG_COMMIT",
            slug.commit.clone().unwrap_or_default(),
        ),
        (
            "HEROKU_SLUG_DESCRIPTION",
            slug.commit_description.clone().unwrap_or_default(),
        ),
    ];
    if dyno.is_web() {
        ours.push(("PORT", parts.port.to_string()));
    }
    ours
}

#[cfg(test)]
mod tests {
    use model::{
        AccountId, Actor, AppId, DynoId, DynoKind, DynoSize, Intent, ReleaseId, ReleaseStatus,
        ReleaseVersion, SlugId, Timestamp,
    };

    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> ConfigVars {
        ConfigVars(
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), Secret::from(*value)))
                .collect(),
        )
    }

    fn env_of(name: &str, config: &ConfigVars, extra: &ConfigVars) -> Env {
        let app = AppId::new();
        let at: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let dyno = Dyno {
            id: DynoId::new(),
            app,
            app_name: "shop".parse().unwrap(),
            name: name.parse().unwrap(),
            kind: DynoKind::Formation,
            release: ReleaseVersion(12),
            release_id: ReleaseId::new(),
            node: None,
            command: String::new(),
            size: DynoSize::default(),
            intent: Intent::Run,
            replace: false,
            created_at: at,
        };
        let release = Release {
            id: ReleaseId::new(),
            app,
            version: ReleaseVersion(12),
            description: String::new(),
            actor: Actor {
                account: AccountId::new(),
                email: "a@b.c".parse().unwrap(),
            },
            slug: None,
            status: ReleaseStatus::Pending,
            addons: Default::default(),
            pages: Default::default(),
            created_at: at,
            updated_at: at,
        };
        let slug = Slug {
            id: SlugId::new(),
            app,
            checksum: "0".repeat(64).parse().unwrap(),
            size: 0,
            unpacked_size: 0,
            commit: Some("abc".to_owned()),
            commit_description: None,
            language: None,
            process_types: BTreeMap::new(),
            stack: "heroku-24".to_owned(),
            created_at: at,
        };
        environment(&Parts {
            dyno: &dyno,
            app: None,
            release: &release,
            slug: &slug,
            config,
            extra,
            stack: "heroku-24",
            port: 5000,
        })
    }

    fn get<'a>(env: &'a Env, name: &str) -> Option<&'a str> {
        env.get(name).map(|value| value.expose().as_str())
    }

    #[test]
    fn the_platforms_words_win_over_the_apps_and_the_apps_over_defaults() {
        let config = vars(&[
            ("DYNO", "fake.1"),
            ("PORT", "1"),
            ("LANG", "de"),
            ("TERM", "dumb"),
            ("A", "1"),
        ]);
        let env = env_of("web.1", &config, &vars(&[("TERM", "xterm"), ("A", "2")]));
        assert_eq!(get(&env, "DYNO"), Some("web.1"));
        assert_eq!(get(&env, "PORT"), Some("5000"));
        assert_eq!(get(&env, "LANG"), Some("de"));
        assert_eq!(get(&env, "TERM"), Some("xterm"));
        assert_eq!(get(&env, "A"), Some("2"));
        assert_eq!(get(&env, "HEROKU_RELEASE_VERSION"), Some("v12"));
        assert_eq!(
            get(&env, "HEROKU_RELEASE_CREATED_AT"),
            Some("2026-01-02T03:04:05Z")
        );
        assert_eq!(get(&env, "HEROKU_SLUG_COMMIT"), Some("abc"));
    }

    #[test]
    fn what_the_platform_says_of_a_dyno_is_not_changed_from_inside() {
        let given: Vec<(&str, &str)> = OURS.iter().map(|name| (*name, "given")).collect();
        let env = env_of("web.1", &vars(&given), &ConfigVars::default());
        for name in OURS {
            assert_ne!(get(&env, name), Some("given"), "{name}");
        }
        let usual = env_of("web.1", &ConfigVars::default(), &vars(&[]));
        let names = |env: &Env| env.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&env), names(&usual), "all of ours are on the list");
        let added = additions(&vars(&[
            ("TERM", "xterm"),
            ("DYNO", "web.2"),
            ("PATH", "/x"),
        ]));
        assert_eq!(names(&added), ["PATH", "TERM"]);
    }

    #[test]
    fn only_web_dynos_get_a_port() {
        assert_eq!(
            get(
                &env_of("worker.1", &ConfigVars::default(), &ConfigVars::default()),
                "PORT"
            ),
            None
        );
    }

    #[test]
    fn values_pass_byte_for_byte() {
        let odd = "'; $(touch /tmp/x) `id` \"\\ \r\n\ttäb\u{1f600}$HOME";
        let env = env_of("web.1", &vars(&[("ODD", odd)]), &ConfigVars::default());
        assert_eq!(get(&env, "ODD"), Some(odd));
    }
}
