//! The one place where errors become answers: Heroku's `{id, message, url}`.
//!
//! What went wrong inside the platform is hidden behind a plain sentence and logged, once, with the request's id.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use controller_api::wire::ErrorBody;
use store::StoreError;

use crate::actions::ActionError;
use crate::audit::NotOnRecord;

pub(crate) type ApiResult<T> = Result<T, ApiError>;

#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    id: &'static str,
    pub(crate) message: String,
    resource: Option<&'static str>,
    retry_after: Option<Duration>,
    cause: Option<Cause>,
}

/// What a 5xx hides; found in the response's extensions by whoever logs requests.
#[derive(Debug, Clone)]
pub(crate) struct Cause(pub(crate) Arc<dyn std::error::Error + Send + Sync>);

impl ApiError {
    fn new(status: StatusCode, id: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            id,
            message: message.into(),
            resource: None,
            retry_after: None,
            cause: None,
        }
    }

    pub(crate) fn not_found(resource: &'static str) -> Self {
        Self::not_found_because(resource, format!("Couldn't find that {resource}."))
    }

    pub(crate) fn not_found_because(resource: &'static str, message: impl Into<String>) -> Self {
        Self {
            resource: Some(resource),
            ..Self::new(StatusCode::NOT_FOUND, "not_found", message)
        }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    pub(crate) fn no_endpoint() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "The requested API endpoint was not found. Are you using the right HTTP verb (i.e. `GET` vs. `POST`)?",
        )
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Invalid credentials provided.",
        )
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// Heroku's word for it: clients ask for a code then, and try again.
    pub(crate) fn two_factor(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "two_factor", message)
    }

    pub(crate) fn sent_in_the_clear() -> Self {
        // No `forbidden`, to which clients say that the app's owner can help.
        Self::new(
            StatusCode::FORBIDDEN,
            "https_required",
            "Use https: this came over plain http, where anybody on the way could read it. Consider the token or \
             password that was sent exposed, and replace it.",
        )
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_params", message)
    }

    pub(crate) fn unsatisfiable_range(message: impl Into<String>) -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "bad_request", message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_request", message)
    }

    pub(crate) fn rate_limit(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit", message)
    }

    pub(crate) fn too_many_guesses(wait: Duration) -> Self {
        let minutes = wait.as_secs().div_ceil(60);
        Self {
            retry_after: Some(wait),
            ..Self::rate_limit(format!(
                "Too many wrong passwords or codes. Try again in {minutes} minute{}.",
                if minutes == 1 { "" } else { "s" }
            ))
        }
    }

    fn too_many_logins(wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::rate_limit(
                "Too many terminals were to be logged in from your address. Try again in some minutes.",
            )
        }
    }

    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            message,
        )
    }

    pub(crate) fn internal(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            cause: Some(Cause(Arc::new(cause))),
            ..Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_server_error",
                "Something went wrong inside the platform. Quote the Request-Id when you ask about it.",
            )
        }
    }

    fn unavailable(cause: StoreError) -> Self {
        Self {
            cause: Some(Cause(Arc::new(cause))),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unavailable",
                "The platform's store cannot be reached just now. Apps keep running; try again in a moment.",
            )
        }
    }

    fn contended() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "conflict",
            "Others changed the same at the same time. Nothing was done; try again.",
        )
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } => Self::unavailable(error),
            StoreError::Contended { .. } => Self::contended(),
            StoreError::CommitTooLarge { .. } => {
                Self::invalid("That is too much for one change; make it in parts.")
            }
            other => Self::internal(other),
        }
    }
}

impl From<NotOnRecord> for ApiError {
    fn from(error: NotOnRecord) -> Self {
        Self {
            cause: Some(Cause(Arc::new(error))),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unavailable",
                "The platform's audit log cannot be written just now, so nothing was done. Try again in a moment.",
            )
        }
    }
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::Gone { resource } => Self::not_found(resource),
            ActionError::NotFound { resource, message } => {
                Self::not_found_because(resource, message)
            }
            ActionError::Invalid { message } => Self::invalid(message),
            ActionError::Forbidden { message } => Self::forbidden(message),
            // Heroku's word for it: clients ask for the app's name then, and try again.
            ActionError::ConfirmationRequired { message } => {
                Self::new(StatusCode::LOCKED, "confirmation_required", message)
            }
            ActionError::Ended { message } => Self::new(StatusCode::GONE, "gone", message),
            ActionError::Provider { message } => Self::busy(message),
            ActionError::TooManyGuesses { wait } => Self::too_many_guesses(wait),
            ActionError::TooManyLogins { wait } => Self::too_many_logins(wait),
            ActionError::WrongCredentials => Self::unauthorized(),
            ActionError::SecondFactor { message } => Self::two_factor(message),
            ActionError::NotOnRecord(error) => error.into(),
            ActionError::Store(source) => source.into(),
            ActionError::Internal(_) => Self::internal(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            id: self.id.to_owned(),
            message: self.message,
            resource: self.resource.map(str::to_owned),
            url: None,
        };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"paas\", charset=\"UTF-8\"");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs().max(1);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}
