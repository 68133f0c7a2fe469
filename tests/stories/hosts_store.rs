//! Several hosts, and what operators do to the etcd under them: apps do not notice.

use tests::Lab;
use tests::eventually::eventually;
use tests::lab::Service;
use tests::pulse::{Pulse, failures};

use super::spread::{PATIENCE, all_answer, spread};

const PER_SECOND: u32 = 50;
/// What etcd's files are to have in them, MB, and then not any more: what is worth a defragmentation.
const MEGABYTES: usize = 110;
/// Bytes; the platform's own records are far fewer.
const SMALL: u64 = 16 << 20;

#[tokio::test]
async fn members_fall_silent_one_by_one_to_be_defragmented_and_all_orders_are_taken() {
    let lab = Lab::up(3).await;
    let project = spread(&lab).await;
    let pulse = Pulse::start(lab.router_of(2), &project.host(), "/", PER_SECOND);
    all_answer(&pulse, 3).await;
    let inflate = format!(
        "for i in $(seq {MEGABYTES}); do head -c 750000 /dev/urandom | base64 -w 0 | E put /filler/$i >/dev/null || exit; done; \
         rev=$(E del --prefix /filler --write-out json | sed 's/.*\"revision\":\\([0-9]*\\).*/\\1/'); E compact --physical $rev"
    );
    etcdctl(&lab, 1, &inflate).await;
    // As paasd does it, but without its minute between two; and an operator's commits from the first to the last.
    let defragment = async {
        for host in lab.hosts() {
            // Each member deletes what was compacted in its own time.
            eventually("its file is small", PATIENCE, || async {
                etcdctl(&lab, host, "E defrag").await;
                (file_bytes(&lab, host).await < SMALL).then_some(())
            })
            .await;
        }
    };
    let orders = async {
        for order in 1.. {
            let tag = format!("order={order}");
            lab.paas(&["nodes:tag", "h1", &tag]).await.ok();
        }
    };
    tokio::select! {
        () = defragment => {}
        () = orders => {}
    }
    all_answer(&pulse, 3).await;
    let beats = pulse.finish().await;
    let failed = failures(&beats);
    assert!(failed.is_empty(), "of {}: {failed:#?}", beats.len());
}

#[tokio::test]
async fn a_snapshot_is_restored_under_live_hosts() {
    let lab = Lab::up(3).await;
    let project = spread(&lab).await;
    let pulse = Pulse::start(lab.router_of(2), &project.host(), "/", PER_SECOND);
    all_answer(&pulse, 3).await;
    let snapshot = lab.data_of(1).join("snapshot");
    let snapshot = snapshot.to_str().expect("a path of this lab");
    lab.etcd(1, &["snapshot", snapshot]).await;

    // After the snapshot: to be undone by it.
    project.paas(&["ps:scale", "web=4"]).await.ok();
    all_answer(&pulse, 4).await;
    for host in lab.hosts() {
        lab.stop(host, Service::Etcd).await;
    }
    lab.etcd(1, &["restore", snapshot]).await;
    for host in [2, 3] {
        lab.etcd(host, &["start", "--join"]).await;
    }
    eventually(
        "the formation is that of the snapshot",
        PATIENCE,
        || async {
            let ps = project.paas(&["ps"]).await;
            let dynos = ps.stdout.lines().filter(|line| line.starts_with("web."));
            (ps.success() && dynos.count() == 3).then_some(())
        },
    )
    .await;
    eventually("the dyno of afterwards is stopped", PATIENCE, || async {
        let mut running = 0;
        for host in lab.hosts() {
            running += lab.dynos_on(host).await.len();
        }
        (running == 3).then_some(())
    })
    .await;
    // And it is a platform as any other.
    project.commit("After the restore").await;
    project.push().await.ok().says("Released v3");
    all_answer(&pulse, 3).await;
    let beats = pulse.finish().await;
    let failed = failures(&beats);
    assert!(failed.is_empty(), "of {}: {failed:#?}", beats.len());
}

/// Of a member's file.
async fn file_bytes(lab: &Lab, member: usize) -> u64 {
    let said = etcdctl(lab, member, "E endpoint status --write-out json").await;
    let status: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    status[0]["Status"]["dbSize"].as_u64().expect("its size")
}

/// A shell's commands on the first host, with `E` for etcdctl on that member.
async fn etcdctl(lab: &Lab, member: usize, script: &str) -> String {
    let identity = lab.data_of(1).join("identity");
    let identity = identity.display();
    let address = lab.router_of(member).ip();
    let script = format!(
        "E() {{ ETCDCTL_API=3 etcdctl --command-timeout 60s --endpoints https://{address}:2379 --cacert {identity}/authority.pem \
         --cert {identity}/host.pem --key {identity}/host.pem \"$@\"; }}; {script}"
    );
    lab.on_host(1, &["bash", "-c", &script]).await.stdout
}
