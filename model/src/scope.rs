//! What a token is good for, in Heroku's words.
//! Source: Heroku's Platform API, "OAuth: Scopes".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidName;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Everything its account may do.
    Global,
    /// Knowing whose it is.
    Identity,
    /// Seeing apps, but no config vars and no releases.
    Read,
    /// Changing them as well.
    Write,
    ReadProtected,
    WriteProtected,
}

/// What is asked of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    Identity,
    Read,
    /// What secrets can be read from.
    ReadProtected,
    Write,
    /// What secrets can be read by: setting them, running code, letting somebody else in.
    WriteProtected,
    /// The account itself, and the platform.
    Global,
}

impl Scope {
    pub const ALL: [Self; 6] = [
        Self::Global,
        Self::Identity,
        Self::Read,
        Self::Write,
        Self::ReadProtected,
        Self::WriteProtected,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Identity => "identity",
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadProtected => "read-protected",
            Self::WriteProtected => "write-protected",
        }
    }

    /// Whoever may see apps may also know whose token it is.
    pub const fn grants(self, need: Need) -> bool {
        match need {
            Need::Identity => true,
            Need::Read => !matches!(self, Self::Identity),
            Need::ReadProtected => matches!(
                self,
                Self::Global | Self::ReadProtected | Self::WriteProtected
            ),
            Need::Write => matches!(self, Self::Global | Self::Write | Self::WriteProtected),
            Need::WriteProtected => matches!(self, Self::Global | Self::WriteProtected),
            Need::Global => matches!(self, Self::Global),
        }
    }
}

impl Need {
    /// The narrowest scope that grants it.
    pub const fn scope(self) -> Scope {
        match self {
            Self::Identity => Scope::Identity,
            Self::Read => Scope::Read,
            Self::ReadProtected => Scope::ReadProtected,
            Self::Write => Scope::Write,
            Self::WriteProtected => Scope::WriteProtected,
            Self::Global => Scope::Global,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| InvalidName {
                kind: "scope",
                text: text.chars().take(40).collect(),
                rule: "must be global, identity, read, write, read-protected or write-protected",
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: [Need; 6] = [
        Need::Identity,
        Need::Read,
        Need::ReadProtected,
        Need::Write,
        Need::WriteProtected,
        Need::Global,
    ];

    #[test]
    fn a_scope_grants_what_its_name_says_and_no_more() {
        for (scope, granted) in [
            (Scope::Identity, "y....."),
            (Scope::Read, "yy...."),
            (Scope::ReadProtected, "yyy..."),
            (Scope::Write, "yy.y.."),
            (Scope::WriteProtected, "yyyyy."),
            (Scope::Global, "yyyyyy"),
        ] {
            let mark = |need: &Need| if scope.grants(*need) { 'y' } else { '.' };
            assert_eq!(
                NEEDS.iter().map(mark).collect::<String>(),
                granted,
                "{scope}"
            );
        }
        assert!(NEEDS.iter().all(|need| need.scope().grants(*need)));
    }

    #[test]
    fn scopes_are_written_as_heroku_does() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            let json = serde_json::to_string(&scope).unwrap();
            assert_eq!(json, format!("\"{scope}\""));
        }
    }
}
