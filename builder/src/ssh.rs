//! Git over SSH: a server that knows public keys and two commands, and nothing else.

mod command;
mod host_key;
mod session;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey};
use russh::server::{Config, run_stream};
use russh::{Disconnect, MethodKind, MethodSet, Preferred, SshId};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub(crate) use host_key::load as load_host_key;

use crate::Builder;

/// More connections than this wait to be accepted.
const MAX_CONNECTIONS: usize = 512;
/// Strangers have this long to prove who they are.
const LOGIN_GRACE: Duration = Duration::from_secs(60);

pub(crate) fn config(key: PrivateKey) -> Config {
    Config {
        server_id: SshId::Standard("SSH-2.0-paas".into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // A key is 256 bits: there is nothing to guess, and so nothing to slow down.
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        // Agents offer every key they hold.
        max_auth_attempts: 20,
        keys: vec![key],
        window_size: 4 << 20,
        maximum_packet_size: 32 * 1024,
        channel_buffer_size: 32,
        event_buffer_size: 32,
        // A build may be silent for minutes; a client that has vanished is noticed by its missing answers.
        keepalive_interval: Some(Duration::from_secs(10)),
        keepalive_max: 4,
        inactivity_timeout: Some(Duration::from_secs(120)),
        nodelay: true,
        preferred: Preferred {
            key: vec![
                Algorithm::Ed25519,
                Algorithm::Ecdsa {
                    curve: EcdsaCurve::NistP256,
                },
                Algorithm::Rsa {
                    hash: Some(HashAlg::Sha512),
                },
                Algorithm::Rsa {
                    hash: Some(HashAlg::Sha256),
                },
            ]
            .into(),
            ..Preferred::DEFAULT
        },
        ..Config::default()
    }
}

/// Accepts until told to stop. Connections are tasks of the builder.
pub(crate) async fn serve(
    builder: Arc<Builder>,
    listener: TcpListener,
    config: Config,
    stop: CancellationToken,
) {
    let config = Arc::new(config);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => (stream, peer.ip()),
                Err(error) => {
                    warn!(error = &error as &dyn std::error::Error, "Could not accept an SSH connection; will retry");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (builder, config, stop) = (builder.clone(), config.clone(), stop.clone());
        builder.clone().tasks.spawn(async move {
            connection(builder, config, (stream, peer), stop).await;
            drop(slot);
        });
    }
}

async fn connection(
    builder: Arc<Builder>,
    config: Arc<Config>,
    (stream, peer): (TcpStream, IpAddr),
    stop: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let shared = session::Shared::default();
    let handler = session::Session::new(builder, shared.clone(), peer);
    let session = match tokio::time::timeout(LOGIN_GRACE, run_stream(config, stream, handler)).await
    {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => {
            debug!(
                error = &error as &dyn std::error::Error,
                "An SSH connection did not begin"
            );
            return;
        }
        Err(_) => return,
    };
    let handle = session.handle();
    tokio::pin!(session);
    let overdue = async {
        tokio::time::sleep(LOGIN_GRACE).await;
        if shared.is_authenticated() {
            std::future::pending::<()>().await;
        }
    };
    let farewell = tokio::select! {
        ended = &mut session => {
            if let Err(error) = ended {
                debug!(error = &error as &dyn std::error::Error, "An SSH connection broke off");
            }
            return;
        }
        () = overdue => "Login timed out",
        () = async { stop.cancelled().await; shared.idle().await } => "The builder is restarting",
    };
    let _ = handle
        .disconnect(
            Disconnect::ByApplication,
            farewell.to_owned(),
            String::new(),
        )
        .await;
    let _ = tokio::time::timeout(Duration::from_secs(1), session).await;
}
