//! Names and where they lead, asked for by whoever connects.
//!
//! Whose name servers are silent holds up nobody but himself: a question costs a socket for a few seconds, no thread and no
//! turn that others wait for. There are no more of them than drains and tries of webhooks.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::config::{LookupIpStrategy, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::{Resolver, TokioResolver};
use tokio::time::timeout;

/// All of a lookup.
const LOOKUP_WITHIN: Duration = Duration::from_secs(3);
/// One question to one server; asked twice.
const ASK_WITHIN: Duration = Duration::from_millis(1_400);
/// Names that are remembered, for as long as their servers say.
const CACHE: u64 = 1_024;
/// How long it is remembered that a name is none: whoever adds it should not have to wait.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
/// How often the host's settings and `/etc/hosts` are read again, while names are asked for.
const REREAD_AFTER: Duration = Duration::from_secs(60);
/// Over one TCP connection to a name server; beyond it, questions fail. More than there are at a time.
const MAX_QUESTIONS: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Names {
    /// Guards a look, and now and then the reading of two small files.
    made: Mutex<Option<(Instant, TokioResolver)>>,
}

impl Names {
    /// Where a name leads; nowhere when nobody knows it, or nobody says so in time.
    pub(super) async fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let Ok(resolver) = self.current() else {
            return Vec::new();
        };
        match timeout(LOOKUP_WITHIN, resolver.lookup_ip(name)).await {
            Ok(Ok(found)) => found.iter().collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }

    fn current(&self) -> Result<TokioResolver, NetError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, resolver)) = &*made
            && at.elapsed() < REREAD_AFTER
        {
            return Ok(resolver.clone());
        }
        let mut builder = Resolver::builder_tokio()?;
        limit(builder.options_mut());
        let resolver = builder.build()?;
        *made = Some((Instant::now(), resolver.clone()));
        Ok(resolver)
    }
}

fn limit(options: &mut ResolverOpts) {
    options.cache_size = CACHE;
    options.timeout = ASK_WITHIN;
    options.attempts = 2;
    options.negative_max_ttl = Some(UNKNOWN_FOR);
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.max_active_requests = MAX_QUESTIONS;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use futures::future::join_all;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use tokio::net::UdpSocket;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    const TYPE_A: u8 = 1;

    /// Says that a name is at 192.0.2.7, unless it begins with `slow`.
    async fn server() -> (SocketAddr, AbortOnDropHandle<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let answering = async move {
            let mut packet = [0; 512];
            loop {
                let (_, from) = socket.recv_from(&mut packet).await.unwrap();
                let name = &packet[12..];
                if name[1..].starts_with(b"slow") {
                    continue;
                }
                let end = name.iter().position(|byte| *byte == 0).unwrap();
                let question = &name[..end + 5];
                let is_a = question[end + 2] == TYPE_A;
                let mut answer = [&packet[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_a)]].concat();
                answer.extend([0; 4]);
                answer.extend(question);
                if is_a {
                    // The name above, A, IN, 60 s, four bytes.
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
                }
                socket.send_to(&answer, from).await.unwrap();
            }
        };
        (addr, AbortOnDropHandle::new(tokio::spawn(answering)))
    }

    fn asking(server: SocketAddr) -> Names {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        limit(builder.options_mut());
        Names {
            made: Mutex::new(Some((Instant::now(), builder.build().unwrap()))),
        }
    }

    #[tokio::test]
    async fn whose_name_servers_are_silent_holds_up_nobody_else() {
        let (server, _running) = server().await;
        let names = Arc::new(asking(server));
        let slow = (0..200).map(|n| {
            let names = names.clone();
            let asking = async move { names.addresses(&format!("slow{n}.example.")).await };
            AbortOnDropHandle::new(tokio::spawn(asking))
        });
        let (slow, begun): (Vec<_>, _) = (slow.collect(), Instant::now());
        tokio::task::yield_now().await;
        let expected: Vec<IpAddr> = vec!["192.0.2.7".parse().unwrap()];
        assert_eq!(names.addresses("quick.example.").await, expected);
        assert!(
            slow.iter().all(|slow| !slow.is_finished()),
            "after {:?}",
            begun.elapsed()
        );
        for ended in join_all(slow).await {
            assert_eq!(ended.unwrap(), [] as [IpAddr; 0]);
        }
        assert!(begun.elapsed() < 2 * LOOKUP_WITHIN);
    }
}
