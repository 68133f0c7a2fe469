//! How a host becomes one of a platform's: it shows a token, and is given an identity, keys and settings.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use controller_api::ClientError;
use controller_api::client::join;
use controller_api::host_tls::IdentityFiles;
use controller_api::join::JoinToken;
use controller_api::wire::{JoinRequest, Joined};
use model::{HostRole, NodeId};
use toml::{Table, Value};

use crate::files::{self, Access};
use crate::identity::{self, IdentityError};

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("the platform did not take this host")]
    Refused(#[from] ClientError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("could not write what the platform gave")]
    Files(#[from] io::Error),
    #[error("the settings that the platform gave cannot be read")]
    Settings(#[source] toml::de::Error),
    #[error("the configuration could not be written down")]
    Configuration(#[source] toml::ser::Error),
}

/// The host, as its operator describes it.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub id: NodeId,
    pub name: String,
    pub address: IpAddr,
    /// All that the token allows when `None`.
    pub roles: Option<BTreeSet<HostRole>>,
    pub zone: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub cpus: u32,
    pub memory_bytes: u64,
    /// What the operator set, in MiB: it holds from then on, whatever the machine has.
    pub memory_limit_mb: Option<u64>,
    pub data_dir: PathBuf,
}

/// Joins, and writes everything `paasd server` needs below the data directory. May be repeated.
///
/// Returns the configuration's file.
pub async fn join_platform(
    token: &JoinToken,
    candidate: &Candidate,
    config: &Path,
) -> Result<Joined, JoinError> {
    let made = identity::request()?;
    let request = JoinRequest {
        address: candidate.address,
        certificate_request: made.request,
        cpus: candidate.cpus,
        id: candidate.id,
        memory_bytes: candidate.memory_bytes,
        name: candidate.name.clone(),
        roles: candidate.roles.clone(),
        secret: token.secret.clone(),
        tags: candidate.tags.clone(),
        zone: candidate.zone.clone(),
    };
    let joined = join::join(token, &request).await?;
    let data = &candidate.data_dir;
    let certificate = match &joined.public_certificate {
        Some(public) => {
            let dir = data.join("tls");
            fs_err::create_dir_all(&dir)?;
            let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
            files::write(&key, public.key.expose(), Access::Owner)?;
            files::write(&cert, &public.certificate, Access::Everybody)?;
            Some((cert, key))
        }
        None => None,
    };
    let text = configuration(&joined, candidate, certificate.as_ref())?;
    files::write(
        &data.join("master.key"),
        joined.keys.expose(),
        Access::Owner,
    )?;
    // It may hold the object store's credentials.
    files::write(config, &text, Access::Owner)?;
    // Last: with it, the host is one.
    identity::keep(
        &IdentityFiles::below(data),
        &made.key,
        &joined.certificate,
        Some(&joined.authority),
    )?;
    Ok(joined)
}

/// What all hosts have in common, and what is this one's own.
fn configuration(
    joined: &Joined,
    candidate: &Candidate,
    certificate: Option<&(PathBuf, PathBuf)>,
) -> Result<String, JoinError> {
    let mut settings: Table =
        toml::from_str(joined.settings.expose()).map_err(JoinError::Settings)?;
    let path = |path: &Path| Value::from(path.to_string_lossy().into_owned());
    settings.insert("data_dir".to_owned(), path(&candidate.data_dir));
    let roles: Vec<_> = joined.roles.iter().map(|role| role.as_str()).collect();
    settings.insert("roles".to_owned(), roles.into());
    let node = section(&mut settings, "node");
    node.insert("name".to_owned(), candidate.name.clone().into());
    node.insert("address".to_owned(), candidate.address.to_string().into());
    if let Some(zone) = &candidate.zone {
        node.insert("zone".to_owned(), zone.clone().into());
    }
    if let Some(mb) = candidate
        .memory_limit_mb
        .and_then(|mb| i64::try_from(mb).ok())
    {
        node.insert("memory_mb".to_owned(), mb.into());
    }
    if !candidate.tags.is_empty() {
        let tags = candidate.tags.clone().into_iter();
        let tags: Table = tags.map(|(name, value)| (name, value.into())).collect();
        node.insert("tags".to_owned(), tags.into());
    }
    if let Some((cert, key)) = certificate {
        let router = section(&mut settings, "router");
        router.insert("tls_cert".to_owned(), path(cert));
        router.insert("tls_key".to_owned(), path(key));
    }
    toml::to_string_pretty(&settings).map_err(JoinError::Configuration)
}

fn section<'a>(settings: &'a mut Table, name: &str) -> &'a mut Table {
    let section = settings
        .entry(name.to_owned())
        .or_insert_with(|| Value::Table(Table::new()));
    if !section.is_table() {
        *section = Value::Table(Table::new());
    }
    match section {
        Value::Table(table) => table,
        _ => unreachable!("it was made a table"),
    }
}
