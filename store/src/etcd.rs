//! The etcd backend: a store that many hosts share.
//!
//! Watches. Each store keeps *one* etcd watch, over everything of ours, and serves all of its own watches from the
//! history that this one feeds. That is for correctness first: etcd before 3.4.31 and 3.5.13 answers progress requests
//! out of order with the events, so "nothing changed up to here" could be told before a change that did. Seen through
//! one watch over everything, every commit is an event, and its revision is the progress. It also survives a restart of
//! etcd without anybody noticing, and costs etcd one stream for each process.
//!
//! Deadlines. Every call ends within 5 s. Reads, and writes that surely never left this host, are tried again until
//! then; a commit that may have arrived is not: its outcome is unknown, as [`StoreError::Unavailable`] says.

mod config;
mod connection;
mod convert;
mod follow;
mod members;
mod retry;
mod roster;
pub mod upkeep;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{Client, GetOptions, KvClient};
use model::Revision;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::warn;

pub use self::config::{EtcdConfig, EtcdTls, EtcdUser};
use self::connection::Connection;
use self::convert::{entry, is_lease_gone, revision, transaction, whole_seconds};
use self::retry::{DEADLINE, Repeat, within_deadline};
use crate::history::History;
use crate::key::ROOT;
use crate::status::{BackendStatus, StoreStatus};
use crate::{
    Commit, Committed, Compare, Entry, Key, Lease, LeaseId, Listing, Op, Store, StoreError, Watch,
};

/// How long a store that may begin without etcd looks for it first.
const START_WITHIN: Duration = Duration::from_secs(2);
/// Entries in one answer to a list; all pages are read as of one revision.
const PAGE: i64 = 1000;

/// A connection to etcd. Dropping it ends its watch.
pub struct Etcd {
    connection: Arc<Connection>,
    history: Arc<History>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd")
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

impl Etcd {
    /// Fails if etcd does not answer within 5 s.
    pub async fn connect(config: &EtcdConfig) -> Result<Arc<Self>, StoreError> {
        let connection = Connection::open(config, DEADLINE).await?;
        let newest = newest_revision(&connection).await?;
        Ok(Self::over(connection, Some(newest)))
    }

    /// Does not wait long for an etcd that is away: calls fail until it is there, and watches begin then. So what can do
    /// without a store begins without one.
    pub async fn start(config: &EtcdConfig) -> Result<Arc<Self>, StoreError> {
        match Connection::open(config, START_WITHIN).await {
            Ok(connection) => {
                let newest = newest_revision(&connection).await.ok();
                Ok(Self::over(connection, newest))
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "etcd does not answer; begins without it"
                );
                Ok(Self::over(Connection::unseen(config).await?, None))
            }
        }
    }

    /// `newest` is `None` as long as nobody knows.
    fn over(connection: Connection, newest: Option<Revision>) -> Arc<Self> {
        let connection = Arc::new(connection);
        let history = History::after(newest.unwrap_or(0));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(follow::run(
            connection.clone(),
            history.clone(),
            newest.is_some(),
            stop.clone(),
        ));
        tasks.spawn(keep(connection.clone(), stop.clone()));
        let guard = stop.clone().drop_guard();
        Arc::new(Self {
            connection,
            history,
            tasks,
            stop,
            _stop_when_dropped: guard,
        })
    }

    /// Connects anew after this host's certificate was replaced.
    pub async fn reconnect(&self) -> Result<(), StoreError> {
        self.connection.reopen().await
    }

    /// Ends the watch, and with it every watch of this store.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[async_trait]
impl Store for Etcd {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let found = within_deadline(
            "reading a key",
            Repeat::Always,
            &self.connection,
            |client| {
                let mut kv = kv(&client);
                async move { kv.get(key.as_str(), None).await }
            },
        )
        .await?;
        found.kvs().first().map(entry).transpose()
    }

    async fn list(&self, prefix: &Key) -> Result<Listing, StoreError> {
        within_deadline("listing keys", Repeat::Always, &self.connection, |client| {
            list(kv(&client), prefix.as_str())
        })
        .await?
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        commit.check_limits()?;
        // To etcd, what is absent was written at revision 0; here nothing ever was.
        let is_void = |compare: &Compare| matches!(compare, Compare::Revision { revision: 0, .. });
        if commit.compares.iter().any(is_void) {
            return Ok(Committed::Conflict);
        }
        let lease = commit.ops.iter().find_map(|op| match op {
            Op::Put { lease, .. } => *lease,
            Op::Delete { .. } => None,
        });
        let txn = transaction(&commit)?;
        let answer = within_deadline(
            "committing",
            Repeat::IfNotSent,
            &self.connection,
            |client| {
                let (mut kv, txn) = (kv(&client), txn.clone());
                async move { kv.txn(txn).await }
            },
        )
        .await
        .map_err(|error| lapsed_or(error, lease))?;
        if answer.succeeded() {
            Ok(Committed::Done(revision(answer.header())?))
        } else {
            Ok(Committed::Conflict)
        }
    }

