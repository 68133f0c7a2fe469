//! A TCP proxy that can be cut or fall silent: the network between a store and its etcd.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Up,
    /// Connections break, and new ones break at once.
    Cut,
    /// Connections stay, and nothing arrives through them any more, not even when the network is up again.
    Silent,
}

pub(crate) struct Proxy {
    port: u16,
    network: watch::Sender<Network>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(to_port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (network, state) = watch::channel(Network::Up);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, to_port, state));
        Self {
            port,
            network,
            _tasks: tasks,
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, network: Network) {
        self.network.send_replace(network);
    }
}

async fn serve(listener: TcpListener, to_port: u16, state: watch::Receiver<Network>) {
    let mut connections = JoinSet::new();
    loop {
        let (near, _) = listener.accept().await.unwrap();
        let state = state.clone();
        connections.spawn(async move {
            if *state.borrow() == Network::Cut {
                return;
            }
            let Ok(far) = TcpStream::connect(("127.0.0.1", to_port)).await else {
                return;
            };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            let mut cut = state.clone();
            tokio::select! {
                _ = async { cut.wait_for(|state| *state == Network::Cut).await.is_ok() } => {}
                () = carry(near_in, far_out, state.clone()) => {}
                () = carry(far_in, near_out, state.clone()) => {}
            }
        });
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<Network>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let silent = async {
            state
                .wait_for(|state| *state == Network::Silent)
                .await
                .is_ok()
        };
        let read = tokio::select! {
            _ = silent => None,
            read = from.read(&mut buffer) => Some(read),
        };
        match read {
            None => std::future::pending().await,
            Some(Ok(read)) if read > 0 && to.write_all(&buffer[..read]).await.is_ok() => {}
            Some(_) => return,
        }
    }
}
