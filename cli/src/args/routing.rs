//! Options of the verbs about how an app's requests are treated.

use clap::Args;

use super::{AppArgs, JsonArgs};

pub(super) const SET_EXAMPLES: &str = "\
Settings:
  https-only=on                  redirect plain HTTP
  hsts=1y,subdomains,preload     have browsers use HTTPS alone, for so long
  canonical-host=www.example.com redirect the app's other names
  allow=10.0.0.0/8,192.0.2.1     let nobody else in
  deny=203.0.113.0/24            let them not in
  rate-limit=100/1m,burst=20,block=10m
                                 what one client's address may ask of a router, at once, and how long it is shut out
                                 when it goes on
  /api=other-app                 have another app answer below a path
  canary=other-app:5             have another app answer 5 of 100 requests
  session-affinity=on            keep a client at the dyno that answered it first
  compression=on                 compress text with zstd or gzip
  dyno-protocol=http2            speak HTTP/2 to web dynos, as gRPC needs it
  requests-per-dyno=50           have a router send a dyno no more at once (H11)

No release is made, and no dyno restarted. Durations: 90s, 5m, 12h, 30d, 1y.

Examples:
  $ paas routing:set https-only=on hsts=1y
  $ paas routing:set /api=api-app /images=image-app
  $ paas routing:set rate-limit=300/1m,block=10m";

#[derive(Debug, Args)]
pub(crate) struct RoutingSetArgs {
    /// Settings, such as https-only=on
    #[arg(value_name = "NAME=VALUE", required = true)]
    pub(crate) settings: Vec<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RoutingUnsetArgs {
    /// Settings to go back to their defaults, and paths
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}
