//! Header blocks as they are written (RFC 7541, 6): what is likely to be said again is remembered.

use super::keep::Keep;
use super::table::{Name, Table, cost};
use super::{TABLE_SIZE, huffman, integer, statics};

/// One per connection: fields that were written before are indexes in the blocks after.
#[derive(Debug)]
pub(crate) struct Encoder {
    table: Table,
    /// The size that the table is to have, in bytes.
    wanted: u16,
    /// The least that was wanted since the last block began.
    least: u16,
}

impl Encoder {
    /// Allocates nothing until something is to be remembered.
    pub(crate) const fn new() -> Self {
        Self::of(TABLE_SIZE)
    }

    const fn of(most: u16) -> Self {
        Self {
            table: Table::of(most),
            wanted: most,
            least: most,
        }
    }

    /// The peer's `SETTINGS_HEADER_TABLE_SIZE`, in bytes: never more than 4096 is used. The next block says so.
    pub(crate) fn set_table_size(&mut self, most: u32) {
        self.wanted = u16::try_from(most).unwrap_or(TABLE_SIZE).min(TABLE_SIZE);
        self.least = self.least.min(self.wanted);
    }

    /// Call first for every block. If the table was to be smaller in between, both sizes are told, so that both sides
    /// evict the same (RFC 7541, 4.2).
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        for most in [self.least, self.wanted] {
            if most != self.table.most() {
                integer::write(out, 0x20, 5, usize::from(most));
                self.table.resize(most);
            }
        }
        self.least = self.wanted;
    }

    /// The status of an answer, which has three digits.
    pub(crate) fn status(&mut self, code: u16, out: &mut Vec<u8>) {
        let index = match code {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                let digits = [code / 100, code / 10, code].map(|digit| b'0' + (digit % 10) as u8);
                return self.field(b":status", &digits, out);
            }
        };
        indexed(index, out);
    }

    /// A field, its name in any case (it is written in lower case).
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let known = statics::find_name(name);
        if let Some(index) = known.and_then(|known| statics::find(known, value)) {
            return indexed(index, out);
        }
        match Keep::of(known, name) {
            Keep::Yes => self.keep(known, name, value, out),
            forget => self.literal(forget, known, name, value, out),
        }
    }

    fn keep(&mut self, known: Option<usize>, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        if let Some(index) = self.table.find(name, value) {
            return indexed(statics::FIRST_DYNAMIC + index, out);
        }
        // A large one would evict nearly all others.
        if cost(name.len(), value.len()) > usize::from(self.table.most()) / 4 * 3 {
            return self.literal(Keep::No, known, name, value, out);
        }
        self.literal(Keep::Yes, known, name, value, out);
        self.table.insert(lower(name), value, true);
    }

    fn literal(
        &self,
        keep: Keep,
        known: Option<usize>,
        name: &[u8],
        value: &[u8],
        out: &mut Vec<u8>,
    ) {
        let (kind, bits) = match keep {
            Keep::Yes => (0x40, 6),
            Keep::No => (0, 4),
            Keep::Never => (0x10, 4),
        };
        let known = known.or_else(|| {
            let index = self.table.find_name(name)?;
            Some(statics::FIRST_DYNAMIC + index)
        });
        integer::write(out, kind, bits, known.unwrap_or_default());
        if known.is_none() {
            text(lower(name), out);
        }
        text(value.iter().copied(), out);
    }
}

fn lower(name: &[u8]) -> impl Name {
    name.iter().map(u8::to_ascii_lowercase)
}

fn indexed(index: usize, out: &mut Vec<u8>) {
    integer::write(out, 0x80, 7, index);
}

/// In the shorter of both forms (RFC 7541, 5.2).
fn text(text: impl ExactSizeIterator<Item = u8> + Clone, out: &mut Vec<u8>) {
    let length = huffman::encoded_len(text.clone());
    if length < text.len() {
        integer::write(out, 0x80, 7, length);
        huffman::encode(text, out);
    } else {
        integer::write(out, 0, 7, text.len());
        out.extend(text);
    }
}

#[cfg(test)]
impl Encoder {
    /// One whose table may have `most` bytes, as if both sides had agreed on it.
    pub(super) const fn with(most: u16) -> Self {
        Self::of(most)
    }

