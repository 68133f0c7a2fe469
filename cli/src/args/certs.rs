//! Options of the verbs about certificates.

use std::path::PathBuf;

use clap::Args;

use super::{AppArgs, JsonArgs};

#[derive(Debug, Args)]
pub(crate) struct CertFiles {
    /// PEM file of the certificate, followed by those who issued it
    #[arg(value_name = "CRT")]
    pub(crate) certificate: PathBuf,
    /// PEM file of its private key
    #[arg(value_name = "KEY")]
    pub(crate) key: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CertAddArgs {
    #[command(flatten)]
    pub(crate) files: CertFiles,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CertUpdateArgs {
    #[command(flatten)]
    pub(crate) files: CertFiles,
    /// Name of the certificate [default: the only one]
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CertArgs {
    /// Name of the certificate [default: the only one]
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DomainUpdateArgs {
    /// Host name, such as www.example.com or *.example.com
    pub(crate) hostname: String,
    /// Name of the certificate to serve it with; none for the platform's own
    #[arg(long)]
    pub(crate) cert: String,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PlatformCertSetArgs {
    #[command(flatten)]
    pub(crate) files: CertFiles,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}
