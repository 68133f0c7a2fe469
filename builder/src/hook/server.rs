//! The builder's side of the hook: a socket that only git processes of this builder know of.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tracing::warn;

use super::SCRIPT;
use super::wire::{MAX_REQUEST, OUTPUT, Request, VERDICT, frame};
use crate::Builder;
use crate::deploy::{self, Verdict};

/// For git, once its hook has ended well.
const TO_MOVE_A_REF: Duration = Duration::from_secs(60);
/// The longest path a socket can have, with room to spare.
const MAX_SOCKET_PATH: usize = 100;

/// The hook script git finds, and the socket the hook finds.
#[derive(Debug)]
pub(crate) struct HookPlace {
    pub(crate) hooks: PathBuf,
    pub(crate) socket: PathBuf,
    /// Holds the socket where the data directory's name is too long for one.
    _short: Option<tempfile::TempDir>,
}

impl HookPlace {
    pub(crate) fn prepare(data_dir: &Path) -> io::Result<Self> {
        let hooks = data_dir.join("hooks");
        fs_err::create_dir_all(&hooks)?;
        let script = hooks.join("pre-receive");
        let fresh = hooks.join(".pre-receive.new");
        fs_err::write(&fresh, SCRIPT)?;
        fs_err::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755))?;
        fs_err::rename(&fresh, &script)?;
        let wanted = data_dir.join("builder.sock");
        let (socket, short) = if wanted.as_os_str().len() <= MAX_SOCKET_PATH {
            (wanted, None)
        } else {
            let dir = tempfile::Builder::new().prefix("paas-builder-").tempdir()?;
            (dir.path().join("hook.sock"), Some(dir))
        };
        Ok(Self {
            hooks,
            socket,
            _short: short,
        })
    }

    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        match fs_err::remove_file(&self.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&self.socket)?;
        fs_err::set_permissions(&self.socket, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    }
}

/// Answers hooks until dropped.
pub(crate) async fn serve(builder: Arc<Builder>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let builder = builder.clone();
                builder.clone().tasks.spawn(async move {
                    if let Err(error) = answer(&builder, stream).await {
                        warn!(
                            error = &error as &dyn std::error::Error,
                            "Could not answer a hook"
                        );
                    }
                });
            }
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "Could not accept a hook; will retry"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(builder: &Arc<Builder>, stream: UnixStream) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    (&mut reader)
        .take(MAX_REQUEST)
        .read_until(b'\n', &mut line)
        .await?;
    let request: Request = serde_json::from_slice(&line)?;
    let Some(push) = builder.pushes.find(&request.push) else {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "a hook named no push of this builder",
        ));
    };
    // Unbounded, but what goes in is bounded by the limit on output shown: a pusher that has stopped reading must not
    // stop the build.
    let (output, shown) = mpsc::unbounded_channel();
    let writing = tokio::spawn(write(writer, shown));
    let verdict = {
        let deploying = deploy::receive(builder, &push, request, output);
        tokio::pin!(deploying);
        tokio::select! {
            accepted = &mut deploying => accepted,
            () = closed(reader) => {
                // Git has ended the hook: its client left, or it was killed.
                push.client_gone();
                deploying.await
            }
        }
    };
    if let Ok(Ok(mut writer)) = writing.await {
        let code = u8::from(matches!(verdict, Verdict::Refused));
        // Nobody may be listening any more.
        let _ = writer.write_all(&frame(VERDICT, &[code])).await;
    }
    if let Verdict::Accepted(accepted) = verdict {
        let _ = tokio::time::timeout(TO_MOVE_A_REF, push.finished().cancelled()).await;
        accepted.finish(builder, &push).await;
    }
    Ok(())
}

/// Everything sent before the channel closes, then the writer back for the verdict.
async fn write(
    mut writer: OwnedWriteHalf,
    mut shown: mpsc::UnboundedReceiver<Bytes>,
) -> io::Result<OwnedWriteHalf> {
    while let Some(bytes) = shown.recv().await {
        writer.write_all(&frame(OUTPUT, &bytes)).await?;
    }
    Ok(writer)
}

async fn closed(mut reader: BufReader<OwnedReadHalf>) {
    let mut byte = [0; 1];
    let _ = reader.read(&mut byte).await;
}
