//! What can be seen of a host from inside it. Looks only; every look is bounded in time.

use std::io::{self, Read as _, Write as _};
use std::net::ToSocketAddrs as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ports;

use super::Subject;

const DOCKER_ANSWERS_WITHIN: Duration = Duration::from_secs(5);
const PROGRAM_DIRS: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub memory_bytes: Option<u64>,
    pub disk_free_bytes: Option<u64>,
    pub docker: Docker,
    pub iptables: Option<PathBuf>,
    pub cgroups: Cgroups,
    pub api_resolves: bool,
    pub ports: Vec<PortUse>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Docker {
    Answers { api_version: String },
    NoSocket,
    Refuses { error: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    pub version: u8,
    /// Controllers we need and the host lacks.
    pub missing: Vec<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortUse {
    Free(u16),
    Taken(u16),
    NotPermitted(u16),
}

impl Facts {
    pub fn gather(subject: &Subject) -> Self {
        Self {
            memory_bytes: memory_bytes(Path::new("/proc/meminfo")),
            disk_free_bytes: disk_free_bytes(&subject.data_dir),
            docker: docker(&subject.docker_socket),
            iptables: program("iptables"),
            cgroups: cgroups(Path::new("/sys/fs/cgroup")),
            api_resolves: (format!("api.{}", subject.domain), 443)
                .to_socket_addrs()
                .is_ok_and(|mut found| found.next().is_some()),
            ports: subject.ports.iter().map(|port| port_use(*port)).collect(),
        }
    }
}

fn memory_bytes(meminfo: &Path) -> Option<u64> {
    let text = fs_err::read_to_string(meminfo).ok()?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Of the file system the directory is on or, before it exists, its nearest ancestor is on.
fn disk_free_bytes(dir: &Path) -> Option<u64> {
    let there = dir.ancestors().find(|ancestor| ancestor.exists())?;
    let stat = nix::sys::statvfs::statvfs(there).ok()?;
    Some(stat.blocks_available() * stat.fragment_size())
}

fn docker(socket: &Path) -> Docker {
    if !socket.exists() {
        return Docker::NoSocket;
    }
    match ping(socket) {
        Ok(api_version) => Docker::Answers { api_version },
        Err(error) => Docker::Refuses {
            error: error.to_string(),
        },
    }
}

/// Asks `GET /_ping`; the answer names the API's version in a header.
fn ping(socket: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(DOCKER_ANSWERS_WITHIN))?;
    stream.set_write_timeout(Some(DOCKER_ANSWERS_WITHIN))?;
    stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!("it said {status:?}")));
    }
    let version = answer.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("api-version")
            .then(|| value.trim().to_owned())
    });
    Ok(version.unwrap_or_else(|| "unknown".to_owned()))
}

fn program(name: &str) -> Option<PathBuf> {
    let places = PROGRAM_DIRS.iter().map(|dir| Path::new(dir).join(name));
    places.into_iter().find(|path| path.is_file())
}

fn cgroups(root: &Path) -> Cgroups {
    const NEEDED: [&str; 3] = ["memory", "pids", "cpu"];
    let lacking = |has: &dyn Fn(&str) -> bool| NEEDED.into_iter().filter(|c| !has(c)).collect();
    match fs_err::read_to_string(root.join("cgroup.controllers")) {
        Ok(controllers) => Cgroups {
            version: 2,
            missing: lacking(&|name| controllers.split_whitespace().any(|have| have == name)),
        },
        Err(_) => Cgroups {
            version: 1,
            missing: lacking(&|name| root.join(name).join("cgroup.procs").exists()),
        },
    }
}

fn port_use(port: u16) -> PortUse {
    match ports::can_listen(port) {
        Ok(()) => PortUse::Free(port),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            PortUse::NotPermitted(port)
        }
        Err(_) => PortUse::Taken(port),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Answers one connection on a socket of its own.
    fn docker_that_says(answer: &'static str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /_ping "));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        (dir, socket)
    }

    #[test]
    fn a_docker_that_answers_names_its_api_version() {
        let (_dir, socket) =
            docker_that_says("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK");
        let api_version = "1.41".to_owned();
        assert_eq!(docker(&socket), Docker::Answers { api_version });
    }

    #[test]
    fn a_docker_in_trouble_is_quoted() {
        let (_dir, socket) = docker_that_says("HTTP/1.1 500 Internal Server Error\r\n\r\n");
        let Docker::Refuses { error } = docker(&socket) else {
            panic!("a 500 is a refusal");
        };
        assert!(error.contains("500 Internal Server Error"), "{error}");
    }

    #[test]
    fn a_socket_nobody_listens_on_is_not_a_docker() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        assert_eq!(docker(&socket), Docker::NoSocket);
        drop(UnixListener::bind(&socket).unwrap());
        assert!(matches!(docker(&socket), Docker::Refuses { .. }));
    }

    #[test]
    fn both_generations_of_cgroups_are_understood() {
        let dir = tempfile::tempdir().unwrap();
        let missing = |root: &Path| {
            let Cgroups { version, missing } = cgroups(root);
            (version, missing)
        };
        assert_eq!(missing(dir.path()), (1, vec!["memory", "pids", "cpu"]));
        for controller in ["pids", "cpu"] {
            fs_err::create_dir(dir.path().join(controller)).unwrap();
            fs_err::write(dir.path().join(controller).join("cgroup.procs"), "").unwrap();
        }
        assert_eq!(missing(dir.path()), (1, vec!["memory"]));
        fs_err::write(
            dir.path().join("cgroup.controllers"),
            "cpuset cpu io memory\n",
        )
        .unwrap();
        assert_eq!(missing(dir.path()), (2, vec!["pids"]));
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let meminfo = dir.path().join("meminfo");
        assert_eq!(memory_bytes(&meminfo), None);
        fs_err::write(&meminfo, "MemTotal:       2048000 kB\nMemFree:  1024 kB\n").unwrap();
        assert_eq!(memory_bytes(&meminfo), Some(2_048_000 * 1024));
    }

    #[test]
    fn free_space_is_known_before_the_directory_exists() {
        let dir = tempfile::tempdir().unwrap();
        let there = disk_free_bytes(dir.path()).unwrap();
        let not_yet = disk_free_bytes(&dir.path().join("not/yet")).unwrap();
        assert!(there > 0 && not_yet > 0);
    }
}
