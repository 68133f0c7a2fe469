//! The parsers without the router, for `router/fuzz`, whose root this is: what they are made of is built in a minute or two,
//! and what all of the router needs is not. The router itself does not have this file.

#![allow(dead_code, reason = "the router uses the rest of it")]

mod buffer;
mod fault;
pub mod fuzz;
mod host;
mod http1;
mod http2;
mod proxied;

mod table {
    pub(crate) use crate::host::parse_host;
}
