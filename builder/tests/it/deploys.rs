use std::collections::HashMap;

use builder::Limits;
use model::audit::AuditRecord;
use model::{BuildStatus, ReleaseFailure, ReleaseStatus};
use store::key;

use super::common::user::{BOTH, Over};
use super::common::{Fate, Platform, eventually};

const APP: &[(&str, &str)] = &[
    ("Procfile", "web: serve\nworker: work\n"),
    ("Buildfile", "print        hello"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_in_the_audit_log_before_it_is_built_and_how_it_went_after() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let mut commits = Vec::new();
    for over in BOTH {
        // Made within the same second of the same files, both would be one commit.
        let by = format!("{over:?}");
        let files = [("Procfile", "web: serve\n"), ("by", by.as_str())];
        let tree = user.work_tree(&platform, over, "ticks", &files).await;
        tree.push(&["--force", "main"]).await.ok();
        let commit = tree.git(&["rev-parse", "HEAD"]).await.stdout;
        commits.push(commit.trim().to_owned());
    }
    let bad = [("Procfile", "web: serve\n"), ("Buildfile", "fail no")];
    let tree = user.work_tree(&platform, Over::Http, "ticks", &bad).await;
    tree.push(&["--force", "main"]).await.refused();

    let log = async || {
        let blocks = key::AUDIT.all(&*platform.store).await.unwrap();
        let records = blocks.into_iter().flat_map(|block| block.value.records);
        records.collect::<Vec<_>>()
    };
    eventually("how each went is on record", async || {
        log().await.len() == 6
    })
    .await;
    let (mut begun, mut ended) = (Vec::new(), HashMap::new());
    for record in log().await {
        match record {
            AuditRecord::Begun(deed) => begun.push(deed),
            AuditRecord::Ended(end) => {
                ended.insert(end.id, end.status);
            }
        }
    }
    let statuses: Vec<_> = begun.iter().map(|deed| ended[&deed.id]).collect();
    assert_eq!(statuses, [200, 200, 422]);
    for (deed, commit) in begun.iter().zip(&commits) {
        assert_eq!(
            (deed.what.as_str(), deed.actor.email.as_str()),
            ("git push", "user@example.com")
        );
        assert_eq!(deed.app.as_ref().map(|app| app.id), Some(app));
        assert_eq!(deed.parameters["branch"], "main");
        assert_eq!(&deed.parameters["commit"], commit);
    }
    let [http, ssh] = BOTH.map(|over| usize::from(over == Over::Ssh));
    assert!(begun[http].token.is_some() && begun[ssh].token.is_none());
    assert!(begun[ssh].from.is_some_and(|from| from.is_loopback()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_prints_herokus_transcript_and_makes_one_release() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let tree = user.work_tree(&platform, Over::Http, "ticks", APP).await;
    let commit = tree
        .git(&["rev-parse", "HEAD"])
        .await
        .stdout
        .trim()
        .to_owned();
    let push = tree
        .push(&["main"])
        .await
        .ok()
        .says("* [new branch]      main -> main");
    let said = push.remote();
    let size = said
        .split("Done: ")
        .nth(1)
        .unwrap()
        .split('\n')
        .next()
        .unwrap();
    assert_eq!(
        said,
        format!(
            "Compressing source files... done.\nBuilding source:\n\n-----> Fake app detected\n       hello\n-----> Compressing...\n       Done: {size}\n-----> Launching...\n       Released v2\n       https://ticks.paas.localhost:8443/ deployed to paas\n\nVerifying deploy... done.\n"
        )
    );

    let releases = platform.releases(app).await;
    let release = releases.last().unwrap();
    assert_eq!(release.description, format!("Deploy {}", &commit[..8]));
    assert_eq!(
        (release.status.clone(), release.actor.email.as_str()),
        (ReleaseStatus::Succeeded, "user@example.com")
    );
    let slug = platform.slug_of(release).await;
    assert_eq!(slug.commit.as_deref(), Some(commit.as_str()));
    assert_eq!(
        (slug.language.as_deref(), slug.commit_description.as_deref()),
        (Some("Fake"), Some("A change"))
    );
    assert_eq!(slug.process_types.len(), 2);
    assert_eq!(
        platform.blobs.size(&slug.checksum).await.unwrap(),
        slug.size
    );

    let record = platform.app_record(app).await;
    assert_eq!(record.quantity(&"web".parse().unwrap()), 1);
    assert_eq!(record.quantity(&"worker".parse().unwrap()), 0);
    assert_eq!(
        (record.buildpacks.len(), record.slug_size),
        (1, Some(slug.size))
    );
    assert!(record.repo_size.unwrap() > 0);

    let [build] = platform.builds(app).await.try_into().unwrap();
    assert_eq!(
        build.status,
        BuildStatus::Succeeded {
            slug: slug.id,
            release: release.version
        }
    );
    let output = platform
        .blobs
        .read(&build.output.unwrap(), 1 << 20)
        .await
        .unwrap();
    assert!(String::from_utf8_lossy(&output).contains("-----> Fake app detected\n       hello\n"));
    assert_eq!(
        platform.api_lines(),
        [
            "Build started by user user@example.com".to_owned(),
            "Build succeeded".to_owned(),
            format!("Deploy {} by user user@example.com", &commit[..8]),
            "Release v2 created by user user@example.com".to_owned(),
        ]
    );
    assert_eq!(platform.files("builds"), Vec::<String>::new());
    eventually("the lock is free", async || !platform.is_locked(app).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_rejects_the_ref_and_makes_no_release() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    for over in BOTH {
        let tree = user
            .work_tree(
                &platform,
                over,
                "ticks",
                &[("Buildfile", "fail It does not compile.")],
            )
            .await;
        let push = tree
            .push(&["main"])
            .await
            .refused()
            .says("(pre-receive hook declined)");
        assert!(push.remote().ends_with(" !     It does not compile.\n\n !     Push failed\nVerifying deploy...\n\n!\tPush rejected to ticks.\n\n"), "{}", push.remote());
        assert_eq!(tree.git(&["ls-remote", "paas"]).await.ok().stdout, "");
    }
    assert_eq!(platform.releases(app).await.len(), 1);
    let builds = platform.builds(app).await;
    assert_eq!(builds.len(), 2);
    for build in builds {
        assert_eq!(
            build.status,
            BuildStatus::Failed {
                reason: "It does not compile.".to_owned()
            }
        );
        assert!(build.output.is_some());
    }
    assert_eq!(platform.files("builds"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_fails_rejects_the_push_with_reason_and_log_and_names_what_still_serves() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let tree = user.work_tree(&platform, Over::Http, "ticks", APP).await;
    tree.push(&["main"]).await.ok();
    let before = tree.git(&["ls-remote", "paas", "main"]).await.ok().stdout;
    platform.set_fate(Fate::Fail(ReleaseFailure {
        reason: "web.1: Process exited with status 1".to_owned(),
        log_tail: vec!["Traceback:".to_owned(), "ImportError".to_owned()],
    }));
    tree.commit(&[("x", "y")]).await;
    let push = tree
        .push(&["main"])
        .await
        .refused()
        .says("(pre-receive hook declined)");
    let said = push.remote();
    let expected = "Verifying deploy... failed.\n\n !     v3 failed: web.1: Process exited with status 1\n !     The last lines it wrote:\n       Traceback:\n       ImportError\n !     v2 keeps serving: this push changed nothing that runs.\n\n!\tPush rejected to ticks.\n";
    assert!(said.contains(expected), "{said}");
    assert_eq!(
        tree.git(&["ls-remote", "paas", "main"]).await.ok().stdout,
        before
    );
    platform.set_fate(Fate::Succeed);
    tree.push(&["main"]).await.ok().says("Released v4");
    assert_eq!(platform.app_record(app).await.current.0, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_process_type_is_announced_and_its_scale_is_left_to_the_scheduler() {
    let platform = Platform::start().await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let tree = user.work_tree(&platform, Over::Http, "ticks", APP).await;
    tree.push(&["main"]).await.ok();
    let found = store::key::APPS
        .get(&*platform.store, &store::key::app(app))
        .await
        .unwrap()
        .unwrap();
    let mut scaled = found.value.clone();
    scaled
        .formation
        .get_mut(&"worker".parse().unwrap())
        .unwrap()
        .quantity = 2;
    platform
        .commit(store::Txn::new().replace(&store::key::APPS, &found, &scaled))
        .await;
    tree.commit(&[("Procfile", "web: serve\n")]).await;
    tree.push(&["main"])
        .await
        .ok()
        .says("-----> Removing process type worker (2)");
    assert_eq!(
        platform
            .app_record(app)
            .await
            .quantity(&"worker".parse().unwrap()),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_end_a_build_with_a_sentence_that_names_them() {
    let limits = Limits {
        build_time: std::time::Duration::from_secs(2),
        output_bytes: 2 << 20,
        shown_bytes: 1 << 20,
        slug_bytes: 1 << 20,
        slug_warning_bytes: 1 << 19,
        disk_bytes: 30 << 20,
        ..Limits::heroku()
    };
    let platform = Platform::with_limits(limits).await;
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let tree = user.work_tree(&platform, Over::Http, "ticks", APP).await;
    for (buildfile, words) in [
        (
            "hang",
            " !     Build timed out: it may take 2 seconds, and was ended.",
        ),
        (
            "lines 100000",
            " !     Build printed more than 2 MB of output, and was ended.",
        ),
        (
            "noise 2000000",
            " !     Compiled slug is too large (max is 1M).",
        ),
        ("noise 40000000\nhang", " !     Build"),
    ] {
        tree.commit(&[("Buildfile", buildfile)]).await;
        let push = tree.push(&["main"]).await.refused().says(words);
        if buildfile.starts_with("lines") {
            assert!(
                push.stderr.len() < 3 << 20,
                "{} bytes were shown",
                push.stderr.len()
            );
            assert!(push.stderr.contains("Output truncated: 1 MB were shown"));
        }
    }
    tree.commit(&[("Buildfile", "noise 700000")]).await;
    tree.push(&["main"])
        .await
        .ok()
        .says("exceeds our soft limit");
    assert_eq!(platform.builds(app).await.len(), 5);
    eventually("the lock is free", async || !platform.is_locked(app).await).await;
    assert_eq!(platform.files("builds"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_stays_pending_is_left_to_itself_after_a_while() {
    let limits = Limits {
        verify_time: std::time::Duration::from_secs(1),
        ..Limits::heroku()
    };
    let platform = Platform::with_limits(limits).await;
    platform.set_fate(Fate::Undecided);
    let user = platform.user("user@example.com").await;
    platform.app("ticks", &user).await;
    let tree = user.work_tree(&platform, Over::Http, "ticks", APP).await;
    tree.push(&["main"])
        .await
        .ok()
        .says("v2 is not up after 1 seconds. It goes on without this push");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_command_is_announced_and_its_output_shown() {
    let platform = Platform::start().await;
    platform.set_fate(Fate::Undecided);
    let user = platform.user("user@example.com").await;
    let app = platform.app("ticks", &user).await;
    let files = [("Procfile", "web: serve\nrelease: migrate\n")];
    let tree = user.work_tree(&platform, Over::Http, "ticks", &files).await;
    let push = tree.start_push(&["main"]);
    eventually("it is released", async || {
        platform.releases(app).await.len() == 2
    })
    .await;
    let release = platform.releases(app).await.pop().unwrap();
    let now = jiff::Timestamp::now();
    let (dyno, node) = (model::DynoId::new(), model::NodeId::new());
    let record = model::Dyno {
        id: dyno,
        app,
        app_name: "ticks".parse().unwrap(),
        name: "release.1".parse().unwrap(),
        kind: model::DynoKind::ReleasePhase,
        release: release.version,
        release_id: release.id,
        node: Some(node),
        command: "migrate".to_owned(),
        size: Default::default(),
        intent: model::Intent::Run,
        replace: false,
        created_at: now,
    };
    let exit = model::Exit {
        reason: model::ExitReason::Exited { status: 0 },
        log_tail: vec!["migrated 3 tables".to_owned()],
    };
    let state = model::DynoState::Stopped {
        at: now,
        exit: Some(exit),
    };
    let status = model::DynoStatus {
        dyno,
        app,
        node,
        state,
        restarts: 0,
        updated_at: now,
    };
    platform
        .commit(
            store::Txn::new()
                .put(&store::key::DYNOS, store::key::dyno(app, dyno), &record)
                .put(
                    &store::key::DYNO_STATUS,
                    store::key::dyno_status(app, dyno),
                    &status,
                ),
        )
        .await;
    platform.set_fate(Fate::Succeed);
    let said = push.end().await.ok().remote();
    assert!(said.contains(" !     Release command declared: this new release will not be available until the command succeeds.\n       Released v2\n"), "{said}");
    assert!(
        said.ends_with(
            "\nRunning release command...\n\nmigrated 3 tables\nWaiting for release... done.\n"
        ),
        "{said}"
    );
    assert!(
        !platform
            .app_record(app)
            .await
            .formation
            .contains_key(&model::ProcessType::release())
    );
}
