//! HPACK (RFC 7541): how HTTP/2 writes fields, briefly, by what both sides remember of earlier ones. Nothing here waits or
//! knows of a connection.
//!
//! Both sides announce, and use, the table of 4096 bytes that the RFC begins with: fields that repeat fit into it, and an
//! idle connection keeps what is in it. What was read wrongly once is read wrongly ever after, so there is one error, and
//! the connection ends by it.

mod decode;
mod encode;
#[cfg(test)]
mod examples;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod huffman;
mod integer;
mod keep;
mod sound;
mod statics;
mod table;

pub(crate) use decode::Decoder;
pub(crate) use encode::Encoder;
#[cfg(any(test, fuzzing))]
pub(crate) use fuzz::fuzz;

/// What a table may hold, in bytes as RFC 7541, 4.1 counts them. The RFC's default, and never more: `u16`s measure it.
const TABLE_SIZE: u16 = 4096;

/// One field as it was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    /// Whether HTTP/2 allows such a name and such a value (RFC 9113, 8.2.1).
    pub(crate) is_sound: bool,
}

/// The block cannot be read: the connection's state is lost (`COMPRESSION_ERROR`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the compressed header block is corrupt")]
pub(crate) struct Corrupt;
