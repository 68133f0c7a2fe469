//! platform:status: whether all is well, and what is not.

use anyhow::Result;
use controller_api::wire::{EtcdMember, PlatformStatus, ServiceStatus, StoreKind};

use super::apps::bytes;
use crate::args::JsonArgs;
use crate::context::Context;
use crate::output::{Colour, Table};

pub(crate) async fn status(context: &Context, args: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let status = client.platform_status().await?;
    if args.json {
        return Ok(output.json(&status)?);
    }
    summary(context, &status)?;
    heading(context, "Store")?;
    output.line(match &status.store.kind {
        StoreKind::Embedded { file_bytes } => format!(
            "embedded, {} keys at revision {}, a file of {}",
            status.store.keys,
            status.store.revision,
            bytes(*file_bytes)
        ),
        StoreKind::Etcd { members } => format!(
            "etcd of {}, {} keys at revision {}",
            count(members.len(), "member"),
            status.store.keys,
            status.store.revision
        ),
    })?;
    if let StoreKind::Etcd { members } = &status.store.kind {
        output.table(&etcd(context, members))?;
    }
    heading(context, "Hosts")?;
    let mut hosts = Table::new();
    for host in &status.hosts {
        let state = host.state.as_deref().map(|state| output.paint.state(state));
        hosts.row([
            host.name.clone(),
            state.unwrap_or_else(|| "no dynos".to_owned()),
            host.address.to_string(),
        ]);
    }
    output.table(&hosts)?;
    heading(context, "Routers")?;
    let mut routers = Table::new();
    for router in &status.routers {
        let behind = match router.behind {
            0 => "up to date".to_owned(),
            behind => format!("{behind} routes behind"),
        };
        routers.row([
            router.host.clone().unwrap_or_else(|| router.id.to_string()),
            behind,
            format!("revision {}", router.applied),
        ]);
    }
    output.table(&routers)?;
    heading(context, "Services")?;
    let mut services = Table::new();
    let leader = status.scheduler_leader.as_deref();
    services.row([
        "scheduler".to_owned(),
        leader.unwrap_or("nobody leads").to_owned(),
    ]);
    services.row(["controllers".to_owned(), addresses(&status.controllers)]);
    services.row(["builders".to_owned(), addresses(&status.builders)]);
    Ok(output.table(&services)?)
}

fn summary(context: &Context, status: &PlatformStatus) -> Result<()> {
    let paint = &context.output.paint;
    let line = match status.problems.as_slice() {
        [] => paint.in_colour(Colour::Green, "ok"),
        problems => paint.in_colour(Colour::Red, &count(problems.len(), "problem")),
    };
    context.output.line(line)?;
    for problem in &status.problems {
        context.output.line(format!("  {problem}"))?;
    }
    Ok(())
}

fn heading(context: &Context, text: &str) -> Result<()> {
    context.output.line("")?;
    let text = context.output.paint.in_colour(Colour::Bold, text);
    Ok(context.output.heading(text)?)
}

fn etcd(context: &Context, members: &[EtcdMember]) -> Table {
    let mut table = Table::new();
    let titles = [
        "Member", "State", "Address", "Version", "In use", "File", "Behind", "Alarms",
    ];
    table.row(titles.map(|title| context.output.paint.in_colour(Colour::Bold, title)));
    let size = |size: Option<u64>| size.map_or_else(|| "-".to_owned(), bytes);
    for member in members {
        let name = if member.name.is_empty() {
            &member.id
        } else {
            &member.name
        };
        table.row([
            name.clone(),
            standing(member).to_owned(),
            member.urls.join(","),
            member.version.clone().unwrap_or_else(|| "-".to_owned()),
            size(member.used_bytes),
            size(member.file_bytes),
            member
                .lag
                .map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
            member.alarms.join(", "),
        ]);
    }
    table
}

const fn standing(member: &EtcdMember) -> &'static str {
    match (member.error.is_some(), member.leader, member.learner) {
        (true, ..) => "no answer",
        (_, true, _) => "leader",
        (_, _, true) => "learner",
        _ => "follower",
    }
}

fn addresses(services: &[ServiceStatus]) -> String {
    if services.is_empty() {
        return "none".to_owned();
    }
    let addresses: Vec<_> = services
        .iter()
        .map(|seen| seen.address.to_string())
        .collect();
    addresses.join(", ")
}

fn count(number: usize, what: &str) -> String {
    if number == 1 {
        format!("1 {what}")
    } else {
        format!("{number} {what}s")
    }
}
