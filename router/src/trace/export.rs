//! Spans on their way to a collector, by OTLP over HTTP. Nothing waits for it: what finds the queue full is dropped, and
//! counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use model::Hostname;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Span, Tracing};
use crate::access_log::Record;

/// Spans that wait. A collector that is away for longer than it takes to fill them loses the rest.
const QUEUE: usize = 4096;
/// Spans in one request.
const BATCH: usize = 512;
/// How long a span waits for others to go with.
const GATHER: Duration = Duration::from_secs(1);
const EXPORT_WITHIN: Duration = Duration::from_secs(10);
/// A collector has nothing to say that would be longer.
const MAX_ANSWER: usize = 64 << 10;

#[derive(Debug, Default)]
pub(crate) struct SpanCounts {
    pub(crate) exported: AtomicU64,
    /// There was no room for them.
    pub(crate) dropped: AtomicU64,
    /// The collector did not take them.
    pub(crate) failed: AtomicU64,
}

/// Where spans are handed over.
#[derive(Debug)]
pub(crate) struct Exporter {
    queue: mpsc::Sender<SpanData>,
    counts: Arc<SpanCounts>,
}

/// Sends what was handed over; to be run.
pub(crate) struct Exporting {
    queue: mpsc::Receiver<SpanData>,
    counts: Arc<SpanCounts>,
    exporter: opentelemetry_otlp::SpanExporter,
    is_failing: AtomicBool,
}

impl std::fmt::Debug for Exporting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporting").finish_non_exhaustive()
    }
}

impl Exporter {
    /// `None`: no collector was named.
    ///
    /// # Errors
    /// When the collector's address is none.
    pub(crate) fn new(
        tracing: &Tracing,
        domain: &Hostname,
        counts: &Arc<SpanCounts>,
    ) -> Result<Option<(Self, Exporting)>, ExporterBuildError> {
        let Some(endpoint) = &tracing.endpoint else {
            return Ok(None);
        };
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_WITHIN)
            .with_http_client(Client::new()?)
            .build()?;
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", "paas-router"),
            KeyValue::new("service.namespace", domain.to_string()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ]);
        exporter.set_resource(&resource.build());
        let (queue, waiting) = mpsc::channel(QUEUE);
        let exporting = Exporting {
            queue: waiting,
            counts: counts.clone(),
            exporter,
            is_failing: AtomicBool::new(false),
        };
        let counts = counts.clone();
        Ok(Some((Self { queue, counts }, exporting)))
    }

    /// The request is over. Never waits.
    pub(crate) fn send(&self, span: &Span, request: &Record<'_>, app: Option<&str>) {
        if self.queue.try_send(data(span, request, app)).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Exporting {
    /// Until nobody hands over any more, and the rest has been sent.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, BATCH).await > 0 {
            let more = async {
                while batch.len() < BATCH {
                    let room = BATCH - batch.len();
                    if self.queue.recv_many(&mut batch, room).await == 0 {
                        return;
                    }
                }
            };
            // Late or all, either is well.
            let _ = timeout(GATHER, more).await;
            self.export(std::mem::take(&mut batch)).await;
        }
    }

    async fn export(&self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let exported = timeout(EXPORT_WITHIN, self.exporter.export(batch)).await;
        let why = match exported {
            Ok(Ok(())) => {
                self.counts.exported.fetch_add(count, Ordering::Relaxed);
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    info!("Spans reach their collector again");
                }
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not answer".to_owned(),
        };
        self.counts.failed.fetch_add(count, Ordering::Relaxed);
        // Said once: it would be said every second.
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            warn!(
                error = why,
                "Spans do not reach their collector, and are lost"
            );
        }
    }
}

/// In the words of OpenTelemetry's conventions for HTTP servers.
fn data(span: &Span, request: &Record<'_>, app: Option<&str>) -> SpanData {
    let mut attributes = vec![
        KeyValue::new("http.request.method", request.method.to_owned()),
        KeyValue::new("url.path", path_of(request.path, app).to_owned()),
        KeyValue::new(
            "url.scheme",
            if request.tls_version.is_some() {
                "https"
            } else {
                "http"
            },
        ),
        KeyValue::new("server.address", request.host.to_owned()),
        KeyValue::new("client.address", request.fwd.to_owned()),
        KeyValue::new("http.response.status_code", i64::from(request.status)),
        KeyValue::new("network.protocol.name", "http"),
        KeyValue::new("paas.request_id", request.request_id.to_owned()),
    ];
    attributes.extend(app.map(|app| KeyValue::new("paas.app", app.to_owned())));
    if !request.dyno.is_empty() {
        attributes.push(KeyValue::new("paas.dyno", request.dyno.to_owned()));
    }
    if let Some(connect) = request.connect {
        let millis = connect.as_secs_f64() * 1000.0;
        attributes.push(KeyValue::new("paas.connect_ms", millis));
    }
    let code = request.fault.and_then(crate::fault::Fault::code);
    attributes.extend(code.map(|code| KeyValue::new("error.type", code.code)));
    let status = match (code, request.status) {
        (Some(code), 500..) => Status::error(code.desc),
        (None, 500..) => Status::error(""),
        _ => Status::Unset,
    };
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(span.trace),
            SpanId::from_bytes(span.id),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: span.parent.is_some(),
        span_kind: SpanKind::Server,
        name: request.method.to_owned().into(),
        start_time: span.began,
        end_time: span.began + span.clock.elapsed(),
        attributes,
        dropped_attributes_count: 0,
        events: Default::default(),
        links: Default::default(),
        status,
        instrumentation_scope: InstrumentationScope::builder("paas-router").build(),
    }
}

/// Without the query: it may hold what is nobody's business, and the conventions have it elsewhere. Of the platform's own, and
/// of what is nobody's, no more than the beginning: secrets of logins, sources and terminals are in their paths.
fn path_of<'a>(path: &'a str, app: Option<&str>) -> &'a str {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let begins = path.get(1..).and_then(|rest| rest.find('/'));
    match (app, begins) {
        (None, Some(end)) => path.get(..=end).unwrap_or_default(),
        _ => path,
    }
}

#[derive(Debug)]
struct Client(reqwest::Client);

impl Client {
    fn new() -> Result<Self, ExporterBuildError> {
        let failed = |error: &dyn std::error::Error| {
            ExporterBuildError::InternalFailure(format!("no HTTP client can be made: {error}"))
        };
        let tls = controller_api::tls::client_config(None).map_err(|error| failed(&error))?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(tls)
            .timeout(EXPORT_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        client.map(Self).map_err(|error| failed(&error))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut answer = self.0.execute(request.try_into()?).await?;
        let (status, mut body) = (answer.status(), Vec::new());
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err("the collector's answer has no end".into());
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_of_apps_and_their_beginnings_of_the_platform() {
        for (path, app, told) in [
            ("/a/b?secret", Some("shop"), "/a/b"),
            ("/auth/browser/paas_0123?x", None, "/auth"),
            ("/sources/paas_0123", None, "/sources"),
            ("/apps", None, "/apps"),
            ("/?code=1", None, "/"),
            ("/", None, "/"),
            ("*", None, "*"),
            ("//a/b", None, "/"),
            ("/\u{fc}ber/b", None, "/\u{fc}ber"),
        ] {
            assert_eq!(path_of(path, app), told, "{path}");
        }
    }
}
