//! What of an answer is worth to be remembered.

// The static indexes of the names that matter (RFC 7541, appendix A).
const AGE: usize = 21;
const CONTENT_LENGTH: usize = 28;
const CONTENT_RANGE: usize = 30;
const DATE: usize = 33;
const ETAG: usize = 34;
const EXPIRES: usize = 36;
const LAST_MODIFIED: usize = 44;
const LOCATION: usize = 46;
const SET_COOKIE: usize = 55;

/// Whether both sides are to remember a field that neither of them knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Yes,
    No,
    /// Nobody on the way may: it is a secret, and what is remembered can be guessed at (RFC 7541, 7.1.3).
    Never,
}

impl Keep {
    /// By the name and its static index: what changes from answer to answer would only evict what does not.
    pub(super) fn of(known: Option<usize>, name: &[u8]) -> Self {
        match known {
            Some(SET_COOKIE) => Self::Never,
            Some(
                AGE | CONTENT_LENGTH | CONTENT_RANGE | DATE | ETAG | EXPIRES | LAST_MODIFIED
                | LOCATION,
            ) => Self::No,
            None if name.eq_ignore_ascii_case(b"x-request-id") => Self::No,
            None if name.eq_ignore_ascii_case(b"x-runtime") => Self::No,
            _ => Self::Yes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::statics;
    use super::*;

    #[test]
    fn the_indexes_are_of_the_names() {
        for (index, name) in [
            (AGE, "age"),
            (CONTENT_LENGTH, "content-length"),
            (CONTENT_RANGE, "content-range"),
            (DATE, "date"),
            (ETAG, "etag"),
            (EXPIRES, "expires"),
            (LAST_MODIFIED, "last-modified"),
            (LOCATION, "location"),
            (SET_COOKIE, "set-cookie"),
        ] {
            assert_eq!(statics::find_name(name.as_bytes()), Some(index));
        }
    }
}
