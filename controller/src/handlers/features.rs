//! App features, as far as Heroku's have a counterpart here: what can be switched is how requests are treated, and what
//! every app has cannot be switched off.

use axum::Json;
use axum::extract::{Path, State};
use controller_api::wire;
use model::App;
use serde_json::{Map, Value};

use crate::actions;
use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::guard::AppAccess;
use crate::http::body::JsonBody;
use crate::http::range::{Page, PageRange};
use crate::views::id_of;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feature {
    SessionAffinity,
    Preboot,
}

const ALL: [Feature; 2] = [Feature::SessionAffinity, Feature::Preboot];

impl Feature {
    const fn name(self) -> &'static str {
        match self {
            Self::SessionAffinity => "http-session-affinity",
            Self::Preboot => "preboot",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::SessionAffinity => "Requests of one client go to the same dyno",
            Self::Preboot => "New dynos are ready before the old ones stop; always so here",
        }
    }

    const fn is_enabled(self, app: &App) -> bool {
        match self {
            Self::SessionAffinity => app.routing.session_affinity,
            Self::Preboot => true,
        }
    }

    fn of(identity: &str) -> ApiResult<Self> {
        let is_it = |feature: &Self| {
            feature.name() == identity || id_of("feature", feature.name()).to_string() == identity
        };
        let found = ALL.into_iter().find(is_it);
        found.ok_or_else(|| ApiError::not_found("feature"))
    }

    fn view(self, app: &App) -> wire::AppFeature {
        wire::AppFeature {
            created_at: app.created_at.into(),
            description: self.description().to_owned(),
            display_name: self.name().to_owned(),
            doc_url: String::new(),
            enabled: self.is_enabled(app),
            feedback_email: String::new(),
            id: id_of("feature", self.name()),
            name: self.name().to_owned(),
            // Heroku's word for what is listed with an app's features; others are in its labs.
            state: "general".to_owned(),
            updated_at: app.updated_at.into(),
        }
    }
}

pub(crate) async fn list(access: AppAccess, range: PageRange) -> ApiResult<Page> {
    let app = &access.app.value;
    range.page(ALL.map(|feature| feature.view(app)))
}

pub(crate) async fn show(
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
) -> ApiResult<Json<wire::AppFeature>> {
    Ok(Json(Feature::of(&identity)?.view(&access.app.value)))
}

pub(crate) async fn update(
    State(context): State<Ctx>,
    access: AppAccess,
    Path((_, identity)): Path<(String, String)>,
    JsonBody(body): JsonBody<wire::AppFeatureUpdate>,
) -> ApiResult<Json<wire::AppFeature>> {
    let feature = Feature::of(&identity)?;
    let app = access.app.value;
    let changed = match feature {
        Feature::SessionAffinity => {
            let patch =
                Map::from_iter([("session_affinity".to_owned(), Value::Bool(body.enabled))]);
            actions::routing::update(&context, app.id, &access.session.account, &patch).await?
        }
        Feature::Preboot if body.enabled => app,
        Feature::Preboot => {
            return Err(ApiError::invalid(
                "Every app has preboot here, and it cannot be switched off: no deploy drops a request.",
            ));
        }
    };
    Ok(Json(feature.view(&changed)))
}
