//! nodes:rebalance: evening out how full the hosts are.

use std::time::Duration;

use anyhow::Result;
use controller_api::wire::{Rebalance, RebalanceStatus};
use tokio::time::Instant;

use crate::args::NodeRebalanceArgs;
use crate::context::Context;
use crate::output::Output;

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The scheduler takes a few seconds for each move.
const QUIET_FOR: Duration = Duration::from_secs(60);

pub(crate) async fn rebalance(context: &Context, args: &NodeRebalanceArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let mut seen = match args.stop {
        true => client.stop_rebalance().await?,
        false => client.request_rebalance().await?,
    };
    let request = seen.requested_at;
    let mut told = 0;
    let mut quiet_since = Instant::now();
    while seen.status == RebalanceStatus::Balancing && !args.no_wait {
        if tell_moves(output, &seen, &mut told)? {
            quiet_since = Instant::now();
        }
        if quiet_since.elapsed() >= QUIET_FOR {
            output.hint("Nothing has begun to move for a minute. See `paas platform:status`; `paas nodes:rebalance --stop` calls it off.")?;
            quiet_since = Instant::now();
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let newest = client.rebalance().await?;
        if newest.requested_at != request {
            output.note("Somebody has asked for another rebalance meanwhile.")?;
            return Ok(());
        }
        seen = newest;
    }
    tell_moves(output, &seen, &mut told)?;
    output.note(outcome(&seen))?;
    if args.json.json {
        output.json(&seen)?;
    }
    Ok(())
}

/// A line for each move that has not been told; whether there was any.
fn tell_moves(output: &Output, seen: &Rebalance, told: &mut u32) -> Result<bool> {
    let new = seen.moved.saturating_sub(*told) as usize;
    let known = seen.moves.len().saturating_sub(new);
    for moved in &seen.moves[known..] {
        output.note(format!(
            "Moving {} of {} from {} to {}",
            moved.dyno,
            output.app(&moved.app),
            moved.from,
            moved.to
        ))?;
    }
    *told = seen.moved;
    Ok(new > 0)
}

fn outcome(seen: &Rebalance) -> String {
    let dynos = match seen.moved {
        1 => "1 dyno".to_owned(),
        many => format!("{many} dynos"),
    };
    match (seen.status, seen.moved) {
        (RebalanceStatus::Balanced, 0) => {
            "There is nothing to move: the hosts are as balanced as they can be.".to_owned()
        }
        (RebalanceStatus::Balanced, _) => format!("Balanced: {dynos} moved."),
        (RebalanceStatus::Balancing, _) => {
            "The hosts are being balanced. Follow it with `paas nodes:rebalance`.".to_owned()
        }
        (RebalanceStatus::Stopped, _) => format!("Stopped: {dynos} moved."),
    }
}
