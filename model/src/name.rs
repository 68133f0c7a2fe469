//! Names that people type, each parsed once: after that the type is the proof.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a name of the wanted kind; `Display` is fit for a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} is invalid: {rule}")]
pub struct InvalidName {
    pub kind: &'static str,
    pub text: String,
    pub rule: &'static str,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $parse:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let parse: fn(&str) -> Option<String> = $parse;
                parse(text).map(Self).ok_or_else(|| InvalidName {
                    kind: $kind,
                    text: text.chars().take(300).collect(),
                    rule: $rule,
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}

names! {
    /// An app's name, also its host name's first label. Heroku's rule.
    AppName, "app name",
    "must start with a letter, end with a letter or digit, have 3 to 30 characters of a-z, 0-9 and -, and not be a name the platform uses itself (api, git, www, paas)",
    |text| {
        let shape = is_label(text) && !text.ends_with('-');
        (shape && !RESERVED_APP_NAMES.contains(&text)).then(|| text.to_owned())
    };

    /// A pipeline's name; not unique. Heroku's rule.
    PipelineName, "pipeline name",
    "must start with a letter and have 3 to 30 characters of a-z, 0-9 and -",
    |text| {
        is_label(text).then(|| text.to_owned())
    };

    /// A team's name, unique on the platform. What stands beside teams in the API's paths is none.
    TeamName, "team name",
    "must start with a letter, end with a letter or digit, have 3 to 30 characters of a-z, 0-9 and -, and not be apps, invitations or permissions",
    |text| {
        let shape = is_label(text) && !text.ends_with('-');
        (shape && !["apps", "invitations", "permissions"].contains(&text)).then(|| text.to_owned())
    };

    /// A plan of an add-on service, without the service's name: `standard-0`, `30`.
    PlanName, "plan name",
    "must start and end with a letter or digit, and have at most 50 characters of a-z, 0-9, -, _ and .",
    |text| {
        let is_end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        (text.len() <= 50
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
            && is_end(text.bytes().next())
            && is_end(text.bytes().last()))
        .then(|| text.to_owned())
    };

    /// A service that provides add-ons: `acme-pg`.
    AddonServiceName, "add-on service name",
    "must start with a letter, end with a letter or digit, and have 2 to 50 characters of a-z, 0-9 and -",
    |text| {
        ((2..=50).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-'))
        .then(|| text.to_owned())
    };

    /// An add-on's name, unique on the platform. Heroku's rule.
    AddonName, "add-on name",
    "must start with a letter and have 2 to 80 characters of a-z, A-Z, 0-9, - and _",
    |text| {
        ((2..=80).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && text.starts_with(|c: char| c.is_ascii_alphabetic()))
        .then(|| text.to_owned())
    };

    /// What the names of an add-on's config vars begin with (`DATABASE`), in upper case.
    AttachmentName, "attachment name",
    "must start with a letter, not end with _, and have at most 80 characters of A-Z, 0-9 and _",
    |text| {
        let upper = text.to_ascii_uppercase().replace('-', "_");
        ((1..=80).contains(&upper.len())
            && upper.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
            && upper.starts_with(|c: char| c.is_ascii_uppercase())
            && !upper.ends_with('_'))
        .then_some(upper)
    };

    /// The left side of a Procfile line: `web`, `worker`, `release`.
    ProcessType, "process type",
    "must have 1 to 63 characters of a-z, A-Z, 0-9, - and _",
    |text| {
        ((1..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'))
        .then(|| text.to_owned())
    };

    /// A config var's key: it becomes an environment variable and a file name in a build's ENV_DIR.
    ConfigVarName, "config var name",
    "must start with a letter or _ and have at most 255 characters of a-z, A-Z, 0-9 and _",
    |text| {
        let mut bytes = text.bytes();
        (text.len() <= 255
            && bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_'))
        .then(|| text.to_owned())
    };

    /// A DNS host name in lower case, possibly with a leading `*.` label; no port, no trailing dot.
    Hostname, "host name",
    "must be a DNS name such as www.example.com or *.example.com",
    |text| {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let labels = lower.strip_prefix("*.").unwrap_or(&lower);
        let label_ok = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let all_numeric = labels.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        (lower.len() <= 253 && labels.split('.').all(label_ok) && !all_numeric).then_some(lower)
    };

    /// An account's e-mail address, in lower case. Only its shape is checked: no mail is ever needed to prove it.
    Email, "e-mail address",
    "must look like name@example.com",
    |text| {
        let (local, domain) = text.rsplit_once('@')?;
        let ok = !local.is_empty()
            && !domain.is_empty()
            && text.len() <= 254
            && text.chars().all(|c| !c.is_whitespace() && !c.is_control())
            && !local.contains('@');
        ok.then(|| text.to_ascii_lowercase())
    };
}

/// What Heroku's names have in common.
fn is_label(text: &str) -> bool {
    (3..=30).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && text.starts_with(|c: char| c.is_ascii_lowercase())
}

const RESERVED_APP_NAMES: [&str; 4] = ["api", "git", "www", "paas"];

impl ProcessType {
    /// The type that gets `$PORT` and web traffic.
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// The release phase's pseudo process type; it never has dynos of its own in a formation.
    pub fn release() -> Self {
        Self("release".to_owned())
    }

    /// The type of one-off dynos.
    pub fn run() -> Self {
        Self("run".to_owned())
    }

    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }

    pub fn is_release(&self) -> bool {
        self.0 == "release"
    }
}

impl Hostname {
    /// Whether this is a wildcard (`*.example.com`).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn app_names_follow_herokus_rule() {
        for good in ["abc", "my-app", "a1b2c3", "a23456789012345678901234567890"] {
            assert!(good.parse::<AppName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            "1app",
            "-app",
            "app-",
            "App",
            "a_b",
            "api",
            "git",
            "a234567890123456789012345678901",
        ] {
            assert!(bad.parse::<AppName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_team_is_not_named_as_what_stands_beside_teams() {
        assert!("acme".parse::<TeamName>().is_ok());
        for bad in ["apps", "permissions", "invitations", "acme-", "Acme", "a"] {
            assert!(bad.parse::<TeamName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn host_names_are_lowered_and_checked() {
        assert_eq!(
            "WWW.Example.COM.".parse::<Hostname>().unwrap().as_str(),
            "www.example.com"
        );
        assert!("*.example.com".parse::<Hostname>().unwrap().is_wildcard());
        for bad in [
            "",
            "a..b",
            "-a.com",
            "a-.com",
            "a b.com",
            "example.com:80",
            "10.0.0.1",
            "*.*.com",
            "http://x.y",
        ] {
            assert!(bad.parse::<Hostname>().is_err(), "{bad}");
        }
    }

    #[test]
    fn config_var_names_cannot_leave_their_directory() {
        for bad in ["", "1A", "A-B", "../etc", "A/B", "A=B", "A B", "Ä"] {
            assert!(bad.parse::<ConfigVarName>().is_err(), "{bad}");
        }
        assert!("_A1".parse::<ConfigVarName>().is_ok());
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_stable(text in ".{0,80}") {
            if let Ok(name) = text.parse::<AppName>() { prop_assert_eq!(name.as_str().parse::<AppName>(), Ok(name.clone())); }
            if let Ok(name) = text.parse::<Hostname>() { prop_assert_eq!(name.as_str().parse::<Hostname>(), Ok(name.clone())); }
            if let Ok(name) = text.parse::<Email>() { prop_assert_eq!(name.as_str().parse::<Email>(), Ok(name.clone())); }
            let _ = text.parse::<ProcessType>();
            let _ = text.parse::<ConfigVarName>();
        }
    }
}
