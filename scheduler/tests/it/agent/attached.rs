//! `paas run`: the agent's end of the stream, against a controller that this test plays.

use controller_api::attach::{Control, Stream, read_frame};
use futures::{SinkExt as _, StreamExt as _};
use model::dyno::Attach;
use model::{DynoState, Secret, ServiceEndpoint, ServiceId, ServiceRole, Timestamp};
use runtime::fake::Behaviour;
use runtime::{Signal, Terminal, TtySize};
use std::time::Duration;
use store::{Txn, key};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::fixture::{Node, eventually};

const SECRET: &str = "00112233445566778899aabbccddeeff";

pub(super) fn attach(tty: bool) -> Attach {
    Attach {
        secret: Secret::from(SECRET),
        tty,
        columns: 100,
        lines: 0,
    }
}

/// A controller that is known in the store.
pub(super) async fn controller(node: &Node) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (id, role, addr) = (
        ServiceId::new(),
        ServiceRole::Controller,
        listener.local_addr().unwrap(),
    );
    let endpoint = ServiceEndpoint {
        id,
        role,
        addr,
        started_at: Timestamp::now(),
    };
    node.commit(Txn::new().put(
        &key::ALIVE_SERVICES,
        key::alive_service(role, id),
        &endpoint,
    ))
    .await;
    listener
}

/// The agent's connection, which must show the secret and the internal token.
pub(super) async fn accept(node: &Node, listener: &TcpListener) -> WebSocketStream<TcpStream> {
    let (connection, _) = listener.accept().await.unwrap();
    let bearer = format!("Bearer {}", node.keyring.internal_token().expose());
    #[expect(clippy::result_large_err, reason = "the library's own shape")]
    let check = move |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        assert_eq!(request.uri().path(), format!("/internal/attach/{SECRET}"));
        assert_eq!(request.headers()["authorization"], bearer.as_str());
        Ok(response)
    };
    tokio_tungstenite::accept_hdr_async(connection, check)
        .await
        .unwrap()
}

pub(super) async fn frame(user: &mut WebSocketStream<TcpStream>) -> Message {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(60), user.next())
            .await
            .expect("it answers");
        match message.expect("it goes on").unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

pub(super) fn text(control: &Control) -> Message {
    Message::text(control.to_text())
}

#[tokio::test]
async fn bytes_pass_both_ways_and_the_exit_status_comes_last() {
    let mut node = Node::start().await;
    node.fake.script(|_| Behaviour {
        echoes: true,
        ..Behaviour::default()
    });
    let listener = controller(&node).await;
    let run = node
        .dyno_of(
            "run.1",
            node.release(&[]).await,
            node.one_off(Some(attach(false)), 60),
        )
        .await;
    let mut user = accept(&node, &listener).await;
    eventually!(node.containers_of(&run).len() == 1);
    assert!(
        node.fake.running().is_empty(),
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
    assert_eq!(node.running(&run).spec.terminal, Terminal::Pipes);
    user.send(text(&Control::Eof(true))).await.unwrap();
    assert_eq!(frame(&mut user).await, text(&Control::Exit { status: 0 }));
    user.close(None).await.unwrap();
    eventually!(node.is_stopped(&run).await);
    eventually!(node.containers_of(&run).is_empty());
    assert_eq!(
        node.logged("app[run.1]"),
        0,
        "what a terminal shows is not logged"
    );
}

#[tokio::test]
async fn a_terminal_is_sized_signalled_and_ended_as_asked() {
    let node = Node::start().await;
    let listener = controller(&node).await;
    let run = node
        .dyno_of(
            "run.1",
            node.release(&[]).await,
            node.one_off(Some(attach(true)), 60),
        )
        .await;
    let mut user = accept(&node, &listener).await;
    user.send(text(&Control::Resize {
        columns: 120,
        lines: 40,
    }))
    .await
    .unwrap();
    let resized = Terminal::Tty(TtySize {
        columns: 120,
        lines: 40,
    });
    eventually!(
        node.containers_of(&run)
            .iter()
            .any(|container| container.spec.terminal == resized)
    );
    user.send(text(&Control::Signal("USR1".to_owned())))
        .await
        .unwrap();
    eventually!(node.running(&run).signals == [Signal::Usr1]);
    user.send(text(&Control::Signal("INT".to_owned())))
        .await
        .unwrap();
    assert_eq!(frame(&mut user).await, text(&Control::Exit { status: 130 }));
    user.close(None).await.unwrap();
    eventually!(node.is_stopped(&run).await);
}

#[tokio::test]
async fn a_dyno_whose_user_goes_away_is_hung_up_and_removed() {
    let mut node = Node::start().await;
    let listener = controller(&node).await;
    let run = node
        .dyno_of(
            "run.1",
            node.release(&[]).await,
            node.one_off(Some(attach(true)), 60),
        )
        .await;
    let mut user = accept(&node, &listener).await;
    user.send(Message::Ping(Default::default())).await.unwrap();
    eventually!(node.is_up(&run).await);
    drop(user);
    eventually!(node.is_stopped(&run).await);
    let Some(DynoState::Stopped {
        exit: Some(exit), ..
    }) = node.state(&run).await
    else {
        panic!("it ended")
    };
    assert_eq!(exit.reason, model::ExitReason::Exited { status: 129 });
    eventually!(node.containers_of(&run).is_empty());
    assert_eq!(node.logged("SIGHUP"), 1);
}

#[tokio::test]
async fn a_dyno_that_nobody_attaches_to_ends_with_r13_and_never_runs() {
    let mut node = Node::prepared().await;
    node.config.attach_within = Duration::from_secs(2);
    node.start_agent();
    let listener = controller(&node).await;
    let run = node
        .dyno_of(
            "run.1",
            node.release(&[]).await,
            node.one_off(Some(attach(true)), 60),
        )
        .await;
    let _silent = accept(&node, &listener).await;
    eventually!(node.is_stopped(&run).await);
    eventually!(node.containers_of(&run).is_empty());
    assert_eq!(
        node.logged("Error R13 (Attach error) -> Failed to attach to process"),
        1
    );
    assert!(
        node.fake
            .calls()
            .iter()
            .all(|(call, _)| *call != runtime::fake::Call::Start)
    );
}

#[tokio::test]
async fn the_user_hears_why_there_is_no_dyno() {
    let node = Node::start().await;
    node.fake.only_images(&[]);
    let listener = controller(&node).await;
    node.dyno_of(
        "run.1",
        node.release(&[]).await,
        node.one_off(Some(attach(true)), 60),
    )
    .await;
    let mut user = accept(&node, &listener).await;
    user.send(Message::Ping(Default::default())).await.unwrap();
    let Message::Text(said) = frame(&mut user).await else {
        panic!("words")
    };
    let Some(Control::Error(reason)) = Control::from_text(&said) else {
        panic!("{said}")
    };
    assert!(reason.contains("is not on this node"), "{reason}");
}
