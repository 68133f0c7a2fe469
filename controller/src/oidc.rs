//! An identity provider that people prove to who they are (OpenID Connect): the authorization code flow with PKCE.
//!
//! Whether somebody is let in is decided by [`admit`], of claims that were verified: signature, issuer, audience, nonce and
//! times. Everything the provider sends is bounded, and no redirect of its is followed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use model::{Email, Identity, Secret};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata,
    CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessToken, AdditionalClaims, AsyncHttpClient, AuthenticationFlow, AuthorizationCode, Client,
    ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, IdTokenClaims, IdTokenFields, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    StandardErrorResponse, StandardTokenResponse, TokenResponse as _, UserInfoClaims,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use crate::auth;
use crate::config::OidcConfig;

const CALL_WITHIN: Duration = Duration::from_secs(10);
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// How long what the provider says of itself, its keys among it, is taken for true.
const METADATA_LASTS: Duration = Duration::from_secs(300);
/// By how much its clock and ours may differ.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);
const MAX_CLAIM: usize = 255;

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
    /// What it said of itself when it was last asked.
    metadata: Mutex<Option<(Instant, Arc<CoreProviderMetadata>)>>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    #[error("the settings of the identity provider are not right: {0}")]
    Settings(String),
    #[error("the identity provider could not be asked: {0}")]
    Provider(String),
    #[error("the identity provider's answer is not to be trusted: {0}")]
    Untrusted(String),
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
            .build()
            .map_err(|error| settings(&error))?;
        Ok(Self {
            config,
            redirect_url,
            http: Http(http),
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
        let client = self.client(&*self.metadata().await?)?;
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
        let client = self.client(&*self.metadata().await?)?;
        let answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(provider)?
            .set_pkce_verifier(PkceCodeVerifier::new(errand.verifier.into_exposed()))
            .request_async(&self.http)
            .await
            .map_err(provider)?;
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
            Err(_) => {
                self.forget_metadata();
                verified(&self.client(&*self.metadata().await?)?)?
            }
        };
        let mut person = self.person(&claims);
        if person.email.is_none() || self.asks_groups(&person) {
            let token = answer.access_token().clone();
            if let Some(more) = self.ask_more(&client, token, &claims).await? {
                self.fill(&mut person, &more);
            }
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
        Ok(client.set_redirect_uri(redirect))
    }

    async fn metadata(&self) -> Result<Arc<CoreProviderMetadata>, OidcError> {
        if let Some((at, known)) = &*self.lock()
            && at.elapsed() < METADATA_LASTS
        {
            return Ok(known.clone());
        }
        let issuer = IssuerUrl::new(self.config.issuer.clone())
            .map_err(|error| OidcError::Settings(error.to_string()))?;
        let metadata = CoreProviderMetadata::discover_async(issuer, &self.http)
            .await
            .map_err(provider)?;
        let metadata = Arc::new(metadata);
        *self.lock() = Some((Instant::now(), metadata.clone()));
        Ok(metadata)
    }

    fn forget_metadata(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Arc<CoreProviderMetadata>)>> {
        self.metadata.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the provider is called.
#[derive(Debug)]
struct Http(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = CallError;
    type Future = BoxFuture<'c, Result<HttpResponse, CallError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.execute(request))
    }
}

impl Http {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse, CallError> {
        let request = request.map(reqwest::Body::from);
        let request = request.try_into().map_err(CallError::Http)?;
        let response = self.0.execute(request).await.map_err(CallError::Http)?;
        let mut answer = http::Response::builder().status(response.status());
        if let Some(headers) = answer.headers_mut() {
            headers.clone_from(response.headers());
        }
        let mut body = Vec::new();
        let mut parts = response.bytes_stream();
        while let Some(part) = parts.next().await {
            let part = part.map_err(CallError::Http)?;
            if body.len() + part.len() > MAX_ANSWER_BYTES {
                return Err(CallError::TooLarge);
            }
            body.extend_from_slice(&part);
        }
        answer.body(body).map_err(CallError::Malformed)
    }
}

#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("the call failed")]
    Http(#[source] reqwest::Error),
    #[error("the answer is too large")]
    TooLarge,
    #[error("the answer makes no sense")]
    Malformed(#[source] http::Error),
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

/// Somebody who may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) identity: Identity,
    pub(crate) email: Email,
    pub(crate) name: Option<String>,
    /// `None` where the provider does not say who is an administrator.
    pub(crate) is_admin: Option<bool>,
}

/// Or why somebody may not, in words for him.
pub(crate) fn admit(config: &OidcConfig, person: Person) -> Result<Admitted, &'static str> {
    let email: Email = person
        .email
        .as_deref()
        .and_then(|email| email.parse().ok())
        .ok_or("Your identity provider tells no e-mail address of yours.")?;
    if !person.email_verified {
        return Err("Your identity provider has not verified your e-mail address.");
    }
    let domain = email.as_str().rsplit('@').next().unwrap_or_default();
    let is_allowed = |of: &String| of.eq_ignore_ascii_case(domain);
    if !config.allowed_domains.is_empty() && !config.allowed_domains.iter().any(is_allowed) {
        return Err("E-mail addresses of your domain are not let in here.");
    }
    let is_member = |group: &String| person.groups.contains(group);
    if !config.allowed_groups.is_empty() && !config.allowed_groups.iter().any(is_member) {
        return Err("You are in none of the groups that are let in here.");
    }
    if person.identity.subject.is_empty() || person.identity.subject.len() > MAX_CLAIM {
        return Err("Your identity provider does not say who you are.");
    }
    Ok(Admitted {
        is_admin: config.admin_group.as_ref().map(is_member),
        identity: person.identity,
        email,
        name: person.name.filter(|name| {
            !name.is_empty() && name.len() <= 200 && !name.chars().any(char::is_control)
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> OidcConfig {
        OidcConfig {
            issuer: "https://id.example.com".to_owned(),
            client_id: "paas".to_owned(),
            client_secret: Secret::from("secret"),
            scopes: Vec::new(),
            groups_claim: "groups".to_owned(),
            allowed_domains: vec!["example.com".to_owned()],
            allowed_groups: Vec::new(),
            admin_group: None,
            create_accounts: false,
            ca: None,
        }
    }

    fn person(email: &str, groups: &[&str]) -> Person {
        Person {
            identity: Identity {
                issuer: "https://id.example.com".to_owned(),
                subject: "1".to_owned(),
            },
            email: Some(email.to_owned()),
            email_verified: true,
            name: Some("Ann".to_owned()),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
        }
    }

    #[test]
    fn only_verified_addresses_of_allowed_domains_are_let_in() {
        let admitted = admit(&config(), person("Ann@Example.com", &[])).unwrap();
        assert_eq!(admitted.is_admin, None);
        for bad in [
            "ann@example.com.evil.org",
            "ann@notexample.com",
            "ann@sub.example.com",
            "ann",
        ] {
            assert!(admit(&config(), person(bad, &[])).is_err(), "{bad}");
        }
        let unverified = Person {
            email_verified: false,
            ..person("ann@example.com", &[])
        };
        assert!(
            admit(&config(), unverified)
                .unwrap_err()
                .contains("not verified")
        );
        let nameless = Person {
            email: None,
            ..person("", &[])
        };
        assert!(admit(&config(), nameless).is_err());
    }

    #[test]
    fn groups_let_in_and_make_administrators() {
        let config = OidcConfig {
            allowed_groups: vec!["developers".to_owned(), "operators".to_owned()],
            admin_group: Some("operators".to_owned()),
            ..config()
        };
        for (groups, outcome) in [
            (&[][..], None),
            (&["other"], None),
            (&["developers"], Some(Some(false))),
            (&["operators", "other"], Some(Some(true))),
        ] {
            let admitted = admit(&config, person("ann@example.com", groups)).ok();
            assert_eq!(
                admitted.map(|admitted| admitted.is_admin),
                outcome,
                "{groups:?}"
            );
        }
    }

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
