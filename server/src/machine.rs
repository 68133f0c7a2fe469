//! What the machine is: its name, its size.

use std::num::NonZeroUsize;

use anyhow::Context as _;

/// What the machine calls itself.
pub(crate) fn host_name() -> String {
    let name = fs_err::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "node".to_owned(),
        name => name.to_owned(),
    }
}

/// MiB that dynos may reserve: all but 1 GiB, unless somebody said otherwise.
pub(crate) fn memory_mb(configured: Option<u64>) -> anyhow::Result<u64> {
    let machine =
        nix::sys::sysinfo::sysinfo().context("could not ask the machine for its memory")?;
    Ok(configured.unwrap_or_else(|| (machine.ram_total() >> 20).saturating_sub(1024)))
}

pub(crate) fn cpus() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    u32::try_from(cpus).unwrap_or(u32::MAX)
}
