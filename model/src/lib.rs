//! The nouns of the platform: parsed types, states, and the pure rules between them.
//!
//! Nothing here does I/O, reads a clock or rolls a die: `now` and new ids come in as arguments.
//! Every other crate of ours builds on this one; it builds on none of them.

pub mod access;
pub mod account;
pub mod acm;
pub mod addon;
pub mod app;
pub mod audit;
pub mod browser_login;
pub mod build;
pub mod build_place;
pub mod buildpack;
pub mod certificate;
pub mod config_vars;
pub mod domain;
pub mod dyno;
pub mod dyno_status;
pub mod id;
pub mod inside;
pub mod invitation;
pub mod log;
pub mod log_drain;
pub mod name;
pub mod node;
pub mod pipeline;
pub mod placement;
pub mod rebalance;
pub mod release;
pub mod repository;
pub mod review;
pub mod route;
pub mod routing;
pub mod scope;
pub mod sealed;
pub mod second_factor;
pub mod secret;
pub mod service;
pub mod setup;
pub mod size;
pub mod slug;
pub mod tcp_route;
pub mod team;
pub mod transfer;
pub mod webhook;

pub use access::{Permission, Role};
pub use account::{Account, Collaborator, Identity, SshKey, Token};
pub use acm::{Acm, AcmProgress, AcmStatus, NameProgress};
pub use addon::{Addon, AddonConfig, AddonService, AddonState, Attached, Attachment};
pub use app::{App, Formation};
pub use browser_login::{BrowserLogin, BrowserLoginState};
pub use build::{Build, BuildStatus, SourceBlob};
pub use build_place::{BuildPlace, BuildRequest, BuilderReport};
pub use buildpack::BuildpackRef;
pub use certificate::{
    CertificateFacts, Challenge, EndpointOrigin, PlatformCertificate, PlatformOrigin, SniEndpoint,
    TicketKey, TicketKeys,
};
pub use config_vars::{ConfigChange, ConfigVars};
pub use domain::Domain;
pub use dyno::{Dyno, DynoKind, DynoName, Intent};
pub use dyno_status::{DynoState, DynoStatus, Exit, ExitReason};
pub use id::{
    AccountId, AddonId, AddonServiceId, AppId, AppSetupId, AttachmentId, BuildId, CouplingId,
    DomainId, DrainId, DynoId, EndpointId, InsideId, InvitationId, KeyId, NodeId, PipelineId,
    PlanId, PromotionId, PromotionTargetId, ReleaseId, ReviewAppId, RouterId, ServiceId, SlugId,
    SourceId, TeamId, TokenId, TransferId, WebhookDeliveryId, WebhookEventId, WebhookId,
};
pub use inside::Inside;
pub use invitation::Invitation;
pub use log::{LogLine, LogSource};
pub use log_drain::{DrainToken, DrainTransport, DrainUrl, InvalidDrainUrl, LogDrain};
pub use name::{
    AddonName, AddonServiceName, AppName, AttachmentName, ConfigVarName, Email, Hostname,
    InvalidName, PipelineName, PlanName, ProcessType, TeamName,
};
pub use node::{Node, NodeHeartbeat, NodeToken};
pub use pipeline::{Coupling, Pipeline, Promotion, PromotionOutcome, PromotionTarget, Stage};
pub use placement::{Placement, TypePlacement};
pub use rebalance::{RebalanceProgress, RebalanceRequest};
pub use release::{Actor, Release, ReleaseFailure, ReleaseStatus, ReleaseVersion};
pub use repository::{BuildCache, BuildSource, Pack, Repository, Source};
pub use review::{ReviewApp, ReviewAppConfig};
pub use route::{Backend, NoBackend, Revision, Route, RouterAbout, RouterReport};
pub use routing::{Canary, ClientLimit, DynoProtocol, Hsts, PathRoute, Routing};
pub use scope::{Need, Scope};
pub use sealed::Sealed;
pub use second_factor::{SecondFactor, SecondFactorRule};
pub use secret::Secret;
pub use service::{HostRole, InvalidRole, ServiceEndpoint, ServiceRole};
pub use setup::{AppSetup, Postdeploy, SetupStage};
pub use size::{DynoSize, Resources};
pub use slug::{Checksum, Slug};
pub use tcp_route::{NamedTarget, TcpHost, TcpRoute, TcpTarget};
pub use team::{Owner, Team, TeamMember, TeamRole};
pub use transfer::{Transfer, TransferState};
pub use webhook::{
    DeliveryStatus, Webhook, WebhookAction, WebhookAttempt, WebhookCredentials, WebhookDelivery,
    WebhookEntity, WebhookEvent, WebhookFeed, WebhookLevel,
};

/// A point in time, UTC. The only clock type of the platform.
pub type Timestamp = jiff::Timestamp;
