//! Getting a second factor, proving that one has it, and being rid of it.

use model::{Account, AccountId, SecondFactor, Secret, Timestamp};
use store::{Committed, Store, Txn, key};

use super::{ActionError, Attempts, accounts};
use crate::context::Context;
use crate::second_factor::{self, Enrolment, Verdict};

/// A secret for a device; it counts once a code of it has come back. Another one before that takes its place.
pub(crate) async fn enrol(
    context: &Context,
    account: &Account,
    password: Secret<String>,
) -> Result<Enrolment, ActionError> {
    refuse_another(account)?;
    accounts::check_password(context, account, password).await?;
    let secret = second_factor::new_secret();
    let sealed = context.keyring.seal(&key::account(account.id), &secret)?;
    let enrolment =
        second_factor::enrolment(&secret, &context.config.domain, account.email.as_str())
            .map_err(ActionError::internal)?;
    accounts::edit(context.store(), account.id, |account| {
        refuse_another(account)?;
        account.second_factor = Some(SecondFactor {
            secret: sealed.clone(),
            confirmed_at: None,
            last_step: None,
            recovery_codes: Vec::new(),
            wrong_codes: 0,
            blocked_until: None,
        });
        Ok(())
    })
    .await?;
    Ok(enrolment)
}

fn refuse_another(account: &Account) -> Result<(), ActionError> {
    if account.has_second_factor() {
        return Err(ActionError::invalid(
            "The account has a second factor already. Disable that one first.",
        ));
    }
    Ok(())
}

/// From now on logging in takes a code. The recovery codes are nowhere but in the answer.
pub(crate) async fn confirm(
    context: &Context,
    account: &Account,
    code: &str,
) -> Result<Vec<Secret<String>>, ActionError> {
    refuse_another(account)?;
    if account.second_factor.is_none() {
        return Err(ActionError::invalid("No second factor was begun."));
    }
    let (codes, hashes) = second_factor::new_recovery_codes();
    take(context, account, code, |account| {
        refuse_another(account)?;
        if let Some(factor) = &mut account.second_factor {
            factor.confirmed_at = Some(Timestamp::now());
            factor.recovery_codes.clone_from(&hashes);
        }
        account.credentials_changed();
        Ok(())
    })
    .await?;
    Ok(codes)
}

/// The ones before are good for nothing then.
pub(crate) async fn renew_recovery_codes(
    context: &Context,
    account: &Account,
    proof: Proof,
) -> Result<Vec<Secret<String>>, ActionError> {
    let (codes, hashes) = second_factor::new_recovery_codes();
    prove(context, account, proof, |account| {
        if let Some(factor) = &mut account.second_factor {
            factor.recovery_codes.clone_from(&hashes);
        }
        Ok(())
    })
    .await?;
    Ok(codes)
}

pub(crate) async fn disable(
    context: &Context,
    account: &Account,
    proof: Proof,
) -> Result<Account, ActionError> {
    if context.config.second_factor.asks(account) {
        return Err(ActionError::Forbidden {
            message: "The platform asks a second factor of you. An administrator can reset it, for you to get another."
                .to_owned(),
        });
    }
    prove(context, account, proof, |account| {
        account.second_factor = None;
        account.credentials_changed();
        Ok(())
    })
    .await
}

/// For whom has lost device and recovery codes: an administrator takes it away.
pub(crate) async fn reset(
    store: &dyn Store,
    by: AccountId,
    account: AccountId,
) -> Result<Account, ActionError> {
    if by == account {
        return Err(ActionError::Forbidden {
            message: "Another administrator can reset yours; you can disable it, with a code."
                .to_owned(),
        });
    }
    accounts::edit(store, account, |account| {
        account.second_factor = None;
        account.credentials_changed();
        Ok(())
    })
    .await
}

/// What a change of the second factor itself takes besides a token.
pub(crate) struct Proof {
    pub(crate) password: Secret<String>,
    pub(crate) code: Secret<String>,
}

async fn prove(
    context: &Context,
    account: &Account,
    proof: Proof,
    mut change: impl FnMut(&mut Account) -> Result<(), ActionError> + Send,
) -> Result<Account, ActionError> {
    if !account.has_second_factor() {
        return Err(ActionError::invalid("The account has no second factor."));
    }
    accounts::check_password(context, account, proof.password).await?;
    take(context, account, proof.code.expose(), |newest| {
        accounts::refuse_outdated(newest, account.credentials_version)?;
        change(newest)
    })
    .await
}

/// Takes a code and changes the account in one commit: of two who bring the same code at once, one is refused. That a code
/// was wrong is kept before it is told.
pub(crate) async fn take(
    context: &Context,
    account: &Account,
    code: &str,
    mut change: impl FnMut(&mut Account) -> Result<(), ActionError> + Send,
) -> Result<Account, ActionError> {
    let store = context.store();
    let place = key::account(account.id);
    let mut attempts = Attempts::default();
    loop {
        let seen = key::ACCOUNTS.get(store, &place).await?;
        let seen = seen.ok_or(ActionError::Gone {
            resource: "account",
        })?;
        let mut changed = seen.value.clone();
        let factor = changed.second_factor.as_ref().ok_or_else(wrong_code)?;
        let secret: Secret<Vec<u8>> = context.keyring.open(&place, &factor.secret)?;
        let now = Timestamp::now();
        let is_right = match second_factor::judge(factor, &secret, code, now) {
            Verdict::Right(left) => {
                changed.second_factor = Some(left);
                change(&mut changed)?;
                true
            }
            Verdict::Wrong(counted) => {
                changed.second_factor = Some(counted);
                false
            }
            Verdict::NoRecoveryCode => return Err(wrong_code()),
            Verdict::Blocked { until } => {
                let wait = until.duration_since(now).unsigned_abs();
                return Err(ActionError::TooManyGuesses { wait });
            }
        };
        let txn = Txn::new().replace(&key::ACCOUNTS, &seen, &changed);
        if let Committed::Done(_) = txn.commit(store).await? {
            return is_right.then_some(changed).ok_or_else(wrong_code);
        }
        attempts.lost().await?;
    }
}

/// A code of the device alone, and nothing else than that it is right: recovery codes are too few for it.
pub(crate) async fn take_of_device(
    context: &Context,
    account: &Account,
    code: &str,
) -> Result<(), ActionError> {
    if !second_factor::is_of_a_device(code) {
        return Err(ActionError::SecondFactor {
            message:
                "A code that the device shows is needed here: recovery codes are for logging in."
                    .to_owned(),
        });
    }
    take(context, account, code, |_| Ok(())).await.map(drop)
}

fn wrong_code() -> ActionError {
    ActionError::SecondFactor {
        message:
            "The two-factor code is not right, or was used before. Each is good once: wait for the next."
                .to_owned(),
    }
}
