//! Which web dynos routers should send requests to.

use std::collections::BTreeSet;

use model::{App, Backend, DynoId, DynoState, Hostname, NoBackend, ProcessType, Release, Route};
use store::key;

use super::formation::{Formation, Member, TypeState};
use super::{Context, Writes};
use crate::snapshot::AppState;

/// The route the app should have now, and which obsolete dynos are still needed.
#[derive(Debug)]
pub(super) struct Routing {
    route: Route,
    needed: BTreeSet<DynoId>,
}

impl Routing {
    pub(super) fn decide(
        context: &Context<'_>,
        app: &App,
        release: &Release,
        formation: &Formation<'_>,
        short: &BTreeSet<ProcessType>,
        state: &AppState,
    ) -> Self {
        let mut needed = BTreeSet::new();
        let mut backends = Vec::new();
        for (process_type, of_type) in &formation.types {
            let keep = kept(app, formation, of_type, short.contains(process_type));
            needed.extend(keep.iter().map(|member| member.seen.value.id));
            if process_type.is_web() {
                let fresh = of_type
                    .current
                    .iter()
                    .filter(|member| member.booted && (member.routed || formation.is_proven()));
                // What is given up for lost may yet answer; it is asked for want of anything better.
                let lost = of_type.obsolete.iter().filter(|m| m.lost && m.routed);
                backends.extend(fresh.chain(keep).chain(lost).filter_map(backend));
            }
        }
        // Nobody knows whether a node that is not heard of still answers: better those that do. With none that does,
        // an empty route would serve nobody.
        if backends.iter().any(|(gone, _)| !gone) {
            backends.retain(|(gone, _)| !gone);
        }
        let mut backends: Vec<Backend> = backends.into_iter().map(|(_, backend)| backend).collect();
        backends.sort();
        let no_backend = no_backend(release, formation.types.get(&ProcessType::web()));
        let route = Route {
            app: app.id,
            app_name: app.name.clone(),
            hosts: hosts(context, app, state),
            backends,
            maintenance: app.maintenance,
            routing: app.routing.clone(),
            no_backend,
            error_page_url: release.pages.error.clone(),
            maintenance_page_url: release.pages.maintenance.clone(),
        };
        Self { route, needed }
    }

    /// Whether an obsolete dyno must run on for now.
    pub(super) fn needs(&self, dyno: DynoId) -> bool {
        self.needed.contains(&dyno)
    }

    /// Whether routers are to send it requests.
    pub(super) fn routes_to(&self, dyno: DynoId) -> bool {
        let mut backends = self.route.backends.iter();
        backends.any(|backend| backend.dyno == dyno)
    }

    /// Writes the route if it differs from the stored one.
    pub(super) fn write(&self, state: &AppState, writes: &mut Writes) {
        match &state.route {
            Some(seen) if seen.value == self.route => {}
            Some(seen) => {
                writes.compare(&seen.key, seen.revision);
                writes.write(|txn| txn.put(&key::ROUTES, seen.key.clone(), &self.route));
            }
            None => {
                let key = key::route(self.route.app);
                writes.write(|txn| txn.create(&key::ROUTES, key, &self.route));
            }
        }
    }
}

/// The obsolete dynos of a type that stand in until enough current ones are ready.
fn kept<'m, 'a>(
    app: &App,
    formation: &Formation<'a>,
    of_type: &'m TypeState<'a>,
    short: bool,
) -> Vec<&'m Member<'a>> {
    // A dyno that nothing is heard of, ready as it was, is no reason for another to go.
    let missing = (of_type.wanted as usize).saturating_sub(of_type.there());
    let is_web = of_type
        .obsolete
        .iter()
        .any(|member| member.seen.value.is_web());
    let mut standing: Vec<&Member<'_>> = of_type
        .obsolete
        .iter()
        .filter(|member| member.booted && !member.lost)
        .collect();
    let serving = standing
        .iter()
        .filter(|member| !is_web || member.routed)
        .count();
    // On trial, a release takes nothing away: neither what serves, nor a type it does not have.
    let on_trial = !formation.is_proven() || (formation.pending && of_type.command.is_none());
    let mut keep = match on_trial {
        true => serving.max(missing),
        false => missing,
    };
    // Those that serve now stay; one that does not comes back only if it is of the release that was serving.
    standing.retain(|m| !is_web || m.routed || m.seen.value.release == app.current);
    // One makes room for the next, where that can come to something.
    if short && standing.iter().any(|member| member.yields) {
        let stay = standing.len().min(keep);
        keep = match of_type.is_making_room() {
            true => serving.min(keep),
            false if stay > 1 || of_type.last_may_go() => stay.saturating_sub(1),
            false => stay,
        };
    }
    standing.sort_by_key(|m| {
        let goes_first = if short { m.yields } else { m.leaving };
        (
            m.gone,
            !m.ready,
            !m.routed,
            goes_first,
            m.seen.value.name.index,
            m.seen.value.id,
        )
    });
    standing.truncate(keep);
    standing
}

/// And whether its node is gone.
fn backend(member: &Member<'_>) -> Option<(bool, Backend)> {
    let Some(DynoState::Up {
        addr: Some(addr), ..
    }) = member.status.map(|s| &s.state)
    else {
        return None;
    };
    let dyno = &member.seen.value;
    let backend = Backend {
        dyno: dyno.id,
        name: dyno.name.clone(),
        addr: *addr,
    };
    Some((member.gone, backend))
}

fn hosts(context: &Context<'_>, app: &App, state: &AppState) -> Vec<Hostname> {
    let own = format!("{}.{}", app.name, context.rules.domain).parse();
    own.into_iter()
        .chain(state.domains.iter().cloned())
        .collect()
}

fn no_backend(release: &Release, web: Option<&TypeState<'_>>) -> NoBackend {
    if release.slug.is_none() {
        return NoBackend::Blank;
    }
    let Some(web) = web.filter(|web| web.wanted > 0) else {
        return NoBackend::NoWebProcesses;
    };
    let crashed = |m: &Member<'_>| {
        matches!(
            m.status.map(|status| &status.state),
            Some(DynoState::Crashed { .. })
        )
    };
    if !web.current.is_empty() && web.current.iter().all(crashed) {
        NoBackend::Crashed
    } else {
        NoBackend::Booting
    }
}
