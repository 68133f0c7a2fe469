//! What keeps etcd small and writable: its history is cut, its files are given back what they do not use, and an alarm
//! about space is ended once there is space.
//!
//! One process does it, elected. While etcd is out of space nobody can be: then whoever sees it and knows of no leader does
//! it; doing it twice is only slower.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{AlarmAction, AlarmOptions, AlarmType, CompactionOptions};
use model::Revision;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Etcd, members, newest_revision};
use crate::status::{Alarm, MemberStatus};
use crate::{Store, StoreError, key, leader};

/// A member answers nothing while it is defragmented: about a second for each 100 MiB.
const DEFRAGMENT_WITHIN: Duration = Duration::from_secs(300);
const COMPACT_WITHIN: Duration = Duration::from_secs(60);
/// Bytes of a file from which it is worth the member's silence.
const WORTH_IT: u64 = 64 << 20;
/// Entries of the log; a member further behind is not well.
const LAG: u64 = 1000;
const ELECTION: &str = "etcd-upkeep";

#[derive(Debug, Clone, Copy)]
pub struct Intervals {
    pub look: Duration,
    /// How much of its history etcd keeps, at least; and twice that, at most.
    pub history: Duration,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            look: Duration::from_secs(60),
            history: Duration::from_secs(600),
        }
    }
}

/// Looks after etcd until told to stop, in turns with whoever else does.
pub async fn run(etcd: Arc<Etcd>, candidate: String, every: Intervals, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = look_after(etcd, &candidate, every) => {}
    }
}

async fn look_after(etcd: Arc<Etcd>, candidate: &str, every: Intervals) {
    let store: Arc<dyn Store> = etcd.clone();
    loop {
        let leadership = tokio::select! {
            leadership = leader::campaign(&store, ELECTION, candidate) => leadership,
            () = stand_in(&etcd, every) => continue,
        };
        tokio::select! {
            () = leadership.lost().cancelled() => {}
            () = lead(&etcd, every) => {}
        }
    }
}

async fn lead(etcd: &Etcd, every: Intervals) {
    let mut cut = Cut::new(every.history);
    loop {
        if let Err(error) = round(etcd, &mut cut).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not look after etcd; will retry"
            );
        }
        tokio::time::sleep(every.look).await;
    }
}

