//! The agent over real containers: what a fake cannot show.

mod published;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use controller_api::attach::{Control, Stream, read_frame};
use futures::{SinkExt as _, StreamExt as _};
use model::{Dyno, DynoKind, DynoState, ExitReason, ReleaseVersion};
use runtime::docker::Deadlines;
use runtime::fake::PackedFile;
use runtime::{Docker, Fake};
use scheduler::agent::Firewall;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::attached::{accept, attach, controller, frame};
use super::fixture::{Crash, Node, eventually};

/// A node on this host's Docker, with a network and firewall chains of its own.
struct Host {
    node: Node,
    _cleanup: Cleanup,
}

/// Takes away what a test leaves on the host, also when it fails.
struct Cleanup {
    instance: String,
    network: String,
    bridge: String,
}

impl Host {
    async fn start() -> Self {
        let mut host = Self::prepared().await;
        host.node.start_agent();
        host
    }

    /// Its agent does not run yet.
    async fn prepared() -> Self {
        let socket = Path::new("/var/run/docker.sock");
        let docker = Docker::connect(socket, Deadlines::default())
            .await
            .expect("a Docker engine runs on this host");
        let mut node = Node::over(Arc::new(docker), Fake::new()).await;
        let short = &node.config.instance[..8];
        node.config.network.name = format!("paas-test-{short}");
        node.config.network.bridge = format!("pt{short}");
        node.config.firewall = Firewall::Enforced {
            deny: Vec::new(),
            allow_host_ports: Vec::new(),
        };
        node.config.slug_owner = Some((2000, 2000));
        node.config.ca_bundle = Some("/etc/ssl/certs/ca-certificates.crt".into());
        let cleanup = Cleanup {
            instance: node.config.instance.clone(),
            network: node.config.network.name.clone(),
            bridge: node.config.network.bridge.clone(),
        };
        Self {
            node,
            _cleanup: cleanup,
        }
    }

    async fn dyno(
        &self,
        name: &str,
        release: ReleaseVersion,
        kind: DynoKind,
        command: &str,
    ) -> Dyno {
        let dyno = Dyno {
            command: command.to_owned(),
            ..self.node.record(name, release, kind)
        };
        self.node.put(&dyno).await;
        dyno
    }

    async fn addr(&self, dyno: &Dyno) -> SocketAddr {
        eventually!(self.node.is_up(dyno).await);
        match self.node.state(dyno).await {
            Some(DynoState::Up {
                addr: Some(addr), ..
            }) => addr,
            other => panic!("it is up and has an address: {other:?}"),
        }
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let run = output_of;
        let label = format!("label=paas.instance={}", self.instance);
        for id in run("docker", &["ps", "-aq", "--filter", &label]).lines() {
            run("docker", &["rm", "-fv", id]);
        }
        run("docker", &["network", "rm", &self.network]);
        let hooks = [
            ("INPUT", "-i", "IN"),
            ("DOCKER-USER", "-i", "FWD"),
            ("DOCKER-USER", "-o", "TO"),
        ];
        for (hook, side, chain) in hooks {
            let chain = format!("PAAS-{chain}-{}", self.bridge);
            run(
                "iptables",
                &["-w", "10", "-D", hook, side, &self.bridge, "-j", &chain],
            );
            run("iptables", &["-w", "10", "-F", &chain]);
            run("iptables", &["-w", "10", "-X", &chain]);
        }
    }
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program)
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The status and the body.
async fn get(addr: SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    format!("{} {body}", head.split_whitespace().nth(1).unwrap())
}

const SERVE: &str = "env > env.txt; id -u > id.txt; exec python3 -m http.server \"$PORT\"";

