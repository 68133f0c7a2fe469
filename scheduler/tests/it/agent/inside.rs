//! `paas run:inside`: commands in dynos that run, against a controller that this test plays.

use controller_api::attach::{Control, Stream, read_frame};
use futures::SinkExt as _;
use model::{ConfigVars, Dyno, Inside, InsideId, Secret, Timestamp};
use runtime::fake::FakeExec;
use runtime::{ExecSpec, Runtime as _, Signal, TtySize};
use std::time::Duration;
use store::{Txn, key};
use tokio_tungstenite::tungstenite::Message;

use super::attached::{accept, attach, controller, frame, text};
use super::fixture::{Node, actor, eventually};

impl Node {
    /// A dyno that is up.
    async fn web(&self) -> Dyno {
        let web = self.dyno("web.1", self.release(&[]).await).await;
        eventually!(self.is_up(&web).await);
        web
    }

    pub(super) async fn ask_inside(&self, dyno: &Dyno, tty: bool, command: &str) -> Inside {
        let id = InsideId::new();
        let place = key::inside(dyno.app, id);
        let env = [("TERM", "xterm"), ("DYNO", "web.9")];
        let env = env.map(|(name, value)| (name.parse().unwrap(), Secret::from(value)));
        let inside = Inside {
            id,
            app: dyno.app,
            dyno: dyno.id,
            dyno_name: dyno.name.clone(),
            node: self.config.node_id,
            command: command.to_owned(),
            env: self.keyring.seal(&place, &ConfigVars(env.into())).unwrap(),
            attach: attach(tty),
            requested_by: actor(),
            is_taken: false,
            created_at: Timestamp::now(),
        };
        self.commit(Txn::new().put(&key::INSIDE, place, &inside))
            .await;
        inside
    }

    async fn asked_inside(&self) -> Vec<Inside> {
        let below = key::inside_of(self.app);
        let all = key::INSIDE.list(&*self.store, &below).await.unwrap();
        all.into_iter().map(|seen| seen.value).collect()
    }

    fn execs(&self, dyno: &Dyno) -> Vec<FakeExec> {
        let containers = self.containers_of(dyno);
        let all = containers.iter().map(|found| self.fake.execs_of(&found.id));
        all.flatten().collect()
    }

    /// The first command inside it has heard all of this.
    fn heard(&self, dyno: &Dyno, signals: &[Signal]) -> bool {
        let execs = self.execs(dyno);
        execs.first().is_some_and(|exec| exec.signals == signals)
    }
}

#[tokio::test]
async fn a_command_runs_in_the_dynos_own_container_and_leaves_the_dyno_as_it_was() {
    let node = Node::start().await;
    let listener = controller(&node).await;
    let web = node.web().await;
    let before = (node.running(&web).id, node.status(&web).await);
    node.ask_inside(&web, false, "cat; exit").await;
    let mut user = accept(&node, &listener).await;
    eventually!(
        node.asked_inside()
            .await
            .iter()
            .all(|inside| inside.is_taken)
    );
    assert!(
        node.execs(&web).is_empty(),
        "nothing runs before somebody is there"
    );
    user.send(Message::Ping(Default::default())).await.unwrap();
    user.send(Message::binary(Stream::Stdin.frame(b"hello")))
        .await
        .unwrap();
    let Message::Binary(answer) = frame(&mut user).await else {
        panic!("bytes")
    };
    assert_eq!(
        read_frame(&answer),
        Some((Stream::Stdout, b"hello".as_slice()))
    );
    let spec = node.execs(&web).remove(0).spec;
    assert_eq!(spec.command.last().map(String::as_str), Some("cat; exit"));
    let env: Vec<_> = spec.env.keys().map(String::as_str).collect();
    assert_eq!(
        (spec.tty, env),
        (false, vec!["TERM"]),
        "what the dyno is called stays so"
    );
    user.send(text(&Control::Eof(true))).await.unwrap();
    assert_eq!(frame(&mut user).await, text(&Control::Exit { status: 0 }));
    eventually!(node.asked_inside().await.is_empty());
    assert_eq!((node.running(&web).id, node.status(&web).await), before);
}

#[tokio::test]
async fn its_terminal_is_sized_and_signals_reach_it_alone() {
    let node = Node::start().await;
    let listener = controller(&node).await;
    let web = node.web().await;
    node.ask_inside(&web, true, "bash").await;
    let mut user = accept(&node, &listener).await;
    let (columns, lines) = (120, 40);
    user.send(text(&Control::Resize { columns, lines }))
        .await
        .unwrap();
    eventually!(
        node.execs(&web)
            .iter()
            .any(|exec| exec.size == Some(TtySize { columns, lines }))
    );
    user.send(text(&Control::Signal("INT".to_owned())))
        .await
        .unwrap();
    assert_eq!(frame(&mut user).await, text(&Control::Exit { status: 130 }));
    assert!(node.heard(&web, &[Signal::Int]));
    assert_eq!(node.running(&web).signals, []);
}

