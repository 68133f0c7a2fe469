//! Apps that change hands.

use reqwest::Method;

use super::{Client, ClientError};
use crate::wire::{AppTransfer, AppTransferCreate, AppTransferUpdate};

impl Client {
    pub async fn app_transfers(&self) -> Result<Vec<AppTransfer>, ClientError> {
        self.get_all(&["account", "app-transfers"]).await
    }

    pub async fn transfer_app(
        &self,
        create: &AppTransferCreate,
    ) -> Result<AppTransfer, ClientError> {
        self.send(Method::POST, &["account", "app-transfers"], create)
            .await
    }

    /// By id, or by the app's name.
    pub async fn decide_transfer(
        &self,
        transfer: &str,
        update: &AppTransferUpdate,
    ) -> Result<AppTransfer, ClientError> {
        self.send(
            Method::PATCH,
            &["account", "app-transfers", transfer],
            update,
        )
        .await
    }

    pub async fn take_transfer_back(&self, transfer: &str) -> Result<AppTransfer, ClientError> {
        self.delete(&["account", "app-transfers", transfer]).await
    }
}
