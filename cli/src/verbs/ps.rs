//! ps, ps:restart, ps:stop.

use std::collections::BTreeMap;

use anyhow::Result;
use controller_api::wire::{Dyno, Formation};

use crate::args::{PsArgs, RestartArgs, StopArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::follow;
use crate::nearest::nearest;
use crate::output::{Colour, Output, ago};

pub(crate) async fn list(context: &Context, args: &PsArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let output = &context.output;
    let client = context.client()?;
    let mut dynos = client.dynos(&app).await?;
    dynos.retain(|dyno| args.types.is_empty() || args.types.contains(&dyno.process_type));
    dynos.sort_by_key(|dyno| order(&dyno.name));
    if args.json.json {
        return Ok(output.json(&dynos)?);
    }
    if dynos.is_empty() {
        let formation = client.formation(&app).await?;
        output.note(format!(
            "No dynos on {}. {}",
            output.app(&app),
            how_to_get_dynos(&formation, &args.types)
        ))?;
        return Ok(());
    }
    let mut one_off = Vec::new();
    let mut formation: BTreeMap<(&str, &str, &str), Vec<&Dyno>> = BTreeMap::new();
    for dyno in &dynos {
        if follow::is_one_off(dyno) {
            one_off.push(dyno);
        } else {
            let key = (
                dyno.process_type.as_str(),
                dyno.size.as_str(),
                dyno.command.as_str(),
            );
            formation.entry(key).or_default().push(dyno);
        }
    }
    show_one_off(output, &one_off)?;
    for ((process_type, size, command), dynos) in formation {
        let title = output.paint.in_colour(Colour::Green, process_type);
        let size = output.paint.in_colour(Colour::Cyan, size);
        output.heading(format!("{title} ({size}): {command} ({})", dynos.len()))?;
        for dyno in dynos {
            output.line(format!(
                "{}: {} {}",
                dyno.name,
                output.paint.state(&dyno.state),
                ago(dyno.updated_at.0)
            ))?;
        }
        output.line("")?;
    }
    Ok(())
}

/// What to do where there are no dynos, of these process types if any are named.
fn how_to_get_dynos(formation: &[Formation], types: &[String]) -> String {
    let mut known: Vec<&Formation> = formation
        .iter()
        .filter(|formation| formation.process_type != "release")
        .collect();
    // What takes requests is meant before all else.
    known.sort_by_key(|formation| formation.process_type != "web");
    let meant = known
        .iter()
        .find(|formation| types.is_empty() || types.contains(&formation.process_type));
    match meant {
        _ if known.is_empty() => {
            "Deploy it first: process types come with `git push paas main`.".to_owned()
        }
        Some(Formation {
            quantity: 0,
            process_type,
            ..
        }) => {
            format!("Start one with `paas ps:scale {process_type}=1`.")
        }
        Some(Formation {
            quantity,
            process_type,
            ..
        }) => format!(
            "It should run {process_type}={quantity}; see with `paas logs` what keeps it from that."
        ),
        None => {
            let known: Vec<&str> = known
                .iter()
                .map(|formation| formation.process_type.as_str())
                .collect();
            format!("Its process types are: {}.", known.join(", "))
        }
    }
}

fn show_one_off(output: &Output, dynos: &[&Dyno]) -> Result<()> {
    if dynos.is_empty() {
        return Ok(());
    }
    let title = output.paint.in_colour(Colour::Green, "run");
    output.heading(format!("{title}: one-off processes ({})", dynos.len()))?;
    for dyno in dynos {
        let (state, since) = (output.paint.state(&dyno.state), ago(dyno.updated_at.0));
        output.line(format!(
            "{} ({}): {state} {since}: {}",
            dyno.name, dyno.size, dyno.command
        ))?;
    }
    Ok(output.line("")?)
}

/// `web.2` before `web.10`.
fn order(name: &str) -> (String, u32) {
    let (process_type, index) = name.rsplit_once('.').unwrap_or((name, ""));
    (process_type.to_owned(), index.parse().unwrap_or_default())
}

/// What a restart or stop is about.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    All,
    Type(&'a str),
    Dyno(&'a str),
}

impl<'a> Target<'a> {
    /// A name with a dot and a number is a dyno; one without is a process type.
    fn of(
        word: Option<&'a String>,
        dyno: Option<&'a String>,
        process_type: Option<&'a String>,
    ) -> Self {
        match (word, dyno, process_type) {
            (_, Some(dyno), _) => Self::Dyno(dyno),
            (_, _, Some(process_type)) => Self::Type(process_type),
            (Some(word), _, _) if word.contains('.') => Self::Dyno(word),
            (Some(word), _, _) => Self::Type(word),
            (None, None, None) => Self::All,
        }
    }

    /// Whether a dyno of a formation is meant.
    fn includes(&self, dyno: &Dyno) -> bool {
        match self {
            Self::All => !follow::is_one_off(dyno) && dyno.process_type != "release",
            Self::Type(process_type) => {
                dyno.process_type == *process_type && !follow::is_one_off(dyno)
            }
            Self::Dyno(name) => dyno.name == *name,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::All => "all dynos".to_owned(),
            Self::Type(process_type) => format!("all {process_type} dynos"),
            Self::Dyno(name) => format!("dyno {name}"),
        }
    }
}

pub(crate) async fn restart(context: &Context, args: &RestartArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let target = Target::of(
        args.target.as_ref(),
        args.dyno_name.as_ref(),
        args.process_type.as_ref(),
    );
    let action = output.action(format!(
        "Restarting {} on {}",
        target.words(),
        output.app(&app)
    ));
    let dynos = client.dynos(&app).await?;
    let before: Vec<Dyno> = dynos
        .iter()
        .filter(|dyno| target.includes(dyno))
        .cloned()
        .collect();
    if before.is_empty() && target != Target::All {
        drop(action);
        return Err(no_such_dyno(&app, &target, &dynos).into());
    }
    match target {
        Target::All => client.restart_all(&app).await?,
        Target::Type(process_type) => client.restart_type(&app, process_type).await?,
        Target::Dyno(name) => client.restart_dyno(&app, name).await?,
    };
    if !args.wait.no_wait {
        follow::replaced(&client, &app, &before, &action).await?;
    }
    action.done();
    Ok(())
}

pub(crate) async fn stop(context: &Context, args: &StopArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let target = Target::of(
        args.target.as_ref(),
        args.dyno_name.as_ref(),
        args.process_type.as_ref(),
    );
    let action = output.action(format!(
        "Stopping {} on {}",
        target.words(),
        output.app(&app)
    ));
    match target {
        Target::Dyno(name) => client.stop_dyno(&app, name).await?,
        Target::Type(process_type) => client.stop_type(&app, process_type).await?,
        Target::All => return Err(Failure::usage("Say which dyno or process type to stop").into()),
    };
    action.done();
    Ok(())
}

fn no_such_dyno(app: &str, target: &Target<'_>, dynos: &[Dyno]) -> Failure {
    let message = match target {
        Target::Dyno(name) => format!("{app} has no dyno {name}"),
        Target::Type(process_type) => format!("{app} has no {process_type} dynos"),
        Target::All => format!("{app} has no dynos"),
    };
    let types = || dynos.iter().map(|dyno| dyno.process_type.as_str());
    let near = match target {
        // Another number is another dyno, and no slip.
        Target::Dyno(name) => name.rsplit_once('.').and_then(|(process_type, index)| {
            let meant = format!("{}.{index}", nearest(process_type, types())?);
            dynos.iter().any(|dyno| dyno.name == meant).then_some(meant)
        }),
        Target::Type(name) => nearest(name, types()).map(str::to_owned),
        Target::All => None,
    };
    Failure::new(message).advise(match near {
        Some(near) => format!("Did you mean {near}? See what runs with `paas ps`."),
        None => "See what runs with `paas ps`.".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_a_dyno_or_a_type() {
        let (web, dyno) = ("web".to_owned(), "web.1".to_owned());
        assert_eq!(Target::of(Some(&web), None, None), Target::Type("web"));
        assert_eq!(Target::of(Some(&dyno), None, None), Target::Dyno("web.1"));
        assert_eq!(Target::of(None, Some(&dyno), None), Target::Dyno("web.1"));
        assert_eq!(Target::of(None, None, Some(&web)), Target::Type("web"));
        assert_eq!(Target::of(None, None, None), Target::All);
    }

    #[test]
    fn dynos_are_ordered_by_number() {
        assert!(order("web.2") < order("web.10"));
        assert!(order("web.10") < order("worker.1"));
    }
}
