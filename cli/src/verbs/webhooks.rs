//! webhooks and what is below it: who is told of what happens to an app, and what became of the telling.

use anyhow::Result;
use controller_api::wire::{Webhook, WebhookCreate, WebhookDelivery, WebhookUpdate};

use crate::args::{
    AppJson, WebhookAddArgs, WebhookArgs, WebhookDeliveriesArgs, WebhookDeliveryArgs,
    WebhookEventArgs, WebhookUpdateArgs,
};
use crate::context::Context;
use crate::output::{Colour, Table, clock};

pub(crate) async fn list(context: &Context, args: &AppJson) -> Result<()> {
    let app = context.app(&args.app)?;
    let output = &context.output;
    let mut webhooks = context.client()?.webhooks(&app).await?;
    webhooks.sort_by_key(|webhook| webhook.created_at);
    if args.json.json {
        return Ok(output.json(&webhooks)?);
    }
    if webhooks.is_empty() {
        output.note(format!(
            "{} has no webhooks. Add one with: paas webhooks:add",
            output.app(&app)
        ))?;
        return Ok(());
    }
    let mut table = titled(context, ["Webhook ID", "URL", "Include", "Level"]);
    for webhook in webhooks {
        let include = webhook.include.join(",");
        table.row([webhook.id.to_string(), webhook.url, include, webhook.level]);
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn add(context: &Context, args: &WebhookAddArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let create = WebhookCreate {
        authorization: args.authorization.as_deref().map(Into::into),
        include: args.include.clone(),
        level: args.level.to_wire(),
        secret: args.secret.as_deref().map(Into::into),
        url: args.url.clone(),
    };
    let action = output.action(format!("Adding a webhook to {}", output.app(&app)));
    let (webhook, secret) = client.add_webhook(&app, &create).await?;
    action.done_with(webhook.id);
    if args.json.json {
        output.json(&webhook)?;
    }
    // Who has chosen it knows it.
    let Some(secret) = secret.filter(|_| args.secret.is_none()) else {
        return Ok(());
    };
    if args.json.json {
        // What reads the answer gets the webhook; the secret is for people.
        output.note(format!("Signing secret: {}", secret.expose()))?;
        return Ok(());
    }
    output.heading("Webhook Signing Secret")?;
    output.line(secret.expose())?;
    output.hint("It is not shown again.")?;
    Ok(())
}

pub(crate) async fn info(context: &Context, args: &WebhookArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let webhook = context.client()?.webhook(&app, &args.id).await?;
    if args.json.json {
        return Ok(context.output.json(&webhook)?);
    }
    show(context, &webhook)
}

pub(crate) async fn update(context: &Context, args: &WebhookUpdateArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let update = WebhookUpdate {
        authorization: args.authorization.as_deref().map(Into::into),
        include: args.include.clone(),
        level: args.level.map(|level| level.to_wire()),
        secret: args.secret.as_deref().map(Into::into),
        url: args.url.clone(),
    };
    let action = output.action(format!(
        "Updating webhook {} of {}",
        args.id,
        output.app(&app)
    ));
    let webhook = client.update_webhook(&app, &args.id, &update).await?;
    action.done();
    if args.json.json {
        output.json(&webhook)?;
    }
    Ok(())
}

pub(crate) async fn remove(context: &Context, args: &WebhookArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Removing webhook {} from {}",
        args.id,
        output.app(&app)
    ));
    let webhook = client.remove_webhook(&app, &args.id).await?;
    action.done();
    if args.json.json {
        output.json(&webhook)?;
    }
    Ok(())
}

