//! Apps.

use controller_api::wire;
use model::App;

use super::platform::{REGION, region_named, stack_named};
use super::{GENERATION, named};
use crate::config::Config;
use crate::owners::Owned;

pub(crate) fn app(config: &Config, app: &App, owner: &Owned, acm: bool) -> wire::App {
    let team = owner.team.as_ref().map(|team| wire::Named {
        id: team.id.as_uuid(),
        name: team.name.to_string(),
    });
    wire::App {
        acm,
        archived_at: None,
        build_stack: stack_named(&app.stack),
        buildpack_provided_description: None,
        created_at: app.created_at.into(),
        generation: named("generation", GENERATION),
        git_url: config.git_url(app.name.as_str()),
        id: app.id,
        internal_routing: Some(false),
        maintenance: app.maintenance,
        name: app.name.clone(),
        organization: team.clone(),
        owner: wire::UserRef {
            id: app.owner.as_user(),
            email: owner.email.clone(),
        },
        region: region_named(REGION),
        released_at: app.released_at.map(Into::into),
        // Numbers always: the CLI stumbles over null.
        repo_size: Some(app.repo_size.unwrap_or(0)),
        slug_size: Some(app.slug_size.unwrap_or(0)),
        space: None,
        stack: stack_named(&app.stack),
        team,
        updated_at: app.updated_at.into(),
        web_url: Some(config.web_url(app.name.as_str())),
    }
}
