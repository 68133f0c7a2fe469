//! An app: the record that serializes everything done to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AppId, AppName, BuildpackRef, DynoSize, Owner, Placement, ProcessType, ReleaseVersion, Routing,
    Slug, Timestamp,
};

/// An app. Every operation on an app compares and sets this record, so two of them can never interleave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    pub id: AppId,
    pub name: AppName,
    pub owner: Owner,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When the last release was made.
    pub released_at: Option<Timestamp>,
    /// The stack the next build is made for (`heroku-24`).
    pub stack: String,
    pub maintenance: bool,
    /// Whether others of its team are kept from it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub locked: bool,
    /// In order; empty means detect, and the first build that succeeds writes what it detected here.
    pub buildpacks: Vec<BuildpackRef>,
    pub formation: BTreeMap<ProcessType, Formation>,
    /// Where its dynos may run.
    #[serde(default, skip_serializing_if = "Placement::is_empty")]
    pub placement: Placement,
    /// How its requests are treated.
    #[serde(default, skip_serializing_if = "Routing::is_default")]
    pub routing: Routing,
    /// The newest entry of the release ledger. Only ever grows.
    pub latest: ReleaseVersion,
    /// The release that dynos should run: `latest` while it is being proven, else `current`.
    pub target: ReleaseVersion,
    /// The newest release that was proven (all its dynos ready), never a failed one.
    pub current: ReleaseVersion,
    /// Bytes of the git repository, as of the last push.
    pub repo_size: Option<u64>,
    /// Bytes of the newest slug, compressed.
    pub slug_size: Option<u64>,
}

/// How many dynos of one process type there should be, and how large.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formation {
    pub quantity: u32,
    pub size: DynoSize,
}

/// The most dynos one process type may have.
pub const MAX_QUANTITY: u32 = 1000;

impl App {
    /// The wanted number of dynos of a process type; types never scaled have none.
    pub fn quantity(&self, process_type: &ProcessType) -> u32 {
        self.formation.get(process_type).map_or(0, |f| f.quantity)
    }

    pub fn size(&self, process_type: &ProcessType) -> DynoSize {
        self.formation
            .get(process_type)
            .map_or_else(DynoSize::default, |f| f.size)
    }

    /// It gets new code. One web dyno to begin with; of the other types as many as somebody asks for. What was scaled
    /// stays, also of types that this slug no longer has: the scheduler takes their dynos down once the release is proven.
    pub fn adopt(&mut self, slug: &Slug) {
        self.slug_size = Some(slug.size);
        for process_type in slug
            .process_types
            .keys()
            .filter(|process_type| !process_type.is_release())
        {
            self.formation
                .entry(process_type.clone())
                .or_insert_with(|| Formation {
                    quantity: u32::from(process_type.is_web()),
                    size: DynoSize::default(),
                });
        }
    }
}
