//! Git's pre-receive hook: a thin line between git, which runs it, and the builder, which decides.
//!
//! Git runs `<hook binary> hook pre-receive` with the ref updates on stdin. The hook connects to the builder's socket,
//! says which push it is (a secret only git's environment holds), and from then on only relays: output to git, which
//! shows it to the pusher, and at the end the verdict as its exit status. When git ends it, the connection closes, and
//! that cancels the build.

pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod wire;

pub use client::main_pre_receive;

pub(crate) const ENV_BINARY: &str = "PAAS_HOOK_BINARY";
pub(crate) const ENV_SOCKET: &str = "PAAS_HOOK_SOCKET";
pub(crate) const ENV_PUSH: &str = "PAAS_HOOK_PUSH";

/// What git executes; it hands over to the binary it is given.
pub(crate) const SCRIPT: &str = "#!/bin/sh\nexec \"$PAAS_HOOK_BINARY\" hook pre-receive\n";
