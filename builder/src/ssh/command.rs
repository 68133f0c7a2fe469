//! What an SSH client asks for: `git-receive-pack '/app.git'`.

use crate::git::Service;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) service: Service,
    /// The app's name as typed, without slash and `.git`.
    pub(super) app: String,
}

/// The spellings of git clients: `git-upload-pack 'app.git'`, `git upload-pack "/app"`, `git-receive-pack /~/app.git`.
pub(super) fn parse(command: &str) -> Option<Request> {
    let command = command.trim();
    let (name, argument) = match command.strip_prefix("git ") {
        Some(rest) => {
            let (subcommand, argument) = rest.trim_start().split_once(' ')?;
            (format!("git-{subcommand}"), argument)
        }
        None => {
            let (name, argument) = command.split_once(' ')?;
            (name.to_owned(), argument)
        }
    };
    let service = Service::parse(&name)?;
    let path = unquote(argument.trim())?;
    let path = path.trim_start_matches('/');
    let path = path
        .strip_prefix("~/")
        .unwrap_or(path)
        .trim_end_matches('/');
    let app = path.strip_suffix(".git").unwrap_or(path);
    (!app.is_empty()).then(|| Request {
        service,
        app: app.to_owned(),
    })
}

/// A single word as a shell would read it. No app's name holds a quote, so what is oddly quoted is no app.
fn unquote(text: &str) -> Option<&str> {
    for quote in ['\'', '"'] {
        if let Some(rest) = text.strip_prefix(quote) {
            return rest
                .strip_suffix(quote)
                .filter(|inner| !inner.contains(quote));
        }
    }
    (!text.contains(char::is_whitespace)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_push_is_understood() {
        for text in [
            "git-receive-pack '/ticks.git'",
            "git-receive-pack 'ticks.git'",
            "git-receive-pack 'ticks'",
            "git-receive-pack \"/ticks.git\"",
            "git-receive-pack /ticks.git/",
            "git receive-pack '/~/ticks.git'",
        ] {
            let expected = Request {
                service: Service::ReceivePack,
                app: "ticks".to_owned(),
            };
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        assert_eq!(
            parse("git-upload-pack 'ticks.git'").map(|r| r.service),
            Some(Service::UploadPack)
        );
    }

    #[test]
    fn nothing_else_is_a_command() {
        for text in [
            "",
            "ls",
            "bash -c 'git-receive-pack ticks'",
            "git-receive-pack",
            "git-receive-pack ''",
            "git-receive-pack 'a' 'b'",
            "git-receive-pack 'a",
            "git-receive-pack a; rm -rf /",
            "git-shell 'ticks'",
            "git upload-archive 'ticks'",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
