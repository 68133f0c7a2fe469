//! maintenance, maintenance:on, maintenance:off.

use anyhow::Result;
use controller_api::wire::AppUpdate;
use serde_json::json;

use crate::args::{AppJson, AppOnly};
use crate::context::Context;

pub(crate) async fn show(context: &Context, args: &AppJson) -> Result<()> {
    let app = context.app(&args.app)?;
    let maintenance = context.client()?.app(&app).await?.maintenance;
    if args.json.json {
        return Ok(context
            .output
            .json(&json!({ "maintenance": maintenance }))?);
    }
    Ok(context
        .output
        .line(if maintenance { "on" } else { "off" })?)
}

pub(crate) async fn switch(context: &Context, args: &AppOnly, on: bool) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let doing = if on { "Enabling" } else { "Disabling" };
    let action = output.action(format!("{doing} maintenance mode for {}", output.app(&app)));
    let update = AppUpdate {
        maintenance: Some(on),
        ..AppUpdate::default()
    };
    client.update_app(&app, &update).await?;
    action.done();
    Ok(())
}
