//! The stack: the operating system an app is built and run on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A stack's name, as apps and buildpacks know it. There is one; a second would be a second variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stack {
    #[serde(rename = "heroku-24")]
    Heroku24,
}

/// What dynos run on, as `stacks/build-stack` makes it. `heroku/heroku:24` does as well, where a registry can be reached.
pub const DEFAULT_RUN_IMAGE: &str = "paas/stack:24";
/// What builds run on; `heroku/heroku:24-build` likewise.
pub const DEFAULT_BUILD_IMAGE: &str = "paas/stack:24-build";

/// The user that builds and dynos run as.
pub const DYNO_UID: u32 = 2000;
pub const DYNO_GID: u32 = 2000;

/// Where the images have their trusted certificates.
pub const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Environment variables that point tools with certificates of their own at [`CA_BUNDLE`]. Our images set them; with other
/// images the host's bundle has to be mounted there and these given to builds and dynos.
pub const CA_VARIABLES: [&str; 7] = [
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "NPM_CONFIG_CAFILE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
];

impl Stack {
    pub const DEFAULT: Self = Self::Heroku24;

    pub const fn name(self) -> &'static str {
        match self {
            Self::Heroku24 => "heroku-24",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        (name == Self::Heroku24.name()).then_some(Self::Heroku24)
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_found_by_its_name() {
        assert_eq!(
            Stack::from_name(Stack::DEFAULT.name()),
            Some(Stack::DEFAULT)
        );
        assert_eq!(Stack::from_name("heroku-18"), None);
        assert_eq!(
            serde_json::to_string(&Stack::Heroku24).unwrap(),
            "\"heroku-24\""
        );
    }

    /// The images' makers and the crate must mean the same.
    #[test]
    fn the_names_here_are_those_in_build_stack() {
        let script =
            fs_err::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/stacks/build-stack"))
                .unwrap();
        assert!(script.contains(&format!(
            "\nrun_image={DEFAULT_RUN_IMAGE}\nbuild_image={DEFAULT_BUILD_IMAGE}\n"
        )));
        assert!(script.contains(&format!("\nstack={}\n", Stack::DEFAULT)));
        assert!(script.contains(&format!("USER {DYNO_UID}:{DYNO_GID}")));
        for variable in CA_VARIABLES {
            assert!(
                script.contains(&format!("{variable}={CA_BUNDLE}")),
                "{variable}"
            );
        }
    }
}
