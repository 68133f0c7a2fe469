//! The fields that both sides remember (RFC 7541, 2.3.2 and 4): the last that were sent, as many as there is room for.
//!
//! All text is in one piece, so that a field is a part of it and an idle connection keeps little more than what the
//! fields say. What is evicted stays at its front until the room is needed: then the rest moves up.

mod entry;

use std::ops::Range;

use super::TABLE_SIZE;
use entry::{Entry, Key};

pub(super) use entry::{Name, cost};

/// Room is made for so many bytes of text, and so many entries, at once.
const TEXT_STEP: usize = 128;
const ENTRY_STEP: usize = 8;

#[derive(Debug)]
pub(super) struct Table {
    text: Vec<u8>,
    /// From the oldest to the newest; the first `gone` of them are evicted.
    entries: Vec<Entry>,
    gone: u16,
    /// As RFC 7541, 4.1 counts it, in bytes.
    size: u16,
    most: u16,
}

/// An entry as it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) is_sound: bool,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self::of(TABLE_SIZE)
    }

    /// One that may have `most` bytes.
    pub(super) const fn of(most: u16) -> Self {
        Self {
            text: Vec::new(),
            entries: Vec::new(),
            gone: 0,
            size: 0,
            most,
        }
    }

    /// In bytes.
    pub(super) const fn most(&self) -> u16 {
        self.most
    }

    /// Changes what it may hold, in bytes, and evicts what is too much.
    pub(super) fn resize(&mut self, most: u16) {
        self.most = most;
        self.evict(most);
        if self.size == 0 {
            self.clear();
        }
    }

    /// The newest has the index 0.
    pub(super) fn get(&self, index: usize) -> Option<Field<'_>> {
        self.live().iter().nth_back(index).map(|entry| Field {
            name: self.at(entry.name()),
            value: self.at(entry.value()),
            is_sound: entry.is_sound,
        })
    }

    /// The index of a field, whose name may be in any case.
    pub(super) fn find(&self, name: &[u8], value: &[u8]) -> Option<usize> {
        let key = Key::of(name.iter().copied(), value)?;
        self.live().iter().rev().position(|entry| {
            entry.key == key
                && self.at(entry.value()) == value
                && self.at(entry.name()).eq_ignore_ascii_case(name)
        })
    }

    /// The index of the newest field of a name, which may be in any case.
    pub(super) fn find_name(&self, name: &[u8]) -> Option<usize> {
        self.live().iter().rev().position(|entry| {
            entry.key.name() == name.len() && self.at(entry.name()).eq_ignore_ascii_case(name)
        })
    }

    /// An entry that is larger than the table empties it (RFC 7541, 4.4).
    pub(super) fn insert(&mut self, name: impl Name, value: &[u8], is_sound: bool) {
        let key = Key::of(name.clone(), value);
        let Some(key) = key.filter(|key| key.cost() <= self.most) else {
            return self.clear();
        };
        let length = name.len() + value.len();
        self.evict(self.most - key.cost());
        self.make_room(length);
        // All text is less than twice what a table holds, so that it does not fail.
        let Ok(start) = u16::try_from(self.text.len()) else {
            return self.clear();
        };
        self.text.extend(name);
        self.text.extend_from_slice(value);
        self.entries.push(Entry {
            key,
            start,
            is_sound,
        });
        self.size += key.cost();
    }

    fn live(&self) -> &[Entry] {
        self.entries
            .get(usize::from(self.gone)..)
            .unwrap_or_default()
    }

    fn at(&self, range: Range<usize>) -> &[u8] {
        self.text.get(range).unwrap_or_default()
    }

    fn evict(&mut self, left: u16) {
        while self.size > left {
            let Some(oldest) = self.live().first() else {
                return;
            };
            self.size -= oldest.key.cost();
            self.gone += 1;
        }
    }

    /// Gives its memory back.
    fn clear(&mut self) {
        *self = Self::of(self.most);
    }

    fn make_room(&mut self, text: usize) {
        if self.lacks_text(text) || self.lacks_entry() {
            self.pack();
        }
        if self.lacks_text(text) {
            self.text.reserve_exact(text.max(TEXT_STEP));
        }
        if self.lacks_entry() {
            self.entries.reserve_exact(ENTRY_STEP);
        }
    }

    fn lacks_text(&self, length: usize) -> bool {
        self.text.capacity() - self.text.len() < length
    }

    fn lacks_entry(&self) -> bool {
        self.entries.capacity() == self.entries.len()
    }

    /// Takes out what is evicted, if that is much: so a byte is moved a few times at most, and no more than a third of
    /// the table is ever wasted.
    fn pack(&mut self) {
        let gone = usize::from(self.gone);
        let start = self.live().first().map(|oldest| oldest.start);
        let before = start.map_or(self.text.len(), usize::from);
        if before * 4 < self.text.len() && gone * 4 < self.entries.len() {
            return;
        }
        self.text.drain(..before);
        self.entries.drain(..gone);
        self.gone = 0;
        for entry in &mut self.entries {
            entry.start -= start.unwrap_or_default();
        }
    }
}

