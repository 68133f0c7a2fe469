//! An identity provider that people prove to who they are (OpenID Connect): the authorization code flow with PKCE.
//!
//! Whether somebody is let in is decided by [`admit`], of claims that were verified: signature, issuer, audience, nonce and
//! times. Strangers have the provider asked: so many at a time, for so long, and not again at once when it does not answer.

mod admit;
mod call;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use model::{Identity, Secret};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim,
    CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessToken, AdditionalClaims, AuthType, AuthenticationFlow, AuthorizationCode, Client,
    ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, IdTokenClaims, IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse as _,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    StandardErrorResponse, StandardTokenResponse, TokenResponse as _, UserInfoClaims,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};
use tracing::warn;

pub(crate) use self::admit::{Admitted, admit, is_admin};
use self::call::Http;
use crate::auth;
use crate::config::OidcConfig;

const CALL_WITHIN: Duration = Duration::from_secs(10);
/// All that somebody who comes or goes waits for.
const ALL_WITHIN: Duration = Duration::from_secs(20);
/// Who come back and are looked at, at a time.
const TURNS: usize = 16;
/// How long what the provider says of itself, its keys among it, is taken for true.
const METADATA_LASTS: Duration = Duration::from_secs(300);
/// How long it is not asked again, when it did not answer or its keys did not fit.
const PAUSE: Duration = Duration::from_secs(5);
/// By how much its clock and ours may differ.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

type Fields = IdTokenFields<
    Extra,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Provided = Client<
    Extra,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Claims besides the standard's; which of them names groups is the operator's to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Extra(HashMap<String, Value>);

impl AdditionalClaims for Extra {}

#[derive(Debug)]
pub(crate) struct Provider {
    config: OidcConfig,
    redirect_url: String,
    http: Http,
    turns: Semaphore,
    /// Held while it is asked: those who come meanwhile wait for the same answer.
    metadata: Mutex<Option<Told>>,
}

/// What it said of itself when it was last asked, or why it said nothing.
#[derive(Debug)]
struct Told {
    at: Instant,
    answer: Result<Arc<CoreProviderMetadata>, String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    #[error("the settings of the identity provider are not right: {0}")]
    Settings(String),
    #[error("the identity provider could not be asked: {0}")]
    Provider(String),
    #[error("the identity provider's answer is not to be trusted: {0}")]
    Untrusted(String),
    #[error("the identity provider refused: {0}")]
    Refused(String),
}

/// What only the browser that went there can come back with; sealed in the store meanwhile.
#[derive(Serialize, Deserialize)]
pub(crate) struct Errand {
    /// In the state that the provider passes on.
    pub(crate) state: Secret<String>,
    nonce: Secret<String>,
    verifier: Secret<String>,
}

/// Who somebody is, as far as the provider is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) identity: Identity,
    pub(crate) email: Option<String>,
    pub(crate) email_verified: bool,
    pub(crate) name: Option<String>,
    pub(crate) groups: Vec<String>,
}

impl Provider {
    pub(crate) fn new(config: OidcConfig, redirect_url: String) -> Result<Self, OidcError> {
        let settings = |error: &dyn std::fmt::Display| OidcError::Settings(error.to_string());
        let tls = controller_api::tls::client_config(config.ca.as_deref())
            .map_err(|error| settings(&error))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(CALL_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .https_only(config.issuer.starts_with("https://"))
            .build()
            .map_err(|error| settings(&error))?;
        Ok(Self {
            config,
            redirect_url,
            http: Http(http),
            turns: Semaphore::new(TURNS),
            metadata: Mutex::new(None),
        })
    }

    pub(crate) const fn config(&self) -> &OidcConfig {
        &self.config
    }

    /// Where to send a browser, and what it must come back with. `state` is what the provider passes on.
    pub(crate) async fn depart(
        &self,
        state: impl FnOnce(&Secret<String>) -> Result<String, OidcError>,
    ) -> Result<(String, Errand), OidcError> {
        let metadata = within(self.metadata(METADATA_LASTS)).await?;
        let client = self.client(&metadata)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (ours, nonce) = (auth::new_token(), auth::new_token());
        let state = state(&ours)?;
        let asked = Nonce::new(nonce.expose().clone());
        let request = client.authorize_url(
            AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
            move || CsrfToken::new(state),
            move || asked,
        );
        let mut request = request.set_pkce_challenge(challenge);
        for scope in &self.config.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, ..) = request.url();
        let errand = Errand {
            state: ours,
            nonce,
            verifier: Secret::new(verifier.into_secret()),
        };
        Ok((url.into(), errand))
    }

