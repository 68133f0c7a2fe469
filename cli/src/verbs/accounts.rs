//! accounts:*: lets somebody new onto the platform, and back onto it (administrators).

use anyhow::Result;
use controller_api::wire::AccountCreate;

use super::auth::whole_stdin;
use crate::args::{AccountArgs, AccountCreateArgs};
use crate::context::Context;

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

pub(crate) async fn reset_second_factor(context: &Context, args: &AccountArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Taking the second factor off {}", args.email));
    client.reset_second_factor(&args.email).await?;
    action.done();
    Ok(())
}
