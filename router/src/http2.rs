//! HTTP/2 as bytes: frames, settings, windows and header blocks. Nothing here waits or touches a socket.

pub(crate) mod fields;
pub(crate) mod frame;
pub(crate) mod hpack;
pub(crate) mod settings;
pub(crate) mod window;
