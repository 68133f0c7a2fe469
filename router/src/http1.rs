//! HTTP/1.1 as bytes: where a head ends, what it says, how a body is told from what follows it. Nothing here waits or
//! touches a socket.
//!
//! Requests are read as strictly as RFC 9112 allows: what two parties on the way could read differently is refused, for
//! one of them would take a part of one request for another. Answers are read more kindly, and written anew.

pub(crate) mod chunks;
pub(crate) mod field;
pub(crate) mod framing;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod scan;

use std::mem::MaybeUninit;

use httparse::Header;

/// Room for the fields of nearly every head; the rest are read a second time, with room for [`MAX_FIELDS`].
const FEW_FIELDS: usize = 64;
pub(crate) const MAX_FIELDS: usize = 1000;

/// Puts the fields that are kept behind `out`, as they stand in `head`: those that follow each other in one go. `head`
/// ends with its empty line, and each of its lines with a carriage return and a line feed.
pub(crate) fn push_kept(
    out: &mut Vec<u8>,
    head: &[u8],
    fields: &[Header<'_>],
    mut keep: impl FnMut(&[u8]) -> bool,
) {
    let base = head.as_ptr().addr();
    let mut run = None;
    for field in fields {
        let start = field.name.as_ptr().addr() - base;
        if keep(field.name.as_bytes()) {
            run.get_or_insert(start);
        } else if let Some(from) = run.take() {
            out.extend_from_slice(&head[from..start]);
        }
    }
    if let Some(from) = run {
        out.extend_from_slice(&head[from..head.len() - 2]);
    }
}

/// Where the fields of a head are put while it is read.
pub(crate) type Fields<'b, const N: usize> = [MaybeUninit<Header<'b>>; N];

pub(crate) const fn fields<'b, const N: usize>() -> Fields<'b, N> {
    [const { MaybeUninit::uninit() }; N]
}

/// Room for any number in decimal.
pub(crate) const DECIMAL: usize = 20;

/// `number` in decimal.
pub(crate) fn decimal(text: &mut [u8; DECIMAL], mut number: u64) -> &[u8] {
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &text[at..];
        }
    }
}

/// `number` in decimal, at the end of `text`.
pub(crate) fn push_decimal(text: &mut Vec<u8>, number: u64) {
    text.extend_from_slice(decimal(&mut [0; DECIMAL], number));
}

/// A line of a head.
pub(crate) fn push_field(head: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    head.extend_from_slice(name);
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

/// Digits and nothing else, and few enough of them.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 {
        return None;
    }
    value.iter().try_fold(0, |sum: u64, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

/// The parts of a list that is separated by commas, without the space around them.
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_as_they_are_read() {
        for number in [0, 7, 10, 1_234_567_890, u64::MAX] {
            let mut text = Vec::new();
            push_decimal(&mut text, number);
            assert_eq!(text, number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_length_is_digits_alone() {
        assert_eq!(parse_length(b"0"), Some(0));
        assert_eq!(parse_length(b"0042"), Some(42));
        for bad in [
            "",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1,1",
            "0x1",
            "1e3",
            "9999999999999999999",
        ] {
            assert_eq!(parse_length(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
