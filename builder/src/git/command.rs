//! How git is run: with nothing of the host's configuration, and with what safety asks for on every call.
//!
//! Settings are given on the command line, never kept in a repository: one that is restored, moved or made by an older
//! version is as hardened as a new one.

use std::path::{Path, PathBuf};

use tokio::process::Command;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Below this are refs of the builder's own, which no client sees or moves.
pub(crate) const OWN_REFS: &str = "refs/paas";

/// Makes git commands.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    hooks: PathBuf,
    hook_binary: PathBuf,
    hook_socket: PathBuf,
    max_push_bytes: u64,
    ca_bundle: Option<PathBuf>,
}

impl Git {
    pub(crate) fn new(config: &crate::Config, hooks: PathBuf, hook_socket: PathBuf) -> Self {
        Self {
            hooks,
            hook_binary: config.hook_binary.clone(),
            hook_socket,
            max_push_bytes: config.limits.push_bytes,
            ca_bundle: config.container.ca_bundle.clone(),
        }
    }

    /// Git in `dir`, killed when its handle is dropped.
    pub(crate) fn in_dir(&self, dir: &Path) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", "/nonexistent")
            .env("LANG", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ADVICE", "0")
            .current_dir(dir)
            .kill_on_drop(true);
        if let Some(bundle) = &self.ca_bundle {
            command.env("GIT_SSL_CAINFO", bundle);
        }
        for (name, value) in [
            // Repositories belong to whoever runs the builder, which is not always who runs git's check.
            ("safe.directory", "*"),
            // Collecting garbage is housekeeping's work, at a time of its choosing.
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
            ("core.fsmonitor", "false"),
            ("core.autocrlf", "false"),
            ("protocol.allow", "never"),
            ("protocol.https.allow", "always"),
            ("transfer.hideRefs", OWN_REFS),
        ] {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
    }

    /// The service a client talks to. `push` names the push to the hook.
    pub(crate) fn receive_pack(&self, push: &str) -> Command {
        let mut command = self.in_dir(Path::new("/"));
        command
            .arg("-c")
            .arg(format!("core.hooksPath={}", self.hooks.display()))
            .arg("-c")
            .arg(format!("receive.maxInputSize={}", self.max_push_bytes))
            .args(["-c", "receive.autogc=false"])
            // One pack a push, whatever its size: loose objects would add up without a garbage collection.
            .args(["-c", "receive.unpackLimit=1"])
            .args(["-c", "receive.denyDeletes=true"])
            .args(["-c", "receive.denyNonFastForwards=false"])
            // Old histories must stay deployable, so objects are not checked beyond what packs need; nothing here
            // checks out a work tree with git, which is what such checks protect.
            .args(["-c", "transfer.fsckObjects=false"])
            // Bytes on the wire while a build is silent, or proxies cut the line.
            .args(["-c", "receive.keepAlive=5"])
            .env(crate::hook::ENV_BINARY, &self.hook_binary)
            .env(crate::hook::ENV_SOCKET, &self.hook_socket)
            .env(crate::hook::ENV_PUSH, push);
        command
    }

    pub(crate) fn upload_pack(&self) -> Command {
        let mut command = self.in_dir(Path::new("/"));
        command.args(["-c", "pack.threads=1", "-c", "uploadpack.keepAlive=5"]);
        command
    }
}

/// The value for `GIT_PROTOCOL`, if a client's is fit to be handed on.
pub(crate) fn checked_protocol(text: &str) -> Option<&str> {
    let fit = text.len() <= 256
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'=' | b':' | b'.' | b'-' | b'_' | b'/')
        });
    fit.then_some(text)
}
