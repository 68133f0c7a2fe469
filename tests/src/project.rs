//! A developer's project: a git repository with an app behind it.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::command::{Said, run};
use crate::eventually::eventually;
use crate::web::{self, Answer};

/// Where a project lives: one host's platform, or the lab's.
pub trait Site: fmt::Debug + Send + Sync {
    /// A directory for working copies.
    fn path(&self) -> &Path;
    /// `program` as the administrator runs it: the platform's names lead there, and nothing is known of whoever runs the
    /// tests.
    fn program(&self, program: &str) -> Command;
    fn domain(&self) -> &str;
    /// A router's plain HTTP.
    fn router(&self) -> SocketAddr;
}

/// A working copy and its app.
#[derive(Debug)]
pub struct Project<'a> {
    site: &'a dyn Site,
    pub app: String,
    pub dir: PathBuf,
}

/// A push builds, and a first build may download much.
const PUSH_WITHIN: Duration = Duration::from_secs(900);
const CLI_WITHIN: Duration = Duration::from_secs(180);

impl<'a> Project<'a> {
    /// # Panics
    /// When the fixture or the app cannot be made.
    pub async fn create(site: &'a dyn Site, fixture: &str) -> Self {
        let app = format!(
            "{}-{:06x}",
            &fixture[..fixture.len().min(20)],
            rand::random::<u32>() >> 8
        );
        let project = Self::without_app(site, fixture, &app).await;
        project.paas(&["create", &app]).await.ok();
        project
    }

    /// The one of `app` that was made earlier.
    pub fn again(site: &'a dyn Site, app: &str) -> Self {
        Self {
            site,
            app: app.to_owned(),
            dir: site.path().join(app),
        }
    }

    /// A repository with one commit and no app yet.
    ///
    /// # Panics
    /// When the fixture cannot be copied.
    pub async fn without_app(site: &'a dyn Site, fixture: &str, app: &str) -> Self {
        let dir = site.path().join(app);
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
            site,
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
        let mut command = self.site.program("paas");
        command.args(args).current_dir(&self.dir);
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
        let mut command = self.site.program("git");
        command.args(args).current_dir(&self.dir);
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

    /// However many requests pile up, none is refused for it (H11). On a machine that has more to do than it can, booting
    /// dynos starve those that serve, and a story of switches would tell of that instead.
    pub async fn take_any_backlog(&self) {
        self.paas(&["routing:set", "requests-per-dyno=5000"])
            .await
            .ok();
    }

    pub fn host(&self) -> String {
        format!("{}.{}", self.app, self.site.domain())
    }

    /// A GET through the router.
    ///
    /// # Panics
    /// When there is no HTTP answer at all.
    pub async fn get(&self, path: &str) -> Answer {
        web::get(self.site.router(), &self.host(), path)
            .await
            .expect("an answer")
    }

    /// Waits until the app's answer satisfies `check`.
    pub async fn eventually(&self, what: &str, check: impl Fn(&Answer) -> bool) -> Answer {
        eventually(what, Duration::from_secs(120), || async {
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
