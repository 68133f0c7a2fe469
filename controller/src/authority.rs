//! The platform's certificate authority: what makes a host one of ours.
//!
//! Its key is in the store, sealed, so that every controller can sign; before there is a store, the first host makes it and
//! signs for itself. Hosts' certificates are short-lived and renewed by half their time: a host that was removed stays out
//! when its last one ends.

use std::time::Duration;

use controller_api::host_tls::{BACKDATED, name_of_host, name_of_role};
use model::{HostRole, NodeId, Secret, Timestamp};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use serde::{Deserialize, Serialize};
use store::key::{self, HOST_AUTHORITY};
use store::{Committed, Keyring, Store, StoreError, Txn};

/// How long a host's certificate is good for, unless the configuration says otherwise.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(14 * 24 * 3600);
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("the certificate request is not valid")]
    BadRequest(#[source] rcgen::Error),
    #[error("the certificate could not be made")]
    Make(#[source] rcgen::Error),
    #[error("certificates cannot be made at this time")]
    Clock,
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// Certificate and key, PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    pub certificate: String,
    pub key: Secret<String>,
}

/// What a certificate says of a host, whatever its request said.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    pub node: NodeId,
    pub address: std::net::IpAddr,
    pub roles: &'a std::collections::BTreeSet<HostRole>,
}

impl Authority {
    pub fn generate(now: Timestamp) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Make)?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "paas hosts");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now, AUTHORITY_LIFETIME)?;
        let certificate = params.self_signed(&key).map_err(AuthorityError::Make)?;
        Ok(Self {
            certificate: certificate.pem(),
            key: Secret::new(key.serialize_pem()),
        })
    }

    /// The installation's, if it has one.
    pub async fn load(
        store: &dyn Store,
        keyring: &Keyring,
    ) -> Result<Option<Self>, AuthorityError> {
        let place = key::platform(HOST_AUTHORITY);
        let Some(sealed) = key::PLATFORM.get(store, &place).await? else {
            return Ok(None);
        };
        Ok(Some(keyring.open(&place, &sealed.value)?))
    }

    /// Makes it the installation's, unless there is one: that one is returned.
    pub async fn adopt(self, store: &dyn Store, keyring: &Keyring) -> Result<Self, AuthorityError> {
        let place = key::platform(HOST_AUTHORITY);
        let sealed = keyring.seal(&place, &self)?;
        let txn = Txn::new().create(&key::PLATFORM, place, &sealed);
        match txn.commit(store).await? {
            Committed::Done(_) => Ok(self),
            Committed::Conflict => Ok(Self::load(store, keyring).await?.unwrap_or(self)),
        }
    }

    /// A certificate for the request's key, PEM. Names come from `subject` alone.
    pub fn issue(
        &self,
        request: &str,
        subject: &Subject<'_>,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<String, AuthorityError> {
        let mut request = CertificateSigningRequestParams::from_pem(request)
            .map_err(AuthorityError::BadRequest)?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, subject.node.to_string());
        let names = std::iter::once(name_of_host(subject.node))
            .chain(subject.roles.iter().map(|role| name_of_role(*role)));
        for name in names {
            let name = Ia5String::try_from(name).map_err(AuthorityError::Make)?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        // By address too, on the loopback as well: that is how etcd's members and clients know each other.
        for address in [subject.address, [127, 0, 0, 1].into()] {
            let name = SanType::IpAddress(address);
            if !params.subject_alt_names.contains(&name) {
                params.subject_alt_names.push(name);
            }
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, lifetime)?;
        request.params = params;
        let key = KeyPair::from_pem(self.key.expose()).map_err(AuthorityError::Make)?;
        let issuer =
            Issuer::from_ca_cert_pem(&self.certificate, key).map_err(AuthorityError::Make)?;
        let certificate = request.signed_by(&issuer).map_err(AuthorityError::Make)?;
        Ok(certificate.pem())
    }
}

