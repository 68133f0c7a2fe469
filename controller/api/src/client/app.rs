//! Apps and what hangs on them.

use reqwest::Method;

use super::{Client, ClientError};
use crate::LogStream;
use crate::wire::{
    App, AppCreate, AppTraffic, AppUpdate, BuildpackInstallation, BuildpackInstallationsUpdate,
    BuildpackUpdate, Collaborator, CollaboratorCreate, CollaboratorUpdate, ConfigVars,
    ConfigVarsUpdate, Domain, DomainCreate, DomainUpdate, DynoSize, LogDrain, LogDrainCreate,
    LogSession, LogSessionCreate, Node, NodeToken, NodeTokenCreate, NodeUpdate, Notice, Placement,
    PlacementUpdate, PlatformStatus, Rebalance, Region, RegistryBuildpack, RoutersStatus, Routing,
    Stack, TcpRoute, TcpRouteCreate,
};

impl Client {
    /// The apps one owns or collaborates on.
    pub async fn apps(&self) -> Result<Vec<App>, ClientError> {
        self.get_all(&["users", "~", "apps"]).await
    }

    /// Every app one may see; for administrators, every app.
    pub async fn all_apps(&self) -> Result<Vec<App>, ClientError> {
        self.get_all(&["apps"]).await
    }

    pub async fn app(&self, app: &str) -> Result<App, ClientError> {
        self.get(&["apps", app]).await
    }

    pub async fn create_app(&self, create: &AppCreate) -> Result<App, ClientError> {
        self.send(Method::POST, &["apps"], create).await
    }

    pub async fn update_app(&self, app: &str, update: &AppUpdate) -> Result<App, ClientError> {
        self.send(Method::PATCH, &["apps", app], update).await
    }

    pub async fn destroy_app(&self, app: &str) -> Result<App, ClientError> {
        self.delete(&["apps", app]).await
    }

    pub async fn config_vars(&self, app: &str) -> Result<ConfigVars, ClientError> {
        self.get(&["apps", app, "config-vars"]).await
    }

    /// Answers all config vars as they are after the change.
    pub async fn update_config_vars(
        &self,
        app: &str,
        update: &ConfigVarsUpdate,
    ) -> Result<ConfigVars, ClientError> {
        self.send(Method::PATCH, &["apps", app, "config-vars"], update)
            .await
    }

    pub async fn domains(&self, app: &str) -> Result<Vec<Domain>, ClientError> {
        self.get_all(&["apps", app, "domains"]).await
    }

    pub async fn add_domain(
        &self,
        app: &str,
        create: &DomainCreate,
    ) -> Result<Domain, ClientError> {
        self.send(Method::POST, &["apps", app, "domains"], create)
            .await
    }

    /// By id or host name.
    pub async fn remove_domain(&self, app: &str, domain: &str) -> Result<Domain, ClientError> {
        self.delete(&["apps", app, "domains", domain]).await
    }

    /// By id or host name.
    pub async fn update_domain(
        &self,
        app: &str,
        domain: &str,
        update: &DomainUpdate,
    ) -> Result<Domain, ClientError> {
        self.send(Method::PATCH, &["apps", app, "domains", domain], update)
            .await
    }

    pub async fn log_drains(&self, app: &str) -> Result<Vec<LogDrain>, ClientError> {
        self.get_all(&["apps", app, "log-drains"]).await
    }

    pub async fn add_log_drain(
        &self,
        app: &str,
        create: &LogDrainCreate,
    ) -> Result<LogDrain, ClientError> {
        self.send(Method::POST, &["apps", app, "log-drains"], create)
            .await
    }

    /// By id, token or URL.
    pub async fn remove_log_drain(&self, app: &str, drain: &str) -> Result<LogDrain, ClientError> {
        self.delete(&["apps", app, "log-drains", drain]).await
    }

    pub async fn collaborators(&self, app: &str) -> Result<Vec<Collaborator>, ClientError> {
        self.get_all(&["apps", app, "collaborators"]).await
    }

    pub async fn add_collaborator(
        &self,
        app: &str,
        user: &str,
        permissions: Option<Vec<String>>,
    ) -> Result<Collaborator, ClientError> {
        let create = CollaboratorCreate {
            user: user.to_owned(),
            silent: None,
            permissions,
        };
        self.send(Method::POST, &["apps", app, "collaborators"], &create)
            .await
    }

    pub async fn update_collaborator(
        &self,
        app: &str,
        user: &str,
        permissions: Vec<String>,
    ) -> Result<Collaborator, ClientError> {
        let update = CollaboratorUpdate { permissions };
        self.send(
            Method::PATCH,
            &["apps", app, "collaborators", user],
            &update,
        )
        .await
    }

    /// By e-mail address or id.
    pub async fn remove_collaborator(
        &self,
        app: &str,
        user: &str,
    ) -> Result<Collaborator, ClientError> {
        self.delete(&["apps", app, "collaborators", user]).await
    }

    pub async fn buildpacks(&self, app: &str) -> Result<Vec<BuildpackInstallation>, ClientError> {
        self.get(&["apps", app, "buildpack-installations"]).await
    }

    /// Replaces the whole list.
    pub async fn set_buildpacks(
        &self,
        app: &str,
        buildpacks: &[String],
    ) -> Result<Vec<BuildpackInstallation>, ClientError> {
        let updates = buildpacks
            .iter()
            .map(|buildpack| BuildpackUpdate {
                buildpack: buildpack.clone(),
            })
            .collect();
        let update = BuildpackInstallationsUpdate { updates };
        self.send(
            Method::PUT,
            &["apps", app, "buildpack-installations"],
            &update,
        )
        .await
    }

