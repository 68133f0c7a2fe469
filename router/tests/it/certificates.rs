//! Certificates by name, from the store: real handshakes.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{
    AppId, CertificateFacts, Challenge, EndpointId, EndpointOrigin, PlatformCertificate,
    PlatformOrigin, Revision, Secret, SniEndpoint, TicketKey, TicketKeys, Timestamp,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use store::embedded::Embedded;
use store::{Committed, Txn, key};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::restart::Away;
use super::support::*;

struct Made {
    pem: String,
    key: String,
}

impl Made {
    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()
    }
}

fn made(names: &[&str]) -> Made {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    Made {
        pem: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    }
}

fn facts(names: &[&str]) -> CertificateFacts {
    CertificateFacts {
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        subject: "CN=a".to_owned(),
        issuer: "CN=a".to_owned(),
        starts_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::MAX,
        fingerprint: "ab".repeat(32).parse().unwrap(),
        is_self_signed: true,
    }
}

fn endpoint(app: AppId, id: EndpointId, made: &Made, serves: &[&str]) -> SniEndpoint {
    let place = key::certificate(app, id);
    let secret = Secret::new(made.key.clone());
    SniEndpoint {
        id,
        app,
        name: "some-name-1".to_owned(),
        origin: EndpointOrigin::Given,
        chain: made.pem.clone(),
        key: keyring().seal(&place, &secret).unwrap(),
        facts: facts(serves),
        serves: serves.iter().map(|name| name.parse().unwrap()).collect(),
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
    }
}

impl Platform {
    async fn certify(&self, endpoint: &SniEndpoint) {
        let place = key::certificate(endpoint.app, endpoint.id);
        let txn = Txn::new().put(&key::CERTIFICATES, place, endpoint);
        self.in_use(txn).await;
    }

    async fn serve_with(&self, made: &Made, serves: &[&str]) -> (AppId, EndpointId) {
        let (app, id) = (AppId::new(), EndpointId::new());
        self.certify(&endpoint(app, id, made, serves)).await;
        (app, id)
    }

    /// Commits, and waits until the router reports that it goes by it.
    async fn in_use(&self, txn: Txn) -> Revision {
        let Committed::Done(revision) = txn.commit(&*self.store).await.unwrap() else {
            panic!("no condition was set")
        };
        eventually("the certificates to be in use", async || {
            let report = self.report().await?;
            (report.certificates >= revision).then_some(())
        })
        .await;
        revision
    }

    async fn shake(&self, config: &Arc<ClientConfig>, name: &str) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.https).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(config.clone())
            .connect(name, stream)
            .await
            .unwrap()
    }

    async fn shown(&self, name: &str) -> CertificateDer<'static> {
        shown(&self.shake(&client(&[]), name).await)
    }
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let (_, session) = stream.get_ref();
    session.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Takes whatever certificate it is shown.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn client(protocols: &[&str]) -> Arc<ClientConfig> {
    client_of(protocols, rustls::ALL_VERSIONS, true)
}

fn client_of(
    protocols: &[&str],
    versions: &[&'static rustls::SupportedProtocolVersion],
    names_host: bool,
) -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous(provider)))
        .with_no_client_auth();
    let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
    config.alpn_protocols = protocols.collect();
    config.enable_sni = names_host;
    Arc::new(config)
}

/// One request, the connection is kept.
async fn ask(stream: &mut TlsStream<TcpStream>, host: &str) -> String {
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") && !answer.ends_with(b"</html>\n") {
        let mut some = [0; 1024];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut some))
            .await
            .unwrap();
        let read = read.unwrap();
        assert_ne!(read, 0, "it ended: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&some[..read]);
    }
    String::from_utf8(answer).unwrap()
}

async fn shop(platform: &Platform, hosts: &[&str]) -> Dyno {
    let dyno = Dyno::saying("hello").await;
    let mut shop = route(AppId::new(), "shop", &[&dyno]);
    shop.hosts.extend(
        hosts
            .iter()
            .map(|host| host.parse::<model::Hostname>().unwrap()),
    );
    platform.route(&shop).await;
    dyno
}

