//! One worker's side of the ports: it accepts, and carries each connection from its first byte to its last.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Timestamp;
use model::log::{LogLine, LogSource};
use ppp::v1::Addresses;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::connect::{Reached, reach};
use super::port::{OpenPort, Port, Seat};
use crate::accept::Listener;
use crate::alarm::Alarm;
use crate::buffer::Buf;
use crate::fresh::Fresh;
use crate::metrics::{Connected, Door, Protocol};
use crate::proxied;
use crate::stream::Stream;
use crate::tunnel::splice;
use crate::worker::Worker;

/// Until this router leaves.
pub(crate) async fn attend(worker: Rc<Worker>, mut open: watch::Receiver<Vec<OpenPort>>) {
    let mut attended: HashMap<u16, (Arc<Port>, CancellationToken)> = HashMap::new();
    loop {
        let ports = open.borrow_and_update().clone();
        attended.retain(|_, (port, stop)| {
            let stays = ports.iter().any(|open| Arc::ptr_eq(&open.port, port));
            if !stays {
                stop.cancel();
            }
            stays
        });
        for open in ports {
            let number = open.port.number;
            if !attended.contains_key(&number)
                && let Some(stop) = begin(&worker, &open)
            {
                attended.insert(number, (open.port, stop));
            }
        }
        tokio::select! {
            changed = open.changed() => if changed.is_err() { return },
            () = worker.shared.leaving.leave.cancelled() => return,
        }
    }
}

fn begin(worker: &Rc<Worker>, open: &OpenPort) -> Option<CancellationToken> {
    let port = &open.port;
    let listeners = open.listeners(worker.index).and_then(|listeners| {
        let listeners = listeners.into_iter().map(Listener::new);
        listeners.collect::<Result<Vec<_>, _>>()
    });
    match listeners {
        Ok(listeners) => {
            let stop = worker.shared.leaving.leave.child_token();
            for listener in listeners {
                let accepting = accept(worker.clone(), port.clone(), listener, stop.clone());
                worker.listening.spawn_local(accepting);
            }
            Some(stop)
        }
        Err(error) => {
            error!(
                error = &error as &dyn std::error::Error,
                port = port.number,
                "A worker cannot accept from the port of a TCP route"
            );
            None
        }
    }
}

/// Until `stop`. Whoever waits in the queue then has been told that somebody listens.
async fn accept(worker: Rc<Worker>, port: Arc<Port>, listener: Listener, stop: CancellationToken) {
    crate::accept::each(&listener, &stop, |fresh, peer| {
        let limit = worker.shared.config.tcp.connections_per_route;
        worker.counters.accept(Door::Tcp);
        port.cell(worker.index).accepted.one();
        match port.take_seat(limit) {
            Some(seat) => {
                let connection = Connection {
                    worker: worker.clone(),
                    port: port.clone(),
                    peer,
                    _seat: seat,
                    _counted: Connected::new(&worker.counters, Protocol::Tcp),
                };
                worker.streams.spawn_local(connection.serve(fresh));
            }
            None => {
                port.cell(worker.index).failed.one();
                if let Some(more) = port.may_complain(Instant::now()) {
                    warn!(
                        port = port.number,
                        limit,
                        more,
                        "A TCP route has all the connections it may have; refused another"
                    );
                }
            }
        }
    })
    .await;
}

struct Connection {
    worker: Rc<Worker>,
    port: Arc<Port>,
    /// Where it comes from, or what the load balancer before us says.
    peer: SocketAddr,
    _seat: Seat,
    _counted: Connected,
}

impl Connection {
    async fn serve(mut self, fresh: Fresh) {
        let Ok(mut stream) = fresh.registered() else {
            self.port.cell(self.worker.index).failed.one();
            return;
        };
        if !self.ask_proxy(&mut stream).await {
            return;
        }
        let route = self.port.route();
        if !route.admits(self.peer.ip()) {
            self.port.cell(self.worker.index).failed.one();
            debug!(port = self.port.number, peer = %self.peer, "Refused a client that is on no list of the TCP route's");
            return;
        }
        let tcp = &self.worker.shared.config.tcp;
        let began = Instant::now();
        let mut reached = match reach(&self.worker, &route.target, tcp.connect).await {
            Ok(reached) => reached,
            Err(why) => return self.complain(&why),
        };
        let connect = began.elapsed();
        if route.proxy_protocol
            && let Err(why) = self.introduce(&stream, &mut reached, tcp.connect).await
        {
            return self.complain(&why);
        }
        self.carry(stream, reached, connect, tcp.idle).await;
    }

