//! The audit log.

use super::{Client, ClientError};
use crate::wire::{AuditChain, AuditEntry};

impl Client {
    /// The newest so many, newest first: of one app, or of the platform.
    pub async fn audit_entries(
        &self,
        app: Option<&str>,
        count: u32,
    ) -> Result<Vec<AuditEntry>, ClientError> {
        let range = format!("id ..; max={count}, order=desc");
        match app {
            Some(app) => self.get_page(&["apps", app, "audit-entries"], &range).await,
            None => self.get_page(&["audit-entries"], &range).await,
        }
    }

    pub async fn audit_chain(&self) -> Result<AuditChain, ClientError> {
        self.get(&["audit-chain"]).await
    }
}
