//! Arguments of the verbs about routers.

use clap::Args;

use super::JsonArgs;

#[derive(Debug, Args)]
pub(crate) struct RouterStatusArgs {
    /// Only what the routers say of this app [default: of themselves]
    #[arg(short, long)]
    pub(crate) app: Option<String>,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(super) const STATUS_EXAMPLES: &str = "\
Rates and latencies are those of the last 10 to 20 seconds.

Examples:
  $ paas router:status
  $ paas router:status -a myapp
  $ paas router:status --json | jq '.routers[].reading.requests_per_second'";
