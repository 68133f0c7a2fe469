use super::common::Platform;
use super::common::user::{BOTH, Over};

#[tokio::test(flavor = "multi_thread")]
async fn only_main_and_master_deploy_and_refusals_say_what_to_do() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("foo", &user).await;
    for over in BOTH {
        let tree = user
            .work_tree(&platform, over, "foo", &[("Procfile", "web: x")])
            .await;
        tree.git(&["tag", "v1"]).await.ok();
        for (refs, words) in [
            (&["main:feature"][..], "git push paas HEAD:main"),
            (&["v1"], "Tags are not deployed"),
            (&["main", "main:master"], "both main and master"),
            (&["main", "main:feature"], "git push paas main"),
        ] {
            tree.push(refs)
                .await
                .refused()
                .says(words)
                .says("pre-receive hook declined");
        }
    }
    assert_eq!(platform.releases(app).await.len(), 1);
    assert_eq!(platform.builds(app).await.len(), 0);
    let tree = user
        .work_tree(&platform, Over::Http, "foo", &[("Procfile", "web: x")])
        .await;
    tree.git(&["tag", "-a", "v2", "-m", "Two"]).await.ok();
    tree.push(&["--follow-tags", "main"])
        .await
        .ok()
        .says("Released v2");
    let there = tree.git(&["ls-remote", "paas"]).await.ok().stdout;
    assert!(there.contains("refs/tags/v2"), "{there}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployed_branch_can_be_forced_but_not_deleted() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("foo", &user).await;
    for over in BOTH {
        let tree = user
            .work_tree(
                &platform,
                over,
                "foo",
                &[("Procfile", "web: x"), ("a", &format!("{over:?}"))],
            )
            .await;
        tree.push(&["--force", "main"]).await.ok();
        tree.git(&["commit", "-q", "--amend", "-m", "Another"])
            .await
            .ok();
        tree.push(&["main"])
            .await
            .refused()
            .says("non-fast-forward");
        tree.push(&["--force", "main"]).await.ok();
        let head = tree.git(&["rev-parse", "HEAD"]).await.ok().stdout;
        let there = tree
            .git(&["ls-remote", "paas", "refs/heads/main"])
            .await
            .ok()
            .stdout;
        assert!(there.starts_with(head.trim()), "{there}");
        tree.push(&["--delete", "main"])
            .await
            .refused()
            .says("paas apps:destroy");
        tree.push(&["main"])
            .await
            .ok()
            .says("Everything up-to-date");
    }
    assert_eq!(platform.releases(app).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_can_be_cloned_and_fetched() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    for (branch, app) in [("main", "with-main"), ("master", "with-master")] {
        platform.app(app, &user).await;
        for over in BOTH {
            let tree = user
                .work_tree(
                    &platform,
                    over,
                    app,
                    &[("Procfile", "web: x"), ("over", &format!("{over:?}"))],
                )
                .await;
            tree.push(&["--force", &format!("main:{branch}")])
                .await
                .ok();
            for version in ["0", "2"] {
                let copy = format!("copy-{version}");
                let protocol = format!("protocol.version={version}");
                tree.git(&[
                    "-c",
                    &protocol,
                    "clone",
                    "-q",
                    &user.url(&platform, over, app),
                    &copy,
                ])
                .await
                .ok();
                assert_eq!(
                    std::fs::read_to_string(tree.file(&copy).join("over")).unwrap(),
                    format!("{over:?}")
                );
            }
            let next = tree.commit(&[("more", "x")]).await;
            tree.push(&[&format!("main:{branch}")]).await.ok();
            let copy = tree.file("copy-2");
            user.git(&copy, &["fetch", "-q"]).await.ok();
            let fetched = user
                .git(&copy, &["rev-parse", &format!("origin/{branch}")])
                .await
                .ok()
                .stdout;
            assert_eq!(fetched.trim(), next);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_never_pushed_to_clones_as_an_empty_repository() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    platform.app("foo", &user).await;
    let dir = tempfile::tempdir().unwrap();
    for over in BOTH {
        let url = user.url(&platform, over, "foo");
        user.git(dir.path(), &["clone", &url, &format!("{over:?}")])
            .await
            .ok()
            .says("empty repository");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gzipped_request_is_understood() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    platform.app("foo", &user).await;
    let tree = user
        .work_tree(&platform, Over::Http, "foo", &[("Procfile", "web: x")])
        .await;
    // A negotiation long enough for git to gzip it (over 1,024 bytes of haves).
    for number in 0..60 {
        tree.commit(&[("number", &number.to_string())]).await;
    }
    tree.push(&["main"]).await.ok();
    let copy = tree.file("copy");
    tree.git(&[
        "clone",
        "-q",
        &user.url(&platform, Over::Http, "foo"),
        &copy.display().to_string(),
    ])
    .await
    .ok();
    // Newer than all the server has, for git offers the newest first and stops at the first that is known.
    for number in 0..60 {
        let committed = user
            .command(&copy)
            .env(
                "GIT_COMMITTER_DATE",
                format!("{} +0000", 4_000_000_000u64 + number),
            )
            .args(["commit", "-q", "--allow-empty", "-m", "Mine"])
            .output()
            .await
            .unwrap();
        assert!(committed.status.success());
    }
    tree.commit(&[("one", "more")]).await;
    tree.push(&["main"]).await.ok();
    let trace = user
        .command(&copy)
        .env("GIT_TRACE_CURL", "1")
        .args(["-c", "protocol.version=0", "fetch"])
        .output()
        .await
        .unwrap();
    let trace = String::from_utf8_lossy(&trace.stderr).to_ascii_lowercase();
    assert!(trace.contains("content-encoding: gzip"), "git did not gzip");
    assert!(!trace.contains("fatal"), "{trace}");
}
