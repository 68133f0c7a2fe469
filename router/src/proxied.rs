//! The PROXY protocol, versions 1 and 2: what a load balancer says of a connection before its first byte.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ppp::{HeaderResult, PartialResult as _, v1, v2};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    /// `None`: it speaks for itself, to see whether we are well.
    pub(crate) client: Option<SocketAddr>,
    /// The port the client used.
    pub(crate) port: Option<u16>,
}

/// The longest header there is: version 2 with all the room it has for more than addresses is not in use anywhere.
const MAX: usize = 2048;

const V1_START: &[u8] = b"PROXY ";
const MAX_V1: usize = 107;

/// Takes the header off the stream. An error is a connection to be closed: it begins with something else.
pub(crate) async fn take(stream: &mut TcpStream) -> io::Result<Said> {
    let mut start = [0; MAX];
    loop {
        let there = stream.peek(&mut start).await?;
        let (length, said) = match read(&start[..there]) {
            Read::Whole(length, said) => (length, said),
            Read::Part if there > 0 && there < MAX => {
                // A part of it: rare, and peeking does not wait for more.
                sleep(Duration::from_millis(2)).await;
                continue;
            }
            Read::Part | Read::Nonsense => return Err(io::ErrorKind::InvalidData.into()),
        };
        stream.read_exact(&mut start[..length]).await?;
        return Ok(said);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Read {
    Whole(usize, Said),
    Part,
    Nonsense,
}

fn read(bytes: &[u8]) -> Read {
    // The parser takes some beginnings of version 1 for nonsense.
    let some = bytes.len().min(V1_START.len());
    if bytes[..some] == V1_START[..some] && bytes.len() < MAX_V1 && !bytes.contains(&b'\n') {
        return Read::Part;
    }
    let result = HeaderResult::parse(bytes);
    if result.is_incomplete() {
        return Read::Part;
    }
    let of = |from: Option<SocketAddr>, to: Option<SocketAddr>| Said {
        client: from,
        port: to.map(|to| to.port()),
    };
    match result {
        HeaderResult::V1(Ok(header)) => {
            let length = header.header.len();
            Read::Whole(
                length,
                match header.addresses {
                    v1::Addresses::Tcp4(a) => of(
                        Some((a.source_address, a.source_port).into()),
                        Some((a.destination_address, a.destination_port).into()),
                    ),
                    v1::Addresses::Tcp6(a) => of(
                        Some((a.source_address, a.source_port).into()),
                        Some((a.destination_address, a.destination_port).into()),
                    ),
                    v1::Addresses::Unknown => of(None, None),
                },
            )
        }
        HeaderResult::V2(Ok(header)) => {
            let length = header.len();
            let is_local = header.command == v2::Command::Local;
            Read::Whole(
                length,
                match header.addresses {
                    v2::Addresses::IPv4(a) if !is_local => of(
                        Some((a.source_address, a.source_port).into()),
                        Some((a.destination_address, a.destination_port).into()),
                    ),
                    v2::Addresses::IPv6(a) if !is_local => of(
                        Some((a.source_address, a.source_port).into()),
                        Some((a.destination_address, a.destination_port).into()),
                    ),
                    _ => of(None, None),
                },
            )
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Read::Nonsense,
    }
}

/// A header is never longer than what is there, and what is behind it changes nothing.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MAX)];
    let Read::Whole(length, said) = read(bytes) else {
        return;
    };
    assert!(length <= bytes.len());
    assert_eq!(read(&bytes[..length]), Read::Whole(length, said));
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 443\r\n";

    fn v2(command: u8) -> Vec<u8> {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        header.extend([0x20 | command, 0x11, 0, 12]);
        header.extend([203, 0, 113, 7, 192, 0, 2, 1, 0x13, 0x88, 1, 0xbb]);
        header
    }

    #[test]
    fn both_versions_tell_the_client_and_the_port_it_used() {
        let said = Said {
            client: Some(([203, 0, 113, 7], 5000).into()),
            port: Some(443),
        };
        for header in [V1.to_vec(), v2(1)] {
            let with_more = [header.as_slice(), b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read(&with_more), Read::Whole(header.len(), said));
        }
    }

    #[test]
    fn a_balancer_that_speaks_for_itself_names_nobody() {
        let nobody = Said {
            client: None,
            port: None,
        };
        assert_eq!(read(&v2(0)), Read::Whole(28, nobody));
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), Read::Whole(15, nobody));
    }

    #[test]
    fn a_part_is_waited_for_and_nonsense_is_not() {
        for header in [V1.to_vec(), v2(1)] {
            for length in 1..header.len() {
                assert_eq!(read(&header[..length]), Read::Part, "{length}");
            }
        }
        for bad in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 a b c d\r\n",
            b"\x16\x03\x01\x02\x00",
        ] {
            assert_eq!(read(bad), Read::Nonsense, "{bad:?}");
        }
    }
}
