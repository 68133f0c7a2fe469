//! The controller: the Platform API over HTTP, the app logs, and the meeting place of attached dynos.
//!
//! A request is extracted, authorized, acted upon and viewed. Acting means one commit of intent; nobody here starts or
//! stops anything, the scheduler does. A route without a rule about who may use it cannot be written (see [`routes`]).

mod acme;
mod actions;
mod addons;
mod app_json;
mod attach;
mod audit;
mod auth;
mod builders;
mod config;
mod context;
mod drains;
mod error;
mod find;
mod guard;
mod handlers;
mod http;
mod limits;
mod logs;
mod notice;
mod oidc;
mod outbound;
mod owners;
mod pages;
mod prune;
mod routers;
mod routes;
mod run;
mod scope;
mod second_factor;
mod setups;
mod sweep;
mod terminals;
mod ticket_keys;
mod views;
mod webhooks;

pub mod accounts;
pub mod authority;
pub mod certificate;
pub mod platform_certificate;

pub use config::{
    AcmeConfig, Config, DrainsConfig, ForJoiners, OidcConfig, PublicEndpoint, Scheme, WebhookConfig,
};
pub use logs::LogLimits;
pub use routes::{Rule, rules};
pub use run::{RunError, run};
