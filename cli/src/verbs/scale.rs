//! ps:scale: `web=3 worker+1:Standard-2X`.

use anyhow::Result;
use controller_api::DynoSize;
use controller_api::wire::{Formation, FormationChange, FormationUpdate, Quantity};

use super::suggest;
use crate::args::ScaleArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::follow;
use crate::output::{Colour, Output};

pub(crate) async fn scale(context: &Context, args: &ScaleArgs) -> Result<()> {
    // What is wrong with the words is said before anything is asked.
    let updates = args
        .changes
        .iter()
        .map(|change| parse(change))
        .collect::<Result<Vec<_>, _>>()?;
    let app = context.app(&args.app)?;
    if updates.is_empty() {
        return show(context, &app, args.json.json).await;
    }
    let (client, output) = (context.client()?, &context.output);
    let action = output.action("Scaling dynos");
    let types: Vec<String> = updates.iter().map(|one| one.process_type.clone()).collect();
    let scaled = match client.scale(&app, updates).await {
        Ok(scaled) => scaled,
        Err(error) => {
            drop(action);
            return Err(suggest::type_meant(&client, &app, &types, error).await);
        }
    };
    // Of a type that no code has, as before the first push, no dyno comes up.
    let (to_come, ahead): (Vec<Formation>, Vec<Formation>) = scaled
        .iter()
        .cloned()
        .partition(|formation| formation.quantity == 0 || !formation.command.is_empty());
    if !args.wait.no_wait && !to_come.is_empty() {
        follow::formation(&client, &app, &to_come, &action).await?;
    }
    let now = if args.wait.no_wait {
        "now asked to run"
    } else {
        "now running"
    };
    let parts: Vec<String> = [(now, to_come), ("to run once there is code for it:", ahead)]
        .into_iter()
        .filter(|(_, formations)| !formations.is_empty())
        .map(|(when, formations)| format!("{when} {}", listed(output, &formations)))
        .collect();
    action.done_with(parts.join("; "));
    if args.json.json {
        output.json(&scaled)?;
    }
    Ok(())
}

/// `web at 2:Standard-1X, worker at 1:Basic`
fn listed(output: &Output, formations: &[Formation]) -> String {
    let one = |formation: &Formation| {
        let process_type = output
            .err_paint
            .in_colour(Colour::Green, &formation.process_type);
        format!(
            "{process_type} at {}:{}",
            formation.quantity, formation.size
        )
    };
    let all: Vec<String> = formations.iter().map(one).collect();
    all.join(", ")
}

async fn show(context: &Context, app: &str, json: bool) -> Result<()> {
    let output = &context.output;
    let mut formation = context.client()?.formation(app).await?;
    formation.sort_by(|a, b| a.process_type.cmp(&b.process_type));
    if json {
        return Ok(output.json(&formation)?);
    }
    if formation.is_empty() {
        return Err(Failure::new(format!("No process types on {app}"))
            .advise("Push code with a Procfile first: git push paas main")
            .into());
    }
    let told = |formation: &Formation| {
        format!(
            "{}={}:{}",
            formation.process_type, formation.quantity, formation.size
        )
    };
    let formation: Vec<String> = formation.iter().map(told).collect();
    Ok(output.line(formation.join(" "))?)
}

/// `web=3`, `web=3:Standard-2X`, `web=Standard-2X`, `web+1`, `web-1`.
fn parse(change: &str) -> Result<FormationUpdate, Failure> {
    let refuse = |message: String| {
        Failure::usage(message).advise(
            "Write TYPE=QUANTITY, TYPE=QUANTITY:SIZE, TYPE+N or TYPE-N, such as `paas ps:scale web=3 worker+1`.",
        )
    };
    let wrong = || refuse(format!("{change} is no change to a formation"));
    let (process_type, quantity, size) = match change.split_once('=') {
        Some((process_type, rest)) => {
            let (quantity, size) = split_size(rest);
            (process_type, quantity, size)
        }
        // The last sign before the size: a process type may have dashes in it.
        None => {
            let (step, size) = split_size(change);
            let sign = step.rfind(['+', '-']).ok_or_else(wrong)?;
            (&step[..sign], &step[sign..], size)
        }
    };
    if process_type.is_empty() {
        return Err(wrong());
    }
    let (quantity, size) = match (quantity.parse::<Quantity>(), size) {
        (Ok(quantity), size) => (Some(quantity), size),
        (Err(_), None) if change.contains('=') && quantity.parse::<DynoSize>().is_ok() => {
            (None, Some(quantity))
        }
        (Err(_), _) if quantity.is_empty() => return Err(wrong()),
        (Err(invalid), _) => return Err(refuse(format!("{change}: {invalid}"))),
    };
    Ok(FormationUpdate {
        process_type: process_type.to_owned(),
        change: FormationChange {
            quantity,
            size: size.map(str::to_owned),
        },
    })
}

fn split_size(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((quantity, size)) => (quantity, Some(size)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_heroku_reads_them() {
        let read = |text: &str| {
            let update = parse(text).unwrap();
            (
                update.process_type,
                update.change.quantity,
                update.change.size,
            )
        };
        let size = |name: &str| Some(name.to_owned());
        assert_eq!(
            read("web=3"),
            ("web".into(), Some(Quantity::Exactly(3)), None)
        );
        assert_eq!(
            read("web=3:Standard-2X"),
            (
                "web".into(),
                Some(Quantity::Exactly(3)),
                size("Standard-2X")
            )
        );
        assert_eq!(
            read("web=Standard-2X"),
            ("web".into(), None, size("Standard-2X"))
        );
        assert_eq!(
            read("worker+1"),
            ("worker".into(), Some(Quantity::More(1)), None)
        );
        assert_eq!(
            read("worker+1:Standard-2X"),
            (
                "worker".into(),
                Some(Quantity::More(1)),
                size("Standard-2X")
            )
        );
        assert_eq!(
            read("my-worker-2"),
            ("my-worker".into(), Some(Quantity::Fewer(2)), None)
        );
        assert_eq!(
            read("web=+1"),
            ("web".into(), Some(Quantity::More(1)), None)
        );
        for bad in [
            "",
            "web",
            "=3",
            "web=",
            "web=-",
            "+1",
            "web=3x",
            "web+x",
            "web=:Basic",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            parse("web=abc").unwrap_err().to_string(),
            "web=abc: the quantity \"abc\" is invalid: it must be a number such as 3, +1 or -1"
        );
    }
}
