//! What only the etcd backend promises: it lives with networks and restarts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::MemberAddOptions;
use futures::StreamExt as _;
use model::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use store::status::BackendStatus;
use store::{
    Entry, Etcd, EtcdConfig, EtcdTls, EtcdUser, Event, Follower, Key, Store, StoreError, Update,
    WatchItem,
};
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
        members_file: None,
    };
    let refused = Etcd::connect(&config).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })));
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_begins_without_etcd_is_whole_once_etcd_is_there() {
    let mut etcd = EtcdServer::start().await;
    let other = etcd.connect().await;
    let before = done(&*other, vec![put("a", "1")]).await;
    etcd.kill();
    let config = EtcdConfig {
        endpoints: vec![etcd.endpoint()],
        user: None,
        tls: None,
        members_file: None,
    };
    let store = Etcd::start(&config).await.unwrap();
    let mut watch = store.watch(&key(""), before).await.unwrap();
    assert!(store.get(&key("a")).await.is_err());
    etcd.start_again().await;
    let mut follower = Follower::new(store.clone(), vec![key("")]);
    let told = follower.next().await;
    assert!(
        matches!(&told, Update::Snapshot { entries, .. } if entries.len() == 1),
        "{told:?}"
    );
    done(&*store, vec![put("b", "2")]).await;
    // As a change, or in a second snapshot: it may not have known yet where etcd stands.
    let is_b = |entry: &Entry| entry.key == key("b");
    loop {
        let told = match follower.next().await {
            Update::Snapshot { entries, .. } => entries.iter().any(is_b),
            Update::Changes { events, .. } => events
                .iter()
                .any(|event| matches!(event, Event::Put(entry) if is_b(entry))),
        };
        if told {
            break;
        }
    }
    // What it watched from before it knew where etcd stands, it may have missed.
    let first = watch.next().await.unwrap().unwrap();
    assert!(matches!(first, WatchItem::Resync), "{first:?}");
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
        members_file: None,
    })
    .await
    .unwrap();
    for value in 0..50 {
        done(&*store, vec![put("a", &value.to_string())]).await;
    }
    assert_eq!(get(&*store, "a").await.unwrap().0, "49");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_falls_silent_is_left_before_any_lease_lapses() {
    let etcd = EtcdServer::start().await;
    let near = etcd.connect().await;
    let members = [
        Proxy::start(etcd.port()).await,
        Proxy::start(etcd.port()).await,
    ];
    let far = Etcd::connect(&EtcdConfig {
        endpoints: members.iter().map(Proxy::endpoint).collect(),
        user: None,
        tls: None,
        members_file: None,
    })
    .await
    .unwrap();
    let lease = far.lease(Duration::from_secs(4)).await.unwrap();
    let mut after = done(&*near, vec![put("a", "0")]).await;
    let mut watch = far.watch(&key(""), after).await.unwrap();
    // Whichever it speaks with: each in turn is the one that dies.
    for (silent, live) in [(0, 1), (1, 0)] {
        members[live].set(Network::Up);
        members[silent].set(Network::Silent);
        let began = Instant::now();
        lease.keep_alive().await.unwrap();
        let revision = done(&*near, vec![put("a", &silent.to_string())]).await;
        let seen = read_up_to(&mut watch, revision).await;
        assert_eq!(seen, [(revision, format!("+a={silent}"))]);
        assert!(get(&*far, "a").await.is_some());
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "{:?}",
            began.elapsed()
        );
        done(&*far, vec![put("b", "written")]).await;
        after = done(&*near, vec![put("c", "seen")]).await;
        read_up_to(&mut watch, after).await;
    }
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
        members_file: None,
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
        members_file: None,
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_made_anew_goes_on_where_the_old_one_was() {
    let server = EtcdServer::start().await;
    let etcd = server.connect().await;
    let before = done(&*etcd, vec![put("a", "1")]).await;
    let mut watch = etcd.watch(&key(""), before).await.unwrap();
    let lease = etcd.lease(Duration::from_secs(10)).await.unwrap();
    etcd.reconnect().await.unwrap();
    lease.keep_alive().await.unwrap();
    let newest = done(&*etcd, vec![put("a", "2")]).await;
    assert_eq!(
        read_up_to(&mut watch, newest).await,
        [(newest, "+a=2".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_and_the_embedded_store_tell_how_they_are() {
    let backend = Backend::embedded_on_disk().await;
    let revision = done(&*backend.store, vec![put("a", "1"), put("b", "2")]).await;
    let status = backend.store.status().await.unwrap();
    assert_eq!((status.revision, status.keys), (revision, 2));
    assert!(matches!(status.backend, BackendStatus::Embedded { file_bytes } if file_bytes > 0));

    let etcd = EtcdServer::start().await;
    let store = etcd.connect().await;
    done(&*store, vec![put("a", "1"), put("b", "2")]).await;
    etcd.client()
        .await
        .cluster_client()
        .member_add(
            vec!["http://127.0.0.1:1".to_owned()],
            Some(MemberAddOptions::new().with_is_learner()),
        )
        .await
        .unwrap();
    let status = store.status().await.unwrap();
    assert_eq!(status.keys, 2);
    let BackendStatus::Etcd { members } = status.backend else {
        panic!("{status:?}");
    };
    let (ours, added) = if members[0].name == "test" {
        (&members[0], &members[1])
    } else {
        (&members[1], &members[0])
    };
    let state = ours.state.as_ref().unwrap();
    assert!(
        state.is_leader && !ours.is_learner && state.lag == 0,
        "{state:?}"
    );
    assert!(state.used_bytes > 0 && state.file_bytes >= state.used_bytes);
    assert_eq!(ours.urls, [etcd.endpoint()]);
    assert!(added.is_learner && added.name.is_empty(), "{added:?}");
    assert!(added.state.as_ref().unwrap_err().contains("not started"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_goes_on_with_an_etcd_that_was_restored_from_a_snapshot() {
    let (mut etcd, dir) = (EtcdServer::start().await, tempfile::tempdir().unwrap());
    let store = etcd.connect().await;
    let saved = done(&*store, vec![put("a", "saved"), put("b", "saved")]).await;
    let snapshot = dir.path().join("snapshot");
    etcd.save_snapshot(&snapshot).await;
    for value in 0..10 {
        done(&*store, vec![put("a", &value.to_string())]).await;
    }
    done(&*store, vec![put("c", "lost")]).await;
    let newest = store.list(&key("")).await.unwrap().revision;
    let mut watch = store.watch(&key(""), newest).await.unwrap();
    assert_eq!(next(&mut watch).await, WatchItem::Progress(newest));

    etcd.restore(&snapshot).await;
    assert_eq!(
        next(&mut watch).await,
        WatchItem::Resync,
        "revisions went back"
    );
    let listing = store.list(&key("")).await.unwrap();
    assert!(listing.revision < newest, "{} {newest}", listing.revision);
    assert_eq!(get(&*store, "a").await, Some(("saved".to_owned(), saved)));
    assert_eq!(get(&*store, "c").await, None);
    let mut watch = store.watch(&key(""), listing.revision).await.unwrap();
    let after = done(&*store, vec![put("a", "after")]).await;
    assert_eq!(
        read_up_to(&mut watch, after).await,
        [(after, "+a=after".to_owned())]
    );
    let lease = store.lease(Duration::from_secs(10)).await.unwrap();
    lease.keep_alive().await.unwrap();
}
