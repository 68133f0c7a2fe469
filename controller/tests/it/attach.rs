//! The two ends of an attached dyno.

use std::net::SocketAddr;
use std::time::Duration;

use controller_api::attach::{Control, Stream, read_frame};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::harness::{Another, Platform};
use crate::world::id_of;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The secret of a new attached dyno.
async fn attached(platform: &Platform) -> String {
    attached_with(platform, false).await
}

/// The secret of a new attached dyno that has no terminal.
async fn attached_by_pipes(platform: &Platform) -> String {
    attached_with(platform, true).await
}

async fn attached_with(platform: &Platform, force_no_tty: bool) -> String {
    let ann = platform.user("ann").await;
    let app = id_of(&ann.app("ticks").await);
    platform.push(app, &ann, &[("web", "serve")]).await;
    let dyno = ann
        .post(
            "/apps/ticks/dynos",
            json!({"command": "bash", "attach": true, "force_no_tty": force_no_tty}),
        )
        .await
        .expect(201);
    dyno["attach_url"]
        .as_str()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned()
}

async fn client(platform: &Platform, secret: &str) -> Result<Socket, Error> {
    client_at(platform.addr, secret).await
}

async fn client_at(addr: SocketAddr, secret: &str) -> Result<Socket, Error> {
    connect_async(format!("ws://{addr}/attach/{secret}"))
        .await
        .map(|(socket, _)| socket)
}

async fn agent(platform: &Platform, secret: &str) -> Result<Socket, Error> {
    agent_at(platform, platform.addr, secret).await
}

async fn agent_at(platform: &Platform, addr: SocketAddr, secret: &str) -> Result<Socket, Error> {
    let mut request = format!("ws://{addr}/internal/attach/{secret}")
        .into_client_request()
        .unwrap();
    let token = format!("Bearer {}", platform.keyring.internal_token().expose());
    request
        .headers_mut()
        .insert("authorization", token.parse().unwrap());
    connect_async(request).await.map(|(socket, _)| socket)
}

/// The next frame that is not a ping.
async fn next(socket: &mut Socket) -> Option<Message> {
    let next = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => return other.and_then(Result::ok),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), next)
        .await
        .unwrap()
}

#[tokio::test]
async fn frames_pass_both_ways_in_order_whoever_comes_first() {
    let platform = Platform::start().await;
    let secret = attached(&platform).await;
    let mut client = client(&platform, &secret).await.unwrap();
    // Sent before the other end is there.
    client
        .send(Message::Binary(Stream::Stdin.frame(b"ls\n").into()))
        .await
        .unwrap();
    client
        .send(Message::Text(
            Control::Resize {
                columns: 10,
                lines: 5,
            }
            .to_text()
            .into(),
        ))
        .await
        .unwrap();
    let mut agent = agent(&platform, &secret).await.unwrap();
    let Some(Message::Binary(frame)) = next(&mut agent).await else {
        panic!()
    };
    assert_eq!(
        read_frame(&frame),
        Some((Stream::Stdin, b"ls\n".as_slice()))
    );
    let Some(Message::Text(text)) = next(&mut agent).await else {
        panic!()
    };
    assert_eq!(
        Control::from_text(&text),
        Some(Control::Resize {
            columns: 10,
            lines: 5
        })
    );
    for n in 0..500u32 {
        agent
            .send(Message::Binary(
                Stream::Stdout.frame(&n.to_be_bytes()).into(),
            ))
            .await
            .unwrap();
    }
    agent
        .send(Message::Text(Control::Exit { status: 3 }.to_text().into()))
        .await
        .unwrap();
    agent.close(None).await.unwrap();
    for n in 0..500u32 {
        let Some(Message::Binary(frame)) = next(&mut client).await else {
            panic!()
        };
        assert_eq!(
            read_frame(&frame),
            Some((Stream::Stdout, n.to_be_bytes().as_slice()))
        );
    }
    let Some(Message::Text(text)) = next(&mut client).await else {
        panic!()
    };
    assert_eq!(Control::from_text(&text), Some(Control::Exit { status: 3 }));
    assert!(matches!(
        next(&mut client).await,
        Some(Message::Close(_)) | None
    ));
}

