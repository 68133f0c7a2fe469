//! A developer's project: a git repository with an app behind it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::command::{Said, run};
use crate::eventually::eventually;
use crate::platform::{DOMAIN, Platform};
use crate::web::Answer;

/// A working copy and its app.
#[derive(Debug)]
pub struct Project<'a> {
    platform: &'a Platform,
    pub app: String,
    pub dir: PathBuf,
}

/// A push builds, and a first build may download much.
const PUSH_WITHIN: Duration = Duration::from_secs(900);
const CLI_WITHIN: Duration = Duration::from_secs(180);

impl<'a> Project<'a> {
    /// # Panics
    /// When the fixture or the app cannot be made.
    pub async fn create(platform: &'a Platform, fixture: &str) -> Self {
        let app = format!(
            "{}-{:06x}",
            &fixture[..fixture.len().min(20)],
            rand::random::<u32>() >> 8
        );
        let project = Self::without_app(platform, fixture, &app).await;
        project.paas(&["create", &app]).await.ok();
        project
    }

    /// A repository with one commit and no app yet.
    ///
    /// # Panics
    /// When the fixture cannot be copied.
    pub async fn without_app(platform: &'a Platform, fixture: &str, app: &str) -> Self {
        let dir = platform.path().join(app);
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("apps")
            .join(fixture);
        run(
            Command::new("cp").arg("-a").arg(&from).arg(&dir),
            CLI_WITHIN,
        )
        .await
        .expect("cp")
        .ok();
        let project = Self {
            platform,
            app: app.to_owned(),
            dir,
        };
        project.git(&["init", "-q", "-b", "master"]).await.ok();
        project
            .git(&["config", "user.email", "dev@example.com"])
            .await
            .ok();
        project.git(&["config", "user.name", "Dev"]).await.ok();
        project.commit("First").await;
        project
    }

    /// `paas <args>` in the project's directory, so that the app is inferred.
    ///
    /// # Panics
    /// When it cannot be run to its end.
    pub async fn paas(&self, args: &[&str]) -> Said {
        run(&mut self.paas_command(args), CLI_WITHIN)
            .await
            .expect("paas should run")
    }

    /// The same as a command still to be started.
    pub fn paas_command(&self, args: &[&str]) -> Command {
        let mut command = self.platform.command(args);
        command.current_dir(&self.dir);
        command
    }

    /// # Panics
    /// When git cannot be run to its end.
    pub async fn git(&self, args: &[&str]) -> Said {
        run(&mut self.git_command(args), PUSH_WITHIN)
            .await
            .expect("git should run")
    }

    pub fn git_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(args).current_dir(&self.dir);
        self.platform.environment(&mut command);
        command
    }

    /// Commits all there is.
    pub async fn commit(&self, message: &str) {
        self.git(&["add", "-A", "."]).await.ok();
        self.git(&["commit", "-q", "--allow-empty", "-m", message])
            .await
            .ok();
    }

    /// # Panics
    /// When the file cannot be written.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.dir.join(file);
        fs_err::create_dir_all(path.parent().expect("a directory")).expect("the directory");
        fs_err::write(path, text).expect("the file");
    }

    /// `git push paas master`.
    pub async fn push(&self) -> Said {
        self.git(&["push", "paas", "master"]).await
    }

    pub fn host(&self) -> String {
        format!("{}.{DOMAIN}", self.app)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.platform.get(&self.host(), path).await
    }

    /// Waits until the app's answer satisfies `check`.
    pub async fn eventually(&self, what: &str, check: impl Fn(&Answer) -> bool) -> Answer {
        eventually(what, Duration::from_secs(60), || async {
            let answer = self.get("/").await;
            check(&answer).then_some(answer)
        })
        .await
    }

    /// The version of the newest release, and its status.
    pub async fn latest_release(&self) -> (u64, String) {
        let said = self.paas(&["releases", "--json"]).await.ok();
        let list: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
        let newest = list
            .as_array()
            .expect("a list")
            .iter()
            .max_by_key(|r| r["version"].as_u64())
            .expect("a release");
        (
            newest["version"].as_u64().expect("a version"),
            newest["status"].as_str().expect("a status").to_owned(),
        )
    }
}
