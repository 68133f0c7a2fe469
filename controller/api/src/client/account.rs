//! Accounts, tokens, keys.

use std::time::Duration;

use model::Secret;
use reqwest::Method;

use super::{Client, ClientError, DEADLINE, decode};
use crate::wire::{
    Account, AccountCreate, AccountCreated, AccountUpdate, Authorization, AuthorizationCreate,
    AuthorizationUpdate, BrowserLogin, BrowserLoginCreate, BrowserLoginResult, Invitation,
    InvitationAccept, InvitationCreate, InvitationCreated, IssuerUnlink, Key, KeyCreate, RateLimit,
    RecoveryCodes, SecondFactor, SecondFactorConfirm, SecondFactorEnrol, SecondFactorEnrolment,
    SecondFactorProof,
};

impl Client {
    /// Logs in: a new token for an e-mail address, a password, and a code where the account has a second factor.
    pub async fn create_authorization(
        &self,
        email: &str,
        password: &Secret<String>,
        code: Option<&str>,
        create: &AuthorizationCreate,
    ) -> Result<Authorization, ClientError> {
        let mut anonymous = self.clone();
        anonymous.authorization = None;
        let mut request = anonymous
            .request(Method::POST, &["oauth", "authorizations"])?
            .basic_auth(email, Some(password.expose()))
            .json(create);
        if let Some(code) = code {
            request = request.header("heroku-two-factor-code", code);
        }
        decode(self.execute(request).await?).await
    }

    /// Asks to be logged in by somebody at a browser.
    pub async fn begin_browser_login(
        &self,
        create: &BrowserLoginCreate,
    ) -> Result<BrowserLogin, ClientError> {
        let mut anonymous = self.clone();
        anonymous.authorization = None;
        anonymous.send(Method::POST, &["auth"], create).await
    }

    /// Waits until that is decided.
    pub async fn finish_browser_login(
        &self,
        login: &BrowserLogin,
    ) -> Result<BrowserLoginResult, ClientError> {
        let mut anonymous = self.clone();
        anonymous.authorization = None;
        let path: Vec<_> = login
            .cli_url
            .expose()
            .trim_start_matches('/')
            .split('/')
            .collect();
        let request = anonymous
            .request(Method::GET, &path)?
            .bearer_auth(login.token.expose())
            .timeout(Duration::from_secs(login.expires_in) + DEADLINE);
        decode(self.execute(request).await?).await
    }

    /// Another token for the account of the present one.
    pub async fn create_token(
        &self,
        create: &AuthorizationCreate,
    ) -> Result<Authorization, ClientError> {
        self.send(Method::POST, &["oauth", "authorizations"], create)
            .await
    }

    pub async fn authorizations(&self) -> Result<Vec<Authorization>, ClientError> {
        self.get_all(&["oauth", "authorizations"]).await
    }

    pub async fn authorization(&self, id: &str) -> Result<Authorization, ClientError> {
        self.get(&["oauth", "authorizations", id]).await
    }

    pub async fn update_authorization(
        &self,
        id: &str,
        update: &AuthorizationUpdate,
    ) -> Result<Authorization, ClientError> {
        self.send(Method::PATCH, &["oauth", "authorizations", id], update)
            .await
    }

    /// Its token is another afterwards, and in the answer.
    pub async fn rotate_authorization(&self, id: &str) -> Result<Authorization, ClientError> {
        let path = [
            "oauth",
            "authorizations",
            id,
            "actions",
            "regenerate-tokens",
        ];
        self.send(Method::POST, &path, &serde_json::json!({})).await
    }

    /// `~` is the present token.
    pub async fn revoke_authorization(&self, id: &str) -> Result<Authorization, ClientError> {
        self.delete(&["oauth", "authorizations", id]).await
    }

    pub async fn account(&self) -> Result<Account, ClientError> {
        self.get(&["account"]).await
    }

    pub async fn update_account(&self, update: &AccountUpdate) -> Result<Account, ClientError> {
        self.send(Method::PATCH, &["account"], update).await
    }

    /// For administrators.
    pub async fn create_account(
        &self,
        create: &AccountCreate,
    ) -> Result<AccountCreated, ClientError> {
        self.send(Method::POST, &["accounts"], create).await
    }