#[tokio::test]
async fn how_a_command_ended_is_heard_by_one_who_was_still_sending_it_input() {
    let platform = Platform::start().await;
    let secret = attached(&platform).await;
    let mut agent = agent(&platform, &secret).await.unwrap();
    let client = client(&platform, &secret).await.unwrap();
    assert!(matches!(agent.next().await, Some(Ok(Message::Ping(_)))));
    let (mut to, mut from) = client.split();
    // As `yes | paas run head -1` does, until it is hung up on.
    let frame = Stream::Stdin.frame(&[b'y'; 32 * 1024]);
    let sending = tokio::spawn(async move {
        while to.send(Message::Binary(frame.clone().into())).await.is_ok() {}
    });
    let Some(Ok(Message::Binary(_))) = agent.next().await else {
        panic!()
    };
    const LINES: usize = 100;
    for _ in 0..LINES {
        let line = Stream::Stdout.frame(&[b'y'; 16 * 1024]);
        agent.send(Message::Binary(line.into())).await.unwrap();
    }
    let exit = Control::Exit { status: 3 }.to_text();
    agent.send(Message::Text(exit.into())).await.unwrap();
    agent.close(None).await.unwrap();
    let hearing_out = tokio::spawn(async move { while let Some(Ok(_)) = agent.next().await {} });
    let mut lines = 0;
    let last = loop {
        match tokio::time::timeout(Duration::from_secs(60), from.next())
            .await
            .unwrap()
        {
            Some(Ok(Message::Binary(_))) => lines += 1,
            Some(Ok(Message::Text(text))) => break Control::from_text(&text),
            Some(Ok(_)) => {}
            lost => panic!("{lost:?} after {lines} lines"),
        }
    };
    assert_eq!((last, lines), (Some(Control::Exit { status: 3 }), LINES));
    drop(from);
    sending.await.unwrap();
    hearing_out.await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_is_missed_by_the_agent() {
    let platform = Platform::start().await;
    let secret = attached(&platform).await;
    let mut agent = agent(&platform, &secret).await.unwrap();
    let mut client = client(&platform, &secret).await.unwrap();
    agent
        .send(Message::Binary(Stream::Stdout.frame(b"hello").into()))
        .await
        .unwrap();
    assert!(matches!(next(&mut client).await, Some(Message::Binary(_))));
    drop(client);
    assert!(matches!(
        next(&mut agent).await,
        Some(Message::Close(_)) | None
    ));
}

#[tokio::test]
async fn only_a_genuine_secret_gets_in_and_only_once_at_a_time() {
    let platform = Platform::start().await;
    let secret = attached(&platform).await;
    for forged in ["0123456789abcdef0123456789abcdef", "short"] {
        let Err(Error::Http(response)) = client(&platform, forged).await else {
            panic!()
        };
        assert_eq!(response.status(), 404);
    }
    let Err(Error::Http(response)) =
        connect_async(format!("ws://{}/internal/attach/{secret}", platform.addr)).await
    else {
        panic!()
    };
    assert_eq!(response.status(), 404);
    let _first = client(&platform, &secret).await.unwrap();
    let mut second = client(&platform, &secret).await.unwrap();
    let Some(Message::Text(text)) = next(&mut second).await else {
        panic!()
    };
    assert!(
        matches!(Control::from_text(&text), Some(Control::Error(why)) if why.contains("attached"))
    );
}

#[tokio::test]
async fn stopping_the_controller_ends_sessions() {
    let platform = Platform::start().await;
    let secret = attached(&platform).await;
    let mut agent = agent(&platform, &secret).await.unwrap();
    let mut client = client(&platform, &secret).await.unwrap();
    agent
        .send(Message::Binary(Stream::Stdout.frame(b"hello").into()))
        .await
        .unwrap();
    assert!(matches!(next(&mut client).await, Some(Message::Binary(_))));
    platform.stop().await;
    assert!(matches!(
        next(&mut client).await,
        Some(Message::Close(_)) | None
    ));
    assert!(matches!(
        next(&mut agent).await,
        Some(Message::Close(_)) | None
    ));
}

#[tokio::test]
async fn the_two_ends_meet_at_whichever_controller_the_client_went_to() {
    let platform = Platform::start().await;
    let other = Another::start(&platform).await;
    let secret = attached(&platform).await;
    // As an agent does, which cannot know where the client is.
    let mut here = agent(&platform, &secret).await.unwrap();
    let mut there = agent_at(&platform, other.addr, &secret).await.unwrap();
    let mut client = client_at(other.addr, &secret).await.unwrap();
    let typed = Message::Binary(Stream::Stdin.frame(b"ls\n").into());
    client.send(typed.clone()).await.unwrap();
    assert_eq!(next(&mut there).await, Some(typed));
    // Nobody comes to the first one, and that is no harm to the other.
    here.close(None).await.unwrap();
    let answer = Message::Binary(Stream::Stdout.frame(b"a\n").into());
    there.send(answer.clone()).await.unwrap();
    assert_eq!(next(&mut client).await, Some(answer));
}

/// As the router passes on a client of the rendezvous protocol, up to the answer's end.
async fn rendezvous(platform: &Platform, secret: &str) -> TcpStream {
    let mut stream = TcpStream::connect(platform.addr).await.unwrap();
    let head = format!(
        "GET /attach/{secret} HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: rendezvous\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(answer.contains("upgrade: rendezvous\r\n"), "{answer}");
    stream
}

async fn hears(stream: &mut TcpStream, expected: &str) {
    let mut heard = vec![0; expected.len()];
    let read = stream.read_exact(&mut heard);
    let read = tokio::time::timeout(Duration::from_secs(60), read).await;
    read.unwrap().unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), expected);
}

