//! pipelines and pipelines:*: apps in stages, and code that goes from one to the next.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use controller_api::Client;
use controller_api::wire::app::Identity;
use controller_api::wire::{
    Pipeline, PipelineCoupling, PipelineCouplingCreate, PipelineCouplingUpdate, PipelineCreate,
    PipelinePromotionCreate, PipelinePromotionTarget, PipelineTransferCreate, PipelineUpdate,
    PromotionSourceCreate, PromotionTargetCreate, Stage, TargetStatus,
};

use super::confirm::Confirm;
use super::teams;
use crate::args::{
    AppOnly, JsonArgs, PipelineAddArgs, PipelineArgs, PipelineCreateArgs, PipelineRenameArgs,
    PipelineTransferArgs, PipelineUpdateArgs, PromoteArgs,
};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Colour, Table};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// As long as a release may be on its way, with a release phase and a slow boot.
const PROMOTED_WITHIN: Duration = Duration::from_secs(3600);

pub(crate) async fn list(context: &Context, args: JsonArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let mut pipelines = client.pipelines().await?;
    pipelines.sort_by(|a, b| a.name.cmp(&b.name));
    if args.json {
        return Ok(output.json(&pipelines)?);
    }
    if pipelines.is_empty() {
        output.note("There are no pipelines. Make one with `paas pipelines:create`.")?;
        return Ok(());
    }
    output.heading("Pipelines")?;
    for pipeline in pipelines {
        output.line(pipeline.name)?;
    }
    Ok(())
}

pub(crate) async fn info(context: &Context, args: &PipelineArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let pipeline = client.pipeline(&args.pipeline).await?;
    let mut couplings = client.couplings(&pipeline.id.to_string()).await?;
    if args.json.json {
        let all = serde_json::json!({ "pipeline": pipeline, "apps": couplings });
        return Ok(output.json(&all)?);
    }
    couplings.sort_by_key(|coupling| coupling.stage);
    let (names, team) = futures::try_join!(names(&client, &couplings), team(&client, &pipeline))?;
    output.heading(&pipeline.name)?;
    if let Some(team) = team {
        output.line(format!("Owner:  {}\n", teams::shown(&team)))?;
    }
    let mut table = Table::new();
    for coupling in &couplings {
        let name = name_of(&names, &coupling.app.id.to_string());
        table.row([
            output.paint.in_colour(Colour::Cyan, &name),
            coupling.stage.to_string(),
        ]);
    }
    Ok(output.table(&table)?)
}

/// The name of the team that owns it, if it is one and may be seen.
async fn team(client: &Client, pipeline: &Pipeline) -> Result<Option<String>> {
    if pipeline.owner.kind != "team" {
        return Ok(None);
    }
    let team = client.team(&pipeline.owner.id.to_string()).await;
    Ok(teams::if_allowed(team)?.map(|team| team.name.to_string()))
}

async fn names(client: &Client, couplings: &[PipelineCoupling]) -> Result<HashMap<String, String>> {
    let ids = couplings.iter().map(|coupling| coupling.app.id.to_string());
    Ok(client.app_names(ids).await?)
}

fn name_of(names: &HashMap<String, String>, id: &str) -> String {
    names.get(id).cloned().unwrap_or_else(|| id.to_owned())
}

pub(crate) async fn create(context: &Context, args: &PipelineCreateArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let name = args.name.clone().unwrap_or_else(|| app.clone());
    let owner = match args.team.name() {
        Some(team) => Some(team_id(&client, team).await?),
        None => None,
    };
    let action = output.action(match args.team.name() {
        Some(team) => format!("Creating the pipeline {name} in team {team}"),
        None => format!("Creating the pipeline {name}"),
    });
    let pipeline = client
        .create_pipeline(&PipelineCreate { name, owner })
        .await?;
    action.done();
    put_into(context, &pipeline.id.to_string(), &app, args.stage).await
}

async fn team_id(client: &Client, team: &str) -> Result<Identity> {
    Ok(Identity(client.team(team).await?.id.to_string()))
}

pub(crate) async fn add(context: &Context, args: &PipelineAddArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let pipeline = context.client()?.pipeline(&args.pipeline).await?;
    put_into(context, &pipeline.id.to_string(), &app, args.stage).await
}

async fn put_into(
    context: &Context,
    pipeline: &str,
    app: &str,
    stage: Option<Stage>,
) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let stage = stage.unwrap_or_else(|| stage_by_name(app));
    let action = output.action(format!(
        "Adding {} to the pipeline as {stage}",
        output.app(app)
    ));
    let create = PipelineCouplingCreate {
        app: Identity(app.to_owned()),
        pipeline: Identity(pipeline.to_owned()),
        stage: stage.to_string(),
    };
    client.couple(&create).await?;
    action.done();
    Ok(())
}

/// As people name their apps.
fn stage_by_name(app: &str) -> Stage {
    let ends_with = |endings: &[&str]| endings.iter().any(|ending| app.ends_with(ending));
    if ends_with(&["-dev", "-development"]) {
        Stage::Development
    } else if ends_with(&["-staging", "-stg", "-stage"]) {
        Stage::Staging
    } else {
        Stage::Production
    }
}

pub(crate) async fn update(context: &Context, args: &PipelineUpdateArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let coupling = client.coupling_of(&app).await?;
    let action = output.action(format!("Changing {} to {}", output.app(&app), args.stage));
    let update = PipelineCouplingUpdate {
        stage: args.stage.to_string(),
    };
    client
        .update_coupling(&coupling.id.to_string(), &update)
        .await?;
    action.done();
    Ok(())
}

