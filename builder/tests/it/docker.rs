//! Builds in real containers of the stack's build image.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use builder::{Compile, ContainerCompiler, Limits};
use model::AppId;
use runtime::{Docker, Labels, Runtime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::common::user::{Over, User, WorkTree};
use super::common::{Platform, eventually};

struct Real {
    platform: Platform,
    docker: Arc<dyn Runtime>,
    instance: String,
}

impl Real {
    async fn start(limits: Limits) -> Self {
        let docker = Docker::connect("/var/run/docker.sock".as_ref(), Default::default())
            .await
            .expect("Docker runs here");
        let docker: Arc<dyn Runtime> = Arc::new(docker);
        let image = "paas/stack:24-build";
        assert!(
            docker.image_exists(image).await.unwrap(),
            "there is no image {image}: buildpacks/stacks/build-stack makes it"
        );
        let mut platform = Platform::with_limits(limits).await;
        platform.stop_builder().await;
        let mut real = Self {
            instance: format!("bit-{:08x}", rand::random::<u32>()),
            platform,
            docker,
        };
        real.start_builder().await;
        real
    }

    async fn start_builder(&mut self) {
        let mut config = self.platform.config(self.platform.http);
        config.container = super::common::container_config(&self.instance);
        let compiler: Arc<dyn Compile> =
            Arc::new(ContainerCompiler::new(&config, self.docker.clone()));
        self.platform.start_builder_with(compiler).await;
    }

    async fn containers(&self) -> usize {
        let labels = Labels::from([("paas.instance".to_owned(), self.instance.clone())]);
        self.docker.list(&labels).await.unwrap().len()
    }

    /// An app whose build runs `script`, by a buildpack of its own that is fetched from this test.
    async fn tree(&self, user: &User, app: AppId, script: &str) -> WorkTree {
        let spec = super::common::container_config(&self.instance).network;
        let gateway = self
            .docker
            .ensure_network(&spec)
            .await
            .unwrap()
            .gateway
            .expect("a bridge has a gateway");
        let port = serve_pack(gateway).await;
        let place = store::key::release_config(app, model::ReleaseVersion::FIRST);
        let url = format!("http://{gateway}:{port}/pack.tgz");
        let values = [("BUILDPACK_URL", url.as_str()), ("SECRET", SECRET)];
        let config = values.map(|(name, value)| (name.parse().unwrap(), value.into()));
        let sealed = self
            .platform
            .keyring
            .seal(&place, &model::ConfigVars(config.into()))
            .unwrap();
        self.platform
            .commit(store::Txn::new().put(&store::key::RELEASE_CONFIG, place, &sealed))
            .await;
        user.work_tree(
            &self.platform,
            Over::Http,
            "ticks",
            &[("build.sh", script), ("Procfile", "web: x\n")],
        )
        .await
    }
}

const SECRET: &str = "'; touch /tmp/pwned; $(touch /tmp/pwned) \"\\\nsecond line";

/// Serves a buildpack that runs the app's `build.sh`, at any path; the port it does so on.
async fn serve_pack(address: IpAddr) -> u16 {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for (name, script) in [
        ("detect", "echo Scripted"),
        ("compile", "cd \"$1\" && exec bash ./build.sh \"$@\""),
    ] {
        std::fs::write(bin.join(name), format!("#!/bin/bash\n{script}\n")).unwrap();
    }
    let packed = std::process::Command::new("tar")
        .arg("-czC")
        .arg(dir.path())
        .arg("bin")
        .output()
        .unwrap();
    assert!(packed.status.success());
    serve(address, move |_| Some(packed.stdout.clone())).await
}

/// A web server of one idea: what the function makes of a path, or 404.
async fn serve(address: IpAddr, answer: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static) -> u16 {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            // The request is one packet.
            let length = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]);
            let path = request.split(['?', ' ']).nth(1).unwrap_or_default();
            let (status, body) =
                answer(path).map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
            let head = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    });
    port
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = std::process::Command::new("docker")
            .args(["network", "rm", &self.instance])
            .output();
    }
}

