//! `paasd`: every server role of the platform in one binary. It parses its configuration, builds the roles, starts them
//! and drains them; what they do is in their own crates.

mod args;
mod config;
mod discovery;
mod files;
mod handover;
mod identity;
mod init;
mod join;
mod joiners;
mod machine;
mod migrate;
mod platform_certificate;
mod recover;
mod roles;
mod serve;
mod sockets;
mod storage;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};

/// The router makes and drops some small things for every request and connection: a tenth of HTTP/2's cost is what the C
/// library's allocator takes more.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Server { source, take_over } => {
            let config = config::load(&source)?;
            telemetry::start(&config.log)?;
            serve::run(config, take_over)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Config(source) => {
            print(&config::load(&source)?.to_toml()?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Init { source, email } => {
            let account = init::init(&config::load(&source)?, email)?;
            print(&account);
            Ok(ExitCode::SUCCESS)
        }
        Command::Recover {
            source,
            email,
            forget_identity,
        } => {
            let recovery = controller::accounts::Recovery {
                email,
                forget_identity,
            };
            print(&recover::recover(&config::load(&source)?, &recovery)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Join(args) => {
            print(&join::join(args)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Identity(source) => {
            identity::make_first(&config::load(&source)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::MigrateStore(args) => {
            print(&migrate::run(args, print)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Doctor { source, running } => {
            let config = config::load(&source)?;
            let subject = config.doctor_subject(running)?;
            let findings = provisioning::doctor::examine(&subject, jiff::Timestamp::now());
            print(&provisioning::doctor::report(&findings));
            Ok(match provisioning::doctor::worst(&findings) {
                provisioning::doctor::Verdict::Fail => ExitCode::FAILURE,
                _ => ExitCode::SUCCESS,
            })
        }
        Command::Hook {
            name: args::Hook::PreReceive,
        } => Ok(builder::hook::main_pre_receive()),
    }
}

#[expect(clippy::print_stdout, reason = "what these commands are for")]
fn print(text: &str) {
    println!("{}", text.trim_end());
}
