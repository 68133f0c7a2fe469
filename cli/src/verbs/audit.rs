//! audit, audit:verify: who did what, and whether anybody has tampered with the record of it.

use anyhow::Result;
use controller_api::wire::AuditEntry;

use crate::args::{AuditArgs, JsonArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Colour, Table, clock};

pub(crate) async fn list(context: &Context, args: &AuditArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let app = match args.all {
        true => None,
        false => Some(context.app(&args.app)?),
    };
    let mut entries = client.audit_entries(app.as_deref(), args.num).await?;
    entries.reverse();
    if args.json.json {
        return Ok(output.json(&entries)?);
    }
    let mut table = Table::new();
    for entry in &entries {
        let status = match entry.status {
            Some(status @ ..400) => output.paint.in_colour(Colour::Green, &status.to_string()),
            Some(status) => output.paint.in_colour(Colour::Red, &status.to_string()),
            None => "?".to_owned(),
        };
        table.row([
            clock(entry.created_at.0),
            entry.actor.email.to_string(),
            entry.from.map(|from| from.to_string()).unwrap_or_default(),
            status,
            deed(entry),
        ]);
    }
    Ok(output.table(&table)?)
}

/// `PATCH /apps/myapp/config-vars (FOO, BAR)`
fn deed(entry: &AuditEntry) -> String {
    let mut deed = entry.action.clone();
    for (name, value) in &entry.parameters {
        deed = deed.replace(&format!("{{{name}}}"), value);
    }
    match &entry.details {
        Some(details) => format!("{deed} ({details})"),
        None => deed,
    }
}

pub(crate) async fn verify(context: &Context, args: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let chain = client.audit_chain().await?;
    if args.json {
        output.json(&chain)?;
    }
    if let Some(fault) = chain.fault {
        return Err(Failure::new(format!("The audit log is not whole: {fault}")).into());
    }
    if args.json {
        return Ok(());
    }
    match (chain.first, chain.head) {
        (Some(first), Some(head)) => {
            output.line(format!(
                "The audit log is whole: blocks {first} to {}.",
                head.number
            ))?;
            output.line(format!("Its newest block is {}", head.hash))?;
            output.hint(
                "Keep that elsewhere: as long as it is found again, nothing before it was changed.",
            )?;
        }
        _ => output.note("The audit log is empty.")?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deed_is_told_with_what_it_was_done_to() {
        let entry = json!({
            "action": "PATCH /apps/{app}/config-vars", "actor": {"id": "01a22a60-8704-718a-8bde-e55fd22434b0", "email": "a@b.c"},
            "app": null, "block": 7, "created_at": "2026-11-22T13:24:10Z", "details": "FOO, BAR", "from": "192.0.2.1",
            "id": "01a22a60-8704-718a-8bde-e55fd22434b0", "parameters": {"app": "ticks"}, "status": 200, "token": null,
        });
        let entry = serde_json::from_value(entry).unwrap();
        assert_eq!(deed(&entry), "PATCH /apps/ticks/config-vars (FOO, BAR)");
    }
}
