//! Add-ons, who provides them, and the apps they are attached to.

use reqwest::Method;
use serde_json::Value;

use super::{Client, ClientError};
use crate::wire::{
    Addon, AddonAttachment, AddonAttachmentCreate, AddonAttachmentResolve, AddonCreate,
    AddonDestroy, AddonResolve, AddonService, AddonUpdate, Plan,
};

impl Client {
    pub async fn addon_services(&self) -> Result<Vec<AddonService>, ClientError> {
        self.get_all(&["addon-services"]).await
    }

    pub async fn addon_service(&self, service: &str) -> Result<AddonService, ClientError> {
        self.get(&["addon-services", service]).await
    }

    /// `manifest`: as the Add-on Partner API has it.
    pub async fn add_addon_service(&self, manifest: &Value) -> Result<AddonService, ClientError> {
        self.send(Method::POST, &["addon-services"], manifest).await
    }

    pub async fn replace_addon_service(
        &self,
        service: &str,
        manifest: &Value,
    ) -> Result<AddonService, ClientError> {
        self.send(Method::PUT, &["addon-services", service], manifest)
            .await
    }

    /// With force: though its provider did not take all away that it was told to.
    pub async fn remove_addon_service(
        &self,
        service: &str,
        destroy: &AddonDestroy,
    ) -> Result<AddonService, ClientError> {
        self.send(Method::DELETE, &["addon-services", service], destroy)
            .await
    }

    pub async fn plans(&self, service: &str) -> Result<Vec<Plan>, ClientError> {
        self.get_all(&["addon-services", service, "plans"]).await
    }

    pub async fn all_addons(&self) -> Result<Vec<Addon>, ClientError> {
        self.get_all(&["addons"]).await
    }

    pub async fn addons(&self, app: &str) -> Result<Vec<Addon>, ClientError> {
        self.get_all(&["apps", app, "addons"]).await
    }

    pub async fn addon(&self, app: &str, addon: &str) -> Result<Addon, ClientError> {
        self.get(&["apps", app, "addons", addon]).await
    }

    pub async fn create_addon(
        &self,
        app: &str,
        create: &AddonCreate,
    ) -> Result<Addon, ClientError> {
        self.send(Method::POST, &["apps", app, "addons"], create)
            .await
    }

    pub async fn update_addon(
        &self,
        app: &str,
        addon: &str,
        update: &AddonUpdate,
    ) -> Result<Addon, ClientError> {
        self.send(Method::PATCH, &["apps", app, "addons", addon], update)
            .await
    }

    pub async fn destroy_addon(
        &self,
        app: &str,
        addon: &str,
        destroy: &AddonDestroy,
    ) -> Result<Addon, ClientError> {
        self.send(Method::DELETE, &["apps", app, "addons", addon], destroy)
            .await
    }

    /// All that somebody may mean by a name: none, one or several.
    pub async fn resolve_addons(&self, resolve: &AddonResolve) -> Result<Vec<Addon>, ClientError> {
        self.send(Method::POST, &["actions", "addons", "resolve"], resolve)
            .await
    }

    pub async fn all_attachments(&self) -> Result<Vec<AddonAttachment>, ClientError> {
        self.get_all(&["addon-attachments"]).await
    }

    pub async fn attachments(&self, app: &str) -> Result<Vec<AddonAttachment>, ClientError> {
        self.get_all(&["apps", app, "addon-attachments"]).await
    }

    pub async fn attachments_of_addon(
        &self,
        addon: &str,
    ) -> Result<Vec<AddonAttachment>, ClientError> {
        self.get_all(&["addons", addon, "addon-attachments"]).await
    }

    pub async fn attachment(
        &self,
        app: &str,
        attachment: &str,
    ) -> Result<AddonAttachment, ClientError> {
        self.get(&["apps", app, "addon-attachments", attachment])
            .await
    }

    pub async fn attach(
        &self,
        create: &AddonAttachmentCreate,
    ) -> Result<AddonAttachment, ClientError> {
        self.send(Method::POST, &["addon-attachments"], create)
            .await
    }

    /// By id.
    pub async fn detach(&self, attachment: &str) -> Result<AddonAttachment, ClientError> {
        self.delete(&["addon-attachments", attachment]).await
    }

    pub async fn resolve_attachments(
        &self,
        resolve: &AddonAttachmentResolve,
    ) -> Result<Vec<AddonAttachment>, ClientError> {
        let path = &["actions", "addon-attachments", "resolve"];
        self.send(Method::POST, path, resolve).await
    }
}
