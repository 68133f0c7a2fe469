//! Builds that nobody pushed: asked for by a record, which a builder takes up.

use controller_api::wire::{BuildCreate, BuildpackGiven, SourceBlobCreate};
use model::repository::{Archive, ArchivePlace, Code};
use model::{
    Actor, App, AppId, Build, BuildCache, BuildId, BuildSource, BuildStatus, BuildpackRef,
    Checksum, SourceBlob, Timestamp,
};
use store::{Committed, Txn, key};

use super::{ActionError, Attempts, buildpacks, sources};
use crate::context::Context;

/// Builds of one app that have not ended.
const MAX_WAITING: usize = 5;
const MAX_URL: usize = 4096;
const MAX_VERSION: usize = 200;
const MAX_DESCRIPTION: usize = 1000;

pub(crate) async fn create(
    context: &Context,
    app: &App,
    by: &Actor,
    create: &BuildCreate,
) -> Result<Build, ActionError> {
    let archive = Archive {
        buildpacks: given(create.buildpacks.as_deref().unwrap_or_default())?,
        ..archive(context, &create.source_blob).await?
    };
    let place = key::builds_of(app.id);
    let builds = key::BUILDS.list(context.store(), &place).await?;
    let waiting = builds
        .iter()
        .filter(|build| build.value.status.is_pending());
    if waiting.count() >= MAX_WAITING {
        return Err(ActionError::invalid(format!(
            "{MAX_WAITING} builds of {} have not ended; wait for one, or cancel it.",
            app.name
        )));
    }
    let (build, source) = asked(app, by, &create.source_blob, archive);
    let txn = ask(Txn::new().exists(key::app(app.id)), &build, &source);
    match txn.commit(context.store()).await? {
        Committed::Done(_) => Ok(build),
        Committed::Conflict => Err(ActionError::Gone { resource: "app" }),
    }
}

/// A build of this archive, and what a builder needs to know to do it.
pub(crate) fn asked(
    app: &App,
    by: &Actor,
    blob: &SourceBlobCreate,
    archive: Archive,
) -> (Build, BuildSource) {
    let now = Timestamp::now();
    let build = Build {
        id: BuildId::new(),
        app: app.id,
        actor: by.clone(),
        commit: archive.version.clone(),
        source_blob: Some(SourceBlob {
            url: blob.url.clone(),
            checksum: archive.checksum.clone(),
            version_description: blob.version_description.clone(),
        }),
        stack: app.stack.clone(),
        buildpacks: archive.buildpacks.clone(),
        status: BuildStatus::Pending,
        output: None,
        created_at: now,
        updated_at: now,
    };
    let source = BuildSource {
        build: build.id,
        app: app.id,
        code: Code::Archive { archive },
        attempt: 0,
    };
    (build, source)
}

pub(crate) fn ask(txn: Txn, build: &Build, source: &BuildSource) -> Txn {
    let (app, id) = (build.app, build.id);
    txn.create(&key::BUILDS, key::build(app, id), build).create(
        &key::BUILD_SOURCES,
        key::build_source(app, id),
        source,
    )
}

/// Where the code is and what it is, as far as that can be told without looking.
pub(super) async fn archive(
    context: &Context,
    blob: &SourceBlobCreate,
) -> Result<Archive, ActionError> {
    let url = blob.url.trim();
    let place = match sources::of_url(context, url).await? {
        Some(blob) => ArchivePlace::Blob(blob),
        None if is_web_address(url) => ArchivePlace::Url(url.to_owned()),
        None => {
            return Err(ActionError::invalid(
                "The source_blob's url must be one of a source that was uploaded here, or another http or https URL.",
            ));
        }
    };
    let description = blob.version_description.as_deref();
    text("version_description", description, MAX_DESCRIPTION)?;
    Ok(Archive {
        place,
        checksum: blob.checksum.as_deref().map(checksum).transpose()?,
        version: text("version", blob.version.as_deref(), MAX_VERSION)?,
        buildpacks: Vec::new(),
    })
}