pub(crate) async fn remove(context: &Context, args: &AppOnly) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let coupling = client.coupling_of(&app).await?;
    let action = output.action(format!(
        "Removing {} from the pipeline {}",
        output.app(&app),
        coupling.pipeline.name
    ));
    client.remove_coupling(&coupling.id.to_string()).await?;
    action.done();
    Ok(())
}

pub(crate) async fn rename(context: &Context, args: &PipelineRenameArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Renaming {} to {}", args.pipeline, args.name));
    let update = PipelineUpdate {
        name: Some(args.name.clone()),
    };
    client.update_pipeline(&args.pipeline, &update).await?;
    action.done();
    Ok(())
}

pub(crate) async fn transfer(context: &Context, args: &PipelineTransferArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let pipeline = client.pipeline(&args.pipeline).await?;
    let name = pipeline.name.to_string();
    let new_owner = match teams::is_team(&args.owner) {
        true => team_id(&client, &args.owner).await?,
        false => Identity(args.owner.clone()),
    };
    Confirm {
        name: &name,
        given: args.confirm.as_deref(),
        warning: format!(
            "{} will own the pipeline {name} and your apps in it, and you will not.",
            args.owner
        ),
        done: "transferred",
    }
    .ask(output)?;
    let action = output.action(format!("Transferring {name} to {}", args.owner));
    let transfer = PipelineTransferCreate {
        pipeline: Identity(pipeline.id.to_string()),
        new_owner,
    };
    client.transfer_pipeline(&transfer).await?;
    action.done();
    Ok(())
}

pub(crate) async fn destroy(context: &Context, args: &PipelineArgs) -> Result<()> {
    let (client, output) = (context.client()?, &context.output);
    let action = output.action(format!("Destroying the pipeline {}", args.pipeline));
    let gone = client.destroy_pipeline(&args.pipeline).await?;
    action.done();
    match args.json.json {
        true => Ok(output.json(&gone)?),
        false => Ok(()),
    }
}

pub(crate) async fn promote(context: &Context, args: &PromoteArgs) -> Result<()> {
    let app = context.app(&args.app)?;
    let (client, output) = (context.client()?, &context.output);
    let from = client.coupling_of(&app).await?;
    let to = targets(&client, &from, &args.to).await?;
    let names: HashMap<String, String> = to.iter().cloned().collect();
    let listed: Vec<String> = to.iter().map(|(_, name)| output.app(name)).collect();
    let action = output.action(format!(
        "Promoting {} to {}",
        output.app(&app),
        listed.join(", ")
    ));
    let create = PipelinePromotionCreate {
        pipeline: Identity(from.pipeline.id.to_string()),
        source: PromotionSourceCreate {
            app: Identity(from.app.id.to_string()),
            release: None,
        },
        targets: to
            .iter()
            .map(|(id, _)| PromotionTargetCreate {
                app: Identity(id.clone()),
            })
            .collect(),
    };
    let promotion = client.promote(&create).await?.id.to_string();
    let ended = tokio::time::timeout(PROMOTED_WITHIN, async {
        loop {
            let targets = client.promotion_targets(&promotion).await?;
            let pending =
                |target: &&PipelinePromotionTarget| target.status == TargetStatus::Pending;
            match targets.iter().filter(pending).count() {
                0 => return Ok::<_, anyhow::Error>(targets),
                left => action.progress(format_args!("{left} to go")),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    let Ok(ended) = ended.await else {
        return Err(
            Failure::new("The promotion is still on its way after an hour")
                .advise("See how each app fares with `paas releases`.")
                .into(),
        );
    };
    let targets = ended?;
    let failed: Vec<_> = (targets.iter())
        .filter(|target| target.status == TargetStatus::Failed)
        .collect();
    if failed.is_empty() {
        action.done();
        return Ok(());
    }
    drop(action);
    let why: Vec<String> = failed
        .iter()
        .map(|target| {
            let name = name_of(&names, &target.app.id.to_string());
            let why = target.error_message.as_deref().unwrap_or("It failed.");
            format!("{name}: {why}")
        })
        .collect();
    let whole = targets.len();
    let lead = match why.len() == whole {
        true => "The promotion failed".to_owned(),
        false => format!("The promotion failed for {} of {whole} apps", why.len()),
    };
    Err(Failure::new(lead).advise(why.join("\n")).into())
}

/// Ids and names.
async fn targets(
    client: &Client,
    from: &PipelineCoupling,
    named: &[String],
) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    if named.is_empty() {
        let next = from.stage.next().ok_or_else(|| {
            Failure::new(format!("Nothing comes after {}", from.stage))
                .advise("Say where to promote to with --to.")
        })?;
        let mut there = client.couplings(&from.pipeline.id.to_string()).await?;
        there.retain(|coupling| coupling.stage == next);
        if there.is_empty() {
            return Err(Failure::new(format!(
                "The pipeline {} has no apps in {next}",
                from.pipeline.name
            ))
            .advise("Add one with `paas pipelines:add`.")
            .into());
        }
        let names = names(client, &there).await?;
        for coupling in there {
            let id = coupling.app.id.to_string();
            let name = name_of(&names, &id);
            found.push((id, name));
        }
    }
    for name in named {
        let app = client.app(name).await?;
        found.push((app.id.to_string(), app.name.to_string()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_is_read_off_the_apps_name() {
        for (app, stage) in [
            ("myapp", Stage::Production),
            ("myapp-staging", Stage::Staging),
            ("myapp-stg", Stage::Staging),
            ("myapp-dev", Stage::Development),
            ("staging-tools", Stage::Production),
        ] {
            assert_eq!(stage_by_name(app), stage, "{app}");
        }
    }
}
