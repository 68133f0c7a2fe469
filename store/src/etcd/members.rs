//! The cluster's members, each asked for itself.

use std::time::Duration;

use etcd_client::{AlarmAction, AlarmType, Client, Member, StatusResponse};
use futures::future::join_all;
use tokio::time::timeout;

use super::connection::Connection;
use super::retry::{Repeat, within_deadline};
use crate::StoreError;
use crate::status::{Alarm, MemberState, MemberStatus};

/// For one member to be reached and to say how it is.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// As the cluster has them.
pub(super) async fn list(connection: &Connection) -> Result<Vec<Member>, StoreError> {
    let doing = "listing etcd's members";
    let answer = within_deadline(doing, Repeat::Always, connection, |client| {
        let mut cluster = client.cluster_client();
        async move { cluster.member_list().await }
    })
    .await?;
    Ok(answer.members().to_vec())
}

/// Every member, those that do not answer too.
pub(super) async fn status(connection: &Connection) -> Result<Vec<MemberStatus>, StoreError> {
    let members = list(connection).await?;
    let alarms = alarms(connection).await?;
    let asked = join_all(members.iter().map(|member| ask(connection, member))).await;
    let applied = asked
        .iter()
        .flatten()
        .map(StatusResponse::raft_applied_index);
    let newest = applied.max().unwrap_or_default();
    Ok(members
        .iter()
        .zip(asked)
        .map(|(member, answer)| MemberStatus {
            id: member.id(),
            name: member.name().to_owned(),
            urls: member.client_urls().to_vec(),
            is_learner: member.is_learner(),
            alarms: alarms
                .iter()
                .filter(|(id, _)| *id == member.id())
                .map(|(_, alarm)| *alarm)
                .collect(),
            state: answer
                .map(|answer| state(member.id(), &answer, newest))
                .map_err(|error| reason(&error)),
        })
        .collect())
}

fn state(id: u64, answer: &StatusResponse, newest: u64) -> MemberState {
    MemberState {
        version: answer.version().to_owned(),
        is_leader: answer.leader() == id,
        file_bytes: u64::try_from(answer.db_size()).unwrap_or_default(),
        used_bytes: u64::try_from(answer.raft_used_db_size()).unwrap_or_default(),
        lag: newest.saturating_sub(answer.raft_applied_index()),
    }
}

async fn ask(connection: &Connection, member: &Member) -> Result<StatusResponse, StoreError> {
    let doing = "asking a member of etcd how it is";
    let asking = async {
        let client = connect(connection, member).await?;
        let status = client.maintenance_client().status().await;
        status.map_err(|error| StoreError::unavailable(doing, error))
    };
    timeout(ANSWER_WITHIN, asking)
        .await
        .map_err(|_| StoreError::unavailable(doing, "it does not answer"))?
}

/// To this member alone.
pub(super) async fn connect(
    connection: &Connection,
    member: &Member,
) -> Result<Client, StoreError> {
    let url = member
        .client_urls()
        .first()
        .ok_or_else(|| StoreError::unavailable("connecting to etcd", "it has not started yet"))?;
    connection.config().connect(url).await
}

async fn alarms(connection: &Connection) -> Result<Vec<(u64, Alarm)>, StoreError> {
    let doing = "asking etcd for alarms";
    let answer = within_deadline(doing, Repeat::Always, connection, |client| {
        let mut maintenance = client.maintenance_client();
        async move {
            maintenance
                .alarm(AlarmAction::Get, AlarmType::None, None)
                .await
        }
    })
    .await?;
    let known = answer.alarms().iter().filter_map(|member| {
        let alarm = match member.alarm() {
            AlarmType::None => return None,
            AlarmType::Nospace => Alarm::NoSpace,
            AlarmType::Corrupt => Alarm::Corrupt,
        };
        Some((member.member_id(), alarm))
    });
    Ok(known.collect())
}

/// The innermost cause: what an operator can do something about.
fn reason(error: &StoreError) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
