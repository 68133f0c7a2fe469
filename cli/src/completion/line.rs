//! A line of bash up to the cursor, in words: blanks part them, quotes and backslashes keep them together.

use std::ffi::OsString;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The last is the one being typed.
    pub(super) words: Vec<OsString>,
    /// How much of the last word bash takes for words of its own, and leaves as it is.
    pub(super) cut: usize,
}

impl Line {
    /// `breaks`: at what bash parts words besides (`$COMP_WORDBREAKS`).
    pub(super) fn read(text: &str, breaks: &str) -> Self {
        let mut words = Vec::new();
        let (mut word, mut cut) = (String::new(), 0);
        let (mut quote, mut begun) = (None, false);
        let mut chars = text.chars();
        while let Some(next) = chars.next() {
            match (quote, next) {
                (None, ' ' | '\t' | '\n') => {
                    if begun {
                        words.push(std::mem::take(&mut word).into());
                    }
                    (begun, cut) = (false, 0);
                    continue;
                }
                (None, '\'' | '"') => {
                    quote = Some(next);
                    // Inside quotes nothing parts words, and bash goes on from the quote.
                    cut = word.len();
                }
                (Some(open), _) if open == next => quote = None,
                (None | Some('"'), '\\') => word.extend(chars.next()),
                (None, _) => {
                    word.push(next);
                    if breaks.contains(next) {
                        cut = word.len();
                    }
                }
                (Some(_), _) => word.push(next),
            }
            begun = true;
        }
        words.push(word.into());
        Self { words, cut }
    }
}

/// Characters that bash would not take for themselves.
pub(super) fn escaped(value: &str) -> String {
    value.chars().fold(String::new(), |mut text, next| {
        if " \t'\"\\$`&|;<>()*?[]#~{}!".contains(next) {
            text.push('\\');
        }
        text.push(next);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BREAKS: &str = " \t\n\"'><=;|&(:";

    #[test]
    fn lines_are_read_as_bash_reads_them() {
        for (text, words, cut) in [
            ("paas ps:sc", &["paas", "ps:sc"][..], 3),
            ("paas ps:", &["paas", "ps:"], 3),
            ("paas  ps  ", &["paas", "ps", ""], 0),
            ("paas", &["paas"], 0),
            ("", &[""], 0),
            ("paas config:set A=b", &["paas", "config:set", "A=b"], 2),
            ("paas -a 'my a", &["paas", "-a", "my a"], 0),
            ("paas -a my\\ a", &["paas", "-a", "my a"], 0),
            ("paas \"ps:sc", &["paas", "ps:sc"], 0),
            ("paas ps:scale '' w", &["paas", "ps:scale", "", "w"], 0),
        ] {
            let line = Line::read(text, BREAKS);
            assert_eq!(
                (line.words, line.cut),
                (words.iter().map(OsString::from).collect(), cut),
                "{text}"
            );
        }
        // Some have taken the colon out.
        assert_eq!(Line::read("paas ps:sc", " \t\n").cut, 0);
    }

    #[test]
    fn what_bash_would_read_otherwise_is_escaped() {
        assert_eq!(escaped("my-app"), "my-app");
        assert_eq!(escaped("my key's.pub"), "my\\ key\\'s.pub");
    }
}
