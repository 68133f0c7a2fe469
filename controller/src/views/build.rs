//! Builds and buildpacks.

use controller_api::wire;
use model::{Build, BuildStatus, BuildpackRef, ReleaseId};

use super::{GENERATION, user_ref};

pub(crate) fn build(
    build: &Build,
    release: Option<ReleaseId>,
    output_stream_url: String,
) -> wire::Build {
    let (status, slug) = match &build.status {
        BuildStatus::Pending => ("pending", None),
        BuildStatus::Succeeded { slug, .. } => ("succeeded", Some(wire::IdRef { id: *slug })),
        BuildStatus::Failed { .. } => ("failed", None),
    };
    let blob = build.source_blob.as_ref();
    wire::Build {
        app: wire::AppIdRef { id: build.app },
        buildpacks: Some(build.buildpacks.iter().map(buildpack).collect()),
        created_at: build.created_at.into(),
        generation: GENERATION.to_owned(),
        id: build.id,
        output_stream_url,
        release: release.map(|id| wire::IdRef { id }),
        slug,
        source_blob: wire::SourceBlob {
            checksum: blob
                .and_then(|blob| blob.checksum.as_ref())
                .map(|checksum| format!("SHA256:{checksum}")),
            // What came by git has no blob that could be fetched.
            url: blob.map(|blob| blob.url.clone()).unwrap_or_default(),
            version: build.commit.clone(),
            version_description: blob.and_then(|blob| blob.version_description.clone()),
        },
        stack: build.stack.clone(),
        status: status.to_owned(),
        updated_at: build.updated_at.into(),
        user: user_ref(&build.actor),
    }
}

pub(crate) fn buildpack_installations(
    buildpacks: &[BuildpackRef],
) -> Vec<wire::BuildpackInstallation> {
    let numbered = (0u32..).zip(buildpacks);
    numbered
        .map(|(ordinal, reference)| wire::BuildpackInstallation {
            buildpack: buildpack(reference),
            ordinal,
        })
        .collect()
}

fn buildpack(reference: &BuildpackRef) -> wire::BuildpackName {
    let BuildpackRef(text) = reference;
    // Clients cut the prefix off again for display.
    let url = if text.contains("://") {
        text.clone()
    } else {
        format!("urn:buildpack:{text}")
    };
    wire::BuildpackName {
        url,
        name: text.clone(),
    }
}
