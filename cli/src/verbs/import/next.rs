//! What is left to do once the app is here. Pure.

use super::carry_out::{Done, Outcome};
use super::described::Described;
use super::plan::{Plan, Step};

/// Domains, each with a line of its own.
const AT_MOST: usize = 10;

/// In the order in which they are to be done.
pub(super) fn steps(there: &Described, plan: &Plan, done: &Done) -> Vec<String> {
    let app = &plan.app;
    let mut next = Vec::new();
    if !plan.missing.is_empty() {
        let vars: Vec<_> = plan
            .missing
            .iter()
            .map(|name| format!("{name}=…"))
            .collect();
        next.push(format!(
            "Give it what the add-ons gave it there: paas config:set {} -a {app}",
            vars.join(" ")
        ));
    }
    if !plan.has_code {
        next.push(format!(
            "In a clone of its code: paas git:remote -a {app} && git push paas main"
        ));
    }
    let names = domains(plan, done);
    for name in names.iter().take(AT_MOST) {
        let was = there
            .domains
            .iter()
            .find(|domain| domain.hostname.eq_ignore_ascii_case(name));
        let was = was.and_then(|domain| domain.target.as_deref());
        let was = was
            .map(|target| format!(" (now {target})"))
            .unwrap_or_default();
        let target = done.targets.get(*name).cloned();
        let target =
            target.unwrap_or_else(|| format!("the DNS target that paas domains -a {app} shows"));
        next.push(format!(
            "When it serves well here, have the DNS of {name}{was} lead to {target}"
        ));
    }
    if names.len() > AT_MOST {
        let more = names.len() - AT_MOST;
        next.push(format!("The same for {more} more: paas domains -a {app}"));
    }
    if there.has_certificates && !names.is_empty() {
        next.push(format!(
            "Once the DNS leads here: paas certs:auto:enable -a {app}"
        ));
    }
    if !plan.has_code && there.formation.iter().any(|process| process.quantity > 0) {
        // Dokku's was read from a file.
        let place = match there.kind {
            "dokku" => "on the Dokku host".to_owned(),
            _ => format!("at {}", there.whence),
        };
        next.push(format!(
            "When all is well, stop the app {place}: its processes may otherwise do the same work as those here"
        ));
    }
    next
}

/// Those that the plan adds, without what was refused.
fn domains<'a>(plan: &'a Plan, done: &Done) -> Vec<&'a str> {
    let mut added = Vec::new();
    for (at, step) in plan.steps.iter().enumerate() {
        let refused = done
            .outcomes
            .get(at)
            .is_some_and(|outcome| *outcome != Outcome::Done);
        if let Step::Domain(name) = step
            && !refused
        {
            added.push(name.as_str());
        }
    }
    added
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::described::{DomainThere, ProcessThere, SizeThere};
    use super::*;

    fn running(quantity: u32) -> ProcessThere {
        ProcessThere {
            process_type: "web".to_owned(),
            quantity,
            size: SizeThere::Any,
        }
    }

    #[test]
    fn what_runs_there_is_to_be_stopped_where_it_runs() {
        let plan = |has_code| Plan {
            app: "shop".to_owned(),
            is_new: false,
            has_code,
            steps: Vec::new(),
            overwritten: Vec::new(),
            kept: Vec::new(),
            left: Vec::new(),
            missing: Vec::new(),
        };
        let stop = |kind, quantity, has_code| {
            let there = Described {
                kind,
                whence: "shop.dokku".to_owned(),
                config: BTreeMap::from([("A".to_owned(), "1".into())]),
                formation: vec![running(quantity)],
                ..Described::default()
            };
            let next = steps(&there, &plan(has_code), &Done::default());
            next.into_iter().find(|step| step.contains("stop the app"))
        };
        assert!(
            stop("dokku", 1, false)
                .unwrap()
                .contains("stop the app on the Dokku host: ")
        );
        assert!(
            stop("deis", 1, false)
                .unwrap()
                .contains("stop the app at shop.dokku: ")
        );
        assert_eq!(stop("dokku", 0, false), None);
        assert_eq!(stop("dokku", 1, true), None);
    }

    #[test]
    fn each_step_is_told_when_it_is_to_be_done_and_only_then() {
        let there = Described {
            whence: "api.heroku.com".to_owned(),
            formation: vec![running(1)],
            domains: vec![DomainThere {
                hostname: "WWW.x.example".to_owned(),
                target: Some("deep.herokudns.com".to_owned()),
            }],
            has_certificates: true,
            ..Described::default()
        };
        let domain = |name: &str| Step::Domain(name.to_owned());
        let plan = |has_code, steps| Plan {
            app: "shop".to_owned(),
            is_new: false,
            has_code,
            steps,
            overwritten: Vec::new(),
            kept: Vec::new(),
            left: Vec::new(),
            missing: vec!["DATABASE_URL".to_owned()],
        };
        let done = Done {
            outcomes: vec![Outcome::Done, Outcome::Refused("taken".to_owned())],
            targets: BTreeMap::from([("www.x.example".to_owned(), "shop.paas.example".to_owned())]),
        };
        let steps_of = |plan: &Plan| steps(&there, plan, &done);
        let new = plan(false, vec![domain("www.x.example"), domain("x.example")]);
        assert_eq!(
            steps_of(&new),
            [
                "Give it what the add-ons gave it there: paas config:set DATABASE_URL=… -a shop",
                "In a clone of its code: paas git:remote -a shop && git push paas main",
                "When it serves well here, have the DNS of www.x.example (now deep.herokudns.com) lead to shop.paas.example",
                "Once the DNS leads here: paas certs:auto:enable -a shop",
                "When all is well, stop the app at api.heroku.com: its processes may otherwise do the same work as those here",
            ]
        );
        let mut deployed = plan(true, vec![]);
        deployed.missing.clear();
        assert!(steps_of(&deployed).is_empty());
        let many = (0..13)
            .map(|n| domain(&format!("n{n}.x.example")))
            .collect();
        let many = steps(&there, &plan(true, many), &Done::default());
        assert!(
            many.contains(&"The same for 3 more: paas domains -a shop".to_owned()),
            "{many:#?}"
        );
    }
}
