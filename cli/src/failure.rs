//! What went wrong in plain words, what to do about it, and the exit status.

use std::fmt;
use std::io;

use controller_api::{ApiError, ClientError};

/// The work was tried and failed.
pub(crate) const FAILED: u8 = 1;
/// The command line made no sense.
pub(crate) const USAGE: u8 = 2;

/// An error with advice.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    advice: Option<String>,
    code: u8,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            advice: None,
            code: FAILED,
        }
    }

    /// What was typed is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            code: USAGE,
            ..Self::new(message)
        }
    }

    /// What to do next.
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What to print, and the status to exit with.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) text: String,
    pub(crate) code: u8,
}

impl Verdict {
    /// `None`: say nothing, for whoever read our output has gone away and knows it.
    pub(crate) fn of(error: &anyhow::Error) -> Option<Self> {
        if error.chain().any(is_broken_pipe) {
            return None;
        }
        let told = told(error);
        // Our own sentences and the platform's begin as they should, perhaps with the name of an app, file or host.
        let is_sentence = error.is::<Failure>()
            || error
                .downcast_ref::<ClientError>()
                .is_some_and(|error| error.api().is_some());
        let mut text = format!(
            "Error: {}",
            if is_sentence {
                told
            } else {
                first_upper(&told)
            }
        );
        let failure = error.downcast_ref::<Failure>();
        let advice = failure
            .and_then(|failure| failure.advice.clone())
            .or_else(|| error.downcast_ref::<ClientError>().and_then(advice));
        if let Some(advice) = advice {
            text = format!("{text}\n{advice}");
        }
        let code = failure.map_or(FAILED, |failure| failure.code);
        Some(Self { text, code })
    }
}

fn is_broken_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn first_upper(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

fn advice(error: &ClientError) -> Option<String> {
    let advice = match error {
        ClientError::Api(api) => return advice_for(api),
        ClientError::Unreachable { source, .. } if innermost(source).contains("certificate") => {
            "Trust the platform's own CA with `paas login --ca-file FILE` or PAAS_CA_FILE."
        }
        ClientError::Unreachable { .. } | ClientError::TimedOut { .. } => {
            "Is the platform up, and is this its address? Another is set with `paas login --api URL`."
        }
        ClientError::Tls(_) => {
            "Give the platform's CA certificate with `paas login --ca-file FILE`."
        }
        ClientError::BadToken => "Log in again with `paas login`, or check PAAS_API_KEY.",
        _ => return None,
    };
    Some(advice.to_owned())
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn advice_for(error: &ApiError) -> Option<String> {
    let advice = match (error.id.as_str(), error.status) {
        ("unauthorized", _) => "Log in again with `paas login`, or check PAAS_API_KEY.",
        _ if error.is_about_app() => "List the apps you may see with `paas apps --all`.",
        // It says itself what to do.
        ("forbidden", _) if error.message.contains("paas ") => return None,
        ("forbidden", _) => "Ask the app's owner or an administrator of the platform.",
        (_, 500..) => {
            let quote = error
                .request_id
                .as_ref()
                .map(|id| format!(" and quote request id {id}"));
            return Some(format!(
                "Try again; if it stays, ask an administrator of the platform{}.",
                quote.unwrap_or_default()
            ));
        }
        _ => return error.url.as_ref().map(|url| format!("See {url}")),
    };
    Some(advice.to_owned())
}

/// The outermost words and the innermost cause: what is between is the libraries' own talk.
fn told(error: &anyhow::Error) -> String {
    let outer = error.to_string();
    let unreachable = error.downcast_ref::<ClientError>().is_some_and(|error| {
        matches!(
            error,
            ClientError::Unreachable { .. } | ClientError::TimedOut { .. }
        )
    });
    if unreachable {
        format!("{outer}: {}", error.root_cause())
    } else {
        format!("{error:#}")
    }
}
