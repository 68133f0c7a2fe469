//! Laying what an add-on gives over an app's config: who has to give way, and whether he may be made to.

use std::collections::BTreeSet;

use model::addon::{Attached, MAX_ADDONS, Part, Wish, free_name};
use model::config_vars::MAX_TOTAL_BYTES;
use model::{AttachmentName, ConfigVarName, ConfigVars};
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
    TooMany,
}

impl Refusal {
    /// A sentence.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Conflict(words) => words,
            Self::TooLarge => {
                format!("The app's config vars would be more than {MAX_TOTAL_BYTES} bytes with it.")
            }
            Self::TooMany => format!("An app may have at most {MAX_ADDONS} attachments."),
        }
    }
}

/// Under the name of the part; what is in the way gives way if that was confirmed.
pub(crate) fn lay(base: &Base, part: Part, confirmed: bool) -> Result<Laid, Refusal> {
    let name = part.name.clone();
    if !confirmed && let Some(conflict) = conflict(base, &name, &part.reserved) {
        return Err(Refusal::Conflict(conflict));
    }
    let mut attached = base.attached.clone();
    attached.add(part);
    if attached.len() > MAX_ADDONS {
        return Err(Refusal::TooMany);
    }
    let config = base.config.without(&attached.reserved());
    if bytes(&attached.over(&config)) > MAX_TOTAL_BYTES {
        return Err(Refusal::TooLarge);
    }
    Ok(Laid {
        name,
        attached,
        config,
    })
}

/// The same under a name that is free, where the one that is wished for has been taken meanwhile.
pub(crate) fn lay_somewhere(
    base: &Base,
    part: impl Fn(&AttachmentName) -> Part,
    wish: &Wish,
) -> Result<Laid, Refusal> {
    let confirmed = |name: &AttachmentName| wish.confirmed && *name == wish.attachment;
    let taken = |name: &AttachmentName| {
        !confirmed(name) && conflict(base, name, &part(name).reserved).is_some()
    };
    match free_name(&wish.attachment, taken) {
        Some(name) => lay(base, part(&name), confirmed(&name)),
        None => Err(Refusal::TooMany),
    }
}

/// What would be overwritten, in words.
pub(crate) fn conflict(
    base: &Base,
    name: &AttachmentName,
    vars: &BTreeSet<ConfigVarName>,
) -> Option<String> {
    if base.attached.has(name) {
        return Some(format!("It would replace the attachment {name}."));
    }
    let overwritten: Vec<_> = vars
        .iter()
        .filter(|var| base.config.0.contains_key(*var) || base.attached.owner(var).is_some())
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

/// Whether an app can have these for its config vars.
pub(crate) fn fits(attached: &Attached, config: &ConfigVars) -> bool {
    bytes(&attached.over(config)) <= MAX_TOTAL_BYTES
}

fn bytes(config: &ConfigVars) -> usize {
    config
        .0
        .iter()
        .map(|(name, value)| name.as_str().len() + value.expose().len())
        .sum()
}
