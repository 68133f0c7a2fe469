//! What hosts that join are given of this one's configuration, or why none can join yet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context as _;
use controller::ForJoiners;
use controller_api::tls::fingerprint_of_authority;
use model::{Checksum, HostRole, Secret};
use toml::{Table, Value};

use crate::config::{Blobs, Config, StoreChoice};
use crate::init;

pub(crate) fn for_joiners(config: &Config) -> anyhow::Result<Result<ForJoiners, String>> {
    if let Some(why) = obstacle(config) {
        return Ok(Err(why));
    }
    let public_certificate = match init::certificate(config)? {
        Some(made) => (made.cert, made.key),
        None => {
            let given = config
                .router
                .tls_cert
                .clone()
                .zip(config.router.tls_key.clone());
            given.context("there is no certificate for routers")?
        }
    };
    let pin = pin_of(&fs_err::read_to_string(&public_certificate.0)?)?;
    let addresses = if config.has(HostRole::Router) {
        vec![SocketAddr::new(config.node.address, config.https_port())]
    } else {
        Vec::new()
    };
    Ok(Ok(ForJoiners {
        settings: Secret::new(toml::to_string(&common(config)?)?),
        controller_settings: Secret::new(toml::to_string(&of_controllers(config)?)?),
        public_certificate,
        no_slugs: no_slugs(config),
        addresses,
        pin,
    }))
}

/// By what a host that joins knows the platform, if its authority is one of our own making: nobody else vouches for that. A
/// host that joined has such a certificate too, from whoever let it in.
fn pin_of(chain: &str) -> anyhow::Result<Option<Checksum>> {
    if !provisioning::local_ca::brings_its_root(chain) {
        return Ok(None);
    }
    let pin =
        fingerprint_of_authority(chain).context("the platform's certificate cannot be read")?;
    Ok(Some(pin))
}

/// What keeps the installation to one host, and what to do about it.
fn obstacle(config: &Config) -> Option<String> {
    let nobodys = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    if nobodys.contains(&config.node.address) {
        return Some(format!(
            "Other hosts cannot reach this one at {}. Set node.address in its configuration to the address they reach it \
             at, and start paasd anew.",
            config.node.address
        ));
    }
    match &config.store {
        StoreChoice::Embedded => {
            return Some(
                "This installation keeps its state in a file of one host. Move it to etcd first: see \"More hosts\" in \
                 docs/OPERATING.md."
                    .to_owned(),
            );
        }
        StoreChoice::Etcd { endpoints } => {
            if let Some(local) = endpoints.iter().find(|endpoint| is_local(endpoint)) {
                return Some(format!(
                    "Other hosts cannot reach the store at {local}. Name etcd in the configuration (`store`) by addresses \
                     that all hosts can reach."
                ));
            }
        }
    }
    None
}

/// What keeps those that read slugs and caches to this host.
fn no_slugs(config: &Config) -> Option<String> {
    matches!(config.blobs, Blobs::Local).then(|| {
        "Slugs are in a directory of one host, where other hosts cannot read them; only routers and schedulers can join. \
         Keep slugs in an S3 bucket: see \"More hosts\" in docs/OPERATING.md."
            .to_owned()
    })
}

fn is_local(endpoint: &str) -> bool {
    ["://127.0.0.1", "://localhost", "://[::1]"]
        .iter()
        .any(|local| endpoint.contains(local))
}

