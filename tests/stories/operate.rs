//! A live app, operated: config, scale, rollback, restart, logs, domains, maintenance, destroy.

use std::time::Duration;

use tests::eventually::eventually;
use tests::{Platform, Project};

async fn live<'a>(platform: &'a Platform, fixture: &str) -> Project<'a> {
    let project = platform.project(fixture).await;
    project.push().await.ok();
    project
}

#[tokio::test]
async fn a_config_change_shows_in_the_next_answer_and_a_rollback_takes_it_back() {
    let platform = Platform::start().await;
    let project = live(&platform, "procfile-only").await;
    project
        .paas(&[
            "config:set",
            "POWERED_BY=steam",
            "QUOTED=a b'\"$(exit 1)`x`\nline two",
        ])
        .await
        .ok();
    assert!(project.get("/").await.text.contains("Hello from steam v3"));
    let said = project.paas(&["config:get", "QUOTED"]).await.ok();
    assert_eq!(
        said.stdout.trim_end_matches('\n'),
        "a b'\"$(exit 1)`x`\nline two"
    );
    let shown = project
        .paas(&["run", "--no-tty", "printenv", "QUOTED"])
        .await
        .ok();
    assert_eq!(
        shown.stdout.trim_end_matches('\n'),
        "a b'\"$(exit 1)`x`\nline two"
    );
    project
        .paas(&["config"])
        .await
        .ok()
        .says("POWERED_BY")
        .says("steam");

    project.paas(&["rollback", "v2"]).await.ok().says("v4");
    assert!(project.get("/").await.text.contains("Hello from paas v4"));
    project
        .paas(&["releases"])
        .await
        .ok()
        .says("Rollback to v2")
        .says("Set POWERED_BY, QUOTED config vars");
    project.paas(&["config:unset", "NOT_THERE"]).await.ok();
    project.paas(&["rollback", "v99"]).await.failed();
    project.paas(&["rollback", "v1"]).await.failed();
}

#[tokio::test]
async fn an_app_scales_from_one_to_four_to_none_and_back() {
    let platform = Platform::start().await;
    let project = live(&platform, "procfile-only").await;
    project.paas(&["ps:scale", "web=4"]).await.ok();
    let ps = project.paas(&["ps"]).await.ok();
    for name in ["web.1", "web.2", "web.3", "web.4"] {
        assert!(ps.stdout.contains(name), "{}", ps.stdout);
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        seen.insert(project.get("/").await.text);
    }
    assert_eq!(seen.len(), 4, "all four serve: {seen:?}");

    project.paas(&["ps:scale", "web=0"]).await.ok();
    let none = project
        .eventually("no web dyno answers", |answer| answer.status == 503)
        .await;
    assert!(
        none.text.contains("H14") || none.text.to_lowercase().contains("no web"),
        "{none:?}"
    );
    eventually(
        "all containers are gone",
        Duration::from_secs(60),
        || async { platform.containers("dyno").await.is_empty().then_some(()) },
    )
    .await;

    project.paas(&["ps:scale", "web=1"]).await.ok();
    project
        .eventually("it is back", |answer| answer.status == 200)
        .await;
    project
        .paas(&["ps:scale", "wbe=1"])
        .await
        .failed()
        .says("web");
    assert_eq!(
        project.latest_release().await.0,
        2,
        "scaling makes no release"
    );
}

#[tokio::test]
async fn a_restart_replaces_every_dyno_and_keeps_the_release() {
    let platform = Platform::start().await;
    let project = live(&platform, "procfile-only").await;
    let before = platform.containers("dyno").await;
    project.paas(&["ps:restart"]).await.ok();
    eventually(
        "the container is another one",
        Duration::from_secs(60),
        || async {
            let now = platform.containers("dyno").await;
            (now.len() == 1 && now != before).then_some(())
        },
    )
    .await;
    assert!(project.get("/").await.text.contains("v2 web.1"));
}

#[tokio::test]
async fn logs_show_what_the_app_and_the_platform_say_and_can_be_followed() {
    let platform = Platform::start().await;
    let project = live(&platform, "procfile-only").await;
    project.get("/marked-request").await;
    eventually(
        "the router's line is in the log",
        Duration::from_secs(20),
        || async {
            let logs = project.paas(&["logs", "-n", "200"]).await.ok().stdout;
            (logs.contains("heroku[router]: at=info method=GET path=\"/marked-request\"")
                && logs.contains("heroku[web.1]: State changed from starting to up")
                && logs.contains("app[api]: Release v2 created by user admin@example.com"))
            .then_some(())
        },
    )
    .await;

    let mut tail = platform.command(&["logs", "--tail", "-a", &project.app]);
    tail.stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let mut tail = tail.spawn().unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(tail.stdout.take().unwrap()));
    let follow = async {
        let mut asked = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                _ = asked.tick() => { project.get("/followed-request").await; }
                line = lines.next_line() => {
                    if line.unwrap().expect("the tail goes on").contains("/followed-request") { return }
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), follow)
        .await
        .expect("the tail shows the request");
}

