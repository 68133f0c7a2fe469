//! How one process of paasd takes over from another on the same host, so that an upgrade loses nothing.
//!
//! The one that runs starts the program that is installed now, with a socket to itself as standard input, and sends it
//! every socket it listens on. The new one reads its configuration and says that it is able; until then nothing has
//! changed, and an upgrade that would not start is given up. Then the old one stops its roles, all but the router,
//! closes the store and says so; the new one starts, on the same sockets, and says when it serves. Now the old one's
//! router takes no more connections, says when its last request is answered, and leaves when its last connection has.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::args::TAKE_OVER;
use crate::sockets::{Named, Sockets};

/// To read a configuration and the keys.
const ABLE_WITHIN: Duration = Duration::from_secs(30);
/// The old one's roles drain within less.
const FREE_WITHIN: Duration = Duration::from_secs(90);
/// A store that is away holds the start up by some seconds.
const SERVING_WITHIN: Duration = Duration::from_secs(60);
const MAX_PACKET: usize = 4096;

/// What the two say to each other, a packet each.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    /// Old: here is a socket; it comes with the packet.
    Socket { purpose: String },
    /// Old: here is how a process before me, which still has connections, will know that you have ended.
    Elder,
    /// Old: that was the last.
    AllSockets,
    /// New: I could start.
    Able,
    /// Old: the store and all else is yours.
    Yours { turn: u32 },
    /// New: connections are taken and answered.
    Serving,
    /// Old: no request is left here.
    Drained,
}

/// Of packets: tokio's streams do not mind, as long as what is sent and received is not left to them.
#[derive(Debug)]
struct Channel(UnixStream);

impl Channel {
    fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self(UnixStream::from_std(socket)?))
    }

    async fn say(&self, word: &Word, socket: Option<&OwnedFd>) -> anyhow::Result<()> {
        let packet = serde_json::to_vec(word)?;
        let handles = socket.map(|socket| [socket.as_fd()]);
        let send = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if let Some(handles) = &handles {
                ancillary.push(SendAncillaryMessage::ScmRights(handles));
            }
            let packet = [IoSlice::new(&packet)];
            rustix::net::sendmsg(&self.0, &packet, &mut ancillary, SendFlags::NOSIGNAL)?;
            Ok(())
        };
        Ok(self.0.async_io(Interest::WRITABLE, send).await?)
    }

    /// `None` when the other has gone.
    async fn hear(&self) -> anyhow::Result<Option<(Word, Option<OwnedFd>)>> {
        let receive = || {
            let mut packet = vec![0; MAX_PACKET];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let got = rustix::net::recvmsg(
                &self.0,
                &mut [IoSliceMut::new(&mut packet)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            )?;
            packet.truncate(got.bytes);
            let socket = ancillary.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut handles) => handles.next(),
                _ => None,
            });
            Ok((packet, socket))
        };
        match self.0.async_io(Interest::READABLE, receive).await {
            Ok((packet, _)) if packet.is_empty() => Ok(None),
            Ok((packet, socket)) => Ok(Some((serde_json::from_slice(&packet)?, socket))),
            // It has gone with words of ours unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn expect(&self, word: &Word, within: Duration) -> anyhow::Result<()> {
        match timeout(within, self.hear()).await {
            Ok(Ok(Some((heard, _)))) if heard == *word => Ok(()),
            Ok(Ok(Some((heard, _)))) => bail!("it said {heard:?} instead of {word:?}"),
            Ok(Ok(None)) => bail!("it ended; what it wrote says why"),
            Ok(Err(error)) => Err(error),
            Err(_) => bail!("it did not say {word:?} within {} s", within.as_secs()),
        }
    }

    /// Returns when the other process has gone.
    async fn gone(&self) {
        while let Ok(Some(_)) = self.hear().await {}
    }
}

/// The process that is to take over, seen by the one that runs. Dropped, it lives on.
#[derive(Debug)]
pub(crate) struct Successor {
    /// Until it serves: then it is nobody's child to kill, only to bury.
    child: Option<Child>,
    pid: Option<u32>,
    channel: Channel,
}

impl Successor {
    /// Starts `program` with this process's arguments, hands it the sockets, and returns when it says that it is able.
    /// `predecessor` is this process's own, if there is one: it ends with the last that came after it.
    pub(crate) async fn start(
        program: &Path,
        sockets: &Sockets,
        predecessor: Option<&Predecessor>,
    ) -> anyhow::Result<Self> {
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let arguments = std::env::args_os().skip(1);
        let child = Command::new(program)
            .args(arguments.filter(|argument| argument != TAKE_OVER))
            .arg(TAKE_OVER)
            .stdin(Stdio::from(theirs))
            .spawn()
            .with_context(|| format!("could not start {}", program.display()))?;
        let mut successor = Self {
            pid: child.id(),
            child: Some(child),
            channel: Channel::new(ours)?,
        };
        match successor.prepare(sockets, predecessor).await {
            Ok(()) => Ok(successor),
            Err(error) => {
                successor.kill().await;
                Err(error)
            }
        }
    }