#[tokio::test]
async fn a_slug_becomes_a_server_that_outlives_its_agent() {
    let mut host = Host::start().await;
    let odd = "it's; $(touch /tmp/evil) `id` \"x\"";
    let files = [
        PackedFile {
            path: "index.html",
            body: "hello from the slug",
            executable: false,
        },
        PackedFile {
            path: ".profile.d/b.sh",
            body: "export ORDER=\"$ORDER b\"",
            executable: false,
        },
        PackedFile {
            path: ".profile.d/a.sh",
            body: "export ORDER=a",
            executable: false,
        },
        PackedFile {
            path: ".profile",
            body: "export ORDER=\"$ORDER profile\"",
            executable: false,
        },
    ];
    let release = host.node.release_of(&[("ODD", odd)], &files).await;
    let web = host
        .dyno("web.1", release, DynoKind::Formation, SERVE)
        .await;
    let addr = host.addr(&web).await;
    assert!(get(addr, "/").await.ends_with("hello from the slug"));
    let env = get(addr, "/env.txt").await;
    for line in [
        "DYNO=web.1",
        "PORT=5000",
        "ORDER=a b profile",
        &format!("ODD={odd}"),
        "HOME=/app",
    ] {
        assert!(env.lines().any(|found| found == line), "{line} is in {env}");
    }
    assert!(get(addr, "/id.txt").await.ends_with("2000\n"));
    assert!(get(addr, "/evil").await.starts_with("404"));

    let before = get(addr, "/env.txt").await;
    host.node.kill_agent().await;
    assert!(
        get(addr, "/").await.ends_with("hello from the slug"),
        "it serves on without an agent"
    );
    host.node.start_agent();
    let another = host
        .dyno("web.2", release, DynoKind::Formation, SERVE)
        .await;
    host.addr(&another).await;
    assert_eq!(host.addr(&web).await, addr);
    assert_eq!(
        get(addr, "/env.txt").await,
        before,
        "the same process, on the same files"
    );

    let upper = host.node.dyno_dir(&web);
    host.node.delete(&web).await;
    eventually!(host.node.status(&web).await.is_none() && !upper.exists());
    let connected = tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(addr)).await;
    assert!(!matches!(connected, Ok(Ok(_))), "nobody answers there");
    let mounts = fs_err::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(upper.to_str().unwrap()));
    assert_eq!(
        host.node
            .logged("heroku[web.1]: Stopping all processes with SIGTERM"),
        1
    );
}

/// Tries to connect and says how it went, each within three seconds.
const TRY: &str = r#"
import socket, sys, os, urllib.request
def attempt(name, host, port):
    try:
        socket.create_connection((host, port), 3).close()
        print(name, "reached", flush=True)
    except Exception as error:
        print(name, "kept", type(error).__name__, flush=True)
for target in sys.argv[1:]:
    name, host, port = target.split(",")
    attempt(name, host, int(port))
print("socket", os.path.exists("/var/run/docker.sock"), flush=True)
print("pypi", urllib.request.urlopen("https://pypi.org/simple/pip/", timeout=20).status, flush=True)
"#;

#[tokio::test]
async fn a_dyno_reaches_the_world_and_neither_host_nor_neighbours_nor_metadata() {
    let mut host = Host::start().await;
    let files = [PackedFile {
        path: "try.py",
        body: TRY,
        executable: false,
    }];
    let release = host.node.release_of(&[], &files).await;
    let neighbour = host
        .dyno("web.1", release, DynoKind::Formation, SERVE)
        .await;
    let neighbour = host.addr(&neighbour).await;
    // Stands for the store, Docker's port, a controller's: whatever listens on the host.
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let gateway = output_of(
        "docker",
        &[
            "network",
            "inspect",
            "-f",
            "{{(index .IPAM.Config 0).Gateway}}",
            &host.node.config.network.name,
        ],
    );
    let own = output_of("hostname", &["-I"]);
    let (gateway, own) = (gateway.trim(), own.split_whitespace().next().unwrap());
    let command = format!(
        "python3 try.py self,127.0.0.1,1 gateway,{gateway},{port} address,{own},{port} neighbour,{},{} metadata,169.254.169.254,80",
        neighbour.ip(),
        neighbour.port()
    );
    let run = host
        .dyno("run.1", release, host.node.one_off(None, 120), &command)
        .await;
    eventually!(host.node.is_stopped(&run).await);
    let log = host.node.log();
    let said: Vec<_> = log
        .iter()
        .filter_map(|line| line.strip_prefix("app[run.1]: "))
        .collect();
    let kept = |name: &str| {
        said.iter()
            .any(|line| line.starts_with(&format!("{name} kept")))
    };
    for name in ["gateway", "address", "neighbour", "metadata"] {
        assert!(kept(name), "{name}: {said:?}");
    }
    assert!(
        said.contains(&"metadata kept ConnectionRefusedError"),
        "refused by a rule, not by chance: {said:?}"
    );
    assert!(
        said.contains(&"socket False") && said.contains(&"pypi 200"),
        "{said:?}"
    );
    assert!(
        get(neighbour, "/").await.starts_with("200"),
        "the host itself reaches dynos"
    );
}

