//! Add-ons: who provides them, what they cost, and which apps they are attached to.

use std::collections::BTreeMap;

pub use model::addon::Price;
use model::{
    AddonId, AddonName, AddonServiceId, AddonServiceName, AttachmentId, AttachmentName, PlanId,
    Secret,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::app::Identity;
use super::{AppRef, Named, Region};
use crate::WireTime;

/// Who provides add-ons of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddonService {
    pub cli_plugin_name: Option<String>,
    pub created_at: WireTime,
    pub human_name: String,
    pub id: AddonServiceId,
    pub name: AddonServiceName,
    /// `ga`
    pub state: String,
    pub supported_generations: Vec<Named>,
    pub supports_multiple_installations: bool,
    pub supports_sharing: bool,
    pub updated_at: WireTime,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub addon_service: Named,
    pub compliance: Option<Vec<String>>,
    pub created_at: WireTime,
    /// Whether it is what one gets who names no plan.
    pub default: bool,
    pub description: String,
    pub human_name: String,
    pub id: PlanId,
    pub installable_inside_private_network: bool,
    pub installable_outside_private_network: bool,
    /// `acme-pg:dev`
    pub name: String,
    pub price: Price,
    pub space_default: bool,
    /// `public`
    pub state: String,
    pub updated_at: WireTime,
    pub visible: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addon {
    pub actions: Vec<Value>,
    pub addon_service: Named,
    /// The app that it was made for.
    pub app: AppRef,
    pub billed_price: Option<Price>,
    pub billing_entity: BillingEntity,
    /// Names of the config vars that apps get by it, as in the app that it was made for.
    pub config_vars: Vec<String>,
    pub created_at: WireTime,
    pub id: AddonId,
    pub name: AddonName,
    pub plan: Named,
    /// Its provider's name for it; empty until there is one.
    pub provider_id: String,
    /// What its provider had to say; empty where it said nothing.
    #[serde(default)]
    pub provision_message: String,
    pub state: AddonState,
    pub updated_at: WireTime,
    /// Its dashboard, if it has one.
    pub web_url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddonState {
    Provisioning,
    Provisioned,
    /// On its way out.
    Deprovisioning,
    /// Gone, or never made.
    Deprovisioned,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillingEntity {
    pub id: Uuid,
    pub name: String,
    /// `app`
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddonCreate {
    /// `acme-pg:dev`, or `acme-pg` for its default plan.
    pub plan: Identity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<AttachmentNamed>,
    /// What the provider is told; each provider knows its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<BTreeMap<String, Value>>,
    /// The app's name, if config vars or an attachment may be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Made up when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AttachmentNamed {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AddonUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Identity>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AddonDestroy {
    /// Though other apps use it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::lenient::flag"
    )]
    pub force: Option<bool>,
}

/// That an app gets an add-on's config vars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddonAttachment {
    pub addon: AttachedAddon,
    pub app: AppRef,
    pub created_at: WireTime,
    pub id: AttachmentId,
    pub log_input_url: Option<String>,
    /// What the names of its config vars begin with.
    pub name: AttachmentName,
    pub namespace: Option<String>,
    pub updated_at: WireTime,
    pub web_url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedAddon {
    pub app: AppRef,
    pub id: AddonId,
    pub name: AddonName,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddonAttachmentCreate {
    pub addon: Identity,
    pub app: Identity,
    /// The app's name, if config vars or an attachment may be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// The service's own where it is free, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// There are none here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Which add-ons somebody may mean.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddonResolve {
    /// An add-on's name or id, an attachment's name, or a service's or a plan's.
    pub addon: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon_service: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
}

/// Which attachments somebody may mean.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddonAttachmentResolve {
    /// An attachment's name or id, or its add-on's.
    pub addon_attachment: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon_service: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
}

/// That a service's add-ons can be had in a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddonRegionCapability {
    pub addon_service: AddonService,
    pub id: Uuid,
    pub region: Region,
    pub supports_private_networking: bool,
}

/// One of the config vars that an add-on gives, by its provider's name for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddonConfig {
    pub name: String,
    #[serde(default)]
    pub value: Option<Secret<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddonConfigUpdate {
    #[serde(default)]
    pub config: Vec<AddonConfig>,
}

/// How a browser is sent to an add-on's dashboard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddonSso {
    pub action: String,
    /// `post`
    pub method: String,
    pub params: BTreeMap<String, String>,
}

/// What a provider gets for its grant. <https://www.rfc-editor.org/rfc/rfc6749#section-5.1>
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProviderToken {
    pub access_token: Secret<String>,
    pub expires_in: u64,
    pub refresh_token: Secret<String>,
    /// `Bearer`
    pub token_type: String,
}
