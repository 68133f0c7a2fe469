//! import: an app of Heroku, Deis or Dokku, made here with what can be taken over of it.
//!
//! A source describes the app there, [`here`] what there is of it here, [`plan`] says what to do about the difference, and
//! [`carry_out`] does it. Nothing but the last changes anything, and nothing changes the other side.

mod carry_out;
mod credentials;
mod deis;
mod described;
mod dokku;
mod fetch;
mod here;
mod heroku;
mod netrc;
mod next;
mod plan;
mod size;
mod tell;

use anyhow::Result;
use controller_api::AppName;

use super::confirm::Confirm;
use crate::args::{ImportArgs, ImportHow, ImportSource};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::printable;
use described::Described;
use plan::{Plan, Wanted};

pub(crate) async fn import(context: &Context, args: ImportArgs) -> Result<()> {
    // Who is not logged in here, or asks for a name that cannot be, is told so before the other side is asked.
    context.client()?;
    let to = match &args.source {
        ImportSource::Heroku(args) => &args.how.to,
        ImportSource::Deis(args) => &args.how.to,
        ImportSource::Dokku(args) => &args.how.to,
    };
    to.as_deref().map(name_here).transpose()?;
    let (there, how) = match &args.source {
        ImportSource::Heroku(args) => (heroku::read(args, context.session()?).await?, &args.how),
        ImportSource::Deis(args) => (deis::read(&context.output, args).await?, &args.how),
        ImportSource::Dokku(args) => (dokku::read(args)?, &args.how),
    };
    bring(context, &there, how).await
}

async fn bring(context: &Context, there: &Described, how: &ImportHow) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let name = name_here(how.to.as_ref().unwrap_or(&there.name))?;
    let wanted = Wanted {
        name: context.about(name.to_string()),
        skip: how.skip.clone(),
        addon_vars: how.addon_vars,
        overwrite: how.overwrite,
    };
    let here = here::read(&client, &wanted.name).await?;
    let plan = plan::plan(there, &here, &wanted);
    if !how.json.json {
        tell::plan(output, there, &plan)?;
    }
    if how.dry_run {
        let next = next::steps(there, &plan, &carry_out::Done::default());
        return tell::end(output, there, &plan, None, &next, how.json.json);
    }
    confirm(context, &plan, how)?;
    let done = carry_out::carry_out(context, &client, &plan).await?;
    let next = next::steps(there, &plan, &done);
    tell::end(output, there, &plan, Some(&done), &next, how.json.json)?;
    match done.failed() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} of the changes to {} were refused", plan.app))
            .advise("See why above. Once that is mended, run the same again: what is done is not done twice.")
            .into()),
    }
}

fn name_here(name: &str) -> Result<AppName, Failure> {
    name.parse::<AppName>().map_err(|error| {
        Failure::usage(format!(
            "The app cannot be called {} here: a name {}",
            printable(name),
            error.rule
        ))
        .advise("Give it another name with --to NAME.")
    })
}

/// Nobody loses what was set here without having said so.
fn confirm(context: &Context, plan: &Plan, how: &ImportHow) -> Result<()> {
    if plan.overwritten.is_empty() {
        return Ok(());
    }
    Confirm {
        name: &plan.app,
        given: how.confirm.as_deref(),
        warning: format!(
            "What is set here is lost: {}",
            printable(&plan.overwritten.join(", "))
        ),
        done: "changed",
    }
    .ask(&context.output)
}