fn set_validity(
    params: &mut CertificateParams,
    now: Timestamp,
    lifetime: Duration,
) -> Result<(), AuthorityError> {
    let at = |moment: Result<Timestamp, _>| {
        let moment = moment.map_err(|_: jiff::Error| AuthorityError::Clock)?;
        time::OffsetDateTime::from_unix_timestamp(moment.as_second())
            .map_err(|_| AuthorityError::Clock)
    };
    params.not_before = at(now.checked_sub(BACKDATED))?;
    params.not_after = at(now.checked_add(lifetime))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;

    use controller_api::host_listener::{HostListener, Peer};
    use controller_api::host_tls::{HostTls, IdentityFiles};
    use model::ServiceRole;
    use tokio::net::TcpListener;

    use super::*;

    fn host(authority: &Authority, roles: &[HostRole]) -> (tempfile::TempDir, NodeId, HostTls) {
        let (dir, node) = (tempfile::tempdir().unwrap(), NodeId::new());
        let files = IdentityFiles::below(dir.path());
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::new(vec!["controller.paas.internal".to_owned()])
            .unwrap()
            .serialize_request(&key)
            .unwrap();
        let subject = Subject {
            node,
            address: [127, 0, 0, 1].into(),
            roles: &roles.iter().copied().collect::<BTreeSet<_>>(),
        };
        let certificate = authority
            .issue(
                &request.pem().unwrap(),
                &subject,
                Timestamp::now(),
                CERTIFICATE_LIFETIME,
            )
            .unwrap();
        std::fs::create_dir_all(files.host.parent().unwrap()).unwrap();
        std::fs::write(&files.authority, &authority.certificate).unwrap();
        std::fs::write(&files.host, key.serialize_pem() + &certificate).unwrap();
        let tls = HostTls::load(files).unwrap();
        (dir, node, tls)
    }

    async fn serve(tls: &HostTls) -> SocketAddr {
        use axum::extract::ConnectInfo;
        use axum::routing::get;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = HostListener::tls(listener, tls.server().unwrap());
        let addr = listener.local_addr().unwrap();
        let who = get(async |ConnectInfo(peer): ConnectInfo<Peer>| {
            peer.host.map(|host| host.to_string()).unwrap_or_default()
        });
        let app = axum::Router::new().route("/", who);
        let service = app.into_make_service_with_connect_info::<Peer>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        addr
    }

    async fn ask(config: rustls::ClientConfig, addr: SocketAddr) -> Result<String, reqwest::Error> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(config)
            .build()
            .unwrap();
        client
            .get(format!("https://{addr}/"))
            .send()
            .await?
            .text()
            .await
    }

    #[tokio::test]
    async fn hosts_of_one_platform_know_each_other_and_their_roles() {
        let authority = Authority::generate(Timestamp::now()).unwrap();
        let (_a, _, controller) = host(&authority, &[HostRole::Controller]);
        let (_b, node, caller) = host(&authority, &[HostRole::Node]);
        let addr = serve(&controller).await;
        let to_controllers = caller.client(ServiceRole::Controller).unwrap();
        assert_eq!(ask(to_controllers, addr).await.unwrap(), node.to_string());

        let to_builders = caller.client(ServiceRole::Builder).unwrap();
        ask(to_builders, addr).await.unwrap_err();
        // What the request asked for does not count: a node is no controller.
        let (_c, _, impostor) = host(&authority, &[HostRole::Node]);
        let addr = serve(&impostor).await;
        let to_controllers = caller.client(ServiceRole::Controller).unwrap();
        ask(to_controllers, addr).await.unwrap_err();
    }

    #[tokio::test]
    async fn strangers_are_refused_both_ways() {
        let ours = Authority::generate(Timestamp::now()).unwrap();
        let theirs = Authority::generate(Timestamp::now()).unwrap();
        let (_a, _, controller) = host(&ours, &[HostRole::Controller]);
        let (_b, _, stranger) = host(&theirs, &[HostRole::Controller]);
        let ours_at = serve(&controller).await;
        let theirs_at = serve(&stranger).await;
        let to_ours = stranger.client(ServiceRole::Controller).unwrap();
        ask(to_ours, ours_at).await.unwrap_err();
        let to_theirs = controller.client(ServiceRole::Controller).unwrap();
        ask(to_theirs, theirs_at).await.unwrap_err();
        let nobody = controller_api::tls::client_config(Some(&ours.certificate)).unwrap();
        ask(nobody, ours_at).await.unwrap_err();
    }

    #[test]
    fn a_request_that_is_none_is_refused() {
        let authority = Authority::generate(Timestamp::now()).unwrap();
        let subject = Subject {
            node: NodeId::new(),
            address: [127, 0, 0, 1].into(),
            roles: &BTreeSet::new(),
        };
        let refused = authority.issue("nonsense", &subject, Timestamp::now(), CERTIFICATE_LIFETIME);
        assert!(matches!(refused, Err(AuthorityError::BadRequest(_))));
    }
}
