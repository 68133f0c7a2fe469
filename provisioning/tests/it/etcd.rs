//! `provisioning/etcd` for real: hosts are addresses of the loopback interface, each with a directory and a certificate.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};

/// Its members end with it.
struct Hosts {
    dir: tempfile::TempDir,
    /// `127.a.b.`, of this test alone.
    network: String,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Hosts {
    fn new(count: u8) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let process = std::process::id();
        let hosts = Self {
            dir: tempfile::tempdir().unwrap(),
            network: format!("127.{}.{}.", 100 + process / 250 % 100, 1 + process % 250),
            authority: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
        };
        for host in 1..=count {
            hosts.make(host);
        }
        hosts
    }

    fn make(&self, host: u8) {
        let key = KeyPair::generate().unwrap();
        // Members look at where their peers come from, and what is sent to 127.a.b.c comes from 127.0.0.1.
        let names = vec![self.address(host), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.authority).unwrap().pem();
        let identity = self.data(host).join("identity");
        fs_err::create_dir_all(&identity).unwrap();
        fs_err::write(identity.join("authority.pem"), self.authority.pem()).unwrap();
        fs_err::write(
            identity.join("host.pem"),
            key.serialize_pem() + &certificate,
        )
        .unwrap();
        let config = format!(
            "data_dir = \"{}\"\nstore = \"etcds://{}:2379\"\n\n[node]\nname = \"h{host}\"\naddress = \"{}\" # of its own\n",
            self.data(host).display(),
            self.address(1),
            self.address(host),
        );
        fs_err::write(self.config(host), config).unwrap();
    }

    fn address(&self, host: u8) -> String {
        format!("{}{host}", self.network)
    }

    fn data(&self, host: u8) -> PathBuf {
        self.dir.path().join(format!("h{host}"))
    }

    fn config(&self, host: u8) -> PathBuf {
        self.dir.path().join(format!("h{host}.toml"))
    }

    /// `provisioning/etcd <verb>` on a host: whether it succeeded, and what it said. Into a file: what it leaves running
    /// would hold a pipe open.
    fn run(&self, host: u8, verb: &[&str]) -> (bool, String) {
        let said = self.dir.path().join("said");
        let out = std::fs::File::create(&said).unwrap();
        let status = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("etcd"))
            .args(verb)
            .args(["--no-unit", "--config"])
            .arg(self.config(host))
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .status()
            .unwrap();
        (status.success(), fs_err::read_to_string(said).unwrap())
    }

    fn does(&self, host: u8, verb: &[&str]) -> String {
        let (success, said) = self.run(host, verb);
        assert!(success, "h{host} {verb:?}: {said}");
        said
    }

    fn fails(&self, host: u8, verb: &[&str]) -> String {
        let (success, said) = self.run(host, verb);
        assert!(!success, "h{host} {verb:?}: {said}");
        said
    }

    fn etcdctl(&self, host: u8, args: &[&str]) -> String {
        let identity = self.data(host).join("identity");
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints=https://{}:2379", self.address(host)))
            .arg("--cacert")
            .arg(identity.join("authority.pem"))
            .arg("--cert")
            .arg(identity.join("host.pem"))
            .arg("--key")
            .arg(identity.join("host.pem"))
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Name, and whether it learns, of each member.
    fn members(&self, host: u8) -> Vec<String> {
        let listed = self.etcdctl(host, &["member", "list"]);
        let mut members: Vec<String> = listed
            .lines()
            .map(|line| {
                let fields: Vec<_> = line.split(", ").collect();
                format!("{} {}", fields[2], fields[5])
            })
            .collect();
        members.sort();
        members
    }

    fn pid(&self, host: u8) -> String {
        let pid = fs_err::read_to_string(self.data(host).join("etcd/pid")).unwrap();
        pid.trim().to_owned()
    }

    /// SIGKILL.
    fn kill(&self, host: u8) {
        let pid = self.pid(host);
        assert!(kill(&pid), "h{host} was not running");
        while Path::new("/proc").join(&pid).join("exe").exists() {
            std::thread::yield_now();
        }
    }
}

