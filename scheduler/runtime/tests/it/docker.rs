//! What only Docker can show: all processes, terminals, overlays, a daemon that does not answer.

use std::time::Duration;

use futures::StreamExt as _;
use runtime::docker::Deadlines;
use runtime::{
    Attached, ContainerId, Docker, LogQuery, LogStream, Mount, RuntimeError, Signal, Terminal,
    TtySize,
};
use tokio::io::AsyncWriteExt as _;

use super::engine::Engine;

/// What a container says, line by line from its start.
struct Spoken(LogStream);

impl Spoken {
    async fn of(engine: &Engine, id: &ContainerId) -> Self {
        let lines = engine.runtime.logs(id, LogQuery::follow_since(None));
        Self(lines.await.unwrap())
    }

    async fn next(&mut self) -> String {
        String::from_utf8(self.0.next().await.unwrap().unwrap().bytes.to_vec()).unwrap()
    }
}

#[tokio::test]
async fn a_signal_reaches_every_process_once() {
    let engine = Engine::docker().await;
    let script = r#"
        child() { trap 'echo child; exit 0' TERM; echo ready; while :; do sleep 0.05; done; }
        trap 'echo parent' TERM
        child & first=$!
        child & second=$!
        while kill -0 $first 2>/dev/null || kill -0 $second 2>/dev/null; do wait; done
        echo end"#;
    let id = engine.start(&engine.spec(script)).await;
    let mut spoken = Spoken::of(&engine, &id).await;
    assert_eq!(
        [spoken.next().await, spoken.next().await],
        ["ready", "ready"]
    );
    engine.runtime.signal_all(&id, Signal::Term).await.unwrap();
    let mut said = Vec::new();
    while said.last().is_none_or(|line| line != "end") {
        said.push(spoken.next().await);
    }
    // The shells also tell of each `sleep` that was ended.
    let count = |word: &str| said.iter().filter(|line| *line == word).count();
    assert_eq!((count("child"), count("parent")), (2, 1), "{said:?}");
    engine.clear().await;
}

#[tokio::test]
async fn a_shell_that_waits_for_its_server_does_not_take_it_along() {
    let engine = Engine::docker().await;
    let script = r#"bash -c 'trap "sleep 0.5; echo finished; exit 4" TERM; echo ready; while :; do sleep 0.05; done'
        exit $?"#;
    let id = engine.start(&engine.spec(script)).await;
    let mut spoken = Spoken::of(&engine, &id).await;
    assert_eq!(spoken.next().await, "ready");
    engine.runtime.signal_all(&id, Signal::Term).await.unwrap();
    assert_eq!(engine.runtime.wait(&id).await.unwrap().status, 4);
    let mut said = spoken.next().await;
    // The shell also tells of the `sleep` that was ended.
    while said != "finished" {
        said = spoken.next().await;
    }
    engine.clear().await;
}

#[tokio::test]
async fn a_shell_that_starts_one_command_after_the_other_hears_in_the_end() {
    let engine = Engine::docker().await;
    let script = "echo ready; while :; do sleep 0.1; true; done";
    let id = engine.start(&engine.spec(script)).await;
    assert_eq!(Spoken::of(&engine, &id).await.next().await, "ready");
    engine.runtime.signal_all(&id, Signal::Term).await.unwrap();
    let exit = tokio::time::timeout(Duration::from_secs(60), engine.runtime.wait(&id));
    assert_eq!(exit.await.unwrap().unwrap().status, 143);
    engine.clear().await;
}

