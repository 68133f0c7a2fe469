//! What all drains go out by: the rules about addresses, whom TLS trusts, and one HTTP client. Made when first needed: the
//! system's roots are megabytes that a platform without such drains does not hold.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use controller_api::tls::TlsError;
use rustls::ClientConfig;
use tokio::sync::OnceCell;

use crate::config::DrainsConfig;
use crate::outbound::Outbound;

/// What receivers of Heroku's logs look for.
const USER_AGENT: &str = concat!("Logplex/v", env!("CARGO_PKG_VERSION"));
const IDLE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("TLS could not be set up")]
    Tls(#[from] TlsError),
    #[error("HTTP could not be set up")]
    Http(#[source] reqwest::Error),
}

#[derive(Debug)]
pub(super) struct Network {
    pub(super) outbound: Outbound,
    ca: Option<String>,
    tls: OnceCell<Arc<ClientConfig>>,
    http: OnceCell<reqwest::Client>,
}

impl Network {
    pub(super) fn new(config: DrainsConfig) -> Self {
        Self {
            outbound: Outbound::new(&config.allow_networks),
            ca: config.ca,
            tls: OnceCell::new(),
            http: OnceCell::new(),
        }
    }

    pub(super) async fn tls(&self) -> Result<Arc<ClientConfig>, SetupError> {
        let make = async || {
            let config = controller_api::tls::client_config(self.ca.as_deref())?;
            Ok(Arc::new(config))
        };
        self.tls.get_or_try_init(make).await.cloned()
    }

    pub(super) async fn http(&self) -> Result<&reqwest::Client, SetupError> {
        let make = async || {
            let tls = ClientConfig::clone(&*self.tls().await?);
            self.outbound
                .http()
                .user_agent(USER_AGENT)
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(1)
                .tls_backend_preconfigured(tls)
                .build()
                .map_err(SetupError::Http)
        };
        self.http.get_or_try_init(make).await
    }
}

/// What was wrong with the other side's certificate, if that is at the bottom of an error.
pub(super) fn certificate_trouble(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
            return Some(why.to_string());
        }
        // An I/O error tells of what is below the one within it, but not of that one.
        let within = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = match within {
            Some(within) => Some(within),
            None => error.source(),
        };
    }
    None
}
