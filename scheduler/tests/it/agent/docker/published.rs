//! Dynos of a host among others: reached by the platform's hosts, and by nobody else.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use model::{Node as NodeRecord, NodeId, Timestamp};
use runtime::fake::PackedFile;
use store::{Txn, key};

use super::{DynoKind, Host, SERVE, TRY, eventually, get, output_of};

/// A link to a network namespace that stands for the world outside: another host of the platform, and a stranger.
struct Outside {
    name: String,
    here: Ipv4Addr,
    peer: Ipv4Addr,
    stranger: Ipv4Addr,
}

impl Outside {
    fn connect() -> Self {
        let [low, high, ..] = *uuid::Uuid::new_v4().as_bytes();
        let address = |last| Ipv4Addr::new(10, 200 + high % 50, low, last);
        let outside = Self {
            name: format!("pt{:08x}", uuid::Uuid::new_v4().as_fields().0),
            here: address(1),
            peer: address(2),
            stranger: address(3),
        };
        let (name, end) = (&outside.name, format!("{}-o", outside.name));
        let ip = |arguments: String| {
            let arguments: Vec<_> = arguments.split(' ').collect();
            let done = std::process::Command::new("ip").args(&arguments).output();
            let done = done.unwrap();
            assert!(done.status.success(), "ip {arguments:?}: {done:?}");
        };
        ip(format!("netns add {name}"));
        ip(format!(
            "link add {name} type veth peer name {end} netns {name}"
        ));
        ip(format!("addr add {}/24 dev {name}", outside.here));
        ip(format!("link set {name} up"));
        for address in [outside.peer, outside.stranger] {
            ip(format!("-n {name} addr add {address}/24 dev {end}"));
        }
        ip(format!("-n {name} link set {end} up"));
        outside
    }

    /// What comes of a request from there, in curl's words or the body.
    async fn get(&self, from: Ipv4Addr, to: SocketAddr) -> String {
        let (name, from, url) = (&self.name, from.to_string(), format!("http://{to}/"));
        let curl = [
            "netns",
            "exec",
            name,
            "curl",
            "-sS",
            "-m",
            "3",
            "--interface",
        ];
        let output = tokio::process::Command::new("ip")
            .args(curl)
            .args([&from, &url])
            .output()
            .await
            .unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        output_of("ip", &["netns", "del", &self.name]);
    }
}

fn peer(address: Ipv4Addr) -> NodeRecord {
    NodeRecord {
        id: NodeId::new(),
        name: "node-b".to_owned(),
        address: address.into(),
        roles: [model::HostRole::Node].into(),
        zone: None,
        tags: BTreeMap::new(),
        memory_bytes: 1 << 30,
        cpus: 1,
        cordoned: false,
        draining: false,
        joined_at: Timestamp::now(),
    }
}

#[tokio::test]
async fn the_platforms_hosts_reach_a_dyno_and_neither_strangers_nor_dynos_do() {
    let outside = Outside::connect();
    let mut host = Host::prepared().await;
    host.node.config.address = outside.here.into();
    let other = peer(outside.peer);
    let record = Txn::new().create(&key::NODES, key::node(other.id), &other);
    host.node.commit(record).await;
    host.node.start_agent();

    let files = [
        PackedFile {
            path: "index.html",
            body: "hello",
            executable: false,
        },
        PackedFile {
            path: "try.py",
            body: TRY,
            executable: false,
        },
    ];
    let release = host.node.release_of(&[], &files).await;
    let web = host
        .dyno("web.1", release, DynoKind::Formation, SERVE)
        .await;
    let addr = host.addr(&web).await;
    assert_eq!(addr.ip(), outside.here);
    assert!(get(addr, "/").await.ends_with("hello"), "from its own host");
    eventually!(outside.get(outside.peer, addr).await == "hello");
    let refused = outside.get(outside.stranger, addr).await;
    assert!(refused.contains("timed out"), "{refused}");

    let command = format!(
        "python3 try.py published,{},{} peer,{},80",
        addr.ip(),
        addr.port(),
        outside.peer
    );
    let run = host
        .dyno("run.1", release, host.node.one_off(None, 120), &command)
        .await;
    eventually!(host.node.is_stopped(&run).await);
    let log = host.node.log();
    for name in ["published", "peer"] {
        let kept = format!("app[run.1]: {name} kept ConnectionRefusedError");
        assert!(log.contains(&kept), "{name}: {log:?}");
    }

    host.node.kill_agent().await;
    host.node.start_agent();
    let another = host
        .dyno("web.2", release, DynoKind::Formation, SERVE)
        .await;
    assert_ne!(host.addr(&another).await, addr, "a port of its own");
    assert_eq!(host.addr(&web).await, addr, "adopted where it was");

    host.node
        .commit(Txn::new().delete(key::node(other.id)))
        .await;
    eventually!(outside.get(outside.peer, addr).await.contains("timed out"));
}
