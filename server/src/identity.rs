//! Who this host is: an id made once and kept in the data directory, and the certificate that proves it to others.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use controller::authority::{Authority, Subject};
use controller_api::host_tls::{HostTls, IdentityFiles};
use jiff::Timestamp;
use model::{NodeId, RouterId, ServiceRole};
use provisioning::identity::{self as files, Host, Standing};
use store::{Keyring, Store, key};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::config::Config;
use crate::storage::OpenStore;

const RETRY_RENEWAL: Duration = Duration::from_secs(300);
/// However far the renewal is, a clock that was set is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Written whole or not at all, so that a crash cannot leave half an id.
pub(crate) fn node_id(data_dir: &Path) -> anyhow::Result<NodeId> {
    let path = data_dir.join("node.id");
    if !path.exists() {
        fs_err::create_dir_all(data_dir)?;
        let temporary = data_dir.join("node.id.new");
        fs_err::write(&temporary, format!("{}\n", NodeId::new()))?;
        fs_err::rename(&temporary, &path)?;
    }
    let text = fs_err::read_to_string(&path)?;
    text.trim().parse().with_context(|| {
        format!(
            "{} does not hold an id; remove it to get a new one",
            path.display()
        )
    })
}

/// The host's router has the host's id: a restarted router takes over its own report at once. Where one process hands
/// over to another, both are routers for a while, and each has its own report: `turn` counts them.
pub(crate) fn router_id(node: NodeId, turn: u32) -> RouterId {
    let id = node.as_uuid().as_u128();
    RouterId::from_uuid(Uuid::from_u128(id ^ u128::from(turn)))
}

pub(crate) fn host(config: &Config) -> anyhow::Result<Host> {
    Ok(Host {
        node: node_id(&config.data_dir)?,
        address: config.node.address,
        roles: config.roles.clone(),
    })
}

/// For the first host of a platform on an etcd of its own: etcd cannot start without certificates, and the authority cannot
/// be put into the store before etcd has started. It waits in a file until then.
pub(crate) fn make_first(config: &Config) -> anyhow::Result<()> {
    let (host, place) = (host(config)?, IdentityFiles::below(&config.data_dir));
    let now = Timestamp::now();
    match files::standing(&place, &host, now)? {
        Standing::Good { .. } => return Ok(()),
        Standing::None => {}
        // Made for itself alone, and not in a store yet: it may be made anew.
        _ if waiting_authority(&config.data_dir)?.is_some() => {}
        Standing::Expired | Standing::Differs => bail!(
            "this host has a certificate of a platform already, which has expired or is for another address or other \
             roles. A paasd that starts on that platform's store makes it anew; a host that joined is joined again with a token"
        ),
    }
    let authority = match waiting_authority(&config.data_dir)? {
        Some(waiting) => waiting,
        None => Authority::generate(now)?,
    };
    if let Some(dir) = place.host.parent() {
        fs_err::create_dir_all(dir)?;
    }
    let text = serde_json::to_string(&authority)?;
    crate::init::write_private(&waiting_file(&config.data_dir), &text)?;
    issue(config, &authority, &host, &place)
}

/// The host's identity, made or made anew where that is this host's to do.
pub(crate) async fn ensure(
    config: &Config,
    store: &dyn Store,
    keyring: &Keyring,
) -> anyhow::Result<Arc<HostTls>> {
    let (host, place) = (host(config)?, IdentityFiles::below(&config.data_dir));
    if let Some(waiting) = waiting_authority(&config.data_dir)? {
        let ours = waiting.certificate.clone();
        let adopted = waiting.adopt(store, keyring).await?;
        if adopted.certificate != ours {
            bail!(
                "the platform in this store has another authority than this host made for itself. Remove {} and join \
                 this host with a token (`paas nodes:token`, `paasd join`)",
                place.host.with_file_name("").display()
            );
        }
        fs_err::remove_file(waiting_file(&config.data_dir))?;
    }
    if !keyring.is_whole() && is_forgotten(&host, store).await {
        bail!(
            "this host was removed from the platform. Join it again with a token (`paas nodes:token`, `paasd join`)"
        );
    }
    match files::standing(&place, &host, Timestamp::now())? {
        Standing::Good { .. } => {}
        _ if keyring.is_whole() => {
            issue(config, &authority(store, keyring).await?, &host, &place)?;
        }
        bad => return Err(refusal(&bad)),
    }
    Ok(Arc::new(HostTls::load(place)?))
}

