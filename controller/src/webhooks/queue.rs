//! Whose turn it is. Pure: who waits goes in, who is sent for comes out.

use std::collections::{BTreeMap, HashMap};

use model::{AppId, Timestamp, WebhookDeliveryId, WebhookId};

/// Tries that are under way at once.
const AT_ONCE: usize = 64;
/// Of one app: receivers of its that hang leave the others room.
const AT_ONCE_OF_APP: usize = 4;

/// A delivery that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) app: AppId,
    pub(super) webhook: WebhookId,
    pub(super) delivery: WebhookDeliveryId,
    pub(super) sequence: u64,
    pub(super) due: Timestamp,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) now: Vec<Waiting>,
    /// When to look again, if nothing happens until then.
    pub(super) later: Option<Timestamp>,
}

/// At most one try of each webhook is under way, and of those that are due the earliest event's comes first: a receiver
/// gets them in order. One that waits for another try lets later ones pass, or a receiver that stumbles over one event
/// would hear of nothing for two days.
pub(super) fn turn(
    waiting: impl IntoIterator<Item = Waiting>,
    under_way: &HashMap<WebhookId, AppId>,
    now: Timestamp,
) -> Turn {
    let mut first: BTreeMap<WebhookId, Waiting> = BTreeMap::new();
    let mut later: Option<Timestamp> = None;
    for one in waiting {
        if under_way.contains_key(&one.webhook) {
            continue;
        }
        if one.due > now {
            later = Some(later.map_or(one.due, |later| later.min(one.due)));
            continue;
        }
        let known = first.entry(one.webhook).or_insert(one);
        if one.sequence < known.sequence {
            *known = one;
        }
    }
    let mut of_app: HashMap<AppId, usize> = HashMap::new();
    for app in under_way.values() {
        *of_app.entry(*app).or_default() += 1;
    }
    let mut due: Vec<_> = first.into_values().collect();
    due.sort_by_key(|one| one.due);
    due.retain(|one| {
        let count = of_app.entry(one.app).or_default();
        *count += 1;
        *count <= AT_ONCE_OF_APP
    });
    due.truncate(AT_ONCE.saturating_sub(under_way.len()));
    Turn { now: due, later }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn waiting(app: AppId, webhook: WebhookId, sequence: u64, due: i64) -> Waiting {
        Waiting {
            app,
            webhook,
            delivery: WebhookDeliveryId::new(),
            sequence,
            due: at(due),
        }
    }

    fn sequences(turn: &Turn) -> Vec<u64> {
        turn.now.iter().map(|one| one.sequence).collect()
    }

    #[test]
    fn the_earliest_event_comes_first_and_one_at_a_time() {
        let (app, hook, other) = (AppId::new(), WebhookId::new(), WebhookId::new());
        let all = [
            waiting(app, hook, 3, 2),
            waiting(app, hook, 2, 2),
            waiting(app, other, 2, 1),
        ];
        let chosen = turn(all, &HashMap::new(), at(5));
        assert_eq!(sequences(&chosen), [2, 2]);
        assert_eq!(
            chosen.now[0].webhook, other,
            "who has waited longer is first"
        );
        let busy = HashMap::from([(hook, app)]);
        assert_eq!(turn(all, &busy, at(5)).now, [all[2]]);
    }

    #[test]
    fn one_that_waits_for_another_try_lets_later_ones_pass() {
        let (app, hook) = (AppId::new(), WebhookId::new());
        let all = [waiting(app, hook, 1, 100), waiting(app, hook, 2, 1)];
        let chosen = turn(all, &HashMap::new(), at(5));
        assert_eq!((sequences(&chosen), chosen.later), (vec![2], Some(at(100))));
        let chosen = turn(all, &HashMap::new(), at(100));
        assert_eq!((sequences(&chosen), chosen.later), (vec![1], None));
    }

    #[test]
    fn an_app_whose_receivers_hang_leaves_the_others_room() {
        let (greedy, modest) = (AppId::new(), AppId::new());
        let mut all: Vec<_> = (0..10)
            .map(|_| waiting(greedy, WebhookId::new(), 1, 0))
            .collect();
        all.push(waiting(modest, WebhookId::new(), 1, 1));
        let chosen = turn(all.clone(), &HashMap::new(), at(5));
        assert_eq!(chosen.now.len(), AT_ONCE_OF_APP + 1);
        let busy: HashMap<_, _> = chosen
            .now
            .iter()
            .map(|one| (one.webhook, one.app))
            .collect();
        assert_eq!(turn(all, &busy, at(5)).now, []);
        let many = (0..200).map(|_| waiting(AppId::new(), WebhookId::new(), 1, 0));
        assert_eq!(turn(many, &busy, at(5)).now.len(), AT_ONCE - busy.len());
    }
}
