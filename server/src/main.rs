//! `paasd`: every server role of the platform in one binary. It parses its configuration, builds the roles, starts them
//! and drains them; what they do is in their own crates.

mod args;
mod config;
mod discovery;
mod identity;
mod init;
mod roles;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, Command};

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
        Command::Server(source) => {
            let config = config::load(&source)?;
            telemetry::start(&config.log)?;
            roles::run(config)?;
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
