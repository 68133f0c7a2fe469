//! What only the etcd backend promises: it lives with networks and restarts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use model::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use store::{Etcd, EtcdConfig, EtcdTls, EtcdUser, Key, Store, StoreError, WatchItem};
use tokio::time::Instant;

use super::backend::{Backend, PATIENCE, done, eventually, get, key, next, put, read_up_to};
use super::etcd_server::{EtcdServer, ServerTls, connect};
use super::proxy::{Network, Proxy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_go_on_where_they_were_after_etcd_was_killed() {
    let mut etcd = EtcdServer::start().await;
    let store = etcd.connect().await;
    let first = done(&*store, vec![put("a", "1")]).await;
    let mut watch = store.watch(&key(""), first).await.unwrap();
    let second = done(&*store, vec![put("a", "2")]).await;
    assert_eq!(
        read_up_to(&mut watch, second).await,
        [(second, "+a=2".to_owned())]
    );
    etcd.kill();
    etcd.start_again().await;
    let other = etcd.connect().await;
    let third = done(&*other, vec![put("a", "3")]).await;
    assert_eq!(
        read_up_to(&mut watch, third).await,
        [(third, "+a=3".to_owned())],
        "and nothing twice"
    );
    assert_eq!(get(&*store, "a").await, Some(("3".to_owned(), third)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_go_on_after_the_network_was_cut_or_fell_silent() {
    let etcd = EtcdServer::start().await;
    let proxy = Proxy::start(etcd.port()).await;
    let (near, far) = (etcd.connect().await, connect(&proxy.endpoint()).await);
    let mut revision = done(&*far, vec![put("a", "0")]).await;
    let mut watch = far.watch(&key(""), revision).await.unwrap();
    for (round, network) in [Network::Cut, Network::Silent, Network::Cut]
        .into_iter()
        .enumerate()
    {
        proxy.set(network);
        let began = Instant::now();
        let failed = far.get(&key("a")).await;
        assert!(
            matches!(failed, Err(StoreError::Unavailable { .. })),
            "{failed:?}"
        );
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "every call has its deadline"
        );
        let value = format!("while it was {network:?} in round {round}");
        let newest = done(&*near, vec![put("a", &value)]).await;
        proxy.set(Network::Up);
        assert_eq!(
            read_up_to(&mut watch, newest).await,
            [(newest, format!("+a={value}"))]
        );
        revision = newest;
    }
    assert_eq!(get(&*far, "a").await.unwrap().1, revision);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_resync_when_etcd_compacted_what_they_had_not_seen() {
    let etcd = EtcdServer::start().await;
    let proxy = Proxy::start(etcd.port()).await;
    let (near, far) = (etcd.connect().await, connect(&proxy.endpoint()).await);
    let revision = done(&*far, vec![put("a", "1")]).await;
    let mut watch = far.watch(&key(""), revision).await.unwrap();
    assert_eq!(next(&mut watch).await, WatchItem::Progress(revision));
    proxy.set(Network::Cut);
    let missed = done(&*near, vec![put("a", "2")]).await;
    let newest = done(&*near, vec![put("a", "3")]).await;
    etcd.client()
        .await
        .compact(i64::try_from(newest).unwrap(), None)
        .await
        .unwrap();
    assert!(missed < newest);
    proxy.set(Network::Up);
    assert_eq!(next(&mut watch).await, WatchItem::Resync);
    assert!(watch.next().await.is_none());

    let listing = far.list(&key("")).await.unwrap();
    let mut watch = far.watch(&key(""), listing.revision).await.unwrap();
    let after = done(&*far, vec![put("b", "1")]).await;
    assert_eq!(
        read_up_to(&mut watch, after).await,
        [(after, "+b=1".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_wait_for_an_etcd_that_is_just_starting() {
    let mut etcd = EtcdServer::start().await;
    let store = etcd.connect().await;
    done(&*store, vec![put("a", "1")]).await;
    etcd.kill();
    let place = key("a");
    let reading = store.get(&place);
    let (read, ()) = tokio::join!(reading, etcd.start_again());
    assert!(read.unwrap().is_some(), "tried again until it answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_is_not_there_is_an_error_within_the_deadline() {
    let began = Instant::now();
    let config = EtcdConfig {
        endpoints: vec!["http://127.0.0.1:1".to_owned()],
        user: None,
        tls: None,
    };
    let refused = Etcd::connect(&config).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })));
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_that_is_down_does_not_fail_commits() {
    let etcd = EtcdServer::start().await;
    etcd.connect().await;
    let endpoints = vec!["http://127.0.0.1:1".to_owned(), etcd.endpoint()];
    let store = Etcd::connect(&EtcdConfig {
        endpoints,
        user: None,
        tls: None,
    })
    .await
    .unwrap();
    for value in 0..50 {
        done(&*store, vec![put("a", &value.to_string())]).await;
    }
    assert_eq!(get(&*store, "a").await.unwrap().0, "49");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_and_password_open_an_etcd_that_asks_for_them() {
    let etcd = EtcdServer::start().await;
    etcd.connect().await;
    let mut admin = etcd.client().await;
    admin.role_add("root").await.unwrap();
    admin.user_add("root", "a password", None).await.unwrap();
    admin.user_grant_role("root", "root").await.unwrap();
    admin.auth_enable().await.unwrap();
    let config = |password: &str| EtcdConfig {
        endpoints: vec![etcd.endpoint()],
        user: Some(EtcdUser {
            name: "root".to_owned(),
            password: Secret::from(password),
        }),
        tls: None,
    };
    let anonymous = EtcdConfig {
        user: None,
        ..config("")
    };
    assert!(Etcd::connect(&anonymous).await.is_err());
    assert!(Etcd::connect(&config("a wrong password")).await.is_err());
    let store = Etcd::connect(&config("a password")).await.unwrap();
    let revision = done(&*store, vec![put("a", "1")]).await;
    let mut watch = store.watch(&key(""), revision - 1).await.unwrap();
    assert_eq!(
        read_up_to(&mut watch, revision).await,
        [(revision, "+a=1".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_ends_watches_with_an_error() {
    let etcd = EtcdServer::start().await;
    let store = etcd.connect().await;
    let mut watch = store.watch(&key(""), 1).await.unwrap();
    next(&mut watch).await;
    store.close().await;
    let end = tokio::time::timeout(PATIENCE, async {
        while watch.next().await.unwrap().is_ok() {}
        watch.next().await.is_none()
    });
    assert!(end.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_on_one_etcd_see_each_others_commits() {
    let etcd = EtcdServer::start().await;
    let (one, two) = (etcd.connect().await, etcd.connect().await);
    let revision = done(&*one, vec![put("a", "1")]).await;
    assert_eq!(get(&*two, "a").await, Some(("1".to_owned(), revision)));
    let mut watch = two.watch(&key(""), revision).await.unwrap();
    let newest = done(&*one, vec![put("a", "2")]).await;
    assert_eq!(
        read_up_to(&mut watch, newest).await,
        [(newest, "+a=2".to_owned())]
    );
    eventually("a foreign key does not disturb", async || {
        etcd.client()
            .await
            .put("/elsewhere", "x", None)
            .await
            .unwrap();
        let newest = done(&*one, vec![put("a", "3")]).await;
        read_up_to(&mut watch, newest).await == [(newest, "+a=3".to_owned())]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watching_outside_of_the_platforms_keys_is_refused() {
    let backend = Backend::etcd().await;
    assert!(
        backend
            .store
            .watch(&Key::from_text("/elsewhere/"), 1)
            .await
            .is_err()
    );
}

/// Writes PEM files: an authority, and a certificate of it for `name`.
fn certificates(dir: &Path, name: &str) -> ServerTls {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let certificate = params.signed_by(&key, &authority).unwrap();
    let write = |file: &str, pem: String| {
        let path = dir.join(file);
        std::fs::write(&path, pem).unwrap();
        path
    };
    ServerTls {
        ca: write("ca.pem", authority.pem()),
        certificate: write("certificate.pem", certificate.pem()),
        key: write("key.pem", key.serialize_pem()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_open_an_etcd_that_asks_for_them_and_strangers_stay_out() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ours, theirs) = (
        certificates(dir.path(), "127.0.0.1"),
        certificates(elsewhere.path(), "127.0.0.1"),
    );
    let etcd = EtcdServer::start_with_tls(ours.clone()).await;
    let config = |ca: &PathBuf, identity: Option<&ServerTls>| EtcdConfig {
        endpoints: vec![etcd.endpoint()],
        user: None,
        tls: Some(EtcdTls {
            ca: Some(ca.clone()),
            identity: identity.map(|tls| (tls.certificate.clone(), tls.key.clone())),
        }),
    };
    let mut store = None;
    eventually("etcd answers", async || {
        store = Etcd::connect(&config(&ours.ca, Some(&ours))).await.ok();
        store.is_some()
    })
    .await;
    let store = store.unwrap();
    let revision = done(&*store, vec![put("a", "1")]).await;
    let mut watch = store.watch(&key(""), revision - 1).await.unwrap();
    assert_eq!(
        read_up_to(&mut watch, revision).await,
        [(revision, "+a=1".to_owned())]
    );

    for refused in [
        config(&ours.ca, None),
        config(&theirs.ca, Some(&ours)),
        config(&ours.ca, Some(&theirs)),
    ] {
        assert!(Etcd::connect(&refused).await.is_err(), "{refused:?}");
    }
    let missing = config(&dir.path().join("missing.pem"), None);
    assert!(matches!(
        Etcd::connect(&missing).await,
        Err(StoreError::Files { .. })
    ));
}
