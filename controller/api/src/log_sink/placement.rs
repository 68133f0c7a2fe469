//! Which controllers get which lines: each app's go to two of them, so that one may die.
//!
//! By rendezvous hashing: everybody who knows the same controllers chooses the same two for an app, and when one goes, only
//! its apps move. Nothing depends on that agreement, for readers ask all controllers; it keeps an app's lines together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::time::Duration;

use model::AppId;
use model::log::LogLine;
use tokio::time::Instant;

const COPIES: usize = 2;
/// A controller that did not take lines is left alone for so long, if there are others.
const REST: Duration = Duration::from_secs(5);

/// Lines by app, each app's in order.
pub(super) type ByApp = BTreeMap<AppId, Vec<LogLine>>;

pub(super) fn by_app(lines: Vec<LogLine>) -> ByApp {
    let mut apps = ByApp::new();
    for line in lines {
        apps.entry(line.app).or_default().push(line);
    }
    apps
}

/// The apps each controller is to have. Empty when there are no controllers.
pub(super) fn share_out(
    apps: &ByApp,
    controllers: &[SocketAddr],
) -> BTreeMap<SocketAddr, BTreeSet<AppId>> {
    let mut shares: BTreeMap<SocketAddr, BTreeSet<AppId>> = BTreeMap::new();
    for app in apps.keys() {
        for controller in first_for(*app, controllers) {
            shares.entry(controller).or_default().insert(*app);
        }
    }
    shares
}

/// The first of the controllers that an app's lines are offered to.
pub fn home_of(app: AppId, controllers: &[SocketAddr]) -> Option<SocketAddr> {
    first_for(app, controllers).next()
}

fn first_for(app: AppId, controllers: &[SocketAddr]) -> impl Iterator<Item = SocketAddr> {
    let mut ranked = controllers.to_vec();
    ranked.sort_by_cached_key(|controller| {
        let mut hasher = DefaultHasher::new();
        (app, controller).hash(&mut hasher);
        hasher.finish()
    });
    ranked.into_iter().take(COPIES)
}

/// Controllers that lately did not answer.
#[derive(Debug, Default)]
pub(super) struct Resting(HashMap<SocketAddr, Instant>);

impl Resting {
    pub(super) fn rest(&mut self, controller: SocketAddr, now: Instant) {
        self.0.insert(controller, now + REST);
    }

    /// Those to try: without the resting ones, unless that leaves none.
    pub(super) fn awake(&mut self, controllers: &[SocketAddr], now: Instant) -> Vec<SocketAddr> {
        self.0.retain(|_, until| *until > now);
        let awake: Vec<_> = controllers
            .iter()
            .copied()
            .filter(|controller| !self.0.contains_key(controller))
            .collect();
        if awake.is_empty() {
            controllers.to_vec()
        } else {
            awake
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controllers(count: u16) -> Vec<SocketAddr> {
        (0..count)
            .map(|n| SocketAddr::from(([10, 0, 0, 1], 8000 + n)))
            .collect()
    }

    fn apps(count: usize) -> ByApp {
        (0..count).map(|_| (AppId::new(), Vec::new())).collect()
    }

    #[test]
    fn each_app_has_two_controllers_and_when_one_goes_only_its_apps_move() {
        let (all, apps) = (controllers(5), apps(2_000));
        let before = share_out(&apps, &all);
        let has = |shares: &BTreeMap<SocketAddr, BTreeSet<AppId>>, app| {
            let having = shares.iter().filter(|(_, apps)| apps.contains(app));
            having
                .map(|(controller, _)| *controller)
                .collect::<Vec<_>>()
        };
        let after = share_out(&apps, &all[1..]);
        for app in apps.keys() {
            let (was, is) = (has(&before, app), has(&after, app));
            assert_eq!((was.len(), is.len()), (COPIES, COPIES));
            let stayed = was.iter().filter(|one| is.contains(one)).count();
            assert_eq!(stayed, was.iter().filter(|one| **one != all[0]).count());
        }
        // 800 each, were it even.
        assert!(
            before
                .values()
                .all(|apps| (600..1_000).contains(&apps.len()))
        );
        assert_eq!(share_out(&apps, &all[..1])[&all[0]].len(), 2_000);
        assert!(share_out(&apps, &[]).is_empty());
    }

    #[test]
    fn who_did_not_answer_rests_for_a_while_if_there_are_others() {
        let (all, now) = (controllers(2), Instant::now());
        let mut resting = Resting::default();
        resting.rest(all[0], now);
        assert_eq!(resting.awake(&all, now), [all[1]]);
        resting.rest(all[1], now);
        assert_eq!(resting.awake(&all, now), all);
        let later = now + REST;
        resting.rest(all[1], later);
        assert_eq!(resting.awake(&all, later), [all[0]]);
    }
}
