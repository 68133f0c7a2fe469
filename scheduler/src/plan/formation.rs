//! An app's formation as it stands: which dynos are what the running release wants, and which are in the way.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    App, Dyno, DynoId, DynoKind, DynoSize, DynoState, DynoStatus, NodeId, ProcessType, Release,
    Resources,
};
use store::Versioned;

use super::Context;
use super::place::{Need, Peers};
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
    /// Tags a node must have to run it.
    pub(super) tags: BTreeMap<String, String>,
    pub(super) one_per_node: bool,
    /// One per slot at most.
    pub(super) current: Vec<Member<'a>>,
    pub(super) obsolete: Vec<Member<'a>>,
    /// One that was told to stop still has its place, and will leave it.
    pub(super) stopping: bool,
}

/// A formation dyno that has not been told to stop.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) seen: &'a Versioned<Dyno>,
    pub(super) status: Option<&'a DynoStatus>,
    /// Nothing is heard of its node: routers are not to send it requests while there is another.
    pub(super) gone: bool,
    /// Its node has been gone for too long.
    pub(super) lost: bool,
    /// It is where it should not be (on a node that is drained, or has not the tags that are asked for, or is to have
    /// only one of its type): it is obsolete, but serves until there is another in its place.
    pub(super) leaving: bool,
    /// It is in the way of others of its type: one that is to be started could have the room it leaves. Only obsolete dynos
    /// are asked.
    pub(super) yields: bool,
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
                let tags = app.placement.tags_for(&seen.value.name.process_type);
                let mut member = Member::of(context, seen, state.status(seen.value.id), &tags);
                member.routed = routed.contains(&seen.value.id);
                let seen_routed = &context.memory_of(app.id).acknowledged;
                let acknowledged = route_acknowledged || seen_routed.contains(&seen.value.id);
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
        for mut member in members {
            let dyno = &member.seen.value;
            let of_type = types
                .entry(dyno.name.process_type.clone())
                .or_insert_with(|| TypeState {
                    command: None,
                    wanted: 0,
                    size: dyno.size,
                    tags: BTreeMap::new(),
                    one_per_node: false,
                    current: Vec::new(),
                    obsolete: Vec::new(),
                    stopping: false,
                });
            member.leaving = member.leaving || of_type.has_its_node_taken(&member);
            if of_type.is_current(&member, release) {
                of_type.current.push(member);
            } else {
                of_type.obsolete.push(member);
            }
        }
        for of_type in types.values_mut() {
            of_type.find_who_yields(context);
        }
        for dyno in state.dynos.values().map(|dyno| &dyno.value) {
            if let Some(of_type) = types.get_mut(&dyno.name.process_type) {
                of_type.stopping |= leaves_room(context, dyno);
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

    /// As [`TypeState::ready`], without those that nothing is heard of: they may not serve.
    pub(super) fn there(&self) -> usize {
        let is_there = |member: &&Member<'_>| member.ready && !member.gone;
        self.current.iter().filter(is_there).count()
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

    /// What a dyno of this type asks of a node, to be spread from `peers`.
    pub(super) fn need<'p>(&self, peers: &'p Peers) -> Need<'p> {
        Need {
            resources: self.size.resources(),
            tags: self.tags.clone(),
            one_per_node: self.one_per_node,
            peers,
        }
    }

    /// Where its dynos are, those in the way not counted.
    pub(super) fn peers(&self) -> Peers {
        let mut peers = Peers::default();
        let nodes = self.current.iter().filter_map(|m| m.seen.value.node);
        nodes.for_each(|node| peers.add(node));
        peers
    }

    /// Nodes that still have, or may still have, a dyno of the slot that is given up for lost.
    pub(super) fn lost_from(&self, index: u32) -> impl Iterator<Item = NodeId> {
        let of_slot =
            move |member: &&Member<'_>| member.lost && member.seen.value.name.index == index;
        let lost = self.obsolete.iter().filter(of_slot);
        lost.filter_map(|member| member.seen.value.node)
    }

    /// Whether room is on its way, or one that has been made room for has yet to be ready: none other need go meanwhile.
    pub(super) fn is_making_room(&self) -> bool {
        let leaves = |m: &Member<'_>| {
            let serves = m.booted && (m.routed || !m.seen.value.is_web());
            m.seen.value.node.is_some() && !m.gone && !serves
        };
        let comes = |m: &Member<'_>| m.seen.value.node.is_some() && !m.ready;
        self.stopping || self.obsolete.iter().any(leaves) || self.current.iter().any(comes)
    }

    /// Whether obsolete dynos may still give way to what has no place, one after the other.
    pub(super) fn may_make_room(&self) -> bool {
        let staying = self.obsolete.iter().filter(|member| !member.leaving);
        let somebody_yields = self.obsolete.iter().any(|member| member.yields);
        self.is_making_room() || (somebody_yields && staying.count() > 1) || self.last_may_go()
    }

    /// The last obsolete dyno gives way only where another is ready, to one that fits in its place.
    pub(super) fn last_may_go(&self) -> bool {
        let fits = |m: &Member<'_>| m.seen.value.size == self.size && m.yields;
        self.there() > 0 && self.obsolete.iter().any(fits)
    }

    /// A dyno gives way only where that can come to something: its node takes new dynos, of the kind that is wanted, and has
    /// room for one once this one and those beside it are gone. All of them never go.
    fn find_who_yields(&mut self, context: &Context<'_>) {
        let need = self.size.resources();
        let stays = |member: &&Member<'_>| !member.leaving && !member.lost;
        let all = self.obsolete.iter().filter(stays).count();
        let mut there: BTreeMap<NodeId, Vec<Resources>> = BTreeMap::new();
        for member in self.obsolete.iter().filter(stays) {
            if let Some(node) = member.seen.value.node {
                let size = member.seen.value.size.resources();
                there.entry(node).or_default().push(size);
            }
        }
        for sizes in there.values_mut().filter(|sizes| sizes.len() == all) {
            sizes.sort_by_key(|size| size.memory_bytes);
            sizes.pop();
        }
        let will_hold = |node: NodeId, size: DynoSize| {
            let room = context.free.room(node).filter(|room| room.has(&self.tags));
            room.is_some_and(|room| {
                let freed = there.get(&node).into_iter().flatten();
                let free = freed.fold(room.free_of_dynos(), |free, size| free.plus(*size));
                size == self.size || free.holds(need)
            })
        };
        for member in &mut self.obsolete {
            let dyno = &member.seen.value;
            member.yields = !member.leaving
                && !member.lost
                && dyno.node.is_some_and(|node| will_hold(node, dyno.size));
        }
    }

    /// Whether it is on a node with another of its type, and is not to be.
    fn has_its_node_taken(&self, member: &Member<'_>) -> bool {
        let node = member.seen.value.node;
        let mut others = self.current.iter().map(|other| other.seen.value.node);
        self.one_per_node && node.is_some() && others.any(|other| other == node)
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
        tags: &BTreeMap<String, String>,
    ) -> Self {
        let dyno = &seen.value;
        let gone = dyno.node.is_some_and(|node| context.is_gone(node));
        let lost = dyno.node.is_some_and(|node| context.is_lost(node));
        let booted = match status.map(|status| &status.state) {
            _ if lost => false,
            Some(DynoState::Up { addr, .. }) if dyno.is_web() => addr.is_some(),
            Some(DynoState::Up { since, .. }) => {
                let seen_up = context.memory_of(dyno.app).up.get(&dyno.id).copied();
                match seen_up.filter(|(start, _)| start == since) {
                    Some((_, seen)) => context.has_passed(seen, context.rules.settle),
                    None => false,
                }
            }
            _ => false,
        };
        Self {
            seen,
            status,
            gone,
            lost,
            leaving: dyno
                .node
                .is_some_and(|node| context.is_draining(node) || !context.has_tags(node, tags)),
            yields: false,
            booted,
            ready: false,
            routed: false,
        }
    }
}

/// Whether it was told to stop and still has its place, on a node that is there to give it back.
fn leaves_room(context: &Context<'_>, dyno: &Dyno) -> bool {
    matches!(dyno.kind, DynoKind::Formation)
        && dyno.is_stopping()
        && dyno.node.is_some_and(|node| !context.is_gone(node))
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
                tags: app.placement.tags_for(process_type),
                one_per_node: app.placement.is_one_per_node(process_type),
                current: Vec::new(),
                obsolete: Vec::new(),
                stopping: false,
            };
            (process_type.clone(), of_type)
        })
        .collect()
}
