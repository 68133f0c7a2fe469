//! The platform's own certificate.

use axum::Json;
use axum::extract::State;
use controller_api::wire;

use crate::actions::ActionError;
use crate::context::Ctx;
use crate::error::{ApiError, ApiResult};
use crate::http::body::JsonBody;
use crate::platform_certificate::{Candidate, PublishError, current, set};
use crate::views::certificate::of_platform;

pub(crate) async fn show(State(context): State<Ctx>) -> ApiResult<Json<wire::PlatformCertificate>> {
    let current = current(context.store()).await.map_err(ActionError::from)?;
    let current = current.ok_or_else(|| ApiError::not_found("platform_certificate"))?;
    Ok(Json(of_platform(&current.value)))
}

pub(crate) async fn replace(
    State(context): State<Ctx>,
    JsonBody(body): JsonBody<wire::CertificateUpload>,
) -> ApiResult<Json<wire::PlatformCertificate>> {
    let candidate = Candidate {
        chain: &body.certificate_chain,
        key: &body.private_key,
    };
    let (store, keyring, domain) = (context.store(), &context.keyring, &context.config.domain);
    let put = set(store, keyring, domain, &candidate)
        .await
        .map_err(refused)?;
    Ok(Json(of_platform(&put)))
}

fn refused(error: PublishError) -> ActionError {
    match error {
        PublishError::Bad(bad) => bad.into(),
        PublishError::Store(error) => error.into(),
        error => ActionError::invalid(format!("The certificate will not do: {error}.")),
    }
}
