//! The command line of `paasd`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

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
    /// Run the configured roles until told to stop
    Server(ConfigSource),
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
pub(crate) struct ConfigSource {
    /// The configuration file (TOML); everything in it has a default
    #[arg(long, env = "PAASD_CONFIG", default_value = "/etc/paas/paasd.toml")]
    pub(crate) config: PathBuf,
}
