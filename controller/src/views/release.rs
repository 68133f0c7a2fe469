//! Releases and slugs.

use std::collections::BTreeMap;

use controller_api::wire;
use model::{App, Release, ReleaseStatus, Slug};

use super::platform::stack_named;
use super::{app_ref, user_ref};

pub(crate) fn release(app: &App, release: &Release) -> wire::Release {
    let status = match release.status {
        ReleaseStatus::Pending => wire::ReleaseStatus::Pending,
        ReleaseStatus::Succeeded => wire::ReleaseStatus::Succeeded,
        ReleaseStatus::Failed(_) => wire::ReleaseStatus::Failed,
        ReleaseStatus::Superseded { .. } => wire::ReleaseStatus::Expired,
    };
    wire::Release {
        addon_plan_names: release.addons.plans.iter().cloned().collect(),
        app: app_ref(app),
        artifacts: release
            .slug
            .map(|id| wire::release::Artifact {
                kind: "slug".to_owned(),
                id,
            })
            .into_iter()
            .collect(),
        created_at: release.created_at.into(),
        current: release.version == app.current,
        description: release.description.clone(),
        eligible_for_rollback: is_eligible(release),
        id: release.id,
        output_stream_url: None,
        slug: release.slug.map(|id| wire::IdRef { id }),
        status,
        updated_at: release.updated_at.into(),
        user: user_ref(&release.actor),
        version: release.version.0,
    }
}

/// Only what has a slug and was proven can be gone back to.
pub(crate) const fn is_eligible(release: &Release) -> bool {
    matches!(release.status, ReleaseStatus::Succeeded) && release.slug.is_some()
}

pub(crate) fn slug(slug: &Slug) -> wire::Slug {
    let process_types: BTreeMap<_, _> = slug
        .process_types
        .iter()
        .map(|(name, command)| (name.to_string(), command.clone()))
        .collect();
    wire::Slug {
        // The platform's nodes fetch slugs from the blob store; there is no public address.
        blob: wire::Blob {
            method: "get".to_owned(),
            url: String::new(),
        },
        buildpack_provided_description: slug.language.clone(),
        checksum: Some(format!("SHA256:{}", slug.checksum)),
        commit: slug.commit.clone(),
        commit_description: slug.commit_description.clone(),
        created_at: slug.created_at.into(),
        deleted_at: None,
        id: slug.id,
        process_types,
        size: Some(slug.size),
        stack: stack_named(&slug.stack),
        updated_at: slug.created_at.into(),
    }
}
