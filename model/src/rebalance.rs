//! An operator's wish to have the nodes' loads evened out, and what comes of it.

use serde::{Deserialize, Serialize};

use crate::{Actor, AppName, DynoName, NodeId, Timestamp};

/// There while the wish is being followed; the scheduler takes it away when all is balanced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceRequest {
    pub requested_at: Timestamp,
    pub requested_by: Actor,
}

/// How far the newest request has come; the scheduler's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceProgress {
    pub request: RebalanceRequest,
    /// Dynos whose move has begun.
    pub moved: u32,
    /// The newest [`MAX_MOVES`] of those, oldest first.
    pub moves: Vec<Move>,
    /// `None` while the request is being followed, or when it was taken back.
    pub finished_at: Option<Timestamp>,
}

/// So many moves fit a record that is written with each of them.
pub const MAX_MOVES: usize = 50;

/// A dyno that is better off on another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    pub app_name: AppName,
    pub dyno: DynoName,
    pub from: NodeId,
    pub to: NodeId,
    pub at: Timestamp,
}

impl RebalanceProgress {
    pub const fn begun(request: RebalanceRequest) -> Self {
        Self {
            request,
            moved: 0,
            moves: Vec::new(),
            finished_at: None,
        }
    }

    pub fn add(&mut self, begun: Move) {
        if self.moves.len() >= MAX_MOVES {
            self.moves.remove(0);
        }
        self.moves.push(begun);
        self.moved = self.moved.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AccountId;

    #[test]
    fn the_newest_moves_are_kept_and_all_are_counted() {
        let request = RebalanceRequest {
            requested_at: Timestamp::UNIX_EPOCH,
            requested_by: Actor {
                account: AccountId::new(),
                email: "a@b.c".parse().unwrap(),
            },
        };
        let mut progress = RebalanceProgress::begun(request);
        for index in 1..=60 {
            progress.add(Move {
                app_name: "ticks".parse().unwrap(),
                dyno: format!("web.{index}").parse().unwrap(),
                from: NodeId::new(),
                to: NodeId::new(),
                at: Timestamp::UNIX_EPOCH,
            });
        }
        assert_eq!((progress.moved, progress.moves.len()), (60, MAX_MOVES));
        assert_eq!(progress.moves[0].dyno.index, 11);
    }
}