/// What is there, the builder sees, and whether it may go there.
fn is_web_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or(url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && url.len() <= MAX_URL
        && !url.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn checksum(text: &str) -> Result<Checksum, ActionError> {
    let digest = text
        .split_once(':')
        .filter(|(kind, _)| kind.eq_ignore_ascii_case("sha256"))
        .and_then(|(_, digest)| digest.to_ascii_lowercase().parse().ok());
    digest.ok_or_else(|| {
        ActionError::invalid("The checksum must be SHA256: and 64 hexadecimal digits.")
    })
}

fn text(name: &str, given: Option<&str>, max: usize) -> Result<Option<String>, ActionError> {
    let given = given.map(str::trim).filter(|text| !text.is_empty());
    let ok = given
        .is_none_or(|text| text.len() <= max && !text.chars().any(|c| c.is_control() && c != '\n'));
    if !ok || (name == "version" && given.is_some_and(|text| text.contains('\n'))) {
        return Err(ActionError::invalid(format!(
            "The {name} must be text of at most {max} characters."
        )));
    }
    Ok(given.map(str::to_owned))
}

pub(super) fn given(buildpacks: &[BuildpackGiven]) -> Result<Vec<BuildpackRef>, ActionError> {
    let texts = buildpacks.iter().map(|pack| {
        let given = pack.url.as_deref().or(pack.name.as_deref());
        given.unwrap_or_default()
    });
    buildpacks::parse_all(texts)
}

/// The build is over with this commit; its builder sees it and stops.
pub(crate) async fn cancel(
    context: &Context,
    app: AppId,
    build: BuildId,
    by: &Actor,
) -> Result<Build, ActionError> {
    let place = key::build(app, build);
    let mut attempts = Attempts::default();
    loop {
        let seen = key::BUILDS.get(context.store(), &place).await?;
        let seen = seen.ok_or(ActionError::NotFound {
            resource: "build",
            message: "Couldn't find that build.".to_owned(),
        })?;
        if !seen.value.status.is_pending() {
            return Err(ActionError::invalid(
                "The build has ended already; to undo a release, roll back.",
            ));
        }
        let cancelled = Build {
            status: BuildStatus::Failed {
                reason: format!("Cancelled by {}", by.email),
            },
            updated_at: Timestamp::now(),
            ..seen.value.clone()
        };
        let txn = Txn::new()
            .replace(&key::BUILDS, &seen, &cancelled)
            .delete(key::build_source(app, build));
        if let Committed::Done(_) = txn.commit(context.store()).await? {
            context.tell(app, by, "Build cancelled").await;
            return Ok(cancelled);
        }
        attempts.lost().await?;
    }
}

/// The next build begins with an empty cache, wherever it runs.
pub(crate) async fn purge_cache(
    context: &Context,
    app: AppId,
    by: &Actor,
) -> Result<(), ActionError> {
    let empty = bytes::Bytes::from_static(&BuildCache::EMPTY);
    let size = empty.len() as u64;
    let blob = context.blobs.put_bytes(empty).await;
    let cache = BuildCache {
        app,
        checksum: blob.map_err(ActionError::internal)?,
        size,
        updated_at: Timestamp::now(),
    };
    let txn =
        Txn::new()
            .exists(key::app(app))
            .put(&key::BUILD_CACHES, key::build_cache(app), &cache);
    match txn.commit(context.store()).await? {
        Committed::Done(_) => {
            context.tell(app, by, "Build cache purged").await;
            Ok(())
        }
        Committed::Conflict => Err(ActionError::Gone { resource: "app" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_of_the_one_kind_we_check() {
        let digest = "AB".repeat(32);
        let parsed = checksum(&format!("SHA256:{digest}")).unwrap();
        assert_eq!(parsed.as_str(), "ab".repeat(32));
        for bad in ["", &digest, "MD5:0123", "SHA256:", "SHA256:xyz"] {
            assert!(checksum(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn web_addresses_have_a_scheme_and_a_host() {
        assert!(is_web_address("https://example.com/x.tgz?token=1"));
        for bad in [
            "",
            "https://",
            "http:///x",
            "file:///x",
            "ftp://x/y",
            "https://a b",
        ] {
            assert!(!is_web_address(bad), "{bad}");
        }
    }

    #[test]
    fn versions_are_one_line_and_descriptions_may_be_more() {
        assert_eq!(
            text("version", Some(" v1 "), 9).unwrap().as_deref(),
            Some("v1")
        );
        assert_eq!(text("version", Some(""), 9).unwrap(), None);
        assert!(text("version", Some("a\nb"), 9).is_err());
        assert!(text("version", Some("0123456789"), 9).is_err());
        assert!(text("version_description", Some("a\nb"), 9).is_ok());
    }
}
