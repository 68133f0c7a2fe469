//! What a buildpack's name stands for: a shipped pack, a git repository, or an archive.

use std::fmt;

use model::{BuildpackRef, ConfigVars};
use url::Url;

use crate::{DETECTION_ORDER, ShippedPack};

/// A buildpack that can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildpackSource {
    Shipped(ShippedPack),
    Git {
        url: Url,
        /// A branch, a tag or a commit; the repository's default branch without one.
        reference: Option<String>,
    },
    Archive {
        url: Url,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBuildpack {
    #[error(
        "there is no buildpack {name:?} on this platform, which ships {}: use its git URL, such as https://github.com/heroku/heroku-buildpack-java",
        shipped_names()
    )]
    Unknown { name: String },
    #[error(
        "{text:?} is no buildpack: it must be a name such as heroku/python, or the URL of a git repository or a .tgz file"
    )]
    NoUrl { text: String },
    #[error("buildpack URLs start with https://, http://, git:// or ssh://, not with {scheme}://")]
    Scheme { scheme: String },
    #[error("{reference:?} is not the name of a branch, a tag or a commit")]
    Reference { reference: String },
}

/// The config var that names the buildpack in place of what the app has set.
pub const OVERRIDE: &str = "BUILDPACK_URL";

const URN_PREFIX: &str = "urn:buildpack:";
const SCHEMES: [&str; 4] = ["https", "http", "git", "ssh"];

/// The buildpacks of a build, in order; none means that the app's language is to be detected.
///
/// A config var `BUILDPACK_URL` that is not empty counts for more than what the app has set.
pub fn of_build(
    set: &[BuildpackRef],
    config: &ConfigVars,
) -> Result<Vec<BuildpackSource>, InvalidBuildpack> {
    match config.get(OVERRIDE).map(str::trim) {
        Some(url) if !url.is_empty() => Ok(vec![BuildpackSource::parse(url)?]),
        _ => set
            .iter()
            .map(|buildpack| BuildpackSource::parse(&buildpack.0))
            .collect(),
    }
}

impl BuildpackSource {
    /// Reads `heroku/python`, `python`, `urn:buildpack:heroku/python`, `https://host/repository.git#ref` or
    /// `https://host/pack.tgz`.
    pub fn parse(text: &str) -> Result<Self, InvalidBuildpack> {
        let text = text.trim();
        let name = text.strip_prefix(URN_PREFIX).unwrap_or(text);
        let looks_like_a_name = !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'/'));
        if looks_like_a_name {
            return ShippedPack::from_name(name.strip_prefix("heroku/").unwrap_or(name))
                .map(Self::Shipped)
                .ok_or_else(|| InvalidBuildpack::Unknown {
                    name: name.to_owned(),
                });
        }
        // A URL parser would drop some of these in silence, and a tab would end a field of the driver's list.
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(InvalidBuildpack::NoUrl {
                text: text.chars().take(200).collect(),
            });
        }
        Self::parse_url(text)
    }

    fn parse_url(text: &str) -> Result<Self, InvalidBuildpack> {
        let no_url = || InvalidBuildpack::NoUrl {
            text: text.chars().take(200).collect(),
        };
        let mut url = Url::parse(text).map_err(|_| no_url())?;
        if !SCHEMES.contains(&url.scheme()) {
            return Err(InvalidBuildpack::Scheme {
                scheme: url.scheme().to_owned(),
            });
        }
        if !url.has_host() || url.path().len() < 2 {
            return Err(no_url());
        }
        let reference = url
            .fragment()
            .map(str::to_owned)
            .filter(|reference| !reference.is_empty());
        url.set_fragment(None);
        if url.path().ends_with(".tgz") || url.path().ends_with(".tar.gz") {
            return if matches!(url.scheme(), "https" | "http") {
                Ok(Self::Archive { url })
            } else {
                Err(no_url())
            };
        }
        match reference {
            Some(reference) if !is_git_reference(&reference) => {
                Err(InvalidBuildpack::Reference { reference })
            }
            reference => Ok(Self::Git { url, reference }),
        }
    }

    /// The driver's word for the kind.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Shipped(_) => "shipped",
            Self::Git { .. } => "git",
            Self::Archive { .. } => "tgz",
        }
    }

    /// What the driver needs to fetch it, credentials included.
    pub(crate) fn value(&self) -> String {
        match self {
            Self::Shipped(pack) => pack.name().to_owned(),
            Self::Git {
                url,
                reference: None,
            }
            | Self::Archive { url } => url.to_string(),
            Self::Git {
                url,
                reference: Some(reference),
            } => format!("{url}#{reference}"),
        }
    }
}

/// As users see it: `heroku/python`, or the URL without the password in it.
impl fmt::Display for BuildpackSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |url: &Url| {
            let mut url = url.clone();
            // Both only fail for URLs that have no host, and so no credentials.
            let _ = url.set_password(None);
            let _ = url.set_username("");
            url
        };
        match self {
            Self::Shipped(pack) => pack.fmt(f),
            Self::Git {
                url,
                reference: None,
            }
            | Self::Archive { url } => bare(url).fmt(f),
            Self::Git {
                url,
                reference: Some(reference),
            } => write!(f, "{}#{reference}", bare(url)),
        }
    }
}