fn kill(pid: &str) -> bool {
    let killed = Command::new("kill").args(["-KILL", pid]).output();
    killed.unwrap().status.success()
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in 1..=9 {
            if self.data(host).join("etcd/pid").exists() {
                kill(&self.pid(host));
            }
        }
    }
}

#[test]
fn members_join_and_are_replaced_and_a_second_run_changes_nothing() {
    let hosts = Hosts::new(4);
    hosts.does(1, &["start", "--first"]);
    let first = hosts.pid(1);
    hosts.does(1, &["start", "--first"]);
    assert_eq!(hosts.pid(1), first, "it ran on");
    hosts.does(2, &["start", "--join"]);
    hosts.does(3, &["start", "--join"]);
    hosts.does(3, &["start", "--join"]);
    let all = ["h1 false", "h2 false", "h3 false"];
    assert_eq!(hosts.members(2), all, "and all of them vote");

    let complaint = hosts.fails(4, &["replace", "h2"]);
    assert!(complaint.contains("it is not dead"), "{complaint}");
    hosts.kill(2);
    hosts.does(4, &["replace", &hosts.address(2)]);
    let all = ["h1 false", "h3 false", "h4 false"];
    assert_eq!(hosts.members(1), all);
    let fourth = hosts.pid(4);
    hosts.does(4, &["replace", &hosts.address(2)]);
    assert_eq!(
        (hosts.members(1), hosts.pid(4)),
        (all.map(str::to_owned).into(), fourth)
    );

    // The same host with another disk.
    hosts.etcdctl(1, &["put", "a", "1"]);
    hosts.kill(3);
    fs_err::remove_dir_all(hosts.data(3).join("etcd/member")).unwrap();
    let complaint = hosts.fails(3, &["start", "--join"]);
    assert!(complaint.contains("etcd replace h3"), "{complaint}");
    hosts.does(3, &["replace", "h3"]);
    assert_eq!(hosts.members(4), all);
    assert!(hosts.etcdctl(3, &["get", "a"]).contains('1'));
    assert!(hosts.does(3, &["status"]).contains("h4"));
}

#[test]
fn a_snapshot_begins_a_cluster_anew_that_the_others_join() {
    let hosts = Hosts::new(2);
    hosts.does(1, &["start", "--first"]);
    hosts.does(2, &["start", "--join"]);
    hosts.etcdctl(1, &["put", "a", "saved"]);
    let file = hosts.dir.path().join("snapshot");
    let file = file.to_str().unwrap();
    hosts.does(2, &["snapshot", file]);
    hosts.etcdctl(1, &["put", "a", "lost"]);
    hosts.kill(1);
    hosts.kill(2);
    hosts.does(1, &["restore", file]);
    assert_eq!(hosts.members(1), ["h1 false"]);
    hosts.does(2, &["start", "--join"]);
    assert_eq!(hosts.members(2), ["h1 false", "h2 false"]);
    assert!(hosts.etcdctl(2, &["get", "a"]).contains("saved"));
    let aside = fs_err::read_dir(hosts.data(2).join("etcd")).unwrap();
    let aside = aside.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("member.old-")
    });
    assert_eq!(aside.count(), 1, "nothing is thrown away");
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let hosts = Hosts::new(1);
    assert!(
        hosts
            .fails(1, &["start"])
            .contains("--first for the platform's first host")
    );
    assert!(hosts.fails(1, &["replace"]).contains("needs an argument"));
    assert!(
        hosts
            .fails(1, &["restore", "/nowhere"])
            .contains("there is no snapshot")
    );
    let complaint = hosts.fails(1, &["start", "--join"]);
    assert!(
        complaint.contains("no member of etcd answers"),
        "{complaint}"
    );
}
