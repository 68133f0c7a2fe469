//! Sixty-four at work on one app, and the server killed in their midst.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng as _;
use serde_json::Value;
use tests::command::run;
use tests::eventually::eventually;
use tests::platform::DOMAIN;
use tests::{Platform, web};
use tokio::process::Command;

const CLIENTS: usize = 64;
const DEEDS: usize = 4;
const WITHIN: Duration = Duration::from_secs(240);

/// What a client was told.
struct Deed {
    is_done: bool,
    /// With what it was said to.
    said: String,
}

/// A deed's command, and the description that its release has, where it makes one.
fn deed(client: usize, number: usize) -> (Vec<String>, Option<String>) {
    let key = format!("K{client}_{number}");
    let words = |text: String| text.split(' ').map(str::to_owned).collect();
    match (client + number) % 8 {
        0 => (
            words(format!("ps:scale web={} --no-wait", 1 + number % 2)),
            None,
        ),
        1 => (words("ps:restart --no-wait".to_owned()), None),
        2 => (
            words("rollback v2 --no-wait".to_owned()),
            Some("Rollback to v2".to_owned()),
        ),
        _ => (
            words(format!("config:set {key}={number} --no-wait")),
            Some(format!("Set {key} config vars")),
        ),
    }
}

async fn client(mut commands: Vec<Command>, router: SocketAddr) -> Vec<Deed> {
    let mut deeds = Vec::new();
    for command in &mut commands {
        let text = format!("{:?}", command.as_std());
        let said = run(command, WITHIN).await.unwrap();
        if !said.success() {
            // Whoever finds nobody there waits until somebody is.
            let host = format!("api.{DOMAIN}");
            eventually("the API answers", WITHIN, || async {
                let answer = web::get(router, &host, "/account").await.ok()?;
                (answer.status == 401).then_some(())
            })
            .await;
        }
        deeds.push(Deed {
            is_done: said.success(),
            said: format!("{text}: {}", said.all()),
        });
    }
    deeds
}

/// Every release, the oldest first.
async fn releases(platform: &Platform, app: &str) -> Vec<Value> {
    let list = ["releases", "-a", app, "-n", "1000", "--json"];
    let said = platform.paas(&list).await.ok().stdout;
    let mut all: Vec<Value> = serde_json::from_str(&said).unwrap();
    all.sort_by_key(|release| release["version"].as_u64());
    all
}

/// The config that follows from the releases: what was set is named by its description, and worth its number.
fn config_of(releases: &[Value]) -> BTreeMap<String, String> {
    let mut of_version = vec![BTreeMap::new()];
    for release in releases {
        let mut config: BTreeMap<String, String> = of_version.last().unwrap().clone();
        let description = release["description"].as_str().unwrap();
        if let Some(version) = description.strip_prefix("Rollback to v") {
            config = of_version[version.parse::<usize>().unwrap()].clone();
        } else if let Some(names) = description.strip_prefix("Set ") {
            let name = names.strip_suffix(" config vars").unwrap();
            let (_, number) = name.split_once('_').unwrap();
            config.insert(name.to_owned(), number.to_owned());
        }
        of_version.push(config);
    }
    of_version.pop().unwrap()
}

