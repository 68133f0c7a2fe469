//! `~/.netrc`, where the heroku CLI keeps its token.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use controller_api::Secret;

/// The password for a host, if there is one.
pub(super) fn password(host: &str) -> Result<Option<Secret<String>>> {
    let named = std::env::var_os("NETRC").filter(|path| !path.is_empty());
    let path = named
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".netrc")));
    let Some(path) = path else {
        return Ok(None);
    };
    match fs_err::read_to_string(&path) {
        Ok(text) => Ok(find(&text, host)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("could not look for the token"),
    }
}

/// Of the entry of that host; the default one is for everybody, and no token is.
fn find(text: &str, host: &str) -> Option<Secret<String>> {
    let mut words = words(text).into_iter();
    let mut is_ours = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "machine" => is_ours = words.next()? == host,
            "default" => is_ours = false,
            "password" => {
                let password = words.next()?;
                if is_ours {
                    return Some(password.into());
                }
            }
            "login" | "account" => {
                words.next()?;
            }
            _ => {}
        }
    }
    None
}

/// Without comments, and without macros, which go on to the next empty line.
fn words(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut in_macro = false;
    for line in text.lines() {
        in_macro &= !line.trim().is_empty();
        for word in line.split_whitespace() {
            // A password may begin with one, and then is no comment.
            let is_value = all.last().is_some_and(|last| last == "password");
            if in_macro || (word.starts_with('#') && !is_value) {
                break;
            }
            if word == "macdef" && !is_value {
                in_macro = true;
                break;
            }
            all.push(word.trim_matches('"').to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, host: &str) -> Option<String> {
        find(text, host).map(Secret::into_exposed)
    }

    #[test]
    fn the_password_of_the_host_is_found_however_it_is_written() {
        let text = "# mine\nmachine git.heroku.com\n  login a@b\n  password one\n\
                    machine api.heroku.com login a@b password \"two\"\n\
                    macdef init\nmachine evil password three\n\n\
                    machine 127.0.0.1:5100 password #four\n\
                    default login x password five\n";
        assert_eq!(found(text, "api.heroku.com").as_deref(), Some("two"));
        assert_eq!(found(text, "git.heroku.com").as_deref(), Some("one"));
        assert_eq!(found(text, "127.0.0.1:5100").as_deref(), Some("#four"));
        assert_eq!(found(text, "evil"), None);
        assert_eq!(found(text, "heroku.com"), None);
        assert_eq!(found("machine", "x"), None);
        assert_eq!(found("machine x password", "x"), None);
    }
}