/// Git's own rule, and never anything that a command would take for an option.
fn is_git_reference(text: &str) -> bool {
    text.len() <= 200
        && !text.starts_with(['-', '/', '.'])
        && !text.ends_with(['/', '.'])
        && !text.contains("..")
        && !text.contains("//")
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b'+' | b'=')
        })
}

fn shipped_names() -> String {
    DETECTION_ORDER.map(|pack| pack.to_string()).join(", ")
}

#[cfg(test)]
mod tests {
    use model::Secret;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_shipped_pack_has_three_names() {
        for text in [
            "python",
            "heroku/python",
            "urn:buildpack:heroku/python",
            " heroku/python\n",
        ] {
            assert_eq!(
                BuildpackSource::parse(text),
                Ok(BuildpackSource::Shipped(ShippedPack::Python)),
                "{text:?}"
            );
        }
    }

    #[test]
    fn urls_are_told_apart_by_what_they_end_in() {
        let cases = [
            (
                "https://github.com/heroku/heroku-buildpack-ruby",
                "git",
                "https://github.com/heroku/heroku-buildpack-ruby",
            ),
            ("https://host/x.git#v1.2", "git", "https://host/x.git#v1.2"),
            (
                "https://host/x.git#feature/a-b",
                "git",
                "https://host/x.git#feature/a-b",
            ),
            ("https://host/x.git#", "git", "https://host/x.git"),
            ("git://host:9418/x", "git", "git://host:9418/x"),
            ("ssh://git@host/x.git", "git", "ssh://git@host/x.git"),
            ("https://host/pack.tgz", "tgz", "https://host/pack.tgz"),
            (
                "http://host/pack.tar.gz?token=1#x",
                "tgz",
                "http://host/pack.tar.gz?token=1",
            ),
        ];
        for (text, kind, value) in cases {
            let source = BuildpackSource::parse(text).unwrap();
            assert_eq!(
                (source.kind(), source.value().as_str()),
                (kind, value),
                "{text}"
            );
        }
    }

    #[test]
    fn a_password_in_a_url_is_used_and_not_shown() {
        let source = BuildpackSource::parse("https://me:hush@host/x.git#main").unwrap();
        assert_eq!(source.value(), "https://me:hush@host/x.git#main");
        assert_eq!(source.to_string(), "https://host/x.git#main");
    }

    #[test]
    fn what_is_no_buildpack_is_refused_with_what_to_do() {
        let cases = [
            ("heroku/java", "use its git URL"),
            ("nosuch", "which ships heroku/ruby, heroku/nodejs"),
            ("", "must be a name"),
            ("git@github.com:x/y.git", "must be a name"),
            ("https://host", "must be a name"),
            ("https://ho st/x", "must be a name"),
            ("https://host/x\ty", "must be a name"),
            ("ext::sh -c id", "must be a name"),
            ("file:///etc", "not with file://"),
            ("javascript:alert(1)", "not with javascript://"),
            (
                "https://host/x.git#--upload-pack=id",
                "not the name of a branch",
            ),
            ("https://host/x.git#a..b", "not the name of a branch"),
            ("ssh://host/x.tgz", "must be a name"),
        ];
        for (text, expected) in cases {
            let error = BuildpackSource::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_config_var_counts_for_more_than_what_is_set() {
        let set = [
            BuildpackRef("heroku/ruby".into()),
            BuildpackRef("python".into()),
        ];
        let mut config = ConfigVars::default();
        let shipped = |pack| BuildpackSource::Shipped(pack);
        assert_eq!(
            of_build(&set, &config),
            Ok(vec![
                shipped(ShippedPack::Ruby),
                shipped(ShippedPack::Python)
            ])
        );
        assert_eq!(of_build(&[], &config), Ok(vec![]));
        config
            .0
            .insert(OVERRIDE.parse().unwrap(), Secret::new(" ".to_owned()));
        assert_eq!(of_build(&[], &config), Ok(vec![]));
        config.0.insert(
            OVERRIDE.parse().unwrap(),
            Secret::new("heroku/go".to_owned()),
        );
        assert_eq!(of_build(&set, &config), Ok(vec![shipped(ShippedPack::Go)]));
        config
            .0
            .insert(OVERRIDE.parse().unwrap(), Secret::new("nosuch".to_owned()));
        assert!(of_build(&set, &config).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_never_breaks_the_drivers_list(text in "(?s).{0,80}") {
            if let Ok(source) = BuildpackSource::parse(&text) {
                let line = format!("{source}\t{}\t{}", source.kind(), source.value());
                prop_assert_eq!(line.matches('\t').count(), 2);
                prop_assert!(!line.contains('\n'));
            }
        }

        #[test]
        fn what_is_shown_of_a_url_is_a_buildpack_too(host in "[a-z]{1,10}", path in "[a-z]{1,10}", reference in "[a-z0-9]{1,10}") {
            let source = BuildpackSource::parse(&format!("https://{host}/{path}#{reference}")).unwrap();
            prop_assert_eq!(BuildpackSource::parse(&source.to_string()), Ok(source));
        }
    }
}
