//! What a table knows of each of its entries, besides the text.

use std::ops::Range;

use super::TABLE_SIZE;

/// What an entry takes besides its text, in bytes (RFC 7541, 4.1).
const OVERHEAD: usize = 32;

/// Eight bytes: the encoder looks at all of them for each field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) start: u16,
    pub(super) is_sound: bool,
}

/// How long name and value are, in 12 bits each, and 8 bits of what their ends are: many values of one name are equally
/// long, and nearly all of them are told apart without a look at the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u32);

/// A name as it is to be remembered.
pub(in super::super) trait Name:
    ExactSizeIterator<Item = u8> + DoubleEndedIterator + Clone
{
}

impl<T: ExactSizeIterator<Item = u8> + DoubleEndedIterator + Clone> Name for T {}

/// What an entry of such a name and value takes, in bytes.
pub(in super::super) const fn cost(name: usize, value: usize) -> usize {
    name.saturating_add(value).saturating_add(OVERHEAD)
}

impl Entry {
    pub(super) const fn name(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.key.name()
    }

    pub(super) const fn value(self) -> Range<usize> {
        let start = self.start as usize + self.key.name();
        start..start + self.key.value()
    }
}

impl Key {
    /// None: nothing as long is in any table.
    pub(super) fn of(name: impl Name, value: &[u8]) -> Option<Self> {
        let lengths = (name.len(), value.len());
        if cost(lengths.0, lengths.1) > usize::from(TABLE_SIZE) {
            return None;
        }
        let mark = u32::from(mark(name, value));
        let name = u32::try_from(lengths.0).ok()?;
        let value = u32::try_from(lengths.1).ok()?;
        Some(Self(name << 20 | value << 8 | mark))
    }

    pub(super) const fn name(self) -> usize {
        (self.0 >> 20) as usize
    }

    pub(super) const fn value(self) -> usize {
        (self.0 >> 8 & 0xfff) as usize
    }

    /// In bytes; both are of an entry, so that it is no more than a table.
    pub(super) fn cost(self) -> u16 {
        u16::try_from(cost(self.name(), self.value())).unwrap_or(u16::MAX)
    }
}

/// Hashes the last byte of a name, in any case, and the last eight of a value.
fn mark(mut name: impl Name, value: &[u8]) -> u8 {
    let value = match value.last_chunk() {
        Some(end) => u64::from_be_bytes(*end),
        None => value
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    let name = u64::from(name.next_back().map_or(0, |last| last | 0x20));
    let hash = (value ^ name).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash.to_be_bytes()[0]
}
