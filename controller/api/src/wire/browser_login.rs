//! Logging in by way of a browser, as Heroku's CLI does it.

use model::Secret;
use serde::{Deserialize, Serialize};

/// `POST /auth`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BrowserLoginCreate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Seconds that the token is to be good for (ours).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BrowserLogin {
    /// Paths, to be put behind the address of the API.
    pub browser_url: Secret<String>,
    pub cli_url: Secret<String>,
    /// What the terminal shows when it asks at `cli_url`.
    pub token: Secret<String>,
    /// What the browser shows too (ours).
    pub code: String,
    /// Seconds until it is too late (ours).
    pub expires_in: u64,
}

/// What `cli_url` answers in the end: a token, or why there is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrowserLoginResult {
    AccessToken(Secret<String>),
    Error(String),
}
