//! What people type: every verb with its options, as clap reads it. Nothing is looked up here.
//!
//! Verbs have Heroku's names; the short form (`create`) is an alias of the long one (`apps:create`).

mod addons;
mod apps;
mod auth;
mod builds;
mod certs;
mod dynos;
mod heroku;
mod import;
mod nodes;
mod pipelines;
mod routers;
mod routing;
mod settings;
mod tags;
mod tcp_routes;
mod teams;
mod tools;
mod webhooks;

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

pub(crate) use addons::{
    AddonAttachArgs, AddonCreateArgs, AddonDestroyArgs, AddonDetachArgs, AddonInfoArgs,
    AddonManifestArgs, AddonOpenArgs, AddonPlansArgs, AddonRenameArgs, AddonServiceRemoveArgs,
    AddonUpgradeArgs, AddonWaitArgs, AddonsArgs,
};
pub(crate) use apps::{
    AppsArgs, CreateArgs, DestroyArgs, GitRemoteArgs, InfoArgs, OpenArgs, RenameArgs, TransferArgs,
    TransferDecisionArgs,
};
pub(crate) use auth::{
    AccountArgs, AccountChangeArgs, AccountCreateArgs, AuditArgs, AuthorizationArgs,
    AuthorizationCreateArgs, AuthorizationUpdateArgs, GitCredentialsArgs, InviteArgs, LoginArgs,
    TokenArgs, UnlinkArgs,
};
pub(crate) use builds::{BuildCancelArgs, BuildCreateArgs};
pub(crate) use certs::{
    CertAddArgs, CertArgs, CertFiles, CertUpdateArgs, DomainUpdateArgs, PlatformCertSetArgs,
};
pub(crate) use dynos::{
    LogsArgs, OneOffArgs, PsArgs, RestartArgs, RunArgs, RunDetachedArgs, RunInsideArgs, ScaleArgs,
    StopArgs,
};
pub(crate) use heroku::{DEFAULT_PORT, HerokuEnvArgs, HerokuProxyArgs};
pub(crate) use import::{
    ImportArgs, ImportDeisArgs, ImportDokkuArgs, ImportHerokuArgs, ImportHow, ImportSource, Part,
};
pub(crate) use nodes::{NodeArgs, NodeDrainArgs, NodeRebalanceArgs, NodeTagArgs, NodeTokenArgs};
pub(crate) use pipelines::{
    PipelineAddArgs, PipelineArgs, PipelineCreateArgs, PipelineRenameArgs, PipelineTransferArgs,
    PipelineUpdateArgs, PromoteArgs,
};
pub(crate) use routers::RouterStatusArgs;
pub(crate) use routing::{RoutingSetArgs, RoutingUnsetArgs};
pub(crate) use settings::{
    AccessAddArgs, AccessArgs, AccessUpdateArgs, BuildArgs, BuildpackAddArgs, BuildpackRemoveArgs,
    ConfigArgs, ConfigGetArgs, ConfigSetArgs, ConfigUnsetArgs, DomainArgs, DrainAddArgs, DrainArgs,
    KeyAddArgs, KeyRemoveArgs, ReleaseArgs, ReleasesArgs, RollbackArgs,
};
pub(crate) use tags::{ApartArgs, TagArgs, TagSetArgs, TagUnsetArgs};
pub(crate) use tcp_routes::{TcpRouteAddArgs, TcpRouteArgs};
pub(crate) use teams::{
    ForTeamArgs, MemberArgs, MemberSetArgs, MembersArgs, TeamCreateArgs, TeamDestroyArgs,
    TeamInfoArgs, TeamRenameArgs,
};
pub(crate) use tools::{CompletionArgs, DoctorArgs, ManArgs, NoticeArgs, Shell};
pub(crate) use webhooks::{
    WebhookAddArgs, WebhookArgs, WebhookDeliveriesArgs, WebhookDeliveryArgs, WebhookEventArgs,
    WebhookUpdateArgs,
};

