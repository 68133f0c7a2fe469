//! A name server that knows as much as a test tells it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

type Known = Arc<Mutex<HashMap<String, (Vec<Ipv4Addr>, u32)>>>;

pub(super) struct NameServer {
    pub(super) addr: SocketAddr,
    known: Known,
    /// The names it was asked the IPv4 address of.
    asked: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl NameServer {
    pub(super) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let (known, asked) = (Known::default(), Arc::default());
        let task = tokio::spawn(serve(socket, known.clone(), Arc::clone(&asked)));
        Self {
            addr,
            known,
            asked,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// From now on `name` has these addresses, which may be remembered for `ttl` seconds.
    pub(super) fn set(&self, name: &str, addresses: &[[u8; 4]], ttl: u32) {
        let addresses = addresses.iter().copied().map(Ipv4Addr::from).collect();
        let mut known = self.known.lock().unwrap();
        known.insert(name.to_owned(), (addresses, ttl));
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

async fn serve(socket: UdpSocket, known: Known, asked: Arc<Mutex<Vec<String>>>) {
    let mut question = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut question).await.unwrap();
        let (name, end) = read_name(&question[..length]);
        let is_ipv4 = question[end..end + 2] == [0, 1];
        if is_ipv4 {
            asked.lock().unwrap().push(name.clone());
        }
        let found = known.lock().unwrap().get(&name).cloned();
        let answer = answer(&question[..end + 4], found, is_ipv4);
        socket.send_to(&answer, from).await.unwrap();
    }
}

/// The name of the one question, without the dot at its end, and where it ends.
fn read_name(message: &[u8]) -> (String, usize) {
    let (mut labels, mut at) = (Vec::new(), 12);
    while message[at] > 0 {
        let end = at + 1 + usize::from(message[at]);
        labels.push(String::from_utf8_lossy(&message[at + 1..end]).to_lowercase());
        at = end;
    }
    (labels.join("."), at + 1)
}

/// RFC 1035, 4.1: the header, the question as it came, and the addresses.
fn answer(question: &[u8], found: Option<(Vec<Ipv4Addr>, u32)>, is_ipv4: bool) -> Vec<u8> {
    let code = if found.is_some() { 0x80 } else { 0x83 };
    let (mut addresses, ttl) = found.unwrap_or_default();
    if !is_ipv4 {
        addresses.clear();
    }
    let count = u8::try_from(addresses.len()).unwrap();
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(&question[12..]);
    for address in addresses {
        answer.extend([0xc0, 12, 0, 1, 0, 1]);
        answer.extend(ttl.to_be_bytes());
        answer.extend([0, 4]);
        answer.extend(address.octets());
    }
    answer
}
