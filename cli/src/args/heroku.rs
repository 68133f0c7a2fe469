//! Options of what lets the official heroku CLI work with the platform.

use std::ffi::OsString;

use clap::Args;

use super::JsonArgs;

/// Where the forwarder listens unless it is told otherwise.
pub(crate) const DEFAULT_PORT: u16 = 5100;

pub(super) const ENV_EXAMPLES: &str = "\
Examples:
  $ paas heroku-proxy &
  $ eval \"$(paas heroku-env)\"
  $ heroku apps";

pub(super) const PROXY_EXAMPLES: &str = "\
Examples:
  $ paas heroku-proxy -- heroku ps:scale web=2 -a myapp
  $ paas heroku-proxy --port 5100 &

The heroku CLI sends its token to Heroku's own hosts, whatever API it is led to, unless that is on this
machine. So it talks to 127.0.0.1 here, and what it says goes to the platform over verified TLS.";

#[derive(Debug, Args)]
pub(crate) struct HerokuEnvArgs {
    /// Port of the running `paas heroku-proxy`
    #[arg(long, default_value_t = DEFAULT_PORT)]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HerokuProxyArgs {
    /// Port on 127.0.0.1 [default: 5100, or any that is free for a command]
    #[arg(long)]
    port: Option<u16>,
    /// Run this with the environment it needs, and end with it
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

impl HerokuProxyArgs {
    /// 0 is any.
    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.command.is_empty() {
            DEFAULT_PORT
        } else {
            0
        })
    }
}
