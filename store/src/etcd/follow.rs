//! The one watch on etcd, for as long as the store lives.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, WatchOptions, WatchResponse, WatchStream};
use model::Revision;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::connection::Connection;
use super::convert::{batches, revision};
use super::newest_revision;
use super::retry::DEADLINE;
use crate::StoreError;
use crate::history::History;
use crate::key::ROOT;

/// A sign of life is asked for this often. What the answer says of progress may be wrong, see the module above.
const ASK_EVERY: Duration = Duration::from_secs(3);
const SILENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const DOING: &str = "watching etcd";

/// Feeds the history until told to stop; connects again whenever the watch breaks, and goes on where it was. `is_begun` is
/// false for a history that was begun without knowing where etcd stands.
pub(super) async fn run(
    connection: Arc<Connection>,
    history: Arc<History>,
    is_begun: bool,
    stop: CancellationToken,
) {
    let work = async {
        if !is_begun {
            begin(&connection, &history).await;
        }
        follow(&connection, &history).await;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
    history.close();
}

/// Nothing of before is told: whoever watches lists first, and no sooner than etcd answers.
async fn begin(connection: &Connection, history: &History) {
    loop {
        match newest_revision(connection).await {
            Ok(newest) => return history.restart_after(newest),
            Err(_) => tokio::time::sleep(FIRST_PAUSE).await,
        }
    }
}

async fn follow(connection: &Connection, history: &History) {
    let mut pause = FIRST_PAUSE;
    let mut cluster = None;
    loop {
        let (began, member) = (Instant::now(), connection.member());
        let watched = tokio::select! {
            watched = watch(connection, &member.client, history, &mut cluster) => watched,
            () = member.left.cancelled() => continue,
        };
        match watched {
            Ok(Gap::Compacted) => match newest_revision(connection).await {
                Ok(newest) => {
                    warn!(
                        revision = newest,
                        "etcd has dropped changes that were not seen yet; all watches resync"
                    );
                    history.restart_after(newest);
                    continue;
                }
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not ask etcd for its revision"
                ),
            },
            Ok(Gap::AnotherCluster { at }) => {
                warn!(
                    revision = at,
                    "etcd began anew, as from a restored backup; all watches resync"
                );
                history.restart_after(at);
                continue;
            }
            Ok(Gap::WentBack { to }) => {
                warn!(
                    revision = to,
                    "etcd is behind what it said before, as after a restored backup; all watches resync"
                );
                history.restart_after(to);
                continue;
            }
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "Lost the watch on etcd; will connect again"
            ),
        }
        if began.elapsed() > SILENCE {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Why the history cannot go on where it was.
enum Gap {
    Compacted,
    /// Its members began from a backup. Revisions tell nothing then: new ones may have outgrown the old ones already.
    AnotherCluster {
        at: Revision,
    },
    /// Its revision is lower than one it told of before.
    WentBack {
        to: Revision,
    },
}

async fn watch(
    connection: &Connection,
    client: &Client,
    history: &History,
    cluster: &mut Option<u64>,
) -> Result<Gap, StoreError> {
    let mut stream = open(client, history.newest()).await?;
    let mut heard = Instant::now();
    let mut ask = tokio::time::interval(ASK_EVERY);
    ask.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = stream.message() => {
                heard = Instant::now();
                let message = message
                    .map_err(|error| StoreError::unavailable(DOING, error))?
                    .ok_or_else(|| StoreError::unavailable(DOING, "etcd ended the watch"))?;
                if message.created() && is_another(cluster, &message) {
                    let at = revision(message.header())?;
                    return Ok(Gap::AnotherCluster { at });
                }
                match take(&message, history)? {
                    Taken::Fine => {}
                    Taken::Compacted => return Ok(Gap::Compacted),
                    Taken::Behind => {
                        // One member may lag behind the cluster; the cluster never goes back by itself.
                        let newest = newest_revision(connection).await?;
                        if newest < history.newest() {
                            return Ok(Gap::WentBack { to: newest });
                        }
                    }
                }
            }
            _ = ask.tick() => {
                if heard.elapsed() > SILENCE {
                    return Err(StoreError::unavailable(DOING, "etcd was silent for too long"));
                }
                let asked = tokio::time::timeout(DEADLINE, stream.request_progress()).await;
                asked
                    .map_err(|elapsed| StoreError::unavailable(DOING, elapsed))?
                    .map_err(|error| StoreError::unavailable(DOING, error))?;
            }
        }
    }
}

/// Whether this is not the cluster of before.
fn is_another(known: &mut Option<u64>, message: &WatchResponse) -> bool {
    let Some(header) = message.header() else {
        return false;
    };
    let before = known.replace(header.cluster_id());
    before.is_some_and(|before| before != header.cluster_id())
}

async fn open(client: &Client, after: Revision) -> Result<WatchStream, StoreError> {
    let start = i64::try_from(after + 1).unwrap_or(i64::MAX);
    let options = WatchOptions::new().with_prefix().with_start_revision(start);
    let mut watches = client.watch_client().max_decoding_message_size(usize::MAX);
    tokio::time::timeout(DEADLINE, watches.watch(ROOT, Some(options)))
        .await
        .map_err(|elapsed| StoreError::unavailable(DOING, elapsed))?
        .map_err(|error| StoreError::unavailable(DOING, error))
}

enum Taken {
    Fine,
    Compacted,
    /// etcd has not come as far as the history.
    Behind,
}

fn take(message: &WatchResponse, history: &History) -> Result<Taken, StoreError> {
    if message.compact_revision() > 0 {
        return Ok(Taken::Compacted);
    }
    if message.canceled() {
        let reason = message.cancel_reason();
        return Err(StoreError::unavailable(
            DOING,
            format!("etcd cancelled it: {reason}"),
        ));
    }
    if message.created() {
        let at = revision(message.header())?;
        info!(revision = at, "Watching etcd");
        return Ok(if at < history.newest() {
            Taken::Behind
        } else {
            Taken::Fine
        });
    }
    let batches = batches(message.events())?;
    if !batches.is_empty() {
        history.publish(batches);
    }
    Ok(Taken::Fine)
}
