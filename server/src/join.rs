//! `paasd join`: this machine, described, and what became of it.

use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use anyhow::{Context as _, bail};
use controller_api::join::JoinToken;
use provisioning::join::{Candidate, join_platform};

use crate::args::Join;
use crate::{identity, machine};

pub(crate) fn join(args: Join) -> anyhow::Result<String> {
    if args.data_dir.is_relative() {
        bail!(
            "--data-dir is {}; it must be an absolute path",
            args.data_dir.display()
        );
    }
    let mut text = args.token;
    if text == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text)?;
    }
    let token: JoinToken = text.parse()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let address = match args.address {
        Some(address) => check_is_own(address)?,
        None => runtime.block_on(own_address(&token))?,
    };
    let candidate = Candidate {
        id: identity::node_id(&args.data_dir)?,
        name: args.name.unwrap_or_else(machine::host_name),
        address,
        roles: args.roles.map(|roles| roles.into_iter().collect()),
        zone: args.zone,
        tags: args.tags.into_iter().collect(),
        cpus: machine::cpus(),
        memory_bytes: machine::memory_mb(args.memory_mb)? << 20,
        memory_limit_mb: args.memory_mb,
        data_dir: args.data_dir,
    };
    let config = args
        .config
        .unwrap_or_else(|| candidate.data_dir.join("paasd.toml"));
    let joined = runtime.block_on(join_platform(&token, &candidate, &config))?;
    let roles: Vec<_> = joined.roles.iter().map(|role| role.as_str()).collect();
    Ok(format!(
        "{} ({}) is part of the platform at {} as {}.\nStart it with: paasd server --config {}",
        candidate.name,
        candidate.address,
        token.url,
        roles.join(", "),
        config.display()
    ))
}

/// Everything on this host that others call listens there.
fn check_is_own(address: IpAddr) -> anyhow::Result<IpAddr> {
    match TcpListener::bind((address, 0)) {
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => bail!(
            "--address is {address}, which is no address of this host (see `ip address`); name the one at which other hosts reach it"
        ),
        _ => Ok(address),
    }
}

/// The address that packets to the platform leave from.
async fn own_address(token: &JoinToken) -> anyhow::Result<IpAddr> {
    let host = token.url.host_str().unwrap_or_default();
    let port = token.url.port_or_known_default().unwrap_or(443);
    let mut towards: Vec<SocketAddr> = token.addresses.clone();
    if !controller_api::is_localhost(host)
        && let Ok(found) = tokio::net::lookup_host((host, port)).await
    {
        towards.extend(found);
    }
    let found = towards.iter().find_map(|to| {
        // Connecting a datagram socket sends nothing; it only chooses the way.
        let any: SocketAddr = if to.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0u16; 8], 0).into()
        };
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    found.context(
        "could not find out at which address other hosts reach this one; give it with --address",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_gives_an_address_of_its_own() {
        let loopback = IpAddr::from([127, 0, 0, 3]);
        assert_eq!(check_is_own(loopback).unwrap(), loopback);
        let error = check_is_own([192, 0, 2, 7].into()).unwrap_err();
        assert!(
            error.to_string().contains("--address is 192.0.2.7"),
            "{error}"
        );
    }
}
