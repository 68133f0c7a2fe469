//! Says what will be done, what was, and what is left: for people or as JSON, and never a secret.

use std::io;

use anyhow::Result;
use serde::Serialize;

use super::carry_out::{Done, Outcome};
use super::described::{Described, Item};
use super::plan::Plan;
use crate::output::{Output, Table, printable};

#[derive(Debug, Serialize)]
struct Report<'a> {
    app: &'a str,
    source: Source<'a>,
    is_new: bool,
    dry_run: bool,
    steps: Vec<Line>,
    kept: Vec<Line>,
    left: Vec<Line>,
    next: &'a [String],
}

#[derive(Debug, Serialize)]
struct Source<'a> {
    kind: &'a str,
    from: &'a str,
    app: &'a str,
}

#[derive(Debug, Serialize)]
struct Line {
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
    /// Of a step: `planned`, `done`, `refused`; `left` where somebody else has to do something first.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
}

/// Before anything is done.
pub(super) fn plan(output: &Output, there: &Described, plan: &Plan) -> Result<()> {
    let new = if plan.is_new {
        "a new app"
    } else {
        "an app that is here"
    };
    output.heading(printable(&format!(
        "{} of {} to {}, {new}",
        there.name, there.whence, plan.app
    )))?;
    let steps: Vec<Item> = plan
        .steps
        .iter()
        .flat_map(|step| step.items(&plan.app))
        .collect();
    if steps.is_empty() {
        output.line("Nothing is to be done: all that can be taken over is here.")?;
    } else {
        list(output, "Is set here:", &steps, false)?;
    }
    list(
        output,
        "Is otherwise here, and stays so (change it with --overwrite):",
        &plan.kept,
        true,
    )?;
    list(output, "Is not taken over:", &plan.left, true)?;
    Ok(())
}

fn list(output: &Output, title: &str, items: &[Item], apart: bool) -> io::Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    if apart {
        output.line("")?;
    }
    output.line(title)?;
    let mut table = Table::new();
    let mut last = "";
    for item in items {
        // Said once for all of a kind.
        let kind = if item.kind == last { "" } else { item.kind };
        last = item.kind;
        table.row([
            format!("  {kind}"),
            printable(&item.name),
            printable(&item.note),
        ]);
    }
    output.table(&table)
}

/// After it; without `done`, nothing was.
pub(super) fn end(
    output: &Output,
    there: &Described,
    plan: &Plan,
    done: Option<&Done>,
    next: &[String],
    json: bool,
) -> Result<()> {
    if json {
        return Ok(output.json(&report(there, plan, done, next))?);
    }
    if done.is_none() {
        output.line("")?;
        output.line("Nothing was done: this was a dry run.")?;
    }
    let not_added = left_by(plan, done);
    list(output, "Could not be taken over:", &not_added, true)?;
    if next.is_empty() {
        return Ok(());
    }
    output.line("")?;
    output.line("What is left to do:")?;
    for (number, step) in (1..).zip(next) {
        output.line(format!("  {number}. {}", printable(step)))?;
    }
    Ok(())
}

/// What was refused on the way, with the platform's words.
fn left_by(plan: &Plan, done: Option<&Done>) -> Vec<Item> {
    let outcomes = done
        .map(|done| done.outcomes.as_slice())
        .unwrap_or_default();
    let mut left = Vec::new();
    for (step, outcome) in plan.steps.iter().zip(outcomes) {
        let (Outcome::Refused(why) | Outcome::Left(why)) = outcome else {
            continue;
        };
        for item in step.items(&plan.app) {
            left.push(Item::new(item.kind, item.name, why));
        }
    }
    left
}

fn report<'a>(
    there: &'a Described,
    plan: &'a Plan,
    done: Option<&Done>,
    next: &'a [String],
) -> Report<'a> {
    let mut steps = Vec::new();
    for (at, step) in plan.steps.iter().enumerate() {
        let outcome = done.and_then(|done| done.outcomes.get(at));
        let (word, message) = match outcome {
            None => ("planned", None),
            Some(Outcome::Done) => ("done", None),
            Some(Outcome::Refused(why)) => ("refused", Some(why)),
            Some(Outcome::Left(why)) => ("left", Some(why)),
        };
        for item in step.items(&plan.app) {
            let note = message.cloned().unwrap_or(item.note);
            steps.push(Line {
                kind: item.kind,
                name: item.name,
                note,
                outcome: Some(word),
            });
        }
    }
    Report {
        app: &plan.app,
        source: Source {
            kind: there.kind,
            from: &there.whence,
            app: &there.name,
        },
        is_new: plan.is_new,
        dry_run: done.is_none(),
        steps,
        kept: lines(&plan.kept),
        left: lines(&plan.left),
        next,
    }
}

fn lines(items: &[Item]) -> Vec<Line> {
    items
        .iter()
        .map(|item| Line {
            kind: item.kind,
            name: item.name.clone(),
            note: item.note.clone(),
            outcome: None,
        })
        .collect()
}
