//! What a container of ours cannot do.

use runtime::{ContainerSpec, Mount, NetworkSpec, Ulimit};

use super::engine::Engine;

async fn line(engine: &Engine, spec: &ContainerSpec) -> String {
    engine.output_of(spec).await
}

#[tokio::test]
async fn it_has_no_powers_and_gains_none() {
    let engine = Engine::docker().await;
    let spec = engine.spec(
        "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'",
    );
    let output = line(&engine, &spec).await;
    let expected = [
        "2000",
        "CapEff:0000000000000000",
        "CapBnd:0000000000000000",
        "NoNewPrivs:1",
        "Seccomp:2",
    ];
    assert_eq!(output.lines().collect::<Vec<_>>(), expected);
    engine.clear().await;
}

#[tokio::test]
async fn processes_files_and_memory_are_bounded() {
    let engine = Engine::docker().await;
    let mut spec = engine.spec(
        r#"ulimit -n
python3 -c "
import os, time
try:
    for _ in range(60):
        if os.fork() == 0:
            time.sleep(60)
    print('unbounded')
except BlockingIOError:
    print('bounded')
"
head -c 2000000 /dev/zero > /scratch/x 2>/dev/null || echo full"#,
    );
    spec.limits.pids = 20;
    spec.limits.ulimits = vec![Ulimit {
        name: "nofile".to_owned(),
        soft: 123,
        hard: 123,
    }];
    spec.mounts = vec![Mount::Tmpfs {
        target: "/scratch".into(),
        max_bytes: 1 << 20,
    }];
    assert_eq!(
        line(&engine, &spec).await.lines().collect::<Vec<_>>(),
        ["123", "bounded", "full"]
    );
    engine.clear().await;
}

#[tokio::test]
async fn secrets_pass_byte_for_byte_and_words_are_not_run() {
    let engine = Engine::docker().await;
    let odd = "'; $(touch /tmp/evil) `id` \"\\ \n\ttäb $HOME";
    let mut spec = engine.spec("printf %s \"$ODD\" | od -An -v -tx1 | tr -d ' \\n'; ls /tmp");
    spec.env.insert("ODD".to_owned(), odd.into());
    assert_eq!(line(&engine, &spec).await, hex::encode(odd));
    engine.clear().await;
}

#[tokio::test]
async fn without_a_network_there_is_loopback_only() {
    let engine = Engine::docker().await;
    let spec = engine.spec("ip -o link | cut -d: -f2");
    assert_eq!(line(&engine, &spec).await.trim(), "lo");
    engine.clear().await;
}

#[tokio::test]
async fn a_network_is_made_once_under_the_name_its_bridge_should_have() {
    let engine = Engine::docker().await;
    let short: String = uuid::Uuid::new_v4()
        .simple()
        .to_string()
        .chars()
        .take(8)
        .collect();
    let network = NetworkSpec {
        name: format!("paas-test-{short}"),
        bridge: format!("pt{short}"),
        subnet: None,
        labels: engine.labels.clone(),
    };
    let made = engine.runtime.ensure_network(&network).await.unwrap();
    let again = engine.runtime.ensure_network(&network).await.unwrap();
    let mut spec = engine.spec("ip -o -4 addr show scope global | wc -l");
    spec.network = Some(network.name.clone());
    let output = line(&engine, &spec).await;
    engine.clear().await;
    let removed = tokio::process::Command::new("docker")
        .args(["network", "rm", &network.name])
        .output()
        .await
        .unwrap();
    assert_eq!(made, again);
    assert_eq!(
        (made.bridge, made.gateway.is_some(), made.subnet.is_some()),
        (network.bridge, true, true)
    );
    assert_eq!(output, "1");
    assert!(removed.status.success());
}
