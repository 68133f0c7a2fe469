//! What a provider is told, as it stands after `--`: `--version 17 --encrypted --region=eu`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::failure::Failure;

/// As Heroku's command line reads it: an option without a value is `true`.
pub(super) fn read(words: &[String]) -> Result<BTreeMap<String, Value>, Failure> {
    let mut options = BTreeMap::new();
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        let option = word.strip_prefix("--").ok_or_else(|| unexpected(word))?;
        let (key, value) = match option.split_once('=') {
            Some((key, "true")) => (key, Value::Bool(true)),
            Some((key, value)) => (key, value.into()),
            None => match words.next_if(|next| !next.starts_with("--")) {
                Some(value) => (option, value.into()),
                None => (option, Value::Bool(true)),
            },
        };
        if key.is_empty() {
            return Err(unexpected(word));
        }
        options.insert(key.to_owned(), value);
    }
    Ok(options)
}

fn unexpected(word: &str) -> Failure {
    Failure::usage(format!("{word:?} is no option for the provider"))
        .advise("After `--` they stand as --key value, --key=value, or --key.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(line: &str) -> Result<Value, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let options = read(&words).map_err(|error| error.to_string())?;
        Ok(json!(options))
    }

    #[test]
    fn options_have_their_value_beside_them_behind_a_sign_or_not_at_all() {
        for (line, expected) in [
            ("", json!({})),
            ("--version 17", json!({ "version": "17" })),
            ("--url=a=b --fast", json!({ "url": "a=b", "fast": true })),
            (
                "--fast --version 17",
                json!({ "fast": true, "version": "17" }),
            ),
            (
                "--fast=true --slow true",
                json!({ "fast": true, "slow": "true" }),
            ),
            (
                "--offset -1 --empty=",
                json!({ "offset": "-1", "empty": "" }),
            ),
            ("--version 16 --version 17", json!({ "version": "17" })),
        ] {
            assert_eq!(options(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_no_option_is_refused_by_its_name() {
        for (line, word) in [
            ("17", "17"),
            ("--a 1 2", "2"),
            ("-f x", "-f"),
            ("--=x", "--=x"),
        ] {
            let error = options(line).unwrap_err();
            assert_eq!(error, format!("{word:?} is no option for the provider"));
        }
    }
}
