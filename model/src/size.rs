//! Dyno sizes: what one dyno may use of its node.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidName;

/// Heroku's names, our limits. Memory is a hard limit and reserved whole; CPU is a share when the node is busy, and a
/// part of it is reserved.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum DynoSize {
    Eco,
    Basic,
    #[default]
    #[serde(rename = "Standard-1X")]
    Standard1X,
    #[serde(rename = "Standard-2X")]
    Standard2X,
    #[serde(rename = "Performance-M")]
    PerformanceM,
    #[serde(rename = "Performance-L")]
    PerformanceL,
}

impl DynoSize {
    pub const ALL: [Self; 6] = [
        Self::Eco,
        Self::Basic,
        Self::Standard1X,
        Self::Standard2X,
        Self::PerformanceM,
        Self::PerformanceL,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eco => "Eco",
            Self::Basic => "Basic",
            Self::Standard1X => "Standard-1X",
            Self::Standard2X => "Standard-2X",
            Self::PerformanceM => "Performance-M",
            Self::PerformanceL => "Performance-L",
        }
    }

    /// Bytes of memory: the container's limit and its reservation on the node.
    pub const fn memory_bytes(self) -> u64 {
        const MIB: u64 = 1 << 20;
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 512 * MIB,
            Self::Standard2X => 1024 * MIB,
            Self::PerformanceM => 2560 * MIB,
            Self::PerformanceL => 14336 * MIB,
        }
    }

    /// Thousandths of a core that placement reserves: what a node with as much memory per core as its dynos need would
    /// give each of them if all were busy.
    pub const fn cpu_millis(self) -> u64 {
        match self {
            Self::Eco => 60,
            Self::Basic | Self::Standard1X => 125,
            Self::Standard2X => 250,
            Self::PerformanceM => 1000,
            Self::PerformanceL => 4000,
        }
    }

    /// What one dyno of this size reserves on its node.
    pub const fn resources(self) -> Resources {
        Resources {
            memory_bytes: self.memory_bytes(),
            cpu_millis: self.cpu_millis(),
        }
    }

    /// Relative weight when the node's CPUs are contended (1024 is Docker's default).
    pub const fn cpu_shares(self) -> u32 {
        match self {
            Self::Eco => 256,
            Self::Basic | Self::Standard1X => 512,
            Self::Standard2X => 1024,
            Self::PerformanceM => 4096,
            Self::PerformanceL => 8192,
        }
    }

    /// Most processes and threads at once (Heroku's table).
    pub const fn max_pids(self) -> u32 {
        match self {
            Self::Eco | Self::Basic | Self::Standard1X => 256,
            Self::Standard2X => 512,
            Self::PerformanceM => 16384,
            Self::PerformanceL => 32768,
        }
    }
}

/// An amount of what a node has to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    pub memory_bytes: u64,
    /// Thousandths of a core.
    pub cpu_millis: u64,
}

impl Resources {
    pub const fn plus(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
        }
    }

    /// Nothing is less than nothing.
    pub const fn minus(self, other: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            cpu_millis: self.cpu_millis.saturating_sub(other.cpu_millis),
        }
    }

    /// Whether all of `other` is in it.
    pub const fn holds(self, other: Self) -> bool {
        self.memory_bytes >= other.memory_bytes && self.cpu_millis >= other.cpu_millis
    }
}

impl fmt::Display for DynoSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DynoSize {
    type Err = InvalidName;

    /// Any case, as Heroku's CLI sends it.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::ALL.into_iter().find(|size| size.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| InvalidName {
            kind: "dyno size",
            text: text.chars().take(100).collect(),
            rule: "must be one of Eco, Basic, Standard-1X, Standard-2X, Performance-M, Performance-L",
        })
    }
}
