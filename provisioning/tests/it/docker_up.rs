//! `up` and `down` for real: Docker, the built programs, and an installation of its own with a home of its own.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// An installation beside whatever else is on this host; taken down with all its data at the end.
struct Installation {
    dir: tempfile::TempDir,
    name: String,
    http_port: u16,
    flags: Vec<String>,
}

impl Installation {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = format!("t{}", std::process::id());
        let [http_port, https_port, ssh_port] = free_ports();
        let flag = |name: &str, value: String| [format!("--{name}"), value];
        let flags = [
            flag("http-port", http_port.to_string()),
            flag("https-port", https_port.to_string()),
            flag("ssh-port", ssh_port.to_string()),
            flag("listen", "127.0.0.1".to_owned()),
            flag("prefix", dir.path().join("prefix").display().to_string()),
            flag("binaries", binaries().display().to_string()),
        ]
        .concat();
        Self {
            dir,
            name,
            http_port,
            flags,
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, script: &str, flags: &[String]) -> Command {
        let home = self.dir.path().join("home");
        fs_err::create_dir_all(&home).unwrap();
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
        command
            .args(["--name", &self.name, "--data-dir"])
            .arg(self.data_dir())
            .args(flags)
            .env("HOME", home)
            .env_remove("SUDO_USER");
        command
    }

    fn script(&self, script: &str, flags: &[String]) -> Output {
        self.command(script, flags).output().unwrap()
    }

    fn up(&self, flags: &[String]) -> String {
        self.succeeds("up", flags)
    }

    fn down(&self, flags: &[&str]) -> String {
        let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.succeeds("down", &flags)
    }

    fn succeeds(&self, script: &str, flags: &[String]) -> String {
        let output = self.script(script, flags);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{script}: {out}{err}");
        out
    }

    /// What the sample app answers through the router; empty when nothing does.
    fn sample_page(&self) -> String {
        let host = format!("Host: hello.{}.localhost", self.name);
        let url = format!("http://127.0.0.1:{}/", self.http_port);
        said("curl", &["--silent", "--fail", "--header", &host, &url])
    }

    fn paas(&self, arguments: &[&str]) -> String {
        let config = self.dir.path().join("home/.config/paas");
        let output = Command::new(self.dir.path().join("prefix/bin/paas"))
            .args(arguments)
            .env("PAAS_CONFIG", config.join(format!("{}.toml", self.name)))
            .output()
            .unwrap();
        text(&output.stdout)
    }

    /// What must not change when `up` has nothing to do.
    fn state(&self) -> [String; 4] {
        let written = |file: &str| {
            let path = self.data_dir().join(file);
            format!("{:?}", fs_err::metadata(path).unwrap().modified().unwrap())
        };
        [
            self.pid(),
            written("paasd.toml"),
            self.paas(&["releases", "--app", "hello", "--json"]),
            self.containers(),
        ]
    }

    fn pid(&self) -> String {
        let pid = self.data_dir().join("paasd.pid");
        fs_err::read_to_string(pid).unwrap_or_default()
    }

    fn containers(&self) -> String {
        let label = format!("label=paas.instance={}", self.name);
        said("docker", &["ps", "--quiet", "--filter", &label])
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if self.data_dir().exists() {
            let output = self.script("down", &["--purge".to_owned()]);
            if !output.status.success() {
                eprintln!("{}{}", text(&output.stdout), text(&output.stderr));
            }
        }
    }
}

/// `target/<profile>`, where this test's own program lies two directories below.
fn binaries() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let dir = here.ancestors().nth(2).unwrap().to_owned();
    assert!(
        dir.join("paasd").exists() && dir.join("paas").exists(),
        "build them first: cargo build -p paasd -p paas"
    );
    dir
}

