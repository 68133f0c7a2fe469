//! What is counted of one app.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use super::counter::{Counter, UnderWay};
use super::histogram::{Durations, Histogram};
use crate::fault::Fault;

/// One app's, of all workers. As long as the app is routed it is the same, whatever changes about it.
#[derive(Debug)]
pub(crate) struct AppCounters {
    workers: Box<[OnceLock<Box<AppCell>>]>,
}

/// One app's, of one worker. Alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct AppCell {
    requests: UnderWay,
    upgraded: UnderWay,
    /// By the status's first digit; 0 for what had none.
    classes: [Counter; 6],
    /// By the number in the code: H12 is the twelfth. Faults are rare, and most apps have none.
    codes: OnceLock<Box<[Counter; 100]>>,
    bytes_in: Counter,
    bytes_out: Counter,
    durations: Histogram,
    connects: Histogram,
}

/// A request that was answered, or is not going to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finished {
    pub(crate) fault: Option<Fault>,
    pub(crate) status: u16,
    /// From its head to the end of the answer.
    pub(crate) took: Duration,
    /// To a connection to the dyno; zero where one was there.
    pub(crate) connect: Option<Duration>,
}

impl AppCounters {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| OnceLock::new()).collect(),
        }
    }

    pub(crate) fn of(&self, worker: usize) -> &AppCell {
        self.workers[worker].get_or_init(Box::default)
    }

    /// `None`: it has never had a request.
    pub(crate) fn totals(&self) -> Option<Totals> {
        let mut cells = self.workers.iter().filter_map(OnceLock::get);
        let mut totals = cells.next()?.totals();
        for cell in cells {
            totals.add(&cell.totals());
        }
        Some(totals)
    }
}

impl AppCell {
    pub(crate) fn begin(&self) {
        self.requests.begin();
    }

    pub(crate) fn finished(&self, request: &Finished) {
        let class = usize::from(request.status / 100);
        self.classes[if class < 6 { class } else { 0 }].one();
        if let Some(code) = request.fault.and_then(Fault::code) {
            let number = code.code.get(1..).and_then(|digits| digits.parse().ok());
            let codes = self
                .codes
                .get_or_init(|| Box::new(std::array::from_fn(|_| Counter::default())));
            if let Some(counter) = number.and_then(|number: usize| codes.get(number)) {
                counter.one();
            }
        }
        // How long somebody stayed connected says nothing of how fast the app is.
        if request.status != 101 {
            self.durations.observe(request.took);
        }
        if let Some(connect) = request.connect {
            self.connects.observe(connect);
        }
    }

    pub(crate) fn upgrade(&self) {
        self.upgraded.begin();
    }

    /// Nothing of it is left: so many bytes of bodies went to the dyno, and came from it.
    pub(crate) fn end(&self, bytes_in: u64, bytes_out: u64, was_upgraded: bool) {
        self.bytes_in.add(bytes_in);
        self.bytes_out.add(bytes_out);
        if was_upgraded {
            self.upgraded.end();
        }
        self.requests.end();
    }

    fn totals(&self) -> Totals {
        let upgraded = self.upgraded.now();
        let codes = self.codes.get().into_iter().flat_map(|codes| {
            let counts = codes.iter().map(Counter::get).enumerate();
            counts.filter(|(_, count)| *count > 0)
        });
        Totals {
            requests: self.requests.begun(),
            in_flight: self.requests.now().saturating_sub(upgraded),
            upgraded,
            classes: std::array::from_fn(|class| self.classes[class].get()),
            codes: codes.collect(),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            durations: self.durations.read(),
            connects: self.connects.read(),
        }
    }
}

/// Added up.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) in_flight: u64,
    pub(crate) upgraded: u64,
    pub(crate) classes: [u64; 6],
    /// By the number of the code.
    pub(crate) codes: BTreeMap<usize, u64>,
    /// Of bodies that are over.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) durations: Durations,
    pub(crate) connects: Durations,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.in_flight += other.in_flight;
        self.upgraded += other.upgraded;
        for (class, more) in self.classes.iter_mut().zip(other.classes) {
            *class += more;
        }
        for (code, more) in &other.codes {
            *self.codes.entry(*code).or_default() += more;
        }
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.durations.add(&other.durations);
        self.connects.add(&other.connects);
    }

    /// What has come since `before`; what is under way stays as it is.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let codes = self.codes.iter().map(|(code, count)| {
            let before = before.codes.get(code).copied().unwrap_or_default();
            (*code, count.saturating_sub(before))
        });
        Self {
            requests: self.requests.saturating_sub(before.requests),
            in_flight: self.in_flight,
            upgraded: self.upgraded,
            classes: std::array::from_fn(|class| {
                self.classes[class].saturating_sub(before.classes[class])
            }),
            codes: codes.filter(|(_, count)| *count > 0).collect(),
            bytes_in: self.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
            durations: self.durations.since(&before.durations),
            connects: self.connects.since(&before.connects),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(fault: Option<Fault>, status: u16) -> Finished {
        Finished {
            fault,
            status,
            took: Duration::from_millis(4),
            connect: Some(Duration::ZERO),
        }
    }

    #[test]
    fn workers_are_added_up_and_an_app_nobody_asked_for_takes_no_room() {
        let app = AppCounters::new(8);
        assert_eq!(app.totals(), None);
        for worker in [1, 5] {
            let cell = app.of(worker);
            cell.begin();
            cell.finished(&finished(None, 200));
            cell.end(10, 100, false);
        }
        app.of(5).begin();
        app.of(5).finished(&finished(Some(Fault::Timeout), 503));
        let totals = app.totals().unwrap();
        assert_eq!((totals.requests, totals.in_flight), (3, 1));
        assert_eq!(totals.classes, [0, 0, 2, 0, 0, 1]);
        assert_eq!(totals.codes, [(12, 1)].into());
        assert_eq!((totals.bytes_in, totals.bytes_out), (20, 200));
        assert_eq!(
            app.workers
                .iter()
                .filter(|cell| cell.get().is_some())
                .count(),
            2
        );
    }

    #[test]
    fn an_upgraded_connection_is_no_request_in_flight_and_has_no_duration() {
        let app = AppCounters::new(1);
        let cell = app.of(0);
        cell.begin();
        cell.upgrade();
        let during = app.totals().unwrap();
        assert_eq!((during.in_flight, during.upgraded), (0, 1));
        cell.finished(&finished(None, 101));
        cell.end(1, 1, true);
        let after = app.totals().unwrap();
        assert_eq!((after.in_flight, after.upgraded), (0, 0));
        assert_eq!((after.durations.count(), after.connects.count()), (0, 1));
    }
}
