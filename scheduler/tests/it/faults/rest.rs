//! What must be so when all faults are over and nothing changes any more.

use std::collections::{BTreeMap, BTreeSet};

use model::{AppId, Dyno, DynoId, DynoState, NodeId, Resources};

use super::world::World;
use super::{Millis, Violation};

/// Nothing is going to change after that long without a change: every wait of the planner's is shorter.
const QUIET: Millis = 42_000;
/// And after so long it must be quiet.
const PATIENCE: Millis = 400_000;

impl World {
    /// Lets time pass until nothing changes any more, and looks whether all is as it should be.
    pub(super) fn settle(&mut self) -> Result<(), Violation> {
        let began = self.now;
        let (mut changed_at, mut dynos_at) = (self.now, 0);
        loop {
            self.step()?;
            let newest = self.newest_change();
            if newest != dynos_at {
                (changed_at, dynos_at) = (self.now, newest);
            }
            if self.now - changed_at > QUIET {
                return self.check_rest().map_err(Violation);
            }
            if self.now - began > PATIENCE {
                let what = self.check_rest().err().unwrap_or_default();
                return Err(Violation(format!("it does not come to rest; {what}")));
            }
        }
    }

    /// The index of the last commit that changed a dyno or a route.
    fn newest_change(&self) -> usize {
        let is_change =
            |logged: &super::store::Logged| !logged.dynos.is_empty() || !logged.routes.is_empty();
        self.store.log.iter().rposition(is_change).unwrap_or(0)
    }

    fn check_rest(&self) -> Result<(), String> {
        if !self
            .candidates
            .iter()
            .any(super::candidate::Candidate::leads)
        {
            return Err("nobody leads".to_owned());
        }
        let mut everywhere: BTreeSet<DynoId> = BTreeSet::new();
        for id in &self.apps {
            let app = self.app(*id);
            let state = &self.truth.now.apps[id];
            let name = &app.name;
            if app.target != app.current {
                let state = self.tell(*id);
                return Err(format!("{name} is still on trial: {state}"));
            }
            let dynos: Vec<&Dyno> = state.dynos.values().map(|dyno| &dyno.value).collect();
            everywhere.extend(dynos.iter().map(|dyno| dyno.id));
            // Whatever is wanted, there is nothing to run where no deploy was ever successful.
            let is_blank = state
                .release(app.current)
                .is_none_or(|release| release.slug.is_none());
            if is_blank && !dynos.is_empty() {
                return Err(format!("{name} has dynos of nothing"));
            }
            for (process_type, formation) in app.formation.iter().filter(|_| !is_blank) {
                let of_type: Vec<&&Dyno> = dynos
                    .iter()
                    .filter(|d| d.name.process_type == *process_type)
                    .collect();
                let right = of_type
                    .iter()
                    .filter(|d| d.release == app.current && !d.replace && d.node.is_some());
                let slots: BTreeSet<u32> = right.map(|dyno| dyno.name.index).collect();
                if of_type.len() as u32 != formation.quantity
                    || slots.len() as u32 != formation.quantity
                {
                    return Err(format!(
                        "{name} has not the {process_type} dynos it wants: {}",
                        self.tell(*id)
                    ));
                }
                let nodes: Vec<NodeId> = of_type.iter().filter_map(|dyno| dyno.node).collect();
                self.check_spread(&nodes, formation.size.resources())
                    .map_err(|what| {
                        format!("{process_type} of {name}: {what}\n{}", self.tell(*id))
                    })?;
            }
            for dyno in &dynos {
                let up = matches!(
                    state.status(dyno.id).map(|s| &s.state),
                    Some(DynoState::Up { .. })
                );
                let agent = self.agents.iter().find(|agent| Some(agent.id) == dyno.node);
                if !up || !agent.is_some_and(|agent| agent.runs(dyno.id)) {
                    return Err(format!("{} of {name} does not run", dyno.name));
                }
            }
            if state.statuses.len() != dynos.len() {
                return Err(format!("{name} has statuses of no dyno"));
            }
            let web: BTreeSet<DynoId> = dynos.iter().filter(|d| d.is_web()).map(|d| d.id).collect();
            for router in &self.routers {
                let backends = router.table[id].backends.iter();
                if backends.map(|b| b.dyno).collect::<BTreeSet<_>>() != web {
                    return Err(format!(
                        "a router does not route to the web dynos of {name}"
                    ));
                }
            }
        }
        for agent in &self.agents {
            if let Some(stray) = agent.containers.keys().find(|id| !everywhere.contains(id)) {
                return Err(format!("{stray} runs and nobody wants it"));
            }
        }
        match self.truth.now.rebalance {
            Some(_) => Err("the wish for balance was never fulfilled".to_owned()),
            None => Ok(()),
        }
    }

    /// What there is of an app, a line for each dyno.
    fn tell(&self, id: AppId) -> String {
        let (app, state) = (self.app(id), &self.truth.now.apps[&id]);
        let mut text = format!(
            "target {} current {} formation {:?} placement {:?}\n",
            app.target, app.current, app.formation, app.placement.tags
        );
        for dyno in state.dynos.values().map(|dyno| &dyno.value) {
            let status = state.status(dyno.id).map(|status| &status.state);
            text += &format!(
                "{} {} {} of {} on {:?} {:?} replace {}: {status:?}\n",
                dyno.name, dyno.id, dyno.size, dyno.release, dyno.node, dyno.intent, dyno.replace
            );
        }
        let route = state.route.as_ref();
        let backends = route.map(|route| (route.revision, &route.value.backends));
        text += &format!("route {backends:?}\n");
        let routers = self.truth.now.routers.values();
        text += &format!(
            "routers {:?}\n",
            routers.map(|r| r.applied).collect::<Vec<_>>()
        );
        for (id, node) in &self.truth.now.nodes {
            let alive = node.alive.is_some();
            let zone = node.node.as_ref().and_then(|node| node.zone.as_ref());
            text += &format!(
                "node {id}: alive {alive} zone {zone:?} reserved {:?}\n",
                node.reserved
            );
        }
        text
    }

    /// Never all dynos of a type on one node, or in one zone, while one of them would fit elsewhere.
    fn check_spread(&self, on: &[NodeId], need: Resources) -> Result<(), String> {
        let nodes = &self.truth.now.nodes;
        let zone = |id: &NodeId| nodes[id].node.as_ref().and_then(|node| node.zone.clone());
        let fits = |id: &NodeId| {
            let node = nodes[id].node.as_ref().unwrap();
            if nodes[id].alive.is_none() || node.cordoned || node.draining {
                return false;
            }
            let capacity = Resources {
                memory_bytes: node.memory_bytes,
                cpu_millis: u64::from(node.cpus)
                    * 10
                    * u64::from(self.rules.cpu_overcommit_percent),
            };
            capacity.minus(nodes[id].reserved).holds(need)
        };
        let of_node: BTreeSet<NodeId> = on.iter().copied().collect();
        let of_zone: BTreeMap<_, ()> = on.iter().map(|id| (zone(id), ())).collect();
        if on.len() > 1
            && of_node.len() == 1
            && nodes.keys().any(|id| !of_node.contains(id) && fits(id))
        {
            return Err("all on one node".to_owned());
        }
        if on.len() > 1
            && of_zone.len() == 1
            && nodes
                .keys()
                .any(|id| !of_zone.contains_key(&zone(id)) && fits(id))
        {
            return Err("all in one zone".to_owned());
        }
        Ok(())
    }
}
