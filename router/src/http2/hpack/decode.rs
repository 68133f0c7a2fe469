//! Header blocks as they are read (RFC 7541, 3 and 6).

use super::table::Table;
use super::{Corrupt, Item, TABLE_SIZE, huffman, integer, sound, statics};

/// One per connection: blocks say only what is new.
#[derive(Debug)]
pub(crate) struct Decoder {
    table: Table,
}

/// What an octet begins, by its first bits (RFC 7541, 6).
enum Kind {
    Indexed,
    /// With what the table remembers of it afterwards.
    Kept,
    Resize,
    /// A literal that is forgotten; whoever passes it on may have been asked never to keep it.
    Forgotten,
}

impl Decoder {
    /// Allocates nothing until something is to be remembered.
    pub(crate) const fn new() -> Self {
        Self {
            table: Table::new(),
        }
    }

    /// Decodes one complete header block. `scratch` is working space, which many connections may share. Calls `each` for
    /// the fields before what is corrupt, too.
    pub(crate) fn decode(
        &mut self,
        block: &[u8],
        scratch: &mut Vec<u8>,
        mut each: impl FnMut(Item<'_>),
    ) -> Result<(), Corrupt> {
        let mut rest = block;
        let mut may_resize = true;
        while let Some(&first) = rest.first() {
            let kind = Kind::of(first);
            match kind {
                Kind::Indexed => each(self.indexed(integer::read(&mut rest, 7)?)?),
                Kind::Kept => {
                    let item = self.literal(&mut rest, 6, scratch)?;
                    each(item);
                    let name = item.name.iter().copied();
                    self.table.insert(name, item.value, item.is_sound);
                }
                Kind::Forgotten => each(self.literal(&mut rest, 4, scratch)?),
                // Only before all fields (RFC 7541, 4.2).
                Kind::Resize if may_resize => self.resize(integer::read(&mut rest, 5)?)?,
                Kind::Resize => return Err(Corrupt),
            }
            may_resize = matches!(kind, Kind::Resize);
        }
        Ok(())
    }

    fn indexed(&self, index: usize) -> Result<Item<'_>, Corrupt> {
        if let Some((name, value)) = statics::get(index) {
            return Ok(Item {
                name,
                value,
                is_sound: true,
            });
        }
        let index = index.checked_sub(statics::FIRST_DYNAMIC).ok_or(Corrupt)?;
        let field = self.table.get(index).ok_or(Corrupt)?;
        Ok(Item {
            name: field.name,
            value: field.value,
            is_sound: field.is_sound,
        })
    }

    /// A field whose name's index has the last `bits` of the first octet. It is copied, for its name may be of an entry
    /// that makes room for it (RFC 7541, 4.4).
    fn literal<'s>(
        &self,
        rest: &mut &[u8],
        bits: u32,
        scratch: &'s mut Vec<u8>,
    ) -> Result<Item<'s>, Corrupt> {
        scratch.clear();
        let index = integer::read(rest, bits)?;
        if index == 0 {
            text(rest, scratch)?;
        } else {
            scratch.extend_from_slice(self.indexed(index)?.name);
        }
        let named = scratch.len();
        text(rest, scratch)?;
        let (name, value) = scratch.split_at_checked(named).ok_or(Corrupt)?;
        let is_static = index != 0 && index < statics::FIRST_DYNAMIC;
        let is_sound = (is_static || sound::is_name(name)) && sound::is_value(value);
        Ok(Item {
            name,
            value,
            is_sound,
        })
    }

    fn resize(&mut self, most: usize) -> Result<(), Corrupt> {
        let most = u16::try_from(most).map_err(|_| Corrupt)?;
        if most > TABLE_SIZE {
            return Err(Corrupt);
        }
        self.table.resize(most);
        Ok(())
    }
}

impl Kind {
    const fn of(octet: u8) -> Self {
        match octet {
            0x80.. => Self::Indexed,
            0x40.. => Self::Kept,
            0x20.. => Self::Resize,
            _ => Self::Forgotten,
        }
    }
}

/// Puts the text at the beginning of `rest` at the end of `out` (RFC 7541, 5.2).
fn text(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    let is_huffman = rest.first().is_some_and(|octet| *octet >= 0x80);
    let length = integer::read(rest, 7)?;
    let (text, more) = rest.split_at_checked(length).ok_or(Corrupt)?;
    *rest = more;
    if is_huffman {
        return huffman::decode(text, out);
    }
    out.extend_from_slice(text);
    Ok(())
}

