//! logs: `2026-11-22T13:24:10.123456+00:00 app[web.1]: text`, each dyno in its colour.

use anyhow::Result;
use controller_api::Client;
use controller_api::wire::LogSessionCreate;

use crate::args::LogsArgs;
use crate::context::Context;
use crate::output::{Colour, Output, Paint};

/// What the platform shows at most.
const MAX_LINES: u16 = 1500;

/// A multiple of the colours, so that who is left keeps theirs.
const MOST_SEEN: usize = 512;

/// In the order in which dynos are first seen; the platform's own voices have theirs.
const COLOURS: [Colour; 8] = [
    Colour::Cyan,
    Colour::Yellow,
    Colour::Blue,
    Colour::BrightCyan,
    Colour::BrightYellow,
    Colour::BrightBlue,
    Colour::BrightGreen,
    Colour::BrightMagenta,
];

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
    let mut painter = Painter::new(output.paint);
    while let Some(line) = lines.next().await? {
        output.line(painter.coloured(&line))?;
    }
    Ok(())
}

/// Gives each dyno a colour of its own, so that it can be followed by eye.
struct Painter {
    paint: Paint,
    seen: Vec<String>,
}

impl Painter {
    const fn new(paint: Paint) -> Self {
        Self {
            paint,
            seen: Vec::new(),
        }
    }

    /// Colours the part that says when and whence.
    fn coloured(&mut self, line: &str) -> String {
        let head = line
            .split_once("]: ")
            .filter(|(head, _)| head.contains('['));
        match (self.paint, head) {
            (Paint::Coloured, Some((head, text))) => {
                let whence = head.rsplit_once('[').map_or(head, |(_, whence)| whence);
                let colour = self.colour_of(whence);
                let head = self.paint.in_colour(colour, &format!("{head}]:"));
                format!("{head} {text}")
            }
            _ => line.to_owned(),
        }
    }

    fn colour_of(&mut self, whence: &str) -> Colour {
        match whence {
            "router" => return Colour::Magenta,
            "api" => return Colour::Green,
            _ => {}
        }
        let known = self.seen.iter().position(|seen| seen == whence);
        let place = known.unwrap_or_else(|| {
            // Dynos come and go while a log is followed for days; the oldest is the least missed.
            if self.seen.len() == MOST_SEEN {
                self.seen.drain(..COLOURS.len());
            }
            self.seen.push(whence.to_owned());
            self.seen.len() - 1
        });
        COLOURS[place % COLOURS.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(dyno: &str) -> String {
        format!("2026-11-22T13:24:10.000000+00:00 app[{dyno}]: a [x]: b")
    }

    #[test]
    fn only_the_head_of_a_line_is_coloured() {
        let line = line("web.1");
        let painted = Painter::new(Paint::Coloured).coloured(&line);
        assert!(
            painted.ends_with("app[web.1]:\x1b[0m a [x]: b"),
            "{painted}"
        );
        assert_eq!(Painter::new(Paint::Plain).coloured(&line), line);
        assert_eq!(Painter::new(Paint::Coloured).coloured("no head"), "no head");
    }

    #[test]
    fn each_dyno_has_its_colour_and_keeps_it() {
        let mut painter = Painter::new(Paint::Coloured);
        let mut colour = |dyno: &str| painter.coloured(&line(dyno))[..5].to_owned();
        let first = ["web.1", "web.2", "web.5", "worker.1"].map(&mut colour);
        let distinct: std::collections::BTreeSet<_> = first.iter().collect();
        assert_eq!(distinct.len(), 4, "{first:?}");
        assert_eq!(
            ["web.1", "web.2", "web.5", "worker.1"].map(&mut colour),
            first
        );
        for number in 0..10 * MOST_SEEN {
            colour(&format!("run.{number}"));
        }
        assert!(painter.seen.len() <= MOST_SEEN);
    }
}
