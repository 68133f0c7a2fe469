//! The dyno's end of `paas run` and `paas run:inside`: a process's streams on one side, a WebSocket to a controller on the
//! other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use controller_api::attach::{Control, MAX_FRAME_BYTES, Stream, read_frame};
use futures::stream::FuturesUnordered;
use futures::{SinkExt as _, StreamExt as _};
use model::dyno::Attach;
use model::{Secret, ServiceRole};
use runtime::{
    Attached, ContainerId, Exec, OutputStream, Runtime, RuntimeError, Signal, StdStream, TtySize,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use store::{Store, key};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_util::either::Either;
use tracing::{debug, info};

use super::launch::terminal_size;

type Socket = WebSocketStream<Either<TcpStream, TlsStream<TcpStream>>>;

/// Often enough that nothing on the way takes a silent shell for a dead one.
const PING_EVERY: Duration = Duration::from_secs(20);
const LAST_WORD_WITHIN: Duration = Duration::from_secs(1);
/// For the other end to say goodbye too.
pub(crate) const GOODBYE_WITHIN: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// End of input, as a terminal's user types it.
const EOT: &[u8] = &[4];
pub(crate) const DYNO_ENDED: &str =
    "the dyno has ended, and with it all that ran inside; see `paas ps`";

/// A connection with the user at its other end, and the first thing that came over it.
pub(crate) struct Met {
    socket: Socket,
    first: Message,
}

/// How the agent proves itself to controllers.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    pub token: Secret<String>,
    /// Without it (in tests) controllers are called over plain HTTP.
    pub tls: Option<Arc<ClientConfig>>,
}

