//! What is recent: the difference between now and a moment some seconds ago.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use model::AppId;

use super::{Metrics, Totals};

/// All that was counted up to a moment. Apps without a request are left out.
#[derive(Debug)]
pub(crate) struct Reading {
    at: Instant,
    requests: u64,
    apps: HashMap<AppId, Totals>,
}

impl Reading {
    pub(crate) fn of(metrics: &Metrics, at: Instant) -> Self {
        let table = metrics.table();
        let apps = table.iter().flat_map(|table| table.apps());
        Self {
            at,
            requests: metrics.workers().requests,
            apps: apps
                .filter_map(|app| Some((app.id, app.counters.totals()?)))
                .collect(),
        }
    }
}

/// The last two readings that were put aside.
#[derive(Debug)]
pub(crate) struct Window {
    older: Reading,
    newer: Option<Reading>,
}

impl Window {
    pub(crate) fn new(started: Instant) -> Self {
        let older = Reading {
            at: started,
            requests: 0,
            apps: HashMap::new(),
        };
        Self { older, newer: None }
    }

    pub(crate) fn turn(&mut self, now: Reading) {
        if let Some(newer) = self.newer.replace(now) {
            self.older = newer;
        }
    }

    pub(crate) fn since(&self, now: Reading) -> Recent {
        let mut all = Totals::default();
        let apps: HashMap<_, _> = now
            .apps
            .into_iter()
            .map(|(app, totals)| {
                let recent = match self.older.apps.get(&app) {
                    // Counters that were begun anew meanwhile have nothing to be taken off.
                    Some(before) if before.requests <= totals.requests => totals.since(before),
                    _ => totals,
                };
                all.add(&recent);
                (app, recent)
            })
            .collect();
        Recent {
            span: now.at.duration_since(self.older.at),
            requests: now.requests.saturating_sub(self.older.requests),
            all,
            apps,
        }
    }
}

/// What was counted within `span`.
#[derive(Debug)]
pub(crate) struct Recent {
    pub(crate) span: Duration,
    /// Those for the platform itself and for nobody are among them.
    pub(crate) requests: u64,
    /// Of all apps together.
    pub(crate) all: Totals,
    pub(crate) apps: HashMap<AppId, Totals>,
}

impl Recent {
    pub(crate) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.span.as_secs_f64().max(0.001)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(began: Instant, second: u64, app: AppId, requests: u64) -> Reading {
        let totals = Totals {
            requests,
            ..Totals::default()
        };
        Reading {
            at: began + Duration::from_secs(second),
            requests,
            apps: [(app, totals)].into(),
        }
    }

    #[test]
    fn recent_is_since_the_last_reading_but_one() {
        let (began, app) = (Instant::now(), AppId::new());
        let mut window = Window::new(began);
        let early = window.since(reading(began, 4, app, 8));
        assert_eq!((early.requests, early.per_second(early.requests)), (8, 2.0));
        window.turn(reading(began, 10, app, 10));
        assert_eq!(window.since(reading(began, 15, app, 30)).requests, 30);
        window.turn(reading(began, 20, app, 40));
        let later = window.since(reading(began, 25, app, 70));
        assert_eq!(
            (later.requests, later.per_second(later.requests)),
            (60, 4.0)
        );
        assert_eq!(later.apps[&app].requests, 60);
        assert_eq!(later.all.requests, 60);
    }

    #[test]
    fn an_app_that_left_and_came_back_is_counted_from_nothing() {
        let (began, app) = (Instant::now(), AppId::new());
        let mut window = Window::new(began);
        window.turn(reading(began, 10, app, 500));
        window.turn(reading(began, 20, app, 600));
        assert_eq!(
            window.since(reading(began, 25, app, 3)).apps[&app].requests,
            3
        );
    }
}
