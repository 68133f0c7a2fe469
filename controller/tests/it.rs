//! The controller over an in-memory store, through real HTTP. Every answer is checked against the published schema.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "it/harness.rs"]
mod harness;
#[path = "it/provider.rs"]
mod provider;
#[path = "it/receiver.rs"]
mod receiver;
#[path = "it/schema.rs"]
mod schema;
#[path = "it/world.rs"]
mod world;

#[path = "it/access.rs"]
mod access;
#[path = "it/accounts.rs"]
mod accounts;
#[path = "it/acme.rs"]
mod acme;
#[path = "it/addon_providers.rs"]
mod addon_providers;
#[path = "it/addons.rs"]
mod addons;
#[path = "it/app_setups.rs"]
mod app_setups;
#[path = "it/apps.rs"]
mod apps;
#[path = "it/attach.rs"]
mod attach;
#[path = "it/audit.rs"]
mod audit;
#[path = "it/browser_login.rs"]
mod browser_login;
#[path = "it/builds.rs"]
mod builds;
#[path = "it/certificates.rs"]
mod certificates;
#[path = "it/concurrency.rs"]
mod concurrency;
#[path = "it/config_vars.rs"]
mod config_vars;
#[path = "it/domains.rs"]
mod domains;
#[path = "it/drains.rs"]
mod drains;
#[path = "it/dynos.rs"]
mod dynos;
#[path = "it/fuzz.rs"]
mod fuzz;
#[path = "it/inside.rs"]
mod inside;
#[path = "it/invitations.rs"]
mod invitations;
#[path = "it/joining.rs"]
mod joining;
#[path = "it/log_drains.rs"]
mod log_drains;
#[path = "it/logs.rs"]
mod logs;
#[path = "it/many.rs"]
mod many;
#[path = "it/matrix.rs"]
mod matrix;
#[path = "it/notice.rs"]
mod notice;
#[path = "it/oidc.rs"]
mod oidc;
#[path = "it/pipelines.rs"]
mod pipelines;
#[path = "it/placement.rs"]
mod placement;
#[path = "it/platform.rs"]
mod platform;
#[path = "it/rebalance.rs"]
mod rebalance;
#[path = "it/receivers.rs"]
mod receivers;
#[path = "it/releases.rs"]
mod releases;
#[path = "it/review_apps.rs"]
mod review_apps;
#[path = "it/routers.rs"]
mod routers;
#[path = "it/routing.rs"]
mod routing;
#[path = "it/scaling.rs"]
mod scaling;
#[path = "it/scopes.rs"]
mod scopes;
#[path = "it/second_factor.rs"]
mod second_factor;
#[path = "it/sweep.rs"]
mod sweep;
#[path = "it/tcp_routes.rs"]
mod tcp_routes;
#[path = "it/teams.rs"]
mod teams;
#[path = "it/transfers.rs"]
mod transfers;
#[path = "it/webhook_deliveries.rs"]
mod webhook_deliveries;
#[path = "it/webhooks.rs"]
mod webhooks;
#[path = "it/wire.rs"]
mod wire;
