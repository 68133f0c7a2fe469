//! Apps, builds and dynos on the Docker of this machine.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use buildpacks::job::hand_over;
use buildpacks::{BuildOutcome, BuildpackSource, Built, Job, JobSpec, Stack};
use model::{BuildId, ConfigVars, Secret};
use tempfile::TempDir;

use super::http::{self, Response};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Longer than any build of a fixture takes on a slow machine with cold caches.
const BUILD_LIMIT_SECONDS: &str = "600";

/// An app with its config, its buildpacks and its build cache.
pub(crate) struct App {
    dir: Arc<TempDir>,
    config: ConfigVars,
    buildpacks: Vec<BuildpackSource>,
    limits: Vec<String>,
    builds: AtomicU32,
}

impl App {
    /// One of `tests/apps`.
    pub(crate) fn fixture(name: &str) -> Self {
        let app = Self::empty();
        run(Command::new("cp")
            .arg("-a")
            .arg(fixture_dir(name).join("."))
            .arg(app.source()));
        app
    }

    pub(crate) fn empty() -> Self {
        need_stack();
        let dir = Arc::new(tempfile::tempdir().unwrap());
        for name in ["source", "cache"] {
            fs_err::create_dir(dir.path().join(name)).unwrap();
        }
        let limits = [
            "--memory",
            "2g",
            "--memory-swap",
            "2g",
            "--pids-limit",
            "512",
        ]
        .map(str::to_owned)
        .to_vec();
        Self {
            dir,
            config: ConfigVars::default(),
            buildpacks: vec![],
            limits,
            builds: AtomicU32::new(0),
        }
    }

    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.source().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    pub(crate) fn config(mut self, name: &str, value: &str) -> Self {
        self.config
            .0
            .insert(name.parse().unwrap(), Secret::new(value.to_owned()));
        self
    }

    pub(crate) fn buildpack(mut self, text: &str) -> Self {
        self.buildpacks.push(BuildpackSource::parse(text).unwrap());
        self
    }

    /// For apps that are out to meet them.
    pub(crate) fn small_limits(mut self) -> Self {
        self.limits = [
            "--memory",
            "256m",
            "--memory-swap",
            "256m",
            "--pids-limit",
            "100",
        ]
        .map(str::to_owned)
        .to_vec();
        self
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    pub(crate) fn build(&self) -> Finished {
        self.build_watching(|_, _| {})
    }

    pub(crate) fn built(&self) -> Finished {
        let build = self.build();
        assert!(
            matches!(build.outcome, BuildOutcome::Built(_)),
            "{:?}\n{}",
            build.outcome,
            build.transcript
        );
        build
    }

    /// Builds, showing each line to `watch` as it comes, together with the container's name.
    pub(crate) fn build_watching(&self, mut watch: impl FnMut(&str, &str)) -> Finished {
        let number = self.builds.fetch_add(1, Ordering::Relaxed);
        let job_dir = self.dir.path().join(format!("build-{number}"));
        let spec = JobSpec {
            build: BuildId::new(),
            stack: Stack::DEFAULT,
            buildpacks: &self.buildpacks,
            config: &self.config,
            source_version: "0123456789012345678901234567890123456789",
            request_id: "test",
        };
        let job = Job::lay_out(&job_dir, &spec).unwrap();
        run(Command::new("tar")
            .arg("-C")
            .arg(self.source())
            .arg("-cf")
            .arg(job.source_tar())
            .arg("."));
        let cache = self.dir.path().join("cache");
        fs_err::remove_dir(job.cache_dir()).unwrap();
        fs_err::rename(&cache, job.cache_dir()).unwrap();
        hand_over(&job.cache_dir()).unwrap();

        let container = Container::named("build");
        let mut command = container.run_command();
        command
            .args(["--rm", "--user", "2000:2000"])
            .args(&self.limits);
        for mount in job.mounts() {
            let mode = if mount.read_only { "ro" } else { "rw" };
            command.arg("--volume").arg(format!(
                "{}:{}:{mode}",
                mount.host.display(),
                mount.container
            ));
        }
        for (name, value) in job.environment() {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        command
            .arg(buildpacks::stack::DEFAULT_BUILD_IMAGE)
            .args(job.command());

        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut transcript = String::new();
        let mut bytes = 0;
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).unwrap() > 0 {
            bytes += line.len();
            let text = String::from_utf8_lossy(&line);
            watch(text.trim_end_matches('\n'), &container.name);
            if transcript.len() < 1024 * 1024 {
                transcript.push_str(&text);
            }
            line.clear();
        }
        let status = child.wait().unwrap().code();
        let elapsed = started.elapsed();
        fs_err::rename(job.kept_cache().unwrap(), &cache).unwrap();
        Finished {
            transcript,
            bytes,
            status,
            elapsed,
            outcome: job.outcome().unwrap(),
            tree: job.built_tree().unwrap(),
            _dir: Arc::clone(&self.dir),
        }
    }
}

/// A build that has ended, well or not.
pub(crate) struct Finished {
    pub(crate) transcript: String,
    /// Of the whole output, where the transcript is only its beginning.
    pub(crate) bytes: usize,
    pub(crate) status: Option<i32>,
    pub(crate) elapsed: Duration,
    pub(crate) outcome: BuildOutcome,
    tree: PathBuf,
    /// Where the tree is, for as long as anybody may look at it.
    _dir: Arc<TempDir>,
}

impl Finished {
    pub(crate) fn details(&self) -> &Built {
        match &self.outcome {
            BuildOutcome::Built(built) => built,
            BuildOutcome::Failed(failure) => panic!("{failure:?}\n{}", self.transcript),
        }
    }

