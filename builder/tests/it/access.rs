use model::TeamRole;
use store::{Txn, key};

use super::common::Platform;
use super::common::user::{BOTH, Over, User};

/// Push, clone and fetch of one app by one user, as git tells it.
async fn attempts(platform: &Platform, user: &User, over: Over, app: &str) -> [String; 3] {
    let tree = user
        .work_tree(platform, over, app, &[("Procfile", "web: x")])
        .await;
    let push = tree.push(&["main"]).await.refused();
    let fetch = tree.git(&["fetch", "paas"]).await.refused();
    let target = tree.file("clone").display().to_string();
    let clone = tree
        .git(&["clone", &user.url(platform, over, app), &target])
        .await
        .refused();
    let said = |stderr: &str| {
        let lines = stderr
            .lines()
            .filter(|line| !line.starts_with("Cloning into") && !line.contains("127.0.0.1"));
        lines.collect::<Vec<_>>().join("\n")
    };
    [push, fetch, clone].map(|ended| said(&ended.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn to_a_stranger_an_app_does_not_exist_and_nothing_is_made() {
    let platform = Platform::start().await;
    let (owner, stranger) = (
        platform.user("owner@example.com").await,
        platform.user("stranger@example.com").await,
    );
    platform.app("foo", &owner).await;
    platform.app("foobar", &stranger).await;
    for over in BOTH {
        let there = attempts(&platform, &stranger, over, "foo").await;
        let not_there = attempts(&platform, &stranger, over, "bar").await;
        for (there, not_there) in there.iter().zip(&not_there) {
            assert!(there.contains("No such app as foo."), "{there}");
            assert_eq!(there.replace("foo", "bar"), *not_there, "{over:?}");
        }
    }
    assert_eq!(platform.files("repos"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_matched_exactly() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    platform.app("foobar", &user).await;
    for over in BOTH {
        for name in [
            "foo",
            "bar",
            "FOOBAR",
            "foobar.git",
            "foobar%2f..",
            "foobar/objects",
        ] {
            let tree = user
                .work_tree(&platform, over, name, &[("Procfile", "web: x")])
                .await;
            tree.push(&["main"]).await.refused();
        }
    }
    assert_eq!(platform.files("repos"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_collaborators_and_admins_push_and_clone() {
    let platform = Platform::start().await;
    let owner = platform.user("owner@example.com").await;
    let collaborator = platform.user("collaborator@example.com").await;
    let admin = platform.account("admin@example.com", true).await;
    let app = platform.app("foo", &owner).await;
    platform.share(app, &collaborator).await;
    for user in [&owner, &collaborator, &admin] {
        for over in BOTH {
            let tree = user
                .work_tree(
                    &platform,
                    over,
                    "foo",
                    &[("Procfile", "web: x"), ("by", &user.token)],
                )
                .await;
            tree.push(&["--force", "main"]).await.ok();
            tree.git(&["clone", "-q", &user.url(&platform, over, "foo"), "copy"])
                .await
                .ok();
            assert_eq!(
                std::fs::read_to_string(tree.file("copy/by")).unwrap(),
                user.token
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_team_its_administrators_push_and_its_members_once_they_have_joined() {
    let platform = Platform::start().await;
    let maker = platform.user("maker@example.com").await;
    let admin = platform.user("admin@example.com").await;
    let member = platform.user("member@example.com").await;
    let app = platform.app("foo", &maker).await;
    let people = [(&admin, TeamRole::Admin), (&member, TeamRole::Member)];
    platform.give_to_a_team(app, &people).await;
    let push = async |user: &User| {
        let files = [("Procfile", "web: x"), ("by", user.token.as_str())];
        let tree = user.work_tree(&platform, Over::Http, "foo", &files).await;
        tree.push(&["--force", "main"]).await
    };
    // Whoever made it has no more to do with it than anybody.
    push(&maker).await.refused();
    push(&admin).await.ok();
    push(&member)
        .await
        .says("You may read the source of foo, but not deploy it.");
    platform.share(app, &member).await;
    push(&member).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collaborator_who_may_view_clones_and_does_not_push() {
    let platform = Platform::start().await;
    let owner = platform.user("owner@example.com").await;
    let viewer = platform.user("viewer@example.com").await;
    let app = platform.app("foo", &owner).await;
    platform
        .share_for(app, &viewer, model::Permission::View)
        .await;
    for over in BOTH {
        let tree = viewer
            .work_tree(&platform, over, "foo", &[("Procfile", "web: x")])
            .await;
        tree.push(&["main"])
            .await
            .refused()
            .says("You may read the source of foo, but not deploy it.");
        tree.git(&["fetch", "paas"]).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_reading_clones_and_does_not_push() {
    let platform = Platform::start().await;
    let owner = platform.user("owner@example.com").await;
    platform.app("foo", &owner).await;
    let tree = owner
        .work_tree(&platform, Over::Http, "foo", &[("Procfile", "web: x")])
        .await;
    platform.narrow(&owner, model::Scope::Read).await;
    tree.push(&["main"])
        .await
        .refused()
        .says("it needs the scope write-protected");
    tree.git(&["fetch", "paas"]).await.ok();
    platform.narrow(&owner, model::Scope::Identity).await;
    tree.git(&["fetch", "paas"])
        .await
        .refused()
        .says("it needs the scope read");
    platform.narrow(&owner, model::Scope::WriteProtected).await;
    tree.push(&["main"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lacks_a_second_factor_that_is_asked_of_him_has_no_way_in() {
    let mut platform = Platform::start().await;
    let owner = platform.user("owner@example.com").await;
    platform.app("foo", &owner).await;
    platform.stop_builder().await;
    platform.second_factor = model::SecondFactorRule::Everybody;
    platform.start_builder().await;
    let [push, ..] = attempts(&platform, &owner, Over::Http, "foo").await;
    assert!(push.contains("paas auth:2fa:enable"), "{push}");
    attempts(&platform, &owner, Over::Ssh, "foo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_has_no_way_in() {
    let platform = Platform::start().await;
    let owner = platform.user("owner@example.com").await;
    platform.app("foo", &owner).await;
    let mut suspended = owner.account.clone();
    suspended.suspended_at = Some(model::Timestamp::now());
    let place = key::account(suspended.id);
    platform
        .commit(Txn::new().put(&key::ACCOUNTS, place, &suspended))
        .await;
    attempts(&platform, &owner, Over::Http, "foo").await;
    attempts(&platform, &owner, Over::Ssh, "foo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_or_with_wrong_ones_nothing_is_told() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    platform.app("foo", &user).await;
    let dir = tempfile::tempdir().unwrap();
    let address = platform.http;
    for name in ["foo", "nothing"] {
        let wrong = format!("http://me:wrong@{address}/{name}.git");
        user.git(dir.path(), &["ls-remote", &wrong])
            .await
            .refused()
            .says("Authentication failed");
        let none = format!("http://{address}/{name}.git");
        user.git(dir.path(), &["ls-remote", &none])
            .await
            .refused()
            .says("could not read Username");
    }
    let bearer = format!("http.extraHeader=Authorization: Bearer {}", user.token);
    user.git(
        dir.path(),
        &[
            "-c",
            &bearer,
            "ls-remote",
            &format!("http://{address}/foo.git"),
        ],
    )
    .await
    .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_denied_and_a_known_one_gets_no_shell() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    platform.app("foo", &user).await;
    let ssh = async |options: &str, command: &str| {
        let line = format!(
            "{} {options} -p {} git@127.0.0.1 {command}",
            user.ssh(),
            platform.ssh.port()
        );
        tokio::process::Command::new("sh")
            .args(["-c", &line])
            .output()
            .await
            .unwrap()
    };
    let shell = ssh("-T", "").await;
    assert_eq!(shell.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&shell.stderr).contains("Hello user@example.com"),
        "{shell:?}"
    );
    let other = ssh("", "ls").await;
    assert!(
        String::from_utf8_lossy(&other.stderr).contains("Only git is spoken here"),
        "{other:?}"
    );

    let strange = tempfile::tempdir().unwrap();
    let key = strange.path().join("key").display().to_string();
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", &key])
        .status();
    assert!(made.unwrap().success());
    let line = user.ssh().replace(
        &format!("-i {}", user.ssh().split_whitespace().nth(4).unwrap()),
        &format!("-i {key}"),
    );
    let url = user.url(&platform, Over::Ssh, "foo");
    let denied = user
        .command(strange.path())
        .env("GIT_SSH_COMMAND", line)
        .args(["ls-remote", &url])
        .output()
        .await
        .unwrap();
    assert!(
        String::from_utf8_lossy(&denied.stderr).contains("Permission denied (publickey)"),
        "{denied:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_key_outlives_the_builder() {
    let mut platform = Platform::start().await;
    let scan = async |port: u16| {
        let port = port.to_string();
        let output = tokio::process::Command::new("ssh-keyscan")
            .args(["-p", &port, "127.0.0.1"])
            .output()
            .await
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace()
            .last()
            .map(str::to_owned)
            .expect("a host key")
    };
    let before = scan(platform.ssh.port()).await;
    platform.stop_builder().await;
    platform.start_builder().await;
    assert_eq!(scan(platform.ssh.port()).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_plain_http_nobody_is_asked_for_a_token() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    platform.app("foo", &user).await;
    let tree = user.work_tree(&platform, Over::Http, "foo", &[]).await;
    // As the router tells how a client came.
    let http = "http.extraHeader=X-Forwarded-Proto: http";
    tree.git(&["-c", http, "ls-remote", "paas"])
        .await
        .refused()
        .says("403");
    tree.git(&["ls-remote", "paas"]).await.ok();
}
