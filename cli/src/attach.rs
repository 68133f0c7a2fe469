//! The near end of an attached dyno: a WebSocket to the platform, with this program's standard streams behind it.
//!
//! With a terminal, keys and window size go out and the screen comes back. With pipes, bytes pass unchanged.

mod connect;
mod keyboard;

use std::time::Duration;

use anyhow::{Context as _, Result};
use controller_api::attach::{Control, MAX_FRAME_BYTES, Stream, read_frame};
use futures::stream::SplitStream;
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncWriteExt as _, Stderr, Stdout};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::failure::Failure;
use crate::terminal::{self, Mode};

pub(crate) use connect::{Socket, connect};

/// Often enough that no balancer on the way takes a silent shell for a dead one.
const PING_EVERY: Duration = Duration::from_secs(20);

/// What the remote command is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Terminal,
    Pipes,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The command ended with this status.
    Exited(i64),
    /// This program was told to stop, by this signal.
    Signalled(i32),
}

/// Of whoever is attached to a dyno of their own.
pub(crate) const ADVICE_ONE_OFF: &str =
    "The dyno is ended when nobody is attached. For long work use `paas run:detached`.";
/// Of whoever is attached to a command inside a dyno.
pub(crate) const ADVICE_INSIDE: &str =
    "The command is ended when nobody is attached; the dyno is not. See how it is with `paas ps`.";

/// Waits until the other end is there. The platform is silent until then, and pings both ends when they are.
pub(crate) async fn met(socket: &mut Socket) -> Result<Option<Message>> {
    let first = match socket.next().await {
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(None),
        Some(Ok(message)) => message,
        Some(Err(_)) | None => return Err(lost(ADVICE_INSIDE).into()),
    };
    match Word::of(&first, ADVICE_INSIDE) {
        Word::Last(Err(error)) => Err(error),
        _ => Ok(Some(first)),
    }
}

/// Waits for the dyno's first word, or for someone else to know that it is up. The platform takes our connection long
/// before there is a dyno at the other end of it.
pub(crate) async fn first_word(
    socket: &mut Socket,
    up: impl Future<Output = Result<()>>,
) -> Result<Option<Message>> {
    let word = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Ok(message),
                // What TLS or the socket calls it says nothing more.
                Some(Err(_)) | None => return Err(lost(ADVICE_ONE_OFF)),
            }
        }
    };
    let first = tokio::select! {
        word = word => word?,
        up = up => return up.map(|()| None),
    };
    // A dyno that was never up is told as an error at once.
    match Word::of(&first, ADVICE_ONE_OFF) {
        Word::Last(Err(error)) => Err(error),
        _ => Ok(Some(first)),
    }
}

/// Carries bytes both ways until the command ends; `first` is a word that was heard already, `advice` what to say should
/// the connection be lost.
pub(crate) async fn pump(
    socket: Socket,
    first: Option<Message>,
    kind: Kind,
    advice: &'static str,
) -> Result<End> {
    // Restored when this function returns, whichever way.
    let _mode = match kind {
        Kind::Terminal => Some(Mode::raw().context("could not put the terminal in raw mode")?),
        Kind::Pipes => None,
    };
    let (mut sink, stream) = socket.split();
    let (outbox, mut outgoing) = mpsc::channel::<Message>(16);
    let (give_up, gave_up) = tokio::sync::oneshot::channel();
    keyboard::read_stdin(outbox.clone(), kind, MAX_FRAME_BYTES - 1, give_up)?;

    let send = async {
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.tick().await;
        loop {
            let message = tokio::select! {
                Some(message) = outgoing.recv() => message,
                _ = ping.tick() => Message::Ping(Default::default()),
            };
            if sink.send(message).await.is_err() {
                // The receiving side sees the same broken connection, and says why.
                std::future::pending::<()>().await;
            }
        }
    };
    let end = tokio::select! {
        end = receive(first, stream, advice) => end,
        () = send => Err(lost(advice).into()),
        signal = follow_signals(&outbox, kind) => signal.map(End::Signalled),
        Ok(()) = gave_up => Ok(End::Signalled(2)),
    };
    // A goodbye is good manners; the platform notices the end of the connection too.
    let _ = tokio::time::timeout(Duration::from_secs(1), sink.close()).await;
    end
}