#[tokio::test]
async fn a_user_who_goes_away_takes_the_command_along_and_not_the_dyno() {
    let node = Node::start().await;
    let listener = controller(&node).await;
    let web = node.web().await;
    node.ask_inside(&web, true, "bash").await;
    let mut user = accept(&node, &listener).await;
    user.send(Message::Ping(Default::default())).await.unwrap();
    eventually!(node.execs(&web).len() == 1);
    drop(user);
    eventually!(node.heard(&web, &[Signal::Hup]));
    eventually!(node.asked_inside().await.is_empty());
    assert!(node.is_up(&web).await && node.running(&web).signals.is_empty());
}

#[tokio::test]
async fn a_dyno_that_stops_ends_what_runs_inside_and_its_user_hears_why() {
    let node = Node::start().await;
    let listener = controller(&node).await;
    let web = node.web().await;
    node.ask_inside(&web, true, "bash").await;
    let mut user = accept(&node, &listener).await;
    user.send(Message::Ping(Default::default())).await.unwrap();
    eventually!(node.execs(&web).len() == 1);
    node.ask_to_stop(&web).await;
    let Message::Text(said) = frame(&mut user).await else {
        panic!("words")
    };
    let Some(Control::Error(reason)) = Control::from_text(&said) else {
        panic!("{said}")
    };
    assert!(reason.contains("the dyno has ended"), "{reason}");
    eventually!(node.is_stopped(&web).await);
    eventually!(node.asked_inside().await.is_empty());

    node.ask_inside(&web, true, "bash").await;
    let mut late = accept(&node, &listener).await;
    late.send(Message::Ping(Default::default())).await.unwrap();
    assert_eq!(frame(&mut late).await, Message::Text(said));
}

#[tokio::test]
async fn nobody_who_comes_in_time_is_r13_and_nothing_runs() {
    let mut node = Node::prepared().await;
    node.config.attach_within = Duration::from_secs(1);
    node.start_agent();
    let listener = controller(&node).await;
    let web = node.web().await;
    node.ask_inside(&web, true, "bash").await;
    let _silent = accept(&node, &listener).await;
    eventually!(node.asked_inside().await.is_empty());
    assert!(node.execs(&web).is_empty());
    let r13 = "heroku[web.1]: Error R13 (Attach error) -> Failed to attach to process";
    assert_eq!(node.logged(r13), 1);
    assert!(node.is_up(&web).await);
}

#[tokio::test]
async fn an_agent_that_leaves_tells_the_user_and_ends_the_command() {
    let mut node = Node::start().await;
    let listener = controller(&node).await;
    let web = node.web().await;
    node.ask_inside(&web, true, "bash").await;
    let mut user = accept(&node, &listener).await;
    user.send(Message::Ping(Default::default())).await.unwrap();
    eventually!(node.execs(&web).len() == 1);
    node.stop_agent().await;
    let Message::Text(said) = frame(&mut user).await else {
        panic!("words")
    };
    assert!(said.contains("restarts its agent"), "{said}");
    assert!(node.heard(&web, &[Signal::Hup]));
    assert!(node.asked_inside().await.is_empty());
    assert!(node.running(&web).signals.is_empty(), "the dyno runs on");
}

#[tokio::test]
async fn what_a_killed_agent_leaves_inside_a_dyno_is_ended_by_the_next_and_nothing_else_is() {
    let mut node = Node::start().await;
    let listener = controller(&node).await;
    let web = node.web().await;
    node.ask_inside(&web, true, "bash").await;
    let mut user = accept(&node, &listener).await;
    user.send(Message::Ping(Default::default())).await.unwrap();
    eventually!(node.execs(&web).len() == 1);
    let by_hand = ExecSpec {
        command: vec!["sh".to_owned()],
        env: Default::default(),
        tty: false,
    };
    let container = node.running(&web).id;
    let _held = node.fake.exec(&container, &by_hand).await.unwrap();
    node.kill_agent().await;
    assert!(node.heard(&web, &[]));
    node.start_agent();
    eventually!(node.heard(&web, &[Signal::Hup]));
    // The next one takes what is asked of it.
    node.ask_inside(&web, false, "cat").await;
    let mut another = accept(&node, &listener).await;
    another
        .send(Message::Ping(Default::default()))
        .await
        .unwrap();
    another.send(text(&Control::Eof(true))).await.unwrap();
    assert_eq!(
        frame(&mut another).await,
        text(&Control::Exit { status: 0 })
    );
    assert_eq!(node.execs(&web)[1].signals, []);
    assert!(node.running(&web).signals.is_empty());
}