#[tokio::test]
async fn too_much_memory_is_r15_and_the_last_lines_are_kept() {
    let mut host = Host::start().await;
    let release = host.node.release(&[]).await;
    let command = "echo about to; python3 -c 'x = bytearray(700 << 20)'; exit $?";
    let run = host
        .dyno(
            "run.1",
            release,
            host.node.one_off(None, 60),
            &format!("exec bash -c \"{command}\""),
        )
        .await;
    eventually!(host.node.is_stopped(&run).await);
    let worker = host
        .dyno(
            "worker.1",
            release,
            DynoKind::Formation,
            "echo begin; exec python3 -c 'x = bytearray(700 << 20)'",
        )
        .await;
    let Crash { exit, .. } = host.node.crash(&worker).await;
    assert_eq!(
        (exit.reason, exit.log_tail),
        (ExitReason::OutOfMemory, vec!["begin".to_owned()])
    );
    assert!(
        host.node
            .logged("heroku[worker.1]: Error R15 (Memory quota vastly exceeded)")
            >= 1
    );
}

#[tokio::test]
async fn no_line_is_lost_or_repeated_when_agents_come_and_go() {
    let mut host = Host::start().await;
    let release = host.node.release(&[]).await;
    let command = "for i in $(seq 1 4000); do echo n $i; [ $((i % 20)) = 0 ] && sleep 0.01; done; exec sleep 300";
    let worker = host
        .dyno("worker.1", release, DynoKind::Formation, command)
        .await;
    eventually!(host.node.is_up(&worker).await);
    while host.node.logged("app[worker.1]: n 4000") == 0 {
        host.node.stop_agent().await;
        host.node.start_agent();
        let before = host.node.logged("app[worker.1]: n ");
        eventually!(before == 4000 || host.node.logged("app[worker.1]: n ") > before);
    }
    let log = host.node.log();
    let numbers: Vec<u32> = log
        .iter()
        .filter_map(|line| line.strip_prefix("app[worker.1]: n ")?.parse().ok())
        .collect();
    assert_eq!(numbers, (1..=4000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_terminal_session_has_size_keys_and_exit_status() {
    let host = Host::start().await;
    let listener = controller(&host.node).await;
    let release = host.node.release(&[]).await;
    let run = host
        .dyno(
            "run.1",
            release,
            host.node.one_off(Some(attach(true)), 60),
            "bash",
        )
        .await;
    let mut user = accept(&host.node, &listener).await;
    user.send(Message::text(
        Control::Resize {
            columns: 132,
            lines: 43,
        }
        .to_text(),
    ))
    .await
    .unwrap();
    let mut screen = String::new();
    // What is typed when its turn has come: when the screen has shown this so many times.
    let mut script = [
        ("$ ", 1, "stty size\n"),
        // Said by what is to be interrupted: before it has the terminal, keys go to the shell.
        (
            "43 132\r\n",
            1,
            "sh -c 'echo on\"\"going; exec sleep 100'\n",
        ),
        ("ongoing\r\n", 1, "\x03"),
        ("$ ", 3, "tty && exit 37\n"),
    ]
    .into_iter()
    .peekable();
    let status = loop {
        if let Some((_, _, typed)) =
            script.next_if(|(shown, times, _)| screen.matches(shown).count() >= *times)
        {
            user.send(Message::binary(Stream::Stdin.frame(typed.as_bytes())))
                .await
                .unwrap();
            continue;
        }
        match tokio::time::timeout(Duration::from_secs(60), user.next())
            .await
            .expect(&screen)
            .unwrap()
            .unwrap()
        {
            Message::Binary(frame) => {
                screen.push_str(&String::from_utf8_lossy(read_frame(&frame).unwrap().1));
            }
            Message::Text(text) => match Control::from_text(&text) {
                Some(Control::Exit { status }) => break status,
                other => panic!("{other:?}: {screen}"),
            },
            _ => {}
        }
    };
    assert_eq!(status, 37, "{screen}");
    assert!(screen.contains("/dev/pts/"), "{screen}");
    eventually!(host.node.is_stopped(&run).await);
}

#[tokio::test]
async fn a_second_dyno_of_a_cached_slug_is_ready_well_within_its_budget() {
    let host = Host::start().await;
    let files = [PackedFile {
        path: "index.html",
        body: "hello",
        executable: false,
    }];
    let release = host.node.release_of(&[], &files).await;
    // Binds at once: what is measured is the platform.
    let command = "exec nc -lk -p \"$PORT\"";
    let first = host
        .dyno("web.1", release, DynoKind::Formation, command)
        .await;
    host.addr(&first).await;
    let begun = std::time::Instant::now();
    let second = host
        .dyno("web.2", release, DynoKind::Formation, command)
        .await;
    host.addr(&second).await;
    let took = begun.elapsed();
    println!("record to ready: {} ms", took.as_millis());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// Reads until the screen shows it.
async fn shown(user: &mut WebSocketStream<TcpStream>, screen: &mut String, wanted: &str) {
    while !screen.contains(wanted) {
        match frame(user).await {
            Message::Binary(frame) => {
                screen.push_str(&String::from_utf8_lossy(read_frame(&frame).unwrap().1));
            }
            other => panic!("{other:?}: {screen}"),
        }
    }
}

fn typed(text: &str) -> Message {
    Message::binary(Stream::Stdin.frame(text.as_bytes()))
}

#[tokio::test]
async fn a_command_inside_a_dyno_has_what_the_dyno_has_and_dies_with_user_and_agent() {
    let mut host = Host::start().await;
    let listener = controller(&host.node).await;
    let files = [PackedFile {
        path: ".profile.d/a.sh",
        body: "export PATH=\"/app/own:$PATH\"",
        executable: false,
    }];
    let release = host.node.release_of(&[("COLOUR", "blue")], &files).await;
    let web = host
        .dyno("web.1", release, DynoKind::Formation, SERVE)
        .await;
    let addr = host.addr(&web).await;

    host.node
        .ask_inside(
            &web,
            false,
            "cat > /app/said; echo $COLOUR $DYNO $PORT $TERM $PATH; pgrep -f http.server >&2; id -u; exit 37",
        )
        .await;
    let mut user = accept(&host.node, &listener).await;
    user.send(typed("from inside")).await.unwrap();
    user.send(Message::text(Control::Eof(true).to_text()))
        .await
        .unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    let status = loop {
        match frame(&mut user).await {
            Message::Binary(frame) => match read_frame(&frame).unwrap() {
                (Stream::Stderr, bytes) => err.push_str(&String::from_utf8_lossy(bytes)),
                (_, bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
            },
            Message::Text(text) => match Control::from_text(&text) {
                Some(Control::Exit { status }) => break status,
                other => panic!("{other:?}"),
            },
            _ => {}
        }
    };
    assert_eq!(status, 37, "{out} {err}");
    assert!(
        out.starts_with("blue web.1 5000 xterm /app/own:/usr/local/sbin:")
            && out.ends_with("2000\n"),
        "{out}"
    );
    assert!(!err.trim().is_empty(), "the dyno's own process is seen");
    assert!(get(addr, "/said").await.ends_with("from inside"));

    let left = |host: &Host| {
        let container = format!("label=paas.instance={}", host.node.config.instance);
        let id = output_of("docker", &["ps", "-q", "--filter", &container]);
        output_of("docker", &["top", id.trim(), "-eo", "pid,args"])
    };
    // Through a hang-up, and through the death of the agent.
    for is_killed in [false, true] {
        host.node.ask_inside(&web, true, "bash").await;
        let mut user = accept(&host.node, &listener).await;
        user.send(typed("stty size; sleep 777 &\n")).await.unwrap();
        let mut screen = String::new();
        shown(&mut user, &mut screen, "24 100").await;
        eventually!(left(&host).contains("sleep 777"));
        if is_killed {
            host.node.kill_agent().await;
            drop(user);
            assert!(left(&host).contains("sleep 777"), "Docker lets it run on");
            host.node.start_agent();
        } else {
            drop(user);
        }
        eventually!(!left(&host).contains("sleep 777") && !left(&host).contains("paas-inside"));
    }
    assert_eq!(host.addr(&web).await, addr);

    host.node.ask_inside(&web, true, "bash").await;
    let mut user = accept(&host.node, &listener).await;
    user.send(typed("echo in$((1))\n")).await.unwrap();
    shown(&mut user, &mut String::new(), "in1").await;
    host.node.ask_to_stop(&web).await;
    let said = loop {
        if let Message::Text(text) = frame(&mut user).await {
            break text;
        }
    };
    assert!(said.contains("the dyno has ended"), "{said}");
    eventually!(host.node.is_stopped(&web).await);
    assert_eq!(host.node.logged("R12"), 0, "nothing inside held it up");
}
