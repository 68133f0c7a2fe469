//! What every engine must do.

use std::time::Duration;

use futures::StreamExt as _;
use runtime::{
    ContainerId, ContainerState, ExecSpec, LogQuery, RuntimeError, Signal, StdStream, Terminal,
};
use tokio::io::AsyncWriteExt as _;

use super::engine::{ECHO, Engine, RUN, SPEAK, STUBBORN};

macro_rules! over_both {
    ($($name:ident),* $(,)?) => {
        mod on_fake {
            use super::Engine;
            $(#[tokio::test] async fn $name() { super::$name(&Engine::fake().await).await; })*
        }
        mod on_docker {
            use super::Engine;
            $(#[tokio::test] async fn $name() {
                let engine = Engine::docker().await;
                super::$name(&engine).await;
                engine.clear().await;
            })*
        }
    };
}

over_both! {
    a_container_is_made_started_told_to_end_and_removed,
    one_that_does_not_listen_is_killed,
    what_it_wrote_is_read_back_and_resumed,
    ends_are_told_to_who_watches_those_labels,
    pipes_carry_bytes_both_ways_until_the_end_of_input,
    what_is_not_there_is_told_as_such,
    a_command_in_a_container_has_pipes_and_a_status_and_leaves_the_container_alone,
    a_command_in_a_container_is_found_by_its_words_and_ends_when_it_is_told,
    a_command_that_ends_with_its_container_has_no_status,
}

async fn state(engine: &Engine, id: &ContainerId) -> ContainerState {
    engine
        .runtime
        .inspect(id)
        .await
        .unwrap()
        .expect("it is there")
        .state
}

/// The first line it writes: then its traps are set.
async fn ready(engine: &Engine, id: &ContainerId) {
    let mut lines = engine
        .runtime
        .logs(id, LogQuery::follow_since(None))
        .await
        .unwrap();
    let first = tokio::time::timeout(Duration::from_secs(60), lines.next())
        .await
        .expect("it speaks");
    assert_eq!(first.unwrap().unwrap().bytes, "ready");
}

async fn a_container_is_made_started_told_to_end_and_removed(engine: &Engine) {
    let spec = engine.spec(RUN);
    let id = engine.runtime.create(&spec).await.unwrap();
    assert_eq!(state(engine, &id).await, ContainerState::Created);
    engine.runtime.start(&id).await.unwrap();
    ready(engine, &id).await;
    assert!(
        state(engine, &ContainerId::from_name(&spec.name))
            .await
            .is_running(),
        "names do as ids"
    );
    let listed = engine.runtime.list(&engine.labels).await.unwrap();
    assert!(
        matches!(listed.as_slice(), [only] if only.running && only.name == spec.name && only.id == id)
    );

    engine.runtime.signal_all(&id, Signal::Term).await.unwrap();
    let exit = engine.runtime.wait(&id).await.unwrap();
    assert_eq!((exit.status, exit.oom), (143, false));
    assert!(
        matches!(state(engine, &id).await, ContainerState::Exited { exit, .. } if exit.status == 143)
    );

    engine.runtime.remove(&id).await.unwrap();
    assert_eq!(engine.runtime.inspect(&id).await.unwrap(), None);
    engine
        .runtime
        .remove(&id)
        .await
        .expect("removing twice is fine");
}

async fn one_that_does_not_listen_is_killed(engine: &Engine) {
    let id = engine.start(&engine.spec(STUBBORN)).await;
    ready(engine, &id).await;
    engine.runtime.signal_all(&id, Signal::Term).await.unwrap();
    assert!(state(engine, &id).await.is_running());
    engine.runtime.kill(&id).await.unwrap();
    assert_eq!(engine.runtime.wait(&id).await.unwrap().status, 137);
    engine
        .runtime
        .kill(&id)
        .await
        .expect("killing the dead is fine");
    engine
        .runtime
        .signal_all(&id, Signal::Term)
        .await
        .expect("telling the dead is fine");
}

