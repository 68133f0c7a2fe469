//! addons:attach, addons:detach: which apps get an add-on's config vars.

use anyhow::Result;
use controller_api::wire::AddonAttachmentCreate;
use controller_api::wire::app::Identity;

use super::super::confirm;
use super::{resolve, words};
use crate::args::{AddonAttachArgs, AddonDetachArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::follow;

pub(crate) async fn attach(context: &Context, args: &AddonAttachArgs) -> Result<()> {
    if args
        .credential
        .as_deref()
        .is_some_and(|name| name != "default")
    {
        return Err(
            Failure::usage("Add-ons have no credentials here but the default one")
                .advise("Attach it without --credential.")
                .into(),
        );
    }
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    // Of whichever app: it is what this one has not got yet.
    let addon = resolve::one(&client, None, &args.addon).await?;
    let name = words::named(output.err_paint, addon.name.as_str());
    let alias = args.attachment.as_deref();
    let alias = alias.map(|alias| format!(" as {}", words::attached(output.err_paint, alias)));
    let alias = alias.unwrap_or_default();
    let send = async |confirm: Option<&str>| {
        let action = output.action(format!("Attaching {name}{alias} to {}", output.app(&app)));
        let create = AddonAttachmentCreate {
            addon: Identity(addon.id.to_string()),
            app: Identity(app.clone()),
            confirm: confirm.map(str::to_owned),
            name: args.attachment.clone(),
            namespace: None,
        };
        let attachment = client.attach(&create).await?;
        action.done();
        Ok(attachment)
    };
    let given = args.confirm.as_deref();
    let attachment = confirm::when_required(output, &app, given, "attached", send).await?;
    released(context, "Setting", attachment.name.as_str(), &app).await
}

pub(crate) async fn detach(context: &Context, args: &AddonDetachArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let attachment = client.attachment(&app, &args.attachment).await?;
    let name = attachment.name.as_str();
    let action = output.action(format!(
        "Detaching {} to {} from {}",
        words::attached(output.err_paint, name),
        words::named(output.err_paint, attachment.addon.name.as_str()),
        output.app(&app)
    ));
    client.detach(&attachment.id.to_string()).await?;
    action.done();
    released(context, "Unsetting", name, &app).await
}

/// Says which release came of it: the newest.
async fn released(context: &Context, doing: &str, attachment: &str, app: &str) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "{doing} {} config vars and restarting {}",
        words::attached(output.err_paint, attachment),
        output.app(app)
    ));
    match follow::newest_release(&client, app).await? {
        Some(release) => action.done_with(format!("v{}", release.version)),
        None => action.done(),
    }
    Ok(())
}
