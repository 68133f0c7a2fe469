//! Finding the end of a head, whatever pieces it comes in: each byte is looked at once.

use memchr::memchr;

/// How far a head has been looked at.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Scan {
    seen: usize,
    line: usize,
    lines: usize,
    has_bare_line_feed: bool,
}

/// What a head may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of the first line.
    pub(crate) first_line: usize,
    /// Bytes of every other line.
    pub(crate) line: usize,
    /// Lines, the first one too.
    pub(crate) lines: usize,
    /// Bytes in all.
    pub(crate) whole: usize,
    /// Whether a line may end in a line feed alone.
    pub(crate) bare_line_feed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    BareLineFeed,
    LongFirstLine,
    LongLine,
    TooLong,
}

impl Scan {
    /// How long the head is, with the empty line at its end; `None`: not all of it is there.
    pub(crate) fn end(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Refused> {
        while let Some(found) = memchr(b'\n', &bytes[self.seen..]) {
            let end = self.seen + found + 1;
            let line = &bytes[self.line..end];
            let text = match line.strip_suffix(b"\r\n") {
                Some(text) => text,
                None if limits.bare_line_feed => {
                    self.has_bare_line_feed = true;
                    &line[..line.len() - 1]
                }
                None => return Err(Refused::BareLineFeed),
            };
            self.check(text.len(), limits)?;
            if text.is_empty() && self.lines > 0 {
                return Ok(Some(end));
            }
            self.lines += 1;
            self.seen = end;
            self.line = end;
            if self.lines > limits.lines || end > limits.whole {
                return Err(Refused::TooLong);
            }
        }
        self.seen = bytes.len();
        // Its end, a carriage return, may be there already.
        self.check((bytes.len() - self.line).saturating_sub(1), limits)?;
        if bytes.len() > limits.whole {
            return Err(Refused::TooLong);
        }
        Ok(None)
    }

    /// Whether a line ended in a line feed alone.
    pub(crate) const fn has_bare_line_feed(&self) -> bool {
        self.has_bare_line_feed
    }

    fn check(&self, length: usize, limits: &Limits) -> Result<(), Refused> {
        if self.lines == 0 && length > limits.first_line {
            return Err(Refused::LongFirstLine);
        }
        if self.lines > 0 && length > limits.line {
            return Err(Refused::LongLine);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        first_line: 20,
        line: 30,
        lines: 5,
        whole: 100,
        bare_line_feed: false,
    };

    fn end(text: &str) -> Result<Option<usize>, Refused> {
        Scan::default().end(text.as_bytes(), &LIMITS)
    }

    #[test]
    fn a_head_ends_at_its_empty_line() {
        assert_eq!(end("GET / HTTP/1.1\r\n\r\nmore"), Ok(Some(18)));
        assert_eq!(end("GET / HTTP/1.1\r\na: b\r\n\r\n"), Ok(Some(24)));
        assert_eq!(end("GET / HTTP/1.1\r\na: b\r\n"), Ok(None));
        assert_eq!(end(""), Ok(None));
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_has_ended() {
        assert_eq!(end(&"x".repeat(22)), Err(Refused::LongFirstLine));
        assert_eq!(
            end(&format!("GET\r\n{}", "x".repeat(32))),
            Err(Refused::LongLine)
        );
        assert_eq!(end(&"a: b\r\n".repeat(6)), Err(Refused::TooLong));
        let long = format!("a: {}\r\n", "x".repeat(26)).repeat(4);
        assert_eq!(end(&format!("GET\r\n{long}")), Err(Refused::TooLong));
    }

    #[test]
    fn line_feeds_alone_are_refused_where_they_could_be_read_differently() {
        assert_eq!(end("GET / HTTP/1.1\n\n"), Err(Refused::BareLineFeed));
        let kind = Limits {
            bare_line_feed: true,
            ..LIMITS
        };
        assert_eq!(
            Scan::default().end(b"HTTP/1.1 200\n\nx", &kind),
            Ok(Some(14))
        );
    }

    proptest! {
        #[test]
        fn it_does_not_matter_in_which_pieces_a_head_comes(
            text in "[a\r\n]{0,60}",
            cuts in prop::collection::vec(0usize..60, 0..6),
        ) {
            let whole = end(&text);
            let mut scan = Scan::default();
            let mut found = Ok(None);
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
            cuts.sort_unstable();
            cuts.push(text.len());
            for cut in cuts {
                found = scan.end(&text.as_bytes()[..cut], &LIMITS);
                if !matches!(found, Ok(None)) { break; }
            }
            prop_assert_eq!(found, whole);
        }
    }
}
