//! Every key of the store, and the only place where one is spelled.
//!
//! ```text
//! /paas/v1/accounts/<account>                      Account
//! /paas/v1/account-emails/<email>                  AccountId        (unique e-mail)
//! /paas/v1/account-identities/<sha256 of issuer and subject>  AccountId
//! /paas/v1/tokens/<sha256 of the secret>           Token
//! /paas/v1/browser-logins/<sha256 of the secret>   BrowserLogin     (while a terminal waits)
//! /paas/v1/invitations/<sha256 of the token>        Invitation       (until it is taken up)
//! /paas/v1/ssh-keys/<fingerprint>                  SshKey
//! /paas/v1/apps/<app>                              App
//! /paas/v1/app-names/<name>                        AppId            (unique name)
//! /paas/v1/app-setups/<setup>                      AppSetup
//! /paas/v1/teams/<team>                            Team
//! /paas/v1/team-names/<name>                       TeamId           (unique name)
//! /paas/v1/team-members/<team>/<account>           TeamMember
//! /paas/v1/collaborators/<app>/<account>           Collaborator
//! /paas/v1/transfers/<transfer>                    Transfer
//! /paas/v1/pipelines/<pipeline>                    Pipeline
//! /paas/v1/couplings/<app>                         Coupling         (an app is in one pipeline at most)
//! /paas/v1/review-app-configs/<pipeline>           ReviewAppConfig
//! /paas/v1/review-apps/<review app>                ReviewApp
//! /paas/v1/promotions/<promotion>                  Promotion
//! /paas/v1/domains/<host name>                     Domain           (unique host name)
//! /paas/v1/addon-services/<name>                   AddonService
//! /paas/v1/addons/<addon>                          Addon
//! /paas/v1/addon-names/<name>                      AddonId          (unique name)
//! /paas/v1/attachments/<app>/<name>                Attachment       (unique name in the app)
//! /paas/v1/log-drains/<app>/<drain>                LogDrain
//! /paas/v1/tls/certificates/<app>/<endpoint>      SniEndpoint
//! /paas/v1/tls/platform/<name>                     PlatformCertificate
//! /paas/v1/tls/challenges/<host name>              Challenge        (while an authority asks)
//! /paas/v1/tls/tickets/<name>                      TicketKeys
//! /paas/v1/acm/<app>                               Acm              (while it is enabled)
//! /paas/v1/acm-progress/<app>                      AcmProgress
//! /paas/v1/slugs/<app>/<slug>                      Slug
//! /paas/v1/builds/<app>/<build>                    Build
//! /paas/v1/build-sources/<app>/<build>              BuildSource      (of builds that are not over)
//! /paas/v1/sources/<source>                        Source           (uploads, until they expire)
//! /paas/v1/build-places/<app>                      BuildPlace       (while it is asked for)
//! /paas/v1/repositories/<app>                      Repository       (git refs and packs)
//! /paas/v1/build-caches/<app>                      BuildCache
//! /paas/v1/releases/<app>/<version, 12 digits>     Release
//! /paas/v1/release-config/<app>/<version>          Sealed (ConfigVars)
//! /paas/v1/dynos/<app>/<dyno>                      Dyno             (as it should be)
//! /paas/v1/dyno-status/<app>/<dyno>                DynoStatus       (as it is; written by its node)
//! /paas/v1/routes/<app>                            Route
//! /paas/v1/tcp-routes/<port>                       TcpRoute         (unique port)
//! /paas/v1/webhooks/<app>/<webhook>                Webhook
//! /paas/v1/webhook-feeds/<app>                     WebhookFeed      (while the app has webhooks)
//! /paas/v1/webhook-seen/<app>/<epoch>/<resource>/<its key's end>  what webhooks know of it
//! /paas/v1/webhook-events/<app>/<event>            WebhookEvent
//! /paas/v1/webhook-deliveries/<app>/<delivery>     WebhookDelivery
//! /paas/v1/nodes/<node>                            Node
//! /paas/v1/node-tokens/<sha256 of the secret>      NodeToken
//! /paas/v1/rebalance/requested                     RebalanceRequest (while it is followed)
//! /paas/v1/rebalance-progress/newest               RebalanceProgress
//! /paas/v1/migrations/incoming                     Migration        (into this store; until it is whole)
//! /paas/v1/migrations/moved                        Migration        (this store's; it is not to be used)
//! /paas/v1/platform/<name>                         platform-wide values (host keys, …)
//! /paas/v1/audit/<number, 12 digits>               AuditBlock
//! /paas/v1/audit-head/newest                       AuditHead
//! /paas/v1/alive/nodes/<node>                      NodeHeartbeat    (leased)
//! /paas/v1/alive/routers/<router>                  RouterReport     (leased)
//! /paas/v1/alive/services/<role>/<service>         ServiceEndpoint  (leased)
//! /paas/v1/alive/builds/<app>                      BuildId          (leased: the one running build)
//! /paas/v1/alive/build-requests/<app>              BuildRequest     (leased, with the one running build)
//! /paas/v1/alive/builders/<service>                BuilderReport    (leased)
//! /paas/v1/alive/inside/<app>/<session>            Inside           (leased: a command in a dyno that runs)
//! /paas/v1/alive/leader/<election>                 id of the leader (leased)
//! ```