/// Small enough to be met soon.
fn limits() -> Limits {
    Limits {
        memory_bytes: 512 << 20,
        cpus: 1.0,
        pids: 200,
        build_time: Duration::from_secs(180),
        output_bytes: 8 << 20,
        shown_bytes: 1 << 20,
        ..Limits::heroku()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_procfile_app_is_built_in_a_container() {
    let real = Real::start(limits()).await;
    let user = real.platform.user("user@example.com").await;
    let app = real.platform.app("ticks", &user).await;
    let files = [
        ("Procfile", "web: ./serve.sh\n"),
        ("serve.sh", "#!/bin/sh\n"),
        ("junk.psd", "x"),
        (".slugignore", "*.psd\n"),
    ];
    let tree = user
        .work_tree(&real.platform, Over::Ssh, "ticks", &files)
        .await;
    let began = Instant::now();
    let push = tree.push(&["main"]).await.ok();
    println!("push to release: {:.1?}", began.elapsed());
    for words in [
        "-----> Building on the Heroku-24 stack",
        "-----> Deleting 1 files matching .slugignore patterns.",
        "-----> Discovering process types",
        "       Procfile declares types -> web",
        "-----> Compressing...",
        "       Released v2",
        "Verifying deploy... done.",
    ] {
        assert!(
            push.remote().contains(words),
            "no {words:?} in\n{}",
            push.remote()
        );
    }
    let release = real.platform.releases(app).await.pop().unwrap();
    let slug = real.platform.slug_of(&release).await;
    let path = real.platform.blobs.local_path(&slug.checksum).unwrap();
    let listing = tokio::process::Command::new("tar")
        .args(["--zstd", "-tf"])
        .arg(path)
        .output()
        .await
        .unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    assert!(
        listing.lines().any(|name| name == "serve.sh") && !listing.contains("junk.psd"),
        "{listing}"
    );
    // The pack of last resort does not stay: a language may come with the next push.
    assert_eq!(real.platform.app_record(app).await.buildpacks.len(), 0);
    assert_eq!(real.containers().await, 0);
}

/// Each script's push is refused with its words, and nothing of it is left.
async fn misbehave(limits: Limits, builds: &[(&str, &str, &[&str])]) {
    let real = Real::start(limits).await;
    let user = real.platform.user("user@example.com").await;
    let app = real.platform.app("ticks", &user).await;
    let tree = real.tree(&user, app, "echo fine").await;
    for (name, script, words) in builds {
        tree.commit(&[("build.sh", script)]).await;
        let began = Instant::now();
        let push = tree
            .push(&["main"])
            .await
            .refused()
            .says("Push rejected to ticks.");
        println!("{name}: {:.1?}", began.elapsed());
        for words in *words {
            let end: String = push
                .stderr
                .chars()
                .rev()
                .take(3000)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect();
            assert!(
                push.stderr.contains(words),
                "{name}: no {words:?} in ...{end}"
            );
        }
        assert_eq!(real.containers().await, 0, "{name}");
    }
    tree.commit(&[("build.sh", "echo fine")]).await;
    tree.push(&["main"]).await.ok().says("Released v2");
    assert!(real.platform.files("builds").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_that_take_too_much_end_with_a_clear_message_and_leave_nothing_behind() {
    let hog = "exec python3 -c 'a = []\nwhile True: a.append(bytes(1 << 20) + b\"x\")'";
    let chatterbox =
        "exec yes 0123456789012345678901234567890123456789012345678901234567890123456789";
    misbehave(
        limits(),
        &[
            (
                "memory hog",
                hog,
                &["The build used more memory than a build may (512 MB)"],
            ),
            (
                "chatterbox",
                chatterbox,
                &[
                    "Output truncated: 1 MB were shown",
                    "Build printed more than 8 MB of output, and was ended.",
                ],
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_that_never_end_are_ended_with_a_clear_message_and_leave_nothing_behind() {
    let over = "Build timed out: it may take 20 seconds, and was ended.";
    // The first shell needs no further process: one that cannot have it gives up by itself after a quarter of a minute.
    let bomb = "bomb() { bomb | bomb & }; bomb & exec sleep 1000";
    misbehave(
        Limits {
            build_time: Duration::from_secs(20),
            ..limits()
        },
        &[
            (
                "fork bomb",
                bomb,
                &[
                    over,
                    "It wanted more processes than a build may have (200).",
                ],
            ),
            ("sleeper", "echo sleeping; sleep 1000", &[over]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_sees_nothing_of_the_host_and_config_vars_only_as_files() {
    let real = Real::start(limits()).await;
    let user = real.platform.user("user@example.com").await;
    let app = real.platform.app("ticks", &user).await;
    let script = r#"
        id -u; test ! -e /var/run/docker.sock && echo no-socket; test ! -e /tmp/pwned && echo inert
        grep -q ^NoNewPrivs:.1 /proc/self/status && echo confined
        grep -q '^CapEff:.0*$' /proc/self/status && echo no-capabilities
        touch /usr/x 2>/dev/null || echo read-only
        env | grep -q second || echo no-secret-in-env; sha256sum "$3/SECRET"
    "#;
    let tree = real.tree(&user, app, script).await;
    let push = tree.push(&["main"]).await.ok();
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(SECRET));
    for words in [
        "2000",
        "no-socket",
        "inert",
        "confined",
        "no-capabilities",
        "read-only",
        "no-secret-in-env",
        &hash,
    ] {
        assert!(
            push.remote().contains(words),
            "no {words:?} in\n{}",
            push.remote()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_removes_the_container_within_five_seconds() {
    let real = Real::start(limits()).await;
    let user = real.platform.user("user@example.com").await;
    let app = real.platform.app("ticks", &user).await;
    let tree = real
        .tree(
            &user,
            app,
            "trap '' TERM INT HUP; echo hanging; sleep 1000 & wait; sleep 1000",
        )
        .await;
    let push = tree.start_push(&["main"]);
    eventually("the build runs", async || real.containers().await == 1).await;
    push.interrupt();
    let interrupted = Instant::now();
    push.end().await.refused();
    eventually("the container is gone", async || {
        real.containers().await == 0
    })
    .await;
    eventually("the lock is free", async || {
        !real.platform.is_locked(app).await
    })
    .await;
    println!("gone after {:.1?}", interrupted.elapsed());
    assert!(
        interrupted.elapsed() < Duration::from_secs(5),
        "{:?}",
        interrupted.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_builder_removes_the_containers_of_a_killed_one() {
    let mut real = Real::start(limits()).await;
    let spec = runtime::ContainerSpec {
        labels: Labels::from([
            ("paas.kind".to_owned(), "build".to_owned()),
            ("paas.instance".to_owned(), real.instance.clone()),
        ]),
        ..runtime::ContainerSpec::new(
            format!("left-{}", real.instance),
            "paas/stack:24-build",
            vec!["sleep".to_owned(), "1000".to_owned()],
        )
    };
    let id = real.docker.create(&spec).await.unwrap();
    real.docker.start(&id).await.unwrap();
    real.platform.kill_builder().await;
    real.start_builder().await;
    assert_eq!(real.containers().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_are_fetched_in_the_build_and_land_in_the_slug() {
    let real = Real::start(limits()).await;
    let user = real.platform.user("user@example.com").await;
    let app = real.platform.app("ticks", &user).await;
    let files = [("Procfile", "web: x\n")];
    let tree = user
        .work_tree(&real.platform, Over::Http, "ticks", &files)
        .await;
    let library = user
        .work_tree(
            &real.platform,
            Over::Http,
            "library",
            &[("lib.txt", "from the submodule")],
        )
        .await;
    let commit = library
        .git(&["rev-parse", "HEAD"])
        .await
        .ok()
        .stdout
        .trim()
        .to_owned();
    library.git(&["update-server-info"]).await.ok();
    let git_dir = library.file(".git");
    let network = super::common::container_config(&real.instance).network;
    let gateway = real
        .docker
        .ensure_network(&network)
        .await
        .unwrap()
        .gateway
        .unwrap();
    let port = serve(gateway, move |path| {
        std::fs::read(git_dir.join(path.strip_prefix("/library.git/")?)).ok()
    })
    .await;
    let modules = format!(
        "[submodule \"any name\"]\n\tpath = vendor/library\n\turl = http://{gateway}:{port}/library.git\n"
    );
    std::fs::write(tree.file(".gitmodules"), modules).unwrap();
    tree.git(&[
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("160000,{commit},vendor/library"),
    ])
    .await
    .ok();
    tree.git(&["add", ".gitmodules"]).await.ok();
    tree.git(&["commit", "-q", "-m", "A submodule"]).await.ok();
    tree.push(&["main"])
        .await
        .ok()
        .says("-----> Fetching submodule vendor/library from http://");
    let release = real.platform.releases(app).await.pop().unwrap();
    let path = real
        .platform
        .blobs
        .local_path(&real.platform.slug_of(&release).await.checksum)
        .unwrap();
    let listing = tokio::process::Command::new("tar")
        .args(["--zstd", "-tf"])
        .arg(path)
        .output()
        .await
        .unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    assert!(
        listing.lines().any(|name| name == "vendor/library/lib.txt"),
        "{listing}"
    );
    assert!(!listing.contains(".git/"), "{listing}");
}
