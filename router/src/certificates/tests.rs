use std::sync::atomic::{AtomicUsize, Ordering};

use model::Secret;

use super::*;
use crate::TlsConfig;
use crate::tls::{Tls, acceptor};

fn made(names: &[&str]) -> (String, String) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn tls() -> Tls {
    let (cert, key) = made(&["paas.test", "*.paas.test"]);
    let config = TlsConfig::Pem {
        cert,
        key: Secret::new(key),
    };
    acceptor(&config, &"paas.test".parse().unwrap()).unwrap()
}

fn endpoint(tls: &Tls, names: &[&str]) -> Arc<Certificate> {
    let (cert, key) = made(names);
    let base = tls.base.clone();
    let make = move || base.manner(cert.as_bytes(), key.as_bytes()).ok();
    let owner = Owner::Endpoint(EndpointId::new());
    Arc::new(Certificate::new(owner, Box::new(make)))
}

fn certificates(tls: &Tls, given: &[(&str, &Arc<Certificate>)]) -> Certificates {
    let mut all = Certificates::only(tls.configured.clone());
    for (host, certificate) in given {
        all.give(host, certificate);
    }
    all
}

#[test]
fn an_exact_name_goes_before_a_wildcard_and_that_before_the_platforms() {
    let tls = tls();
    let (exact, wild) = (endpoint(&tls, &["a.test"]), endpoint(&tls, &["b.test"]));
    let all = certificates(&tls, &[("www.shop.test", &exact), ("*.shop.test", &wild)]);
    let owner = |name: Option<&str>| all.choose(name).certificate.owner;
    assert_eq!(owner(Some("www.shop.test")), exact.owner);
    assert_eq!(owner(Some("api.shop.test")), wild.owner);
    for other in [
        Some("a.b.shop.test"),
        Some("shop.test"),
        Some("x.paas.test"),
        Some(".shop.test"),
        None,
    ] {
        assert_eq!(owner(other), Owner::Platform, "{other:?}");
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_tried_once_and_the_platforms_is_shown() {
    let tls = tls();
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let broken = Certificate::new(
        Owner::Endpoint(EndpointId::new()),
        Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            None
        }),
    );
    let broken = Arc::new(broken);
    let all = certificates(&tls, &[("www.shop.test", &broken)]);
    assert_eq!(tries.load(Ordering::SeqCst), 0, "before anybody asks");
    for _ in 0..3 {
        let shown = all.choose(Some("www.shop.test")).certificate;
        assert_eq!(shown.owner, Owner::Platform);
    }
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

#[test]
fn requests_that_belong_on_another_connection_are_told_from_those_that_do_not() {
    let tls = tls();
    let shop = endpoint(&tls, &["www.shop.test", "api.shop.test"]);
    let other = endpoint(&tls, &["other.test"]);
    let all = certificates(
        &tls,
        &[
            ("www.shop.test", &shop),
            ("api.shop.test", &shop),
            ("other.test", &other),
        ],
    );
    let shown = |name: Option<&str>, certificate: &Arc<Certificate>| Shown {
        name: name.map(Into::into),
        certificate: certificate.clone(),
    };
    let platform = &tls.configured.certificate;
    let (known, unknown) = (true, false);
    for (name, certificate, host, is_known, expected, why) in [
        (
            Some("www.shop.test"),
            &shop,
            "www.shop.test",
            known,
            None,
            "it is the name itself",
        ),
        (
            Some("www.shop.test"),
            &shop,
            "api.shop.test",
            known,
            None,
            "the certificate is for both",
        ),
        (
            Some("www.shop.test"),
            &shop,
            "other.test",
            known,
            Some(Fault::OtherCertificate),
            "another's",
        ),
        (
            Some("www.shop.test"),
            &shop,
            "a.paas.test",
            known,
            Some(Fault::OtherCertificate),
            "an app's own name",
        ),
        (
            Some("www.shop.test"),
            &shop,
            "nobody.test",
            unknown,
            Some(Fault::Misdirected),
            "nobody's",
        ),
        (
            Some("a.paas.test"),
            platform,
            "b.paas.test",
            known,
            None,
            "the wildcard is for both",
        ),
        (
            Some("a.paas.test"),
            platform,
            "www.shop.test",
            known,
            Some(Fault::OtherCertificate),
            "it has its own",
        ),
        (
            Some("a.paas.test"),
            platform,
            "plain.test",
            known,
            None,
            "it has none, and would be shown the same",
        ),
        (
            Some("a.paas.test"),
            platform,
            "nobody.test",
            unknown,
            None,
            "it would be shown the same: no such app",
        ),
        (
            Some("plain.test"),
            platform,
            "plain.test",
            known,
            None,
            "shown a wrong one, but asked for this",
        ),
        (
            None,
            platform,
            "www.shop.test",
            known,
            None,
            "nobody was asked for",
        ),
        (
            Some("www.shop.test"),
            &shop,
            "10.0.0.1",
            unknown,
            Some(Fault::Misdirected),
            "an address",
        ),
    ] {
        let found = shown(name, certificate).misdirection(host, is_known, &all);
        assert_eq!(found, expected, "{name:?} {host}: {why}");
    }
}

#[test]
fn a_renewed_certificate_sends_nobody_away() {
    let tls = tls();
    let (old, new) = (
        endpoint(&tls, &["a.test"]),
        endpoint(&tls, &["a.test", "b.test"]),
    );
    let new = Arc::new(Certificate {
        owner: old.owner,
        make: Box::new({
            let new = new.clone();
            move || new.manner().map(|manner| Manner::clone(manner))
        }),
        made: OnceLock::new(),
    });
    let all = certificates(&tls, &[("a.test", &new), ("b.test", &new)]);
    let shown = Shown {
        name: Some("a.test".into()),
        certificate: old,
    };
    assert_eq!(shown.misdirection("b.test", true, &all), None);
}

#[test]
fn a_challenge_is_answered_for_its_own_host_only() {
    let tls = tls();
    let challenge = Challenge {
        hostname: "www.shop.test".parse().unwrap(),
        token: "token".to_owned(),
        answer: "token.thumb".to_owned(),
        created_at: model::Timestamp::UNIX_EPOCH,
    };
    let challenges = Arc::new(HashMap::from([("token".into(), challenge)]));
    let all = Certificates::new(
        tls.configured.certificate.clone(),
        tls.configured.clone(),
        challenges,
    );
    assert_eq!(all.challenge("www.shop.test", "token"), Some("token.thumb"));
    assert_eq!(all.challenge("other.test", "token"), None);
    assert_eq!(all.challenge("www.shop.test", "other"), None);
}
