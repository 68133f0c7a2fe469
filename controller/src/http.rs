//! What all endpoints have in common on the wire: bodies, ranges, request ids, entity tags.

pub(crate) mod body;
pub(crate) mod browser;
pub(crate) mod etag;
pub(crate) mod plaintext;
pub(crate) mod range;
pub(crate) mod request_id;
pub(crate) mod ticket;
