//! Git as people use it: clone, force push, SSH, big repositories, two pushes at once, Ctrl-C.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tests::command::run;
use tests::eventually::eventually;
use tests::{Platform, Project};
use tokio::process::{Child, Command};

#[tokio::test]
async fn what_was_pushed_can_be_cloned_and_a_force_push_deploys() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    project.push().await.ok();
    let url = project
        .git(&["remote", "get-url", "paas"])
        .await
        .ok()
        .stdout;
    project
        .git(&["clone", "-q", url.trim(), "../cloned"])
        .await
        .ok();
    assert!(platform.path().join("cloned/Procfile").exists());

    project.write("new.txt", "new");
    project.git(&["add", "-A"]).await.ok();
    project
        .git(&["commit", "-q", "--amend", "-m", "Another first"])
        .await
        .ok();
    project.push().await.failed();
    project
        .git(&["push", "--force", "paas", "master"])
        .await
        .ok()
        .says("Released v3");
}

#[tokio::test]
async fn a_push_over_ssh_deploys_and_a_strange_key_does_not() {
    let platform = Platform::start().await;
    let key = platform.home().join("id_ed25519");
    let mut keygen = Command::new("ssh-keygen");
    keygen
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key);
    run(&mut keygen, Duration::from_secs(10))
        .await
        .unwrap()
        .ok();
    let project = platform.project("procfile-only").await;
    let remote = format!(
        "ssh://git@127.0.0.1:{}/{}.git",
        platform.ssh.port(),
        project.app
    );
    let ssh = format!(
        "ssh -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={}",
        key.display(),
        platform.home().join("known_hosts").display()
    );
    let push = || async {
        let mut git = project.git_command(&["push", &remote, "master"]);
        git.env("GIT_SSH_COMMAND", &ssh);
        run(&mut git, Duration::from_secs(300)).await.unwrap()
    };
    push().await.failed();
    let public = key.with_extension("pub");
    platform
        .paas(&["keys:add", &public.to_string_lossy()])
        .await
        .ok();
    push().await.ok().says("Released v2");
    assert_eq!(project.get("/").await.status, 200);
}

#[tokio::test]
async fn a_repository_of_a_hundred_megabytes_is_pushed() {
    let platform = Platform::start().await;
    let project = platform.project("procfile-only").await;
    let mut fill = Command::new("sh");
    fill.args([
        "-c",
        "for i in 1 2 3 4 5 6 7 8 9 10; do head -c 10485760 /dev/urandom > blob$i; done",
    ]);
    fill.current_dir(&project.dir);
    run(&mut fill, Duration::from_secs(60)).await.unwrap().ok();
    project.write(".slugignore", "blob*\n");
    project.commit("Big").await;
    project
        .push()
        .await
        .ok()
        .says("Deleting")
        .says("Released v2");
}

#[tokio::test]
async fn a_second_push_waits_for_the_first_and_ctrl_c_frees_the_way() {
    let platform = Platform::start().await;
    let project = platform.project("node-express").await;
    project.write("package.json", SLOW_BUILD);
    project
        .git(&["rm", "-q", "--cached", "package-lock.json"])
        .await
        .ok();
    std::fs::remove_file(project.dir.join("package-lock.json")).unwrap();
    project.commit("Slow").await;
    let first_log = platform.path().join("first.log");
    let mut first = push_in_background(&project, &first_log);
    eventually("the build runs", Duration::from_secs(60), || async {
        (!platform.containers("build").await.is_empty()).then_some(())
    })
    .await;

    project.write("package.json", "{}");
    project.write("Procfile", "web: python3 -m http.server $PORT\n");
    project.commit("Quick").await;
    let second_log = platform.path().join("second.log");
    let mut second = push_in_background(&project, &second_log);
    eventually("the second push waits", Duration::from_secs(60), || async {
        let said = fs_err::read_to_string(&second_log).unwrap();
        said.contains("waits for its turn").then_some(())
    })
    .await;

    // As Ctrl-C does: the signal goes to git and its helpers, not to the server.
    let group = format!("-{}", first.id().unwrap());
    run(
        Command::new("kill").args(["-INT", "--", &group]),
        Duration::from_secs(5),
    )
    .await
    .unwrap()
    .ok();
    assert!(!first.wait().await.unwrap().success());
    let status = tokio::time::timeout(Duration::from_secs(60), second.wait())
        .await
        .expect("the second push ends")
        .unwrap();
    let said = fs_err::read_to_string(&second_log).unwrap();
    assert!(status.success(), "{said}");
    assert!(said.contains("Released v2"), "{said}");
    assert!(
        platform.containers("build").await.is_empty(),
        "the first build goes on"
    );
}

/// In a process group of its own, as a terminal has it.
fn push_in_background(project: &Project<'_>, log: &Path) -> Child {
    project
        .git_command(&["push", "paas", "master"])
        .stdout(Stdio::null())
        .stderr(fs_err::File::create(log).unwrap().into_parts().0)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

const SLOW_BUILD: &str = r#"{"name":"slow","version":"1.0.0","scripts":{"build":"sleep 300"}}"#;
