//! Setting and unsetting config vars: a new release, if anything changes.

use controller_api::wire::ConfigVarsUpdate;
use model::release::ReleaseDraft;
use model::{Actor, AppId, ConfigChange, ConfigVarName, ConfigVars, Timestamp};
use store::Txn;
use store::ledger::{AppendError, Base, NewRelease, append_release};

use super::ActionError;
use crate::addons::lay::fits;
use crate::context::Context;

/// Why there is no new release.
enum Refusal {
    /// It is all as wanted already.
    Unchanged(ConfigVars),
    Error(ActionError),
}

/// All config vars after the change.
pub(crate) async fn update(
    context: &Context,
    app: AppId,
    by: &Actor,
    update: ConfigVarsUpdate,
) -> Result<ConfigVars, ActionError> {
    let change = parse(update)?;
    let mut outcome = None;
    let appended = append_release(
        context.store(),
        &context.keyring,
        app,
        Timestamp::now(),
        |base| {
            let (new, description) = draft(base, &change, by)?;
            outcome = Some((base.attached.over(&new.config), description));
            Ok(new)
        },
    )
    .await;
    match (appended, outcome) {
        (Ok((_, release)), Some((config, description))) => {
            context.tell(app, by, &description).await;
            context
                .tell(app, by, &format!("Release {} created", release.version))
                .await;
            Ok(config)
        }
        (Err(AppendError::Refused(Refusal::Unchanged(config))), _) => Ok(config),
        (Err(AppendError::Refused(Refusal::Error(error))), _) => Err(error),
        (Err(AppendError::NoSuchApp), _) => Err(ActionError::Gone { resource: "app" }),
        (Err(AppendError::Store(error)), _) => Err(error.into()),
        // A release was appended, so the function that makes it was called.
        (Ok(_), None) => Ok(ConfigVars::default()),
    }
}

fn draft(base: &Base, change: &ConfigChange, by: &Actor) -> Result<(NewRelease, String), Refusal> {
    let change = effective(change, &base.all_config());
    if change.0.is_empty() {
        return Err(Refusal::Unchanged(base.all_config()));
    }
    let owned = |name: &ConfigVarName| base.attached.owner(name).cloned();
    let mut names = change.0.keys();
    if let Some((name, owner)) = names.find_map(|name| Some((name, owned(name)?))) {
        return Err(Refusal::Error(ActionError::invalid(format!(
            "Cannot overwrite attachment values {name}: an add-on gives it. See `paas addons`; to have it no more: paas \
             addons:detach {owner}"
        ))));
    }
    let config = base
        .config
        .with(&change)
        .map_err(|error| Refusal::Error(error.into()))?;
    if !fits(&base.attached, &config) {
        return Err(Refusal::Error(ActionError::invalid(
            "With those of its add-ons, the app's config vars would be too large.",
        )));
    }
    let description = change.description();
    let draft = ReleaseDraft {
        description: description.clone(),
        actor: by.clone(),
        slug: base.release.value.slug,
    };
    Ok((
        NewRelease {
            draft,
            config,
            attached: None,
            app: base.app.value.clone(),
            also: Txn::new(),
        },
        description,
    ))
}

/// Without what sets a var to the value it has, or unsets one that is not there.
fn effective(change: &ConfigChange, config: &ConfigVars) -> ConfigChange {
    let differs =
        |(name, value): &(&ConfigVarName, &Option<_>)| config.0.get(*name) != value.as_ref();
    ConfigChange(
        change
            .0
            .iter()
            .filter(differs)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

fn parse(update: ConfigVarsUpdate) -> Result<ConfigChange, ActionError> {
    let vars: Result<_, ActionError> = update
        .into_iter()
        .map(|(name, value)| Ok((name.parse::<ConfigVarName>()?, value)))
        .collect();
    vars.map(ConfigChange)
}

#[cfg(test)]
mod tests {
    use model::Secret;

    use super::*;

    #[test]
    fn only_what_differs_makes_a_change() {
        let change = |pairs: &[(&str, Option<&str>)]| {
            ConfigChange(
                pairs
                    .iter()
                    .map(|(k, v)| (k.parse().unwrap(), v.map(Secret::from)))
                    .collect(),
            )
        };
        let config = ConfigVars::default()
            .with(&change(&[("A", Some("1")), ("B", Some("2"))]))
            .unwrap();
        let wanted = change(&[("A", Some("1")), ("B", Some("3")), ("C", None)]);
        assert_eq!(effective(&wanted, &config), change(&[("B", Some("3"))]));
    }
}
