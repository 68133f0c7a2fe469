//! What can go wrong with a call, in words for whoever made it.

use std::error::Error;
use std::io;

use reqwest::{Response, StatusCode};
use rustls::CertificateError;
use url::Url;

use crate::tls::TlsError;
use crate::wire::ErrorBody;

/// The platform understood and said no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    pub status: u16,
    /// `not_found`, `unauthorized`, `invalid_params`, …
    pub id: String,
    pub message: String,
    /// Where more is written about it.
    pub url: Option<String>,
    /// What to quote when asking an administrator.
    pub request_id: Option<String>,
}

impl ApiError {
    /// Whether there is no such app, or none that may be seen.
    pub fn is_about_app(&self) -> bool {
        self.id == "not_found" && self.message.contains("find that app")
    }

    /// Whether who was named has no account on the platform.
    pub fn is_about_account(&self) -> bool {
        self.status == 422 && self.message.starts_with("There is no account for ")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Api(Box<ApiError>),
    #[error("could not reach the platform at {url}")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the platform at {url} did not answer in time")]
    TimedOut {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the answer was cut short")]
    Interrupted {
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "the answer (status {status}) could not be understood; is this client of the same version as the platform?"
    )]
    Decode {
        status: StatusCode,
        #[source]
        source: serde_json::Error,
    },
    #[error("{url} is no address of a platform: it must look like https://api.paas.example.com")]
    BadUrl { url: String },
    #[error("the token holds characters that no token has")]
    BadToken,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[cfg(feature = "hosts")]
    #[error(transparent)]
    HostTls(#[from] crate::host_tls::HostTlsError),
    #[error("no controller is alive")]
    NoController,
    #[error("the HTTP client could not be set up")]
    Setup {
        #[source]
        source: reqwest::Error,
    },
}

impl ClientError {
    /// The platform's own answer, if this is one.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }

    /// The HTTP status of the platform's answer, if this is one.
    pub fn status(&self) -> Option<u16> {
        self.api().map(|error| error.status)
    }

    /// What is wrong with the platform's certificate, if that is why it was not reached.
    pub fn certificate_trouble(&self) -> Option<&CertificateError> {
        match self {
            Self::Unreachable { source, .. } => certificate_trouble(source),
            _ => None,
        }
    }

    /// Whether the same read may succeed in a moment.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => {
                source.is_connect() && certificate_trouble(source).is_none()
            }
            Self::Api(error) => error.status == 503 || error.status == 502,
            _ => false,
        }
    }

    pub(crate) fn unreachable(url: &Url, source: reqwest::Error) -> Self {
        let url = url.origin().ascii_serialization();
        let source = source.without_url();
        if source.is_timeout() && !source.is_connect() {
            Self::TimedOut { url, source }
        } else {
            Self::Unreachable { url, source }
        }
    }

    pub(crate) fn bad_url(url: &Url) -> Self {
        Self::BadUrl {
            url: url.to_string(),
        }
    }
}

pub(super) async fn from_response(response: Response) -> ClientError {
    let status = response.status();
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned)
    };
    let request_id = header("request-id").or_else(|| header("x-request-id"));
    let body = response.bytes().await.unwrap_or_default();
    let error = match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(ErrorBody {
            id, message, url, ..
        }) => ApiError {
            status: status.as_u16(),
            id,
            message,
            url,
            request_id,
        },
        // A proxy's page, or an error before the API was reached.
        Err(_) => ApiError {
            status: status.as_u16(),
            id: "unexpected".to_owned(),
            message: format!("The platform answered {status} without saying why"),
            url: None,
            request_id,
        },
    };
    ClientError::Api(Box::new(error))
}

fn certificate_trouble<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(trouble)) = error.downcast_ref() {
            return Some(trouble);
        }
        // What an I/O error wraps is not among its sources: it speaks for it.
        cause = match error.downcast_ref::<io::Error>() {
            Some(wrapping) => wrapping
                .get_ref()
                .map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_certificate_is_found_however_it_is_wrapped() {
        let bad = || rustls::Error::InvalidCertificate(CertificateError::Expired);
        let once = io::Error::new(io::ErrorKind::InvalidData, bad());
        let twice = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, bad()));
        for error in [once, twice] {
            assert_eq!(
                certificate_trouble(&error),
                Some(&CertificateError::Expired)
            );
        }
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(certificate_trouble(&refused), None);
    }
}