    /// Writes a field that is remembered whatever its name.
    pub(super) fn remember(&mut self, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let known = statics::find_name(name);
        match known.and_then(|known| statics::find(known, value)) {
            Some(index) => indexed(index, out),
            None => self.keep(known, name, value, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(encoder: &mut Encoder, name: &str, value: &str) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.field(name.as_bytes(), value.as_bytes(), &mut out);
        out
    }

    fn begun(encoder: &mut Encoder) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        out
    }

    fn status(encoder: &mut Encoder, code: u16) -> Vec<u8> {
        let mut out = Vec::new();
        encoder.status(code, &mut out);
        out
    }

    #[test]
    fn what_was_said_is_an_index_in_whatever_case() {
        let mut encoder = Encoder::new();
        assert_eq!(written(&mut encoder, "X-A", "Yes"), b"\x40\x03x-a\x03Yes");
        assert_eq!(written(&mut encoder, "x-A", "Yes"), b"\xbe");
        assert_eq!(written(&mut encoder, "X-a", "yes"), b"\x7e\x03yes");
        assert_eq!(written(&mut encoder, "x-a", "Yes"), b"\xbf");
    }

    #[test]
    fn what_changes_from_answer_to_answer_is_not_remembered() {
        for name in [
            "Age",
            "Content-Length",
            "Content-Range",
            "Date",
            "ETag",
            "Expires",
            "Last-Modified",
            "Location",
            "X-Request-Id",
            "X-Runtime",
            "Set-Cookie",
        ] {
            let mut encoder = Encoder::new();
            let first = written(&mut encoder, name, "&&");
            assert_eq!(written(&mut encoder, name, "&&"), first);
            let kind = if name == "Set-Cookie" { 0x10 } else { 0 };
            assert_eq!(first[0] & 0xf0, kind, "{name}");
            assert_eq!(encoder.table.heap(), 0);
        }
    }

    #[test]
    fn what_is_large_is_not_remembered() {
        let mut encoder = Encoder::with(400);
        // 300 of 400 bytes.
        let most = "&".repeat(300 - 32 - 1);
        assert_eq!(written(&mut encoder, "a", &most)[0], 0x40);
        assert_eq!(written(&mut encoder, "a", &most), b"\xbe");
        let more = most + "&";
        assert_eq!(written(&mut encoder, "a", &more)[..2], [0x0f, 62 - 15]);
    }

    #[test]
    fn a_usual_status_is_one_byte_and_any_other_becomes_one() {
        let mut encoder = Encoder::new();
        for (code, index) in [
            (200, 8),
            (204, 9),
            (206, 10),
            (304, 11),
            (400, 12),
            (404, 13),
            (500, 14),
        ] {
            assert_eq!(status(&mut encoder, code), [0x80 | index]);
        }
        assert_eq!(status(&mut encoder, 302), b"\x48\x82\x64\x02");
        assert_eq!(status(&mut encoder, 302), b"\xbe");
    }

    #[test]
    fn a_change_of_size_is_told_at_the_beginning_of_a_block() {
        for (changes, told) in [
            (&[4096][..], &b""[..]),
            (&[65_536, u32::MAX], b""),
            (&[10], b"\x2a"),
            (&[100, 10], b"\x2a"),
            (&[10, 20], b"\x2a\x34"),
            (&[20, 10, 30, 20], b"\x2a\x34"),
            (&[0, 65_536], b"\x20\x3f\xe1\x1f"),
        ] {
            let mut encoder = Encoder::new();
            for change in changes {
                encoder.set_table_size(*change);
            }
            assert_eq!(begun(&mut encoder), told, "{changes:?}");
            assert_eq!(begun(&mut encoder), b"");
        }
        let mut encoder = Encoder::new();
        encoder.set_table_size(10);
        begun(&mut encoder);
        encoder.set_table_size(30);
        encoder.set_table_size(20);
        assert_eq!(begun(&mut encoder), b"\x34");
    }

    #[test]
    fn a_table_that_was_smaller_is_empty() {
        let mut encoder = Encoder::new();
        let first = written(&mut encoder, "a", "&");
        encoder.set_table_size(0);
        encoder.set_table_size(4096);
        // The block that is being written still goes by what was told.
        assert_eq!(written(&mut encoder, "a", "&"), b"\xbe");
        begun(&mut encoder);
        assert_eq!(encoder.table.heap(), 0);
        assert_eq!(written(&mut encoder, "a", "&"), first);
    }

    #[test]
    fn without_a_table_nothing_is_remembered() {
        let mut encoder = Encoder::new();
        encoder.set_table_size(0);
        begun(&mut encoder);
        assert_eq!(written(&mut encoder, "a", "&"), b"\x00\x01a\x01&");
        assert_eq!(written(&mut encoder, "a", ""), b"\x00\x01a\x00");
    }
}