use std::fmt;

use model::audit::{AuditBlock, AuditHead};
use model::{
    Account, AccountId, Acm, AcmProgress, Addon, AddonId, AddonName, AddonService,
    AddonServiceName, App, AppId, AppName, AppSetup, AppSetupId, Attachment, AttachmentName,
    BrowserLogin, Build, BuildCache, BuildId, BuildPlace, BuildRequest, BuildSource, BuilderReport,
    Challenge, Checksum, Collaborator, Coupling, Domain, DrainId, Dyno, DynoId, DynoStatus, Email,
    EndpointId, Hostname, Inside, InsideId, Invitation, LogDrain, Node, NodeHeartbeat, NodeId,
    NodeToken, Pipeline, PipelineId, PlatformCertificate, Promotion, PromotionId,
    RebalanceProgress, RebalanceRequest, Release, ReleaseVersion, Repository, ReviewApp,
    ReviewAppConfig, ReviewAppId, Route, RouterId, RouterReport, Sealed, ServiceEndpoint,
    ServiceId, ServiceRole, Slug, SlugId, SniEndpoint, Source, SourceId, SshKey, TcpRoute, Team,
    TeamId, TeamMember, TeamName, TicketKeys, Token, Transfer, TransferId, Webhook,
    WebhookDelivery, WebhookDeliveryId, WebhookEntity, WebhookEvent, WebhookEventId, WebhookFeed,
    WebhookId,
};

use serde_json::Value;
use uuid::Uuid;

use crate::Table;
use crate::migrate::Migration;

/// A full key. Keys order by bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// The name below `platform/` of what makes hosts; it is sealed apart from all else.
pub const HOST_AUTHORITY: &str = "host-authority";

/// Everything of ours is below this.
pub const ROOT: &str = "/paas/v1/";

impl Key {
    pub fn root() -> Self {
        Self(ROOT.to_owned())
    }