#[tokio::test]
async fn a_domain_leads_to_the_app_until_it_is_removed() {
    let platform = Platform::start().await;
    let project = live(&platform, "procfile-only").await;
    assert_eq!(platform.get("www.example.com", "/").await.status, 404);
    project.paas(&["domains:add", "www.example.com"]).await.ok();
    project
        .paas(&["domains"])
        .await
        .ok()
        .says("www.example.com");
    eventually("the domain is routed", Duration::from_secs(5), || async {
        (platform.get("WWW.example.com", "/").await.status == 200).then_some(())
    })
    .await;
    let other = platform.project("procfile-only").await;
    other
        .paas(&["domains:add", "www.example.com"])
        .await
        .failed();
    project
        .paas(&["domains:remove", "www.example.com"])
        .await
        .ok();
    eventually("the domain is gone", Duration::from_secs(5), || async {
        (platform.get("www.example.com", "/").await.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn maintenance_answers_for_the_app_while_run_still_works() {
    let platform = Platform::start().await;
    let project = live(&platform, "procfile-only").await;
    project.paas(&["maintenance:on"]).await.ok();
    let page = project
        .eventually("the page shows", |answer| answer.status == 503)
        .await;
    assert!(page.text.to_lowercase().contains("maintenance"), "{page:?}");
    project
        .paas(&["run", "--no-tty", "echo", "still here"])
        .await
        .ok()
        .says("still here");
    project.paas(&["maintenance"]).await.ok().says("on");
    project.paas(&["maintenance:off"]).await.ok();
    project
        .eventually("the app answers", |answer| answer.status == 200)
        .await;
}

#[tokio::test]
async fn a_destroyed_app_leaves_nothing_and_its_name_starts_anew() {
    let platform = Platform::start().await;
    let project = live(&platform, "procfile-only").await;
    project.paas(&["config:set", "OLD=1"]).await.ok();
    project
        .paas(&[
            "apps:destroy",
            "--app",
            &project.app,
            "--confirm",
            "another",
        ])
        .await
        .failed();
    project
        .paas(&[
            "apps:destroy",
            "--app",
            &project.app,
            "--confirm",
            &project.app,
        ])
        .await
        .ok();
    project
        .eventually("there is no such app", |answer| answer.status == 404)
        .await;
    eventually(
        "its containers are gone",
        Duration::from_secs(60),
        || async { platform.containers("dyno").await.is_empty().then_some(()) },
    )
    .await;

    project.git(&["remote", "remove", "paas"]).await;
    project.paas(&["create", &project.app]).await.ok();
    assert_eq!(project.latest_release().await.0, 1);
    assert!(!project.paas(&["config"]).await.ok().all().contains("OLD"));
    let logs = project.paas(&["logs"]).await.ok().stdout;
    assert!(!logs.contains("web.1"), "{logs}");
    let refs = project.git(&["ls-remote", "paas"]).await.ok().stdout;
    assert_eq!(refs.trim(), "");
    project.push().await.ok().says("Released v2");
}

#[tokio::test]
async fn requests_are_treated_as_the_app_wishes() {
    let platform = Platform::start().await;
    let project = live(&platform, "says-who").await;
    let other = live(&platform, "procfile-only").await;
    let other_name = other.host().split('.').next().unwrap().to_owned();

    project.paas(&["routing:set", "https-only=on"]).await.ok();
    let led = project
        .eventually("plain HTTP is led away", |answer| answer.status == 301)
        .await;
    let location = led.headers["location"].to_str().unwrap().to_owned();
    assert!(location.starts_with("https://"), "{location}");
    project
        .paas(&["routing:unset", "https-only"])
        .await
        .ok()
        .says("Unsetting https-only");
    project
        .eventually("the app answers", |answer| answer.status == 200)
        .await;

    let path = format!("/other={other_name}");
    project
        .paas(&["routing:set", &path, "session-affinity=on"])
        .await
        .ok();
    eventually("the other app answers", Duration::from_secs(30), || async {
        let answer = project.get("/other").await;
        answer.text.contains("Hello from").then_some(())
    })
    .await;
    assert!(project.get("/").await.headers.contains_key("set-cookie"));
    project
        .paas(&["routing"])
        .await
        .ok()
        .says("session-affinity")
        .says(&other_name);

    // A pause while requests come: each waits, none is lost.
    project.paas(&["routing:pause"]).await.ok();
    eventually("requests are held", Duration::from_secs(30), || async {
        let asked = tokio::time::timeout(Duration::from_millis(300), project.get("/"));
        asked.await.is_err().then_some(())
    })
    .await;
    let held = async {
        let asked = (0..10).map(|_| project.get("/"));
        futures::future::join_all(asked).await
    };
    let resume = async {
        project.paas(&["routing:resume"]).await.ok();
    };
    let (answers, ()) = tokio::join!(held, resume);
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200; 10]);

    project
        .paas(&["routing:set", "hsts=long"])
        .await
        .failed()
        .says("hsts");
    project
        .paas(&["routing:set", "canonical-host=www.elsewhere.example"])
        .await
        .failed()
        .says("domains:add");
}
