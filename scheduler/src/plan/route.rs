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
                backends.extend(fresh.chain(keep).filter_map(backend));
            }
        }
        backends.sort();
        let no_backend = no_backend(release, formation.types.get(&ProcessType::web()));
        let route = Route {
            app: app.id,
            app_name: app.name.clone(),
            hosts: hosts(context, app, state),
            backends,
            maintenance: app.maintenance,
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
    let wanted = of_type.wanted as usize;
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
        true => serving.max(wanted.saturating_sub(of_type.ready())),
        false => wanted.saturating_sub(of_type.ready()),
    };
    // One makes room for the next; but what leaves a draining node makes none where it is wanted.
    let makes_room = standing.iter().any(|member| !member.leaving);
    if short && keep > 1 && makes_room {
        keep = serving.min(keep).saturating_sub(1).max(1);
    }
    // Those that serve now stay; one that does not comes back only if it is of the release that was serving.
    standing.retain(|m| !is_web || m.routed || m.seen.value.release == app.current);
    standing.sort_by_key(|m| {
        let goes_first = m.leaving != short;
        (
            !m.routed,
            goes_first,
            m.seen.value.name.index,
            m.seen.value.id,
        )
    });
    standing.truncate(keep);
    standing
}

fn backend(member: &Member<'_>) -> Option<Backend> {
    let Some(DynoState::Up {
        addr: Some(addr), ..
    }) = member.status.map(|s| &s.state)
    else {
        return None;
    };
    let dyno = &member.seen.value;
    Some(Backend {
        dyno: dyno.id,
        name: dyno.name.clone(),
        addr: *addr,
    })
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