    /// A key from its text; for backends, which get keys back from their engine.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn join(prefix: &str, rest: impl fmt::Display) -> Self {
        Self(format!("{ROOT}{prefix}{rest}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// The app it belongs to, in tables whose keys name one; elsewhere another noun's id may look like it.
    pub fn app(&self) -> Option<AppId> {
        let segments = self.0.strip_prefix(ROOT)?.split('/').skip(1).take(2);
        segments.map(str::parse).find_map(Result::ok)
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub const ACCOUNTS: Table<Account> = Table::new("accounts/");
pub const ACCOUNT_EMAILS: Table<AccountId> = Table::new("account-emails/");
pub const ACCOUNT_IDENTITIES: Table<AccountId> = Table::new("account-identities/");
pub const TOKENS: Table<Token> = Table::new("tokens/");
pub const BROWSER_LOGINS: Table<BrowserLogin> = Table::new("browser-logins/");
pub const INVITATIONS: Table<Invitation> = Table::new("invitations/");
pub const SSH_KEYS: Table<SshKey> = Table::new("ssh-keys/");
pub const APPS: Table<App> = Table::new("apps/");
pub const APP_NAMES: Table<AppId> = Table::new("app-names/");
pub const APP_SETUPS: Table<AppSetup> = Table::new("app-setups/");
pub const TEAMS: Table<Team> = Table::new("teams/");
pub const TEAM_NAMES: Table<TeamId> = Table::new("team-names/");
pub const TEAM_MEMBERS: Table<TeamMember> = Table::new("team-members/");
pub const COLLABORATORS: Table<Collaborator> = Table::new("collaborators/");
pub const TRANSFERS: Table<Transfer> = Table::new("transfers/");
pub const PIPELINES: Table<Pipeline> = Table::new("pipelines/");
pub const COUPLINGS: Table<Coupling> = Table::new("couplings/");
pub const REVIEW_APP_CONFIGS: Table<ReviewAppConfig> = Table::new("review-app-configs/");
pub const REVIEW_APPS: Table<ReviewApp> = Table::new("review-apps/");
pub const PROMOTIONS: Table<Promotion> = Table::new("promotions/");
pub const DOMAINS: Table<Domain> = Table::new("domains/");
pub const ADDON_SERVICES: Table<AddonService> = Table::new("addon-services/");
pub const ADDONS: Table<Addon> = Table::new("addons/");
pub const ADDON_NAMES: Table<AddonId> = Table::new("addon-names/");
pub const ATTACHMENTS: Table<Attachment> = Table::new("attachments/");
pub const LOG_DRAINS: Table<LogDrain> = Table::new("log-drains/");
pub const CERTIFICATES: Table<SniEndpoint> = Table::new("tls/certificates/");
pub const PLATFORM_CERTIFICATES: Table<PlatformCertificate> = Table::new("tls/platform/");
pub const CHALLENGES: Table<Challenge> = Table::new("tls/challenges/");
pub const TICKETS: Table<TicketKeys> = Table::new("tls/tickets/");
pub const ACM: Table<Acm> = Table::new("acm/");
pub const ACM_PROGRESS: Table<AcmProgress> = Table::new("acm-progress/");
pub const SLUGS: Table<Slug> = Table::new("slugs/");
pub const BUILDS: Table<Build> = Table::new("builds/");
pub const BUILD_SOURCES: Table<BuildSource> = Table::new("build-sources/");
pub const SOURCES: Table<Source> = Table::new("sources/");
pub const BUILD_PLACES: Table<BuildPlace> = Table::new("build-places/");
pub const REPOSITORIES: Table<Repository> = Table::new("repositories/");
pub const BUILD_CACHES: Table<BuildCache> = Table::new("build-caches/");
pub const RELEASES: Table<Release> = Table::new("releases/");
pub const RELEASE_CONFIG: Table<Sealed> = Table::new("release-config/");
pub const DYNOS: Table<Dyno> = Table::new("dynos/");
pub const DYNO_STATUS: Table<DynoStatus> = Table::new("dyno-status/");
pub const ROUTES: Table<Route> = Table::new("routes/");
pub const TCP_ROUTES: Table<TcpRoute> = Table::new("tcp-routes/");
pub const WEBHOOKS: Table<Webhook> = Table::new("webhooks/");
pub const WEBHOOK_FEEDS: Table<WebhookFeed> = Table::new("webhook-feeds/");
pub const WEBHOOK_SEEN: Table<Value> = Table::new("webhook-seen/");
pub const WEBHOOK_EVENTS: Table<WebhookEvent> = Table::new("webhook-events/");
pub const WEBHOOK_DELIVERIES: Table<WebhookDelivery> = Table::new("webhook-deliveries/");
pub const NODES: Table<Node> = Table::new("nodes/");
pub const NODE_TOKENS: Table<NodeToken> = Table::new("node-tokens/");
pub const REBALANCE: Table<RebalanceRequest> = Table::new("rebalance/");
pub const REBALANCE_PROGRESS: Table<RebalanceProgress> = Table::new("rebalance-progress/");
pub const PLATFORM: Table<Sealed> = Table::new("platform/");
pub const MIGRATIONS: Table<Migration> = Table::new("migrations/");
pub const AUDIT: Table<AuditBlock> = Table::new("audit/");
pub const AUDIT_HEAD: Table<AuditHead> = Table::new("audit-head/");
pub const ALIVE_NODES: Table<NodeHeartbeat> = Table::new("alive/nodes/");
pub const ALIVE_ROUTERS: Table<RouterReport> = Table::new("alive/routers/");
pub const ALIVE_SERVICES: Table<ServiceEndpoint> = Table::new("alive/services/");
pub const ALIVE_BUILDS: Table<BuildId> = Table::new("alive/builds/");
pub const BUILD_REQUESTS: Table<BuildRequest> = Table::new("alive/build-requests/");
pub const ALIVE_BUILDERS: Table<BuilderReport> = Table::new("alive/builders/");
pub const INSIDE: Table<Inside> = Table::new("alive/inside/");
pub const LEADERS: Table<String> = Table::new("alive/leader/");

macro_rules! keys {
    ($($table:ident: $record:ty = $name:ident($($arg:ident: $kind:ty),*) $format:literal;)*) => {
        $(
            pub fn $name($($arg: $kind),*) -> Key {
                Key::join($table.prefix_text(), format_args!($format))
            }
        )*
    };
}

keys! {
    ACCOUNTS: Account = account(id: AccountId) "{id}";
    ACCOUNT_EMAILS: AccountId = account_email(email: &Email) "{email}";
    ACCOUNT_IDENTITIES: AccountId = account_identity(hash: &Checksum) "{hash}";
    TOKENS: Token = token(secret_hash: &Checksum) "{secret_hash}";
    BROWSER_LOGINS: BrowserLogin = browser_login(secret_hash: &Checksum) "{secret_hash}";
    INVITATIONS: Invitation = invitation(token_hash: &Checksum) "{token_hash}";
    APPS: App = app(app: AppId) "{app}";
    APP_NAMES: AppId = app_name(name: &AppName) "{name}";
    APP_SETUPS: AppSetup = app_setup(id: AppSetupId) "{id}";
    TEAMS: Team = team(team: TeamId) "{team}";
    TEAM_NAMES: TeamId = team_name(name: &TeamName) "{name}";
    TEAM_MEMBERS: TeamMember = team_member(team: TeamId, account: AccountId) "{team}/{account}";
    TEAM_MEMBERS: TeamMember = team_members_of(team: TeamId) "{team}/";
    COLLABORATORS: Collaborator = collaborator(app: AppId, account: AccountId) "{app}/{account}";
    COLLABORATORS: Collaborator = collaborators_of(app: AppId) "{app}/";
    TRANSFERS: Transfer = transfer(id: TransferId) "{id}";
    PIPELINES: Pipeline = pipeline(id: PipelineId) "{id}";
    COUPLINGS: Coupling = coupling(app: AppId) "{app}";
    REVIEW_APP_CONFIGS: ReviewAppConfig = review_app_config(pipeline: PipelineId) "{pipeline}";
    REVIEW_APPS: ReviewApp = review_app(id: ReviewAppId) "{id}";
    PROMOTIONS: Promotion = promotion(id: PromotionId) "{id}";
    DOMAINS: Domain = domain(hostname: &Hostname) "{hostname}";
    ADDON_SERVICES: AddonService = addon_service(name: &AddonServiceName) "{name}";
    ADDONS: Addon = addon(addon: AddonId) "{addon}";
    ADDON_NAMES: AddonId = addon_name(name: &AddonName) "{name}";
    ATTACHMENTS: Attachment = attachment(app: AppId, name: &AttachmentName) "{app}/{name}";
    ATTACHMENTS: Attachment = attachments_of(app: AppId) "{app}/";
    LOG_DRAINS: LogDrain = log_drain(app: AppId, drain: DrainId) "{app}/{drain}";
    LOG_DRAINS: LogDrain = log_drains_of(app: AppId) "{app}/";
    CERTIFICATES: SniEndpoint = certificate(app: AppId, endpoint: EndpointId) "{app}/{endpoint}";
    CERTIFICATES: SniEndpoint = certificates_of(app: AppId) "{app}/";
    PLATFORM_CERTIFICATES: PlatformCertificate = platform_certificate() "current";
    CHALLENGES: Challenge = challenge(hostname: &Hostname) "{hostname}";
    TICKETS: TicketKeys = ticket_keys() "current";
    ACM: Acm = acm(app: AppId) "{app}";
    ACM_PROGRESS: AcmProgress = acm_progress(app: AppId) "{app}";
    SLUGS: Slug = slug(app: AppId, slug: SlugId) "{app}/{slug}";
    SLUGS: Slug = slugs_of(app: AppId) "{app}/";
    BUILDS: Build = build(app: AppId, build: BuildId) "{app}/{build}";
    BUILDS: Build = builds_of(app: AppId) "{app}/";
    BUILD_SOURCES: BuildSource = build_source(app: AppId, build: BuildId) "{app}/{build}";
    SOURCES: Source = source(id: SourceId) "{id}";
    BUILD_PLACES: BuildPlace = build_place(app: AppId) "{app}";
    BUILD_SOURCES: BuildSource = build_sources_of(app: AppId) "{app}/";
    REPOSITORIES: Repository = repository(app: AppId) "{app}";
    BUILD_CACHES: BuildCache = build_cache(app: AppId) "{app}";
    RELEASES: Release = releases_of(app: AppId) "{app}/";
    RELEASE_CONFIG: Sealed = release_configs_of(app: AppId) "{app}/";
    DYNOS: Dyno = dyno(app: AppId, dyno: DynoId) "{app}/{dyno}";
    DYNOS: Dyno = dynos_of(app: AppId) "{app}/";
    DYNO_STATUS: DynoStatus = dyno_status(app: AppId, dyno: DynoId) "{app}/{dyno}";
    DYNO_STATUS: DynoStatus = dyno_statuses_of(app: AppId) "{app}/";
    ROUTES: Route = route(app: AppId) "{app}";
    TCP_ROUTES: TcpRoute = tcp_route(port: u16) "{port}";
    WEBHOOKS: Webhook = webhook(app: AppId, webhook: WebhookId) "{app}/{webhook}";
    WEBHOOKS: Webhook = webhooks_of(app: AppId) "{app}/";
    WEBHOOK_FEEDS: WebhookFeed = webhook_feed(app: AppId) "{app}";
    WEBHOOK_SEEN: Value = all_webhook_seen_of(app: AppId) "{app}/";
    WEBHOOK_SEEN: Value = webhook_seen_of(app: AppId, epoch: Uuid) "{app}/{epoch}/";
    WEBHOOK_EVENTS: WebhookEvent = webhook_event(app: AppId, event: WebhookEventId) "{app}/{event}";
    WEBHOOK_EVENTS: WebhookEvent = webhook_events_of(app: AppId) "{app}/";
    WEBHOOK_DELIVERIES: WebhookDelivery = webhook_delivery(app: AppId, delivery: WebhookDeliveryId) "{app}/{delivery}";
    WEBHOOK_DELIVERIES: WebhookDelivery = webhook_deliveries_of(app: AppId) "{app}/";
    NODES: Node = node(node: NodeId) "{node}";
    NODE_TOKENS: NodeToken = node_token(secret_hash: &Checksum) "{secret_hash}";
    REBALANCE: RebalanceRequest = rebalance() "requested";
    REBALANCE_PROGRESS: RebalanceProgress = rebalance_progress() "newest";
    MIGRATIONS: Migration = incoming() "incoming";
    MIGRATIONS: Migration = moved() "moved";
    PLATFORM: Sealed = platform(name: &str) "{name}";
    AUDIT_HEAD: AuditHead = audit_head() "newest";
    ALIVE_NODES: NodeHeartbeat = alive_node(node: NodeId) "{node}";
    ALIVE_ROUTERS: RouterReport = alive_router(router: RouterId) "{router}";
    ALIVE_BUILDS: BuildId = alive_build(app: AppId) "{app}";
    BUILD_REQUESTS: BuildRequest = build_request(app: AppId) "{app}";
    ALIVE_BUILDERS: BuilderReport = alive_builder(builder: ServiceId) "{builder}";
    INSIDE: Inside = inside(app: AppId, id: InsideId) "{app}/{id}";
    INSIDE: Inside = inside_of(app: AppId) "{app}/";
    LEADERS: String = leader(election: &str) "{election}";
}

/// All that routers need to know of certificates is below it.
pub fn tls() -> Key {
    Key::join("tls/", "")
}

/// All leased keys are below it.
pub fn alive() -> Key {
    Key::join("alive/", "")
}

pub fn alive_service(role: ServiceRole, id: ServiceId) -> Key {
    Key::join(
        ALIVE_SERVICES.prefix_text(),
        format_args!("{}/{id}", role.as_str()),
    )
}

pub fn alive_services_of(role: ServiceRole) -> Key {
    Key::join(
        ALIVE_SERVICES.prefix_text(),
        format_args!("{}/", role.as_str()),
    )
}

/// Zero-padded, so that key order is theirs.
pub fn audit_block(number: u64) -> Key {
    Key::join(AUDIT.prefix_text(), format_args!("{number:012}"))
}

/// A hundred of them: those whose number has these digits before the last two.
pub fn audit_blocks(hundred: u64) -> Key {
    Key::join(AUDIT.prefix_text(), format_args!("{hundred:010}"))
}

/// Zero-padded, so that key order is version order.
pub fn release(app: AppId, version: ReleaseVersion) -> Key {
    Key::join(
        RELEASES.prefix_text(),
        format_args!("{app}/{:012}", version.0),
    )
}

pub fn release_config(app: AppId, version: ReleaseVersion) -> Key {
    Key::join(
        RELEASE_CONFIG.prefix_text(),
        format_args!("{app}/{:012}", version.0),
    )
}

/// `id`: the last segment of the key of what it is about.
pub fn webhook_seen(app: AppId, epoch: Uuid, entity: WebhookEntity, id: &str) -> Key {
    Key::join(
        WEBHOOK_SEEN.prefix_text(),
        format_args!("{app}/{epoch}/{}/{id}", entity.resource()),
    )
}

/// A fingerprint is base64 and may hold `/`, which would split the key's last segment.
pub fn ssh_key(fingerprint: &str) -> Key {
    Key::join(SSH_KEYS.prefix_text(), fingerprint.replace('/', "_"))
}
