//! Ids: one UUID type per noun, so that no two kinds can be swapped at a call site.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id; later ids of one process sort after earlier ones (UUIDv7).
            #[expect(clippy::new_without_default, reason = "an id is made on purpose, never by default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    AccountId,
    AddonId,
    AddonServiceId,
    AppId,
    AppSetupId,
    AttachmentId,
    BuildId,
    /// That an app is in a pipeline.
    CouplingId,
    DomainId,
    /// A log drain.
    DrainId,
    DynoId,
    /// A certificate of an app.
    EndpointId,
    InsideId,
    InvitationId,
    KeyId,
    /// A host that runs dynos.
    NodeId,
    PipelineId,
    /// Of an add-on service.
    PlanId,
    PromotionId,
    PromotionTargetId,
    ReleaseId,
    ReviewAppId,
    RouterId,
    /// One running instance of a controller or builder.
    ServiceId,
    SlugId,
    SourceId,
    TeamId,
    TokenId,
    /// An app that is offered to another account.
    TransferId,
    WebhookDeliveryId,
    WebhookEventId,
    WebhookId,
}