/// Below the ports that the kernel gives to outgoing connections: one of those could take it before its server does.
fn free_ports<const N: usize>() -> [u16; N] {
    // Tests that run beside each other have numbers next to each other.
    let first = 15_000 + (std::process::id() % 1_500 * 10) as u16;
    let mut free = (first..32_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    std::array::from_fn(|_| free.next().expect("a free port"))
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_host_gets_the_platform_keeps_it_and_gets_rid_of_it() {
    let installation = Installation::new();
    let told = installation.up(&installation.flags);
    assert!(told.contains("paas is up, after "), "{told}");
    assert!(told.contains("-----> "), "the push is shown: {told}");
    assert!(installation.sample_page().contains("Hello from paas"));
    let sample = installation
        .dir
        .path()
        .join("home")
        .join(format!("paas-{}-hello", installation.name));
    assert!(sample.join(".git").is_dir());
    let page = installation
        .dir
        .path()
        .join("prefix/share/man/man1/paas-ps.1");
    assert!(page.exists(), "paas has its manual pages");

    let before = installation.state();
    assert!(!before[0].is_empty() && !before[3].is_empty());
    let began = Instant::now();
    let told = installation.up(&installation.flags[10..]);
    assert!(told.contains("paasd is running"), "{told}");
    assert!(!told.contains("Installed"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(20), "{told}");
    assert_eq!(installation.state(), before, "nothing was to be done");

    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let http_port = installation.http_port.to_string();
    for (flag, value) in [
        ("--http-port", &taken),
        ("--https-port", &http_port),
        ("--listen", &"192.0.2.1".to_owned()),
    ] {
        let settings =
            || fs_err::read_to_string(installation.data_dir().join("provisioning/settings"));
        let (known, refused) = (settings().unwrap(), [flag.to_owned(), value.clone()]);
        let flags = [&installation.flags[10..], &refused].concat();
        assert!(!installation.script("up", &flags).status.success());
        assert_eq!(settings().unwrap(), known, "{flag} was refused");
        assert_eq!(installation.state(), before, "{flag} was refused");
    }

    installation.down(&[]);
    assert_eq!(installation.containers(), "");
    assert_eq!(installation.sample_page(), "");
    installation.down(&[]);

    let mut foreground = installation.command("up", &["--foreground".to_owned()]);
    foreground.args(&installation.flags[10..]);
    let mut foreground = foreground.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(foreground.stdout.take().unwrap()).lines();
    let stays = lines.any(|line| line.unwrap().contains("Running in the foreground"));
    assert!(stays && installation.sample_page().contains("Hello from paas"));
    said("kill", &["-TERM", &foreground.id().to_string()]);
    assert!(foreground.wait().unwrap().success());
    drop(lines);
    assert_eq!(
        installation.containers(),
        "",
        "dynos stop with the platform"
    );
    assert_eq!(installation.sample_page(), "");

    installation.up(&installation.flags[10..]);
    assert!(installation.sample_page().contains("Hello from paas"));
    assert_eq!(
        installation.state()[2],
        before[2],
        "its releases are those of before"
    );

    let domain = format!("elsewhere-{}.localhost", installation.name);
    let flags = ["--domain".to_owned(), domain.clone()];
    let served_by = installation.pid();
    let told = installation.up(&[&installation.flags[10..], &flags].concat());
    assert!(told.contains("Upgrading paasd in place"), "{told}");
    assert_ne!(installation.pid(), served_by);
    let remote = told.lines().find(|line| line.contains("Git remote"));
    assert!(
        remote.is_some_and(|line| line.contains(&format!("git.{domain}"))),
        "{told}"
    );

    installation.down(&["--purge"]);
    assert!(!installation.data_dir().exists());
    assert_eq!(installation.containers(), "");
    let label = format!("label=paas.instance={}", installation.name);
    assert_eq!(
        said("docker", &["network", "ls", "--quiet", "--filter", &label]),
        ""
    );
    let home = installation.dir.path().join("home");
    assert!(!home.join(".config/paas").exists());
    assert!(!installation.dir.path().join("prefix/share/paas").exists());
    let git = fs_err::read_to_string(home.join(".gitconfig")).unwrap_or_default();
    assert!(!git.contains(&installation.name), "{git}");
    let hosts = fs_err::read_to_string("/etc/hosts").unwrap();
    assert!(!hosts.contains(&installation.name), "{hosts}");
    let told = installation.down(&["--purge"]);
    assert!(told.contains("No data to remove"), "{told}");
}

#[test]
fn a_port_that_another_program_holds_is_said_before_anything_starts() {
    let mut installation = Installation::new();
    let taken = TcpListener::bind(("127.0.0.1", installation.http_port)).unwrap();
    installation.flags.push("--no-sample".to_owned());
    let output = installation.script("up", &installation.flags);
    assert!(!output.status.success());
    let complaint = text(&output.stderr);
    assert!(
        complaint.contains(&format!("port {} is taken by ", installation.http_port)),
        "{complaint}"
    );
    assert!(complaint.contains("--http-port"), "{complaint}");
    assert!(
        !installation.data_dir().exists(),
        "refused before anything is written"
    );
    drop(taken);
}
