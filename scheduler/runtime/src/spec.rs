//! A container as it is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use model::Secret;

pub type Labels = BTreeMap<String, String>;

/// Everything about a container before it exists.
///
/// What every container of ours has is not a choice and so not a field: no capabilities, no new privileges, the engine's
/// default seccomp profile, an init that reaps, no extra hosts, no restart policy.
#[derive(Debug, Clone)]
pub struct ContainerSpec {
    /// Unique on the host; letters, digits, `_`, `.` and `-`.
    pub name: String,
    pub image: String,
    pub labels: Labels,
    /// The argument vector, run as it is: no shell, and the image's entry point does not come into it.
    pub command: Vec<String>,
    pub env: BTreeMap<String, Secret<String>>,
    /// `uid:gid` or a name the image knows.
    pub user: String,
    pub working_dir: String,
    pub hostname: Option<String>,
    pub mounts: Vec<Mount>,
    /// Name of a network; `None` is loopback only.
    pub network: Option<String>,
    pub publish: Option<Publish>,
    pub limits: Limits,
    pub terminal: Terminal,
    pub logs: LogKeeping,
}

impl ContainerSpec {
    /// With nothing mounted, no network, nothing published, no limits but a bound on processes, and no standard input.
    pub fn new(name: impl Into<String>, image: impl Into<String>, command: Vec<String>) -> Self {
        Self {
            name: name.into(),
            image: image.into(),
            labels: Labels::new(),
            command,
            env: BTreeMap::new(),
            user: "2000:2000".to_owned(),
            working_dir: "/".to_owned(),
            hostname: None,
            mounts: Vec::new(),
            network: None,
            publish: None,
            limits: Limits::default(),
            terminal: Terminal::None,
            logs: LogKeeping::default(),
        }
    }
}

/// A command in a container that runs already: as its user, in its working directory, with its environment and limits.
#[derive(Debug, Clone)]
pub struct ExecSpec {
    /// The argument vector, run as it is.
    pub command: Vec<String>,
    /// Over the container's own.
    pub env: BTreeMap<String, Secret<String>>,
    /// A terminal, or three pipes.
    pub tty: bool,
}

/// One TCP port of the container that is reached at the host's own address, at a port that the engine chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    pub host: IpAddr,
    /// In the container.
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    Bind {
        source: PathBuf,
        target: PathBuf,
        read_only: bool,
    },
    /// `lower` read-only below, writes into `upper`; the mount goes when the container is removed, the directories stay.
    /// None of the paths may hold `,` or `:`. `upper` and `work` must be on one file system that is not itself an overlay.
    Overlay {
        lower: PathBuf,
        upper: PathBuf,
        work: PathBuf,
        target: PathBuf,
    },
    Tmpfs {
        target: PathBuf,
        max_bytes: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Memory without any swap beyond it.
    pub memory_bytes: Option<u64>,
    /// Weight against others when CPUs are short; 1024 is the default.
    pub cpu_shares: Option<u32>,
    /// A hard cap, in thousandths of a CPU.
    pub cpu_quota_millis: Option<u32>,
    /// Processes and threads.
    pub pids: u32,
    pub ulimits: Vec<Ulimit>,
    /// Above 0: killed before the platform's own processes when the host runs out of memory.
    pub oom_score_adj: i32,
    /// Size of `/dev/shm`.
    pub shm_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: None,
            cpu_shares: None,
            cpu_quota_millis: None,
            pids: 256,
            ulimits: Vec::new(),
            oom_score_adj: 500,
            shm_bytes: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// `nofile`, `core`, …
    pub name: String,
    pub soft: u64,
    pub hard: u64,
}

/// How the container's standard input is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// Nothing to read.
    None,
    /// Three pipes; closing our end of the input is its end of file.
    Pipes,
    Tty(TtySize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtySize {
    pub columns: u16,
    pub lines: u16,
}

/// What the engine keeps of a container's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKeeping {
    /// Rotated files; what is rotated away is gone.
    Files { max_bytes_each: u64, count: u32 },
    /// Nothing; [`crate::Runtime::attach`] is the only way to see it.
    Off,
}

impl Default for LogKeeping {
    fn default() -> Self {
        Self::Files {
            max_bytes_each: 20 << 20,
            count: 3,
        }
    }
}

/// A bridge network whose containers reach the world and not each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSpec {
    pub name: String,
    /// Name of the host's bridge interface, at most 15 characters.
    pub bridge: String,
    /// `172.30.0.0/16`; the engine chooses when `None`.
    pub subnet: Option<String>,
    pub labels: Labels,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    Hup,
    Int,
    Quit,
    Term,
    Kill,
    Usr1,
    Usr2,
    Winch,
    Cont,
    Tstp,
}

impl Signal {
    pub const ALL: [Self; 10] = [
        Self::Hup,
        Self::Int,
        Self::Quit,
        Self::Term,
        Self::Kill,
        Self::Usr1,
        Self::Usr2,
        Self::Winch,
        Self::Cont,
        Self::Tstp,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hup => "SIGHUP",
            Self::Int => "SIGINT",
            Self::Quit => "SIGQUIT",
            Self::Term => "SIGTERM",
            Self::Kill => "SIGKILL",
            Self::Usr1 => "SIGUSR1",
            Self::Usr2 => "SIGUSR2",
            Self::Winch => "SIGWINCH",
            Self::Cont => "SIGCONT",
            Self::Tstp => "SIGTSTP",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a signal that can be sent to a dyno")]
pub struct UnknownSignal(String);

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// `INT` or `SIGINT`.
    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let bare = text.strip_prefix("SIG").unwrap_or(text);
        Self::ALL
            .into_iter()
            .find(|signal| signal.as_str().strip_prefix("SIG") == Some(bare))
            .ok_or_else(|| UnknownSignal(text.chars().take(20).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_with_and_without_their_prefix() {
        assert_eq!("INT".parse(), Ok(Signal::Int));
        assert_eq!("SIGWINCH".parse(), Ok(Signal::Winch));
        assert!("SIGSEGV".parse::<Signal>().is_err());
        assert!("".parse::<Signal>().is_err());
    }
}