#[tokio::test]
async fn a_terminal_has_its_size_and_passes_every_byte() {
    let engine = Engine::docker().await;
    let mut spec = engine.spec(r#"printf '\001\002raw\n'; read -r _; stty size; trap 'stty size; exit 7' WINCH; echo on; while :; do sleep 0.05; done"#);
    spec.terminal = Terminal::Tty(TtySize {
        columns: 80,
        lines: 24,
    });
    let id = engine.runtime.create(&spec).await.unwrap();
    let Attached {
        mut output,
        mut input,
    } = engine.runtime.attach(&id).await.unwrap();
    engine.runtime.start(&id).await.unwrap();
    engine
        .runtime
        .resize(
            &id,
            TtySize {
                columns: 101,
                lines: 33,
            },
        )
        .await
        .unwrap();
    let mut seen = Vec::new();
    let mut until = async |wanted: &[u8]| {
        while !seen.windows(wanted.len()).any(|window| window == wanted) {
            let chunk = output.next().await.expect("it goes on").unwrap();
            seen.extend_from_slice(&chunk.bytes);
        }
        seen.clone()
    };
    assert_eq!(until(b"raw\r\n").await, b"\x01\x02raw\r\n");
    input.write_all(b"\n").await.unwrap();
    until(b"33 101\r\non\r\n").await;
    engine
        .runtime
        .resize(
            &id,
            TtySize {
                columns: 40,
                lines: 10,
            },
        )
        .await
        .unwrap();
    until(b"10 40\r\n").await;
    assert_eq!(engine.runtime.wait(&id).await.unwrap().status, 7);
    engine.clear().await;
}

#[tokio::test]
async fn an_overlay_is_writable_private_and_gone_with_its_container() {
    let engine = Engine::docker().await;
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| dir.path().join(name));
    for path in [&lower, &upper, &work] {
        fs_err::create_dir(path).unwrap();
    }
    std::os::unix::fs::chown(&upper, Some(2000), Some(2000)).unwrap();
    fs_err::write(lower.join("given"), "given").unwrap();
    std::os::unix::fs::chown(lower.join("given"), Some(2000), Some(2000)).unwrap();
    let mut spec =
        engine.spec("cd /app && cat given && echo mine > given && echo && cat given && touch new");
    let (lower_, upper_) = (lower.clone(), upper.clone());
    spec.mounts = vec![Mount::Overlay {
        lower: lower_,
        upper: upper_,
        work,
        target: "/app".into(),
    }];
    assert_eq!(engine.output_of(&spec).await, "given\nmine");
    assert_eq!(
        fs_err::read_to_string(lower.join("given")).unwrap(),
        "given",
        "the shared part is untouched"
    );
    assert_eq!(
        fs_err::read_to_string(upper.join("given")).unwrap(),
        "mine\n"
    );
    engine.clear().await;
    let mounts = fs_err::read_to_string("/proc/mounts").unwrap();
    assert!(
        !mounts.contains(upper.to_str().unwrap()),
        "the mount is gone"
    );
}

#[tokio::test]
async fn running_out_of_memory_is_told_apart_from_a_kill() {
    let engine = Engine::docker().await;
    let mut spec = engine.spec("exec python3 -c 'x = bytearray(400 << 20)'");
    spec.limits.memory_bytes = Some(64 << 20);
    let id = engine.start(&spec).await;
    let exit = engine.runtime.wait(&id).await.unwrap();
    assert_eq!((exit.status, exit.oom), (137, true));
    let mut spec = engine.spec("exec sleep 60");
    spec.limits.memory_bytes = Some(64 << 20);
    let id = engine.start(&spec).await;
    let used = engine.runtime.memory_used(&id).await.unwrap();
    assert!((1..64 << 20).contains(&used), "{used}");
    engine.runtime.kill(&id).await.unwrap();
    let exit = engine.runtime.wait(&id).await.unwrap();
    assert_eq!((exit.status, exit.oom), (137, false));
    engine.clear().await;
}

