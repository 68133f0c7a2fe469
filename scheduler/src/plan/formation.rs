//! An app's formation as it stands: which dynos are what the running release wants, and which are in the way.

use std::collections::{BTreeMap, BTreeSet};

use model::{App, Dyno, DynoId, DynoKind, DynoSize, DynoState, DynoStatus, ProcessType, Release};
use store::Versioned;

use super::Context;
use crate::snapshot::AppState;

#[derive(Debug)]
pub(super) struct Formation<'a> {
    pub(super) types: BTreeMap<ProcessType, TypeState<'a>>,
    /// The release is still on trial.
    pub(super) pending: bool,
}

/// One process type: wanted by the release, or left over from an earlier one, or both.
#[derive(Debug)]
pub(super) struct TypeState<'a> {
    /// `None`: the release has no such type.
    pub(super) command: Option<&'a str>,
    pub(super) wanted: u32,
    pub(super) size: DynoSize,
    /// One per slot at most.
    pub(super) current: Vec<Member<'a>>,
    pub(super) obsolete: Vec<Member<'a>>,
}

/// A formation dyno that has not been told to stop.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) seen: &'a Versioned<Dyno>,
    pub(super) status: Option<&'a DynoStatus>,
    /// Its node has been gone for too long.
    pub(super) lost: bool,
    /// Its node is being drained: it is obsolete, but serves until there is another in its place.
    pub(super) leaving: bool,
    /// It runs and, unless it is web, has done so long enough to be believed.
    pub(super) booted: bool,
    /// Booted, and if it is web, every router sends it requests.
    pub(super) ready: bool,
    /// In the app's route as stored.
    pub(super) routed: bool,
}

impl<'a> Formation<'a> {
    pub(super) fn of(
        context: &mut Context<'_>,
        app: &'a App,
        release: &'a Release,
        state: &'a AppState,
    ) -> Self {
        let mut types = wanted_types(app, release, state);
        let route_acknowledged = state
            .route
            .as_ref()
            .is_some_and(|route| context.is_acknowledged(route.revision));
        let routed: BTreeSet<DynoId> = state
            .route
            .iter()
            .flat_map(|route| route.value.backends.iter().map(|backend| backend.dyno))
            .collect();
        let mut members: Vec<Member<'_>> = state
            .dynos
            .values()
            .filter(|d| matches!(d.value.kind, DynoKind::Formation) && !d.value.is_stopping())
            .map(|seen| {
                let mut member = Member::of(context, seen, state.status(seen.value.id));
                member.routed = routed.contains(&seen.value.id);
                let acknowledged =
                    route_acknowledged || context.memory.acknowledged.contains(&seen.value.id);
                member.ready =
                    member.booted && (!seen.value.is_web() || (member.routed && acknowledged));
                member
            })
            .collect();
        // Where two dynos claim one slot, the one that is further along keeps it.
        members.sort_by_key(|m| {
            (
                !m.ready,
                !m.booted,
                m.seen.value.node.is_none(),
                m.seen.value.id,
            )
        });
        for member in members {
            let dyno = &member.seen.value;
            let of_type = types
                .entry(dyno.name.process_type.clone())
                .or_insert_with(|| TypeState {
                    command: None,
                    wanted: 0,
                    size: dyno.size,
                    current: Vec::new(),
                    obsolete: Vec::new(),
                });
            if of_type.is_current(&member, release) {
                of_type.current.push(member);
            } else {
                of_type.obsolete.push(member);
            }
        }
        Self {
            types,
            pending: release.status.is_pending(),
        }
    }

    pub(super) fn current(&self) -> impl Iterator<Item = &Member<'a>> {
        self.types.values().flat_map(|of_type| &of_type.current)
    }

    /// Whether a pending release has shown, in every type, that it can run. Until then nothing that serves is touched.
    pub(super) fn is_proven(&self) -> bool {
        !self.pending
            || self
                .types
                .values()
                .all(|of_type| of_type.wanted == 0 || of_type.current.iter().any(|m| m.booted))
    }

    /// Every wanted dyno is there and ready.
    pub(super) fn is_complete(&self) -> bool {
        self.types
            .values()
            .all(|of_type| of_type.ready() >= of_type.wanted as usize)
    }
}

impl<'a> TypeState<'a> {
    pub(super) fn ready(&self) -> usize {
        self.current.iter().filter(|member| member.ready).count()
    }

    /// Slots that no current dyno fills.
    pub(super) fn missing(&self) -> impl Iterator<Item = u32> {
        let filled: BTreeSet<u32> = self
            .current
            .iter()
            .map(|m| m.seen.value.name.index)
            .collect();
        (1..=self.wanted).filter(move |index| !filled.contains(index))
    }

    fn is_current(&self, member: &Member<'_>, release: &Release) -> bool {
        let dyno = &member.seen.value;
        let index = dyno.name.index;
        dyno.release_id == release.id
            && self.command == Some(dyno.command.as_str())
            && dyno.size == self.size
            && index <= self.wanted
            && !dyno.replace
            && !member.lost
            && !member.leaving
            && self
                .current
                .iter()
                .all(|other| other.seen.value.name.index != index)
    }
}

impl<'a> Member<'a> {
    fn of(
        context: &mut Context<'_>,
        seen: &'a Versioned<Dyno>,
        status: Option<&'a DynoStatus>,
    ) -> Self {
        let dyno = &seen.value;
        let lost = dyno.node.is_some_and(|node| context.is_lost(node));
        let booted = match status.map(|status| &status.state) {
            _ if lost => false,
            Some(DynoState::Up { addr, .. }) if dyno.is_web() => addr.is_some(),
            Some(DynoState::Up { since, .. }) => context.has_passed(*since, context.rules.settle),
            _ => false,
        };
        Self {
            seen,
            status,
            lost,
            leaving: dyno.node.is_some_and(|node| context.is_draining(node)),
            booted,
            ready: false,
            routed: false,
        }
    }
}

fn wanted_types<'a>(
    app: &App,
    release: &Release,
    state: &'a AppState,
) -> BTreeMap<ProcessType, TypeState<'a>> {
    let Some(slug) = state.slug_of(release) else {
        return BTreeMap::new();
    };
    slug.process_types
        .iter()
        .filter(|(process_type, _)| !process_type.is_release())
        .map(|(process_type, command)| {
            let of_type = TypeState {
                command: Some(command),
                wanted: app.quantity(process_type),
                size: app.size(process_type),
                current: Vec::new(),
                obsolete: Vec::new(),
            };
            (process_type.clone(), of_type)
        })
        .collect()
}