    /// Who it is that came back with this code.
    pub(crate) async fn arrive(&self, errand: Errand, code: &str) -> Result<Person, OidcError> {
        within(async {
            let turn = self.turns.acquire().await;
            let _turn = turn.map_err(|error| OidcError::Settings(error.to_string()))?;
            self.ask_who(errand, code).await
        })
        .await
    }

    async fn ask_who(&self, errand: Errand, code: &str) -> Result<Person, OidcError> {
        let client = self.client(&*self.metadata(METADATA_LASTS).await?)?;
        let answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(provider)?
            .set_pkce_verifier(PkceCodeVerifier::new(errand.verifier.into_exposed()))
            .request_async(&self.http)
            .await
            .map_err(|error| match error {
                RequestTokenError::ServerResponse(refusal) => {
                    OidcError::Refused(refusal.to_string())
                }
                error => provider(error),
            })?;
        let token = answer
            .id_token()
            .ok_or_else(|| OidcError::Untrusted("it has no ID token".to_owned()))?;
        let nonce = Nonce::new(errand.nonce.into_exposed());
        let verified = |client: &Provided| {
            let verifier = client
                .id_token_verifier()
                .set_time_fn(|| Utc::now() - CLOCK_SKEW)
                .set_issue_time_verifier_fn(|issued| is_past(issued, Utc::now()));
            token.claims(&verifier, &nonce).cloned().map_err(untrusted)
        };
        let claims = match verified(&client) {
            Ok(claims) => claims,
            // It may have changed its keys since it was asked for them.
            Err(_) => verified(&self.client(&*self.metadata(PAUSE).await?)?)?,
        };
        let mut person = self.person(&claims);
        if person.email.is_none() || self.asks_groups(&person) {
            let token = answer.access_token().clone();
            if let Some(more) = self.ask_more(&client, token, &claims).await? {
                self.fill(&mut person, &more);
            }
        }
        if self.asks_groups(&person) {
            warn!(
                claim = self.config.groups_claim,
                "The identity provider tells no groups of somebody: he counts as in none"
            );
        }
        Ok(person)
    }

    fn asks_groups(&self, person: &Person) -> bool {
        let wanted = !self.config.allowed_groups.is_empty() || self.config.admin_group.is_some();
        wanted && person.groups.is_empty()
    }

    /// Many providers put the e-mail address elsewhere than into the ID token.
    async fn ask_more(
        &self,
        client: &Provided,
        token: AccessToken,
        claims: &IdTokenClaims<Extra, CoreGenderClaim>,
    ) -> Result<Option<UserInfoClaims<Extra, CoreGenderClaim>>, OidcError> {
        // The one of the ID token and no other: the answer is checked for its subject.
        let Ok(request) = client.user_info(token, Some(claims.subject().clone())) else {
            return Ok(None);
        };
        request
            .request_async(&self.http)
            .await
            .map(Some)
            .map_err(provider)
    }

    fn person(&self, claims: &IdTokenClaims<Extra, CoreGenderClaim>) -> Person {
        Person {
            identity: Identity {
                issuer: self.config.issuer.clone(),
                subject: claims.subject().to_string(),
            },
            email: claims.email().map(|email| email.to_string()),
            email_verified: claims.email_verified() == Some(true),
            name: claims
                .name()
                .and_then(|name| name.get(None))
                .map(|name| name.to_string()),
            groups: groups(claims.additional_claims(), &self.config.groups_claim),
        }
    }

