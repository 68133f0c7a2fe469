//! The Huffman code (RFC 7541, 5.2 and appendix B).
//!
//! It is canonical: shorter codes are smaller, and those of equal length ascend with what they stand for. So how long each
//! one is says all, and the rest is computed when this is compiled.

mod code;

use super::Corrupt;
use code::{CODES, LENGTHS, LONG, LONGEST, SHORT, SHORT_BITS, SYMBOLS};

/// What `text` takes when it is encoded, in bytes.
pub(super) fn encoded_len(text: impl Iterator<Item = u8>) -> usize {
    let bits: usize = text
        .map(|byte| usize::from(LENGTHS[usize::from(byte)]))
        .sum();
    bits.div_ceil(8)
}

pub(super) fn encode(text: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    // The last `bits` of the window are not written yet. They are fewer than 32 whenever a code is added.
    let (mut window, mut bits) = (0u64, 0u32);
    for byte in text {
        let length = LENGTHS[usize::from(byte)];
        window = window << length | u64::from(CODES[usize::from(byte)]);
        bits += u32::from(length);
        if bits >= 32 {
            bits -= 32;
            let [.., a, b, c, d] = (window >> bits).to_be_bytes();
            out.extend_from_slice(&[a, b, c, d]);
        }
    }
    // The last byte is filled up with ones.
    let window = !(!window << (32 - bits));
    let [.., a, b, c, d] = window.to_be_bytes();
    out.extend([a, b, c, d].iter().take(bits.div_ceil(8) as usize));
}

/// Puts what `text` says at the end of `out`: at most 8 bytes for 5.
pub(super) fn decode(text: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    out.reserve(text.len() + text.len() * 3 / 5 + 1);
    // The first `bits` of the window are to be read next; what else is in it already are those behind them.
    let (mut window, mut bits) = (0u64, 0u32);
    let mut rest = text;
    loop {
        window |= ahead(rest) >> bits;
        let taken = rest.len().min((63 - bits) as usize / 8);
        rest = rest.get(taken..).unwrap_or_default();
        bits += 8 * u32::try_from(taken).unwrap_or_default();
        if rest.is_empty() {
            return finish(window, bits, out);
        }
        while bits >= LONGEST {
            let (byte, length) = first(window)?;
            out.push(byte);
            window <<= length;
            bits -= length;
        }
    }
}

/// All that there is to read are the first `bits` of the window, and what is behind them are ones.
fn finish(mut window: u64, mut bits: u32, out: &mut Vec<u8>) -> Result<(), Corrupt> {
    // Less than a byte of the code that stands for the end, which are ones, is behind the text.
    while bits > 7 || window != u64::MAX {
        let (byte, length) = first(window)?;
        out.push(byte);
        window = !(!window << length);
        bits = bits.checked_sub(length).ok_or(Corrupt)?;
    }
    Ok(())
}

/// The next 8 bytes; what there is not is ones.
fn ahead(rest: &[u8]) -> u64 {
    if let Some(next) = rest.first_chunk() {
        return u64::from_be_bytes(*next);
    }
    let mut next = [0xff; 8];
    for (byte, last) in next.iter_mut().zip(rest) {
        *byte = *last;
    }
    u64::from_be_bytes(next)
}

/// The byte that the window begins with, and how many bits stand for it.
fn first(window: u64) -> Result<(u8, u32), Corrupt> {
    match SHORT[(window >> (64 - SHORT_BITS)) as usize % SHORT.len()] {
        (_, 0) => long(window),
        (byte, length) => Ok((byte, u32::from(length))),
    }
}

#[cold]
fn long(window: u64) -> Result<(u8, u32), Corrupt> {
    let code = window >> 32;
    let found = LONG.iter().find(|long| code <= long.last).ok_or(Corrupt)?;
    let nth = code.saturating_sub(found.first) >> (32 - found.length);
    let nth = found.before + usize::try_from(nth).map_err(|_| Corrupt)?;
    // The last of all stands for the end, which is never said.
    let symbol = SYMBOLS.get(nth).ok_or(Corrupt)?;
    Ok((u8::try_from(*symbol).map_err(|_| Corrupt)?, found.length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(text.iter().copied(), &mut out);
        assert_eq!(out.len(), encoded_len(text.iter().copied()));
        out
    }

    fn decoded(text: &[u8]) -> Result<Vec<u8>, Corrupt> {
        let mut out = Vec::new();
        decode(text, &mut out).map(|()| out)
    }

    /// Bits, with space between them as it is easy to read.
    fn bits(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
        assert_eq!(digits.len() % 8, 0, "{text}");
        let octet = |digits: &[u8]| {
            digits
                .iter()
                .fold(0, |octet, digit| octet << 1 | (digit - b'0'))
        };
        digits.chunks(8).map(octet).collect()
    }

    #[test]
    fn the_rfc_has_examples() {
        for (text, code) in [
            ("", ""),
            ("www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
            ("no-cache", "a8eb10649cbf"),
            ("custom-value", "25a849e95bb8e8b4bf"),
            ("302", "6402"),
            (
                "Mon, 21 Oct 2013 20:13:21 GMT",
                "d07abe941054d444a8200595040b8166e082a62d1bff",
            ),
        ] {
            let code = hex::decode(code).unwrap();
            assert_eq!(encoded(text.as_bytes()), code, "{text}");
            assert_eq!(decoded(&code).as_deref(), Ok(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn each_byte_can_be_said_at_each_bit() {
        for byte in 0..=0xff {
            for before in 0..9 {
                // A "0" has five bits, so that the byte begins at each bit of a byte once.
                let mut text = vec![b'0'; before];
                text.extend([byte, b'0', byte]);
                assert_eq!(decoded(&encoded(&text)), Ok(text));
            }
        }
    }

    #[test]
    fn padding_is_less_than_a_byte_of_ones() {
        let a = "00011";
        assert_eq!(
            decoded(&bits(&format!("{a} 111"))).as_deref(),
            Ok(&b"a"[..])
        );
        for bad in [
            format!("{a} 110"),
            format!("{a} 000"),
            format!("{a} 111 11111111"),
            format!("{a}{a}{a}{a}{a}{a}{a}{a} 11111111"),
            "11111111".to_owned(),
            "1".repeat(24),
            "1".repeat(80),
        ] {
            assert_eq!(decoded(&bits(&bad)), Err(Corrupt), "{bad}");
        }
    }

    #[test]
    fn the_end_is_never_said() {
        let end = "1".repeat(30);
        for bad in [
            format!("{end} 11"),
            format!("{end} 00011 11111"),
            format!("00011 {end} 11111"),
            format!("{end} 00011 00011 {}", "11111000".repeat(9)),
        ] {
            assert_eq!(decoded(&bits(&bad)), Err(Corrupt), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(text: Vec<u8>) {
            prop_assert_eq!(decoded(&encoded(&text)), Ok(text));
        }

        #[test]
        fn what_can_be_decoded_is_encoded_in_one_way(code: Vec<u8>) {
            if let Ok(text) = decoded(&code) {
                prop_assert_eq!(encoded(&text), code);
            }
        }
    }
}
