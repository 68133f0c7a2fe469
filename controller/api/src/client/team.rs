//! Teams, who is in them, and the apps they own.

use reqwest::Method;

use super::{Client, ClientError};
use crate::wire::{
    AppCreate, Collaborator, CollaboratorCreate, Team, TeamApp, TeamAppUpdate, TeamCreate,
    TeamMember, TeamMemberSet, TeamUpdate,
};

impl Client {
    pub async fn teams(&self) -> Result<Vec<Team>, ClientError> {
        self.get_all(&["teams"]).await
    }

    pub async fn team(&self, team: &str) -> Result<Team, ClientError> {
        self.get(&["teams", team]).await
    }

    pub async fn create_team(&self, create: &TeamCreate) -> Result<Team, ClientError> {
        self.send(Method::POST, &["teams"], create).await
    }

    pub async fn update_team(&self, team: &str, update: &TeamUpdate) -> Result<Team, ClientError> {
        self.send(Method::PATCH, &["teams", team], update).await
    }

    pub async fn destroy_team(&self, team: &str) -> Result<Team, ClientError> {
        self.delete(&["teams", team]).await
    }

    pub async fn team_members(&self, team: &str) -> Result<Vec<TeamMember>, ClientError> {
        self.get_all(&["teams", team, "members"]).await
    }

    /// One who is there already gets that role instead.
    pub async fn set_team_member(
        &self,
        team: &str,
        set: &TeamMemberSet,
    ) -> Result<TeamMember, ClientError> {
        self.send(Method::PUT, &["teams", team, "members"], set)
            .await
    }

    /// Only of one who is there already.
    pub async fn update_team_member(
        &self,
        team: &str,
        set: &TeamMemberSet,
    ) -> Result<TeamMember, ClientError> {
        self.send(Method::PATCH, &["teams", team, "members"], set)
            .await
    }

    /// By e-mail address.
    pub async fn remove_team_member(
        &self,
        team: &str,
        member: &str,
    ) -> Result<TeamMember, ClientError> {
        self.delete(&["teams", team, "members", member]).await
    }

    /// Those that one may see.
    pub async fn team_apps(&self, team: &str) -> Result<Vec<TeamApp>, ClientError> {
        self.get_all(&["teams", team, "apps"]).await
    }

    pub async fn team_app(&self, app: &str) -> Result<TeamApp, ClientError> {
        self.get(&["teams", "apps", app]).await
    }

    pub async fn create_team_app(&self, create: &AppCreate) -> Result<TeamApp, ClientError> {
        self.send(Method::POST, &["teams", "apps"], create).await
    }

    pub async fn update_team_app(
        &self,
        app: &str,
        update: &TeamAppUpdate,
    ) -> Result<TeamApp, ClientError> {
        self.send(Method::PATCH, &["teams", "apps", app], update)
            .await
    }

    /// Works on a team's app that is not locked, as oneself.
    pub async fn join_app(&self, app: &str, email: &str) -> Result<Collaborator, ClientError> {
        let create = CollaboratorCreate {
            user: email.to_owned(),
            silent: None,
            permissions: None,
        };
        self.send(
            Method::POST,
            &["teams", "apps", app, "collaborators"],
            &create,
        )
        .await
    }
}