#[cfg(test)]
impl Table {
    /// What it has on the heap, in bytes.
    pub(super) const fn heap(&self) -> usize {
        self.text.capacity() + self.entries.capacity() * size_of::<Entry>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn put(table: &mut Table, name: &[u8], value: &[u8]) {
        table.insert(name.iter().copied(), value, true);
    }

    fn all(table: &Table) -> Vec<(&[u8], &[u8])> {
        (0..)
            .map_while(|index| table.get(index).map(|field| (field.name, field.value)))
            .collect()
    }

    #[test]
    fn the_newest_is_first_and_the_oldest_is_evicted() {
        // Each takes 34 bytes.
        let mut table = Table::of(70);
        put(&mut table, b"a", b"1");
        put(&mut table, b"b", b"2");
        assert_eq!(all(&table), [(&b"b"[..], &b"2"[..]), (b"a", b"1")]);
        put(&mut table, b"c", b"3");
        assert_eq!(all(&table), [(&b"c"[..], &b"3"[..]), (b"b", b"2")]);
        table.resize(67);
        assert_eq!(all(&table), [(&b"c"[..], &b"3"[..])]);
        assert_eq!(table.find(b"C", b"3"), Some(0));
        assert_eq!(table.find(b"c", b"4"), None);
        assert_eq!(table.find(b"b", b"2"), None);
        assert_eq!(table.find_name(b"B"), None);
    }

    #[test]
    fn what_is_larger_than_it_empties_it() {
        for long in [39, 70, 5000, 70_000] {
            let mut table = Table::of(70);
            put(&mut table, b"a", b"1");
            put(&mut table, b"", &vec![b'x'; long]);
            assert_eq!(all(&table), []);
            assert_eq!(table.heap(), 0);
        }
        let mut table = Table::of(70);
        put(&mut table, b"", &[b'x'; 38]);
        assert_eq!(all(&table).len(), 1);
    }

    #[test]
    fn an_empty_one_has_no_memory_and_a_used_one_little() {
        let mut table = Table::new();
        assert_eq!(table.heap(), 0);
        for nth in 0..10u8 {
            put(&mut table, b"content-disposition", &[nth; 21]);
        }
        assert_eq!(all(&table).len(), 10);
        assert!(table.heap() < 640, "{}", table.heap());
        table.resize(0);
        assert_eq!(table.heap(), 0);
        put(&mut table, b"", b"");
        assert_eq!(table.heap(), 0);
    }

    proptest! {
        #[test]
        fn it_holds_what_the_rfc_says_in_bounded_memory(
            steps in prop::collection::vec((0usize..300, 0usize..30, prop::option::weighted(0.02, 0u16..4097)), 0..150),
        ) {
            let (mut table, mut model) = (Table::new(), VecDeque::new());
            for (nth, (length, divisor, resize)) in steps.into_iter().enumerate() {
                if let Some(most) = resize {
                    table.resize(most);
                }
                let value = vec![nth.to_le_bytes()[0]; length / (divisor + 1)];
                put(&mut table, nth.to_string().as_bytes(), &value);
                model.push_front((nth.to_string().into_bytes(), value));
                let cost = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len() + 32;
                while model.iter().map(cost).sum::<usize>() > usize::from(table.most()) {
                    model.pop_back();
                }
                prop_assert!(model.iter().map(|(name, value)| (&**name, &**value)).eq(all(&table)));
                prop_assert!(table.heap() < 4096 * 2, "{}", table.heap());
                for (index, (name, value)) in model.iter().enumerate() {
                    prop_assert_eq!(table.find(name, value), Some(index));
                }
            }
        }
    }
}
