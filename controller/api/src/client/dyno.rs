//! Formations and dynos.

use reqwest::Method;

use super::{Client, ClientError};
use crate::wire::{
    Dyno, DynoCreate, Empty, Formation, FormationBatch, FormationChange, FormationUpdate,
    InsideCreate,
};

impl Client {
    pub async fn formation(&self, app: &str) -> Result<Vec<Formation>, ClientError> {
        self.get_all(&["apps", app, "formation"]).await
    }

    /// Answers the formations that were named.
    pub async fn scale(
        &self,
        app: &str,
        updates: Vec<FormationUpdate>,
    ) -> Result<Vec<Formation>, ClientError> {
        self.send(
            Method::PATCH,
            &["apps", app, "formation"],
            &FormationBatch {
                updates,
                ahead: false,
            },
        )
        .await
    }

    /// Of an app without code: what its first release is to find.
    pub async fn scale_ahead(
        &self,
        app: &str,
        updates: Vec<FormationUpdate>,
    ) -> Result<Vec<Formation>, ClientError> {
        self.send(
            Method::PATCH,
            &["apps", app, "formation"],
            &FormationBatch {
                updates,
                ahead: true,
            },
        )
        .await
    }

    pub async fn scale_type(
        &self,
        app: &str,
        process_type: &str,
        change: &FormationChange,
    ) -> Result<Formation, ClientError> {
        self.send(
            Method::PATCH,
            &["apps", app, "formation", process_type],
            change,
        )
        .await
    }

    pub async fn dynos(&self, app: &str) -> Result<Vec<Dyno>, ClientError> {
        self.get_all(&["apps", app, "dynos"]).await
    }

    /// By name or id.
    pub async fn dyno(&self, app: &str, dyno: &str) -> Result<Dyno, ClientError> {
        self.get(&["apps", app, "dynos", dyno]).await
    }

    /// Starts a one-off dyno.
    pub async fn run(&self, app: &str, create: &DynoCreate) -> Result<Dyno, ClientError> {
        self.send(Method::POST, &["apps", app, "dynos"], create)
            .await
    }

    /// Starts a command inside a dyno that is up: by name or id.
    pub async fn run_inside(
        &self,
        app: &str,
        dyno: &str,
        create: &InsideCreate,
    ) -> Result<Dyno, ClientError> {
        self.send(Method::POST, &["apps", app, "dynos", dyno], create)
            .await
    }

    pub async fn restart_all(&self, app: &str) -> Result<Empty, ClientError> {
        self.delete(&["apps", app, "dynos"]).await
    }

    pub async fn restart_type(&self, app: &str, process_type: &str) -> Result<Empty, ClientError> {
        self.delete(&["apps", app, "formations", process_type])
            .await
    }

    pub async fn restart_dyno(&self, app: &str, dyno: &str) -> Result<Empty, ClientError> {
        self.delete(&["apps", app, "dynos", dyno]).await
    }

    pub async fn stop_dyno(&self, app: &str, dyno: &str) -> Result<Empty, ClientError> {
        self.send(
            Method::POST,
            &["apps", app, "dynos", dyno, "actions", "stop"],
            &Empty {},
        )
        .await
    }

    pub async fn stop_type(&self, app: &str, process_type: &str) -> Result<Empty, ClientError> {
        self.send(
            Method::POST,
            &["apps", app, "formations", process_type, "actions", "stop"],
            &Empty {},
        )
        .await
    }
}
