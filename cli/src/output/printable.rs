//! Text from elsewhere, made fit for a terminal.

/// Without what a terminal obeys, and without what changes how the rest is read and is not seen itself.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .collect()
}

/// Unicode's format characters, above all those that turn the direction of writing, and its own line ends.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'..='\u{891}'
        | '\u{8e2}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_stays_and_what_only_works_goes() {
        for text in ["shop", "größer 日本 ⬢ 🦀", ""] {
            assert_eq!(printable(text), text);
        }
        for text in [
            "a\u{1b}]0;b",
            "a\u{202e}]0;b",
            "a\u{2066}]0;\u{2069}b",
            "a\u{200b}]0;\u{feff}b\n",
            "a]0;b\u{e0041}\u{9b}",
        ] {
            assert_eq!(printable(text), "a]0;b", "{text:?}");
        }
    }
}