#[derive(Debug, Parser)]
#[command(
    name = "paas",
    version,
    disable_help_subcommand = true,
    infer_long_args = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// Which app a verb is about: named, or found from the directory.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AppArgs {
    /// App to act on [default: the app of this directory's git remote]
    #[arg(short, long, env = "PAAS_APP", hide_env_values = true)]
    pub(crate) app: Option<String>,
    /// Git remote of the app to act on, where there are several
    #[arg(short, long)]
    pub(crate) remote: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AppOnly {
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AppJson {
    #[command(flatten)]
    pub(crate) app: AppArgs,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct JsonArgs {
    /// Print JSON, for scripts
    #[arg(short, long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WaitArgs {
    /// Return at once; do not follow until the dyno change is done
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HelpArgs {
    /// Command or topic, such as config or ps:scale
    pub(crate) topic: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Log in to a platform
    #[command(name = "login", visible_alias = "auth:login", after_help = auth::LOGIN_EXAMPLES)]
    Login(LoginArgs),
    /// Log out, and forget the token
    #[command(
        name = "logout",
        visible_alias = "auth:logout",
        after_help = "Example:\n  $ paas logout"
    )]
    Logout,
    /// Show who is logged in
    #[command(
        name = "whoami",
        visible_alias = "auth:whoami",
        after_help = "Example:\n  $ paas whoami\n  you@example.com"
    )]
    Whoami(JsonArgs),
    /// Show who did what with an app, or with the platform
    #[command(
        name = "audit",
        after_help = "Examples:\n  $ paas audit -a myapp\n  $ paas audit --all -n 200 --json"
    )]
    Audit(AuditArgs),
    /// Find out whether the audit log is whole (administrators)
    #[command(
        name = "audit:verify",
        after_help = "Each block of the log has the hash of the one before.\n\nExample:\n  $ paas audit:verify"
    )]
    AuditVerify(JsonArgs),
    /// List your authorizations: tokens that are good for something
    #[command(
        name = "authorizations",
        after_help = "Examples:\n  $ paas authorizations\n  $ paas authorizations --json"
    )]
    Authorizations(JsonArgs),
    /// Make a token, for all that you may do or for less
    #[command(name = "authorizations:create", after_help = auth::AUTHORIZATION_EXAMPLES)]
    AuthorizationCreate(AuthorizationCreateArgs),
    /// Show an authorization
    #[command(
        name = "authorizations:info",
        after_help = "Example:\n  $ paas authorizations:info 01234567-89ab-cdef-0123-456789abcdef"
    )]
    AuthorizationInfo(AuthorizationArgs),
    /// Change what an authorization is called
    #[command(
        name = "authorizations:update",
        after_help = "Example:\n  $ paas authorizations:update 01234567-89ab-cdef-0123-456789abcdef -d 'deploys of CI'"
    )]
    AuthorizationUpdate(AuthorizationUpdateArgs),
    /// Give an authorization another token; the one before is good for nothing then
    #[command(
        name = "authorizations:rotate",
        after_help = "Example:\n  $ paas authorizations:rotate 01234567-89ab-cdef-0123-456789abcdef"
    )]
    AuthorizationRotate(AuthorizationArgs),
    /// Revoke an authorization: its token is good for nothing then
    #[command(
        name = "authorizations:revoke",
        after_help = "Example:\n  $ paas authorizations:revoke 01234567-89ab-cdef-0123-456789abcdef"
    )]
    AuthorizationRevoke(AuthorizationArgs),
    /// Print the API token in use
    #[command(
        name = "auth:token",
        after_help = "Example:\n  $ curl -H \"Authorization: Bearer $(paas auth:token)\" https://api.example.com/account"
    )]
    Token(TokenArgs),

    /// Show whether logging in takes a code besides the password
    #[command(
        name = "auth:2fa",
        aliases = ["2fa", "twofactor"],
        after_help = "Examples:\n  $ paas auth:2fa\n  $ paas auth:2fa --json"
    )]
    SecondFactor(JsonArgs),
    /// Have logging in take a code of an authenticator app besides the password
    #[command(name = "auth:2fa:enable", after_help = auth::SECOND_FACTOR_EXAMPLES)]
    SecondFactorEnable,
    /// Have logging in take the password alone again
    #[command(
        name = "auth:2fa:disable",
        aliases = ["2fa:disable", "twofactor:disable"],
        after_help = "Example:\n  $ paas auth:2fa:disable"
    )]
    SecondFactorDisable,
    /// Make new recovery codes; those of before are good for nothing then
    #[command(
        name = "auth:2fa:gen-recovery-codes",
        after_help = "Example:\n  $ paas auth:2fa:gen-recovery-codes"
    )]
    RecoveryCodes,

    /// Print what the official heroku CLI needs in its environment to work with this platform
    #[command(name = "heroku-env", after_help = heroku::ENV_EXAMPLES)]
    HerokuEnv(HerokuEnvArgs),
    /// Let the official heroku CLI on this machine reach the platform
    #[command(name = "heroku-proxy", after_help = heroku::PROXY_EXAMPLES)]
    HerokuProxy(HerokuProxyArgs),

    /// List your apps
    #[command(
        name = "apps",
        visible_alias = "list",
        alias = "apps:list",
        after_help = "Examples:\n  $ paas apps\n  $ paas apps --team acme\n  $ paas apps --json | jq -r '.[].name'"
    )]
    Apps(AppsArgs),
    /// Create an app, and the git remote to push it to
    #[command(name = "apps:create", visible_alias = "create", after_help = apps::CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// Show an app's details
    #[command(
        name = "apps:info",
        visible_alias = "info",
        after_help = "Examples:\n  $ paas info\n  $ paas info -a myapp --json | jq -r .web_url"
    )]
    Info(InfoArgs),
    /// Rename an app
    #[command(
        name = "apps:rename",
        visible_alias = "rename",
        after_help = "Example:\n  $ paas rename new-name --app old-name"
    )]
    Rename(RenameArgs),
    /// Destroy an app and everything of it, for good
    #[command(
        name = "apps:destroy",
        visible_alias = "destroy",
        alias = "apps:delete",
        after_help = "Examples:\n  $ paas destroy -a myapp\n  $ paas destroy -a myapp --confirm myapp"
    )]
    Destroy(DestroyArgs),
    /// Open an app in the browser
    #[command(
        name = "apps:open",
        visible_alias = "open",
        after_help = "Examples:\n  $ paas open\n  $ paas open /login -a myapp"
    )]
    Open(OpenArgs),
    /// Keep others of its team from an app that have not joined it
    #[command(
        name = "apps:lock",
        visible_alias = "lock",
        after_help = "Its collaborators and the team's admins work on.\n\nExample:\n  $ paas lock -a myapp"
    )]
    Lock(AppOnly),
    /// Let others of its team see an app, and join it
    #[command(
        name = "apps:unlock",
        visible_alias = "unlock",
        after_help = "Example:\n  $ paas unlock -a myapp"
    )]
    Unlock(AppOnly),
    /// Let yourself in to work on an app of your team
    #[command(
        name = "apps:join",
        visible_alias = "join",
        after_help = "Example:\n  $ paas join -a myapp"
    )]
    Join(AppOnly),
    /// Work on an app no more
    #[command(
        name = "apps:leave",
        visible_alias = "leave",
        after_help = "Example:\n  $ paas leave -a myapp"
    )]
    Leave(AppOnly),

    /// Make an app of Heroku, Deis or Dokku here, with its settings
    #[command(name = "import", after_help = import::EXAMPLES)]
    Import(ImportArgs),

    /// Show an app's config vars
    #[command(
        name = "config",
        after_help = "Examples:\n  $ paas config\n  $ paas config --shell > .env\n  $ paas config --json"
    )]
    Config(ConfigArgs),
    /// Print the value of a config var
    #[command(
        name = "config:get",
        after_help = "Example:\n  $ paas config:get DATABASE_URL"
    )]
    ConfigGet(ConfigGetArgs),
    /// Set config vars; this makes a release and replaces the dynos
    #[command(
        name = "config:set",
        alias = "config:add",
        after_help = "Examples:\n  $ paas config:set RAILS_ENV=staging\n  $ paas config:set RAILS_ENV=staging WORKERS=3 --no-wait"
    )]
    ConfigSet(ConfigSetArgs),
    /// Unset config vars; this makes a release and replaces the dynos
    #[command(
        name = "config:unset",
        alias = "config:remove",
        after_help = "Example:\n  $ paas config:unset RAILS_ENV WORKERS"
    )]
    ConfigUnset(ConfigUnsetArgs),

    /// List an app's add-ons, and which apps they are attached to
    #[command(name = "addons", after_help = addons::LIST_EXAMPLES)]
    Addons(AddonsArgs),
    /// List the services that there are add-ons of
    #[command(
        name = "addons:services",
        alias = "addon-services",
        after_help = "Examples:\n  $ paas addons:services\n  $ paas addons:services --json"
    )]
    AddonServices(JsonArgs),
    /// List the plans of an add-on service, and what they cost
    #[command(
        name = "addons:plans",
        after_help = "Examples:\n  $ paas addons:plans acme-pg\n  $ paas addons:plans acme-pg --json"
    )]
    AddonPlans(AddonPlansArgs),
    /// Create an add-on for an app; its config vars make a release
    #[command(
        name = "addons:create",
        alias = "addons:add",
        after_help = addons::CREATE_EXAMPLES
    )]
    AddonCreate(AddonCreateArgs),
    /// Show an add-on: its plan, its state, and the apps it is attached to
    #[command(
        name = "addons:info",
        after_help = "Examples:\n  $ paas addons:info acme-pg-calm-1234\n  $ paas addons:info DATABASE -a myapp --json"
    )]
    AddonInfo(AddonInfoArgs),
    /// Open an add-on's dashboard in the browser
    #[command(
        name = "addons:open",
        after_help = "Examples:\n  $ paas addons:open DATABASE\n  $ paas addons:open acme-pg-calm-1234 --show-url"
    )]
    AddonOpen(AddonOpenArgs),
    /// Attach an add-on to another app, which gets its config vars too
    #[command(
        name = "addons:attach",
        after_help = "Examples:\n  $ paas addons:attach acme-pg-calm-1234 -a myapp-worker\n  $ paas addons:attach acme-pg-calm-1234 -a myapp-worker --as SHOP_DB"
    )]
    AddonAttach(AddonAttachArgs),
    /// Detach an add-on from an app; the add-on stays
    #[command(
        name = "addons:detach",
        after_help = "Example:\n  $ paas addons:detach SHOP_DB -a myapp-worker"
    )]
    AddonDetach(AddonDetachArgs),
    /// Rename an add-on
    #[command(
        name = "addons:rename",
        after_help = "Example:\n  $ paas addons:rename acme-pg-calm-1234 shop-db"
    )]
    AddonRename(AddonRenameArgs),
    /// Change an add-on's plan
    #[command(
        name = "addons:upgrade",
        visible_alias = "addons:downgrade",
        after_help = addons::UPGRADE_EXAMPLES
    )]
    AddonUpgrade(AddonUpgradeArgs),
    /// Wait until add-ons are created or destroyed
    #[command(
        name = "addons:wait",
        after_help = "Examples:\n  $ paas addons:wait\n  $ paas addons:wait acme-pg-calm-1234"
    )]
    AddonWait(AddonWaitArgs),
    /// Destroy add-ons, for good
    #[command(
        name = "addons:destroy",
        alias = "addons:remove",
        after_help = addons::DESTROY_EXAMPLES
    )]
    AddonDestroy(AddonDestroyArgs),
    /// Let apps have add-ons of a service, by its manifest (administrators)
    #[command(name = "addon-services:add", after_help = addons::SERVICE_ADD_EXAMPLES)]
    AddonServiceAdd(AddonManifestArgs),
    /// Put another manifest in the place of a service's; its id says whose (administrators)
    #[command(
        name = "addon-services:update",
        after_help = "Example:\n  $ paas addon-services:update addon-manifest.json"
    )]
    AddonServiceUpdate(AddonManifestArgs),
    /// Remove an add-on service (administrators)
    #[command(
        name = "addon-services:remove",
        after_help = "Examples:\n  $ paas addon-services:remove acme-pg\n  $ paas addon-services:remove acme-pg --confirm acme-pg"
    )]
    AddonServiceRemove(AddonServiceRemoveArgs),

    /// List an app's dynos
    #[command(
        name = "ps",
        visible_alias = "dyno",
        alias = "ps:list",
        after_help = "Examples:\n  $ paas ps\n  $ paas ps web --json"
    )]
    Ps(PsArgs),
    /// Show or set how many dynos of each process type run, and their size
    #[command(name = "ps:scale", visible_alias = "scale", alias = "dyno:scale", after_help = dynos::SCALE_EXAMPLES)]
    Scale(ScaleArgs),
    /// Restart dynos, without losing a request
    #[command(
        name = "ps:restart",
        visible_alias = "restart",
        alias = "dyno:restart",
        after_help = "Examples:\n  $ paas restart\n  $ paas restart web\n  $ paas restart web.1"
    )]
    Restart(RestartArgs),
    /// Stop a dyno, or all dynos of a process type
    #[command(name = "ps:stop", visible_alias = "stop", aliases = ["ps:kill", "dyno:stop"], after_help = "Examples:\n  $ paas ps:stop run.1828\n  $ paas ps:stop worker")]
    Stop(StopArgs),

    /// Keep the dynos of a process type on hosts of their own
    #[command(
        name = "ps:apart",
        after_help = "A dyno for which there is no such host waits, and `paas logs` says so.\n\nExamples:\n  $ paas ps:apart web\n  $ paas ps:apart web --off"
    )]
    Apart(ApartArgs),
    /// Show the tags that hosts must have to run an app's dynos
    #[command(
        name = "tags",
        visible_alias = "tags:list",
        after_help = "Examples:\n  $ paas tags\n  $ paas tags --json"
    )]
    Tags(AppJson),
    /// Have an app's dynos run only on hosts with these tags
    #[command(name = "tags:set", after_help = tags::SET_EXAMPLES)]
    TagSet(TagSetArgs),
    /// Let an app's dynos run on hosts without these tags, too
    #[command(
        name = "tags:unset",
        alias = "tags:remove",
        after_help = "Examples:\n  $ paas tags:unset disk\n  $ paas tags:unset disk gpu --type worker"
    )]
    TagUnset(TagUnsetArgs),

    /// List an app's releases
    #[command(
        name = "releases",
        after_help = "Examples:\n  $ paas releases\n  $ paas releases -n 50 --json"
    )]
    Releases(ReleasesArgs),
    /// Show a release: who made it, what it changed, why it failed
    #[command(
        name = "releases:info",
        after_help = "Examples:\n  $ paas releases:info\n  $ paas releases:info v12"
    )]
    ReleaseInfo(ReleaseArgs),
    /// Roll back to an earlier release (by default the one before)
    #[command(
        name = "releases:rollback",
        visible_alias = "rollback",
        after_help = "Examples:\n  $ paas rollback\n  $ paas rollback v12"
    )]
    Rollback(RollbackArgs),
    /// List an app's builds
    #[command(name = "builds", after_help = "Example:\n  $ paas builds -n 5")]
    Builds(ReleasesArgs),
    /// Show what a build printed
    #[command(
        name = "builds:output",
        after_help = "Examples:\n  $ paas builds:output\n  $ paas builds:output 01234567-89ab-cdef-0123-456789abcdef"
    )]
    BuildOutput(BuildArgs),

    /// Build and release code without git push
    #[command(name = "builds:create", after_help = builds::CREATE_EXAMPLES)]
    BuildCreate(BuildCreateArgs),
    /// Cancel a build that has not ended
    #[command(
        name = "builds:cancel",
        after_help = "Examples:\n  $ paas builds:cancel\n  $ paas builds:cancel 01234567-89ab-cdef-0123-456789abcdef"
    )]
    BuildCancel(BuildCancelArgs),
    /// Have the next build begin with an empty cache
    #[command(
        name = "builds:cache:purge",
        after_help = "Example:\n  $ paas builds:cache:purge"
    )]
    BuildCachePurge(AppJson),

    /// Offer an app to another account, or give it to a team
    #[command(name = "apps:transfer", after_help = apps::TRANSFER_EXAMPLES)]
    Transfer(TransferArgs),
    /// List apps that are offered by you or to you
    #[command(
        name = "apps:transfers",
        after_help = "Examples:\n  $ paas apps:transfers\n  $ paas apps:transfers --json"
    )]
    Transfers(JsonArgs),
    /// Take an app that is offered to you
    #[command(
        name = "apps:transfers:accept",
        after_help = "Example:\n  $ paas apps:transfers:accept myapp"
    )]
    TransferAccept(TransferDecisionArgs),
    /// Decline an app that is offered to you
    #[command(
        name = "apps:transfers:decline",
        after_help = "Example:\n  $ paas apps:transfers:decline myapp"
    )]
    TransferDecline(TransferDecisionArgs),
    /// Take back the offer of an app
    #[command(
        name = "apps:transfers:cancel",
        after_help = "Example:\n  $ paas apps:transfers:cancel myapp"
    )]
    TransferCancel(TransferDecisionArgs),

    /// List pipelines
    #[command(
        name = "pipelines",
        after_help = "Examples:\n  $ paas pipelines\n  $ paas pipelines --json"
    )]
    Pipelines(JsonArgs),
    /// Show a pipeline's apps and their stages
    #[command(
        name = "pipelines:info",
        after_help = "Example:\n  $ paas pipelines:info myapp"
    )]
    PipelineInfo(PipelineArgs),
    /// Make a pipeline with an app in it
    #[command(
        name = "pipelines:create",
        after_help = "Examples:\n  $ paas pipelines:create myapp -a myapp-staging -s staging\n  $ paas pipelines:create myapp -a myapp-staging --team acme"
    )]
    PipelineCreate(PipelineCreateArgs),
    /// Add an app to a pipeline
    #[command(
        name = "pipelines:add",
        after_help = "Example:\n  $ paas pipelines:add myapp -a myapp-eu -s production"
    )]
    PipelineAdd(PipelineAddArgs),
    /// Put an app into another stage of its pipeline
    #[command(
        name = "pipelines:update",
        after_help = "Example:\n  $ paas pipelines:update -a myapp-eu -s staging"
    )]
    PipelineUpdate(PipelineUpdateArgs),
    /// Take an app out of its pipeline
    #[command(
        name = "pipelines:remove",
        after_help = "Example:\n  $ paas pipelines:remove -a myapp-eu"
    )]
    PipelineRemove(AppOnly),
    /// Release what runs in an app in those of the next stage, as it was built
    #[command(name = "pipelines:promote", after_help = pipelines::PROMOTE_EXAMPLES)]
    Promote(PromoteArgs),
    /// Rename a pipeline
    #[command(
        name = "pipelines:rename",
        after_help = "Example:\n  $ paas pipelines:rename myapp ourapp"
    )]
    PipelineRename(PipelineRenameArgs),
    /// Give a pipeline with its apps to another account, or to a team
    #[command(
        name = "pipelines:transfer",
        after_help = "Examples:\n  $ paas pipelines:transfer myapp bob@example.com\n  $ paas pipelines:transfer myapp acme"
    )]
    PipelineTransfer(PipelineTransferArgs),
    /// Destroy a pipeline; its apps stay
    #[command(
        name = "pipelines:destroy",
        after_help = "Example:\n  $ paas pipelines:destroy myapp"
    )]
    PipelineDestroy(PipelineArgs),

    /// Show an app's log
    #[command(name = "logs", after_help = dynos::LOGS_EXAMPLES)]
    Logs(LogsArgs),

    /// List where an app's log lines go besides its log
    #[command(
        name = "drains",
        after_help = "Examples:\n  $ paas drains\n  $ paas drains --json"
    )]
    Drains(AppJson),
    /// Have an app's log lines sent somewhere, as syslog or over HTTP
    #[command(
        name = "drains:add",
        after_help = "Examples:\n  $ paas drains:add syslog+tls://logs.example.com:6514\n  $ paas drains:add https://user:secret@logs.example.com/drain"
    )]
    DrainAdd(DrainAddArgs),
    /// Have an app's log lines sent there no more
    #[command(
        name = "drains:remove",
        after_help = "Examples:\n  $ paas drains:remove syslog+tls://logs.example.com:6514\n  $ paas drains:remove d.01234567-89ab-cdef-0123-456789abcdef"
    )]
    DrainRemove(DrainArgs),

    /// Run a command in a one-off dyno, attached to this terminal
    #[command(name = "run", after_help = dynos::RUN_EXAMPLES)]
    Run(RunArgs),
    /// Run a command in a one-off dyno, and leave it running
    #[command(
        name = "run:detached",
        after_help = "Example:\n  $ paas run:detached --size Standard-2X -- python import.py"
    )]
    RunDetached(RunDetachedArgs),
    /// Run a command inside a dyno that is up, attached to this terminal
    #[command(
        name = "run:inside",
        visible_alias = "ps:exec",
        after_help = dynos::RUN_INSIDE_EXAMPLES
    )]
    RunInside(RunInsideArgs),

    /// List an app's domains
    #[command(name = "domains", after_help = "Example:\n  $ paas domains")]
    Domains(AppJson),
    /// Add a domain to an app
    #[command(
        name = "domains:add",
        after_help = "Examples:\n  $ paas domains:add www.example.com\n  $ paas domains:add '*.example.com'"
    )]
    DomainAdd(DomainArgs),
    /// Have a domain served with another of the app's certificates
    #[command(
        name = "domains:update",
        after_help = "Examples:\n  $ paas domains:update www.example.com --cert tidy-meadow-12345\n  $ paas domains:update www.example.com --cert none"
    )]
    DomainUpdate(DomainUpdateArgs),
    /// Remove a domain from an app
    #[command(
        name = "domains:remove",
        after_help = "Example:\n  $ paas domains:remove www.example.com"
    )]
    DomainRemove(DomainArgs),

    /// List an app's certificates
    #[command(
        name = "certs",
        after_help = "Examples:\n  $ paas certs\n  $ paas certs --json"
    )]
    Certs(AppJson),
    /// Add a certificate to an app; it serves the domains it covers
    #[command(
        name = "certs:add",
        after_help = "Example:\n  $ paas certs:add fullchain.pem privkey.pem"
    )]
    CertAdd(CertAddArgs),
    /// Put another certificate in the place of one
    #[command(
        name = "certs:update",
        after_help = "Examples:\n  $ paas certs:update fullchain.pem privkey.pem\n  $ paas certs:update fullchain.pem privkey.pem --name tidy-meadow-12345"
    )]
    CertUpdate(CertUpdateArgs),
    /// Remove a certificate from an app
    #[command(
        name = "certs:remove",
        after_help = "Example:\n  $ paas certs:remove --name tidy-meadow-12345"
    )]
    CertRemove(CertArgs),
    /// Show one of an app's certificates
    #[command(
        name = "certs:info",
        after_help = "Examples:\n  $ paas certs:info\n  $ paas certs:info --name tidy-meadow-12345 --json"
    )]
    CertInfo(CertArgs),
    /// Show the certificates that the platform gets for an app's domains
    #[command(
        name = "certs:auto",
        after_help = "Examples:\n  $ paas certs:auto\n  $ paas certs:auto --json"
    )]
    CertsAuto(AppJson),
    /// Have the platform get and renew certificates for an app's domains
    #[command(
        name = "certs:auto:enable",
        after_help = "Example:\n  $ paas certs:auto:enable"
    )]
    CertsAutoEnable(AppOnly),
    /// Stop that; certificates that the platform got are removed
    #[command(
        name = "certs:auto:disable",
        after_help = "Example:\n  $ paas certs:auto:disable"
    )]
    CertsAutoDisable(AppOnly),
    /// Try anew at once to get what could not be got
    #[command(
        name = "certs:auto:refresh",
        after_help = "Example:\n  $ paas certs:auto:refresh"
    )]
    CertsAutoRefresh(AppOnly),

    /// Show whether an app is in maintenance mode
    #[command(
        name = "maintenance",
        after_help = "Example:\n  $ paas maintenance\n  off"
    )]
    Maintenance(AppJson),
    /// Put an app in maintenance mode: visitors see a notice, dynos run on
    #[command(
        name = "maintenance:on",
        after_help = "Example:\n  $ paas maintenance:on"
    )]
    MaintenanceOn(AppOnly),
    /// Take an app out of maintenance mode
    #[command(
        name = "maintenance:off",
        after_help = "Example:\n  $ paas maintenance:off"
    )]
    MaintenanceOff(AppOnly),

    /// Show how an app's requests are treated
    #[command(
        name = "routing",
        after_help = "Examples:\n  $ paas routing\n  $ paas routing --json"
    )]
    Routing(AppJson),
    /// Set how an app's requests are treated: HTTPS only, limits, paths, a canary, compression and more
    #[command(name = "routing:set", after_help = routing::SET_EXAMPLES)]
    RoutingSet(RoutingSetArgs),
    /// Go back to the default of a setting
    #[command(
        name = "routing:unset",
        after_help = "Examples:\n  $ paas routing:unset hsts\n  $ paas routing:unset /api"
    )]
    RoutingUnset(RoutingUnsetArgs),
    /// Hold an app's requests, as for a moment's work on its database
    #[command(
        name = "routing:pause",
        after_help = "They wait for up to 75 seconds each, as many as the app's dynos would have at once; more are refused.\n\nExample:\n  $ paas routing:pause"
    )]
    RoutingPause(AppOnly),
    /// Let an app's requests through again
    #[command(
        name = "routing:resume",
        after_help = "Example:\n  $ paas routing:resume"
    )]
    RoutingResume(AppOnly),

    /// List an app's buildpacks
    #[command(name = "buildpacks", after_help = "Example:\n  $ paas buildpacks")]
    Buildpacks(AppJson),
    /// Set the buildpack of an app, or the one at a position
    #[command(
        name = "buildpacks:set",
        after_help = "Examples:\n  $ paas buildpacks:set heroku/python\n  $ paas buildpacks:set -i 2 https://git.example.com/pack.git#v3"
    )]
    BuildpackSet(BuildpackAddArgs),
    /// Add a buildpack after the others, or at a position
    #[command(
        name = "buildpacks:add",
        after_help = "Examples:\n  $ paas buildpacks:add heroku/nodejs\n  $ paas buildpacks:add -i 1 heroku/nodejs"
    )]
    BuildpackAdd(BuildpackAddArgs),
    /// Remove a buildpack, by name or position
    #[command(
        name = "buildpacks:remove",
        after_help = "Examples:\n  $ paas buildpacks:remove heroku/nodejs\n  $ paas buildpacks:remove -i 2"
    )]
    BuildpackRemove(BuildpackRemoveArgs),
    /// Remove all buildpacks; the next build detects what it needs
    #[command(
        name = "buildpacks:clear",
        after_help = "Example:\n  $ paas buildpacks:clear"
    )]
    BuildpackClear(AppOnly),

    /// List your SSH keys
    #[command(
        name = "keys",
        after_help = "Examples:\n  $ paas keys\n  $ paas keys --json"
    )]
    Keys(JsonArgs),
    /// Add an SSH key, for git over SSH
    #[command(
        name = "keys:add",
        after_help = "Examples:\n  $ paas keys:add\n  $ paas keys:add ~/.ssh/work.pub"
    )]
    KeyAdd(KeyAddArgs),
    /// Remove an SSH key, by its comment, fingerprint or id
    #[command(
        name = "keys:remove",
        after_help = "Example:\n  $ paas keys:remove me@laptop"
    )]
    KeyRemove(KeyRemoveArgs),

    /// List who may work on an app
    #[command(
        name = "access",
        visible_alias = "sharing",
        after_help = "Example:\n  $ paas access"
    )]
    Access(AppJson),
    /// Let someone work on an app
    #[command(
        name = "access:add",
        visible_alias = "sharing:add",
        after_help = settings::ACCESS_ADD_EXAMPLES
    )]
    AccessAdd(AccessAddArgs),
    /// Change what someone may do with an app
    #[command(
        name = "access:update",
        after_help = settings::ACCESS_UPDATE_EXAMPLES
    )]
    AccessUpdate(AccessUpdateArgs),
    /// Take someone off an app
    #[command(
        name = "access:remove",
        visible_alias = "sharing:remove",
        after_help = "Example:\n  $ paas access:remove friend@example.com"
    )]
    AccessRemove(AccessArgs),

    /// List the teams that you are in
    #[command(
        name = "teams",
        alias = "orgs",
        after_help = "Examples:\n  $ paas teams\n  $ paas teams --json"
    )]
    Teams(JsonArgs),
    /// Make a team, to own apps together with others
    #[command(
        name = "teams:create",
        after_help = "You are its first admin.\n\nExample:\n  $ paas teams:create acme"
    )]
    TeamCreate(TeamCreateArgs),
    /// Show a team: who is in it, and its apps
    #[command(
        name = "teams:info",
        after_help = "Examples:\n  $ paas teams:info acme\n  $ paas teams:info acme --json"
    )]
    TeamInfo(TeamInfoArgs),
    /// Rename a team
    #[command(
        name = "teams:rename",
        after_help = "Example:\n  $ paas teams:rename acme acme-labs"
    )]
    TeamRename(TeamRenameArgs),
    /// Destroy a team that owns nothing any more
    #[command(
        name = "teams:destroy",
        alias = "teams:delete",
        after_help = "Examples:\n  $ paas teams:destroy acme\n  $ paas teams:destroy acme --confirm acme"
    )]
    TeamDestroy(TeamDestroyArgs),
    /// List who is in a team
    #[command(
        name = "members",
        after_help = "Examples:\n  $ paas members --team acme\n  $ paas members -t acme --role admin --json"
    )]
    Members(MembersArgs),
    /// Let somebody into a team
    #[command(name = "members:add", after_help = teams::MEMBER_ADD_EXAMPLES)]
    MemberAdd(MemberSetArgs),
    /// Change the role of somebody in a team
    #[command(
        name = "members:set",
        after_help = "Example:\n  $ paas members:set bob@example.com --team acme --role admin"
    )]
    MemberSet(MemberSetArgs),
    /// Take somebody out of a team, and off its apps
    #[command(
        name = "members:remove",
        after_help = "Example:\n  $ paas members:remove bob@example.com --team acme"
    )]
    MemberRemove(MemberArgs),

    /// List who is told of what happens to an app
    #[command(
        name = "webhooks",
        after_help = "Examples:\n  $ paas webhooks\n  $ paas webhooks --json"
    )]
    Webhooks(AppJson),
    /// Have a URL called whenever something happens to an app
    #[command(name = "webhooks:add", after_help = webhooks::ADD_EXAMPLES)]
    WebhookAdd(WebhookAddArgs),
    /// Show a webhook
    #[command(
        name = "webhooks:info",
        after_help = "Example:\n  $ paas webhooks:info 01234567-89ab-cdef-0123-456789abcdef"
    )]
    WebhookInfo(WebhookArgs),
    /// Change a webhook; what is not named stays
    #[command(
        name = "webhooks:update",
        after_help = "Example:\n  $ paas webhooks:update 01234567-89ab-cdef-0123-456789abcdef -l sync"
    )]
    WebhookUpdate(WebhookUpdateArgs),
    /// Remove a webhook, and what is on its way to it
    #[command(
        name = "webhooks:remove",
        after_help = "Example:\n  $ paas webhooks:remove 01234567-89ab-cdef-0123-456789abcdef"
    )]
    WebhookRemove(WebhookArgs),
    /// List what an app's webhooks were sent, and whether it was taken
    #[command(
        name = "webhooks:deliveries",
        after_help = "Examples:\n  $ paas webhooks:deliveries\n  $ paas webhooks:deliveries --status failed"
    )]
    WebhookDeliveries(WebhookDeliveriesArgs),
    /// Show a delivery and what it says
    #[command(
        name = "webhooks:deliveries:info",
        after_help = "Example:\n  $ paas webhooks:deliveries:info 01234567-89ab-cdef-0123-456789abcdef"
    )]
    WebhookDelivery(WebhookDeliveryArgs),
    /// List what happened to an app, as its webhooks are told
    #[command(
        name = "webhooks:events",
        after_help = "Examples:\n  $ paas webhooks:events\n  $ paas webhooks:events --json"
    )]
    WebhookEvents(AppJson),
    /// Show an event in full
    #[command(
        name = "webhooks:events:info",
        after_help = "Example:\n  $ paas webhooks:events:info 01234567-89ab-cdef-0123-456789abcdef"
    )]
    WebhookEvent(WebhookEventArgs),

    /// Let somebody new onto the platform (administrators)
    #[command(
        name = "accounts:create",
        after_help = "Examples:\n  $ paas accounts:create friend@example.com\n  $ paas accounts:create ci@example.com --password-stdin < password.txt"
    )]
    AccountCreate(AccountCreateArgs),
    /// Invite somebody, who then chooses his own password (administrators)
    #[command(
        name = "accounts:invite",
        after_help = "Examples:\n  $ paas accounts:invite friend@example.com\n  $ paas accounts:invite friend@example.com --admin --expires-in 86400"
    )]
    AccountInvite(InviteArgs),
    /// List the invitations that nobody has taken up yet (administrators)
    #[command(
        name = "accounts:invitations",
        after_help = "Examples:\n  $ paas accounts:invitations\n  $ paas accounts:invitations --json"
    )]
    AccountInvitations(JsonArgs),
    /// Take an invitation back (administrators)
    #[command(
        name = "accounts:uninvite",
        after_help = "Example:\n  $ paas accounts:uninvite friend@example.com"
    )]
    AccountUninvite(AccountArgs),
    /// Take the second factor off somebody's account who has lost it (administrators)
    #[command(
        name = "accounts:reset-2fa",
        after_help = "Example:\n  $ paas accounts:reset-2fa friend@example.com"
    )]
    AccountResetSecondFactor(AccountArgs),
    /// Let somebody do nothing any more, by whatever token, key or password (administrators)
    #[command(
        name = "accounts:suspend",
        after_help = "What runs, runs on.\n\nExamples:\n  $ paas accounts:suspend friend@example.com\n  $ paas accounts:suspend friend@example.com --json"
    )]
    AccountSuspend(AccountChangeArgs),
    /// Let somebody who was suspended in again (administrators)
    #[command(
        name = "accounts:resume",
        after_help = "The tokens and keys of before are good again.\n\nExamples:\n  $ paas accounts:resume friend@example.com\n  $ paas accounts:resume friend@example.com --json"
    )]
    AccountResume(AccountChangeArgs),
    /// Have somebody's account belong to nobody at the identity provider any more (administrators)
    #[command(
        name = "accounts:unlink",
        after_help = "The next login there with the account's e-mail address is linked with it.\n\nExamples:\n  $ paas accounts:unlink friend@example.com\n  $ paas accounts:unlink --issuer https://id.example.com"
    )]
    AccountUnlink(UnlinkArgs),
    /// Show whether all is well with the platform: store, hosts, routers (administrators)
    #[command(
        name = "platform:status",
        after_help = "Examples:\n  $ paas platform:status\n  $ paas platform:status --json"
    )]
    PlatformStatus(JsonArgs),
    /// Have everybody told something with whatever he asks, by every client (administrators)
    #[command(
        name = "platform:notice",
        after_help = "Examples:\n  $ paas platform:notice 'Maintenance on Sunday, 6 to 7 UTC'\n  $ paas platform:notice\n  $ paas platform:notice --clear"
    )]
    PlatformNotice(NoticeArgs),
    /// Show how the routers are, or what they say of an app (without an app: administrators)
    #[command(
        name = "router:status",
        alias = "routers",
        after_help = routers::STATUS_EXAMPLES
    )]
    RouterStatus(RouterStatusArgs),
    /// Show the platform's own certificate (administrators)
    #[command(
        name = "platform:certs",
        after_help = "Examples:\n  $ paas platform:certs\n  $ paas platform:certs --json"
    )]
    PlatformCerts(JsonArgs),
    /// Put another certificate in the place of the platform's own, on all routers (administrators)
    #[command(
        name = "platform:certs:set",
        after_help = "It must be for *.<domain>; from then on the files that hosts' configurations name do not count.\n\nExample:\n  $ paas platform:certs:set fullchain.pem privkey.pem"
    )]
    PlatformCertsSet(PlatformCertSetArgs),
    /// List the ports that are routed whatever they speak (administrators)
    #[command(
        name = "tcp-routes",
        after_help = "Examples:\n  $ paas tcp-routes\n  $ paas tcp-routes --json"
    )]
    TcpRoutes(JsonArgs),
    /// Open a port on every router, and route it to a host or an app (administrators)
    #[command(name = "tcp-routes:add", after_help = tcp_routes::ADD_EXAMPLES)]
    TcpRouteAdd(TcpRouteAddArgs),
    /// Close the port of a TCP route; connections that are open go on (administrators)
    #[command(
        name = "tcp-routes:remove",
        after_help = "Example:\n  $ paas tcp-routes:remove 5432"
    )]
    TcpRouteRemove(TcpRouteArgs),
    /// List the platform's hosts (administrators)
    #[command(
        name = "nodes",
        after_help = "Examples:\n  $ paas nodes\n  $ paas nodes --json"
    )]
    Nodes(JsonArgs),
    /// Show one host (administrators)
    #[command(
        name = "nodes:info",
        after_help = "Examples:\n  $ paas nodes:info node-1\n  $ paas nodes:info node-1 --json"
    )]
    NodeInfo(NodeArgs),
    /// Keep new dynos away from a host; those it has run on (administrators)
    #[command(
        name = "nodes:cordon",
        after_help = "Example:\n  $ paas nodes:cordon node-1"
    )]
    NodeCordon(NodeArgs),
    /// Move a host's dynos to others, without a lost request, and keep new ones away (administrators)
    #[command(
        name = "nodes:drain",
        after_help = "Dynos for which there is no room elsewhere stay; one-off dynos run to their end.\n\nExamples:\n  $ paas nodes:drain node-1\n  $ paas nodes:drain node-1 --no-wait"
    )]
    NodeDrain(NodeDrainArgs),
    /// Let a host that was cordoned or drained take dynos again (administrators)
    #[command(
        name = "nodes:uncordon",
        after_help = "Example:\n  $ paas nodes:uncordon node-1"
    )]
    NodeUncordon(NodeArgs),
    /// Print a token that lets a host join the platform (administrators)
    #[command(
        name = "nodes:token",
        after_help = "Examples:\n  $ paas nodes:token\n  $ paas nodes:token --roles node --uses 20 --expires-in 7d\n  $ paas nodes:token | ssh root@host-2 paasd join -"
    )]
    NodeToken(NodeTokenArgs),
    /// Set or remove tags of a host, which apps may ask for (administrators)
    #[command(
        name = "nodes:tag",
        after_help = "Examples:\n  $ paas nodes:tag node-1 disk=ssd gpu=yes\n  $ paas nodes:tag node-1 gpu-"
    )]
    NodeTag(NodeTagArgs),
    /// Move dynos until the hosts' loads are alike, without a lost request (administrators)
    #[command(
        name = "nodes:rebalance",
        after_help = "A few dynos at a time; it goes on if this command is stopped, and the same command follows it again.\n\nExamples:\n  $ paas nodes:rebalance\n  $ paas nodes:rebalance --no-wait\n  $ paas nodes:rebalance --stop"
    )]
    NodeRebalance(NodeRebalanceArgs),
    /// Forget a host that is down and has no dynos (administrators)
    #[command(
        name = "nodes:remove",
        after_help = "Its certificate is not renewed any more; within two weeks it is of no use to anybody.\n\nExample:\n  $ paas nodes:remove node-1"
    )]
    NodeRemove(NodeArgs),

    /// Add the git remote of an app to this directory's repository
    #[command(
        name = "git:remote",
        after_help = "Examples:\n  $ paas git:remote -a myapp\n  $ paas git:remote -a myapp-staging -r staging"
    )]
    GitRemote(GitRemoteArgs),
    /// Answer git's questions for credentials (git runs this itself)
    #[command(
        name = "git:credentials",
        after_help = "Git runs this; `paas login` sets it up for the platform's git host only."
    )]
    GitCredentials(GitCredentialsArgs),

    /// Say what is wrong, and what to do: login, network, git, an app, the platform
    #[command(name = "doctor", after_help = tools::DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Print the script that completes commands in bash, zsh or fish
    #[command(name = "completion", alias = "autocomplete", after_help = tools::COMPLETION_EXAMPLES)]
    Completion(CompletionArgs),
    /// Show the manual page of paas or of a command, or write all of them
    #[command(name = "man", after_help = tools::MAN_EXAMPLES)]
    Man(ManArgs),
    /// Show the version
    #[command(name = "version", after_help = "Example:\n  $ paas version")]
    Version,
    /// Show all commands, or one
    #[command(
        name = "help",
        alias = "commands",
        after_help = "Examples:\n  $ paas help\n  $ paas help config\n  $ paas help ps:scale"
    )]
    Help(HelpArgs),

    #[command(external_subcommand)]
    Unknown(Vec<OsString>),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_argument_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_that_lists_or_shows_something_has_json_for_scripts() {
        // Text by nature: a log, a page, a line.
        let text = [
            "logs",
            "builds:output",
            "completion",
            "help",
            "man",
            "version",
        ];
        for verb in Cli::command().get_subcommands() {
            let about = verb.get_about().map(ToString::to_string);
            let tells = about.is_some_and(|about| {
                about.starts_with("List") || about.starts_with("Show") || about.starts_with("Print")
            });
            let has_json = verb.get_arguments().any(|arg| arg.get_id() == "json");
            let name = verb.get_name();
            assert!(
                !tells || has_json || text.contains(&name),
                "{name} has no --json"
            );
        }
    }

    #[test]
    fn every_verb_says_what_it_does_and_shows_an_example() {
        for verb in Cli::command().get_subcommands() {
            let name = verb.get_name();
            let about = verb
                .get_about()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                !about.is_empty() && about.lines().count() == 1,
                "{name}: {about:?}"
            );
            let examples = verb
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(examples.contains("paas "), "{name} has no example");
        }
    }
}
