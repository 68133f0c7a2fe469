//! The first run of an installation: certificates, keys, the first account. Safe to repeat: what is there stays.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use jiff::Timestamp;
use model::Email;
use provisioning::local_ca::{self, LocalCa};
use serde::Serialize;
use store::Keyring;

use crate::config::Config;
use crate::{identity, storage};

/// What the installer needs to log in; kept in `<data_dir>/first-account.json`, readable by the owner alone.
#[derive(Serialize)]
struct FirstAccount {
    api_url: String,
    email: Email,
    password: String,
    token: String,
    ca_file: Option<PathBuf>,
}

/// Prepares the installation and returns the first account as JSON, whether it was made now or earlier.
pub(crate) fn init(config: &Config, email: Email) -> anyhow::Result<String> {
    fs_err::create_dir_all(&config.data_dir)?;
    let certificate = certificate(config)?;
    let file = config.data_dir.join("first-account.json");
    if file.exists() {
        return Ok(fs_err::read_to_string(&file)?);
    }
    let keyring = Keyring::load_or_create(&config.data_dir.join("master.key"))?;
    let created = tokio::runtime::Runtime::new()?.block_on(async {
        let opened = storage::open_store(config).await?;
        store::migrate::check_ready(&*opened.store).await?;
        identity::ensure(config, &*opened.store, &keyring).await?;
        let created =
            controller::accounts::create_first(&*opened.store, email.clone(), Timestamp::now())
                .await?;
        opened.close().await;
        anyhow::Ok(created)
    })?;
    let created = created.with_context(|| {
        format!(
            "there are accounts already, but {} is gone; log in with one of them",
            file.display()
        )
    })?;
    let account = FirstAccount {
        api_url: format!(
            "https://api.{}{}",
            config.domain,
            port_suffix(config.https_port())
        ),
        email,
        password: created.password.into_exposed(),
        token: created.token.into_exposed(),
        ca_file: certificate.map(|certificate| certificate.ca),
    };
    let text = serde_json::to_string_pretty(&account)?;
    write_private(&file, &text)?;
    Ok(text)
}

/// The local CA and its certificate, unless the configuration names one from elsewhere.
pub(crate) fn certificate(config: &Config) -> anyhow::Result<Option<LocalCa>> {
    if config.router.tls_cert.is_some() {
        return Ok(None);
    }
    local_ca::ensure(
        &config.data_dir.join("tls"),
        &config.domain,
        Timestamp::now(),
    )
    .context("could not make the platform's certificate")
    .map(Some)
}

fn port_suffix(port: u16) -> String {
    if port == 443 {
        String::new()
    } else {
        format!(":{port}")
    }
}

/// Temp file and rename: whole or not there.
pub(crate) fn write_private(path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .with_context(|| format!("could not write {}", temporary.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs_err::rename(&temporary, path)?;
    Ok(())
}
