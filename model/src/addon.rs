//! Add-ons: services that are provided to apps by somebody else, and reach them as config vars.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    Actor, AddonId, AddonName, AddonServiceId, AddonServiceName, AppId, AttachmentId,
    AttachmentName, ConfigVarName, ConfigVars, DrainId, DrainToken, PlanId, PlanName, Sealed,
    Secret, Timestamp,
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
    pub name: PlanName,
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
    pub plan: PlanName,
    /// Another one that its provider was asked for and may have given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changing_to: Option<PlanName>,
    /// Whoever asked for it.
    pub actor: Actor,
    pub state: AddonState,
    /// Whether the provider may have heard of it.
    pub asked: bool,
    /// The provider's name for it, once it has told one.
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
    /// What the provider is told when it is asked for, until it is there: [`Options`], sealed for this record's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Sealed>,
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
    /// Whether its provider may have it under a name that is not known here.
    pub const fn is_nameless(&self) -> bool {
        self.asked && self.provider_id.is_none()
    }

    /// By which its log drain is known: each add-on has one at most.
    pub const fn drain_id(&self) -> DrainId {
        DrainId::from_uuid(self.id.as_uuid())
    }

    /// Whether there is nothing for the platform to do.
    pub const fn is_settled(&self) -> bool {
        matches!(self.state, AddonState::Provisioned) && !self.is_nameless()
    }

    /// `acme-pg:dev`
    pub fn full_plan(&self) -> String {
        format!("{}:{}", self.service, self.plan)
    }
}

/// What whoever asks for an add-on wants its provider to know.
pub type Options = BTreeMap<String, serde_json::Value>;

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
    /// Whoever attached it.
    pub actor: Actor,
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

/// All that an app has of its add-ons, in the order in which it got it: config vars that are not its users' to set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attached(Vec<Part>);

/// What an app has by one attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: AttachmentName,
    /// `acme-pg:dev`
    pub plan: String,
    pub vars: BTreeMap<ConfigVarName, Secret<String>>,
    /// All that it may give, whether it does now or not.
    pub reserved: BTreeSet<ConfigVarName>,
}

impl Part {
    /// `declared`: by the provider's names, as the add-on's.
    pub fn new(
        name: &AttachmentName,
        addon: &Addon,
        config: &AddonConfig,
        declared: &BTreeSet<ConfigVarName>,
    ) -> Self {
        let named = |var: &ConfigVarName| name_in_app(var, &addon.prefix, name);
        let vars: BTreeMap<_, _> = config
            .0
            .iter()
            .filter_map(|(var, value)| Some((named(var)?, value.clone())))
            .collect();
        let reserved = declared.iter().filter_map(named);
        Self {
            name: name.clone(),
            plan: addon.full_plan(),
            reserved: reserved.chain(vars.keys().cloned()).collect(),
            vars,
        }
    }
}

impl Attached {
    pub fn has(&self, name: &AttachmentName) -> bool {
        self.0.iter().any(|part| part.name == *name)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With one more, or one anew; where several give the same, the last one does.
    pub fn add(&mut self, part: Part) {
        self.remove(&part.name);
        self.0.push(part);
    }

    pub fn remove(&mut self, name: &AttachmentName) {
        self.0.retain(|part| part.name != *name);
    }

    pub fn vars(&self) -> BTreeMap<ConfigVarName, Secret<String>> {
        let all = self.0.iter().flat_map(|part| part.vars.clone());
        all.collect()
    }

    /// By which attachment a config var is not its users' to set.
    pub fn owner(&self, var: &ConfigVarName) -> Option<&AttachmentName> {
        let part = self.0.iter().rev().find(|part| part.reserved.contains(var));
        part.map(|part| &part.name)
    }

    pub fn reserved(&self) -> BTreeSet<ConfigVarName> {
        let all = self.0.iter().flat_map(|part| part.reserved.clone());
        all.collect()
    }

    pub fn plans(&self) -> BTreeSet<String> {
        self.0.iter().map(|part| part.plan.clone()).collect()
    }

    /// What a release is made with: these over those of the app's users.
    #[must_use]
    pub fn over(&self, config: &ConfigVars) -> ConfigVars {
        let mut vars = config.0.clone();
        vars.extend(self.vars());
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

    fn part(attachment: &str, given: &[(&str, &str)]) -> Part {
        let vars = config(given).0.into_iter();
        let vars: BTreeMap<_, _> = vars
            .filter_map(|(var, value)| {
                Some((
                    name_in_app(&var, &name("ACME_PG"), &name(attachment))?,
                    value,
                ))
            })
            .collect();
        Part {
            name: name(attachment),
            plan: "acme-pg:dev".to_owned(),
            reserved: vars.keys().cloned().collect(),
            vars,
        }
    }

    #[test]
    fn what_is_attached_lies_over_what_users_set_and_leaves_with_it() {
        let mut attached = Attached::default();
        let users = ConfigVars(
            [("KEY".parse().unwrap(), Secret::from("mine"))]
                .into_iter()
                .collect(),
        );
        let two = [("ACME_PG_URL", "postgres://1"), ("ACME_PG_HOST", "h")];
        attached.add(part("DATABASE", &two));
        let all = attached.over(&users);
        assert_eq!(all.get("DATABASE_URL"), Some("postgres://1"));
        assert_eq!(all.get("KEY"), Some("mine"));
        // The provider gives less, and something new.
        attached.add(part("DATABASE", &[("ACME_PG_URL", "postgres://2")]));
        let names: Vec<_> = attached.vars().into_keys().collect();
        assert_eq!(names, ["DATABASE_URL".parse().unwrap()]);
        attached.remove(&name("DATABASE"));
        assert_eq!(attached.over(&users), users);
    }

    #[test]
    fn of_two_that_give_the_same_the_later_does_and_the_other_once_that_is_gone() {
        let mut attached = Attached::default();
        attached.add(part("DB_RO", &[("ACME_PG_URL", "reader")]));
        attached.add(part(
            "DB",
            &[("ACME_PG_RO_URL", "both"), ("ACME_PG_URL", "writer")],
        ));
        let var: ConfigVarName = "DB_RO_URL".parse().unwrap();
        assert_eq!(attached.vars()[&var], Secret::from("both"));
        assert_eq!(attached.owner(&var), Some(&name("DB")));
        attached.remove(&name("DB"));
        assert_eq!(attached.vars()[&var], Secret::from("reader"));
    }
}
