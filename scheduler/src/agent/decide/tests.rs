use model::dyno::{Attach, OneOff};
use model::{
    AccountId, Actor, AppId, DynoId, DynoSize, Exit, ExitReason, Intent, NodeId, ReleaseId,
    ReleaseVersion, Sealed, Secret,
};
use proptest::prelude::*;

use super::*;

const TIMES: Times = Times {
    boot_timeout: Duration::from_secs(60),
    stop_grace: Duration::from_secs(30),
};
const CLEAN: ContainerExit = ContainerExit {
    status: 0,
    oom: false,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn dyno(name: &str, kind: DynoKind) -> Dyno {
    Dyno {
        id: DynoId::new(),
        app: AppId::new(),
        app_name: "shop".parse().unwrap(),
        name: name.parse().unwrap(),
        kind,
        release: ReleaseVersion(3),
        release_id: ReleaseId::new(),
        node: Some(NodeId::new()),
        command: "run me".to_owned(),
        size: DynoSize::default(),
        intent: Intent::Run,
        replace: false,
        created_at: at(0),
    }
}

fn one_off(attach: Option<Attach>) -> DynoKind {
    DynoKind::OneOff(OneOff {
        env: Sealed::from_bytes(Vec::new()),
        attach,
        time_to_live_secs: 3600,
        requested_by: Actor {
            account: AccountId::new(),
            email: "a@b.c".parse().unwrap(),
        },
        is_kept: false,
    })
}

fn terminal() -> Attach {
    Attach {
        secret: Secret::from("0"),
        tty: true,
        columns: 80,
        lines: 24,
    }
}

fn stopping(dyno: Dyno) -> Dyno {
    Dyno {
        intent: Intent::Stop { since: at(0) },
        ..dyno
    }
}

fn crashed(retry_at: i64) -> DynoState {
    let exit = Exit {
        reason: ExitReason::Exited { status: 1 },
        log_tail: Vec::new(),
    };
    DynoState::Crashed {
        at: at(0),
        exit,
        retry_at: at(retry_at),
    }
}

const STARTING: DynoState = DynoState::Starting {
    since: Timestamp::UNIX_EPOCH,
};
const UP: DynoState = DynoState::Up {
    since: Timestamp::UNIX_EPOCH,
    addr: None,
};
const STOPPING: DynoState = DynoState::Stopping {
    since: Timestamp::UNIX_EPOCH,
};
const STOPPED: DynoState = DynoState::Stopped {
    at: Timestamp::UNIX_EPOCH,
    exit: None,
};
const RUNNING: Found = Found::Running {
    started_at: Timestamp::UNIX_EPOCH,
};
const EXITED: Found = Found::Exited { exit: CLEAN };

fn step(wanted: Option<&Dyno>, found: Found, state: &DynoState, second: i64) -> Action {
    let view = View {
        wanted,
        found,
        state,
        restarts: 2,
        is_attached: false,
        was_killed: false,
        times: TIMES,
        now: at(second),
    };
    decide(&view)
}

#[test]
fn a_formation_dyno_is_launched_awaited_and_left_alone() {
    let web = dyno("web.1", DynoKind::Formation);
    let worker = dyno("worker.1", DynoKind::Formation);
    for (wanted, found, state, second, expected) in [
        (
            &web,
            Found::Missing,
            &STARTING,
            1,
            Action::Launch { restarts: 2 },
        ),
        (
            &web,
            Found::Created,
            &STARTING,
            1,
            Action::Launch { restarts: 2 },
        ),
        (
            &web,
            RUNNING,
            &STARTING,
            1,
            Action::AwaitPort { until: at(60) },
        ),
        (&web, RUNNING, &STARTING, 60, Action::FailBoot),
        (&web, RUNNING, &UP, 10_000, Action::Wait { until: None }),
        (&worker, RUNNING, &STARTING, 1, Action::MarkUp),
        (&worker, RUNNING, &STARTING, 10_000, Action::MarkUp),
    ] {
        assert_eq!(
            step(Some(wanted), found, state, second),
            expected,
            "{found:?} {state:?}"
        );
    }
}

#[test]
fn any_end_of_a_formation_dyno_is_a_crash_with_back_off() {
    let web = dyno("web.1", DynoKind::Formation);
    for state in [&STARTING, &UP] {
        assert_eq!(
            step(Some(&web), EXITED, state, 10),
            Action::Crash {
                exit: Some(CLEAN),
                restarts: 2,
                retry_at: at(30)
            }
        );
    }
    assert_eq!(
        step(Some(&web), Found::Missing, &UP, 10),
        Action::Crash {
            exit: None,
            restarts: 2,
            retry_at: at(30)
        },
        "somebody removed its container"
    );
    assert_eq!(step(Some(&web), EXITED, &crashed(30), 10), Action::Remove);
    assert_eq!(
        step(Some(&web), Found::Missing, &crashed(30), 10),
        Action::Wait {
            until: Some(at(30))
        }
    );
    assert_eq!(
        step(Some(&web), Found::Missing, &crashed(30), 30),
        Action::Launch { restarts: 3 }
    );
}

#[test]
fn a_long_life_forgives_earlier_crashes() {
    let web = dyno("web.1", DynoKind::Formation);
    let now = i64::try_from(STABLE_AFTER.as_secs()).unwrap();
    assert_eq!(
        step(Some(&web), EXITED, &UP, now),
        Action::Crash {
            exit: Some(CLEAN),
            restarts: 0,
            retry_at: at(now)
        }
    );
}

#[test]
fn what_runs_although_it_was_said_to_have_crashed_is_adopted() {
    let web = dyno("web.1", DynoKind::Formation);
    assert_eq!(
        step(Some(&web), RUNNING, &crashed(5), 10),
        Action::Adopt { since: at(0) }
    );
}

#[test]
fn one_offs_and_release_phases_end_once() {
    for kind in [one_off(None), DynoKind::ReleasePhase] {
        let dyno = dyno("run.1", kind);
        assert_eq!(
            step(Some(&dyno), EXITED, &UP, 5),
            Action::Finish { exit: Some(CLEAN) }
        );
        assert_eq!(
            step(Some(&dyno), Found::Missing, &UP, 5),
            Action::Finish { exit: None }
        );
        assert_eq!(step(Some(&dyno), EXITED, &STOPPED, 5), Action::Remove);
        assert_eq!(
            step(Some(&dyno), Found::Missing, &STOPPED, 5),
            Action::Wait { until: None }
        );
    }
}

#[test]
fn a_detached_dyno_is_ended_after_its_time_to_live() {
    let run = dyno("run.1", one_off(None));
    assert_eq!(step(Some(&run), RUNNING, &STARTING, 5), Action::MarkUp);
    assert_eq!(
        step(Some(&run), RUNNING, &UP, 5),
        Action::Wait {
            until: Some(at(3600))
        }
    );
    assert_eq!(step(Some(&run), RUNNING, &UP, 3600), Action::Terminate);
}

#[test]
fn an_attached_dyno_without_its_terminal_is_hung_up() {
    let run = dyno("run.1", one_off(Some(terminal())));
    assert_eq!(step(Some(&run), RUNNING, &UP, 5), Action::HangUp);
    let view = View {
        wanted: Some(&run),
        found: RUNNING,
        state: &UP,
        restarts: 0,
        is_attached: true,
        was_killed: false,
        times: TIMES,
        now: at(5),
    };
    assert_eq!(decide(&view), Action::Wait { until: None });
}

#[test]
fn stopping_is_term_then_kill_then_removal() {
    let web = stopping(dyno("web.1", DynoKind::Formation));
    for wanted in [Some(&web), None] {
        for state in [&STARTING, &UP] {
            assert_eq!(step(wanted, RUNNING, state, 5), Action::Terminate);
        }
        assert_eq!(
            step(wanted, RUNNING, &STOPPING, 29),
            Action::Wait {
                until: Some(at(30))
            }
        );
        assert_eq!(step(wanted, RUNNING, &STOPPING, 30), Action::Kill);
        assert_eq!(
            step(wanted, EXITED, &STOPPING, 30),
            Action::Finish { exit: Some(CLEAN) }
        );
        assert_eq!(step(wanted, EXITED, &STOPPED, 30), Action::Remove);
        assert_eq!(step(wanted, Found::Created, &STARTING, 30), Action::Remove);
        assert_eq!(step(wanted, EXITED, &crashed(99), 30), Action::Remove);
    }
    assert_eq!(
        step(Some(&web), Found::Missing, &STOPPED, 30),
        Action::Wait { until: None }
    );
    assert_eq!(
        step(Some(&web), Found::Missing, &crashed(99), 30),
        Action::Finish { exit: None }
    );
    assert_eq!(step(None, Found::Missing, &STOPPED, 30), Action::Forget);
    assert_eq!(step(None, Found::Missing, &UP, 30), Action::Forget);
}

fn any_found() -> impl Strategy<Value = Found> {
    prop_oneof![
        Just(Found::Missing),
        Just(Found::Created),
        (0..200i64).prop_map(|second| Found::Running {
            started_at: at(second)
        }),
        (0..255i64, any::<bool>()).prop_map(|(status, oom)| Found::Exited {
            exit: ContainerExit { status, oom }
        }),
    ]
}

fn any_state() -> impl Strategy<Value = DynoState> {
    prop_oneof![
        (0..200i64).prop_map(|second| DynoState::Starting { since: at(second) }),
        (0..200i64).prop_map(|second| DynoState::Up {
            since: at(second),
            addr: None
        }),
        (0..200i64).prop_map(crashed),
        (0..200i64).prop_map(|second| DynoState::Stopping { since: at(second) }),
        Just(STOPPED),
    ]
}

fn any_wanted() -> impl Strategy<Value = Option<Dyno>> {
    let kind = prop_oneof![
        Just(DynoKind::Formation),
        Just(DynoKind::ReleasePhase),
        Just(one_off(None)),
        Just(one_off(Some(terminal()))),
    ];
    let name = prop_oneof![Just("web.1"), Just("worker.1"), Just("run.7")];
    proptest::option::of((kind, name, any::<bool>()).prop_map(|(kind, name, stop)| {
        let dyno = dyno(name, kind);
        if stop { stopping(dyno) } else { dyno }
    }))
}

/// What a step makes of the world when it goes well. Time passes where it waits; a container may end on its own.
struct World {
    found: Found,
    state: DynoState,
    restarts: u32,
    killed: bool,
    now: i64,
    launches: u32,
}

impl World {
    fn take(&mut self, action: Action) {
        let now = at(self.now);
        match action {
            Action::Launch { restarts } => {
                self.launches += 1;
                (self.found, self.restarts) = (Found::Running { started_at: now }, restarts);
                (self.state, self.killed) = (DynoState::Starting { since: now }, false);
            }
            Action::Adopt { since } => self.state = DynoState::Starting { since },
            Action::AwaitPort { .. } | Action::MarkUp => {
                self.state = DynoState::Up {
                    since: now,
                    addr: None,
                }
            }
            Action::FailBoot => {
                self.found = Found::Exited { exit: CLEAN };
                self.state = crashed(self.now + 10);
            }
            Action::Crash {
                restarts, retry_at, ..
            } => {
                self.restarts = restarts;
                let exit = Exit {
                    reason: ExitReason::OutOfMemory,
                    log_tail: Vec::new(),
                };
                self.state = DynoState::Crashed {
                    at: now,
                    exit,
                    retry_at,
                };
            }
            Action::Terminate | Action::HangUp => self.state = DynoState::Stopping { since: now },
            Action::Kill => (self.found, self.killed) = (Found::Exited { exit: CLEAN }, true),
            Action::Finish { .. } => self.state = STOPPED,
            Action::Remove => self.found = Found::Missing,
            Action::Forget | Action::Wait { until: None } => {}
            Action::Wait { until: Some(until) } => self.now = self.now.max(until.as_second()),
        }
    }
}

proptest! {
    /// From anywhere, taking the steps one after the other comes to rest, and where it should.
    #[test]
    fn every_beginning_comes_to_rest_where_it_should(
        wanted in any_wanted(), found in any_found(), state in any_state(), now in 0..400i64, attached in any::<bool>(),
    ) {
        let mut world = World { found, state, restarts: 0, killed: false, now, launches: 0 };
        for _ in 0..20 {
            let action = decide(&View {
                wanted: wanted.as_ref(),
                found: world.found,
                state: &world.state,
                restarts: world.restarts,
                is_attached: attached,
                was_killed: world.killed,
                times: TIMES,
                now: at(world.now),
            });
            let stops = wanted.as_ref().is_none_or(Dyno::is_stopping);
            prop_assert!(!(stops && matches!(action, Action::Launch { .. } | Action::MarkUp)), "{action:?}");
            if matches!(action, Action::Forget | Action::Wait { until: None }) {
                let up = matches!(world.found, Found::Running { .. }) && world.state.is_up();
                let over = world.found == Found::Missing;
                prop_assert!(if stops { over } else { up || (over && world.state.is_stopped()) }, "{action:?}");
                prop_assert!(world.launches <= 1);
                return Ok(());
            }
            world.take(action);
        }
        // Only a detached dyno rests by a clock: until its time to live is over.
        prop_assert!(matches!(wanted.map(|dyno| dyno.kind), Some(DynoKind::OneOff(_))));
    }
}
