//! The routers, by their own word and by what is on record of them.

use controller_api::wire::{AppReading, AppTraffic, Asked, RouterReading, RouterState};
use model::{Node, NodeId, Route, RouterReport};
use store::Versioned;

use crate::routers::NoAnswer;

/// A router with what is on record, and its answer.
pub(crate) fn state(
    report: &RouterReport,
    answer: Result<RouterReading, NoAnswer>,
    routes: &[Versioned<Route>],
    hosts: &[Versioned<Node>],
) -> RouterState {
    let later = routes
        .iter()
        .filter(|route| route.revision > report.applied);
    RouterState {
        applied: report.applied,
        behind: later.count() as u64,
        closed_ports: report.about.closed_ports.clone(),
        draining_requests: report
            .draining
            .values()
            .map(|count| u64::from(*count))
            .sum(),
        asked: asked(report, answer, hosts),
    }
}

pub(crate) fn traffic(
    reports: &[RouterReport],
    answers: Vec<Result<AppReading, NoAnswer>>,
    hosts: &[Versioned<Node>],
) -> AppTraffic {
    let mut routers: Vec<_> = reports
        .iter()
        .zip(answers)
        .map(|(report, answer)| asked(report, answer, hosts))
        .collect();
    routers.sort_by(|a, b| (&a.host, a.id).cmp(&(&b.host, b.id)));
    AppTraffic { routers }
}

fn asked<T>(
    report: &RouterReport,
    answer: Result<T, NoAnswer>,
    hosts: &[Versioned<Node>],
) -> Asked<T> {
    let state = match &answer {
        _ if report.about.leaving => "draining",
        Ok(_) | Err(NoAnswer::UnknownApp) => "up",
        Err(_) => "no answer",
    };
    Asked {
        error: answer.as_ref().err().map(ToString::to_string),
        host: host_of(report, hosts),
        id: report.id,
        reading: answer.ok(),
        state: state.to_owned(),
    }
}

/// Name of the router's host. Those that do not say where they are have the host's id themselves.
pub(crate) fn host_of(report: &RouterReport, hosts: &[Versioned<Node>]) -> Option<String> {
    let host = report.about.host;
    let host = host.unwrap_or_else(|| NodeId::from_uuid(report.id.as_uuid()));
    let found = hosts.iter().find(|seen| seen.value.id == host);
    found.map(|seen| seen.value.name.clone())
}

#[cfg(test)]
mod tests {
    use model::{RouterAbout, RouterId, Timestamp};

    use super::*;

    fn report(about: RouterAbout) -> RouterReport {
        RouterReport {
            certificates: 0,
            id: RouterId::new(),
            applied: 7,
            draining: [(model::DynoId::new(), 2), (model::DynoId::new(), 1)].into(),
            started_at: Timestamp::UNIX_EPOCH,
            about,
        }
    }

    #[test]
    fn one_that_does_not_answer_is_named_with_the_reason_and_what_is_on_record() {
        let closed = RouterAbout {
            closed_ports: [(25, "in use".to_owned())].into(),
            ..RouterAbout::default()
        };
        let silent = state(&report(closed), Err(NoAnswer::Late), &[], &[]);
        assert_eq!(silent.asked.state, "no answer");
        let error = silent.asked.error.unwrap();
        assert!(error.contains("within 2 s"), "{error}");
        assert_eq!((silent.applied, silent.draining_requests), (7, 3));
        assert_eq!(silent.closed_ports[&25], "in use");
    }

    #[test]
    fn one_that_was_taken_over_from_is_draining() {
        let leaving = RouterAbout {
            leaving: true,
            ..RouterAbout::default()
        };
        let gone = state(&report(leaving), Err(NoAnswer::Leaving), &[], &[]);
        assert_eq!(gone.asked.state, "draining");
        let unknown = traffic(
            &[report(RouterAbout::default())],
            vec![Err(NoAnswer::UnknownApp)],
            &[],
        );
        assert_eq!(unknown.routers[0].state, "up");
    }
}
