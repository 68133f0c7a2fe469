//! Review apps.

use controller_api::wire;
use model::{AppSetup, ReviewApp, ReviewAppConfig, SetupStage};

use super::platform::REGION;

pub(crate) fn config(config: &ReviewAppConfig) -> wire::ReviewAppConfig {
    wire::ReviewAppConfig {
        automatic_review_apps: config.automatic_review_apps,
        base_name: config.base_name.clone(),
        deploy_target: Some(wire::DeployTarget {
            id: REGION.to_owned(),
            kind: "region".to_owned(),
        }),
        destroy_stale_apps: config.destroy_stale_apps,
        pipeline_id: config.pipeline,
        repo: wire::ReviewRepo { id: 0 },
        stale_days: config.stale_days,
        wait_for_ci: config.wait_for_ci,
    }
}

/// A setup that is over is kept for a while only; the app it left is what counts then.
pub(crate) fn review_app(review: &ReviewApp, setup: Option<&AppSetup>) -> wire::ReviewApp {
    let (status, error) = match setup.map(|setup| &setup.stage) {
        None | Some(SetupStage::Succeeded) => ("created", None),
        Some(SetupStage::Failed {
            message,
            manifest_errors,
        }) => {
            let errors = manifest_errors.iter().map(|error| format!("; {error}"));
            (
                "errored",
                Some(message.clone() + &errors.collect::<String>()),
            )
        }
        Some(_) => ("creating", None),
    };
    let updated_at = setup.map_or(review.created_at, |setup| setup.updated_at);
    wire::ReviewApp {
        app: Some(wire::IdRef { id: review.app }),
        app_setup: Some(wire::IdRef { id: review.setup }),
        branch: review.branch.clone(),
        created_at: review.created_at.into(),
        creator: wire::IdRef { id: review.creator },
        error_status: error.clone(),
        fork_repo: review
            .fork_repo_id
            .map(|id| wire::ForkRepo { id: Some(id) }),
        id: review.id,
        message: error,
        pipeline: wire::IdRef {
            id: review.pipeline,
        },
        pr_number: review.pr_number,
        status: status.to_owned(),
        updated_at: updated_at.into(),
        wait_for_ci: false,
    }
}