fn lost(advice: &str) -> Failure {
    Failure::new("The connection to the dyno was lost before the command ended").advise(advice)
}

/// What the far end says.
#[derive(Debug)]
enum Word<'a> {
    Data(Stream, &'a [u8]),
    /// How it ended.
    Last(Result<End>),
    /// Nothing that concerns us.
    Other,
}

impl<'a> Word<'a> {
    fn of(message: &'a Message, advice: &str) -> Self {
        match message {
            Message::Binary(frame) => {
                read_frame(frame).map_or(Self::Other, |(stream, data)| Self::Data(stream, data))
            }
            Message::Text(text) => match Control::from_text(text.as_str()) {
                Some(Control::Exit { status }) => Self::Last(Ok(End::Exited(status))),
                Some(Control::Error(reason)) => Self::Last(Err(Failure::new(reason).into())),
                _ => Self::Other,
            },
            Message::Close(_) => Self::Last(Err(lost(advice).into())),
            _ => Self::Other,
        }
    }
}

/// What the dyno says goes to our standard output and error, until it says how it ended.
async fn receive(
    first: Option<Message>,
    mut stream: SplitStream<Socket>,
    advice: &str,
) -> Result<End> {
    let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
    let mut heard = first;
    loop {
        if let Some(message) = heard {
            match Word::of(&message, advice) {
                Word::Data(stream, data) => write(stream, data, &mut stdout, &mut stderr).await?,
                Word::Last(end) => return end,
                Word::Other => {}
            }
        }
        heard = match stream.next().await {
            Some(Ok(message)) => Some(message),
            Some(Err(_)) | None => return Err(lost(advice).into()),
        };
    }
}

async fn write(
    stream: Stream,
    data: &[u8],
    stdout: &mut Stdout,
    stderr: &mut Stderr,
) -> Result<()> {
    match stream {
        Stream::Stderr => {
            stderr.write_all(data).await?;
            stderr.flush().await?;
        }
        Stream::Stdout => {
            stdout.write_all(data).await?;
            stdout.flush().await?;
        }
        Stream::Stdin => {}
    }
    Ok(())
}

/// Tells the dyno about the window and about signals. Returns the signal that ends us.
async fn follow_signals(outbox: &mpsc::Sender<Message>, kind: Kind) -> Result<i32> {
    let catch = |kind| signal(kind).context("could not listen for signals");
    let mut resized = catch(SignalKind::window_change())?;
    let mut ends = [
        (catch(SignalKind::interrupt())?, "INT", 2),
        (catch(SignalKind::terminate())?, "TERM", 15),
        (catch(SignalKind::hangup())?, "HUP", 1),
        (catch(SignalKind::quit())?, "QUIT", 3),
    ];
    let mut told = false;
    if kind == Kind::Terminal {
        send_size(outbox).await;
    }
    loop {
        tokio::select! {
            Some(()) = resized.recv(), if kind == Kind::Terminal => send_size(outbox).await,
            (name, number) = any(&mut ends) => {
                // A command with pipes may want to end in its own way; asked twice, we go without it.
                let passed_on = kind == Kind::Pipes
                    && !told
                    && outbox.try_send(control(&Control::Signal(name.to_owned()))).is_ok();
                if !passed_on {
                    return Ok(number);
                }
                told = true;
            }
        }
    }
}

async fn any(signals: &mut [(Signal, &'static str, i32); 4]) -> (&'static str, i32) {
    let waits = signals.iter_mut().map(|(signal, name, number)| {
        Box::pin(async move {
            signal.recv().await;
            (*name, *number)
        })
    });
    futures::future::select_all(waits).await.0
}

async fn send_size(outbox: &mpsc::Sender<Message>) {
    if let Some(size) = terminal::size() {
        let resize = Control::Resize {
            columns: size.columns,
            lines: size.lines,
        };
        // A closed channel means that we are on the way out.
        let _ = outbox.send(control(&resize)).await;
    }
}

fn control(control: &Control) -> Message {
    Message::text(control.to_text())
}
