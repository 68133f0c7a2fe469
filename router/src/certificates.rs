//! Which certificate is for which name: exact names, then wildcards of one label, then the platform's own.
//!
//! Looking up is hashing once or twice, however many there are. A certificate's key is opened and read when it is first
//! asked for, so that ten thousand of them cost a start nothing.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use model::{Challenge, EndpointId};
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;

use crate::fault::Fault;
use crate::tls::Manner;

/// Whose certificate it is, whatever it was renewed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Platform,
    Endpoint(EndpointId),
}

/// Opens the key and makes it ready for use; `None`, said in the log, if it cannot be.
pub(crate) type Make = Box<dyn Fn() -> Option<Manner> + Send + Sync>;

pub(crate) struct Certificate {
    owner: Owner,
    make: Make,
    made: OnceLock<Option<Arc<Manner>>>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    pub(crate) fn new(owner: Owner, make: Make) -> Self {
        Self {
            owner,
            make,
            made: OnceLock::new(),
        }
    }

    pub(crate) fn manner(&self) -> Option<&Arc<Manner>> {
        self.made
            .get_or_init(|| (self.make)().map(Arc::new))
            .as_ref()
    }

    /// Whether a client that was shown it may, by its names, ask for `host` on the same connection.
    fn covers(&self, host: &str) -> bool {
        let (Some(manner), Ok(name)) = (self.manner(), ServerName::try_from(host)) else {
            return false;
        };
        ParsedCertificate::try_from(&manner.leaf)
            .is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }
}

/// One that can be shown.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) certificate: Arc<Certificate>,
    pub(crate) manner: Arc<Manner>,
}

impl Ready {
    /// The platform's, as a host's configuration has it.
    pub(crate) fn configured(manner: Manner) -> Self {
        let manner = Arc::new(manner);
        let certificate = Certificate {
            owner: Owner::Platform,
            make: Box::new(|| None),
            made: OnceLock::from(Some(manner.clone())),
        };
        Self {
            certificate: Arc::new(certificate),
            manner,
        }
    }
}

/// All of them at one moment. Never changed, only replaced whole.
#[derive(Debug)]
pub(crate) struct Certificates {
    exact: HashMap<Box<str>, Arc<Certificate>>,
    /// By what follows the `*.`.
    wildcard: HashMap<Box<str>, Arc<Certificate>>,
    platform: Arc<Certificate>,
    last_resort: Ready,
    challenges: Arc<HashMap<Box<str>, Challenge>>,
}

impl Certificates {
    pub(crate) fn only(configured: Ready) -> Self {
        Self::new(configured.certificate.clone(), configured, Arc::default())
    }

    /// `challenges` by their tokens.
    pub(crate) fn new(
        platform: Arc<Certificate>,
        last_resort: Ready,
        challenges: Arc<HashMap<Box<str>, Challenge>>,
    ) -> Self {
        Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            platform,
            last_resort,
            challenges,
        }
    }

    /// The last one given for a name has it.
    pub(crate) fn give(&mut self, host: &str, certificate: &Arc<Certificate>) {
        let (names, name) = match host.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcard, parent),
            None => (&mut self.exact, host),
        };
        names.insert(name.into(), certificate.clone());
    }

    /// `host` in lower case.
    fn find(&self, host: &str) -> &Arc<Certificate> {
        let wildcard = || {
            let (label, parent) = host.split_once('.')?;
            (!label.is_empty()).then(|| self.wildcard.get(parent))?
        };
        let found = self.exact.get(host).or_else(wildcard);
        found.unwrap_or(&self.platform)
    }

    /// For a client that asks for `name`. What cannot be used is no reason to show nothing.
    pub(crate) fn choose(&self, name: Option<&str>) -> Ready {
        let best = name.map_or(&self.platform, |name| self.find(name));
        for certificate in [best, &self.platform] {
            if let Some(manner) = certificate.manner() {
                return Ready {
                    certificate: certificate.clone(),
                    manner: manner.clone(),
                };
            }
        }
        self.last_resort.clone()
    }

    /// What to answer an authority that asks whether `host` is ours, if it is one of ours that asked for that.
    pub(crate) fn challenge(&self, host: &str, token: &str) -> Option<&str> {
        let challenge = self.challenges.get(token)?;
        (challenge.hostname.as_str() == host).then_some(&*challenge.answer)
    }
}

/// What a client was shown when its connection was made.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The name it asked for.
    pub(crate) name: Option<Box<str>>,
    pub(crate) certificate: Arc<Certificate>,
}

impl Shown {
    /// Why a request for `host` does not belong on this connection, if it does not: the client asked for another name, what it
    /// was shown is not for this one, and on a connection of its own it would be shown something else. `is_known`: somebody
    /// has the host.
    ///
    /// A client that named nobody has been promised nothing, and one that would be shown the same again has nothing to gain
    /// from being sent away.
    pub(crate) fn misdirection(
        &self,
        host: &str,
        is_known: bool,
        current: &Certificates,
    ) -> Option<Fault> {
        let name = self.name.as_deref()?;
        if name == host
            || current.find(host).owner == self.certificate.owner
            || self.certificate.covers(host)
        {
            return None;
        }
        Some(match is_known {
            true => Fault::OtherCertificate,
            false => Fault::Misdirected,
        })
    }
}

#[cfg(test)]
mod tests;
