//! Where the processes of a container listen, as the host's kernel tells.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `TCP_LISTEN` in `/proc/<pid>/net/tcp`.
const LISTEN: &str = "0A";

/// All TCP sockets that listen in the network of this process; none when that cannot be read.
pub(super) fn listening(pid: i64) -> Vec<SocketAddr> {
    ["tcp", "tcp6"]
        .into_iter()
        .filter_map(|family| fs_err::read_to_string(format!("/proc/{pid}/net/{family}")).ok())
        .flat_map(|table| parse(&table))
        .collect()
}

/// The first address of a port that is listened on at loopback addresses only.
pub(super) fn loopback_only(listening: &[SocketAddr], port: u16) -> Option<IpAddr> {
    let addresses = || {
        listening
            .iter()
            .filter(|addr| addr.port() == port)
            .map(|addr| addr.ip().to_canonical())
    };
    if addresses().all(|ip| ip.is_loopback()) {
        addresses().next()
    } else {
        None
    }
}

/// The listening sockets of a table whose lines begin `0: 0100007F:1F90 00000000:0000 0A`.
fn parse(table: &str) -> Vec<SocketAddr> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
            if state == LISTEN {
                address(local)
            } else {
                None
            }
        })
        .collect()
}

/// Addresses are words of 32 bits in the host's order, the port is a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = address.get(at..at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (part, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                part.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0 100 0 0 10 0
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 3 1 0 100 0 0 10 0
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A 00000000:00000000
   2: 0000000000000000FFFF00000100007F:0052 00000000000000000000000000000000:0000 0A 00000000:00000000
";

    #[test]
    fn only_a_port_that_is_bound_to_loopback_alone_is_told() {
        let all = [parse(TCP), parse(TCP6)].concat();
        let local = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(all.len(), 5);
        assert_eq!(loopback_only(&all, 8080), local);
        assert_eq!(loopback_only(&all, 80), None, "on all addresses as well");
        assert_eq!(
            loopback_only(&all, 81),
            Some(IpAddr::V6(Ipv6Addr::LOCALHOST))
        );
        assert_eq!(
            loopback_only(&all, 82),
            local,
            "an IPv4 address in IPv6's words"
        );
        assert_eq!(loopback_only(&all, 83), None, "nobody listens");
    }
}
