//! How a build ended: the driver's `result.json`, read with the suspicion that anything a build wrote deserves.

use std::io::{self, Read};
use std::path::Path;

use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::OFlags;
use serde::Deserialize;

use crate::{JobError, ProcessTypes, ReleaseYaml, procfile, release_yaml};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildOutcome {
    Built(Built),
    Failed(BuildFailure),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// What the last buildpack calls the app: `Python`.
    pub language: Option<String>,
    pub buildpacks: Vec<UsedBuildpack>,
    /// The Procfile's process types over the last buildpack's defaults.
    pub process_types: ProcessTypes,
    /// The last buildpack's `bin/release`.
    pub release: ReleaseYaml,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UsedBuildpack {
    /// `heroku/python`, or a URL.
    pub name: String,
    pub language: Option<String>,
    /// The commit, where it came from git.
    pub revision: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BuildFailure {
    pub kind: FailureKind,
    /// One line, without the ` !     ` in front; the user has read it already.
    pub message: String,
    /// The buildpack that failed.
    pub buildpack: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    Internal,
    Source,
    Fetch,
    NoDefaultLanguage,
    NotCompatible,
    Compile,
    Release,
    Cancelled,
    OutOfMemory,
    TooManyProcesses,
    NoSpace,
}

impl FailureKind {
    pub const ALL: [Self; 11] = [
        Self::Internal,
        Self::Source,
        Self::Fetch,
        Self::NoDefaultLanguage,
        Self::NotCompatible,
        Self::Compile,
        Self::Release,
        Self::Cancelled,
        Self::OutOfMemory,
        Self::TooManyProcesses,
        Self::NoSpace,
    ];

    /// The driver's exit status for it.
    pub const fn exit_status(self) -> i64 {
        match self {
            Self::Internal => 10,
            Self::Source => 11,
            Self::Fetch => 12,
            Self::NoDefaultLanguage => 13,
            Self::NotCompatible => 14,
            Self::Compile => 15,
            Self::Release => 16,
            Self::Cancelled => 17,
            Self::OutOfMemory => 18,
            Self::TooManyProcesses => 19,
            Self::NoSpace => 20,
        }
    }
}

/// No honest result is near this: it holds a Procfile and a bit of YAML.
const MAX_RESULT_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Deserialize)]
struct ResultFile {
    failure: Option<BuildFailure>,
    buildpacks: Vec<UsedBuildpack>,
    release_yaml: String,
    procfile: Option<String>,
}

/// Reads `<out_dir>/result.json`.
pub(crate) fn read(out_dir: &Path) -> Result<BuildOutcome, JobError> {
    let text =
        read_regular_file(&out_dir.join("result.json")).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => JobError::NoResult,
            _ => JobError::ReadResult { source },
        })?;
    serde_json::from_str(&text)
        .map(outcome)
        .map_err(|source| JobError::Result { source })
}

/// Of a file that is not a link or a pipe, and not without end.
fn read_regular_file(path: &Path) -> io::Result<String> {
    // Not to wait for a pipe's other end, and not to follow a link into the host.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = fs_err::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    if file.take(MAX_RESULT_BYTES + 1).read_to_string(&mut text)? as u64 > MAX_RESULT_BYTES {
        return Err(io::Error::other("it is too large"));
    }
    Ok(text)
}

