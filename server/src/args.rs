//! The command line of `paasd`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::StoreChoice;

/// See `handover`.
pub(crate) const TAKE_OVER: &str = "--take-over";

#[derive(Debug, Parser)]
#[command(
    name = "paasd",
    version,
    about = "The server of paas: controller, builder, scheduler, router and node in one"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the configured roles until told to stop. SIGHUP starts the program anew, in place: no request is lost
    Server {
        #[command(flatten)]
        source: ConfigSource,
        /// Take over from the paasd that started this one; not for people
        #[arg(long = TAKE_OVER.trim_start_matches('-'), hide = true)]
        take_over: bool,
    },
    /// Print the configuration in force, secrets left out
    Config(ConfigSource),
    /// Prepare a new installation: keys, certificates, the first account. Does nothing where that is done
    Init {
        #[command(flatten)]
        source: ConfigSource,
        /// E-mail address of the first account
        #[arg(long, default_value = "admin@paas.localhost")]
        email: model::Email,
    },
    /// Let somebody in again who cannot get in any more: a new password, no second factor, no tokens. With the embedded
    /// store, paasd must be stopped
    Recover {
        #[command(flatten)]
        source: ConfigSource,
        /// E-mail address of the account
        email: model::Email,
        /// The one at the identity provider, whom the account is linked with, is to be it no longer
        #[arg(long)]
        forget_identity: bool,
    },
    /// Make this host one of a platform's: takes a token of `paas nodes:token`, and writes the configuration
    Join(Join),
    /// Make this host's certificate, and with it the authority of a new platform, before its etcd can start
    Identity(ConfigSource),
    /// Copy the embedded store into etcd, whole and verified, so that many hosts can share it; paasd must be stopped
    MigrateStore(MigrateStore),
    /// Examine this host and say what is wrong and what to do
    Doctor {
        #[command(flatten)]
        source: ConfigSource,
        /// The platform runs here: its ports are expected to be taken
        #[arg(long)]
        running: bool,
    },
    /// What git runs when a push arrives; not for people
    #[command(hide = true)]
    Hook {
        #[command(subcommand)]
        name: Hook,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Hook {
    PreReceive,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Join {
    /// What `paas nodes:token` printed; `-` reads it from standard input, where `ps` does not show it
    pub(crate) token: String,
    /// Where the other hosts reach this one; by default the address it reaches them from
    #[arg(long)]
    pub(crate) address: Option<IpAddr>,
    /// Roles, comma-separated: controller, builder, scheduler, router, node; by default all that the token allows
    #[arg(long, value_delimiter = ',')]
    pub(crate) roles: Option<Vec<model::HostRole>>,
    /// The host's name; the machine's own by default
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What fails together: a rack, an availability zone. Dynos of a type are spread over zones
    #[arg(long)]
    pub(crate) zone: Option<String>,
    /// What apps may ask for, `disk=ssd`; may be repeated
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = tag)]
    pub(crate) tags: Vec<(String, String)>,
    /// Memory dynos may reserve; by default what the machine has, less 1 GiB
    #[arg(long)]
    pub(crate) memory_mb: Option<u64>,
    #[arg(long, default_value = "/var/lib/paas")]
    pub(crate) data_dir: PathBuf,
    /// Where the configuration is written; `<data-dir>/paasd.toml` by default
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct MigrateStore {
    #[command(flatten)]
    pub(crate) source: ConfigSource,
    /// The etcd to copy to: `etcds://host:port,host:port`, or `etcd://…` in the clear
    #[arg(long, group = "what", value_parser = |text: &str| StoreChoice::try_from(text.to_owned()))]
    pub(crate) to: Option<StoreChoice>,
    /// The configuration to come: its `store` is copied to, and its `blobs` where they are elsewhere than now
    #[arg(long, group = "what", value_name = "FILE")]
    pub(crate) to_config: Option<PathBuf>,
    /// Use the embedded store again after all, as it was when it was copied
    #[arg(long, group = "what")]
    pub(crate) cancel: bool,
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("must look like disk=ssd".to_owned()),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConfigSource {
    /// The configuration file (TOML); everything in it has a default
    #[arg(long, env = "PAASD_CONFIG", default_value = "/etc/paas/paasd.toml")]
    pub(crate) config: PathBuf,
}
