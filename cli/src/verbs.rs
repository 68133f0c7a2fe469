//! What each verb does: ask the platform, say what is being done, show the answer.

mod access;
mod accounts;
mod addons;
mod apps;
mod audit;
mod auth;
mod authorizations;
mod build_create;
mod buildpacks;
mod builds;
mod certs;
mod certs_auto;
mod completion;
mod config;
mod confirm;
mod create;
mod doctor;
mod domains;
mod drains;
mod git_remote;
mod heroku;
mod hosts;
mod import;
mod keys;
mod logs;
mod maintenance;
mod man;
mod members;
mod nodes;
mod notice;
mod pipelines;
mod platform;
mod ps;
mod rebalance;
mod releases;
mod routers;
mod routing;
mod run;
mod scale;
mod second_factor;
mod suggest;
mod tags;
mod tcp_routes;
mod team_apps;
mod teams;
mod transfers;
mod webhooks;

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::args::Verb;
use crate::context::Context;
use crate::help;

/// Does it. Only what needs the network starts a runtime.
pub(crate) fn run(verb: Verb, context: &Context) -> Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match verb {
        Verb::Help(args) => help::topic(&context.output, &args).map(done),
        Verb::Version => version(context).map(done),
        Verb::GitCredentials(args) => auth::git_credentials(context, &args).map(done),
        Verb::Token(args) => auth::token(context, &args).map(done),
        Verb::HerokuEnv(args) => heroku::env(context, &args).map(done),
        Verb::Completion(args) => completion::script(context, &args).map(done),
        Verb::Man(args) => man::man(context, &args).map(done),
        verb => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("could not start")?;
            let outcome = runtime.block_on(async {
                match online(verb, context).await {
                    Err(error) => Err(suggest::meant(context, error).await),
                    done => done,
                }
            });
            // A thread may still be reading standard input; nobody waits for it.
            runtime.shutdown_background();
            outcome
        }
    }
}

fn version(context: &Context) -> Result<()> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    Ok(context
        .output
        .line(format!("paas/{} {os}-{arch}", env!("CARGO_PKG_VERSION")))?)
}

