//! Who may do what: a stranger sees nothing, a collaborator works, and names are matched exactly.

use std::process::Stdio;

use tests::Platform;
use tests::command::{Said, run};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Another account, with a home directory of its own.
struct Person<'a> {
    platform: &'a Platform,
    home: std::path::PathBuf,
}

impl<'a> Person<'a> {
    async fn join(platform: &'a Platform, email: &str) -> Self {
        let home = platform.path().join(email);
        std::fs::create_dir_all(&home).unwrap();
        let invited = platform
            .paas(&["accounts:create", email, "--json"])
            .await
            .ok();
        let invited: serde_json::Value = serde_json::from_str(&invited.stdout).unwrap();
        let person = Self { platform, home };
        let ca = platform.data().join("tls/ca.pem");
        let mut login = person.command(&[
            "login",
            "--api",
            &platform.api_url(),
            "--email",
            email,
            "--password-stdin",
        ]);
        login
            .arg("--ca-file")
            .arg(ca)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut login = login.spawn().unwrap();
        let password = invited["password"].as_str().unwrap().to_owned();
        login
            .stdin
            .take()
            .unwrap()
            .write_all(password.as_bytes())
            .await
            .unwrap();
        let output = login.wait_with_output().await.unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        person
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.platform.command(args);
        command
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", self.home.join(".config"))
            .current_dir(&self.home);
        command
    }

    async fn paas(&self, args: &[&str]) -> Said {
        run(&mut self.command(args), std::time::Duration::from_secs(120))
            .await
            .unwrap()
    }

    async fn git(&self, args: &[&str]) -> Said {
        let mut git = Command::new("git");
        self.platform.environment(&mut git);
        git.args(args)
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", self.home.join(".config"))
            .current_dir(&self.home);
        run(&mut git, std::time::Duration::from_secs(120))
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn strangers_see_nothing_until_they_are_let_in_and_then_only_that_app() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project.push().await.ok();
    let url = project
        .git(&["remote", "get-url", "paas"])
        .await
        .ok()
        .stdout
        .trim()
        .to_owned();
    let bob = Person::join(&platform, "bob@example.com").await;

    bob.paas(&["info", "-a", &project.app])
        .await
        .failed()
        .says("find");
    bob.git(&["clone", "-q", &url, "stolen"]).await.failed();
    // Access to a longer name is no access to a shorter one.
    bob.paas(&["create", &format!("{}x", project.app), "--no-remote"])
        .await
        .ok();
    bob.git(&["clone", "-q", &url, "stolen"]).await.failed();

    project.paas(&["access:add", "bob@example.com"]).await.ok();
    bob.paas(&["info", "-a", &project.app])
        .await
        .ok()
        .says(&project.app);
    bob.git(&["clone", "-q", &url, "shared"]).await.ok();
    bob.paas(&[
        "apps:destroy",
        "-a",
        &project.app,
        "--confirm",
        &project.app,
    ])
    .await
    .failed();

    project
        .paas(&["access:remove", "bob@example.com"])
        .await
        .ok();
    bob.paas(&["info", "-a", &project.app]).await.failed();
    bob.git(&["clone", "-q", &url, "again"]).await.failed();
}
