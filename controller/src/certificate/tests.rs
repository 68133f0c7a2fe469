use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

use super::*;

/// RSA of 1024 bits: certificate and key.
const WEAK: &str = include_str!("tests/weak.pem");
/// RSA of 2048 bits, the key in PKCS #1.
const RSA: &str = include_str!("tests/rsa.pem");

struct Made {
    pem: String,
    key: Secret<String>,
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    Authority {
        pem,
        issuer: Issuer::new(params, key),
    }
}

fn leaf(
    names: &[&str],
    by: Option<&Authority>,
    change: impl FnOnce(&mut CertificateParams),
) -> Made {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    let made = match by {
        Some(by) => params.signed_by(&key, &by.issuer),
        None => params.self_signed(&key),
    };
    Made {
        pem: made.unwrap().pem(),
        key: Secret::new(key.serialize_pem()),
    }
}

fn refused(chain: &str, key: &Secret<String>) -> BadCertificate {
    inspect(chain, key, Timestamp::now()).unwrap_err()
}

#[test]
fn a_good_chain_says_what_it_is_for_and_how_long() {
    let root = authority("root");
    let made = leaf(&["www.example.com", "*.example.com"], Some(&root), |_| {});
    let text = format!("Bag Attributes\n{}{}", made.pem, root.pem);
    let read = inspect(&text, &made.key, Timestamp::now()).unwrap();
    let names: Vec<_> = read.facts.names.iter().map(Hostname::as_str).collect();
    assert_eq!(names, ["*.example.com", "www.example.com"]);
    assert!(!read.facts.is_self_signed && read.facts.issuer.contains("root"));
    assert!(read.facts.expires_at > Timestamp::now());
    let root = CertificateDer::from_pem_slice(root.pem.as_bytes()).unwrap();
    assert_eq!(read.pin, Some(fingerprint(&root)));
    let again = inspect(&read.chain, &made.key, Timestamp::now()).unwrap();
    assert_eq!((again.chain, again.facts), (read.chain, read.facts));
}

#[test]
fn a_key_that_came_with_the_chain_is_not_kept_with_it() {
    let made = leaf(&["a.test"], None, |_| {});
    let both = format!("{}{}", made.pem, made.key.expose());
    let read = inspect(&both, &Secret::new(both.clone()), Timestamp::now()).unwrap();
    assert!(!read.chain.contains("PRIVATE") && read.pin.is_none());
}

#[test]
fn keys_are_taken_in_the_forms_that_openssl_writes() {
    inspect(RSA, &Secret::new(RSA.to_owned()), Timestamp::now()).unwrap();
}

#[test]
fn what_is_no_certificate_or_no_key_is_refused() {
    let made = leaf(&["a.test"], None, |_| {});
    for nothing in ["", "hello", made.key.expose().as_str()] {
        assert_eq!(refused(nothing, &made.key), BadCertificate::NoCertificate);
    }
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(refused(damaged, &made.key), BadCertificate::Damaged(1));
    let second = format!("{}{damaged}", made.pem);
    assert_eq!(refused(&second, &made.key), BadCertificate::Damaged(2));
    for nothing in ["", "hello", made.pem.as_str()] {
        let key = Secret::new(nothing.to_owned());
        assert_eq!(refused(&made.pem, &key), BadCertificate::NoKey);
    }
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----";
    let key = Secret::new(encrypted.to_owned());
    assert_eq!(refused(&made.pem, &key), BadCertificate::EncryptedKey);
}

#[test]
fn a_key_that_is_anothers_or_weak_is_refused() {
    let (one, two) = (
        leaf(&["a.test"], None, |_| {}),
        leaf(&["a.test"], None, |_| {}),
    );
    assert_eq!(refused(&one.pem, &two.key), BadCertificate::OtherKey);
    let weak = Secret::new(WEAK.to_owned());
    assert_eq!(refused(WEAK, &weak), BadCertificate::WeakKey(1024));
}

#[test]
fn a_chain_out_of_order_is_refused_and_named() {
    let (root, other) = (authority("root"), authority("other"));
    let made = leaf(&["a.test"], Some(&root), |_| {});
    let chain = format!("{}{}{}", made.pem, other.pem, root.pem);
    match refused(&chain, &made.key) {
        BadCertificate::OutOfOrder {
            index: 2, issuer, ..
        } => assert!(issuer.contains("other")),
        error => panic!("{error}"),
    }
    // One of the same name that did not sign it.
    let impostor = authority("root");
    let chain = format!("{}{}", made.pem, impostor.pem);
    assert!(matches!(
        refused(&chain, &made.key),
        BadCertificate::OutOfOrder { .. }
    ));
    let many = made.pem.repeat(MAX_CHAIN + 1);
    assert_eq!(refused(&many, &made.key), BadCertificate::TooLong(11));
}

#[test]
fn what_is_over_or_not_yet_good_is_refused() {
    let now = time::OffsetDateTime::now_utc();
    let day = Duration::from_secs(24 * 3600);
    let over = leaf(&["a.test"], None, |params| {
        params.not_before = now - 2 * day;
        params.not_after = now - day;
    });
    assert!(matches!(
        refused(&over.pem, &over.key),
        BadCertificate::Expired { index: 1, .. }
    ));
    let early = leaf(&["a.test"], None, |params| {
        params.not_before = now + day;
        params.not_after = now + 2 * day;
    });
    assert!(matches!(
        refused(&early.pem, &early.key),
        BadCertificate::NotYet { index: 1, .. }
    ));
}

#[test]
fn one_that_no_client_would_take_for_a_host_is_refused() {
    let nameless = leaf(&[], None, |_| {});
    assert_eq!(
        refused(&nameless.pem, &nameless.key),
        BadCertificate::NoNames
    );
    let client = leaf(&["a.test"], None, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    assert_eq!(
        refused(&client.pem, &client.key),
        BadCertificate::NotForServers
    );
}
