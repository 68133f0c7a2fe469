//! Add-ons: services that are provided to apps by somebody else, and reach them as config vars.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Actor, AddonId, AddonName, AddonServiceId, AddonServiceName, AppId, AttachmentId,
    AttachmentName, ConfigVarName, ConfigVars, DrainId, DrainToken, PlanId, Sealed, Secret,
    Timestamp,
};

/// The most add-ons of one app, and the most apps one add-on is attached to.
pub const MAX_ADDONS: usize = 50;

/// Who provides add-ons of one kind, as its manifest has it. Written by operators alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddonService {
    pub id: AddonServiceId,
    pub name: AddonServiceName,
    pub human_name: String,
    /// Where add-ons are asked for: `POST`, and `PUT` and `DELETE` below it.
    pub base_url: String,
    /// Where browsers are sent for an add-on's dashboard.
    pub sso_url: Option<String>,
    /// [`ProviderSecrets`], sealed for this record's place.
    pub secrets: Sealed,
    /// What the names of its config vars begin with: `ACME_PG`.
    pub prefix: AttachmentName,
    /// The config vars it may give: `ACME_PG_URL`.
    pub config_vars: BTreeSet<ConfigVarName>,
    /// Whether an app may have several of its add-ons.
    #[serde(default)]
    pub many_per_app: bool,
    /// Whether its add-ons may be attached to other apps.
    #[serde(default)]
    pub attachable: bool,
    /// Whether its add-ons get the log of the app that they were made for.
    #[serde(default)]
    pub takes_logs: bool,
    /// Whether `GET <base_url>/<id>/status` tells how it goes; ours, beyond Heroku's contract.
    #[serde(default)]
    pub tells_status: bool,
    /// One at least; the first is what one gets who names none.
    pub plans: Vec<Plan>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What a provider and the platform know each other by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSecrets {
    /// The platform's password at the provider; its user name is the service's name.
    pub password: Secret<String>,
    /// With it, the provider sees that a browser was sent by the platform.
    pub sso_salt: Secret<String>,
    /// The provider's password at the platform.
    pub client_secret: Secret<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub id: PlanId,
    /// Without the service's: `standard-0`.
    pub name: AddonServiceName,
    pub human_name: String,
    pub description: String,
    pub price: Price,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    pub cents: u64,
    #[serde(default)]
    pub contract: bool,
    /// `month`
    pub unit: String,
}

impl AddonService {
    /// By name, `acme-pg:dev` or `dev`, or by id; the default one for the service's own name.
    pub fn plan(&self, identity: &str) -> Option<&Plan> {
        let named = match identity.split_once(':') {
            Some((service, plan)) if service == self.name.as_str() => plan,
            Some(_) => return None,
            None if identity == self.name.as_str() => return self.plans.first(),
            None => identity,
        };
        self.plans
            .iter()
            .find(|plan| plan.name.as_str() == named || plan.id.to_string() == named)
    }

    /// `acme-pg:dev`
    pub fn full_name(&self, plan: &Plan) -> String {
        format!("{}:{}", self.name, plan.name)
    }
}

/// Something that is provided. It lives and dies with the app that it was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addon {
    pub id: AddonId,
    pub name: AddonName,
    pub app: AppId,
    pub service: AddonServiceName,
    pub plan: AddonServiceName,
    /// Whoever asked for it.
    pub actor: Actor,
    pub state: AddonState,
    /// The provider's name for it, once it has one.
    pub provider_id: Option<String>,
    /// What the provider had to say.
    pub message: Option<String>,
    /// The service's [`AddonService::prefix`], as it was.
    pub prefix: AttachmentName,
    /// [`AddonConfig`], sealed for this record's place.
    pub config: Sealed,
    /// Grows with each change of its config; see [`Attachment::released`].
    pub config_version: u64,
    /// Where the log of its app goes, if it takes that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<AddonDrain>,
    /// What the provider is told when it is asked for, as text or `true`.
    #[serde(default)]
    pub options: BTreeMap<String, serde_json::Value>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// The log drain of an add-on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddonDrain {
    /// The provider is told of it when the add-on is asked for.
    pub token: DrainToken,
    /// A [`crate::DrainUrl`]'s text, once the provider has told it; sealed for the drain's place.
    pub url: Option<Sealed>,
}

impl Addon {
    /// By which its log drain is known: each add-on has one at most.
    pub const fn drain_id(&self) -> DrainId {
        DrainId::from_uuid(self.id.as_uuid())
    }

    /// `acme-pg:dev`
    pub fn full_plan(&self) -> String {
        format!("{}:{}", self.service, self.plan)
    }
}

/// What a provider gave, by the names of its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AddonConfig(pub BTreeMap<ConfigVarName, Secret<String>>);

/// How far an add-on has come. The provider is asked by the platform, again and again until it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AddonState {
    /// To be asked for.
    Requested {
        wish: Wish,
        tries: Tries,
    },
    /// The provider is making it, and will say when it is done.
    Provisioning {
        wish: Wish,
        tries: Tries,
    },
    Provisioned,
    /// No app has it any more, and the provider is to take it away. `failure`: why it never came to be.
    Deprovisioning {
        failure: Option<String>,
        tries: Tries,
    },
    /// It never came to be. Shown for a while.
    Failed {
        message: String,
    },
}

/// As what it is to be attached once it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    pub attachment: AttachmentName,
    /// Whether it may take the place of config vars and of another attachment.
    pub confirmed: bool,
}

