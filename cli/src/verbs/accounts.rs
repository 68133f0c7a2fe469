//! accounts:*: lets somebody new onto the platform, and back onto it (administrators).

use anyhow::Result;
use controller_api::wire::{Account, AccountCreate, InvitationCreate};

use super::auth::whole_stdin;
use crate::args::{
    AccountArgs, AccountChangeArgs, AccountCreateArgs, InviteArgs, JsonArgs, UnlinkArgs,
};
use crate::context::Context;
use crate::output::{Action, Table, clock};

pub(crate) async fn create(context: &Context, args: &AccountCreateArgs) -> Result<()> {
    let create = AccountCreate {
        email: args.email.clone(),
        password: args.password_stdin.then(whole_stdin).transpose()?,
        name: args.name.clone(),
        is_admin: args.admin,
    };
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Creating account {}", args.email));
    let created = client.create_account(&create).await?;
    action.done();
    if args.json.json {
        return Ok(output.json(&created)?);
    }
    // A password that was given is known already; one that was made is shown this once.
    if !args.password_stdin {
        output.line(format!("Password: {}", created.password))?;
        output.hint("It is not shown again. Pass it on by a safe way.")?;
    }
    Ok(())
}

pub(crate) async fn invite(context: &Context, args: &InviteArgs) -> Result<()> {
    let create = InvitationCreate {
        email: args.email.clone(),
        is_admin: args.admin,
        expires_in: args.expires_in,
    };
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Inviting {}", args.email));
    let invited = client.invite(&create).await?;
    action.done();
    if args.json.json {
        return Ok(output.json(&invited)?);
    }
    output.line(invited.url.expose())?;
    output.hint(format!(
        "It is not shown again. Pass it on by a safe way: there, or with this, a password is chosen until {}.\n  \
         paas login --api {} --invitation {}",
        clock(invited.invitation.expires_at.0),
        client.base_url().as_str().trim_end_matches('/'),
        invited.token.expose()
    ))?;
    Ok(())
}

pub(crate) async fn invitations(context: &Context, args: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let invitations = client.invitations().await?;
    if args.json {
        return Ok(output.json(&invitations)?);
    }
    let mut table = Table::new();
    for invitation in invitations {
        table.row([
            invitation.email.to_string(),
            if invitation.is_admin {
                "administrator".to_owned()
            } else {
                String::new()
            },
            format!("until {}", clock(invitation.expires_at.0)),
        ]);
    }
    Ok(output.table(&table)?)
}

pub(crate) async fn uninvite(context: &Context, args: &AccountArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Taking the invitation of {} back", args.email));
    client.take_back_invitation(&args.email).await?;
    action.done();
    Ok(())
}

pub(crate) async fn reset_second_factor(context: &Context, args: &AccountArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Taking the second factor off {}", args.email));
    client.reset_second_factor(&args.email).await?;
    action.done();
    Ok(())
}

pub(crate) async fn unlink(context: &Context, args: &UnlinkArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let unlinked = match (&args.email, &args.issuer) {
        (Some(email), _) => {
            let action = output.action(format!("Unlinking {email}"));
            let account = client.unlink_account(email).await?;
            action.done();
            vec![account]
        }
        (None, issuer) => {
            let issuer = issuer.as_deref().unwrap_or_default();
            let action = output.action(format!("Unlinking the accounts of {issuer}"));
            let unlinked = client.unlink_issuer(issuer).await?;
            action.done();
            unlinked
        }
    };
    if args.json.json {
        return Ok(output.json(&unlinked)?);
    }
    for account in unlinked {
        output.line(account.email)?;
    }
    Ok(())
}

pub(crate) async fn suspend(context: &Context, args: &AccountChangeArgs) -> Result<()> {
    let client = context.client()?;
    let action = context.output.action(format!("Suspending {}", args.email));
    let account = client.suspend_account(&args.email).await?;
    done(context, action, args, &account)
}

pub(crate) async fn resume(context: &Context, args: &AccountChangeArgs) -> Result<()> {
    let client = context.client()?;
    let action = context.output.action(format!("Resuming {}", args.email));
    let account = client.resume_account(&args.email).await?;
    done(context, action, args, &account)
}

fn done(
    context: &Context,
    action: Action,
    args: &AccountChangeArgs,
    account: &Account,
) -> Result<()> {
    action.done();
    if args.json.json {
        return Ok(context.output.json(account)?);
    }
    Ok(())
}
