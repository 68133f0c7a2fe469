//! Processes pinned to a core, and the CPU time they take.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// The proxy has a core to itself; all else shares the other.
pub(crate) const PROXY_CORE: &str = "0";
pub(crate) const OTHER_CORE: &str = "1";

const UP_WITHIN: Duration = Duration::from_secs(30);

/// A running proxy; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Proxy {
    child: Child,
}

#[expect(clippy::disallowed_methods, reason = "between two looks")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

pub(crate) fn pinned(core: &str, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core, program]);
    command.stdin(Stdio::null());
    command
}

impl Proxy {
    /// Starts it, and returns when all `ports` of the loopback address answer.
    pub(crate) fn start(mut command: Command, ports: &[u16]) -> anyhow::Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("could not start {command:?}"))?;
        let proxy = Self { child };
        let until = Instant::now() + UP_WITHIN;
        for port in ports {
            while std::net::TcpStream::connect(("127.0.0.1", *port)).is_err() {
                ensure!(
                    Instant::now() < until,
                    "{command:?} does not listen on {port}"
                );
                pause();
            }
        }
        Ok(proxy)
    }

    /// User and system time of it and its children so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut ticks = 0;
        for pid in self.family()? {
            // Nanoseconds on a CPU, for each of its threads.
            for task in fs_err::read_dir(format!("/proc/{pid}/task"))? {
                let text = fs_err::read_to_string(task?.path().join("schedstat"))?;
                let on_cpu = text.split_whitespace().next().context("schedstat")?;
                ticks += on_cpu.parse::<u64>()?;
            }
        }
        Ok(Duration::from_nanos(ticks))
    }

    /// Of it and its children.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let mut pages = 0;
        for pid in self.family()? {
            let text = fs_err::read_to_string(format!("/proc/{pid}/statm"))?;
            let resident = text.split_whitespace().nth(1).context("statm")?;
            pages += resident.parse::<u64>()?;
        }
        Ok(pages * 4096)
    }

    fn family(&self) -> anyhow::Result<Vec<u32>> {
        let mut family = vec![self.child.id()];
        let mut next = 0;
        while let Some(pid) = family.get(next).copied() {
            for task in fs_err::read_dir(format!("/proc/{pid}/task"))? {
                let children = fs_err::read_to_string(task?.path().join("children"))?;
                for child in children.split_whitespace() {
                    family.push(child.parse()?);
                }
            }
            next += 1;
        }
        Ok(family)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Parents first: they would start children anew.
        let family = self.family().unwrap_or_default();
        for pid in family.into_iter().filter_map(|pid| pid.try_into().ok()) {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
        let _ = self.child.wait();
    }
}
