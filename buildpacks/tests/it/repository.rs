//! A git repository that holds a buildpack, served to containers by git's own daemon.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use tempfile::TempDir;

use super::harness::{HOST, fixture_dir, run};

pub(crate) struct Repository {
    dir: TempDir,
}

impl Repository {
    /// The buildpack of fixture `custom-pack` in two commits: the first tagged `v1`, the second saying something else.
    pub(crate) fn with_custom_pack() -> Self {
        let repository = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let pack = repository.pack();
        fs_err::create_dir(&pack).unwrap();
        run(Command::new("cp")
            .arg("-a")
            .arg(fixture_dir("custom-pack").join("."))
            .arg(&pack));
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository.commit("one");
        repository.git(&["tag", "v1"]);
        let compile = pack.join("bin/compile");
        let text = fs_err::read_to_string(&compile)
            .unwrap()
            .replace("Preparing the message", "Preparing the second message");
        fs_err::write(&compile, text).unwrap();
        repository.commit("two");
        repository
    }

    pub(crate) fn pack(&self) -> std::path::PathBuf {
        self.dir.path().join("pack")
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&[
            "-c",
            "user.name=Test",
            "-c",
            "user.email=test@example.com",
            "commit",
            "--quiet",
            "--message",
            message,
        ]);
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        run(Command::new("git")
            .arg("-C")
            .arg(self.pack())
            .args(arguments))
        .trim()
        .to_owned()
    }

    /// A git:// URL by which builds reach it while the test process lives.
    pub(crate) fn serve(&self) -> String {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let base = format!("--base-path={}", self.dir.path().display());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (input, output): (OwnedFd, OwnedFd) =
                    (stream.try_clone().unwrap().into(), stream.into());
                let daemon = Command::new("git")
                    .args(["daemon", "--inetd", "--export-all", &base])
                    .stdin(Stdio::from(input))
                    .stdout(Stdio::from(output))
                    .stderr(Stdio::null())
                    .status();
                assert!(daemon.is_ok());
            }
        });
        format!("git://{}:{port}/pack", HOST)
    }
}
