//! Dynos that wait for a place that there is not: the platform says why in the app's log, and nowhere else.

use std::collections::HashMap;
use std::time::Duration;

use controller_api::wire::{Dyno, LogSessionCreate};
use controller_api::{Client, ClientError, DynoId};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::failure::Failure;

/// A dyno that boots is looked into no sooner: most are up by then, and the platform takes as long to say.
const PATIENCE: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_secs(1);
/// How many are looked into at a time: one reason is enough.
const MOST: usize = 3;
/// What it says of a dyno that waits, and of one that does not any more.
const NOWHERE: [&str; 2] = ["Cannot be placed: ", "Could not be placed: "];
/// Of one dyno's log.
const LINES: u16 = 20;

/// Since when each dyno has been seen to start.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    since: HashMap<DynoId, Instant>,
    looked_at: Option<Instant>,
}

impl Waiting {
    /// Why one of the dynos cannot be placed, once the platform has said so.
    pub(super) async fn unplaceable(
        &mut self,
        client: &Client,
        app: &str,
        dynos: &[Dyno],
    ) -> Option<Failure> {
        let now = Instant::now();
        let starting = || dynos.iter().filter(|dyno| dyno.state == "starting");
        self.since
            .retain(|id, _| starting().any(|dyno| dyno.id == *id));
        for dyno in starting() {
            self.since.entry(dyno.id).or_insert(now);
        }
        let overdue: Vec<&Dyno> = starting()
            .filter(|dyno| now.duration_since(self.since[&dyno.id]) >= PATIENCE)
            .take(MOST)
            .collect();
        if overdue.is_empty()
            || self
                .looked_at
                .is_some_and(|at| now.duration_since(at) < AGAIN)
        {
            return None;
        }
        self.looked_at = Some(now);
        for dyno in overdue {
            // Who cannot read the log now may still wait for the dyno.
            let Ok(lines) = platform_log(client, app, dyno).await else {
                continue;
            };
            if let Some(reason) = reason(&lines, dyno.created_at.0) {
                let name = &dyno.name;
                return Some(Failure::new(format!("{name} cannot be placed: {reason}")));
            }
        }
        None
    }
}

/// Why a dyno that is no more never had a place, if that was it.
pub(crate) async fn never_placed(client: &Client, app: &str, dyno: &Dyno) -> Option<Failure> {
    let lines = platform_log(client, app, dyno).await.ok()?;
    let reason = reason(&lines, dyno.created_at.0)?;
    Some(Failure::new(format!(
        "{} could not be placed: {reason}",
        dyno.name
    )))
}

/// What the platform said of the dyno, oldest first.
async fn platform_log(client: &Client, app: &str, dyno: &Dyno) -> Result<Vec<String>, ClientError> {
    let wanted = LogSessionCreate {
        dyno: Some(dyno.name.clone()),
        source: Some("heroku".to_owned()),
        lines: Some(LINES),
        tail: Some(false),
    };
    let mut stream = client.logs(app, &wanted).await?;
    let mut lines = Vec::new();
    while let Some(line) = stream.next().await? {
        lines.push(line);
    }
    Ok(lines)
}

/// The newest word about the dyno's place, if it is that there is none. Names are used again: what was said before the
/// dyno was made is of another.
fn reason(lines: &[String], created_at: Timestamp) -> Option<&str> {
    let word = lines.iter().rev().find_map(|line| {
        let (head, text) = line.split_once("]: ")?;
        let at: Timestamp = head.split(' ').next()?.parse().ok()?;
        let is_of_place = NOWHERE
            .iter()
            .chain(&["Placed: "])
            .any(|start| text.starts_with(start));
        (is_of_place && at >= created_at).then_some(text)
    })?;
    NOWHERE.iter().find_map(|start| word.strip_prefix(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_word_of_this_dynos_place_counts() {
        let line = |second: u8, text: &str| {
            format!("2026-11-22T10:00:{second:02}.000000+00:00 heroku[web.1]: {text}")
        };
        let made = "2026-11-22T10:00:10Z".parse().unwrap();
        let said = |lines: &[String]| reason(lines, made).map(str::to_owned);
        let no_room = line(13, "Cannot be placed: no room");
        assert_eq!(
            said(std::slice::from_ref(&no_room)).as_deref(),
            Some("no room")
        );
        let other = line(14, "State changed from up to down");
        assert_eq!(said(&[no_room.clone(), other]).as_deref(), Some("no room"));
        let placed = line(15, "Placed: there is room for it now");
        assert_eq!(said(&[no_room, placed]), None);
        assert_eq!(said(&[line(9, "Cannot be placed: no room")]), None);
        assert_eq!(said(&["nonsense".to_owned()]), None);
    }
}