    async fn watch(&self, prefix: &Key, after: Revision) -> Result<Watch, StoreError> {
        if !prefix.as_str().starts_with(ROOT) {
            return Err(StoreError::unavailable(
                "watching",
                format!("{prefix} is not below {ROOT}"),
            ));
        }
        Ok(self.history.clone().watch(prefix.clone(), after))
    }

    async fn lease(&self, ttl: Duration) -> Result<Arc<dyn Lease>, StoreError> {
        // A grant that was made and not heard of holds no keys, and lapses by itself.
        let granted = within_deadline(
            "asking for a lease",
            Repeat::Always,
            &self.connection,
            |client| {
                let mut leases = client.lease_client();
                async move { leases.grant(whole_seconds(ttl), None).await }
            },
        )
        .await?;
        Ok(Arc::new(EtcdLease {
            id: LeaseId(granted.id()),
            connection: self.connection.clone(),
        }))
    }

    async fn status(&self) -> Result<StoreStatus, StoreError> {
        let doing = "counting keys";
        let counted = within_deadline(doing, Repeat::Always, &self.connection, |client| {
            let mut kv = kv(&client);
            let options = GetOptions::new().with_prefix().with_count_only();
            async move { kv.get(ROOT, Some(options)).await }
        })
        .await?;
        Ok(StoreStatus {
            revision: revision(counted.header())?,
            keys: u64::try_from(counted.count()).unwrap_or_default(),
            backend: BackendStatus::Etcd {
                members: members::status(&self.connection).await?,
            },
        })
    }
}

async fn keep(connection: Arc<Connection>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = connection.keep() => {}
        () = connection.learn() => {}
    }
}

struct EtcdLease {
    id: LeaseId,
    connection: Arc<Connection>,
}

impl fmt::Debug for EtcdLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdLease")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Lease for EtcdLease {
    fn id(&self) -> LeaseId {
        self.id
    }

    async fn keep_alive(&self) -> Result<(), StoreError> {
        within_deadline(
            "keeping a lease alive",
            Repeat::Always,
            &self.connection,
            |client| {
                let (mut leases, id) = (client.lease_client(), self.id.0);
                // One question, one answer: the stream ends when both halves are dropped.
                async move { leases.keep_alive(id).await.map(drop) }
            },
        )
        .await
        .map_err(|error| lapsed_or(error, Some(self.id)))
    }

    async fn revoke(&self) -> Result<(), StoreError> {
        within_deadline(
            "revoking a lease",
            Repeat::IfNotSent,
            &self.connection,
            |client| {
                let (mut leases, id) = (client.lease_client(), self.id.0);
                async move { leases.revoke(id).await.map(drop) }
            },
        )
        .await
        .map_err(|error| lapsed_or(error, Some(self.id)))
    }
}

/// Answers may be large: a thousand entries, or all that a watch missed.
fn kv(client: &Client) -> KvClient {
    client.kv_client().max_decoding_message_size(usize::MAX)
}

/// Linearizable.
async fn newest_revision(connection: &Connection) -> Result<Revision, StoreError> {
    let doing = "asking etcd for its revision";
    let answer = within_deadline(doing, Repeat::Always, connection, |client| {
        let mut kv = kv(&client);
        async move { kv.get(ROOT, None).await }
    })
    .await?;
    revision(answer.header())
}

async fn list(
    mut kv: KvClient,
    prefix: &str,
) -> Result<Result<Listing, StoreError>, etcd_client::Error> {
    let first = kv
        .get(
            prefix,
            Some(GetOptions::new().with_prefix().with_limit(PAGE)),
        )
        .await?;
    let as_of = match revision(first.header()) {
        Ok(revision) => revision,
        Err(error) => return Ok(Err(error)),
    };
    let mut entries = Vec::new();
    let mut page = first;
    loop {
        for found in page.kvs() {
            match entry(found) {
                Ok(entry) => entries.push(entry),
                Err(error) => return Ok(Err(error)),
            }
        }
        let Some(last) = page.kvs().last().filter(|_| page.more()) else {
            return Ok(Ok(Listing {
                revision: as_of,
                entries,
            }));
        };
        let next = [last.key(), b"\0"].concat();
        let options = GetOptions::new()
            .with_range(convert::end_of(prefix))
            .with_limit(PAGE)
            .with_revision(i64::try_from(as_of).unwrap_or(i64::MAX));
        page = kv.get(next, Some(options)).await?;
    }
}

fn lapsed_or(error: StoreError, lease: Option<LeaseId>) -> StoreError {
    match lease {
        Some(lease) if is_lease_gone(&error) => StoreError::LeaseLapsed { lease: lease.0 },
        _ => error,
    }
}