async fn what_it_wrote_is_read_back_and_resumed(engine: &Engine) {
    let id = engine.start(&engine.spec(SPEAK)).await;
    let read = async |query| {
        let lines = engine.runtime.logs(&id, query).await.unwrap();
        lines.map(Result::unwrap).collect::<Vec<_>>().await
    };
    let all = read(LogQuery::follow_since(None)).await;
    let texts: Vec<_> = all.iter().map(|line| line.bytes.clone()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(engine.runtime.wait(&id).await.unwrap().status, 3);
    let last = read(LogQuery::last(2)).await;
    assert_eq!(last, all[1..]);
    let again = read(LogQuery {
        since: Some(all[1].at),
        tail: None,
        follow: false,
    })
    .await;
    let resumed: Vec<_> = again
        .into_iter()
        .filter(|line| line.at > all[1].at)
        .collect();
    assert_eq!(resumed, all[2..]);
}

async fn ends_are_told_to_who_watches_those_labels(engine: &Engine) {
    let mut events = engine.runtime.events(&engine.labels).await.unwrap();
    // The stream is asked for when it is first polled; a first event proves that it is there.
    let next = tokio::spawn(async move { (events.next().await, events) });
    let mut stranger = engine.spec(SPEAK);
    stranger
        .labels
        .insert("paas.instance".to_owned(), "another".to_owned());
    let id = loop {
        let other = engine.start(&stranger).await;
        engine.runtime.wait(&other).await.unwrap();
        engine.runtime.remove(&other).await.unwrap();
        let id = engine.start(&engine.spec(SPEAK)).await;
        engine.runtime.wait(&id).await.unwrap();
        if next.is_finished() {
            break id;
        }
        tokio::task::yield_now().await;
    };
    let (event, _events) = next.await.unwrap();
    let event = event.unwrap().unwrap();
    assert_eq!(
        event.labels.get("paas.instance"),
        engine.labels.get("paas.instance")
    );
    assert!(!id.as_str().is_empty());
}

async fn pipes_carry_bytes_both_ways_until_the_end_of_input(engine: &Engine) {
    let mut spec = engine.spec(ECHO);
    spec.terminal = Terminal::Pipes;
    let id = engine.runtime.create(&spec).await.unwrap();
    let mut attached = engine.runtime.attach(&id).await.unwrap();
    engine.runtime.start(&id).await.unwrap();
    let sent: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let mut input = attached.input;
    let to_send = sent.clone();
    let sender = tokio::spawn(async move {
        input.write_all(&to_send).await.unwrap();
        input.shutdown().await.unwrap();
        input
    });
    let mut received = Vec::new();
    while let Some(chunk) = attached.output.next().await {
        let chunk = chunk.unwrap();
        assert_eq!(chunk.stream, StdStream::Stdout);
        received.extend_from_slice(&chunk.bytes);
    }
    drop(sender.await.unwrap());
    assert!(
        received == sent,
        "{} bytes came back of {}",
        received.len(),
        sent.len()
    );
    assert_eq!(engine.runtime.wait(&id).await.unwrap().status, 0);
}

async fn what_is_not_there_is_told_as_such(engine: &Engine) {
    let nothing = ContainerId::new("0123456789ab");
    assert_eq!(engine.runtime.inspect(&nothing).await.unwrap(), None);
    engine
        .runtime
        .signal_all(&nothing, Signal::Term)
        .await
        .unwrap();
    engine.runtime.kill(&nothing).await.unwrap();
    assert!(
        engine
            .runtime
            .wait(&nothing)
            .await
            .unwrap_err()
            .is_not_found()
    );
    assert!(
        engine
            .runtime
            .logs(&nothing, LogQuery::last(1))
            .await
            .err()
            .unwrap()
            .is_not_found()
    );
    assert!(
        engine
            .runtime
            .attach(&nothing)
            .await
            .unwrap_err()
            .is_not_found()
    );
    assert!(
        !engine
            .runtime
            .image_exists("paas/no-such-image:1")
            .await
            .unwrap()
    );
    let mut spec = engine.spec(RUN);
    spec.image = "paas/no-such-image:1".to_owned();
    assert!(
        engine
            .runtime
            .create(&spec)
            .await
            .unwrap_err()
            .is_not_found()
    );

    let twice = engine.spec(RUN);
    engine.runtime.create(&twice).await.unwrap();
    assert!(matches!(
        engine.runtime.create(&twice).await,
        Err(RuntimeError::Refused { status: 409, .. })
    ));
}

fn cat(tty: bool) -> ExecSpec {
    ExecSpec {
        command: ["/bin/bash", "-c", "exec cat", "some-word"]
            .map(str::to_owned)
            .to_vec(),
        env: Default::default(),
        tty,
    }
}

async fn a_command_in_a_container_has_pipes_and_a_status_and_leaves_the_container_alone(
    engine: &Engine,
) {
    let id = engine.start(&engine.spec(RUN)).await;
    let (exec, mut attached) = engine.runtime.exec(&id, &cat(false)).await.unwrap();
    attached.input.write_all(b"hello").await.unwrap();
    attached.input.shutdown().await.unwrap();
    let mut received = Vec::new();
    while let Some(chunk) = attached.output.next().await {
        received.extend_from_slice(&chunk.unwrap().bytes);
    }
    assert_eq!(received, b"hello");
    assert_eq!(engine.runtime.wait_exec(&exec).await.unwrap(), Some(0));
    engine
        .runtime
        .signal_exec(&exec, Signal::Kill)
        .await
        .expect("telling the dead is fine");
    assert!(state(engine, &id).await.is_running());
}

async fn a_command_in_a_container_is_found_by_its_words_and_ends_when_it_is_told(engine: &Engine) {
    let id = engine.start(&engine.spec(RUN)).await;
    let (exec, attached) = engine.runtime.exec(&id, &cat(true)).await.unwrap();
    let found = async |word| engine.runtime.execs(&id, word).await.unwrap();
    assert_eq!(found("some-word").await, std::slice::from_ref(&exec));
    assert_eq!(found("another").await, []);
    // Docker does not end what nobody listens to any more.
    drop(attached);
    assert_eq!(found("some-word").await, std::slice::from_ref(&exec));
    engine
        .runtime
        .signal_exec(&exec, Signal::Hup)
        .await
        .unwrap();
    assert_eq!(engine.runtime.wait_exec(&exec).await.unwrap(), Some(129));
    assert_eq!(found("some-word").await, []);
    assert!(state(engine, &id).await.is_running());
}

async fn a_command_that_ends_with_its_container_has_no_status(engine: &Engine) {
    let id = engine.start(&engine.spec(RUN)).await;
    let (exec, mut attached) = engine.runtime.exec(&id, &cat(false)).await.unwrap();
    engine.runtime.kill(&id).await.unwrap();
    while let Some(chunk) = attached.output.next().await {
        chunk.unwrap();
    }
    assert_eq!(engine.runtime.wait_exec(&exec).await.unwrap(), None);
    assert_eq!(engine.runtime.execs(&id, "some-word").await.unwrap(), []);
    assert!(engine.runtime.exec(&id, &cat(false)).await.is_err());
}
