//! Integers that begin in the middle of an octet (RFC 7541, 5.1).

use super::Corrupt;

/// Where the bits of the octets go that may follow the first. Their 28 bits count 256 MiB, and no block is as long; so
/// more of them are an attack, though they were all zeros.
const SHIFTS: [u32; 4] = [0, 7, 14, 21];

/// Takes the integer at the beginning of `rest`, which has the last `bits` (1 to 8) of the first octet.
pub(super) fn read(rest: &mut &[u8], bits: u32) -> Result<usize, Corrupt> {
    let full = full(bits);
    let prefix = take(rest)? & full;
    let mut number = usize::from(prefix);
    if prefix < full {
        return Ok(number);
    }
    for shift in SHIFTS {
        let octet = take(rest)?;
        number += usize::from(octet & 0x7f) << shift;
        if octet < 0x80 {
            return Ok(number);
        }
    }
    Err(Corrupt)
}

/// Writes `number` into the last `bits` of an octet that begins with the bits of `kind`, and as many more as it needs.
pub(super) fn write(out: &mut Vec<u8>, kind: u8, bits: u32, number: usize) {
    let full = full(bits);
    match u8::try_from(number) {
        Ok(small) if small < full => out.push(kind | small),
        _ => {
            out.push(kind | full);
            write_rest(out, number - usize::from(full));
        }
    }
}

fn write_rest(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(0x80 | number.to_le_bytes()[0]);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn take(rest: &mut &[u8]) -> Result<u8, Corrupt> {
    let (octet, more) = rest.split_first().ok_or(Corrupt)?;
    *rest = more;
    Ok(*octet)
}

const fn full(bits: u32) -> u8 {
    0xff >> (8 - bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(bits: u32, number: usize) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, 0, bits, number);
        out
    }

    #[test]
    fn the_rfc_has_three_examples() {
        assert_eq!(written(5, 10), [10]);
        assert_eq!(written(5, 1337), [31, 154, 10]);
        assert_eq!(written(8, 42), [42]);
    }

    #[test]
    fn what_does_not_end_or_is_too_great_is_corrupt() {
        for bad in [
            &[][..],
            &[31],
            &[31, 0x80],
            &[31, 0x80, 0x80, 0x80],
            &[31, 0x80, 0x80, 0x80, 0x80],
            &[31, 0x80, 0x80, 0x80, 0x80, 0],
            &[
                31, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
            ],
        ] {
            assert_eq!(read(&mut &*bad, 5), Err(Corrupt), "{bad:?}");
        }
        assert_eq!(
            read(&mut &[31, 0xff, 0xff, 0xff, 0x7f][..], 5),
            Ok(31 + (1 << 28) - 1)
        );
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(bits in 1u32..=8, number in 0usize..1 << 28, behind: Vec<u8>) {
            let mut out = written(bits, number);
            out.extend_from_slice(&behind);
            let mut rest = &*out;
            prop_assert_eq!(read(&mut rest, bits), Ok(number));
            prop_assert_eq!(rest, &*behind);
        }
    }
}
