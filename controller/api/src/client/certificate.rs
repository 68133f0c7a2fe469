//! Certificates: apps', and the platform's.

use reqwest::Method;

use super::{Client, ClientError};
use crate::wire::{App, CertificateUpload, PlatformCertificate, SniEndpoint};

impl Client {
    pub async fn sni_endpoints(&self, app: &str) -> Result<Vec<SniEndpoint>, ClientError> {
        self.get_all(&["apps", app, "sni-endpoints"]).await
    }

    /// By id or name.
    pub async fn sni_endpoint(&self, app: &str, name: &str) -> Result<SniEndpoint, ClientError> {
        self.get(&["apps", app, "sni-endpoints", name]).await
    }

    pub async fn add_certificate(
        &self,
        app: &str,
        upload: &CertificateUpload,
    ) -> Result<SniEndpoint, ClientError> {
        self.send(Method::POST, &["apps", app, "sni-endpoints"], upload)
            .await
    }

    pub async fn update_certificate(
        &self,
        app: &str,
        name: &str,
        upload: &CertificateUpload,
    ) -> Result<SniEndpoint, ClientError> {
        let path = ["apps", app, "sni-endpoints", name];
        self.send(Method::PATCH, &path, upload).await
    }

    pub async fn remove_certificate(
        &self,
        app: &str,
        name: &str,
    ) -> Result<SniEndpoint, ClientError> {
        self.delete(&["apps", app, "sni-endpoints", name]).await
    }

    /// Has the platform get certificates for the app's domains.
    pub async fn enable_acm(&self, app: &str) -> Result<App, ClientError> {
        let nothing = serde_json::json!({});
        self.send(Method::POST, &["apps", app, "acm"], &nothing)
            .await
    }

    /// Has what failed tried anew.
    pub async fn refresh_acm(&self, app: &str) -> Result<App, ClientError> {
        let nothing = serde_json::json!({});
        self.send(Method::PATCH, &["apps", app, "acm"], &nothing)
            .await
    }

    pub async fn disable_acm(&self, app: &str) -> Result<App, ClientError> {
        self.delete(&["apps", app, "acm"]).await
    }

    /// For administrators, as is [`Client::set_platform_certificate`].
    pub async fn platform_certificate(&self) -> Result<PlatformCertificate, ClientError> {
        self.get(&["platform", "certificate"]).await
    }

    pub async fn set_platform_certificate(
        &self,
        upload: &CertificateUpload,
    ) -> Result<PlatformCertificate, ClientError> {
        self.send(Method::PUT, &["platform", "certificate"], upload)
            .await
    }
}
