//! A build's job on disk: what the driver reads, and where it writes.
//!
//! The driver's side of this is written down in README.md. The directory on the host is
//!
//! ```text
//! <dir>/job/   mounted read-only at /build
//! <dir>/tmp/   mounted at /tmp: build_<8 hex>/ and cache/, in one mount so that packs can move and link between them
//! <dir>/out/   mounted at /out
//! ```
//!
//! What a build leaves behind was written by whoever pushed. Where the platform then looks, it makes sure to look at a
//! directory or a file, and not through a link that leads into the host.

use std::io;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use model::{BuildId, ConfigVars};

use crate::outcome::{self, BuildOutcome};
use crate::stack::{DYNO_GID, DYNO_UID};
use crate::{BuildpackSource, Stack, shipped};

/// What a build is made of, besides its source.
#[derive(Debug)]
pub struct JobSpec<'a> {
    pub build: BuildId,
    pub stack: Stack,
    /// In order; none to detect the language. See [`source::of_build`](crate::source::of_build).
    pub buildpacks: &'a [BuildpackSource],
    pub config: &'a ConfigVars,
    /// The commit.
    pub source_version: &'a str,
    pub request_id: &'a str,
}

/// A job laid out below `dir`. Dropping it removes nothing.
#[derive(Debug)]
pub struct Job {
    dir: PathBuf,
    /// The name of BUILD_DIR: `build_` and eight hex digits.
    build_dir_name: String,
    environment: Vec<(String, String)>,
}

/// A directory of the host as the build container sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub host: PathBuf,
    pub container: String,
    pub read_only: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("could not lay out the build job")]
    LayOut {
        #[source]
        source: io::Error,
    },
    #[error("could not hand {path} over to the build's user")]
    HandOver {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the build left no result: it was killed before it could")]
    NoResult,
    #[error("could not read the build's result")]
    ReadResult {
        #[source]
        source: io::Error,
    },
    #[error("the build's result makes no sense")]
    Result {
        #[source]
        source: serde_json::Error,
    },
    #[error("the build put something else in the place of directory {path}")]
    NoDirectory { path: PathBuf },
}

impl Job {
    /// Makes the directories below `dir`, which must be empty or not there, and writes all but the source and the cache.
    pub fn lay_out(dir: &Path, spec: &JobSpec<'_>) -> Result<Self, JobError> {
        let id = spec.build.as_uuid().simple().to_string();
        // The end of a time-ordered id is its random part.
        let job = Self {
            dir: dir.to_owned(),
            build_dir_name: format!("build_{}", &id[id.len() - 8..]),
            environment: vec![
                ("STACK".to_owned(), spec.stack.name().to_owned()),
                ("SOURCE_VERSION".to_owned(), spec.source_version.to_owned()),
                ("REQUEST_ID".to_owned(), spec.request_id.to_owned()),
            ],
        };
        job.write(spec)
            .map_err(|source| JobError::LayOut { source })?;
        for path in [job.build_dir(), job.cache_dir(), job.out_dir()] {
            hand_over(&path)?;
        }
        Ok(job)
    }

    fn write(&self, spec: &JobSpec<'_>) -> io::Result<()> {
        let job = self.job_dir();
        fs_err::create_dir_all(job.join("env"))?;
        shipped::extract_to(&job)?;
        for (name, value) in &spec.config.0 {
            fs_err::write(job.join("env").join(name.as_str()), value.expose())?;
        }
        let list: String = spec
            .buildpacks
            .iter()
            .map(|buildpack| format!("{buildpack}\t{}\t{}\n", buildpack.kind(), buildpack.value()))
            .collect();
        fs_err::write(job.join("buildpacks.list"), list)?;
        for path in [self.build_dir(), self.cache_dir(), self.out_dir()] {
            fs_err::create_dir_all(path)?;
        }
        fs_err::set_permissions(self.dir.join("tmp"), PermissionsExt::from_mode(0o1777))
    }

    /// Where the builder puts the commit as a tar before it starts the container.
    pub fn source_tar(&self) -> PathBuf {
        self.job_dir().join("source.tar")
    }

    /// CACHE_DIR on the host: the builder fills it before the build, hands it over with [`hand_over`] where it is not as the
    /// last build left it, and keeps it after a success (see [`Self::kept_cache`]). A directory that is moved here and back
    /// costs nothing, and keeps the packs' hard links.
    pub fn cache_dir(&self) -> PathBuf {
        self.dir.join("tmp/cache")
    }

    /// The built tree, once the container has ended: its content becomes the slug. It may hold links to anywhere, which
    /// must be packed as links.
    pub fn built_tree(&self) -> Result<PathBuf, JobError> {
        real_directory(self.build_dir())
    }

    /// The cache as the build left it, once the container has ended.
    pub fn kept_cache(&self) -> Result<PathBuf, JobError> {
        real_directory(self.cache_dir())
    }

    pub fn mounts(&self) -> [Mount; 3] {
        let mount = |host: &str, container: &str, read_only| Mount {
            host: self.dir.join(host),
            container: container.to_owned(),
            read_only,
        };
        [
            mount("job", "/build", true),
            mount("tmp", "/tmp", false),
            mount("out", "/out", false),
        ]
    }

