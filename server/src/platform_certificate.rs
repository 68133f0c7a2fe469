//! The certificate in this host's files, put where every router follows it.

use std::sync::Arc;
use std::time::Duration;

use controller::platform_certificate::{Candidate, PublishError, publish};
use model::Secret;
use store::{Keyring, Store};
use tracing::{info, warn};

use crate::config::Config;
use crate::roles;

const RETRY: Duration = Duration::from_secs(10);
/// Files are exchanged by whoever renews them, and a made one is made anew near its end.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// For ever. Routers show what the record has; files of a host that cannot write it are for its own start alone.
pub(crate) async fn keep_published(config: Config, store: Arc<dyn Store>, keyring: Keyring) {
    if !keyring.is_whole() {
        return;
    }
    loop {
        let wait = match publish_files(&config, &*store, &keyring).await {
            Ok(true) => {
                info!("The platform has a new certificate, from this host's files");
                LOOK_EVERY
            }
            Ok(false) => LOOK_EVERY,
            Err(error) => {
                warn!("Could not put this host's certificate on record; will retry: {error:#}");
                match error.downcast_ref::<PublishError>() {
                    Some(PublishError::Store(_)) => RETRY,
                    // It takes somebody to change the files.
                    _ => LOOK_EVERY,
                }
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn publish_files(
    config: &Config,
    store: &dyn Store,
    keyring: &Keyring,
) -> anyhow::Result<bool> {
    let (cert, key) = roles::certificate_files(config)?;
    let chain = fs_err::read_to_string(cert)?;
    let key = Secret::new(fs_err::read_to_string(key)?);
    let candidate = Candidate {
        chain: &chain,
        key: &key,
    };
    Ok(publish(store, keyring, config.domain.as_str(), &candidate).await?)
}