/// How often the provider was asked in vain, and from when on it is to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tries {
    pub failures: u32,
    pub not_before: Option<Timestamp>,
}

impl AddonState {
    /// Whether there is nothing for the platform to do.
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Provisioned)
    }

    /// Whether it is there, or may yet be.
    pub const fn is_wanted(&self) -> bool {
        matches!(
            self,
            Self::Requested { .. } | Self::Provisioning { .. } | Self::Provisioned
        )
    }
}

/// That an app gets an add-on's config vars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub id: AttachmentId,
    pub app: AppId,
    pub addon: AddonId,
    /// What the names of its config vars begin with in this app; unique there.
    pub name: AttachmentName,
    /// The [`Addon::config_version`] that a release of the app was made with last.
    pub released: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What a provider calls `ACME_PG_URL`, as it is called in an app that has it as `DATABASE`: `DATABASE_URL`.
pub fn name_in_app(
    var: &ConfigVarName,
    prefix: &AttachmentName,
    attachment: &AttachmentName,
) -> Option<ConfigVarName> {
    let rest = var.as_str().strip_prefix(prefix.as_str())?;
    format!("{attachment}{rest}").parse().ok()
}

/// The first of a name and its numbered kin (`ACME_PG`, `ACME_PG_2`, …) that nobody has.
pub fn free_name(
    wanted: &AttachmentName,
    is_taken: impl Fn(&AttachmentName) -> bool,
) -> Option<AttachmentName> {
    let numbered = (2..=MAX_ADDONS + 1).filter_map(|n| format!("{wanted}_{n}").parse().ok());
    std::iter::once(wanted.clone())
        .chain(numbered)
        .find(|name| !is_taken(name))
}

/// All that an app has of its add-ons: config vars that are not its users' to set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attached {
    pub vars: BTreeMap<ConfigVarName, Secret<String>>,
    /// By which attachment each var is there.
    pub of: BTreeMap<ConfigVarName, AttachmentName>,
    /// `acme-pg:dev`, by attachment.
    pub plans: BTreeMap<AttachmentName, String>,
}

impl Attached {
    /// With one more, or one anew; vars of the same name are its from then on.
    pub fn add(
        &mut self,
        attachment: &AttachmentName,
        prefix: &AttachmentName,
        config: &AddonConfig,
        plan: String,
    ) {
        self.remove(attachment);
        for (name, value) in &config.0 {
            if let Some(name) = name_in_app(name, prefix, attachment) {
                self.vars.insert(name.clone(), value.clone());
                self.of.insert(name, attachment.clone());
            }
        }
        self.plans.insert(attachment.clone(), plan);
    }

    pub fn remove(&mut self, attachment: &AttachmentName) {
        self.plans.remove(attachment);
        self.of.retain(|_, of| of != attachment);
        self.vars.retain(|name, _| self.of.contains_key(name));
    }

    /// What a release is made with: these over those of the app's users.
    #[must_use]
    pub fn over(&self, config: &ConfigVars) -> ConfigVars {
        let mut vars = config.0.clone();
        vars.extend(self.vars.clone());
        ConfigVars(vars)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> AddonConfig {
        let pairs = pairs.iter();
        AddonConfig(
            pairs
                .map(|(name, value)| (name.parse().unwrap(), Secret::from(*value)))
                .collect(),
        )
    }

    fn name(text: &str) -> AttachmentName {
        text.parse().unwrap()
    }

    #[test]
    fn config_vars_are_named_after_the_attachment() {
        for (var, attachment, expected) in [
            ("ACME_PG_URL", "ACME_PG", Some("ACME_PG_URL")),
            ("ACME_PG_URL", "DATABASE", Some("DATABASE_URL")),
            ("ACME_PG", "DATABASE", Some("DATABASE")),
            ("OTHER_URL", "DATABASE", None),
        ] {
            let found = name_in_app(&var.parse().unwrap(), &name("ACME_PG"), &name(attachment));
            assert_eq!(found.as_ref().map(ConfigVarName::as_str), expected, "{var}");
        }
    }

    #[test]
    fn names_that_are_taken_are_numbered() {
        let taken = ["ACME_PG", "ACME_PG_2"];
        let free = free_name(&name("ACME_PG"), |n| taken.contains(&n.as_str()));
        assert_eq!(free, Some(name("ACME_PG_3")));
        assert_eq!(free_name(&name("ACME_PG"), |_| true), None);
    }

    #[test]
    fn what_is_attached_lies_over_what_users_set_and_leaves_with_it() {
        let mut attached = Attached::default();
        let prefix = name("ACME_PG");
        let given = config(&[("ACME_PG_URL", "postgres://1"), ("ACME_PG_HOST", "h")]);
        attached.add(&name("DATABASE"), &prefix, &given, "acme-pg:dev".to_owned());
        let users = ConfigVars(
            [("KEY".parse().unwrap(), Secret::from("mine"))]
                .into_iter()
                .collect(),
        );
        let all = attached.over(&users);
        assert_eq!(all.get("DATABASE_URL"), Some("postgres://1"));
        assert_eq!(all.get("KEY"), Some("mine"));

        // The provider gives less, and something new.
        let given = config(&[("ACME_PG_URL", "postgres://2")]);
        attached.add(&name("DATABASE"), &prefix, &given, "acme-pg:dev".to_owned());
        let names: Vec<_> = attached.vars.keys().map(ConfigVarName::as_str).collect();
        assert_eq!(names, ["DATABASE_URL"]);

        attached.remove(&name("DATABASE"));
        assert_eq!(attached.over(&users), users);
    }
}
