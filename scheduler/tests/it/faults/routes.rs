//! What a route may have after each commit, and what may leave it.
//!
//! A step is judged by what it was planned from: what has changed since then counts for whichever it was.

use std::collections::BTreeSet;

use model::{App, Dyno, DynoId, DynoState, ProcessType, Release, Revision};
use scheduler::snapshot::AppState;

use super::Violation;
use super::check::Truth;

/// An app's route as it was before a commit.
pub(super) struct Before {
    pub(super) revision: Revision,
    pub(super) dynos: Vec<DynoId>,
}

/// One commit's change of one route.
pub(super) struct RouteChange<'a> {
    pub(super) truth: &'a Truth,
    pub(super) state: &'a AppState,
    pub(super) app: &'a App,
    pub(super) before: &'a Before,
    /// When it was planned.
    pub(super) planned_from: Revision,
}

impl RouteChange<'_> {
    pub(super) fn check(&self) -> Result<(), Violation> {
        self.check_joining()?;
        self.check_stand_ins()?;
        self.check_leaving()
    }

    /// Who joins has booted, on a node that is there if there is any such, and if it is of a release on trial, that has
    /// shown a booted dyno of each type.
    fn check_joining(&self) -> Result<(), Violation> {
        let joining = self.is().filter(|dyno| !self.was(dyno.id));
        for dyno in joining {
            if !self.may_be_up(dyno) {
                return self.violated(dyno, "is routed to and does not run");
            }
            if !self.may_be_alive(dyno) && self.is().any(|other| self.is_surely_alive(other)) {
                return self.violated(dyno, "is routed to on a node that is gone");
            }
            let release = self.state.release(dyno.release);
            let on_trial = release.filter(|release| release.status.is_pending());
            if on_trial.is_some_and(|release| !self.may_be_proven(release)) {
                return self.violated(dyno, "is routed to, of a release that has proven nothing");
            }
        }
        Ok(())
    }

    /// A route has one dyno for each slot, and beside those at most as many as there are slots that are not ready: what
    /// stands in need not be of the same slot. A release on trial takes nothing from what served before.
    fn check_stand_ins(&self) -> Result<(), Violation> {
        if !self.is().any(|dyno| self.is_surely_alive(dyno)) {
            // With nothing better, all stay.
            return Ok(());
        }
        let releases = [self.app.target, self.app.current].map(|of| self.state.release(of));
        let are_right = |running: &Release| {
            let filled = self.is().filter(|dyno| self.may_fill(dyno, running));
            let slots: BTreeSet<u32> = filled.map(|dyno| dyno.name.index).collect();
            let stand_in = self.is().count() - slots.len();
            let missing = self.wanted().saturating_sub(self.surely_ready(running));
            let serving = match running.status.is_pending() {
                true => self.before.dynos.len(),
                false => 0,
            };
            stand_in <= missing.max(serving)
        };
        match releases.into_iter().flatten().any(are_right) {
            true => Ok(()),
            false => Err(Violation(format!(
                "{} has more in its route than fill its slots and stand in: {}",
                self.app.name,
                self.tell()
            ))),
        }
    }

    /// Of those that serve, as many stay as are wanted, and of those that every router sends requests to likewise: what has
    /// only just joined replaces nobody yet. Where there is no room for what is to come, one leaves to make it, and no other
    /// while the room of one before it is on its way.
    fn check_leaving(&self) -> Result<(), Violation> {
        let serving: Vec<&Dyno> = { self.before.dynos.iter() }
            .filter_map(|id| self.dyno(*id))
            .filter(|dyno| self.surely_serves(dyno))
            .collect();
        let staying: Vec<&Dyno> = { self.is() }
            .filter(|dyno| self.was(dyno.id) && self.may_be_up(dyno) && self.may_be_alive(dyno))
            .collect();
        let is: BTreeSet<DynoId> = self.is().map(|dyno| dyno.id).collect();
        let leaving = serving.iter().filter(|dyno| !is.contains(&dyno.id)).count();
        let needed = self.wanted().min(serving.len());
        if leaving == 0
            || (staying.len() >= needed && self.are_known_to_routers(&serving, &staying))
        {
            return Ok(());
        }
        let makes_room = !staying.is_empty() && staying.len() + 1 >= needed && self.may_be_short();
        if makes_room && !self.room_surely_comes() {
            return Ok(());
        }
        Err(Violation(format!(
            "{leaving} of {} leave the route of {}, {} stay: {}",
            serving.len(),
            self.app.name,
            staying.len(),
            self.tell()
        )))
    }

    /// A leader that cannot know what routers have acknowledged keeps as many old ones as are wanted.
    fn are_known_to_routers(&self, serving: &[&Dyno], staying: &[&Dyno]) -> bool {
        let known = |dynos: &[&Dyno]| {
            let known = dynos
                .iter()
                .filter(|dyno| self.truth.was_acknowledged(dyno));
            known.count()
        };
        let releases = [self.app.target, self.app.current].map(|of| self.state.release(of));
        let are_old = |running: &Release| {
            let old = staying.iter().filter(|dyno| !self.fills(dyno, running));
            old.count() >= self.wanted()
        };
        known(staying) >= self.wanted().min(known(serving))
            || releases.into_iter().flatten().any(are_old)
    }

    fn is(&self) -> impl Iterator<Item = &Dyno> {
        let backends = self.state.route.iter().flat_map(|r| &r.value.backends);
        backends.filter_map(|backend| self.dyno(backend.dyno))
    }

    fn was(&self, dyno: DynoId) -> bool {
        self.before.dynos.contains(&dyno)
    }

    fn dyno(&self, id: DynoId) -> Option<&Dyno> {
        Some(&self.state.dynos.get(&id)?.value)
    }

    /// A release with no slug has no dynos.
    fn wanted(&self) -> usize {
        let target = self.state.release(self.app.target);
        match target.and_then(|release| release.slug) {
            Some(_) => self.app.quantity(&ProcessType::web()) as usize,
            None => 0,
        }
    }

    const fn is_news(&self, revision: Revision) -> bool {
        revision > self.planned_from
    }

    fn is_up(&self, dyno: &Dyno) -> bool {
        let state = self.state.status(dyno.id).map(|status| &status.state);
        matches!(state, Some(DynoState::Up { .. }))
    }

    fn has_new_status(&self, dyno: &Dyno) -> bool {
        let status = self.state.statuses.get(&dyno.id);
        status.is_none_or(|status| self.is_news(status.revision))
    }

    fn may_be_up(&self, dyno: &Dyno) -> bool {
        self.is_up(dyno) || self.has_new_status(dyno)
    }

    fn is_surely_alive(&self, dyno: &Dyno) -> bool {
        dyno.node
            .is_some_and(|node| self.truth.is_alive(node) && !self.is_news(self.truth.beat(node)))
    }

    fn may_be_alive(&self, dyno: &Dyno) -> bool {
        dyno.node
            .is_some_and(|node| self.truth.is_alive(node) || self.is_news(self.truth.beat(node)))
    }

    fn surely_serves(&self, dyno: &Dyno) -> bool {
        self.is_up(dyno) && !self.has_new_status(dyno) && self.is_surely_alive(dyno)
    }

    fn may_be_proven(&self, release: &Release) -> bool {
        let types = self.app.formation.iter().filter(|(_, of)| of.quantity > 0);
        types.into_iter().all(|(process_type, _)| {
            let dynos = self.state.dynos.values().map(|dyno| &dyno.value);
            { dynos }.any(|dyno| {
                dyno.release_id == release.id
                    && dyno.name.process_type == *process_type
                    && self.may_be_up(dyno)
            })
        })
    }

    /// Whether the dyno may be the one that is to stay in its slot while `running` runs.
    fn may_fill(&self, dyno: &Dyno, running: &Release) -> bool {
        self.fills(dyno, running) || self.is_news(self.state.dynos[&dyno.id].revision)
    }

    fn fills(&self, dyno: &Dyno, running: &Release) -> bool {
        dyno.release_id == running.id
            && dyno.name.index as usize <= self.wanted()
            && !dyno.replace
            && !dyno.is_stopping()
            && dyno.node.is_some_and(|node| {
                let is_edited = self.is_news(self.truth.edited(node));
                is_edited || self.truth.suits(self.app, dyno, node)
            })
    }

    /// How many slots have a dyno that serves, and that all routers were known to send requests to.
    fn surely_ready(&self, running: &Release) -> usize {
        if self.truth.now.routers.is_empty()
            || !self.truth.have_acknowledged(self.before.revision)
            || self.is_news(self.truth.routers_changed())
        {
            return 0;
        }
        let served = self.before.dynos.iter().filter_map(|id| self.dyno(*id));
        let ready = served.filter(|dyno| {
            self.surely_serves(dyno)
                && self.fills(dyno, running)
                && !self.is_news(self.state.dynos[&dyno.id].revision)
                && !{ dyno.node }.is_some_and(|node| self.is_news(self.truth.edited(node)))
        });
        let slots: BTreeSet<u32> = ready.map(|dyno| dyno.name.index).collect();
        slots.len()
    }

    /// Whether a slot may have seemed to have no place.
    fn may_be_short(&self) -> bool {
        let releases = [self.app.target, self.app.current].map(|of| self.state.release(of));
        let lacks = |running: &Release| {
            (1..=self.wanted()).any(|index| {
                let dynos = self.state.dynos.values();
                !{ dynos }.any(|dyno| {
                    dyno.value.name.index as usize == index
                        && dyno.value.is_web()
                        && self.fills(&dyno.value, running)
                        && self.is_surely_alive(&dyno.value)
                        && !self.is_news(dyno.revision)
                })
            })
        };
        releases.into_iter().flatten().any(lacks)
    }

    /// Whether a dyno that left before is known to be on its way out, on a node that is there.
    fn room_surely_comes(&self) -> bool {
        let releases = [self.app.target, self.app.current].map(|of| self.state.release(of));
        let mut dynos = self.state.dynos.values();
        dynos.any(|seen| {
            let dyno = &seen.value;
            let mut releases = releases.into_iter().flatten();
            dyno.is_web()
                && !self.was(dyno.id)
                && (dyno.is_stopping() || !releases.any(|running| self.may_fill(dyno, running)))
                && !self.is_news(seen.revision)
                && self.is_surely_alive(dyno)
        })
    }

    fn tell(&self) -> String {
        let mut text = format!(
            "wanted {}, target {}, current {}, planned from {}, route {} acknowledged {}, routers changed at {}",
            self.wanted(),
            self.app.target,
            self.app.current,
            self.planned_from,
            self.before.revision,
            self.truth.have_acknowledged(self.before.revision),
            self.truth.routers_changed(),
        );
        for seen in self.state.dynos.values() {
            let dyno = &seen.value;
            let status = self.state.statuses.get(&dyno.id);
            let node = dyno.node.map(|node| {
                let (beat, edited) = (self.truth.beat(node), self.truth.edited(node));
                (
                    self.truth.is_alive(node),
                    beat,
                    self.truth.suits(self.app, dyno, node),
                    edited,
                )
            });
            text += &format!(
                "\n{} {} at {}: release {}, replace {}, {:?}, was routed {}, is {}, status {:?}, alive and suited {node:?}",
                dyno.name,
                dyno.id,
                seen.revision,
                dyno.release,
                dyno.replace,
                dyno.intent,
                self.was(dyno.id),
                self.is().any(|is| is.id == dyno.id),
                status.map(|status| (status.revision, &status.value.state)),
            );
        }
        text
    }

    fn violated(&self, dyno: &Dyno, what: &str) -> Result<(), Violation> {
        Err(Violation(format!(
            "{} of {} {what}",
            dyno.name, self.app.name
        )))
    }
}
