//! The Procfile: one process type and its command per line.
//!
//! The rule is the classic platform's, `^[[:space:]]*([a-zA-Z0-9_-]+):?\s+(.*)[[:space:]]*`: the colon may be missing, the
//! last of two lines for a type counts, and a line that does not fit (a comment, say) is passed over.

use model::ProcessType;

use crate::ProcessTypes;

/// Never fails: what is not a process type is not there.
pub fn parse(text: &str) -> ProcessTypes {
    text.trim_start_matches('\u{feff}')
        .lines()
        .filter_map(parse_line)
        .collect()
}

fn parse_line(line: &str) -> Option<(ProcessType, String)> {
    let line = line.trim_matches(is_space);
    let end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    // Something must part the name from the command; a type with an empty command could never be started.
    let command = rest.strip_prefix(is_space)?.trim_start_matches(is_space);
    if command.is_empty() {
        return None;
    }
    Some((name.parse().ok()?, command.to_owned()))
}

/// C's `isspace`, without the newline that ends a line.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\u{b}' | '\u{c}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        parse(text)
            .into_iter()
            .map(|(name, command)| (name.as_str().to_owned(), command))
            .collect()
    }

    #[test]
    fn a_procfile_is_read_as_the_classic_platform_reads_it() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("web: gunicorn app:app", &[("web", "gunicorn app:app")]),
            ("web: a\nworker: b\n", &[("web", "a"), ("worker", "b")]),
            (
                "web:\ta  \r\nworker:   b\r\n",
                &[("web", "a"), ("worker", "b")],
            ),
            // The colon may be missing, the space may not.
            ("web node server.js", &[("web", "node server.js")]),
            ("web:node", &[]),
            // The last one counts.
            ("web: old\nweb: new", &[("web", "new")]),
            // What does not fit is passed over.
            ("# a comment\n#web: no\n\nweb: yes", &[("web", "yes")]),
            ("web:\nweb:   \nweb", &[]),
            ("we.b: a\nwéb: b\n: c", &[]),
            (
                "  indented: command: with: colons",
                &[("indented", "command: with: colons")],
            ),
            ("my-worker_2: x", &[("my-worker_2", "x")]),
            (
                "\u{feff}web: with a byte order mark",
                &[("web", "with a byte order mark")],
            ),
            (
                "release: ./migrate && echo \"done: $?\"",
                &[("release", "./migrate && echo \"done: $?\"")],
            ),
        ];
        for (text, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|(n, c)| ((*n).to_owned(), (*c).to_owned()))
                .collect();
            assert_eq!(parsed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_name_too_long_for_a_process_type_is_passed_over() {
        assert_eq!(parsed(&format!("{}: x", "a".repeat(64))), vec![]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(?s).{0,300}") {
            for (_, command) in parse(&text) {
                prop_assert!(!command.is_empty() && !command.contains('\n'));
            }
        }

        #[test]
        fn what_is_written_is_read(name in "[a-zA-Z0-9_-]{1,63}", command in "[!-~]([ -~]{0,60}[!-~])?") {
            prop_assert_eq!(parsed(&format!("{name}: {command}")), vec![(name, command)]);
        }
    }
}
