//! Pipelines, and promotions along them.

use std::collections::HashMap;

use reqwest::Method;

use super::{Client, ClientError};
use crate::wire::{
    AppsFilter, AppsFilterIn, Pipeline, PipelineCoupling, PipelineCouplingCreate,
    PipelineCouplingUpdate, PipelineCreate, PipelinePromotion, PipelinePromotionCreate,
    PipelinePromotionTarget, PipelineTransfer, PipelineTransferCreate, PipelineUpdate, TeamApp,
};

impl Client {
    pub async fn pipelines(&self) -> Result<Vec<Pipeline>, ClientError> {
        self.get_all(&["pipelines"]).await
    }

    /// By name or id.
    pub async fn pipeline(&self, pipeline: &str) -> Result<Pipeline, ClientError> {
        self.get(&["pipelines", pipeline]).await
    }

    pub async fn create_pipeline(&self, create: &PipelineCreate) -> Result<Pipeline, ClientError> {
        self.send(Method::POST, &["pipelines"], create).await
    }

    pub async fn update_pipeline(
        &self,
        pipeline: &str,
        update: &PipelineUpdate,
    ) -> Result<Pipeline, ClientError> {
        self.send(Method::PATCH, &["pipelines", pipeline], update)
            .await
    }

    /// With its apps. The new owner by e-mail address or id.
    pub async fn transfer_pipeline(
        &self,
        create: &PipelineTransferCreate,
    ) -> Result<PipelineTransfer, ClientError> {
        self.send(Method::POST, &["pipeline-transfers"], create)
            .await
    }

    pub async fn destroy_pipeline(&self, pipeline: &str) -> Result<Pipeline, ClientError> {
        self.delete(&["pipelines", pipeline]).await
    }

    pub async fn couplings(&self, pipeline: &str) -> Result<Vec<PipelineCoupling>, ClientError> {
        self.get_all(&["pipelines", pipeline, "pipeline-couplings"])
            .await
    }

    /// Where the app is; an error where it is in no pipeline.
    pub async fn coupling_of(&self, app: &str) -> Result<PipelineCoupling, ClientError> {
        self.get(&["apps", app, "pipeline-couplings"]).await
    }

    pub async fn couple(
        &self,
        create: &PipelineCouplingCreate,
    ) -> Result<PipelineCoupling, ClientError> {
        self.send(Method::POST, &["pipeline-couplings"], create)
            .await
    }

    pub async fn update_coupling(
        &self,
        id: &str,
        update: &PipelineCouplingUpdate,
    ) -> Result<PipelineCoupling, ClientError> {
        self.send(Method::PATCH, &["pipeline-couplings", id], update)
            .await
    }

    pub async fn remove_coupling(&self, id: &str) -> Result<PipelineCoupling, ClientError> {
        self.delete(&["pipeline-couplings", id]).await
    }

    /// The names of the apps with these ids; those one may not see are left out.
    pub async fn app_names(
        &self,
        ids: impl IntoIterator<Item = String>,
    ) -> Result<HashMap<String, String>, ClientError> {
        let id = ids.into_iter().collect();
        let filter = AppsFilter {
            within: AppsFilterIn { id },
        };
        let apps: Vec<TeamApp> = self
            .send(Method::POST, &["filters", "apps"], &filter)
            .await?;
        let named = |app: TeamApp| (app.app.id.to_string(), app.app.name.to_string());
        Ok(apps.into_iter().map(named).collect())
    }

    pub async fn promote(
        &self,
        create: &PipelinePromotionCreate,
    ) -> Result<PipelinePromotion, ClientError> {
        self.send(Method::POST, &["pipeline-promotions"], create)
            .await
    }

    pub async fn promotion_targets(
        &self,
        promotion: &str,
    ) -> Result<Vec<PipelinePromotionTarget>, ClientError> {
        self.get_all(&["pipeline-promotions", promotion, "promotion-targets"])
            .await
    }
}