/// The settings that must be the same on all hosts.
fn common(config: &Config) -> anyhow::Result<Table> {
    let mut common = Table::new();
    common.insert("domain".to_owned(), config.domain.as_str().into());
    common.insert("instance".to_owned(), config.instance.clone().into());
    common.insert(
        "store".to_owned(),
        String::from(config.store.clone()).into(),
    );
    common.insert("log".to_owned(), config.log.clone().into());
    let mut blobs = Table::try_from(&config.blobs)?;
    if let Blobs::S3 {
        secret_access_key, ..
    } = &config.blobs
    {
        let secret = secret_access_key.expose().clone();
        blobs.insert("secret_access_key".to_owned(), secret.into());
    }
    common.insert("blobs".to_owned(), blobs.into());
    common.insert("stack".to_owned(), Table::try_from(&config.stack)?.into());
    common.insert("builder".to_owned(), builder(config)?.into());
    common.insert("router".to_owned(), router(config)?.into());
    common.insert("acme".to_owned(), Table::try_from(&config.acme)?.into());
    let drains = Table::try_from(&config.drains)?;
    common.insert("drains".to_owned(), drains.into());
    common.insert(
        "webhooks".to_owned(),
        Table::try_from(&config.webhooks)?.into(),
    );
    common.insert(
        "accounts".to_owned(),
        Table::try_from(&config.accounts)?.into(),
    );
    let mut node = Table::new();
    let of_node = &config.node;
    for (name, value) in [
        ("network", Value::from(of_node.network.clone())),
        ("bridge", Value::from(of_node.bridge.clone())),
        ("deny_networks", Value::from(of_node.deny_networks.clone())),
        (
            "boot_timeout_secs",
            Value::from(i64::try_from(of_node.boot_timeout_secs)?),
        ),
    ] {
        node.insert(name.to_owned(), value);
    }
    common.insert("node".to_owned(), node.into());
    Ok(common)
}

/// Those, and how to speak to the identity provider, which only controllers do.
fn of_controllers(config: &Config) -> anyhow::Result<Table> {
    let mut all = common(config)?;
    let mut oidc = Table::try_from(&config.oidc)?;
    let secret = config.oidc.client_secret.expose().clone();
    oidc.insert("client_secret".to_owned(), secret.into());
    all.insert("oidc".to_owned(), oidc.into());
    Ok(all)
}

/// Limits are the platform's; where to listen is each host's own.
fn builder(config: &Config) -> anyhow::Result<Table> {
    let mut builder = Table::try_from(&config.builder)?;
    builder.remove("listen");
    let port = config.builder.ssh_listen.port();
    builder.insert("ssh_listen".to_owned(), format!("0.0.0.0:{port}").into());
    Ok(builder)
}

/// The same ports, at whatever addresses the host has.
fn router(config: &Config) -> anyhow::Result<Table> {
    let mut router = Table::try_from(&config.router)?;
    let everywhere = |addrs: &[SocketAddr]| {
        let addrs = addrs.iter().map(|addr| format!("0.0.0.0:{}", addr.port()));
        Value::from(addrs.collect::<Vec<_>>())
    };
    router.insert("http".to_owned(), everywhere(&config.router.http));
    router.insert("https".to_owned(), everywhere(&config.router.https));
    router.remove("workers");
    router.remove("tls_cert");
    router.remove("tls_key");
    Ok(router)
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    #[test]
    fn a_host_that_joined_vouches_for_the_platform_as_the_first_one_does() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config {
            data_dir: dir.path().to_owned(),
            store: StoreChoice::Etcd {
                endpoints: vec!["https://10.0.0.1:2379".to_owned()],
            },
            blobs: Blobs::Shared,
            ..Config::default()
        };
        config.node.address = [10, 0, 0, 1].into();
        config.oidc.issuer = Some("https://id.example.com".to_owned());
        config.oidc.client_secret = "s3cret".into();
        let first = for_joiners(&config).unwrap().unwrap();
        assert!(first.pin.is_some());
        // The identity provider's secret is for controllers.
        assert!(!first.settings.expose().contains("s3cret"));
        assert!(first.controller_settings.expose().contains("s3cret"));

        // What joining writes into the configuration.
        let made = dir.path().join("tls");
        let made = provisioning::local_ca::ensure(&made, &config.domain, Timestamp::now()).unwrap();
        config.router.tls_cert = Some(made.cert);
        config.router.tls_key = Some(made.key);
        assert_eq!(for_joiners(&config).unwrap().unwrap().pin, first.pin);
    }

    #[test]
    fn a_certificate_whose_root_is_elsewhere_is_not_pinned() {
        let dir = tempfile::tempdir().unwrap();
        let domain = "apps.example.com".parse().unwrap();
        let made = provisioning::local_ca::ensure(dir.path(), &domain, Timestamp::now()).unwrap();
        let chain = fs_err::read_to_string(made.cert).unwrap();
        assert!(pin_of(&chain).unwrap().is_some());
        let end = "-----END CERTIFICATE-----\n";
        let leaf = &chain[..chain.find(end).unwrap() + end.len()];
        assert!(pin_of(leaf).unwrap().is_none());
    }
}
