//! The store's records of certificates, challenges and ticket keys, and what is made of them.
//!
//! A record that cannot be read or used hurts only its own names: the platform's certificate is shown for them.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Challenge, EndpointId, Hostname, Sealed, Secret, TicketKey, Timestamp};
use store::{Entry, Event, Key, Keyring, StoreError, key};
use tracing::error;

use crate::certificates::{Certificate, Certificates, Owner};
use crate::tls::Tls;

#[derive(Debug)]
pub(crate) struct CertificateRecords {
    tls: Arc<Tls>,
    keyring: Option<Arc<Keyring>>,
    endpoints: HashMap<Key, Endpoint>,
    platform: Option<Arc<Certificate>>,
    challenges: Arc<HashMap<Box<str>, Challenge>>,
}

#[derive(Debug)]
struct Endpoint {
    id: EndpointId,
    updated_at: Timestamp,
    serves: Vec<Hostname>,
    certificate: Arc<Certificate>,
}

impl CertificateRecords {
    pub(crate) fn new(tls: Arc<Tls>, keyring: Option<Keyring>) -> Self {
        if keyring
            .as_ref()
            .is_some_and(|keyring| !keyring.opens_certificates())
        {
            error!(
                "This host's keys do not open certificates: it shows the one it was configured with for every name. Join it \
                 again with a token (`paas nodes:token`, `paasd join`)"
            );
        }
        Self {
            tls,
            keyring: keyring.filter(Keyring::opens_certificates).map(Arc::new),
            endpoints: HashMap::new(),
            platform: None,
            challenges: Arc::default(),
        }
    }

    /// These are all there are.
    pub(crate) fn replace(&mut self, entries: &[Entry]) {
        self.endpoints.clear();
        self.platform = None;
        self.challenges = Arc::default();
        for entry in entries {
            self.put(entry);
        }
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::Put(entry) => self.put(entry),
            Event::Delete { key, .. } => self.remove(key),
        }
    }

    /// Has every handshake from here on go by what is known now.
    pub(crate) fn publish(&self) {
        let configured = self.tls.configured.clone();
        let platform = self.platform.as_ref().unwrap_or(&configured.certificate);
        let mut all = Certificates::new(
            platform.clone(),
            configured.clone(),
            self.challenges.clone(),
        );
        let mut endpoints: Vec<_> = self.endpoints.values().collect();
        // Two may serve one name only while one is of an app that is just being swept up: the older.
        endpoints.sort_by_key(|endpoint| (endpoint.updated_at, endpoint.id));
        for endpoint in endpoints {
            for host in &endpoint.serves {
                all.give(host.as_str(), &endpoint.certificate);
            }
        }
        self.tls.use_from_now_on(all);
    }

    fn put(&mut self, entry: &Entry) {
        if let Err(error) = self.try_put(entry) {
            error!(
                error = &error as &dyn std::error::Error,
                key = %entry.key,
                "Could not read a record of certificates; it is not used"
            );
            self.remove(&entry.key);
        }
    }

    fn try_put(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let key = &entry.key;
        if key::CERTIFICATES.holds(key) {
            let record = key::CERTIFICATES.decode(entry)?.value;
            let owner = Owner::Endpoint(record.id);
            let certificate = self.certificate(owner, key, record.chain, record.key);
            let endpoint = Endpoint {
                id: record.id,
                updated_at: record.updated_at,
                serves: record.serves.into_iter().collect(),
                certificate,
            };
            self.endpoints.insert(key.clone(), endpoint);
        } else if *key == key::platform_certificate() {
            let record = key::PLATFORM_CERTIFICATES.decode(entry)?.value;
            let certificate = self.certificate(Owner::Platform, key, record.chain, record.key);
            self.platform = Some(certificate);
        } else if key::CHALLENGES.holds(key) {
            let record = key::CHALLENGES.decode(entry)?.value;
            self.forget_challenge(key);
            let token = record.token.clone().into_boxed_str();
            Arc::make_mut(&mut self.challenges).insert(token, record);
        } else if *key == key::ticket_keys()
            && let Some(keyring) = &self.keyring
        {
            let record = key::TICKETS.decode(entry)?.value;
            let keys: Vec<TicketKey> = keyring.open(key, &record.keys)?;
            self.tls.base.tickets.set(&keys);
        }
        Ok(())
    }

    fn remove(&mut self, key: &Key) {
        self.endpoints.remove(key);
        if *key == key::platform_certificate() {
            self.platform = None;
        }
        self.forget_challenge(key);
    }

    fn forget_challenge(&mut self, key: &Key) {
        if key::CHALLENGES.holds(key) {
            Arc::make_mut(&mut self.challenges)
                .retain(|_, challenge| key::challenge(&challenge.hostname) != *key);
        }
    }

    fn certificate(
        &self,
        owner: Owner,
        place: &Key,
        chain: String,
        sealed: Sealed,
    ) -> Arc<Certificate> {
        let (base, keyring, place) = (self.tls.base.clone(), self.keyring.clone(), place.clone());
        let make = move || {
            let opened = keyring
                .as_ref()
                .ok_or(StoreError::Unseal)
                .and_then(|keyring| keyring.open::<Secret<String>>(&place, &sealed));
            let opened = opened
                .inspect_err(|error| {
                    error!(error = error as &dyn std::error::Error, key = %place, "Could not open a certificate's key; the platform's certificate is shown instead");
                })
                .ok()?;
            base.manner(chain.as_bytes(), opened.expose().as_bytes())
                .inspect_err(|error| {
                    error!(error = error as &dyn std::error::Error, key = %place, "Could not use a certificate; the platform's is shown instead");
                })
                .ok()
        };
        Arc::new(Certificate::new(owner, Box::new(make)))
    }
}
