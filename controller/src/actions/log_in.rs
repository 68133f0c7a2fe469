//! Proving who one is: an e-mail address, a password and, where the account has a second factor, a code.

use std::net::IpAddr;

use model::{Account, Email, Secret, Timestamp};
use tokio::time::Instant;

use super::{ActionError, accounts, second_factor};
use crate::audit;
use crate::context::Context;
use crate::find;
use crate::limits::Guess;

pub(crate) struct Attempt<'a> {
    pub(crate) address: Option<IpAddr>,
    pub(crate) email: &'a str,
    pub(crate) password: Secret<String>,
    pub(crate) code: Option<&'a str>,
}

pub(crate) async fn log_in(
    context: &Context,
    attempt: Attempt<'_>,
) -> Result<Account, ActionError> {
    let email: Email = attempt
        .email
        .parse()
        .map_err(|_| ActionError::WrongCredentials)?;
    let guess = Guess {
        address: attempt.address,
        email: &email,
    };
    context
        .guesses
        .begin(guess, Instant::now())
        .map_err(|wait| ActionError::TooManyGuesses { wait })?;
    let account = find::account(context.store(), email.as_str())
        .await?
        .map(|account| account.value);
    let right = context
        .passwords
        .verify(account.as_ref(), attempt.password)
        .await
        .map_err(ActionError::internal)?;
    if let Some(account) = account.as_ref().filter(|_| !right) {
        put_on_record(context, account, attempt.address);
    }
    let account = account
        .filter(|_| right)
        .ok_or(ActionError::WrongCredentials)?;
    accounts::refuse_suspended(&account)?;
    // Both may change between this look at them and the commit.
    let see = |newest: &mut Account| {
        if newest.password_hash != account.password_hash {
            return Err(ActionError::WrongCredentials);
        }
        accounts::refuse_suspended(newest)?;
        newest.last_login = Some(Timestamp::now());
        Ok(())
    };
    let see_without_code = |newest: &mut Account| {
        if newest.has_second_factor() {
            return Err(code_is_needed());
        }
        see(newest)
    };
    let logged_in = match attempt.code {
        _ if !account.has_second_factor() => {
            accounts::edit(context.store(), account.id, see_without_code).await?
        }
        Some(code) => {
            let taken = second_factor::take(context, &account, code, see).await;
            taken.inspect_err(|_| put_on_record(context, &account, attempt.address))?
        }
        None => {
            // No guess: clients ask for the code once they are told of it.
            context.guesses.was_right(guess);
            return Err(code_is_needed());
        }
    };
    context.guesses.was_right(guess);
    Ok(logged_in)
}

/// That somebody tried in vain. Nobody waits for it: how long an answer takes is not to tell which accounts there are.
/// No more of them than guesses are let pass.
fn put_on_record(context: &Context, account: &Account, from: Option<IpAddr>) {
    let deed = audit::without_token(account, from, "log in, in vain");
    let audit = context.audit.clone();
    tokio::spawn(async move { audit.of(deed, async {}, |()| 401).await });
}

fn code_is_needed() -> ActionError {
    ActionError::SecondFactor {
        message: "A two-factor code is needed besides the password.".to_owned(),
    }
}