/// Only for when nobody can be elected.
async fn stand_in(etcd: &Etcd, every: Intervals) {
    loop {
        tokio::time::sleep(every.look).await;
        let done = async {
            let led = etcd.get(&key::leader(ELECTION)).await?.is_some();
            if !led && has_no_space(&members::status(&etcd.connection).await?) {
                make_space(etcd).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = done.await {
            warn!(
                error = &error as &dyn std::error::Error,
                "Could not make space in etcd; will retry"
            );
        }
    }
}

async fn round(etcd: &Etcd, cut: &mut Cut) -> Result<(), StoreError> {
    if let Some(upto) = cut.due(newest_revision(&etcd.connection).await?, Instant::now()) {
        compact(etcd, upto).await?;
    }
    let members = members::status(&etcd.connection).await?;
    if has_no_space(&members) {
        return make_space(etcd).await;
    }
    match to_defragment(&members, WORTH_IT) {
        Some(member) => defragment(etcd, member.id).await,
        None => Ok(()),
    }
}

fn has_no_space(members: &[MemberStatus]) -> bool {
    members
        .iter()
        .any(|member| member.alarms.contains(&Alarm::NoSpace))
}

/// When to cut the history, and how far: to where it was one span ago.
#[derive(Debug)]
struct Cut {
    span: Duration,
    seen: Option<(Revision, Instant)>,
}

impl Cut {
    const fn new(span: Duration) -> Self {
        Self { span, seen: None }
    }

    fn due(&mut self, newest: Revision, now: Instant) -> Option<Revision> {
        match self.seen {
            Some((_, at)) if now.duration_since(at) < self.span => None,
            seen => {
                self.seen = Some((newest, now));
                // After a restored backup it is behind what was seen.
                seen.map(|(revision, _)| revision.min(newest))
            }
        }
    }
}

/// The member that gains most, if all are well; the leader is the last, for its silence is felt by all.
fn to_defragment(members: &[MemberStatus], worth_it: u64) -> Option<&MemberStatus> {
    let states: Option<Vec<_>> = members
        .iter()
        .map(|member| Some((member, member.state.as_ref().ok()?)))
        .collect();
    let states = states?;
    let is_led = states.iter().any(|(_, state)| state.is_leader);
    if !is_led || states.iter().any(|(_, state)| state.lag > LAG) {
        return None;
    }
    states
        .into_iter()
        .filter(|(_, state)| {
            state.file_bytes >= worth_it && state.used_bytes < state.file_bytes / 2
        })
        .max_by_key(|(_, state)| (!state.is_leader, state.file_bytes - state.used_bytes))
        .map(|(member, _)| member)
}

/// Cuts all history, gives back what that freed, member by member, and ends the alarm.
async fn make_space(etcd: &Etcd) -> Result<(), StoreError> {
    warn!("etcd is out of space; compacts and defragments it");
    compact(etcd, newest_revision(&etcd.connection).await?).await?;
    let mut members = members::status(&etcd.connection).await?;
    members.sort_by_key(|member| member.state.as_ref().is_ok_and(|state| state.is_leader));
    for member in members.iter().filter(|member| member.state.is_ok()) {
        defragment(etcd, member.id).await?;
    }
    let mut maintenance = etcd.connection.member().client.maintenance_client();
    for member in members
        .iter()
        .filter(|member| member.alarms.contains(&Alarm::NoSpace))
    {
        let mut options = AlarmOptions::new();
        options.with_member(member.id);
        let doing = "ending etcd's alarm";
        let ended = maintenance.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(options));
        within(doing, COMPACT_WITHIN, ended).await?;
    }
    info!("etcd takes writes again");
    Ok(())
}

async fn compact(etcd: &Etcd, upto: Revision) -> Result<(), StoreError> {
    let mut kv = etcd.connection.member().client.kv_client();
    let upto = i64::try_from(upto).unwrap_or(i64::MAX);
    // Physically: only then is what it held free.
    let options = CompactionOptions::new().with_physical();
    match timeout(COMPACT_WITHIN, kv.compact(upto, Some(options))).await {
        Ok(Err(error)) if is_compacted(&error) => Ok(()),
        Ok(done) => done
            .map(drop)
            .map_err(|error| StoreError::unavailable("compacting etcd", error)),
        Err(elapsed) => Err(StoreError::unavailable("compacting etcd", elapsed)),
    }
}

/// By somebody else, or by etcd itself (`--auto-compaction-retention`).
fn is_compacted(error: &etcd_client::Error) -> bool {
    super::retry::message_of(error).is_some_and(|message| message.contains("has been compacted"))
}

async fn defragment(etcd: &Etcd, member: u64) -> Result<(), StoreError> {
    let doing = "defragmenting a member of etcd";
    let listed = members::list(&etcd.connection).await?;
    let found = listed.iter().find(|listed| listed.id() == member);
    let found = found.ok_or_else(|| StoreError::unavailable(doing, "it is gone"))?;
    let client = members::connect(&etcd.connection, found).await?;
    let began = Instant::now();
    let mut maintenance = client.maintenance_client();
    within(doing, DEFRAGMENT_WITHIN, maintenance.defragment()).await?;
    info!(etcd.member = found.name(), took = ?began.elapsed(), "Defragmented a member of etcd");
    Ok(())
}

async fn within<T>(
    doing: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, StoreError> {
    timeout(limit, call)
        .await
        .map_err(|elapsed| StoreError::unavailable(doing, elapsed))?
        .map_err(|error| StoreError::unavailable(doing, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::MemberState;

    fn member(id: u64, is_leader: bool, file: u64, used: u64) -> MemberStatus {
        MemberStatus {
            id,
            name: id.to_string(),
            urls: Vec::new(),
            is_learner: false,
            alarms: Vec::new(),
            state: Ok(MemberState {
                version: "3.4".to_owned(),
                is_leader,
                file_bytes: file,
                used_bytes: used,
                lag: 0,
            }),
        }
    }

    fn chosen(members: &[MemberStatus]) -> Option<u64> {
        to_defragment(members, 100).map(|member| member.id)
    }

    #[test]
    fn the_leader_is_defragmented_last_and_only_files_that_are_half_empty_are() {
        let (leader, full) = (member(1, true, 1000, 10), member(2, false, 1000, 600));
        let wasteful = member(3, false, 400, 100);
        assert_eq!(chosen(&[leader.clone(), full.clone(), wasteful]), Some(3));
        assert_eq!(chosen(&[leader, full.clone()]), Some(1));
        assert_eq!(chosen(&[member(1, true, 1000, 600), full]), None);
        assert_eq!(chosen(&[member(1, true, 90, 1)]), None, "not worth it");
    }

    #[test]
    fn nobody_is_silenced_while_somebody_is_unwell() {
        let (leader, wasteful) = (member(1, true, 1000, 900), member(2, false, 1000, 10));
        let mut gone = member(3, false, 0, 0);
        gone.state = Err("no answer".to_owned());
        assert_eq!(chosen(&[leader.clone(), wasteful.clone(), gone]), None);
        let mut behind = wasteful.clone();
        behind.state.as_mut().unwrap().lag = LAG + 1;
        assert_eq!(chosen(&[leader, wasteful.clone(), behind]), None);
        assert_eq!(chosen(&[wasteful]), None, "nobody leads");
    }

    #[tokio::test(start_paused = true)]
    async fn history_is_cut_where_it_was_a_span_ago() {
        let (mut cut, began) = (Cut::new(Duration::from_secs(10)), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(cut.due(5, at(0)), None);
        assert_eq!(cut.due(50, at(9)), None);
        assert_eq!(cut.due(60, at(10)), Some(5));
        assert_eq!(cut.due(70, at(19)), None);
        assert_eq!(cut.due(80, at(20)), Some(60));
        assert_eq!(cut.due(7, at(30)), Some(7), "it went back");
    }
}
