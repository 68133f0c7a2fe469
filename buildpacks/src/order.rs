//! The buildpacks we ship, and the order in which they are tried.

use std::fmt;

/// A buildpack that ships with the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShippedPack {
    Ruby,
    Nodejs,
    Python,
    Go,
    Rust,
    Static,
    Procfile,
}

/// Heroku's order for the languages it has too, then ours; what every app has, a Procfile, comes last.
pub const DETECTION_ORDER: [ShippedPack; 7] = [
    ShippedPack::Ruby,
    ShippedPack::Nodejs,
    ShippedPack::Python,
    ShippedPack::Go,
    ShippedPack::Rust,
    ShippedPack::Static,
    ShippedPack::Procfile,
];

impl ShippedPack {
    /// Its name without the `heroku/` in front, which is also its directory's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ruby => "ruby",
            Self::Nodejs => "nodejs",
            Self::Python => "python",
            Self::Go => "go",
            Self::Rust => "rust",
            Self::Static => "static",
            Self::Procfile => "procfile",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        DETECTION_ORDER.into_iter().find(|pack| pack.name() == name)
    }
}

impl fmt::Display for ShippedPack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "heroku/{}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pack_is_found_by_its_name() {
        for pack in DETECTION_ORDER {
            assert_eq!(ShippedPack::from_name(pack.name()), Some(pack));
        }
        assert_eq!(ShippedPack::from_name("java"), None);
    }

    #[test]
    fn languages_that_heroku_has_keep_herokus_order() {
        let heroku = [
            "ruby", "nodejs", "clojure", "python", "java", "gradle", "scala", "php", "go",
        ];
        let ours: Vec<_> = DETECTION_ORDER
            .iter()
            .map(|p| p.name())
            .filter(|n| heroku.contains(n))
            .collect();
        let theirs: Vec<_> = heroku.into_iter().filter(|n| ours.contains(n)).collect();
        assert_eq!(ours, theirs);
    }
}
