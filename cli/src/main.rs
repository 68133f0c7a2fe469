//! `paas`: Heroku's verbs for a platform of your own. It knows the Platform API, git and the terminal, and nothing of
//! how the platform works inside.

mod args;
mod attach;
mod browser;
mod completion;
mod context;
mod failure;
mod follow;
mod forwarder;
mod git;
mod help;
mod nearest;
mod output;
mod plugin;
mod session;
mod tarball;
mod terminal;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Verb};
use crate::context::Context;
use crate::failure::Verdict;
use crate::output::Output;

fn main() -> ExitCode {
    let output = Output::detect();
    if let Some(words) = completion::asked() {
        // A shell asks in the middle of a line: whatever goes wrong, nothing is said.
        return completion::answer(&output, &words).unwrap_or(ExitCode::FAILURE);
    }
    let outcome = match Cli::try_parse() {
        Ok(Cli { verb: None }) => help::overview(&output).map(|()| ExitCode::SUCCESS),
        Ok(Cli {
            verb: Some(Verb::Unknown(words)),
        }) => plugin::run(&words),
        Ok(Cli { verb: Some(verb) }) => {
            let context = Context::new(output);
            let outcome = verbs::run(verb, &context);
            context.tell_warnings();
            outcome
        }
        Err(error) => return help::not_understood(&output, &error),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => match Verdict::of(&error) {
            Some(verdict) => {
                output.error(&verdict.text);
                ExitCode::from(verdict.code)
            }
            None => ExitCode::SUCCESS,
        },
    }
}