    pub(crate) fn failure(&self) -> &buildpacks::BuildFailure {
        match &self.outcome {
            BuildOutcome::Failed(failure) => failure,
            BuildOutcome::Built(_) => panic!("the build succeeded\n{}", self.transcript),
        }
    }

    /// The types and commands a formation would have.
    pub(crate) fn process_types(&self) -> Vec<(&str, &str)> {
        self.details()
            .process_types
            .iter()
            .map(|(name, command)| (name.as_str(), command.as_str()))
            .collect()
    }

    pub(crate) fn tree(&self) -> &Path {
        &self.tree
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        assert!(
            self.transcript.contains(text),
            "no {text:?} in\n{}",
            self.transcript
        );
    }

    #[track_caller]
    pub(crate) fn does_not_say(&self, text: &str) {
        assert!(
            !self.transcript.contains(text),
            "{text:?} in\n{}",
            self.transcript
        );
    }

    /// Starts the web process type on the run image, as a node would, and waits until it answers.
    pub(crate) fn serve(&self) -> Dyno {
        let web = &self.details().process_types[&model::ProcessType::web()];
        Dyno::start(&self.tree, web)
    }
}

/// A web dyno. Its tree is a copy, for what it writes is its own.
pub(crate) struct Dyno {
    container: Container,
    _tree: TempDir,
    pub(crate) address: std::net::SocketAddr,
}

impl Dyno {
    fn start(built: &Path, command: &str) -> Self {
        let tree = tempfile::tempdir().unwrap();
        let app = tree.path().join("app");
        run(Command::new("cp").arg("-a").arg(built).arg(&app));
        let container = Container::named("dyno");
        let boot = r#"for file in .profile.d/*.sh .profile; do [[ -f $file ]] && source "$file"; done; eval "exec $COMMAND""#;
        // An `exec` of a compound command would not do; as in Heroku's dynos the last word is bash's.
        let boot = if command.contains([';', '&', '|']) {
            boot.replace("exec $COMMAND", "$COMMAND")
        } else {
            boot.to_owned()
        };
        run(container
            .run_command()
            .args(["--detach", "--memory", "512m", "--user", "2000:2000"])
            .arg("--volume")
            .arg(format!("{}:/app", app.display()))
            .args([
                "--env",
                "PORT=5000",
                "--env",
                "DYNO=web.1",
                "--env",
                "HEROKU_RELEASE_VERSION=v7",
                "--env",
                "POWERED_BY=tests",
            ])
            .arg("--env")
            .arg(format!("COMMAND={command}"))
            .args([buildpacks::stack::DEFAULT_RUN_IMAGE, "bash", "-c", &boot]));
        let ip = container.inspect("{{.NetworkSettings.IPAddress}}");
        let address = format!("{ip}:5000").parse().unwrap();
        let dyno = Self {
            container,
            _tree: tree,
            address,
        };
        let up = eventually(Duration::from_secs(30), || http::get(address, "/").is_ok());
        assert!(up, "the dyno does not answer:\n{}", dyno.log());
        dyno
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Response {
        http::get(self.address, path).unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// Tells every process of the dyno to end, as the platform does.
    pub(crate) fn terminate(&self) {
        run(Command::new("docker").args(["kill", "--signal", "TERM", &self.container.name]));
    }

    /// Its exit status, once it has ended.
    pub(crate) fn exit_status(&self) -> i32 {
        run(Command::new("timeout").args(["40", "docker", "wait", &self.container.name]))
            .trim()
            .parse()
            .unwrap()
    }

    pub(crate) fn log(&self) -> String {
        let output = Command::new("docker")
            .args(["logs", &self.container.name])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }
}

/// A container that is gone when this is dropped.
struct Container {
    name: String,
}

impl Container {
    fn named(purpose: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self {
            name: format!("buildpacks-test-{}-{purpose}-{count}", std::process::id()),
        }
    }

    fn run_command(&self) -> Command {
        let mut command = Command::new("timeout");
        command.args([
            BUILD_LIMIT_SECONDS,
            "docker",
            "run",
            "--name",
            &self.name,
            "--label",
            "paas.kind=test",
        ]);
        command.args(["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
        command
            .arg("--add-host")
            .arg(format!("{HOST}:host-gateway"));
        command
    }

    fn inspect(&self, format: &str) -> String {
        run(Command::new("docker").args(["inspect", "--format", format, &self.name]))
            .trim()
            .to_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // There is nothing to do about a Docker that cannot remove it.
        let _ = Command::new("docker")
            .args(["rm", "--force", &self.name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// Makes the stack's images where they are missing or out of date; the script waits for another one that does so.
fn need_stack() {
    run(&mut Command::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/stacks/build-stack"
    )));
}

/// The name by which a container reaches this machine.
pub(crate) const HOST: &str = "host.test";

pub(crate) fn fixture_dir(name: &str) -> PathBuf {
    let dir = Path::new(REPOSITORY).join("tests/apps").join(name);
    assert!(dir.is_dir(), "no fixture {name}");
    dir
}

/// Runs a command that must succeed; its standard output.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Whether a condition came true before the deadline.
pub(crate) fn eventually(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    false
}

/// Every file below a directory, with its owner; links are not followed.
pub(crate) fn owners(dir: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = vec![];
    for entry in fs_err::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs_err::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(owners(&path));
        }
        found.push((path, metadata.uid()));
    }
    found
}

/// Puts a gem of one file into a directory, made by the stack's own Ruby.
pub(crate) fn make_gem(dir: &Path, name: &str, code: &str) {
    let work = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(work.path().join("lib")).unwrap();
    fs_err::write(work.path().join(format!("lib/{name}.rb")), code).unwrap();
    let specification = format!(
        "Gem::Specification.new {{ |s| s.name = \"{name}\"; s.version = \"1.0.0\"; s.summary = \"A gem\"; s.authors = [\"Test\"]; \
         s.files = [\"lib/{name}.rb\"] }}\n"
    );
    fs_err::write(work.path().join("gem.gemspec"), specification).unwrap();
    hand_over(work.path()).unwrap();
    let container = Container::named("gem");
    run(container
        .run_command()
        .args(["--rm", "--volume"])
        .arg(format!("{}:/work", work.path().display()))
        .args([
            "--workdir",
            "/work",
            buildpacks::stack::DEFAULT_RUN_IMAGE,
            "gem",
            "build",
            "gem.gemspec",
        ]));
    fs_err::create_dir_all(dir).unwrap();
    let file = format!("{name}-1.0.0.gem");
    fs_err::copy(work.path().join(&file), dir.join(&file)).unwrap();
}
