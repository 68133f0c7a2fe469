//! Options of the verbs about webhooks; Heroku's.

use clap::{Args, ValueEnum};

use super::{AppArgs, JsonArgs};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Level {
    /// Tried once
    Notify,
    /// Tried again until it is taken, for up to two days
    Sync,
}

impl Level {
    pub(crate) fn to_wire(self) -> String {
        match self {
            Self::Notify => "notify",
            Self::Sync => "sync",
        }
        .to_owned()
    }
}

#[derive(Debug, Args)]
pub(crate) struct WebhookAddArgs {
    /// What to be told of, such as api:release,api:dyno
    #[arg(short, long, value_delimiter = ',', required = true)]
    pub(crate) include: Vec<String>,
    /// How hard to try to deliver
    #[arg(short, long, value_enum)]
    pub(crate) level: Level,
    /// Where to deliver to
    #[arg(short, long)]
    pub(crate) url: String,
    /// What to sign with [default: a random one, which is printed]
    #[arg(short, long)]
    pub(crate) secret: Option<String>,
    /// Authorization header to send along
    #[arg(short = 't', long)]
    pub(crate) authorization: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

/// What is left out stays as it is.
#[derive(Debug, Args)]
pub(crate) struct WebhookUpdateArgs {
    /// ID of the webhook
    pub(crate) id: String,
    /// What to be told of, such as api:release,api:dyno
    #[arg(short, long, value_delimiter = ',')]
    pub(crate) include: Option<Vec<String>>,
    /// How hard to try to deliver
    #[arg(short, long, value_enum)]
    pub(crate) level: Option<Level>,
    /// Where to deliver to
    #[arg(short, long)]
    pub(crate) url: Option<String>,
    /// What to sign with
    #[arg(short, long)]
    pub(crate) secret: Option<String>,
    /// Authorization header to send along; an empty one for none
    #[arg(short = 't', long)]
    pub(crate) authorization: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookArgs {
    /// ID of the webhook
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookDeliveriesArgs {
    /// Only those that are pending, retrying, failed or succeeded
    #[arg(short, long)]
    pub(crate) status: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookDeliveryArgs {
    /// ID of the delivery
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WebhookEventArgs {
    /// ID of the event
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

pub(super) const ADD_EXAMPLES: &str = "\
Apps tell of api:app, api:build, api:collaborator, api:domain, api:dyno, api:formation, api:release and api:sni-endpoint.

Examples:
  $ paas webhooks:add -i api:release,api:build -l sync -u https://example.com/hooks
  $ paas webhooks:add -i api:dyno -l notify -u https://example.com/hooks -t 'Bearer sesame'";