    /// Whether the connection may go on: a load balancer that is to speak the PROXY protocol has said for whom it comes.
    async fn ask_proxy(&mut self, stream: &mut TcpStream) -> bool {
        let config = &self.worker.shared.config;
        let proxies = &config.proxies;
        if !proxies.speak_proxy_protocol || !proxies.are_trusted_at(self.peer.ip()) {
            return true;
        }
        match timeout(config.timeouts.tls_handshake, proxied::take(stream)).await {
            Ok(Ok(said)) => {
                self.peer = said.client.unwrap_or(self.peer);
                true
            }
            Ok(Err(_)) | Err(_) => {
                debug!(peer = %self.peer, "A proxy did not begin with the PROXY protocol");
                false
            }
        }
    }

    /// Tells the backend who the client is.
    async fn introduce(
        &self,
        stream: &TcpStream,
        reached: &mut Reached,
        within: Duration,
    ) -> std::io::Result<()> {
        let header = introduction(self.peer, stream.local_addr()?);
        let backend = &mut reached.link.stream;
        match timeout(within, backend.write_all(header.as_bytes())).await {
            Ok(written) => written,
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        }
    }

    async fn carry(&self, stream: TcpStream, reached: Reached, connect: Duration, idle: Duration) {
        let Reached { mut link, at, dyno } = reached;
        link.becomes_tunnel();
        let (worker, cell) = (&self.worker, self.port.cell(self.worker.index));
        let alarm = Alarm::new(&worker.alarms);
        let client = (Stream::Plain(stream), Buf::new(worker.buffers.clone()));
        let (began, mut bytes) = (Instant::now(), (0, 0));
        let mut count = |to_backend, to_client| {
            cell.bytes_in.add(to_backend);
            cell.bytes_out.add(to_client);
            bytes = (bytes.0 + to_backend, bytes.1 + to_client);
        };
        let backend = (link.stream, link.buf);
        let ended = splice(client, backend, idle, &alarm, &mut count).await;
        if let Err(error) = &ended {
            debug!(error = error as &dyn std::error::Error, port = self.port.number, backend = %at, "A connection of a TCP route broke");
        }
        if let Some((app, claim, backend)) = dyno {
            drop(claim);
            worker.shared.log.send(LogLine {
                app: app.id,
                at: Timestamp::now(),
                source: LogSource::Heroku,
                process: "router".to_owned(),
                text: format!(
                    "at=info protocol=tcp port={} fwd=\"{}\" dyno={} connect={}ms service={}ms bytes_in={} bytes={}",
                    self.port.number,
                    self.peer.ip().to_canonical(),
                    backend.label,
                    connect.as_millis(),
                    began.elapsed().as_millis(),
                    bytes.0,
                    bytes.1,
                ),
            });
        }
    }

    /// In the router's own log: it is the operator's route.
    fn complain(&self, why: &(dyn std::error::Error + 'static)) {
        self.port.cell(self.worker.index).failed.one();
        if let Some(more) = self.port.may_complain(Instant::now()) {
            warn!(error = why, port = self.port.number, peer = %self.peer, more, "A connection of a TCP route has no backend");
        }
    }
}

/// The PROXY protocol's first version, which whoever speaks the second understands, too.
fn introduction(client: SocketAddr, here: SocketAddr) -> String {
    let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
    Addresses::from((canonical(client), canonical(here))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_told_the_client_as_it_is_whichever_family_the_socket_has() {
        let here = "192.0.2.1:5432".parse().unwrap();
        for client in ["203.0.113.7:4000", "[::ffff:203.0.113.7]:4000"] {
            let told = introduction(client.parse().unwrap(), here);
            assert_eq!(told, "PROXY TCP4 203.0.113.7 192.0.2.1 4000 5432\r\n");
        }
        let six = "[2001:db8::7]:4000".parse().unwrap();
        let told = introduction(six, "[2001:db8::1]:5432".parse().unwrap());
        assert_eq!(told, "PROXY TCP6 2001:db8::7 2001:db8::1 4000 5432\r\n");
        assert_eq!(introduction(six, here), "PROXY UNKNOWN\r\n");
    }
}
