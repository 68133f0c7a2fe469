//! Requests and their answers, by the protocol the client speaks.

pub(crate) mod http1;
pub(crate) mod http2;
