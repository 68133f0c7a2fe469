//! doctor: what is wrong, and what to do about it.
//!
//! Each part gathers what there is to know and judges it by itself; what cannot be known without something that has failed
//! already is left out, so that one trouble is told once. Nothing is changed.

mod app;
mod finding;
mod here;
mod login;
mod names;
mod platform;
mod reach;

use std::process::ExitCode;

use anyhow::Result;
use controller_api::Client;
use jiff::Timestamp;
use serde_json::json;

use crate::args::DoctorArgs;
use crate::context::Context;
use crate::failure::FAILED;
use crate::output::Colour;
use finding::{Finding, State};

pub(crate) async fn doctor(context: &Context, args: &DoctorArgs) -> Result<ExitCode> {
    let findings = look(context, args).await;
    if args.json.json {
        context.output.json(&json!({ "checks": findings }))?;
    } else {
        show(context, &findings)?;
    }
    let is_ill = findings.iter().any(|found| found.state == State::Problem);
    Ok(if is_ill {
        ExitCode::from(FAILED)
    } else {
        ExitCode::SUCCESS
    })
}

async fn look(context: &Context, args: &DoctorArgs) -> Vec<Finding> {
    let mut findings = here::program();
    let session = match context.session() {
        Ok(session) => session,
        Err(error) => {
            findings.push(Finding::error("login", &error));
            return findings;
        }
    };
    let now = Timestamp::now();
    let client = match session.client(session.token.as_deref().map(str::trim)) {
        Ok(client) => client,
        Err(error) => {
            findings.push(Finding::error("login", &error));
            return findings;
        }
    };
    let (reached, is_there) = reach::look(session, &client, now).await;
    findings.extend(reached);
    if !is_there {
        findings.extend(here::remotes(session));
        return findings;
    }
    let (found, account) = login::look(context, &client).await;
    findings.extend(found);
    findings.extend(here::remotes(session));
    if account {
        findings.extend(with_account(context, &client, args, now).await);
    }
    findings
}

async fn with_account(
    context: &Context,
    client: &Client,
    args: &DoctorArgs,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = here::apps_of_remotes(context, client).await;
    let is_named = args.app.app.is_some() || args.app.remote.is_some();
    match context.app(&args.app) {
        Ok(app) => findings.extend(app::look(client, &app, is_named, now).await),
        Err(error) if is_named => findings.push(Finding::error("app", &error)),
        // A directory need not be of an app, or of one alone.
        Err(_) => {}
    }
    findings.extend(platform::look(client, now).await);
    findings
}

fn show(context: &Context, findings: &[Finding]) -> Result<()> {
    let (output, paint) = (&context.output, context.output.paint);
    for found in findings {
        let (word, colour) = match found.state {
            State::Ok => ("ok     ", Colour::Green),
            State::Warning => ("warning", Colour::Yellow),
            State::Problem => ("problem", Colour::Red),
        };
        output.line(format!(
            "{}  {}",
            paint.in_colour(colour, word),
            found.message
        ))?;
        for advice in found.advice.iter().flat_map(|advice| advice.lines()) {
            output.line(format!("         {}", paint.in_colour(Colour::Dim, advice)))?;
        }
    }
    output.line("")?;
    let count = |state| findings.iter().filter(|found| found.state == state).count();
    Ok(output.line(summary(count(State::Problem), count(State::Warning)))?)
}

/// `1 problem, 2 warnings.`
fn summary(problems: usize, warnings: usize) -> String {
    let told = |count: usize, what: &str| match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    if problems + warnings == 0 {
        return "All is well.".to_owned();
    }
    let text = format!(
        "{}, {}.",
        told(problems, "problem"),
        told(warnings, "warning")
    );
    text.replacen("no ", "No ", usize::from(problems == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_told_in_words() {
        assert_eq!(summary(0, 0), "All is well.");
        assert_eq!(summary(1, 2), "1 problem, 2 warnings.");
        assert_eq!(summary(0, 1), "No problems, 1 warning.");
        assert_eq!(summary(2, 0), "2 problems, no warnings.");
    }
}