/// Whether this host's certificate will do, as far as that can be told without the store.
pub(crate) fn check(config: &Config, keyring: &Keyring) -> anyhow::Result<()> {
    let (host, place) = (host(config)?, IdentityFiles::below(&config.data_dir));
    match files::standing(&place, &host, Timestamp::now())? {
        Standing::Good { .. } => Ok(()),
        _ if keyring.is_whole() => Ok(()),
        bad => Err(refusal(&bad)),
    }
}

/// Of one that this host cannot make itself.
fn refusal(bad: &Standing) -> anyhow::Error {
    let (what, roles) = match bad {
        Standing::Expired => (
            "this host's certificate has expired: it was away, or without a controller, for too long. Join it again with a token",
            "",
        ),
        Standing::Differs => (
            "the roles or the address in the configuration are not those that this host joined with. Join it again with a \
             token for them",
            " --roles …",
        ),
        _ => ("this host has no certificate: join it with a token", ""),
    };
    anyhow!("{what} (`paas nodes:token{roles}`, `paasd join`)")
}

/// Without a store nobody knows: dynos and routes of a host are to come back without one.
async fn is_forgotten(host: &Host, store: &dyn Store) -> bool {
    match key::NODES.get(store, &key::node(host.node)).await {
        Ok(record) => record.is_none(),
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not ask whether this host is still one of the platform's"
            );
            false
        }
    }
}

/// The platform's, which whoever comes first makes.
async fn authority(store: &dyn Store, keyring: &Keyring) -> anyhow::Result<Authority> {
    let found = Authority::load(store, keyring).await.context(
        "could not read the platform's authority: is master.key the one of this platform?",
    )?;
    match found {
        Some(authority) => Ok(authority),
        None => Ok(Authority::generate(Timestamp::now())?
            .adopt(store, keyring)
            .await?),
    }
}

fn issue(
    config: &Config,
    authority: &Authority,
    host: &Host,
    place: &IdentityFiles,
) -> anyhow::Result<()> {
    let made = files::request()?;
    let subject = Subject {
        node: host.node,
        address: host.address,
        roles: &host.roles,
    };
    let certificate = authority.issue(
        &made.request,
        &subject,
        Timestamp::now(),
        config.certificate_lifetime(),
    )?;
    files::keep(place, &made.key, &certificate, Some(&authority.certificate))?;
    info!(roles = ?host.roles, "This host has a new certificate");
    Ok(())
}

/// Renews the certificate for ever, and has everybody here use the new one.
pub(crate) async fn keep_renewed(
    config: Config,
    tls: Arc<HostTls>,
    store: OpenStore,
    keyring: Keyring,
    shutdown: CancellationToken,
) {
    loop {
        let wait = match renew_if_due(&config, &tls, &store, &keyring).await {
            Ok(wait) => wait,
            Err(error) => {
                warn!("Could not renew this host's certificate; will retry: {error:#}");
                RETRY_RENEWAL
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// How long to wait before the next look.
async fn renew_if_due(
    config: &Config,
    tls: &HostTls,
    opened: &OpenStore,
    keyring: &Keyring,
) -> anyhow::Result<Duration> {
    let (host, now) = (host(config)?, Timestamp::now());
    if let Standing::Good { renew_at } = files::standing(tls.files(), &host, now)?
        && now < renew_at
    {
        let left = Duration::try_from(renew_at.duration_since(now)).unwrap_or_default();
        return Ok(left.min(LOOK_EVERY));
    }
    if keyring.is_whole() {
        let authority = authority(&*opened.store, keyring).await?;
        issue(config, &authority, &host, tls.files())?;
    } else {
        let made = files::request()?;
        let controllers = key::ALIVE_SERVICES
            .list(
                &*opened.store,
                &key::alive_services_of(ServiceRole::Controller),
            )
            .await?;
        let controllers: Vec<_> = controllers.iter().map(|seen| seen.value.addr).collect();
        let certificate = controller_api::client::join::renew(
            &controllers,
            keyring.internal_token(),
            tls,
            made.request,
        )
        .await?;
        files::keep(tls.files(), &made.key, &certificate, None)?;
        info!("A controller renewed this host's certificate");
    }
    tls.reload()?;
    opened.reconnect().await?;
    Ok(Duration::from_secs(1))
}

fn waiting_file(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("identity/authority.json")
}

fn waiting_authority(data_dir: &Path) -> anyhow::Result<Option<Authority>> {
    let file = waiting_file(data_dir);
    if !file.exists() {
        return Ok(None);
    }
    let text = fs_err::read_to_string(&file)?;
    serde_json::from_str(&text)
        .map(Some)
        .with_context(|| format!("{} cannot be read", file.display()))
}
