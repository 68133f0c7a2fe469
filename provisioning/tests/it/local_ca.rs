//! The local authority, seen with a TLS client's eyes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::ToSpan as _;
use model::{Hostname, Timestamp};
use provisioning::local_ca::{LocalCa, Made, ensure};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

fn domain() -> Hostname {
    "paas.localhost".parse().unwrap()
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn days_later(days: i64) -> Timestamp {
    now() + (24 * days).hours()
}

fn chain(path: &Path) -> Vec<CertificateDer<'static>> {
    let certificates = CertificateDer::pem_file_iter(path).unwrap();
    certificates.collect::<Result<_, _>>().unwrap()
}

/// Whether a client that trusts `ca.pem` accepts the server as `name`.
fn client_accepts(local: &LocalCa, name: &str, at: Timestamp) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(chain(&local.ca).remove(0)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    let presented = chain(&local.cert);
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.as_second().unsigned_abs()));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier
        .verify_server_cert(&presented[0], &presented[1..], &name, &[], at)
        .map(drop)
}

#[test]
fn clients_that_trust_the_authority_accept_every_name_of_the_domain() {
    let dir = tempfile::tempdir().unwrap();
    let local = ensure(dir.path(), &domain(), now()).unwrap();
    assert_eq!(local.made, Made::Everything);
    for name in [
        "paas.localhost",
        "api.paas.localhost",
        "git.paas.localhost",
        "my-app.paas.localhost",
    ] {
        client_accepts(&local, name, now()).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    for name in [
        "localhost",
        "a.b.paas.localhost",
        "paas.localhost.example.com",
    ] {
        assert!(client_accepts(&local, name, now()).is_err(), "{name}");
    }
    client_accepts(&local, "paas.localhost", days_later(818)).unwrap();
    assert!(client_accepts(&local, "paas.localhost", days_later(821)).is_err());
}

#[test]
fn a_server_can_be_configured_with_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let local = ensure(dir.path(), &domain(), now()).unwrap();
    let key = PrivateKeyDer::from_pem_file(&local.key).unwrap();
    rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain(&local.cert), key)
        .unwrap();
}

#[test]
fn keys_are_for_their_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let local = ensure(dir.path(), &domain(), now()).unwrap();
    let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&local.key), 0o600);
    assert_eq!(mode(&local.ca_key), 0o600);
    assert_eq!(mode(&local.cert), 0o644);
    assert_eq!(mode(&local.ca), 0o644);
}

fn contents(local: &LocalCa) -> Vec<String> {
    let files = [&local.ca, &local.ca_key, &local.cert, &local.key];
    files.map(|f| fs_err::read_to_string(f).unwrap()).to_vec()
}

#[test]
fn what_is_good_is_kept_until_thirty_days_before_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let first = ensure(dir.path(), &domain(), now()).unwrap();
    let before = contents(&first);
    for days in [0, 1, 788] {
        let again = ensure(dir.path(), &domain(), days_later(days)).unwrap();
        assert_eq!(again.made, Made::Nothing, "after {days} days");
        assert_eq!(contents(&again), before);
    }
    let renewed = ensure(dir.path(), &domain(), days_later(790)).unwrap();
    assert_eq!(renewed.made, Made::Leaf);
    assert_eq!(
        contents(&renewed)[..2],
        before[..2],
        "the authority stays, so clients need nothing"
    );
    client_accepts(&renewed, "api.paas.localhost", days_later(1500)).unwrap();
}

#[test]
fn the_authority_itself_is_renewed_near_its_end() {
    let dir = tempfile::tempdir().unwrap();
    ensure(dir.path(), &domain(), now()).unwrap();
    let late = days_later(3640);
    let renewed = ensure(dir.path(), &domain(), late).unwrap();
    assert_eq!(renewed.made, Made::Everything);
    client_accepts(&renewed, "api.paas.localhost", late).unwrap();
}

#[test]
fn another_domain_gets_an_authority_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    ensure(dir.path(), &domain(), now()).unwrap();
    let moved = ensure(dir.path(), &"apps.example.com".parse().unwrap(), now()).unwrap();
    assert_eq!(moved.made, Made::Everything);
    client_accepts(&moved, "shop.apps.example.com", now()).unwrap();
    assert!(client_accepts(&moved, "api.paas.localhost", now()).is_err());
}

#[test]
fn what_is_lost_broken_or_mixed_up_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let local = ensure(dir.path(), &domain(), now()).unwrap();
    let repaired = |expected: Made| {
        let after = ensure(dir.path(), &domain(), now()).unwrap();
        assert_eq!(after.made, expected);
        client_accepts(&after, "api.paas.localhost", now()).unwrap();
        rustls::crypto::ring::sign::any_supported_type(
            &PrivateKeyDer::from_pem_file(&after.key).unwrap(),
        )
        .unwrap();
    };
    fs_err::remove_file(&local.cert).unwrap();
    repaired(Made::Leaf);
    fs_err::write(&local.key, "").unwrap();
    repaired(Made::Leaf);
    fs_err::copy(&local.ca_key, &local.key).unwrap();
    repaired(Made::Leaf);
    fs_err::write(&local.ca, "not a certificate").unwrap();
    repaired(Made::Everything);
    fs_err::remove_file(&local.ca_key).unwrap();
    repaired(Made::Everything);
}

#[test]
fn a_leaf_of_another_authority_is_not_kept() {
    let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let local = ensure(here.path(), &domain(), now()).unwrap();
    let foreign = ensure(elsewhere.path(), &domain(), now()).unwrap();
    fs_err::copy(&foreign.cert, &local.cert).unwrap();
    fs_err::copy(&foreign.key, &local.key).unwrap();
    let after = ensure(here.path(), &domain(), now()).unwrap();
    assert_eq!(after.made, Made::Leaf);
    client_accepts(&after, "api.paas.localhost", now()).unwrap();
}
