//! Session affinity: a cookie that names the dyno which answered first, in a way that tells nobody anything.

use model::DynoId;
use sha2::{Digest as _, Sha256};

/// Heroku's name for it.
const COOKIE: &[u8] = b"heroku-session-affinity";

/// What stands for a dyno, the same at every router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(u64);

impl Tag {
    pub(crate) fn of(dyno: DynoId) -> Self {
        let digest = Sha256::digest(format!("session affinity {dyno}"));
        let first = digest.first_chunk::<8>().copied().unwrap_or_default();
        Self(u64::from_be_bytes(first))
    }

    /// The one that a `Cookie` field holds.
    pub(crate) fn in_cookies(cookies: &[u8]) -> Option<Self> {
        let mut pairs = cookies.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let value = pairs.find_map(|pair| pair.strip_prefix(COOKIE)?.strip_prefix(b"="))?;
        let text = std::str::from_utf8(value).ok()?;
        u64::from_str_radix(text, 16).ok().map(Self)
    }

    /// A `Set-Cookie` field for what is below the path: another path may lead to another app, and clients send the cookie of
    /// the longest path first. An app in a frame of another site's keeps it, where it can be kept from eavesdroppers.
    pub(crate) fn set_cookie(self, path: &str, is_https: bool) -> String {
        let site = if is_https {
            "; Secure; SameSite=None"
        } else {
            ""
        };
        let name = String::from_utf8_lossy(COOKIE);
        let Self(tag) = self;
        format!("{name}={tag:016x}; Path={path}; Max-Age=86400; HttpOnly{site}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_brings_back_what_was_set() {
        let tag = Tag::of(DynoId::new());
        let set = tag.set_cookie("/", true);
        let pair = set.split(';').next().unwrap();
        let cookies = format!("a=b; {pair};c=d");
        assert_eq!(Tag::in_cookies(cookies.as_bytes()), Some(tag));
        assert!(!tag.set_cookie("/", false).contains("Secure"));
        for bad in [
            "",
            "a=b",
            "heroku-session-affinity=",
            "heroku-session-affinity=xyz",
            "heroku-session-affinity-2=00",
        ] {
            assert_eq!(Tag::in_cookies(bad.as_bytes()), None, "{bad}");
        }
    }
}