#[tokio::test]
async fn sixty_four_clients_on_one_app_lose_nothing_though_the_server_is_killed() {
    let mut platform = Platform::start().await;
    let (app, host, dir) = {
        let project = platform.project("procfile-only").await;
        project.push().await.ok();
        (project.app.clone(), project.host(), project.dir.clone())
    };
    let router = platform.http;
    let mut clients = tokio::task::JoinSet::new();
    let mut expected = Vec::new();
    for number in 0..CLIENTS {
        let mut commands = Vec::new();
        for deed_number in 0..DEEDS {
            let (mut words, description) = deed(number, deed_number);
            words.extend(["-a".to_owned(), app.clone()]);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            commands.push(platform.command(&words));
            expected.push(description);
        }
        clients.spawn(async move { (number, client(commands, router).await) });
    }
    // And somebody who pushes.
    let push = |platform: &Platform| {
        let mut commit = Command::new("git");
        platform.environment(&mut commit);
        commit
            .args(["commit", "-q", "--allow-empty", "-m", "More"])
            .current_dir(&dir);
        let mut push = Command::new("git");
        platform.environment(&mut push);
        push.args(["push", "-q", "paas", "master"])
            .current_dir(&dir);
        (commit, push)
    };
    let (mut commit, mut push) = push(&platform);
    let pusher = tokio::spawn(async move {
        run(&mut commit, WITHIN).await.unwrap().ok();
        run(&mut push, WITHIN).await.unwrap()
    });

    // Somewhere in the middle.
    eventually("some have been served", WITHIN, || async {
        (releases(&platform, &app).await.len() > CLIENTS / 2).then_some(())
    })
    .await;
    let pause = rand::rng().random_range(0..500);
    tokio::time::sleep(Duration::from_millis(pause)).await;
    platform.kill_and_boot().await;

    let mut told: Vec<(usize, Vec<Deed>)> = clients.join_all().await;
    told.sort_by_key(|(number, _)| *number);
    let told: Vec<Deed> = told.into_iter().flat_map(|(_, deeds)| deeds).collect();
    // Accepted or, where the kill met it, not.
    pusher.await.unwrap();

    let all = releases(&platform, &app).await;
    let versions: Vec<_> = all
        .iter()
        .map(|release| release["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, (1..=all.len() as u64).collect::<Vec<_>>());
    let count = |description: &str| {
        all.iter()
            .filter(|release| release["description"] == description)
            .count()
    };
    let mut rollbacks = 0;
    for (deed, description) in told.iter().zip(&expected) {
        match description.as_deref() {
            Some("Rollback to v2") => rollbacks += usize::from(deed.is_done),
            // Nothing that was acknowledged is lost, and nothing is done twice.
            Some(description) => {
                let times = count(description);
                assert!(
                    times == 1 || (times == 0 && !deed.is_done),
                    "{times} times: {}",
                    deed.said
                );
            }
            None => {}
        }
    }
    assert!(count("Rollback to v2") >= rollbacks);
    // Only what the kill met has failed: of each client what it met, and perhaps what met the way back. Nobody who was
    // merely one of many was sent away.
    for deeds in told.chunks(DEEDS) {
        let failed: Vec<&str> = deeds
            .iter()
            .filter(|deed| !deed.is_done)
            .map(|deed| deed.said.as_str())
            .collect();
        let sent_away = failed.iter().any(|said| said.contains("Others changed"));
        assert!(failed.len() <= 2 && !sent_away, "{failed:#?}");
    }

    let said = platform
        .paas(&["config", "-a", &app, "--json"])
        .await
        .ok()
        .stdout;
    let config: BTreeMap<String, String> = serde_json::from_str(&said).unwrap();
    assert_eq!(config, config_of(&all));

    // It is the last one that counts, for what runs too.
    let set = ["config:set", "POWERED_BY=the last", "-a", &app];
    platform.paas(&set).await.ok();
    platform.paas(&["ps:scale", "web=2", "-a", &app]).await.ok();
    let answer = platform.get(&host, "/").await;
    assert!(answer.text.contains("Hello from the last"), "{answer:?}");
    eventually("two dynos are left", Duration::from_secs(90), || async {
        (platform.containers("dyno").await.len() == 2).then_some(())
    })
    .await;

    // One of all who destroy it does.
    let mut destroyers = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let destroy = platform.command(&["destroy", "-a", &app, "--confirm", &app]);
        destroyers.spawn(async move { (number, client(vec![destroy], router).await) });
    }
    let told = destroyers.join_all().await;
    let destroyed = told.iter().filter(|(_, deeds)| deeds[0].is_done).count();
    assert_eq!(destroyed, 1);
    eventually("nothing of it is left", Duration::from_secs(90), || async {
        platform.containers("dyno").await.is_empty().then_some(())
    })
    .await;
}
