//! One thing that was looked at, and how it is.

use serde::Serialize;

use crate::failure::Verdict;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    /// It works, but may not for long, or not as somebody thinks.
    Warning,
    Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) state: State,
    pub(super) message: String,
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, State::Ok, message.into(), None)
    }

    pub(super) fn warning(
        check: &'static str,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(check, State::Warning, message.into(), Some(advice.into()))
    }

    pub(super) fn problem(
        check: &'static str,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(check, State::Problem, message.into(), Some(advice.into()))
    }

    /// An error is a problem, with the advice that it always comes with.
    pub(super) fn error(check: &'static str, error: &anyhow::Error) -> Self {
        let text = Verdict::of(error).map(|verdict| verdict.text);
        let text = text.unwrap_or_default();
        let text = text.strip_prefix("Error: ").unwrap_or(&text);
        let (message, advice) = match text.split_once('\n') {
            Some((message, advice)) => (message, Some(advice.to_owned())),
            None => (text, None),
        };
        Self::new(check, State::Problem, message.to_owned(), advice)
    }

    fn new(check: &'static str, state: State, message: String, advice: Option<String>) -> Self {
        Self {
            check,
            state,
            message,
            advice,
        }
    }
}
