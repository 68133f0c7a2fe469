//! Arguments of the verbs about TCP routes.

use clap::Args;
use ipnet::IpNet;

use super::JsonArgs;

#[derive(Debug, Args)]
pub(crate) struct TcpRouteAddArgs {
    /// Port to open on every router
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// Where connections go: host:port, or app:NAME for an app's web dynos
    pub(crate) target: String,
    /// Tell the backend the client's address, by the PROXY protocol
    #[arg(long)]
    pub(crate) proxy_protocol: bool,
    /// Admit only clients of this network; may be given several times
    #[arg(long, value_name = "CIDR")]
    pub(crate) allow: Vec<IpNet>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TcpRouteArgs {
    /// Port of the route
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(super) const ADD_EXAMPLES: &str = "\
A host's name is resolved whenever somebody connects.

Examples:
  $ paas tcp-routes:add 5432 db.internal:5432 --allow 10.0.0.0/8
  $ paas tcp-routes:add 1883 app:broker --proxy-protocol";
