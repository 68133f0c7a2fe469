//! What each code is, and how it is found again, from the lengths alone.

/// How many bits stand for each byte, and at last for the end of a text (RFC 7541, appendix B).
pub(super) const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const SHORTEST: u32 = 5;
pub(super) const LONGEST: u32 = 30;
/// What the longest of all codes stands for.
const END: u16 = 256;

/// Codes of so many bits are looked up by them: all of visible ASCII but a few signs. It takes 2 KiB, which stay in the
/// cache; two bytes at once would be faster, but by 16 KiB.
pub(super) const SHORT_BITS: u32 = 10;

/// The codes of one length, which is longer than [`SHORT_BITS`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Long {
    /// What the 32 bits that begin with one of them are at least and at most.
    pub(super) first: u64,
    pub(super) last: u64,
    /// In bits.
    pub(super) length: u32,
    /// How many symbols have a shorter code.
    pub(super) before: usize,
}

/// What the codes stand for, from the least to the greatest.
pub(super) static SYMBOLS: [u16; 257] = CODE.symbols;
/// The code of each byte, in the last bits.
pub(super) static CODES: [u32; 257] = CODE.codes;
/// The byte that each series of [`SHORT_BITS`] begins with, and the length of its code in bits: 0 if it is longer.
pub(super) static SHORT: [(u8, u8); 1 << SHORT_BITS] = short();
/// From the shortest to the longest. A length that has no codes has a range that nothing is within.
pub(super) static LONG: [Long; (LONGEST - SHORT_BITS) as usize] = CODE.long;

const CODE: Code = Code::new();

struct Code {
    symbols: [u16; 257],
    codes: [u32; 257],
    long: [Long; (LONGEST - SHORT_BITS) as usize],
}

impl Code {
    const fn new() -> Self {
        let mut this = Self {
            symbols: [0; 257],
            codes: [0; 257],
            long: [Long {
                first: 1,
                last: 0,
                length: 0,
                before: 0,
            }; _],
        };
        let (mut code, mut known) = (0, 0);
        let mut length = SHORTEST;
        while length <= LONGEST {
            let first = (code as u64) << (32 - length);
            let before = known;
            let mut symbol = 0;
            while symbol <= END {
                if LENGTHS[symbol as usize] as u32 == length {
                    this.codes[symbol as usize] = code;
                    this.symbols[known] = symbol;
                    code += 1;
                    known += 1;
                }
                symbol += 1;
            }
            if length > SHORT_BITS && known > before {
                this.long[(length - SHORT_BITS - 1) as usize] = Long {
                    first,
                    last: ((code as u64) << (32 - length)) - 1,
                    length,
                    before,
                };
            }
            code <<= 1;
            length += 1;
        }
        // Each series of bits is a code, or begins with one, or begins one.
        assert!(known == 257 && code == 1 << (LONGEST + 1));
        this
    }
}

const fn short() -> [(u8, u8); 1 << SHORT_BITS] {
    let mut table = [(0, 0); _];
    // All that are short stand for bytes of ASCII.
    let mut byte = 0;
    while byte < 128 {
        let length = LENGTHS[byte as usize];
        if length as u32 <= SHORT_BITS {
            let spare = SHORT_BITS - length as u32;
            let mut bits = (CODE.codes[byte as usize] as usize) << spare;
            let end = bits + (1 << spare);
            while bits < end {
                table[bits] = (byte, length);
                bits += 1;
            }
        }
        byte += 1;
    }
    table
}