#[tokio::test]
async fn long_lines_and_many_lines_come_whole_and_in_order() {
    let engine = Engine::docker().await;
    let spec = engine.spec(r#"head -c 50000 /dev/zero | tr '\0' x; echo; seq 1 20000"#);
    let output = engine.output_of(&spec).await;
    let mut lines = output.lines();
    assert_eq!(
        lines.next().unwrap(),
        "x".repeat(model::log::MAX_LINE_BYTES)
    );
    let numbers: Vec<u32> = lines.map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (1..=20_000).collect::<Vec<_>>());
    engine.clear().await;
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_is_an_error_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    let short = Deadlines {
        quick: Duration::from_millis(100),
        slow: Duration::from_millis(100),
    };
    let error = Docker::connect(&socket, short).await.unwrap_err();
    assert!(matches!(error, RuntimeError::TimedOut { .. }), "{error}");
    silent.abort();
    let none = Docker::connect(&dir.path().join("none.sock"), short)
        .await
        .unwrap_err();
    assert!(matches!(none, RuntimeError::Unreachable { .. }), "{none}");
}

#[tokio::test]
async fn a_port_on_loopback_only_is_seen_from_outside() {
    let engine = Engine::docker().await;
    let listen = |address: &str, port: u16| {
        let script = format!(
            "exec perl -MIO::Socket::INET -e '$| = 1; \
             my $s = IO::Socket::INET->new(LocalAddr => \"{address}\", LocalPort => {port}, Listen => 1) or die; \
             print \"ready\\n\"; sleep 600'"
        );
        engine.spec(&script)
    };
    let seen = async |address: &str| {
        let id = engine.start(&listen(address, 5000)).await;
        assert_eq!(Spoken::of(&engine, &id).await.next().await, "ready");
        let seen = async |port| {
            let seen = engine.runtime.listens_on_loopback_only(&id, port);
            seen.await.unwrap().map(|ip| ip.to_string())
        };
        [seen(5000).await, seen(5001).await]
    };
    assert_eq!(
        seen("127.0.0.1").await,
        [Some("127.0.0.1".to_owned()), None]
    );
    assert_eq!(seen("0.0.0.0").await, [None, None]);
    engine.clear().await;
}

#[tokio::test]
async fn a_command_in_a_container_is_as_confined_as_it_and_is_ended_with_all_its_children() {
    let engine = Engine::docker().await;
    let mut spec = engine.spec("exec sleep 600");
    spec.env
        .insert("GIVEN".to_owned(), model::Secret::from("to both"));
    let id = engine.start(&spec).await;
    let script = r#"id -u; echo "$GIVEN, $MORE"; grep -E '^(CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\t'
        stty size; setsid sleep 601 & sleep 602 & tty; wait"#;
    let (exec, mut streams) = engine
        .runtime
        .exec(
            &id,
            &runtime::ExecSpec {
                command: ["/bin/bash", "-c", script].map(str::to_owned).to_vec(),
                env: [("MORE".to_owned(), model::Secret::from("to it"))].into(),
                tty: true,
            },
        )
        .await
        .unwrap();
    let mut said = String::new();
    while !said.contains("/dev/pts/") {
        let chunk = streams.output.next().await.expect("it goes on").unwrap();
        said.push_str(&String::from_utf8_lossy(&chunk.bytes));
    }
    for line in [
        "2000\r\n",
        "to both, to it\r\n",
        "CapBnd:0000000000000000\r\n",
        "NoNewPrivs:1\r\n",
        "Seccomp:2\r\n",
    ] {
        assert!(said.contains(line), "{line} is in {said}");
    }
    engine
        .runtime
        .resize_exec(
            &exec,
            TtySize {
                columns: 99,
                lines: 9,
            },
        )
        .await
        .unwrap();
    engine
        .runtime
        .signal_exec(&exec, Signal::Kill)
        .await
        .unwrap();
    assert_eq!(engine.runtime.wait_exec(&exec).await.unwrap(), Some(137));
    let left = std::process::Command::new("docker")
        .args(["top", id.as_str(), "-eo", "pid,args"])
        .output()
        .unwrap();
    let left = String::from_utf8(left.stdout).unwrap();
    assert!(left.contains("sleep 600"), "{left}");
    assert!(
        !left.contains("sleep 601") && !left.contains("sleep 602"),
        "{left}"
    );
    engine.clear().await;
}