#[tokio::test]
async fn a_client_of_the_rendezvous_protocol_is_greeted_when_its_dyno_is_there_and_speaks_in_plain_bytes()
 {
    let platform = Platform::start().await;
    let secret = attached_by_pipes(&platform).await;
    let mut client = rendezvous(&platform, &secret).await;
    client.write_all(b"\r\nls\n").await.unwrap();
    let mut agent = agent(&platform, &secret).await.unwrap();
    let typed = Message::Binary(Stream::Stdin.frame(b"ls\n").into());
    assert_eq!(next(&mut agent).await, Some(typed));
    hears(&mut client, "rendezvous\r\n").await;
    for (stream, said) in [(Stream::Stdout, "a "), (Stream::Stderr, "b")] {
        let frame = Message::Binary(stream.frame(said.as_bytes()).into());
        agent.send(frame).await.unwrap();
    }
    hears(&mut client, "a b").await;
    client.write_all(&[4]).await.unwrap();
    let eof = Message::Text(Control::Eof(true).to_text().into());
    assert_eq!(next(&mut agent).await, Some(eof));
    let exit = Control::Exit { status: 0 }.to_text();
    agent.send(Message::Text(exit.into())).await.unwrap();
    agent.close(None).await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_a_rendezvous_is_missed_by_the_agent() {
    let platform = Platform::start().await;
    let secret = attached(&platform).await;
    let mut agent = agent(&platform, &secret).await.unwrap();
    let mut client = rendezvous(&platform, &secret).await;
    hears(&mut client, "rendezvous\r\n").await;
    client.write_all(&[4]).await.unwrap();
    // A terminal knows itself what that means.
    let typed = Message::Binary(Stream::Stdin.frame(&[4]).into());
    assert_eq!(next(&mut agent).await, Some(typed));
    drop(client);
    assert!(matches!(
        next(&mut agent).await,
        Some(Message::Close(_)) | None
    ));
}

#[tokio::test]
async fn a_dyno_that_could_not_be_run_says_why_to_a_client_of_the_rendezvous_protocol() {
    let platform = Platform::start().await;
    let secret = attached(&platform).await;
    let mut agent = agent(&platform, &secret).await.unwrap();
    let mut client = rendezvous(&platform, &secret).await;
    let why = Control::Error("no such command".to_owned()).to_text();
    agent.send(Message::Text(why.into())).await.unwrap();
    hears(&mut client, "rendezvous\r\n\r\n !    no such command\r\n").await;
    agent.close(None).await.unwrap();
    // The client has not said that its input has ended: it is given a moment for that, and no more.
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}
