//! router:status: the routers, or what they say of one app.

use std::collections::BTreeMap;

use anyhow::Result;
use controller_api::wire::{AppReading, AppTraffic, Asked, Latency, RouterState, RoutersStatus};

use super::apps::bytes;
use crate::args::RouterStatusArgs;
use crate::context::Context;
use crate::output::{Colour, Output, Table};

pub(crate) async fn status(context: &Context, args: &RouterStatusArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    if let Some(app) = &args.app {
        let traffic = client.app_traffic(app).await?;
        return match args.json.json {
            true => Ok(output.json(&traffic)?),
            false => of_app(output, app, &traffic),
        };
    }
    let status = client.routers_status().await?;
    match args.json.json {
        true => Ok(output.json(&status)?),
        false => all(output, &status),
    }
}

fn all(output: &Output, status: &RoutersStatus) -> Result<()> {
    if status.routers.is_empty() {
        output.note("No router is alive: nothing is reached.")?;
        return Ok(());
    }
    let mut table = Table::new();
    table.row(titles(
        output,
        [
            "Router",
            "State",
            "Version",
            "Up",
            "Revision",
            "Connections",
            "Requests/s",
            "p50",
            "p99",
            "In flight",
            "Draining",
            "Memory",
        ],
    ));
    for router in &status.routers {
        table.row(line(output, router));
    }
    output.table(&table)?;
    output.line(format!("The store is at revision {}.", status.revision))?;
    for router in &status.routers {
        let name = name(&router.asked);
        if let Some(error) = &router.asked.error {
            output.line(format!("{name}: {error}"))?;
        }
        for (port, why) in &router.closed_ports {
            output.line(format!("{name}: port {port} is not open: {why}"))?;
        }
    }
    Ok(())
}

fn line(output: &Output, router: &RouterState) -> [String; 12] {
    let reading = router.asked.reading.as_ref();
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let revision = match router.behind {
        0 => router.applied.to_string(),
        behind => format!("{} ({behind} routes behind)", router.applied),
    };
    [
        name(&router.asked),
        state(output, &router.asked),
        or_dash(reading.map(|r| r.version.clone())),
        or_dash(reading.map(|r| span(r.uptime_seconds))),
        revision,
        or_dash(reading.map(|r| r.connections.all().to_string())),
        or_dash(reading.map(|r| r.requests_per_second.to_string())),
        or_dash(reading.and_then(|r| millis(r.latency.p50))),
        or_dash(reading.and_then(|r| millis(r.latency.p99))),
        or_dash(reading.map(|r| r.requests_in_flight.to_string())),
        router.draining_requests.to_string(),
        or_dash(reading.map(|r| bytes(r.memory_bytes))),
    ]
}

fn of_app(output: &Output, app: &str, traffic: &AppTraffic) -> Result<()> {
    output.heading(format!("{} by router", output.app(app)))?;
    let mut table = Table::new();
    table.row(titles(
        output,
        [
            "Router",
            "State",
            "Requests/s",
            "Statuses",
            "Errors",
            "p50",
            "p99",
            "Connect p99",
            "In flight",
            "Upgraded",
        ],
    ));
    for router in &traffic.routers {
        let reading = router.reading.as_ref();
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let latency = |pick: fn(&AppReading) -> &Latency| reading.map(pick).copied();
        table.row([
            name(router),
            state(output, router),
            or_dash(reading.map(|r| r.requests_per_second.to_string())),
            or_dash(reading.map(|r| counts(&r.statuses))),
            or_dash(reading.map(|r| counts(&r.codes))),
            or_dash(latency(|r| &r.latency).and_then(|l| millis(l.p50))),
            or_dash(latency(|r| &r.latency).and_then(|l| millis(l.p99))),
            or_dash(latency(|r| &r.connect).and_then(|l| millis(l.p99))),
            or_dash(reading.map(|r| r.in_flight.to_string())),
            or_dash(reading.map(|r| r.upgraded.to_string())),
        ]);
    }
    output.table(&table)?;
    for router in &traffic.routers {
        if let Some(error) = &router.error {
            output.line(format!("{}: {error}", name(router)))?;
        }
    }
    backends(output, traffic)
}

/// Every dyno as each router sees it: one of them may be cut off from a host.
fn backends(output: &Output, traffic: &AppTraffic) -> Result<()> {
    let mut table = Table::new();
    table.row(titles(
        output,
        ["Dyno", "Router", "State", "In flight", "Address"],
    ));
    let mut seen = Vec::new();
    for router in &traffic.routers {
        for backend in router.reading.iter().flat_map(|reading| &reading.backends) {
            seen.push((backend, name(router)));
        }
    }
    if seen.is_empty() {
        return Ok(());
    }
    seen.sort_by(|(a, on_a), (b, on_b)| (&a.name, on_a).cmp(&(&b.name, on_b)));
    for (backend, router) in seen {
        table.row([
            backend.name.clone(),
            router,
            coloured(output, &backend.state),
            backend.in_flight.to_string(),
            backend.address.to_string(),
        ]);
    }
    output.line("")?;
    output.heading("Dynos")?;
    Ok(output.table(&table)?)
}

fn titles<const N: usize>(output: &Output, titles: [&str; N]) -> [String; N] {
    titles.map(|title| output.paint.in_colour(Colour::Bold, title))
}

fn name<T>(router: &Asked<T>) -> String {
    router.host.clone().unwrap_or_else(|| router.id.to_string())
}

fn state<T>(output: &Output, router: &Asked<T>) -> String {
    coloured(output, &router.state)
}

fn coloured(output: &Output, state: &str) -> String {
    let colour = match state {
        "up" => Colour::Green,
        "draining" => Colour::Yellow,
        _ => Colour::Red,
    };
    output.paint.in_colour(colour, state)
}

/// `2xx 120, 5xx 1`.
fn counts(counts: &BTreeMap<String, u64>) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|(what, count)| format!("{what} {count}"))
        .collect();
    counts.join(", ")
}

fn millis(millis: Option<f64>) -> Option<String> {
    millis.map(|millis| format!("{millis} ms"))
}

/// The largest unit and the next: `3d 4h`.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, _) => format!("{hours}h {}m", minutes % 60),
        (days, ..) => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m 1s"),
            (7_380, "2h 3m"),
            (273_600, "3d 4h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