    /// The container's command. It is best its first process, so that it can end all others.
    pub fn command(&self) -> Vec<String> {
        let build_dir = format!("/tmp/{}", self.build_dir_name);
        ["/build/driver/build", &build_dir, "/tmp/cache", "/out"]
            .map(str::to_owned)
            .to_vec()
    }

    /// What the container's environment has besides the image's own. Never config vars.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// How the build ended, once the container has ended.
    pub fn outcome(&self) -> Result<BuildOutcome, JobError> {
        outcome::read(&self.out_dir())
    }

    fn job_dir(&self) -> PathBuf {
        self.dir.join("job")
    }

    fn build_dir(&self) -> PathBuf {
        self.dir.join("tmp").join(&self.build_dir_name)
    }

    fn out_dir(&self) -> PathBuf {
        self.dir.join("out")
    }
}

/// Makes a tree the build user's own. Who is not allowed to give files away opens them to everybody instead: a developer's
/// build without root.
pub fn hand_over(path: &Path) -> Result<(), JobError> {
    let metadata = fs_err::symlink_metadata(path).map_err(|source| JobError::HandOver {
        path: path.to_owned(),
        source,
    })?;
    let given = match lchown(path, Some(DYNO_UID), Some(DYNO_GID)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !metadata.is_symlink() => {
            let mode =
                metadata.permissions().mode() | if metadata.is_dir() { 0o777 } else { 0o666 };
            fs_err::set_permissions(path, PermissionsExt::from_mode(mode))
        }
        given => given,
    };
    given.map_err(|source| JobError::HandOver {
        path: path.to_owned(),
        source,
    })?;
    if metadata.is_dir() {
        let entries = fs_err::read_dir(path).map_err(|source| JobError::HandOver {
            path: path.to_owned(),
            source,
        })?;
        for entry in entries {
            let entry = entry.map_err(|source| JobError::HandOver {
                path: path.to_owned(),
                source,
            })?;
            hand_over(&entry.path())?;
        }
    }
    Ok(())
}

fn real_directory(path: PathBuf) -> Result<PathBuf, JobError> {
    match fs_err::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_dir() => Ok(path),
        _ => Err(JobError::NoDirectory { path }),
    }
}

#[cfg(test)]
mod tests {
    use model::Secret;

    use super::*;
    use crate::ShippedPack;

    fn job(dir: &Path) -> Job {
        let mut config = ConfigVars::default();
        config.0.insert(
            "KEY".parse().unwrap(),
            Secret::new("two\nlines\n".to_owned()),
        );
        config
            .0
            .insert("EMPTY".parse().unwrap(), Secret::new(String::new()));
        let buildpacks = [
            BuildpackSource::Shipped(ShippedPack::Nodejs),
            BuildpackSource::parse("https://me:hush@host/x.git#v1").unwrap(),
        ];
        let spec = JobSpec {
            build: "018f3c5e-7b1a-7c3d-9e4f-0123456789ab".parse().unwrap(),
            stack: Stack::Heroku24,
            buildpacks: &buildpacks,
            config: &config,
            source_version: "abc",
            request_id: "r-1",
        };
        Job::lay_out(dir, &spec).unwrap()
    }

    #[test]
    fn a_job_is_laid_out_as_the_driver_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let job = job(dir.path());
        let read = |name: &str| fs_err::read_to_string(dir.path().join("job").join(name)).unwrap();
        assert_eq!(read("env/KEY"), "two\nlines\n");
        assert_eq!(read("env/EMPTY"), "");
        assert_eq!(
            read("buildpacks.list"),
            "heroku/nodejs\tshipped\tnodejs\nhttps://host/x.git#v1\tgit\thttps://me:hush@host/x.git#v1\n"
        );
        assert_eq!(
            job.command(),
            [
                "/build/driver/build",
                "/tmp/build_456789ab",
                "/tmp/cache",
                "/out"
            ]
        );
        assert!(dir.path().join("tmp/build_456789ab").is_dir());
        assert!(
            job.environment()
                .contains(&("SOURCE_VERSION".to_owned(), "abc".to_owned()))
        );
        assert!(job.environment().iter().all(|(name, _)| name != "KEY"));
        assert!(job.mounts()[0].read_only && !job.mounts()[1].read_only);
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let job = job(dir.path());
        assert!(job.built_tree().is_ok() && job.kept_cache().is_ok());
        for name in ["tmp/build_456789ab", "tmp/cache"] {
            fs_err::remove_dir(dir.path().join(name)).unwrap();
            std::os::unix::fs::symlink("/etc", dir.path().join(name)).unwrap();
        }
        assert!(matches!(
            job.built_tree(),
            Err(JobError::NoDirectory { .. })
        ));
        assert!(matches!(
            job.kept_cache(),
            Err(JobError::NoDirectory { .. })
        ));
    }

    #[test]
    fn a_tree_is_handed_over_without_following_its_links() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs_err::write(&outside, "").unwrap();
        fs_err::set_permissions(&outside, PermissionsExt::from_mode(0o600)).unwrap();
        let before = fs_err::metadata(&outside).unwrap();
        let tree = dir.path().join("tree");
        fs_err::create_dir_all(tree.join("sub")).unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("sub/link")).unwrap();
        hand_over(&tree).unwrap();
        let after = fs_err::metadata(&outside).unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!((before.uid(), before.mode()), (after.uid(), after.mode()));
        assert!(matches!(
            hand_over(&dir.path().join("nothing")),
            Err(JobError::HandOver { .. })
        ));
    }
}
