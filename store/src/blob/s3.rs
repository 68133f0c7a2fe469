//! S3 from its configuration. Every request has a deadline and a bounded number of retries.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::BlobConfig;

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Of one request with its body: a part going up, or a whole blob coming down.
const REQUEST_DEADLINE: Duration = Duration::from_secs(600);

pub(super) fn open(config: &BlobConfig) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    let BlobConfig::S3 {
        bucket,
        region,
        endpoint,
        credentials,
        allow_http,
        prefix: _,
    } = config
    else {
        return Err(object_store::Error::NotSupported {
            source: "not an S3 configuration".into(),
        });
    };
    // Somebody else may have chosen already: that is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let retry = RetryConfig {
        max_retries: 5,
        retry_timeout: Duration::from_secs(60),
        ..RetryConfig::default()
    };
    let client = ClientOptions::new()
        .with_allow_http(*allow_http)
        .with_connect_timeout(CONNECT_DEADLINE)
        .with_timeout(REQUEST_DEADLINE);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_client_options(client)
        .with_retry(retry)
        // One at a time, which every S3 speaks.
        .with_disable_bulk_delete(true);
    if let Some(endpoint) = endpoint {
        builder = builder
            .with_endpoint(endpoint.trim_end_matches('/'))
            .with_virtual_hosted_style_request(false);
    }
    if let Some(credentials) = credentials {
        builder = builder
            .with_access_key_id(&credentials.access_key_id)
            .with_secret_access_key(credentials.secret_access_key.expose());
    }
    Ok(Arc::new(builder.build()?))
}
