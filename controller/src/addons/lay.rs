//! Laying what an add-on gives over an app's config: who has to give way, and whether he may be made to.

use model::addon::{Addon, Attached, Wish, free_name, name_in_app};
use model::config_vars::MAX_TOTAL_BYTES;
use model::{AddonConfig, AttachmentName, ConfigVarName, ConfigVars};
use store::ledger::Base;

/// An app's config with one add-on more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Laid {
    pub(crate) name: AttachmentName,
    pub(crate) attached: Attached,
    /// What is left of what the app's users set.
    pub(crate) config: ConfigVars,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// In words; it takes a confirmation.
    Conflict(String),
    TooLarge,
}

/// Under the name that is wished for; what is in the way gives way if that was confirmed.
pub(crate) fn lay(
    base: &Base,
    addon: &Addon,
    config: &AddonConfig,
    wish: &Wish,
) -> Result<Laid, Refusal> {
    let name = &wish.attachment;
    if !wish.confirmed {
        let vars = config.0.keys();
        let vars = vars.filter_map(|var| name_in_app(var, &addon.prefix, name));
        if let Some(conflict) = conflict(base, name, &vars.collect::<Vec<_>>()) {
            return Err(Refusal::Conflict(conflict));
        }
    }
    let mut attached = base.attached.clone();
    attached.add(name, &addon.prefix, config, addon.full_plan());
    let config = base
        .config
        .without(&attached.vars.keys().cloned().collect());
    if bytes(&attached.over(&config)) > MAX_TOTAL_BYTES {
        return Err(Refusal::TooLarge);
    }
    Ok(Laid {
        name: name.clone(),
        attached,
        config,
    })
}

/// The same under a name that is free, where the one that is wished for has been taken meanwhile.
pub(crate) fn lay_somewhere(
    base: &Base,
    addon: &Addon,
    config: &AddonConfig,
    wish: &Wish,
) -> Result<Laid, Refusal> {
    let taken = |name: &AttachmentName| {
        let wish = Wish {
            attachment: name.clone(),
            confirmed: wish.confirmed && *name == wish.attachment,
        };
        matches!(lay(base, addon, config, &wish), Err(Refusal::Conflict(_)))
    };
    let Some(attachment) = free_name(&wish.attachment, taken) else {
        return Err(Refusal::Conflict(
            "no name is left to attach it as".to_owned(),
        ));
    };
    let confirmed = wish.confirmed && attachment == wish.attachment;
    let wish = Wish {
        attachment,
        confirmed,
    };
    lay(base, addon, config, &wish)
}

/// What would be overwritten, in words.
pub(crate) fn conflict(
    base: &Base,
    name: &AttachmentName,
    vars: &[ConfigVarName],
) -> Option<String> {
    if base.attached.plans.contains_key(name) {
        return Some(format!("It would replace the attachment {name}."));
    }
    let overwritten: Vec<_> = vars
        .iter()
        .filter(|var| base.config.0.contains_key(*var) || base.attached.vars.contains_key(*var))
        .map(ConfigVarName::as_str)
        .collect();
    (!overwritten.is_empty()).then(|| {
        format!(
            "It would overwrite the config var{} {}.",
            if overwritten.len() == 1 { "" } else { "s" },
            overwritten.join(", ")
        )
    })
}

fn bytes(config: &ConfigVars) -> usize {
    config
        .0
        .iter()
        .map(|(name, value)| name.as_str().len() + value.expose().len())
        .sum()
}