pub(crate) async fn deliveries(context: &Context, args: &WebhookDeliveriesArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let output = &context.output;
    let mut deliveries = context.client()?.webhook_deliveries(&app).await?;
    if let Some(status) = &args.status {
        deliveries.retain(|delivery| delivery.status == *status);
    }
    if args.json.json {
        return Ok(output.json(&deliveries)?);
    }
    if deliveries.is_empty() {
        output.note(format!("{} has no such deliveries.", output.app(&app)))?;
        return Ok(());
    }
    let titles = [
        "Delivery ID",
        "Created",
        "Status",
        "Include",
        "Level",
        "Attempts",
        "Code",
        "Error",
        "Next Attempt",
    ];
    let mut table = titled(context, titles);
    for delivery in deliveries {
        let (code, error) = outcome(&delivery);
        table.row([
            delivery.id.to_string(),
            clock(delivery.created_at.0),
            output.paint.state(&delivery.status),
            delivery.event.include.clone(),
            delivery.webhook.level.clone(),
            delivery.num_attempts.to_string(),
            code,
            error,
            next(&delivery),
        ]);
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn delivery(context: &Context, args: &WebhookDeliveryArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let delivery = client.webhook_delivery(&app, &args.id).await?;
    if args.json.json {
        return Ok(output.json(&delivery)?);
    }
    let event = client
        .webhook_event(&app, &delivery.event.id.to_string())
        .await?;
    let (code, error) = outcome(&delivery);
    output.heading(delivery.id)?;
    details(
        context,
        [
            ("Created", clock(delivery.created_at.0)),
            ("Event", delivery.event.id.to_string()),
            ("Webhook", delivery.webhook.id.to_string()),
            ("Status", output.paint.state(&delivery.status)),
            ("Include", delivery.event.include.clone()),
            ("Level", delivery.webhook.level.clone()),
            ("Attempts", delivery.num_attempts.to_string()),
            ("Code", code),
            ("Error", error),
            ("Next Attempt", next(&delivery)),
        ],
    )?;
    output.line("")?;
    output.heading("Event Payload")?;
    Ok(output.json(&event.payload)?)
}

pub(crate) async fn events(context: &Context, args: &AppJson) -> Result<()> {
    let app = context.app(&args.app)?;
    let output = &context.output;
    let events = context.client()?.webhook_events(&app).await?;
    if args.json.json {
        return Ok(output.json(&events)?);
    }
    if events.is_empty() {
        output.note(format!("{} has no webhook events.", output.app(&app)))?;
        return Ok(());
    }
    let mut table = titled(context, ["Event ID", "Resource", "Action", "Created", "By"]);
    for event in events {
        table.row([
            event.id.to_string(),
            event.payload.resource,
            event.payload.action,
            clock(event.created_at.0),
            event.payload.actor.email.to_string(),
        ]);
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn event(context: &Context, args: &WebhookEventArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let output = &context.output;
    let event = context.client()?.webhook_event(&app, &args.id).await?;
    if args.json.json {
        return Ok(output.json(&event)?);
    }
    output.heading(event.id)?;
    Ok(output.json(&event.payload)?)
}

fn show(context: &Context, webhook: &Webhook) -> Result<()> {
    context.output.heading(webhook.id)?;
    details(
        context,
        [
            ("Webhook ID", webhook.id.to_string()),
            ("URL", webhook.url.clone()),
            ("Include", webhook.include.join(",")),
            ("Level", webhook.level.clone()),
        ],
    )
}

fn titled<const N: usize>(context: &Context, titles: [&str; N]) -> Table {
    let mut table = Table::new();
    table.row(titles.map(|title| context.output.paint.in_colour(Colour::Bold, title)));
    table
}

/// What there is nothing to say of is left out.
fn details<const N: usize>(context: &Context, rows: [(&str, String); N]) -> Result<()> {
    let mut table = Table::new();
    for (title, text) in rows.into_iter().filter(|(_, text)| !text.is_empty()) {
        table.row([format!("{title}:"), text]);
    }
    Ok(context.output.table(&table)?)
}

/// The status of the last answer, or why there was none.
fn outcome(delivery: &WebhookDelivery) -> (String, String) {
    let last = delivery.last_attempt.as_ref();
    let code = last.and_then(|attempt| attempt.code);
    let error = last.and_then(|attempt| attempt.error_class.clone());
    let code = code.map_or_else(String::new, |code| code.to_string());
    (code, error.unwrap_or_default())
}

fn next(delivery: &WebhookDelivery) -> String {
    delivery
        .next_attempt_at
        .map_or_else(String::new, |at| clock(at.0))
}
