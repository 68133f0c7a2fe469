//! Who hears a signal that ends a dyno, and when: a decision over the processes of a container, without effects.
//!
//! Heroku signals every process. Taken to the letter that loses requests: a shell that waits for the server it started
//! dies of the signal at once and takes the container, and so the server, with it; npm passes the signal on to a server
//! that has had it already, and many take the second one for "now". So these two hear it when their children have ended.

use nix::sys::signal::Signal;

/// A process of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: i32,
    pub parent: i32,
    /// The kernel's: at most 15 bytes, `npm start` for npm.
    pub name: String,
    /// Signals it has handlers for; bit 0 is signal 1.
    pub catches: u64,
}

impl Process {
    /// From the text of `/proc/PID/status`; `None` for a process that has ended and only waits to be reaped, and when the
    /// text is of another shape.
    pub(super) fn parse(pid: i32, status: &str) -> Option<Self> {
        let field = |name: &str| {
            status.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key == name).then(|| value.trim())
            })
        };
        if field("State")?.starts_with('Z') {
            return None;
        }
        Some(Self {
            pid,
            parent: field("PPid")?.parse().ok()?,
            name: field("Name")?.to_owned(),
            catches: u64::from_str_radix(field("SigCgt")?, 16).ok()?,
        })
    }

    fn handles(&self, signal: Signal) -> bool {
        self.catches & (1 << (signal as i32 - 1)) != 0
    }

    fn passes_on(&self) -> bool {
        self.name == "npm" || self.name.starts_with("npm ")
    }
}

/// The pids that hear `signal` at once. The others hear it when all of these have ended. Never empty unless `processes` is.
pub(super) fn first(processes: &[Process], signal: Signal) -> Vec<i32> {
    let ends = matches!(
        signal,
        Signal::SIGTERM | Signal::SIGHUP | Signal::SIGINT | Signal::SIGQUIT
    );
    let waits_for_another = |process: &Process| {
        let has_child = processes.iter().any(|other| other.parent == process.pid);
        has_child && (process.passes_on() || !process.handles(signal))
    };
    processes
        .iter()
        .filter(|process| !(ends && waits_for_another(process)))
        .map(|process| process.pid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: u64 = 1 << 14;

    fn process(pid: i32, parent: i32, name: &str, catches: u64) -> Process {
        Process {
            pid,
            parent,
            name: name.to_owned(),
            catches,
        }
    }

    #[test]
    fn a_server_below_npm_and_its_shell_hears_alone() {
        let processes = [
            process(10, 1, "npm start", TERM),
            process(11, 10, "sh", 0),
            process(12, 11, "node", TERM),
        ];
        assert_eq!(first(&processes, Signal::SIGTERM), [12]);
    }

    #[test]
    fn a_master_hears_together_with_its_workers() {
        let processes = [
            process(10, 1, "gunicorn", TERM),
            process(11, 10, "gunicorn", TERM),
            process(12, 10, "gunicorn", TERM),
        ];
        assert_eq!(first(&processes, Signal::SIGTERM), [10, 11, 12]);
    }

    #[test]
    fn a_shell_with_a_trap_hears_and_one_without_does_not_outrun_its_child() {
        let trapping = [process(10, 1, "bash", TERM), process(11, 10, "sleep", 0)];
        assert_eq!(first(&trapping, Signal::SIGTERM), [10, 11]);
        let waiting = [process(10, 1, "bash", 0), process(11, 10, "server", TERM)];
        assert_eq!(first(&waiting, Signal::SIGTERM), [11]);
    }

    #[test]
    fn a_lone_process_hears_whatever_it_is() {
        for name in ["npm start", "sh", "sleep"] {
            assert_eq!(first(&[process(10, 1, name, 0)], Signal::SIGTERM), [10]);
        }
    }

    #[test]
    fn signals_that_end_nothing_go_to_all() {
        let processes = [process(10, 1, "bash", 0), process(11, 10, "node", 0)];
        assert_eq!(first(&processes, Signal::SIGWINCH), [10, 11]);
    }

    #[test]
    fn a_status_file_is_read() {
        let text = "Name:\tnpm start\nState:\tS (sleeping)\nPid:\t5349\nPPid:\t5319\nSigIgn:\t0000000001001000\nSigCgt:\t0000000100014602\n";
        let process = Process::parse(5349, text).expect("a whole status");
        assert_eq!(
            (process.pid, process.parent, process.passes_on()),
            (5349, 5319, true)
        );
        assert!(process.handles(Signal::SIGTERM));
        assert!(!process.handles(Signal::SIGQUIT));
        assert_eq!(
            Process::parse(5349, &text.replace("S (sleeping)", "Z (zombie)")),
            None
        );
        assert_eq!(Process::parse(1, "Name:\tx\n"), None);
    }
}
