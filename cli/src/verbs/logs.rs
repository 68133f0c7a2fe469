//! logs: `2026-11-22T13:24:10.123456+00:00 app[web.1]: text`, each dyno in its colour.

use anyhow::Result;
use controller_api::Client;
use controller_api::wire::LogSessionCreate;

use crate::args::LogsArgs;
use crate::context::Context;
use crate::output::{Colour, Output, Paint};

/// What the platform shows at most.
const MAX_LINES: u16 = 1500;

const COLOURS: [Colour; 4] = [Colour::Cyan, Colour::Yellow, Colour::Green, Colour::Magenta];

pub(crate) async fn logs(context: &Context, args: &LogsArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let lines = args
        .num
        .map(|lines| u16::try_from(lines).map_or(MAX_LINES, |lines| lines.min(MAX_LINES)));
    if args.num > lines.map(u32::from) {
        context.output.hint(format!(
            "Showing {MAX_LINES} lines, which is the most there are to see."
        ))?;
    }
    let wanted = LogSessionCreate {
        dyno: args.dyno_name.clone().or_else(|| args.process_type.clone()),
        source: args.source.clone(),
        lines,
        tail: Some(args.tail),
    };
    let mut output = context.output;
    if args.force_colors {
        output.paint = Paint::Coloured;
    }
    show(&output, &context.client()?, &app, &wanted).await
}

/// The lines as they come, until they end.
pub(super) async fn show(
    output: &Output,
    client: &Client,
    app: &str,
    wanted: &LogSessionCreate,
) -> Result<()> {
    let mut lines = client.logs(app, wanted).await?;
    while let Some(line) = lines.next().await? {
        output.line(coloured(output.paint, &line))?;
    }
    Ok(())
}

/// Colours the part that says when and whence.
fn coloured(paint: Paint, line: &str) -> String {
    let head = line
        .split_once("]: ")
        .filter(|(head, _)| head.contains('['));
    match (paint, head) {
        (Paint::Coloured, Some((head, text))) => {
            let whence = head.rsplit_once('[').map_or(head, |(_, whence)| whence);
            format!(
                "{} {text}",
                paint.in_colour(colour_of(whence), &format!("{head}]:"))
            )
        }
        _ => line.to_owned(),
    }
}

/// The same for the same dyno, so that it can be followed by eye.
fn colour_of(whence: &str) -> Colour {
    match whence {
        "router" => Colour::Magenta,
        "api" => Colour::Green,
        dyno => COLOURS[dyno.bytes().map(usize::from).sum::<usize>() % COLOURS.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_head_of_a_line_is_coloured() {
        let line = "2026-11-22T13:24:10.000000+00:00 app[web.1]: a [x]: b";
        let painted = coloured(Paint::Coloured, line);
        assert!(
            painted.ends_with("app[web.1]:\x1b[0m a [x]: b"),
            "{painted}"
        );
        assert_eq!(coloured(Paint::Plain, line), line);
        assert_eq!(coloured(Paint::Coloured, "no head"), "no head");
    }
}
