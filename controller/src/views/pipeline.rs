//! Pipelines, the apps in them, and promotions.

use controller_api::wire;
use model::{Coupling, Owner, Pipeline, Promotion, PromotionTarget, Release};

use super::{GENERATION, named};
use crate::actions::promotions::Fared;

pub(crate) fn pipeline(pipeline: &Pipeline) -> wire::Pipeline {
    wire::Pipeline {
        created_at: pipeline.created_at.into(),
        generation: named("generation", GENERATION),
        id: pipeline.id,
        name: pipeline.name.clone(),
        owner: owner(pipeline.owner),
        updated_at: pipeline.updated_at.into(),
    }
}

pub(crate) fn owner(owner: Owner) -> wire::PipelineOwner {
    let kind = match owner {
        Owner::Account(_) => "user",
        Owner::Team { .. } => "team",
    };
    wire::PipelineOwner {
        id: owner.as_user(),
        kind: kind.to_owned(),
    }
}

pub(crate) fn coupling(pipeline: &Pipeline, coupling: &Coupling) -> wire::PipelineCoupling {
    wire::PipelineCoupling {
        app: wire::IdRef { id: coupling.app },
        created_at: coupling.created_at.into(),
        id: coupling.id,
        pipeline: wire::PipelineRef {
            id: pipeline.id,
            name: pipeline.name.clone(),
        },
        stage: coupling.stage,
        updated_at: coupling.updated_at.into(),
    }
}

/// `fared`: of each of its targets.
pub(crate) fn promotion(promotion: &Promotion, fared: &[Fared]) -> wire::PipelinePromotion {
    let is_over = !fared.iter().any(|fared| matches!(fared, Fared::Pending(_)));
    wire::PipelinePromotion {
        created_at: promotion.created_at.into(),
        id: promotion.id,
        pipeline: wire::IdRef {
            id: promotion.pipeline,
        },
        source: wire::PromotionSource {
            app: wire::IdRef {
                id: promotion.source,
            },
            release: wire::IdRef {
                id: promotion.release,
            },
        },
        status: match is_over {
            true => wire::PromotionStatus::Completed,
            false => wire::PromotionStatus::Pending,
        },
        updated_at: None,
    }
}

pub(crate) fn target(
    promotion: &Promotion,
    target: &PromotionTarget,
    fared: Fared,
) -> wire::PipelinePromotionTarget {
    let (status, release, error_message) = match fared {
        Fared::Pending(release) => (wire::TargetStatus::Pending, release, None),
        Fared::Succeeded(release) => (wire::TargetStatus::Succeeded, Some(release), None),
        Fared::Failed(release, why) => (wire::TargetStatus::Failed, release, Some(why)),
    };
    wire::PipelinePromotionTarget {
        app: wire::IdRef { id: target.app },
        error_message,
        id: target.id,
        pipeline_promotion: wire::IdRef { id: promotion.id },
        release: release.map(|Release { id, .. }| wire::IdRef { id }),
        status,
    }
}
