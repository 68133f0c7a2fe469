//! One conversation between a client and a git process, bytes streaming both ways.
//!
//! When the client of a fetch goes away its git is killed. That of a push comes to its own end, since a git that is killed
//! leaves behind what it was receiving: its input ends, its output goes nowhere, its hook is told no (or, when the push is
//! releasing already, what becomes of the release, so that the ref moves with it). Should that take long, it is killed too.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tracing::debug;

use crate::push::Push;

/// From the client.
#[derive(Debug)]
pub(crate) enum Input {
    Data(Bytes),
    /// The client has said everything. A channel that closes without it means the client is gone.
    End,
}

/// To the client.
#[derive(Debug)]
pub(crate) enum Output {
    Stdout(Bytes),
    Stderr(Bytes),
}

/// The client's ends. The client is gone when `output` has no receiver, or `input` closed without an end.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) input: mpsc::Receiver<Input>,
    pub(crate) output: mpsc::Sender<Output>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConverseError {
    #[error("could not start git")]
    Spawn(#[source] io::Error),
    #[error("could not learn how git ended")]
    Wait(#[source] io::Error),
}

const CHUNK: usize = 64 * 1024;
/// For a git whose client has gone to see that, and for its build to be ended.
const OWN_END: Duration = Duration::from_secs(15);

/// Runs `command` for the client until it ends; its exit status as a shell tells it. The process has a group of its own.
pub(crate) async fn converse(
    mut command: Command,
    client: Client,
    push: Option<&Push>,
) -> Result<u32, ConverseError> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(ConverseError::Spawn)?;
    let mut group = Group(child.id());
    let Client { input, output } = client;
    let feeding = feed(child.stdin.take(), input);
    let stdout = relay(child.stdout.take(), output.clone(), Output::Stdout);
    let stderr = relay(child.stderr.take(), output.clone(), Output::Stderr);
    let gone = async {
        tokio::select! {
            () = output.closed() => {}
            () = feeding => {}
        }
    };
    let mut ended = Box::pin(async {
        tokio::join!(stdout, stderr);
        child.wait().await
    });
    let status = tokio::select! {
        status = &mut ended => Some(status),
        () = gone => None,
    };
    let status = match (status, push) {
        (Some(status), _) => status,
        (None, Some(push)) if push.client_gone() => {
            match tokio::time::timeout(OWN_END, &mut ended).await {
                Ok(status) => status,
                Err(_) => kill(ended, &group).await,
            }
        }
        (None, Some(_)) => {
            debug!("The client went away; its release goes on");
            ended.await
        }
        (None, None) => kill(ended, &group).await,
    }
    .map_err(ConverseError::Wait)?;
    // Ended and reaped: its number may soon be somebody else's.
    group.0 = None;
    Ok(exit_status(status))
}

/// The processes of one command.
struct Group(Option<u32>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0.and_then(|pid| i32::try_from(pid).ok()) {
            // ESRCH: they are all gone already, which is what is wanted.
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

async fn kill(
    ended: impl Future<Output = io::Result<ExitStatus>>,
    group: &Group,
) -> io::Result<ExitStatus> {
    group.signal(Signal::SIGKILL);
    ended.await
}

/// Hands the client's bytes to the process. Returns when the client is gone; when it has merely ended, or the process
/// does not listen any more, there is nothing left to do but to wait for the process.
async fn feed(stdin: Option<ChildStdin>, mut input: mpsc::Receiver<Input>) {
    let mut stdin = stdin;
    loop {
        match input.recv().await {
            Some(Input::Data(bytes)) => {
                if let Some(pipe) = &mut stdin
                    && pipe.write_all(&bytes).await.is_err()
                {
                    // The process closed its end. What else comes is read and dropped, so that the client, busy
                    // sending, gets to read why.
                    stdin = None;
                }
            }
            Some(Input::End) => {
                drop(stdin.take());
                std::future::pending::<()>().await;
            }
            None => return,
        }
    }
}

/// Hands the process's bytes to the client; reads on when nobody listens, lest the process block.
async fn relay<R>(pipe: Option<R>, output: mpsc::Sender<Output>, wrap: fn(Bytes) -> Output)
where
    R: AsyncRead + Unpin,
{
    let Some(mut pipe) = pipe else { return };
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        match pipe.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let _ = output.send(wrap(buffer.split().freeze())).await;
            }
        }
    }
}

fn exit_status(status: ExitStatus) -> u32 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    u32::try_from(code).unwrap_or(1)
}