    fn fill(&self, person: &mut Person, more: &UserInfoClaims<Extra, CoreGenderClaim>) {
        if person.email.is_none() {
            person.email = more.email().map(|email| email.to_string());
            person.email_verified = more.email_verified() == Some(true);
        }
        if person.name.is_none() {
            let name = more.name().and_then(|name| name.get(None));
            person.name = name.map(|name| name.to_string());
        }
        if person.groups.is_empty() {
            person.groups = groups(more.additional_claims(), &self.config.groups_claim);
        }
    }

    fn client(&self, metadata: &CoreProviderMetadata) -> Result<Provided, OidcError> {
        let redirect = RedirectUrl::new(self.redirect_url.clone())
            .map_err(|error| OidcError::Settings(error.to_string()))?;
        let client = Client::from_provider_metadata(
            metadata.clone(),
            ClientId::new(self.config.client_id.clone()),
            Some(ClientSecret::new(
                self.config.client_secret.expose().clone(),
            )),
        );
        let known = metadata.token_endpoint_auth_methods_supported();
        let takes = |method| known.is_some_and(|known| known.contains(&method));
        // What is not said is the standard's default.
        let in_body = takes(CoreClientAuthMethod::ClientSecretPost)
            && !takes(CoreClientAuthMethod::ClientSecretBasic);
        let client = match in_body {
            true => client.set_auth_type(AuthType::RequestBody),
            false => client,
        };
        Ok(client.set_redirect_uri(redirect))
    }

    /// What it says of itself, no older than that.
    async fn metadata(&self, lasts: Duration) -> Result<Arc<CoreProviderMetadata>, OidcError> {
        let mut told = self.metadata.lock().await;
        if let Some(Told { at, answer }) = &*told {
            let lasts = answer.as_ref().map_or(PAUSE, |_| lasts);
            if at.elapsed() < lasts {
                return answer.clone().map_err(OidcError::Provider);
            }
        }
        let issuer = IssuerUrl::new(self.config.issuer.clone())
            .map_err(|error| OidcError::Settings(error.to_string()))?;
        let answer = CoreProviderMetadata::discover_async(issuer, &self.http)
            .await
            .map(Arc::new)
            .map_err(|error| chain(&error));
        *told = Some(Told {
            at: Instant::now(),
            answer: answer.clone(),
        });
        answer.map_err(OidcError::Provider)
    }
}

async fn within<T>(asking: impl Future<Output = Result<T, OidcError>>) -> Result<T, OidcError> {
    timeout(ALL_WITHIN, asking)
        .await
        .unwrap_or_else(|_| Err(OidcError::Provider("it takes too long".to_owned())))
}

fn provider(error: impl std::error::Error) -> OidcError {
    OidcError::Provider(chain(&error))
}

fn untrusted(error: impl std::error::Error) -> OidcError {
    OidcError::Untrusted(chain(&error))
}

/// These errors are of many types with many parameters: what is kept of one is its words.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn is_past(issued: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), String> {
    if issued > now + CLOCK_SKEW {
        return Err("it was issued in the future".to_owned());
    }
    Ok(())
}

fn groups(extra: &Extra, claim: &str) -> Vec<String> {
    match extra.0.get(claim) {
        Some(Value::Array(groups)) => groups
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        Some(Value::String(group)) => vec![group.clone()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_a_minute() {
        let now = Utc::now();
        assert!(is_past(now + TimeDelta::seconds(59), now).is_ok());
        assert!(is_past(now + TimeDelta::seconds(61), now).is_err());
    }

    #[test]
    fn groups_are_read_from_the_claim_that_was_named() {
        let extra = Extra(HashMap::from([
            ("roles".to_owned(), serde_json::json!(["a", 1, "b"])),
            ("group".to_owned(), serde_json::json!("c")),
        ]));
        assert_eq!(groups(&extra, "roles"), ["a", "b"]);
        assert_eq!(groups(&extra, "group"), ["c"]);
        assert!(groups(&extra, "none").is_empty());
    }
}
