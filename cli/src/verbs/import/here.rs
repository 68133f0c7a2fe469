//! What there is of the app on this platform already.

use anyhow::Result;
use controller_api::Client;
use futures::try_join;

use super::plan::{AppHere, Here};
use crate::verbs::buildpacks;

pub(super) async fn read(client: &Client, name: &str) -> Result<Here> {
    let (account, mut stacks, buildpacks) = try_join!(
        client.account(),
        client.stacks(),
        client.shipped_buildpacks()
    )?;
    // The one that apps get who name none.
    stacks.sort_by_key(|stack| !stack.default);
    Ok(Here {
        email: account.email.to_string(),
        stacks: stacks.into_iter().map(|stack| stack.name).collect(),
        buildpacks,
        app: app(client, name).await?,
    })
}

async fn app(client: &Client, name: &str) -> Result<Option<AppHere>> {
    let app = match client.app(name).await {
        Ok(app) => app,
        Err(error) if error.status() == Some(404) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (config, domains, formation, collaborators, drains, routing) = try_join!(
        client.config_vars(name),
        client.domains(name),
        client.formation(name),
        client.collaborators(name),
        client.log_drains(name),
        client.routing(name),
    )?;
    let others = collaborators.iter().map(|one| one.user.email.to_string());
    Ok(Some(AppHere {
        people: others.chain([app.owner.email.to_string()]).collect(),
        config,
        domains: domains
            .iter()
            .map(|domain| domain.hostname.to_string())
            .collect(),
        formation: formation
            .into_iter()
            .map(|one| (one.process_type, (one.quantity, one.size)))
            .collect(),
        has_code: app.slug_size.is_some(),
        buildpacks: buildpacks::installed(client, name).await?,
        drains: drains.into_iter().map(|drain| drain.url).collect(),
        session_affinity: routing.session_affinity,
    }))
}
