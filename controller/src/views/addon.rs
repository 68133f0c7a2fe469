//! Add-ons, their services and their attachments.

use controller_api::wire::{self, AddonState as Shown, AttachedAddon, BillingEntity, Named};
use model::addon::{Addon, AddonService, AddonState, Attachment, Plan, name_in_app};
use model::{AddonConfig, App};
use serde_json::{Value, json};

use super::platform::region;
use super::{GENERATION, app_ref, id_of, named};

pub(crate) fn service(service: &AddonService) -> wire::AddonService {
    wire::AddonService {
        cli_plugin_name: None,
        created_at: service.created_at.into(),
        human_name: service.human_name.clone(),
        id: service.id,
        name: service.name.clone(),
        state: "ga".to_owned(),
        supported_generations: vec![named("generation", GENERATION)],
        supports_multiple_installations: service.many_per_app,
        supports_sharing: service.attachable,
        updated_at: service.updated_at.into(),
    }
}

/// There is one region, and every service is in it.
pub(crate) fn region_capability(of: &AddonService) -> wire::AddonRegionCapability {
    wire::AddonRegionCapability {
        addon_service: service(of),
        id: id_of("add-on region capability", of.name.as_str()),
        region: region(),
        supports_private_networking: false,
    }
}

fn service_ref(service: &AddonService) -> Named {
    Named {
        id: service.id.as_uuid(),
        name: service.name.to_string(),
    }
}

pub(crate) fn plan(service: &AddonService, plan: &Plan) -> wire::Plan {
    let is_default = service
        .plans
        .first()
        .is_some_and(|first| first.id == plan.id);
    wire::Plan {
        addon_service: service_ref(service),
        compliance: None,
        created_at: service.created_at.into(),
        default: is_default,
        description: plan.description.clone(),
        human_name: plan.human_name.clone(),
        id: plan.id,
        installable_inside_private_network: false,
        installable_outside_private_network: true,
        name: service.full_name(plan),
        price: plan.price.clone(),
        space_default: false,
        state: "public".to_owned(),
        updated_at: service.updated_at.into(),
        visible: true,
    }
}

/// An add-on with what a view of it takes.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) addon: Addon,
    pub(crate) app: App,
    pub(crate) service: AddonService,
    pub(crate) config: AddonConfig,
    /// Of its app's, by which name it has it.
    pub(crate) attachment: Option<Attachment>,
    /// Its dashboard, for a browser.
    pub(crate) web_url: Option<String>,
}

impl Known {
    pub(crate) fn plan(&self) -> Option<&Plan> {
        let mut plans = self.service.plans.iter();
        plans.find(|plan| plan.name == self.addon.plan)
    }
}

pub(crate) fn addon(known: &Known) -> wire::Addon {
    let Known { addon, app, .. } = known;
    let plan = known.plan();
    let as_named = known.attachment.as_ref();
    let as_named = as_named.map_or(&addon.prefix, |attachment| &attachment.name);
    let config_vars = known.config.0.keys();
    let config_vars = config_vars.filter_map(|var| name_in_app(var, &addon.prefix, as_named));
    wire::Addon {
        actions: Vec::new(),
        addon_service: service_ref(&known.service),
        app: app_ref(app),
        billed_price: plan.map(|plan| plan.price.clone()),
        billing_entity: BillingEntity {
            id: app.id.as_uuid(),
            name: app.name.to_string(),
            kind: "app".to_owned(),
        },
        config_vars: config_vars.map(|var| var.to_string()).collect(),
        created_at: addon.created_at.into(),
        id: addon.id,
        name: addon.name.clone(),
        plan: Named {
            id: plan.map_or_else(uuid::Uuid::nil, |plan| plan.id.as_uuid()),
            name: addon.full_plan(),
        },
        provider_id: addon.provider_id.clone().unwrap_or_default(),
        provision_message: message(addon).unwrap_or_default(),
        state: state(&addon.state),
        updated_at: addon.updated_at.into(),
        web_url: known.web_url.clone(),
    }
}

fn message(addon: &Addon) -> Option<String> {
    match &addon.state {
        AddonState::Failed { message } => Some(message.clone()),
        AddonState::Deprovisioning {
            failure: Some(message),
            ..
        } => Some(message.clone()),
        _ => addon.message.clone(),
    }
}

const fn state(state: &AddonState) -> Shown {
    match state {
        AddonState::Requested { .. } | AddonState::Provisioning { .. } => Shown::Provisioning,
        AddonState::Provisioned => Shown::Provisioned,
        AddonState::Deprovisioning { failure: None, .. } => Shown::Deprovisioning,
        AddonState::Deprovisioning { .. } | AddonState::Failed { .. } => Shown::Deprovisioned,
    }
}

/// With all of what `Accept-Expansion` names in place of names and ids.
pub(crate) fn expanded(known: &Known, wanted: &str) -> Value {
    let mut shown = json!(addon(known));
    for wanted in wanted.split(',').map(str::trim) {
        match wanted {
            "addon_service" => shown["addon_service"] = json!(service(&known.service)),
            "plan" => {
                if let Some(of) = known.plan() {
                    shown["plan"] = json!(plan(&known.service, of));
                }
            }
            _ => {}
        }
    }
    shown
}

/// `app`: which has it.
pub(crate) fn attachment(
    attachment: &Attachment,
    app: &App,
    known: &Known,
) -> wire::AddonAttachment {
    wire::AddonAttachment {
        addon: AttachedAddon {
            app: app_ref(&known.app),
            id: known.addon.id,
            name: known.addon.name.clone(),
        },
        app: app_ref(app),
        created_at: attachment.created_at.into(),
        id: attachment.id,
        log_input_url: None,
        name: attachment.name.clone(),
        namespace: None,
        updated_at: attachment.updated_at.into(),
        web_url: known.web_url.clone(),
    }
}

/// With what `Accept-Inclusion` names besides: `addon:plan,config_vars`.
pub(crate) fn included(of: &Attachment, app: &App, known: &Known, wanted: &str) -> Value {
    let mut shown = json!(attachment(of, app, known));
    for wanted in wanted.split(',').map(str::trim) {
        match wanted {
            "addon:plan" => {
                if let Some(of) = known.plan() {
                    shown["addon"]["plan"] = json!(plan(&known.service, of));
                }
            }
            "config_vars" => {
                let vars = known.config.0.keys();
                let vars = vars.filter_map(|var| name_in_app(var, &known.addon.prefix, &of.name));
                shown["config_vars"] = vars.map(|var| var.to_string()).collect();
            }
            _ => {}
        }
    }
    shown
}