    async fn prepare(
        &self,
        sockets: &Sockets,
        predecessor: Option<&Predecessor>,
    ) -> anyhow::Result<()> {
        let mut parcels = Vec::new();
        for (purpose, socket) in sockets.handles()? {
            parcels.push((Word::Socket { purpose }, socket));
        }
        for elder in predecessor
            .map(Predecessor::elders)
            .transpose()?
            .into_iter()
            .flatten()
        {
            parcels.push((Word::Elder, elder));
        }
        for (word, socket) in parcels {
            timeout(ABLE_WITHIN, self.channel.say(&word, Some(&socket))).await??;
        }
        self.channel.say(&Word::AllSockets, None).await?;
        self.channel.expect(&Word::Able, ABLE_WITHIN).await
    }

    /// Gives it everything, and returns when it serves.
    pub(crate) async fn succeed(&mut self, turn: u32) -> anyhow::Result<()> {
        self.channel.say(&Word::Yours { turn }, None).await?;
        self.channel.expect(&Word::Serving, SERVING_WITHIN).await?;
        if let Some(mut child) = self.child.take() {
            tokio::spawn(async move { child.wait().await });
        }
        Ok(())
    }

    pub(crate) const fn pid(&self) -> Option<u32> {
        self.pid
    }

    pub(crate) async fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill().await;
            // The number may be another process's from now on.
            self.pid = None;
        }
    }

    /// As systemd would.
    pub(crate) fn tell_to_stop(&self) {
        if let Some(pid) = self.pid.and_then(|pid| pid.try_into().ok()) {
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        }
    }

    pub(crate) async fn say_drained(&self) {
        // If it is not there to hear, it need not know.
        let _ = self.channel.say(&Word::Drained, None).await;
    }

    /// Returns when it ends.
    pub(crate) async fn gone(&self) {
        self.channel.gone().await;
    }
}

/// The process to take over from. Held for as long as this one lives: by its end the one before knows.
#[derive(Debug)]
pub(crate) struct Predecessor {
    channel: Channel,
    /// Those of the processes before it.
    elders: Vec<OwnedFd>,
}

impl Predecessor {
    /// Meets it at the other end of standard input, and gets its sockets.
    pub(crate) async fn meet() -> anyhow::Result<(Self, Sockets)> {
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        // Nothing that is started from here is to keep it open.
        rustix::stdio::dup2_stdin(fs_err::File::open("/dev/null")?)?;
        let channel = Channel::new(socket)
            .context("standard input is no socket: paasd itself starts what takes over from it")?;
        let (mut sockets, mut elders) = (Vec::new(), Vec::new());
        loop {
            match timeout(ABLE_WITHIN, channel.hear()).await?? {
                Some((Word::Elder, Some(elder))) => elders.push(elder),
                Some((Word::Socket { purpose }, Some(socket))) => sockets.push(Named {
                    purpose,
                    socket: TcpListener::from(socket),
                }),
                Some((Word::AllSockets, _)) => break,
                Some((word, _)) => bail!("the running paasd said {word:?} instead of its sockets"),
                None => bail!("the running paasd has ended"),
            }
        }
        Ok((Self { channel, elders }, Sockets::inherit(sockets)))
    }

    /// The processes before this one that have not ended.
    fn elders(&self) -> io::Result<Vec<OwnedFd>> {
        let all = self.elders.iter().map(|elder| elder.as_fd());
        all.chain([self.channel.0.as_fd()])
            .filter(|elder| !has_ended(*elder))
            .map(|elder| elder.try_clone_to_owned())
            .collect()
    }

    /// Says that this process could start, and returns when it may. Gives the turn of the one before.
    pub(crate) async fn take_over(&self) -> anyhow::Result<u32> {
        self.channel.say(&Word::Able, None).await?;
        match timeout(FREE_WITHIN, self.channel.hear()).await {
            Ok(Ok(Some((Word::Yours { turn }, _)))) => Ok(turn),
            Ok(Ok(Some((word, _)))) => bail!("the running paasd said {word:?} instead of leaving"),
            Ok(Ok(None)) => bail!("the running paasd has ended without handing over"),
            Ok(Err(error)) => Err(error),
            Err(_) => bail!("the running paasd has not stopped its roles in time"),
        }
    }

    /// Says that this process serves, and returns when no request is left there, or nobody at all.
    pub(crate) async fn drained(&self) {
        let _ = self.channel.say(&Word::Serving, None).await;
        let _ = self.channel.hear().await;
    }
}

fn has_ended(other: BorrowedFd<'_>) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    rustix::net::recv(other, &mut [0_u8; 1], flags).is_ok_and(|(_, bytes)| bytes == 0)
}
