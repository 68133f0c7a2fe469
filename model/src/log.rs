//! Log lines in Heroku's shape.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AppId, Timestamp};

/// The longest line kept; the rest is cut and marked.
pub const MAX_LINE_BYTES: usize = 10_000;

/// Who speaks: the app itself, or the platform about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogSource {
    App,
    Heroku,
}

impl LogSource {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Heroku => "heroku",
        }
    }
}

/// One line of an app's log. `Display` is `2012-10-11T03:47:20.123456+00:00 app[web.1]: text`, the form Heroku's CLI colours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub app: AppId,
    pub at: Timestamp,
    pub source: LogSource,
    /// `web.1`, `router`, `api`.
    pub process: String,
    pub text: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00");
        write!(
            f,
            "{at} {}[{}]: {}",
            self.source.as_str(),
            self.process,
            self.text
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_prints_as_heroku_prints_it() {
        let line = LogLine {
            app: AppId::new(),
            at: "2012-10-11T03:47:20.123456Z".parse().unwrap(),
            source: LogSource::App,
            process: "web.1".to_owned(),
            text: "hello".to_owned(),
        };
        assert_eq!(
            line.to_string(),
            "2012-10-11T03:47:20.123456+00:00 app[web.1]: hello"
        );
    }
}
