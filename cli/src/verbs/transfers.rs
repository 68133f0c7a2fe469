//! apps:transfer, apps:transfers and their decisions: apps that change hands.

use anyhow::Result;
use controller_api::wire::app::Identity;
use controller_api::wire::{AppTransferCreate, AppTransferUpdate, TransferState};

use crate::args::{JsonArgs, TransferArgs, TransferDecisionArgs};
use crate::context::Context;
use crate::output::Table;

pub(crate) async fn offer(context: &Context, args: &TransferArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Transferring {} to {}",
        output.app(&app),
        args.recipient
    ));
    let create = AppTransferCreate {
        app: Identity(app.clone()),
        recipient: Identity(args.recipient.clone()),
    };
    let transfer = client.transfer_app(&create).await?;
    match transfer.state {
        TransferState::Pending => {
            action.end("offered");
            output.hint(format!(
                "It is yours until they accept it, by: paas apps:transfers:accept {app}"
            ))?;
        }
        TransferState::Accepted | TransferState::Declined => action.done(),
    }
    Ok(())
}

pub(crate) async fn list(context: &Context, args: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let mut transfers = client.app_transfers().await?;
    if args.json {
        return Ok(output.json(&transfers)?);
    }
    transfers.retain(|transfer| transfer.state == TransferState::Pending);
    if transfers.is_empty() {
        output.note("No app is being offered by you or to you.")?;
        return Ok(());
    }
    let mut table = Table::new();
    for transfer in transfers {
        table.row([
            output.app(transfer.app.name.as_str()),
            format!("from {}", transfer.owner.email),
            format!("to {}", transfer.recipient.email),
        ]);
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn decide(
    context: &Context,
    args: &TransferDecisionArgs,
    (doing, state): (&str, &str),
) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("{doing} {}", output.app(&args.app)));
    let update = AppTransferUpdate {
        state: state.to_owned(),
    };
    client.decide_transfer(&args.app, &update).await?;
    action.done();
    Ok(())
}

pub(crate) async fn take_back(context: &Context, args: &TransferDecisionArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!(
        "Taking back the offer of {}",
        output.app(&args.app)
    ));
    client.take_transfer_back(&args.app).await?;
    action.done();
    Ok(())
}