#[cfg(test)]
impl Decoder {
    /// One whose table may have `most` bytes, as if both sides had agreed on it.
    pub(super) const fn of(most: u16) -> Self {
        Self {
            table: Table::of(most),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String, bool)>, Corrupt> {
        let mut items = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        decoder.decode(block, &mut Vec::new(), |item| {
            items.push((text(item.name), text(item.value), item.is_sound));
        })?;
        Ok(items)
    }

    #[test]
    fn what_cannot_be_read_is_corrupt() {
        // Each after one field that is remembered, at 62.
        for (what, bad) in [
            ("index 0", &b"\x80"[..]),
            ("an index beyond the table", b"\xbf"),
            ("a great index", b"\xff\xff\xff\xff\x7f"),
            ("an index that does not end", b"\xff\x80"),
            ("an endless index", b"\xff\x80\x80\x80\x80\x80\x80\x80\x00"),
            ("a name beyond the table", b"\x7f\x00\x01v"),
            ("a name beyond it, forgotten", b"\x0f\x30\x01v"),
            ("a literal without a name", b"\x40"),
            ("without a value", b"\x40\x01n"),
            ("whose name is cut", b"\x40\x05n"),
            ("whose value is cut", b"\x40\x01n\x02v"),
            ("a static name without a value", b"\x41"),
            ("a length that does not end", b"\x40\x7f"),
            ("a great length", b"\x40\x7f\xff\xff\xff\x7fn\x01v"),
            ("padding of zeros", b"\x40\x81\x18\x01v"),
            ("padding of a byte", b"\x40\x82\x1f\xff\x01v"),
            ("the end in a text", b"\x40\x84\xff\xff\xff\xff\x01v"),
            ("a table that is too large", b"\x3f\xe2\x1f"),
            ("a much too large one", b"\x3f\xff\xff\xff\x7f"),
            ("a size that does not end", b"\x3f"),
            ("a size after a field", b"\x82\x20"),
            ("after a literal", b"\x40\x01n\x01v\x20"),
        ] {
            let mut decoder = Decoder::new();
            decode(&mut decoder, b"\x40\x01n\x01v").unwrap();
            assert_eq!(decode(&mut decoder, bad), Err(Corrupt), "{what}");
        }
    }

    #[test]
    fn a_table_may_be_resized_before_all_fields() {
        let mut decoder = Decoder::new();
        let field = ("n".to_owned(), "v".to_owned(), true);
        decode(&mut decoder, b"\x40\x01n\x01v").unwrap();
        let items = decode(&mut decoder, b"\x3f\xe1\x1f\x3f\x03\xbe");
        assert_eq!(items, Ok(vec![field.clone()]));
        assert_eq!(decode(&mut decoder, b"\x20"), Ok(vec![]));
        assert_eq!(decode(&mut decoder, b"\xbe"), Err(Corrupt));
        let items = decode(&mut decoder, b"\x20\x3f\x03\x40\x01n\x01v\xbe");
        assert_eq!(items, Ok(vec![field.clone(), field]));
    }

    #[test]
    fn a_name_is_read_from_the_entry_that_makes_room() {
        let mut decoder = Decoder::of(40);
        decode(&mut decoder, b"\x40\x03abc\x05value").unwrap();
        let items = decode(&mut decoder, b"\x7e\x05other\xbe").unwrap();
        let other = ("abc".to_owned(), "other".to_owned(), true);
        assert_eq!(items, [other.clone(), other]);
        // Its new entry does not fit.
        let items = decode(&mut decoder, b"\x7e\x06longer").unwrap();
        assert_eq!(items, [("abc".to_owned(), "longer".to_owned(), true)]);
        assert_eq!(decode(&mut decoder, b"\xbe"), Err(Corrupt));
    }

    #[test]
    fn what_is_unsound_is_remembered_as_that() {
        let mut decoder = Decoder::new();
        for (block, sound) in [
            (&b"\x40\x01A\x01v\xbe\x7e\x01w"[..], false),
            (b"\x40\x00\x01v\xbe\x7e\x01w", false),
            (b"\x44\x02/\n\xbe", false),
            (b"\x10\x01a\x01\0", false),
            (b"\x44\x02/a\xbe", true),
            (b"\x40\x81\x1f\x80\xbe\x7e\x01w", true),
        ] {
            let items = decode(&mut decoder, block).unwrap();
            assert!(items.iter().all(|item| item.2 == sound), "{items:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(blocks: Vec<Vec<u8>>) {
            let mut decoder = Decoder::new();
            for block in blocks {
                let _ = decode(&mut decoder, &block);
            }
        }
    }
}
