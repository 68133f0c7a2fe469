//! Does what the plan says, call by call.
//!
//! What the platform refuses is told and the rest goes on; what fails for any other reason ends it, since the same again
//! goes on from there.

use std::collections::BTreeMap;

use anyhow::Result;
use controller_api::wire::app::Identity;
use controller_api::wire::{AppCreate, DomainCreate, LogDrainCreate};
use controller_api::{ApiError, Client, ClientError};
use serde_json::{Map, Value};

use super::plan::{Plan, Scaled, Step};
use crate::args::WaitArgs;
use crate::context::Context;
use crate::failure::Failure;
use crate::git::shell_quoted;
use crate::output::printable;
use crate::verbs::config;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// One for each step of the plan, in its order.
    pub(super) outcomes: Vec<Outcome>,
    /// Where each new domain's DNS is to lead.
    pub(super) targets: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// The platform's own words.
    Refused(String),
    /// It is for somebody else to do something about it first.
    Left(String),
}

impl Done {
    pub(super) fn failed(&self) -> usize {
        let failed = |outcome: &&Outcome| matches!(outcome, Outcome::Refused(_));
        self.outcomes.iter().filter(failed).count()
    }
}

pub(super) async fn carry_out(context: &Context, client: &Client, plan: &Plan) -> Result<Done> {
    let mut done = Done::default();
    for step in &plan.steps {
        let outcome = match one(context, client, plan, step, &mut done).await {
            Ok(()) => Outcome::Done,
            Err(error) => refusal(context, plan, step, error)?,
        };
        done.outcomes.push(outcome);
    }
    Ok(done)
}

async fn one(
    context: &Context,
    client: &Client,
    plan: &Plan,
    step: &Step,
    done: &mut Done,
) -> Result<()> {
    let (app, output) = (plan.app.as_str(), &context.output);
    let named = output.app(app);
    match step {
        Step::Create { stack } => {
            let action = output.action(format!("Creating {named}"));
            let create = AppCreate {
                name: Some(app.to_owned()),
                stack: stack.clone().map(Identity),
                ..AppCreate::default()
            };
            client.create_app(&create).await?;
            action.done();
        }
        Step::Buildpacks(buildpacks) => {
            let action = output.action(format!("Setting the buildpacks of {named}"));
            client.set_buildpacks(app, buildpacks).await?;
            action.done();
        }
        Step::Config(vars) => {
            let action = output.action(format!(
                "Setting {} of {named}",
                count(vars.len(), "config var")
            ));
            let update = vars
                .iter()
                .map(|(name, value)| (name.clone(), Some(value.clone())));
            let wait = WaitArgs { no_wait: false };
            config::release(context, app, &update.collect(), wait, action).await?;
        }
        Step::Scale(scaled) => {
            let when = if plan.has_code {
                ""
            } else {
                " for the first release"
            };
            let action = output.action(format!("Scaling {named}{when}"));
            let updates = scaled.iter().map(Scaled::update).collect();
            if plan.has_code {
                client.scale(app, updates).await?;
            } else {
                client.scale_ahead(app, updates).await?;
            }
            action.done();
        }
        Step::Domain(hostname) => {
            let action = output.action(format!("Adding {hostname} to {named}"));
            let create = DomainCreate {
                hostname: hostname.clone(),
                sni_endpoint: None,
            };
            if let Some(target) = client.add_domain(app, &create).await?.cname {
                done.targets.insert(hostname.clone(), target);
            }
            action.done();
        }
        Step::Drain(url) => {
            let action = output.action(format!("Adding a drain to {named}"));
            let create = LogDrainCreate {
                url: url.expose().clone(),
            };
            client.add_log_drain(app, &create).await?;
            action.done();
        }
        Step::SessionAffinity => {
            let action = output.action(format!("Turning session affinity on for {named}"));
            let patch = Map::from_iter([("session_affinity".to_owned(), Value::Bool(true))]);
            client.update_routing(app, &patch).await?;
            action.done();
        }
        Step::Person(person) => {
            let action = output.action(format!("Adding {} to {named}", printable(&person.name)));
            let permissions = person
                .permission
                .map(|permission| vec![permission.to_owned()]);
            client
                .add_collaborator(app, &person.name, permissions)
                .await?;
            action.done();
        }
    }
    Ok(())
}

/// What the refusal of a step means; an error where the rest must not be tried.
fn refusal(context: &Context, plan: &Plan, step: &Step, error: anyhow::Error) -> Result<Outcome> {
    let refused = error
        .downcast_ref::<ClientError>()
        .and_then(ClientError::api)
        .filter(|no| matches!(no.status, 400 | 402..=428 | 430..=499));
    let Some(no) = refused else {
        return Err(error);
    };
    let message = printable(&no.message);
    if matches!(step, Step::Create { .. }) {
        return Err(Failure::new(message)
            .advise("Nothing was changed. Another name is given with --to NAME.")
            .into());
    }
    context.output.hint(&message)?;
    Ok(outcome(no, step, &plan.app))
}

fn outcome(no: &ApiError, step: &Step, app: &str) -> Outcome {
    let message = printable(&no.message);
    match step {
        // Who has no account cannot be given access, and that is no fault of the import.
        Step::Person(person) if no.is_about_account() => Outcome::Left(format!(
            "{message} Then: paas access:add {} -a {app}",
            shell_quoted(&person.name),
        )),
        _ => Outcome::Refused(message),
    }
}

/// `1 config var`, `2 config vars`.
fn count(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::super::described::PersonThere;
    use super::*;

    #[test]
    fn only_who_has_no_account_is_left_to_others() {
        let person = Step::Person(PersonThere {
            name: "dev@x.com".to_owned(),
            permission: None,
        });
        let no = |status, message: &str| ApiError {
            status,
            id: "invalid_params".to_owned(),
            message: message.to_owned(),
            url: None,
            request_id: None,
        };
        let missing = no(422, "There is no account for dev@x.com. Make one.");
        assert_eq!(
            outcome(&missing, &person, "shop"),
            Outcome::Left(format!(
                "{} Then: paas access:add dev@x.com -a shop",
                missing.message
            ))
        );
        for refused in [
            no(403, "You may not."),
            no(409, "Others changed it."),
            no(422, "dev@x.com owns shop and needs no invitation."),
        ] {
            let expected = Outcome::Refused(refused.message.clone());
            assert_eq!(outcome(&refused, &person, "shop"), expected);
        }
        let domain = Step::Domain("x.example".to_owned());
        assert!(matches!(
            outcome(&missing, &domain, "shop"),
            Outcome::Refused(_)
        ));
    }
}