    pub async fn second_factor(&self) -> Result<SecondFactor, ClientError> {
        self.get(&["account", "two-factor"]).await
    }

    /// It counts once it is confirmed.
    pub async fn enrol_second_factor(
        &self,
        enrol: &SecondFactorEnrol,
    ) -> Result<SecondFactorEnrolment, ClientError> {
        self.send(Method::POST, &["account", "two-factor"], enrol)
            .await
    }

    pub async fn confirm_second_factor(
        &self,
        confirm: &SecondFactorConfirm,
    ) -> Result<RecoveryCodes, ClientError> {
        let path = ["account", "two-factor", "actions", "confirm"];
        self.send(Method::POST, &path, confirm).await
    }

    pub async fn disable_second_factor(
        &self,
        proof: &SecondFactorProof,
    ) -> Result<SecondFactor, ClientError> {
        let path = ["account", "two-factor", "actions", "disable"];
        self.send(Method::POST, &path, proof).await
    }

    pub async fn renew_recovery_codes(
        &self,
        proof: &SecondFactorProof,
    ) -> Result<RecoveryCodes, ClientError> {
        let path = ["account", "two-factor", "recovery-codes"];
        self.send(Method::POST, &path, proof).await
    }

    /// For administrators.
    pub async fn reset_second_factor(&self, account: &str) -> Result<Account, ClientError> {
        self.delete(&["accounts", account, "two-factor"]).await
    }

    /// From whom it is at an identity provider; for administrators.
    pub async fn unlink_account(&self, account: &str) -> Result<Account, ClientError> {
        self.delete(&["accounts", account, "identity"]).await
    }

    /// All accounts, from those whom this issuer knew; for administrators.
    pub async fn unlink_issuer(&self, issuer: &str) -> Result<Vec<Account>, ClientError> {
        let unlink = IssuerUnlink {
            issuer: issuer.to_owned(),
        };
        let path = ["account-identities", "actions", "unlink"];
        self.send(Method::POST, &path, &unlink).await
    }

    /// For administrators.
    pub async fn suspend_account(&self, account: &str) -> Result<Account, ClientError> {
        self.send(
            Method::POST,
            &["accounts", account, "actions", "suspend"],
            &(),
        )
        .await
    }

    /// For administrators.
    pub async fn resume_account(&self, account: &str) -> Result<Account, ClientError> {
        self.send(
            Method::POST,
            &["accounts", account, "actions", "resume"],
            &(),
        )
        .await
    }

    /// For administrators.
    pub async fn invite(
        &self,
        create: &InvitationCreate,
    ) -> Result<InvitationCreated, ClientError> {
        self.send(Method::POST, &["account-invitations"], create)
            .await
    }

    /// For administrators.
    pub async fn invitations(&self) -> Result<Vec<Invitation>, ClientError> {
        self.get_all(&["account-invitations"]).await
    }

    /// For administrators. By id or e-mail address.
    pub async fn take_back_invitation(&self, invitation: &str) -> Result<Invitation, ClientError> {
        self.delete(&["account-invitations", invitation]).await
    }

    /// Makes the account; logging in is another matter.
    pub async fn accept_invitation(
        &self,
        accept: &InvitationAccept,
    ) -> Result<Account, ClientError> {
        let path = ["account-invitations", "actions", "accept"];
        self.send(Method::POST, &path, accept).await
    }

    pub async fn rate_limit(&self) -> Result<RateLimit, ClientError> {
        self.get(&["account", "rate-limits"]).await
    }

    pub async fn keys(&self) -> Result<Vec<Key>, ClientError> {
        self.get_all(&["account", "keys"]).await
    }

    pub async fn add_key(&self, public_key: &str) -> Result<Key, ClientError> {
        self.send(
            Method::POST,
            &["account", "keys"],
            &KeyCreate {
                public_key: public_key.to_owned(),
            },
        )
        .await
    }

    /// By id or fingerprint.
    pub async fn remove_key(&self, key: &str) -> Result<Key, ClientError> {
        self.delete(&["account", "keys", key]).await
    }
}
