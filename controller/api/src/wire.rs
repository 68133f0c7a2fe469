//! What goes over the wire, one module per noun. Response types are complete: every property of the schema is sent.
//!
//! A wire type is a promise to clients, so none of the model's records is sent as it is.

pub mod access;
pub mod account;
pub mod addon;
pub mod app;
pub mod app_setup;
pub mod audit;
pub mod browser_login;
pub mod build;
pub mod certificate;
pub mod config;
pub mod domain;
pub mod dyno;
pub mod error;
pub mod feature;
pub mod formation;
pub mod invitation;
pub mod lenient;
pub mod log;
pub mod log_drain;
pub mod node;
pub mod pipeline;
pub mod placement;
pub mod platform;
pub mod platform_status;
pub mod rebalance;
pub mod release;
pub mod review_app;
pub mod router;
pub mod routing;
pub mod second_factor;
pub mod slug;
pub mod tcp_route;
pub mod team;
pub mod transfer;
pub mod webhook;

use model::{AccountId, AppId, AppName, Email};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use access::{
    AccessToken, AuthorizationCreate, AuthorizationUpdate, AuthorizationUser, CollaboratorUser,
};
pub use access::{
    Authorization, Collaborator, CollaboratorCreate, CollaboratorPermission, CollaboratorUpdate,
    Key, KeyCreate,
};
pub use account::{Account, AccountCreate, AccountCreated, AccountUpdate, IssuerUnlink};
pub use addon::{
    Addon, AddonAttachment, AddonAttachmentCreate, AddonAttachmentResolve, AddonConfig,
    AddonConfigUpdate, AddonCreate, AddonDestroy, AddonRegionCapability, AddonResolve,
    AddonService, AddonSso, AddonState, AddonUpdate, AttachedAddon, AttachmentNamed, BillingEntity,
    Plan, Price, ProviderToken,
};
pub use app::{App, AppCreate, AppUpdate};
pub use app_setup::{
    AppSetup, AppSetupApp, AppSetupBuild, AppSetupCreate, AppSetupOverrides, AppSetupPostdeploy,
};
pub use audit::{AuditChain, AuditChainHead, AuditEntry};
pub use browser_login::{BrowserLogin, BrowserLoginCreate, BrowserLoginResult};
pub use build::{
    Build, BuildCreate, BuildpackGiven, BuildpackInstallation, BuildpackInstallationsUpdate,
    BuildpackName, BuildpackUpdate, RegistryBuildpack, Source, SourceBlob, SourceBlobCreate,
    SourceUrls,
};
pub use certificate::{CertificateUpload, PlatformCertificate, SniEndpoint, SslCert};
pub use config::{ConfigVars, ConfigVarsUpdate};
pub use domain::{Domain, DomainCreate, DomainUpdate};
pub use dyno::{Dyno, DynoCreate, InsideCreate};
pub use error::ErrorBody;
pub use feature::{AppFeature, AppFeatureUpdate};
pub use formation::{Formation, FormationBatch, FormationChange, FormationUpdate, Quantity};
pub use invitation::{Invitation, InvitationAccept, InvitationCreate, InvitationCreated};
pub use log::{LogSession, LogSessionCreate};
pub use log_drain::{LogDrain, LogDrainCreate};
pub use node::{CertificateAndKey, CertificateRenewal, CertificateRenewed, JoinRequest, Joined};
pub use node::{Node, NodeToken, NodeTokenCreate, NodeUpdate};
pub use pipeline::{
    AppsFilter, AppsFilterIn, Pipeline, PipelineCoupling, PipelineCouplingCreate,
    PipelineCouplingUpdate, PipelineCreate, PipelineOwner, PipelinePromotion,
    PipelinePromotionCreate, PipelinePromotionTarget, PipelineRef, PipelineUpdate, PromotionSource,
    PromotionSourceCreate, PromotionStatus, PromotionTargetCreate, Stage, TargetStatus,
};
pub use placement::{Placement, PlacementUpdate, TypePlacement, TypePlacementUpdate};
pub use platform::{DynoSize, Notice, Provider, RateLimit, Region, Stack};
pub use platform_status::{
    EtcdMember, HostStatus, PlatformStatus, RouterStatus, ServiceStatus, StoreKind, StoreStatus,
};
pub use rebalance::{Rebalance, RebalanceMove, RebalanceStatus};
pub use release::{Release, ReleaseCreate, ReleaseFailure, ReleaseStatus};
pub use review_app::{
    DeployTarget, ForkRepo, ReviewApp, ReviewAppConfig, ReviewAppConfigUpdate, ReviewAppCreate,
    ReviewRepo,
};
pub use router::{
    AppReading, AppTraffic, Asked, BackendReading, ConnectionCounts, Latency, RouterReading,
    RouterState, RoutersStatus, TcpPortReading,
};
pub use routing::{Canary, ClientLimit, DynoProtocol, Hsts, Routing};
pub use second_factor::{
    RecoveryCodes, SecondFactor, SecondFactorConfirm, SecondFactorEnrol, SecondFactorEnrolment,
    SecondFactorProof,
};
pub use slug::{Blob, Slug};
pub use tcp_route::{TcpRoute, TcpRouteCreate};
pub use team::{
    Team, TeamApp, TeamAppUpdate, TeamCreate, TeamMember, TeamMemberSet, TeamMemberUser,
    TeamPreferences, TeamRole, TeamUpdate,
};
pub use transfer::{
    AppTransfer, AppTransferCreate, AppTransferUpdate, PipelineTransfer, PipelineTransferCreate,
    TransferState,
};
pub use webhook::{
    Webhook, WebhookAttempt, WebhookCreate, WebhookDelivery, WebhookEvent, WebhookUpdate,
};

/// `{}`: what calls answer that only set something going.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRef {
    pub id: AppId,
    pub name: AppName,
}

/// An app where the schema allows nothing but its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppIdRef {
    pub id: AppId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRef {
    pub id: AccountId,
    pub email: Email,
}

/// Stacks, regions, sizes and other fixed things: a name, and an id made from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    pub id: Uuid,
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRef<T> {
    pub id: T,
}