fn outcome(result: ResultFile) -> BuildOutcome {
    if let Some(failure) = result.failure {
        return BuildOutcome::Failed(failure);
    }
    let last = result.buildpacks.last();
    let language = last.and_then(|buildpack| buildpack.language.clone());
    match release_yaml::parse(&result.release_yaml) {
        Ok(release) => {
            let mut process_types = release.default_process_types.clone();
            process_types.extend(procfile::parse(
                result.procfile.as_deref().unwrap_or_default(),
            ));
            BuildOutcome::Built(Built {
                language,
                buildpacks: result.buildpacks,
                process_types,
                release,
            })
        }
        Err(error) => BuildOutcome::Failed(BuildFailure {
            kind: FailureKind::Release,
            message: format!("Push rejected, {error}"),
            buildpack: last.map(|buildpack| buildpack.name.clone()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome_of(json: &str) -> Result<BuildOutcome, JobError> {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("result.json"), json).unwrap();
        read(dir.path())
    }

    const PYTHON: &str = r#"{"name":"heroku/python","kind":"shipped","value":"python","revision":null,"language":"Python"}"#;

    #[test]
    fn the_procfile_beats_the_buildpacks_defaults_type_by_type() {
        let json = format!(
            r#"{{"version":1,"status":"succeeded","failure":null,"buildpacks":[{PYTHON}],
                "release_yaml":"default_process_types: {{web: default, console: irb}}","procfile":"web: mine\nworker: w\n"}}"#
        );
        let BuildOutcome::Built(built) = outcome_of(&json).unwrap() else {
            panic!("not built")
        };
        assert_eq!(built.language.as_deref(), Some("Python"));
        let types: Vec<_> = built
            .process_types
            .iter()
            .map(|(n, c)| (n.as_str(), c.as_str()))
            .collect();
        assert_eq!(
            types,
            [("console", "irb"), ("web", "mine"), ("worker", "w")]
        );
    }

    #[test]
    fn a_failure_keeps_its_kind_and_message() {
        let json = r#"{"version":1,"status":"failed","failure":{"kind":"no-default-language","message":"No","buildpack":null},
            "buildpacks":[],"release_yaml":"","procfile":null}"#;
        let BuildOutcome::Failed(failure) = outcome_of(json).unwrap() else {
            panic!("not failed")
        };
        assert_eq!(
            (failure.kind, failure.message.as_str()),
            (FailureKind::NoDefaultLanguage, "No")
        );
    }

    #[test]
    fn a_release_that_is_no_yaml_fails_the_build() {
        let json = format!(
            r#"{{"failure":null,"buildpacks":[{PYTHON}],"release_yaml":"- not\n- a map","procfile":null}}"#
        );
        let BuildOutcome::Failed(failure) = outcome_of(&json).unwrap() else {
            panic!("not failed")
        };
        assert_eq!(
            (failure.kind, failure.buildpack.as_deref()),
            (FailureKind::Release, Some("heroku/python"))
        );
    }

    #[test]
    fn a_missing_and_a_mangled_result_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read(dir.path()), Err(JobError::NoResult)));
        assert!(matches!(outcome_of("{"), Err(JobError::Result { .. })));
        assert!(matches!(
            outcome_of(&" ".repeat(5 * 1024 * 1024)),
            Err(JobError::ReadResult { .. })
        ));
    }

    #[test]
    fn a_link_in_the_place_of_the_result_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        fs_err::write(
            &secret,
            r#"{"failure":null,"buildpacks":[],"release_yaml":"","procfile":null}"#,
        )
        .unwrap();
        std::os::unix::fs::symlink(&secret, dir.path().join("result.json")).unwrap();
        assert!(matches!(read(dir.path()), Err(JobError::ReadResult { .. })));
    }

    #[test]
    fn every_kind_has_the_drivers_name_and_exit_status() {
        let script =
            fs_err::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/driver/lib/result.sh"))
                .unwrap();
        let table = script
            .split("declare -A EXIT_OF=(")
            .nth(1)
            .unwrap()
            .split(')')
            .next()
            .unwrap();
        let written: Vec<(FailureKind, i64)> = table
            .split_whitespace()
            .map(|pair| {
                let (kind, status) = pair.trim_start_matches('[').split_once("]=").unwrap();
                (
                    serde_json::from_value(kind.into()).unwrap(),
                    status.parse().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            written,
            FailureKind::ALL.map(|kind| (kind, kind.exit_status()))
        );
    }
}