/// Meets the user at whichever controller they went to. The caller sets the deadline.
pub(crate) async fn meet(store: &Arc<dyn Store>, proof: &Proof, attach: &Attach) -> Met {
    loop {
        let mut dials: FuturesUnordered<_> = controllers(store)
            .await
            .into_iter()
            .map(|addr| wait_at(addr, proof, attach))
            .collect();
        while let Some(dialled) = dials.next().await {
            match dialled {
                Ok(met) => return met,
                Err(error) => debug!(
                    error = &error as &dyn std::error::Error,
                    "Nobody to attach to there"
                ),
            }
        }
        drop(dials);
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// A controller is silent until both ends are there, and pings both at once when they are.
async fn wait_at(addr: SocketAddr, proof: &Proof, attach: &Attach) -> Result<Met, WsError> {
    let mut socket = dial(addr, proof, attach).await?;
    match socket.next().await {
        Some(Ok(Message::Close(_))) | None => Err(WsError::ConnectionClosed),
        Some(Ok(Message::Text(text)))
            if matches!(Control::from_text(&text), Some(Control::Error(_))) =>
        {
            Err(WsError::ConnectionClosed)
        }
        Some(Ok(first)) => Ok(Met { socket, first }),
        Some(Err(error)) => Err(error),
    }
}

async fn controllers(store: &Arc<dyn Store>) -> Vec<SocketAddr> {
    match key::ALIVE_SERVICES
        .list(&**store, &key::alive_services_of(ServiceRole::Controller))
        .await
    {
        Ok(found) => found
            .into_iter()
            .map(|service| service.value.addr)
            .collect(),
        Err(error) => {
            info!(
                error = &error as &dyn std::error::Error,
                "Could not look for a controller; will retry"
            );
            Vec::new()
        }
    }
}

async fn dial(addr: SocketAddr, proof: &Proof, attach: &Attach) -> Result<Socket, WsError> {
    let scheme = if proof.tls.is_some() { "wss" } else { "ws" };
    let url = format!(
        "{scheme}://{addr}/internal/attach/{}",
        attach.secret.expose()
    );
    let mut request = url.into_client_request()?;
    let bearer = HeaderValue::try_from(format!("Bearer {}", proof.token.expose()))
        .map_err(|error| WsError::HttpFormat(error.into()))?;
    request.headers_mut().insert("authorization", bearer);
    let stream = TcpStream::connect(addr).await?;
    // Keystrokes do not wait for each other; without it they are only slower.
    let _ = stream.set_nodelay(true);
    let stream = match &proof.tls {
        Some(tls) => {
            let host = ServerName::from(addr.ip());
            let connector = TlsConnector::from(Arc::clone(tls));
            Either::Right(connector.connect(host, stream).await?)
        }
        None => Either::Left(stream),
    };
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    Ok(socket)
}

/// Tells the user why there will be nothing.
pub(crate) async fn refuse(mut met: Met, message: String) {
    let refuse = async {
        let message = Control::Error(message).to_text();
        let _ = met.socket.send(Message::text(message)).await;
        let _ = met.socket.close(None).await;
        while let Some(Ok(_)) = met.socket.next().await {}
    };
    let _ = timeout(GOODBYE_WITHIN, refuse).await;
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The process ended, and the other end knows how.
    Exited,
    /// The other end went away.
    Disconnected,
    /// It was to end, and the other end was told why.
    Halted,
}

/// What a user is attached to.
#[derive(Debug, Clone)]
pub(crate) enum Process {
    /// The container's own.
    Container(ContainerId),
    /// One besides it.
    Exec(Exec),
}

impl Process {
    async fn resize(&self, runtime: &dyn Runtime, size: TtySize) -> Result<(), RuntimeError> {
        match self {
            Self::Container(id) => runtime.resize(id, size).await,
            Self::Exec(exec) => runtime.resize_exec(exec, size).await,
        }
    }

    async fn signal(&self, runtime: &dyn Runtime, signal: Signal) -> Result<(), RuntimeError> {
        match self {
            Self::Container(id) => runtime.signal_all(id, signal).await,
            Self::Exec(exec) => runtime.signal_exec(exec, signal).await,
        }
    }

    /// How it ended, for its user.
    async fn last_word(&self, runtime: &dyn Runtime) -> Control {
        let ended = match self {
            Self::Container(id) => runtime.wait(id).await.map(|exit| Some(exit.status)),
            Self::Exec(exec) => runtime.wait_exec(exec).await,
        };
        match ended {
            Ok(Some(status)) => Control::Exit { status },
            Ok(None) => Control::Error(DYNO_ENDED.to_owned()),
            Err(error) => Control::Error(error.to_string()),
        }
    }
}

/// A session between a started process and its user.
pub(crate) struct Session {
    pub runtime: Arc<dyn Runtime>,
    pub process: Process,
    pub met: Met,
    pub streams: Attached,
    pub tty: bool,
}

impl Session {
    /// Carries bytes both ways until one side ends, or there is a reason to end it.
    pub(crate) async fn pump(self, halted: impl Future<Output = &'static str>) -> End {
        let Self {
            runtime,
            process,
            met,
            streams,
            tty,
        } = self;
        let (mut sink, source) = met.socket.split();
        let mut source = futures::stream::iter([Ok(met.first)]).chain(source);
        let mut inward = Inward {
            runtime: Arc::clone(&runtime),
            process: process.clone(),
            tty,
            input: Some(streams.input),
        };
        let to_dyno = async {
            while let Some(Ok(message)) = source.next().await {
                match message {
                    Message::Binary(frame) => inward.frame(&frame).await,
                    Message::Text(text) => inward.control(&text).await,
                    Message::Close(_) => return,
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                }
            }
        };
        let mut output = streams.output;
        let to_user = async {
            let whole = send_output(&mut output, &mut sink).await;
            if !whole {
                return End::Disconnected;
            }
            let last = process.last_word(&*runtime).await;
            let sent = sink.send(Message::text(last.to_text())).await;
            let _ = sink.close().await;
            if sent.is_ok() {
                End::Exited
            } else {
                End::Disconnected
            }
        };
        tokio::pin!(to_dyno);
        let why = tokio::select! {
            end = to_user => {
                if end == End::Exited {
                    // Dropped with words of the user's on their way, the connection would be reset and the last word lost.
                    let _ = timeout(GOODBYE_WITHIN, to_dyno).await;
                }
                return end;
            }
            () = &mut to_dyno => return End::Disconnected,
            why = halted => why,
        };
        let last = Control::Error(why.to_owned()).to_text();
        let tell = async {
            let _ = sink.send(Message::text(last)).await;
            let _ = sink.close().await;
            to_dyno.await;
        };
        // One that does not listen is not waited for.
        let _ = timeout(LAST_WORD_WITHIN, tell).await;
        End::Halted
    }
}

/// Whether all of it got out.
async fn send_output(
    output: &mut OutputStream,
    sink: &mut (impl futures::Sink<Message, Error = WsError> + Unpin),
) -> bool {
    let mut ping = tokio::time::interval(PING_EVERY);
    loop {
        let chunk = tokio::select! {
            chunk = output.next() => chunk,
            _ = ping.tick() => {
                if sink.send(Message::Ping(Default::default())).await.is_err() {
                    return false;
                }
                continue;
            }
        };
        let Some(Ok(chunk)) = chunk else { return true };
        let stream = match chunk.stream {
            StdStream::Stdout => Stream::Stdout,
            StdStream::Stderr => Stream::Stderr,
        };
        for part in chunk.bytes.chunks(MAX_FRAME_BYTES - 1) {
            if sink
                .send(Message::binary(stream.frame(part)))
                .await
                .is_err()
            {
                return false;
            }
        }
    }
}

/// What comes from the user.
struct Inward {
    runtime: Arc<dyn Runtime>,
    process: Process,
    tty: bool,
    input: Option<std::pin::Pin<Box<dyn AsyncWrite + Send>>>,
}

impl Inward {
    async fn frame(&mut self, frame: &[u8]) {
        if let Some((Stream::Stdin, data)) = read_frame(frame) {
            self.write(data).await;
        }
    }

    async fn control(&mut self, text: &str) {
        let done = match Control::from_text(text) {
            Some(Control::Resize { columns, lines }) if self.tty => {
                let size = terminal_size(columns, lines);
                self.process.resize(&*self.runtime, size).await
            }
            Some(Control::Signal(name)) => match name.parse::<Signal>() {
                Ok(signal) => self.process.signal(&*self.runtime, signal).await,
                Err(_) => Ok(()),
            },
            Some(Control::Eof(_)) => {
                self.end_input().await;
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            debug!(
                error = &error as &dyn std::error::Error,
                "Could not do what an attached user asked"
            );
        }
    }

    async fn end_input(&mut self) {
        if self.tty {
            self.write(EOT).await;
        } else if let Some(mut input) = self.input.take() {
            let _ = input.shutdown().await;
        }
    }

    /// A process that has closed its input wants no more of it.
    async fn write(&mut self, data: &[u8]) {
        if let Some(input) = &mut self.input
            && (input.write_all(data).await.is_err() || input.flush().await.is_err())
        {
            self.input = None;
        }
    }
}
