//! Arguments of the verbs about nodes.

use clap::Args;

use super::JsonArgs;

#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// Name or id of the host, as `paas nodes` shows it
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NodeDrainArgs {
    /// Name or id of the host, as `paas nodes` shows it
    pub(crate) node: String,
    /// Do not wait for the dynos to have moved
    #[arg(long)]
    pub(crate) no_wait: bool,
}