async fn online(verb: Verb, context: &Context) -> Result<ExitCode> {
    match verb {
        Verb::Run(args) => return run::attached(context, args).await,
        Verb::RunInside(args) => return run::inside(context, args).await,
        Verb::HerokuProxy(args) => return heroku::proxy(context, &args).await,
        Verb::Doctor(args) => return doctor::doctor(context, &args).await,
        Verb::Login(args) => auth::login(context, &args).await,
        Verb::Logout => auth::logout(context).await,
        Verb::Whoami(args) => auth::whoami(context, args).await,
        Verb::Audit(args) => audit::list(context, &args).await,
        Verb::AuditVerify(args) => audit::verify(context, args).await,
        Verb::Authorizations(args) => authorizations::list(context, args).await,
        Verb::AuthorizationCreate(args) => authorizations::create(context, &args).await,
        Verb::AuthorizationInfo(args) => authorizations::info(context, &args).await,
        Verb::AuthorizationUpdate(args) => authorizations::update(context, &args).await,
        Verb::AuthorizationRotate(args) => authorizations::rotate(context, &args).await,
        Verb::AuthorizationRevoke(args) => authorizations::revoke(context, &args).await,
        Verb::SecondFactor(args) => second_factor::show(context, args).await,
        Verb::SecondFactorEnable => second_factor::enable(context).await,
        Verb::SecondFactorDisable => second_factor::disable(context).await,
        Verb::RecoveryCodes => second_factor::renew_recovery_codes(context).await,
        Verb::Apps(args) => apps::list(context, &args).await,
        Verb::Create(args) => create::create(context, args).await,
        Verb::Info(args) => apps::info(context, &args).await,
        Verb::Rename(args) => apps::rename(context, &args).await,
        Verb::Destroy(args) => apps::destroy(context, &args).await,
        Verb::Open(args) => apps::open(context, &args).await,
        Verb::Lock(args) => team_apps::lock(context, &args).await,
        Verb::Unlock(args) => team_apps::unlock(context, &args).await,
        Verb::Join(args) => team_apps::join(context, &args).await,
        Verb::Leave(args) => team_apps::leave(context, &args).await,
        Verb::Import(args) => import::import(context, args).await,
        Verb::Config(args) => config::list(context, &args).await,
        Verb::ConfigGet(args) => config::get(context, &args).await,
        Verb::ConfigSet(args) => config::set(context, &args).await,
        Verb::ConfigUnset(args) => config::unset(context, &args).await,
        Verb::Addons(args) => addons::list(context, &args).await,
        Verb::AddonServices(args) => addons::services::list(context, args).await,
        Verb::AddonPlans(args) => addons::services::plans(context, &args).await,
        Verb::AddonCreate(args) => addons::create::create(context, args).await,
        Verb::AddonInfo(args) => addons::info(context, &args).await,
        Verb::AddonOpen(args) => addons::open(context, &args).await,
        Verb::AddonAttach(args) => addons::attach::attach(context, &args).await,
        Verb::AddonDetach(args) => addons::attach::detach(context, &args).await,
        Verb::AddonRename(args) => addons::rename(context, &args).await,
        Verb::AddonUpgrade(args) => addons::upgrade::upgrade(context, &args).await,
        Verb::AddonWait(args) => addons::wait::wait(context, &args).await,
        Verb::AddonDestroy(args) => addons::destroy::destroy(context, &args).await,
        Verb::AddonServiceAdd(args) => addons::services::add(context, &args).await,
        Verb::AddonServiceUpdate(args) => addons::services::update(context, &args).await,
        Verb::AddonServiceRemove(args) => addons::services::remove(context, &args).await,
        Verb::Ps(args) => ps::list(context, &args).await,
        Verb::Scale(args) => scale::scale(context, &args).await,
        Verb::Restart(args) => ps::restart(context, &args).await,
        Verb::Stop(args) => ps::stop(context, &args).await,
        Verb::Releases(args) => releases::list(context, &args).await,
        Verb::ReleaseInfo(args) => releases::info(context, &args).await,
        Verb::Rollback(args) => releases::rollback(context, &args).await,
        Verb::Builds(args) => builds::list(context, &args).await,
        Verb::BuildOutput(args) => builds::output(context, &args).await,
        Verb::BuildCreate(args) => build_create::create(context, &args).await,
        Verb::BuildCancel(args) => builds::cancel(context, &args).await,
        Verb::BuildCachePurge(args) => builds::purge_cache(context, &args).await,
        Verb::Transfer(args) => transfers::transfer(context, &args).await,
        Verb::Transfers(args) => transfers::list(context, args).await,
        Verb::TransferAccept(args) => {
            transfers::decide(context, &args, ("Accepting", "accepted")).await
        }
        Verb::TransferDecline(args) => {
            transfers::decide(context, &args, ("Declining", "declined")).await
        }
        Verb::TransferCancel(args) => transfers::take_back(context, &args).await,
        Verb::Pipelines(args) => pipelines::list(context, args).await,
        Verb::PipelineInfo(args) => pipelines::info(context, &args).await,
        Verb::PipelineCreate(args) => pipelines::create(context, &args).await,
        Verb::PipelineAdd(args) => pipelines::add(context, &args).await,
        Verb::PipelineUpdate(args) => pipelines::update(context, &args).await,
        Verb::PipelineRemove(args) => pipelines::remove(context, &args).await,
        Verb::Promote(args) => pipelines::promote(context, &args).await,
        Verb::PipelineRename(args) => pipelines::rename(context, &args).await,
        Verb::PipelineTransfer(args) => pipelines::transfer(context, &args).await,
        Verb::PipelineDestroy(args) => pipelines::destroy(context, &args).await,
        Verb::Logs(args) => logs::logs(context, &args).await,
        Verb::RunDetached(args) => run::detached(context, args).await,
        Verb::Domains(args) => domains::list(context, &args).await,
        Verb::DomainAdd(args) => domains::add(context, &args).await,
        Verb::DomainRemove(args) => domains::remove(context, &args).await,
        Verb::DomainUpdate(args) => domains::update(context, &args).await,
        Verb::Drains(args) => drains::list(context, &args).await,
        Verb::DrainAdd(args) => drains::add(context, &args).await,
        Verb::DrainRemove(args) => drains::remove(context, &args).await,
        Verb::Certs(args) => certs::list(context, &args).await,
        Verb::CertAdd(args) => certs::add(context, &args).await,
        Verb::CertUpdate(args) => certs::update(context, &args).await,
        Verb::CertRemove(args) => certs::remove(context, &args).await,
        Verb::CertInfo(args) => certs::info(context, &args).await,
        Verb::CertsAuto(args) => certs_auto::show(context, &args).await,
        Verb::CertsAutoEnable(args) => certs_auto::enable(context, &args).await,
        Verb::CertsAutoDisable(args) => certs_auto::disable(context, &args).await,
        Verb::CertsAutoRefresh(args) => certs_auto::refresh(context, &args).await,
        Verb::PlatformCerts(args) => certs::platform(context, args).await,
        Verb::PlatformCertsSet(args) => certs::set_platform(context, &args).await,
        Verb::Maintenance(args) => maintenance::show(context, &args).await,
        Verb::Routing(args) => routing::show(context, &args).await,
        Verb::RoutingSet(args) => routing::set(context, &args).await,
        Verb::RoutingUnset(args) => routing::unset(context, &args).await,
        Verb::RoutingPause(args) => routing::pause(context, &args, true).await,
        Verb::RoutingResume(args) => routing::pause(context, &args, false).await,
        Verb::Apart(args) => tags::apart(context, &args).await,
        Verb::Tags(args) => tags::list(context, &args).await,
        Verb::TagSet(args) => tags::set(context, &args).await,
        Verb::TagUnset(args) => tags::unset(context, &args).await,
        Verb::MaintenanceOn(args) => maintenance::switch(context, &args, true).await,
        Verb::MaintenanceOff(args) => maintenance::switch(context, &args, false).await,
        Verb::Buildpacks(args) => buildpacks::list(context, &args).await,
        Verb::BuildpackSet(args) => buildpacks::set(context, &args).await,
        Verb::BuildpackAdd(args) => buildpacks::add(context, &args).await,
        Verb::BuildpackRemove(args) => buildpacks::remove(context, &args).await,
        Verb::BuildpackClear(args) => buildpacks::clear(context, &args).await,
        Verb::Keys(args) => keys::list(context, args).await,
        Verb::KeyAdd(args) => keys::add(context, &args).await,
        Verb::KeyRemove(args) => keys::remove(context, &args).await,
        Verb::Access(args) => access::list(context, &args).await,
        Verb::AccessAdd(args) => access::add(context, &args).await,
        Verb::AccessUpdate(args) => access::update(context, &args).await,
        Verb::AccessRemove(args) => access::remove(context, &args).await,
        Verb::Teams(args) => teams::list(context, args).await,
        Verb::TeamCreate(args) => teams::create(context, &args).await,
        Verb::TeamInfo(args) => teams::info(context, &args).await,
        Verb::TeamRename(args) => teams::rename(context, &args).await,
        Verb::TeamDestroy(args) => teams::destroy(context, &args).await,
        Verb::Members(args) => members::list(context, &args).await,
        Verb::MemberAdd(args) => members::add(context, &args).await,
        Verb::MemberSet(args) => members::set(context, &args).await,
        Verb::MemberRemove(args) => members::remove(context, &args).await,
        Verb::Webhooks(args) => webhooks::list(context, &args).await,
        Verb::WebhookAdd(args) => webhooks::add(context, &args).await,
        Verb::WebhookInfo(args) => webhooks::info(context, &args).await,
        Verb::WebhookUpdate(args) => webhooks::update(context, &args).await,
        Verb::WebhookRemove(args) => webhooks::remove(context, &args).await,
        Verb::WebhookDeliveries(args) => webhooks::deliveries(context, &args).await,
        Verb::WebhookDelivery(args) => webhooks::delivery(context, &args).await,
        Verb::WebhookEvents(args) => webhooks::events(context, &args).await,
        Verb::WebhookEvent(args) => webhooks::event(context, &args).await,
        Verb::AccountCreate(args) => accounts::create(context, &args).await,
        Verb::AccountInvite(args) => accounts::invite(context, &args).await,
        Verb::AccountInvitations(args) => accounts::invitations(context, args).await,
        Verb::AccountUninvite(args) => accounts::uninvite(context, &args).await,
        Verb::AccountSuspend(args) => accounts::suspend(context, &args).await,
        Verb::AccountResume(args) => accounts::resume(context, &args).await,
        Verb::AccountUnlink(args) => accounts::unlink(context, &args).await,
        Verb::AccountResetSecondFactor(args) => accounts::reset_second_factor(context, &args).await,
        Verb::PlatformNotice(args) => notice::notice(context, &args).await,
        Verb::PlatformStatus(args) => platform::status(context, args).await,
        Verb::RouterStatus(args) => routers::status(context, &args).await,
        Verb::TcpRoutes(args) => tcp_routes::list(context, args).await,
        Verb::TcpRouteAdd(args) => tcp_routes::add(context, &args).await,
        Verb::TcpRouteRemove(args) => tcp_routes::remove(context, &args).await,
        Verb::Nodes(args) => nodes::list(context, args).await,
        Verb::NodeInfo(args) => nodes::info(context, &args).await,
        Verb::NodeCordon(args) => nodes::cordon(context, &args).await,
        Verb::NodeDrain(args) => nodes::drain(context, &args).await,
        Verb::NodeUncordon(args) => nodes::uncordon(context, &args).await,
        Verb::NodeToken(args) => hosts::token(context, args).await,
        Verb::NodeTag(args) => hosts::tag(context, &args).await,
        Verb::NodeRebalance(args) => rebalance::rebalance(context, &args).await,
        Verb::NodeRemove(args) => hosts::remove(context, &args).await,
        Verb::GitRemote(args) => git_remote::add(context, &args).await,
        Verb::Help(_)
        | Verb::Version
        | Verb::GitCredentials(_)
        | Verb::Token(_)
        | Verb::HerokuEnv(_)
        | Verb::Completion(_)
        | Verb::Man(_)
        | Verb::Unknown(_) => {
            anyhow::bail!("this command does not use the network")
        }
    }
    .map(|()| ExitCode::SUCCESS)
}
