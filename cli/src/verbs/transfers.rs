//! apps:transfer, apps:transfers and their decisions: apps that change hands.

use anyhow::Result;
use controller_api::wire::app::Identity;
use controller_api::wire::{AppTransferCreate, AppTransferUpdate, TeamAppUpdate, TransferState};

use super::confirm::Confirm;
use super::{team_apps, teams};
use crate::args::{JsonArgs, TransferArgs, TransferDecisionArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Table;

pub(crate) async fn transfer(context: &Context, args: &TransferArgs) -> Result<()> {
    let to_team = teams::is_team(&args.recipient);
    if args.locked && !to_team {
        return Err(Failure::usage("Only a team's app can be locked").into());
    }
    let output = &context.output;
    let app = context.app(&args.app)?;
    let app = context.client()?.app(&app).await?;
    let name = app.name.as_str();
    match &app.team {
        None if !to_team => return offer(context, name, &args.recipient).await,
        Some(team) if !to_team => Confirm {
            name,
            given: args.confirm.as_deref(),
            warning: format!(
                "{} will own {}. All its collaborators are removed from it, and it is not the team {}'s any more.",
                args.recipient,
                output.app(name),
                team.name
            ),
            done: "transferred",
        }
        .ask(output)?,
        _ => {}
    }
    give(context, name, &args.recipient).await?;
    if args.locked {
        team_apps::lock_named(context, name).await?;
    }
    Ok(())
}

/// At once: a team is not asked, and of a team's app there is nobody else to ask.
async fn give(context: &Context, app: &str, to: &str) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Transferring {} to {to}", output.app(app)));
    let update = TeamAppUpdate {
        owner: Some(Identity(to.to_owned())),
        locked: None,
    };
    client.update_team_app(app, &update).await?;
    action.done();
    Ok(())
}

async fn offer(context: &Context, app: &str, to: &str) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Transferring {} to {to}", output.app(app)));
    let create = AppTransferCreate {
        app: Identity(app.to_owned()),
        recipient: Identity(to.to_owned()),
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
