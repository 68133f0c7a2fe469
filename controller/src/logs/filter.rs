//! Which lines of an app's log are wanted.

use model::log::LogSource;
use serde::{Deserialize, Serialize};

use super::line::speaker;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Filter {
    pub(crate) source: Option<LogSource>,
    /// `web.1`, `router`, or a process type, which means all its dynos.
    pub(crate) process: Option<String>,
}

impl Filter {
    pub(super) fn passes(&self, line: &str) -> bool {
        if self.source.is_none() && self.process.is_none() {
            return true;
        }
        let Some((source, process)) = speaker(line) else {
            return false;
        };
        self.source.is_none_or(|wanted| wanted.as_str() == source)
            && self.process.as_ref().is_none_or(|wanted| {
                process == wanted
                    || process
                        .strip_prefix(wanted.as_str())
                        .is_some_and(|rest| rest.starts_with('.'))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chosen_by_source_and_by_dyno_or_type() {
        let line = |speaker: &str| format!("2012-10-11T03:47:20.123456+00:00 {speaker}: text");
        let filter = |source, process: Option<&str>| Filter {
            source,
            process: process.map(str::to_owned),
        };
        let web = line("app[web.1]");
        assert!(filter(None, None).passes(&web));
        assert!(filter(Some(LogSource::App), Some("web.1")).passes(&web));
        assert!(filter(None, Some("web")).passes(&web));
        assert!(!filter(None, Some("we")).passes(&web));
        assert!(!filter(Some(LogSource::Heroku), None).passes(&web));
        assert!(!filter(None, Some("web.1")).passes(&line("app[web.10]")));
        assert!(filter(Some(LogSource::Heroku), Some("router")).passes(&line("heroku[router]")));
    }
}