    /// The names of the buildpacks that ship with the platform, such as `heroku/python`.
    pub async fn shipped_buildpacks(&self) -> Result<Vec<String>, ClientError> {
        let shipped: Vec<RegistryBuildpack> = self.get(&["buildpacks"]).await?;
        let names = shipped
            .into_iter()
            .map(|one| format!("{}/{}", one.namespace, one.name));
        Ok(names.collect())
    }

    pub async fn placement(&self, app: &str) -> Result<Placement, ClientError> {
        self.get(&["apps", app, "placement"]).await
    }

    pub async fn update_placement(
        &self,
        app: &str,
        update: &PlacementUpdate,
    ) -> Result<Placement, ClientError> {
        self.send(Method::PATCH, &["apps", app, "placement"], update)
            .await
    }

    pub async fn routing(&self, app: &str) -> Result<Routing, ClientError> {
        self.get(&["apps", app, "routing"]).await
    }

    /// `patch`: see [`Routing`].
    pub async fn update_routing(
        &self,
        app: &str,
        patch: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Routing, ClientError> {
        self.send(Method::PATCH, &["apps", app, "routing"], patch)
            .await
    }

    pub async fn create_log_session(
        &self,
        app: &str,
        create: &LogSessionCreate,
    ) -> Result<LogSession, ClientError> {
        self.send(Method::POST, &["apps", app, "log-sessions"], create)
            .await
    }

    /// The lines of a new log session; with `tail`, they go on until dropped.
    pub async fn logs(
        &self,
        app: &str,
        create: &LogSessionCreate,
    ) -> Result<LogStream, ClientError> {
        let session = self.create_log_session(app, create).await?;
        LogStream::new(self, &session, create.tail.unwrap_or_default())
    }

    pub async fn stacks(&self) -> Result<Vec<Stack>, ClientError> {
        self.get_all(&["stacks"]).await
    }

    pub async fn regions(&self) -> Result<Vec<Region>, ClientError> {
        self.get_all(&["regions"]).await
    }

    pub async fn dyno_sizes(&self) -> Result<Vec<DynoSize>, ClientError> {
        self.get_all(&["dyno-sizes"]).await
    }

    /// For administrators.
    pub async fn nodes(&self) -> Result<Vec<Node>, ClientError> {
        self.get_all(&["nodes"]).await
    }

    /// For administrators.
    pub async fn notice(&self) -> Result<Notice, ClientError> {
        self.get(&["platform", "notice"]).await
    }

    pub async fn say_to_all(&self, notice: &Notice) -> Result<Notice, ClientError> {
        self.send(Method::PUT, &["platform", "notice"], notice)
            .await
    }

    pub async fn withdraw_notice(&self) -> Result<Notice, ClientError> {
        self.delete(&["platform", "notice"]).await
    }

    pub async fn platform_status(&self) -> Result<PlatformStatus, ClientError> {
        self.get(&["platform", "status"]).await
    }

    /// For administrators.
    pub async fn routers_status(&self) -> Result<RoutersStatus, ClientError> {
        self.get(&["platform", "routers"]).await
    }

    /// For administrators.
    pub async fn tcp_routes(&self) -> Result<Vec<TcpRoute>, ClientError> {
        self.get(&["tcp-routes"]).await
    }

    /// For administrators.
    pub async fn add_tcp_route(&self, create: &TcpRouteCreate) -> Result<TcpRoute, ClientError> {
        self.send(Method::POST, &["tcp-routes"], create).await
    }

    /// For administrators.
    pub async fn remove_tcp_route(&self, port: u16) -> Result<TcpRoute, ClientError> {
        self.delete(&["tcp-routes", &port.to_string()]).await
    }

    /// What the routers say of an app.
    pub async fn app_traffic(&self, app: &str) -> Result<AppTraffic, ClientError> {
        self.get(&["apps", app, "traffic"]).await
    }

    /// The newest request to even out the nodes' loads; for administrators.
    pub async fn rebalance(&self) -> Result<Rebalance, ClientError> {
        self.get(&["platform", "rebalance"]).await
    }

    /// Asks for it, unless somebody has already; for administrators.
    pub async fn request_rebalance(&self) -> Result<Rebalance, ClientError> {
        let nothing = serde_json::json!({});
        self.send(Method::POST, &["platform", "rebalance"], &nothing)
            .await
    }

    /// Calls it off; for administrators.
    pub async fn stop_rebalance(&self) -> Result<Rebalance, ClientError> {
        self.delete(&["platform", "rebalance"]).await
    }

    /// By name or id; for administrators.
    pub async fn node(&self, node: &str) -> Result<Node, ClientError> {
        self.get(&["nodes", node]).await
    }

    /// By name or id; for administrators.
    pub async fn update_node(&self, node: &str, update: &NodeUpdate) -> Result<Node, ClientError> {
        self.send(Method::PATCH, &["nodes", node], update).await
    }

    /// Forgets a host that is down; for administrators.
    pub async fn remove_node(&self, node: &str) -> Result<Node, ClientError> {
        self.delete(&["nodes", node]).await
    }

    /// A token that hosts join with; for administrators.
    pub async fn create_node_token(
        &self,
        create: &NodeTokenCreate,
    ) -> Result<NodeToken, ClientError> {
        self.send(Method::POST, &["node-tokens"], create).await
    }
}
