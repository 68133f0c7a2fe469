//! Letting somebody in again, by whoever owns the host: for when no administrator can.

use controller::accounts::{self, Recovery};

use crate::config::Config;
use crate::storage;

/// The new password, in words.
pub(crate) fn recover(config: &Config, recovery: &Recovery) -> anyhow::Result<String> {
    let recovered = tokio::runtime::Runtime::new()?.block_on(async {
        let opened = storage::open_store(config).await?;
        store::migrate::check_ready(&*opened.store).await?;
        let recovered = accounts::recover(&*opened.store, recovery).await;
        opened.close().await;
        anyhow::Ok(recovered?)
    })?;
    Ok(format!(
        "Password of {}: {}\nIt is not shown again, and lets in without a code. Every token of the account is revoked; its SSH keys are not.",
        recovered.account.email,
        recovered.password.expose()
    ))
}
