//! Waits until what was asked for has come true: a release is proven, dynos are up, restarted dynos are replaced.
//!
//! Each looks at the platform's state again and again and says on the action's line how far it is. What the platform
//! does goes on if we are stopped.

mod unplaceable;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use controller_api::Client;
use controller_api::wire::{Dyno, Formation, Release, ReleaseFailure, ReleaseStatus};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::output::{Action, Output};
use unplaceable::Waiting;
pub(crate) use unplaceable::never_placed;

const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Dynos that have neither come up nor crashed by then wait for something we cannot see, such as room on a node.
const DYNOS_WITHIN: Duration = Duration::from_secs(180);

/// The newest release, which is the one that the change just made has asked for.
pub(crate) async fn newest_release(client: &Client, app: &str) -> Result<Option<Release>> {
    let newest = controller_api::client::ReleaseRange::Newest(1);
    Ok(client.releases(app, newest).await?.into_iter().next())
}

/// Until the release serves, or is known never to.
pub(crate) async fn release(
    output: &Output,
    client: &Client,
    app: &str,
    version: u64,
    action: Action,
) -> Result<()> {
    let name = format!("v{version}");
    let begun = Instant::now();
    loop {
        let release = client.release(app, &name).await?;
        match release.status {
            ReleaseStatus::Succeeded => {
                action.done_with(name);
                return Ok(());
            }
            ReleaseStatus::Expired => {
                action.end(&format!("{name}, already replaced by a newer release"));
                return Ok(());
            }
            ReleaseStatus::Failed => {
                drop(action);
                let failure = client.release_failure(app, &name).await?;
                return Err(tell_failure(output, app, &name, &failure)?.into());
            }
            ReleaseStatus::Pending => {
                let starting = starting(&client.dynos(app).await?, version);
                action.progress(format!("{name}{starting} ({}s)", begun.elapsed().as_secs()));
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// `, web.1 starting, web.2 up`.
fn starting(dynos: &[Dyno], version: u64) -> String {
    let of_release = dynos
        .iter()
        .filter(|dyno| dyno.release.version == version && !is_one_off(dyno));
    of_release
        .map(|dyno| format!(", {} {}", dyno.name, dyno.state))
        .take(3)
        .collect()
}

/// Why a release failed and what its dyno said last.
pub(crate) fn tell_failure(
    output: &Output,
    app: &str,
    release: &str,
    failure: &ReleaseFailure,
) -> Result<Failure> {
    if !failure.log_tail.is_empty() {
        output.hint(format!(
            "The last lines of its log:\n{}",
            indented(&failure.log_tail)
        ))?;
    }
    Ok(Failure::new(format!(
        "Release {release} of {app} failed: {}",
        failure.reason
    ))
    .advise("The release before it keeps serving. Read more with `paas logs`."))
}

pub(crate) fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// One-off dynos may carry the name of a process type; the platform numbers them from 1000 on.
pub(crate) fn is_one_off(dyno: &Dyno) -> bool {
    let index = dyno
        .name
        .rsplit_once('.')
        .and_then(|(_, index)| index.parse::<u32>().ok());
    dyno.process_type == "run" || index.is_some_and(|index| index >= 1000)
}

/// Until no dyno is on the node any more.
pub(crate) async fn drained(client: &Client, node: &str, action: Action) -> Result<()> {
    let begun = Instant::now();
    loop {
        let left = client.node(node).await?.dynos;
        if left == 0 {
            action.done();
            return Ok(());
        }
        if begun.elapsed() > DYNOS_WITHIN {
            drop(action);
            return Err(Failure::new(format!(
                "{left} dynos are still on {node} after {} seconds: one-off dynos run to their end, and others stay where there is no room elsewhere",
                DYNOS_WITHIN.as_secs()
            ))
            .advise("The drain goes on. See `paas nodes`, and `paas logs` of the apps; `paas nodes:uncordon` calls it off.")
            .into());
        }
        let seconds = begun.elapsed().as_secs();
        action.progress(format!("{left} dynos left ({seconds}s)"));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Until no dyno is on a host where it should not be.
pub(crate) async fn moved(client: &Client, app: &str, action: Action) -> Result<()> {
    let deadline = Instant::now() + DYNOS_WITHIN;
    let mut waiting = Waiting::default();
    loop {
        let left = client.placement(app).await?.misplaced;
        if left == 0 {
            action.done();
            return Ok(());
        }
        let dynos = client.dynos(app).await?;
        if let Some(failure) = waiting.unplaceable(client, app, &dynos).await {
            return Err(failure
                .advise("Its dynos run on where they are, and move as soon as there is room.")
                .into());
        }
        if Instant::now() >= deadline {
            return Err(overdue(&format!("{left} dynos are left to move")).into());
        }
        action.progress(format!("{left} dynos to move"));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn overdue(words: &str) -> Failure {
    Failure::new(format!(
        "Not done after {} seconds: {words}",
        DYNOS_WITHIN.as_secs()
    ))
    .advise("The platform goes on with it; follow with `paas ps` and `paas logs --source heroku`.")
}

/// Until each process type that was scaled has as many dynos up as was asked for, and no more.
pub(crate) async fn formation(
    client: &Client,
    app: &str,
    wanted: &[Formation],
    action: &Action,
) -> Result<()> {
    let concerned = |dyno: &Dyno| {
        wanted
            .iter()
            .any(|formation| formation.process_type == dyno.process_type)
    };
    dynos(client, app, action, concerned, |dynos| {
        let types = wanted.iter().map(|formation| {
            let of_type: Vec<&Dyno> = dynos
                .iter()
                .filter(|dyno| dyno.process_type == formation.process_type && !is_one_off(dyno))
                .collect();
            let of_size = of_type
                .iter()
                .filter(|dyno| dyno.size == formation.size && dyno.state == "up")
                .count();
            let quantity = formation.quantity as usize;
            let settled = of_type.len() == quantity && of_size == quantity;
            (
                settled,
                format!("{} {of_size} of {quantity} up", formation.process_type),
            )
        });
        let (settled, words): (Vec<bool>, Vec<String>) = types.unzip();
        (settled.iter().all(|settled| *settled), words.join(", "))
    })
    .await
}

/// Until none of the dynos from before is left and all that took their places are up.
pub(crate) async fn replaced(
    client: &Client,
    app: &str,
    before: &[Dyno],
    action: &Action,
) -> Result<()> {
    let types: BTreeSet<&str> = before
        .iter()
        .map(|dyno| dyno.process_type.as_str())
        .collect();
    let concerned = |dyno: &Dyno| {
        types.contains(dyno.process_type.as_str()) && !before.iter().any(|old| old.id == dyno.id)
    };
    dynos(client, app, action, concerned, |dynos| {
        let left = dynos
            .iter()
            .filter(|dyno| before.iter().any(|old| old.id == dyno.id))
            .count();
        let unready = dynos
            .iter()
            .filter(|dyno| {
                types.contains(dyno.process_type.as_str())
                    && !is_one_off(dyno)
                    && dyno.state != "up"
            })
            .count();
        let done = before.len() - left;
        (
            left == 0 && unready == 0,
            format!("{done} of {} replaced", before.len()),
        )
    })
    .await
}

/// Until `settled` says so, a dyno that matters crashes, or time runs out.
async fn dynos(
    client: &Client,
    app: &str,
    action: &Action,
    concerned: impl Fn(&Dyno) -> bool,
    settled: impl Fn(&[Dyno]) -> (bool, String),
) -> Result<()> {
    let deadline = Instant::now() + DYNOS_WITHIN;
    let mut waiting = Waiting::default();
    loop {
        let dynos = client.dynos(app).await?;
        let (done, words) = settled(&dynos);
        if done {
            return Ok(());
        }
        if let Some(crashed) = dynos
            .iter()
            .find(|dyno| dyno.state == "crashed" && concerned(dyno))
        {
            return Err(
                Failure::new(format!("Dyno {} of {app} crashed", crashed.name))
                    .advise(format!("See why with `paas logs --dyno {}`.", crashed.name))
                    .into(),
            );
        }
        if let Some(failure) = waiting.unplaceable(client, app, &dynos).await {
            return Err(failure
                .advise("It is started as soon as there is room; until then the other dynos run as they do.")
                .into());
        }
        if Instant::now() >= deadline {
            return Err(overdue(&words).into());
        }
        action.progress(words);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