#[tokio::test(flavor = "multi_thread")]
async fn each_name_is_shown_its_own_certificate_and_all_others_the_platforms() {
    let platform = Platform::start().await;
    let (exact, wild) = (made(&["www.shop.test"]), made(&["*.shop.test"]));
    let platforms = platform.shown("app.paas.test").await;
    assert_eq!(platform.shown("www.shop.test").await, platforms);
    platform.serve_with(&wild, &["*.shop.test"]).await;
    assert_eq!(platform.shown("www.shop.test").await, wild.der());
    platform.serve_with(&exact, &["www.shop.test"]).await;
    assert_eq!(platform.shown("WWW.shop.test").await, exact.der());
    assert_eq!(platform.shown("api.shop.test").await, wild.der());
    for other in ["shop.test", "a.b.shop.test", "app.paas.test", "nobody.test"] {
        assert_eq!(platform.shown(other).await, platforms, "{other}");
    }
    let nameless = client_of(&[], rustls::ALL_VERSIONS, false);
    let stream = platform.shake(&nameless, "www.shop.test").await;
    assert_eq!(shown(&stream), platforms);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_exchanged_and_removed_under_connections_that_go_on() {
    let platform = Platform::start().await;
    let _dyno = shop(&platform, &["www.shop.test"]).await;
    let (old, new) = (made(&["www.shop.test"]), made(&["www.shop.test"]));
    let (app, id) = platform.serve_with(&old, &["www.shop.test"]).await;
    let mut open = platform.shake(&client(&[]), "www.shop.test").await;
    ask(&mut open, "www.shop.test").await;

    let next = endpoint(app, id, &new, &["www.shop.test"]);
    platform.certify(&next).await;
    assert_eq!(platform.shown("www.shop.test").await, new.der());
    ask(&mut open, "www.shop.test").await;

    let removal = Txn::new().delete(key::certificate(app, id));
    platform.in_use(removal).await;
    let platforms = platform.shown("app.paas.test").await;
    assert_eq!(platform.shown("www.shop.test").await, platforms);
    assert!(
        ask(&mut open, "www.shop.test")
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_router_learns_of_the_platforms_new_certificate() {
    let platform = Platform::start().await;
    let next = made(&["paas.test", "*.paas.test"]);
    let place = key::platform_certificate();
    let record = PlatformCertificate {
        chain: next.pem.clone(),
        key: keyring()
            .seal(&place, &Secret::new(next.key.clone()))
            .unwrap(),
        facts: facts(&["paas.test", "*.paas.test"]),
        origin: PlatformOrigin::Set,
        pin: None,
        updated_at: Timestamp::now(),
    };
    let before = platform.shown("app.paas.test").await;
    let txn = Txn::new().put(&key::PLATFORM_CERTIFICATES, place.clone(), &record);
    platform.in_use(txn).await;
    for name in ["app.paas.test", "api.paas.test", "nobody.test"] {
        assert_eq!(platform.shown(name).await, next.der(), "{name}");
    }
    // git is spoken to over HTTP/1.1 with the new one too.
    let stream = platform
        .shake(&client(&["h2", "http/1.1"]), "git.paas.test")
        .await;
    assert_eq!(shown(&stream), next.der());
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    platform.in_use(Txn::new().delete(place)).await;
    assert_eq!(platform.shown("app.paas.test").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_used_costs_only_its_own_names() {
    let platform = Platform::start().await;
    let (good, other) = (made(&["good.test"]), made(&["bad.test"]));
    platform.serve_with(&good, &["good.test"]).await;
    let (app, id) = (AppId::new(), EndpointId::new());
    let mut bad = endpoint(app, id, &other, &["bad.test"]);
    // Sealed for another place.
    bad.key = endpoint(AppId::new(), id, &other, &[]).key;
    platform.certify(&bad).await;
    let platforms = platform.shown("app.paas.test").await;
    assert_eq!(platform.shown("bad.test").await, platforms);
    assert_eq!(platform.shown("good.test").await, good.der());
    let nonsense = Txn::new().put(
        &store_table(),
        key::certificate(AppId::new(), EndpointId::new()),
        &"nonsense".to_owned(),
    );
    platform.in_use(nonsense).await;
    assert_eq!(platform.shown("good.test").await, good.der());
}

/// A table of text at the place of certificates' records.
fn store_table() -> store::Table<String> {
    key::LEADERS
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_the_wrong_connection_is_sent_away_and_told_in_the_log() {
    let mut platform = Platform::start().await;
    let _dyno = shop(&platform, &["www.shop.test", "api.shop.test", "other.test"]).await;
    let both = made(&["www.shop.test", "api.shop.test"]);
    platform
        .serve_with(&both, &["www.shop.test", "api.shop.test"])
        .await;
    platform
        .serve_with(&made(&["other.test"]), &["other.test"])
        .await;

    let stream = platform.shake(&client(&["h2"]), "www.shop.test").await;
    let (mut http2, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut get = async |host: &str| {
        let request = Request::get(format!("https://{host}/"))
            .body(Full::<Bytes>::default())
            .unwrap();
        http2.send_request(request).await.unwrap().status().as_u16()
    };
    for (host, status) in [
        ("www.shop.test", 200),
        ("api.shop.test", 200),
        ("other.test", 421),
        ("nobody.test", 421),
        ("www.shop.test", 200),
    ] {
        assert_eq!(get(host).await, status, "{host}");
    }
    let mut lines = Vec::new();
    while lines.len() < 5 {
        lines.push(platform.log().await);
    }
    let refused: Vec<_> = lines.iter().filter(|line| line.contains("421")).collect();
    let [line, misdirected] = refused.as_slice() else {
        panic!("two were sent away: {lines:#?}")
    };
    for part in ["code=H31 desc=\"Misdirected Request\"", "host=nobody.test"] {
        assert!(misdirected.contains(part), "{misdirected}");
    }
    for part in [
        "at=error code=H32 desc=\"TLS Certificate Mismatch\"",
        "host=other.test",
        "status=421",
        "protocol=http2.0",
    ] {
        assert!(line.contains(part), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http1_as_well_and_a_client_that_named_nobody_may_ask_for_anybody() {
    let platform = Platform::start().await;
    let _dyno = shop(&platform, &["www.shop.test", "plain.test"]).await;
    platform
        .serve_with(&made(&["www.shop.test"]), &["www.shop.test"])
        .await;

    let mut own = platform.shake(&client(&[]), "shop.paas.test").await;
    for (host, status, words) in [
        ("shop.paas.test", "200", "hello"),
        ("www.shop.test", "421", "H32"),
        // It has no certificate of its own: on another connection it would be shown the same.
        ("plain.test", "200", "hello"),
        ("nobody.test", "404", "No such app"),
    ] {
        let answer = ask(&mut own, host).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(words),
            "{host}: {answer}"
        );
    }
    let mut www = platform.shake(&client(&[]), "www.shop.test").await;
    let answer = ask(&mut www, "nobody.test").await;
    assert!(
        answer.starts_with("HTTP/1.1 421") && answer.contains("H31"),
        "{answer}"
    );

    let nameless = client_of(&[], rustls::ALL_VERSIONS, false);
    let mut nameless = platform.shake(&nameless, "www.shop.test").await;
    assert!(
        ask(&mut nameless, "www.shop.test")
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_router_shows_its_certificates_while_the_store_is_away() {
    let dir = Arc::new(TempDir::new().unwrap());
    let first = Platform::start_on(Embedded::open_in_memory().unwrap(), dir.clone(), |_| {}).await;
    let shop = made(&["www.shop.test"]);
    let (app, id) = first.serve_with(&shop, &["www.shop.test"]).await;
    let kept = dir
        .path()
        .join(format!("table/tls/certificates/{app}/{id}"));
    eventually("the record is kept", async || kept.exists().then_some(())).await;
    let again = Platform::start_on(Arc::new(Away), dir, |_| {}).await;
    assert_eq!(again.shown("www.shop.test").await, shop.der());

    let text = std::fs::read_to_string(&kept).unwrap();
    let secret = shop.key.lines().nth(1).unwrap();
    assert!(text.contains("BEGIN CERTIFICATE") && !text.contains(secret));
    let mode = std::fs::metadata(&kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

async fn put_ticket_keys(platform: &Platform, keys: &[u8]) {
    let keys: Vec<_> = keys
        .iter()
        .map(|byte| TicketKey {
            name: format!("{byte:02x}").repeat(16),
            key: format!("{byte:02x}").repeat(32).into(),
            made_at: Timestamp::now(),
        })
        .collect();
    let place = key::ticket_keys();
    let record = TicketKeys {
        made_at: Timestamp::now(),
        keys: keyring().seal(&place, &keys).unwrap(),
    };
    platform
        .in_use(Txn::new().put(&key::TICKETS, place, &record))
        .await;
}

/// How hands were shaken; a request is made too, for tickets come after the handshake.
async fn kind(platform: &Platform, config: &Arc<ClientConfig>, name: &str) -> HandshakeKind {
    let mut stream = platform.shake(config, name).await;
    ask(&mut stream, name).await;
    stream.get_ref().1.handshake_kind().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed_at_every_worker_and_at_the_next_router() {
    let store = Embedded::open_in_memory().unwrap();
    let first = Platform::start_on(store.clone(), Arc::new(TempDir::new().unwrap()), |_| {}).await;
    let _dyno = shop(&first, &["www.shop.test"]).await;
    first
        .serve_with(&made(&["www.shop.test"]), &["www.shop.test"])
        .await;
    put_ticket_keys(&first, &[1]).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = client_of(&[], &[version], true);
        assert_eq!(
            kind(&first, &config, "www.shop.test").await,
            HandshakeKind::Full
        );
        for _ in 0..8 {
            let kind = kind(&first, &config, "www.shop.test").await;
            assert_eq!(kind, HandshakeKind::Resumed, "{version:?}");
        }
        let next =
            Platform::start_on(store.clone(), Arc::new(TempDir::new().unwrap()), |_| {}).await;
        assert_eq!(
            kind(&next, &config, "www.shop.test").await,
            HandshakeKind::Resumed
        );
        // A key that is forgotten opens nothing, and the handshake is a whole one.
        put_ticket_keys(&next, &[2]).await;
        assert_eq!(
            kind(&next, &config, "www.shop.test").await,
            HandshakeKind::Full
        );
        put_ticket_keys(&next, &[1]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_answered_and_other_paths_are_the_apps() {
    let mut platform = Platform::start().await;
    let _dyno = shop(&platform, &["www.shop.test"]).await;
    let challenge = Challenge {
        hostname: "www.shop.test".parse().unwrap(),
        token: "token-1".to_owned(),
        answer: "token-1.thumbprint".to_owned(),
        created_at: Timestamp::now(),
    };
    let place = key::challenge(&challenge.hostname);
    let txn = Txn::new().put(&key::CHALLENGES, place.clone(), &challenge);
    platform.in_use(txn).await;
    let path = "/.well-known/acme-challenge/token-1";
    let answer = platform.get("www.shop.test", path).await;
    assert_eq!(
        (answer.status().as_u16(), text(&answer)),
        (200, "token-1.thumbprint")
    );
    assert!(platform.logs.try_recv().is_err(), "it is in no app's log");
    for (host, path) in [
        ("www.shop.test", "/.well-known/acme-challenge/token-2"),
        ("www.shop.test", "/.well-known/acme-challenge/"),
        ("shop.paas.test", path),
    ] {
        assert_eq!(
            text(&platform.get(host, path).await),
            "hello",
            "{host}{path}"
        );
    }
    platform.in_use(Txn::new().delete(place)).await;
    assert_eq!(text(&platform.get("www.shop.test", path).await), "hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_names_make_no_handshake_slow() {
    let store = Embedded::open_in_memory().unwrap();
    let shared = made(&["*.many.test"]);
    for chunk in 0..100 {
        let txn = (0..100).fold(Txn::new(), |txn, number| {
            let (app, id) = (AppId::new(), EndpointId::new());
            let name = format!("n{}.many.test", chunk * 100 + number);
            let endpoint = endpoint(app, id, &shared, &[&name]);
            txn.put(&key::CERTIFICATES, key::certificate(app, id), &endpoint)
        });
        txn.commit(&*store).await.unwrap();
    }
    let full = Platform::start_on(store, Arc::new(TempDir::new().unwrap()), |_| {}).await;
    let empty = Platform::start().await;
    assert_eq!(full.shown("n9999.many.test").await, shared.der());
    let config = client(&[]);
    // The quickest of many: what else the machine does is in all of them.
    let quickest = async |platform: &Platform, names: &[String]| {
        let mut best = Duration::MAX;
        for name in names {
            let began = Instant::now();
            platform.shake(&config, name).await;
            best = best.min(began.elapsed());
        }
        best
    };
    let names: Vec<_> = (0..60).map(|n| format!("n{}.many.test", n * 150)).collect();
    let own: Vec<_> = (0..60).map(|n| format!("a{n}.paas.test")).collect();
    let (many, few) = (quickest(&full, &names).await, quickest(&empty, &own).await);
    assert!(
        many < few * 3 + Duration::from_millis(10),
        "{many:?} among ten thousand, {few:?} with none"
    );
}
