//! What is asked of a router that is no client: by controllers how it is, over the platform's mutual TLS, and by whoever
//! scrapes metrics its counts, at an address that the operator names. Neither is ever a public listener's.

mod reading;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, serve};
use controller_api::host_listener::HostListener;
use controller_api::wire::{AppReading, RouterReading};
use model::{AppId, RouterId, Secret};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::metrics::{self, Metrics};

/// How the other roles see this router.
#[derive(Debug, Default)]
pub struct Internal {
    /// Where controllers ask.
    pub listener: Option<HostListener>,
    /// What they show besides their certificate. Without it nobody is answered.
    pub token: Option<Secret<String>>,
    /// Where metrics are scraped, in the clear and by anybody who reaches it.
    pub metrics: Option<std::net::TcpListener>,
}

impl Internal {
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }

    /// Answers until `stop`. Calls that are under way then come to their end.
    pub(crate) fn start(
        self,
        metrics: &Arc<Metrics>,
        stop: &CancellationToken,
    ) -> io::Result<JoinSet<()>> {
        let mut tasks = JoinSet::new();
        if let (Some(listener), Some(token)) = (self.listener, self.token) {
            let asked = Asked {
                metrics: metrics.clone(),
                token,
            };
            tasks.spawn(until(stop.clone(), async move |stop| {
                let calls = serve(listener, for_controllers(Arc::new(asked)));
                calls.with_graceful_shutdown(stop.cancelled_owned()).await
            }));
        }
        if let Some(listener) = self.metrics {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let scraped = Scraped {
                metrics: metrics.clone(),
                turn: Mutex::new(()),
            };
            let routes = Router::new()
                .route("/metrics", get(scrape))
                .with_state(Arc::new(scraped));
            tasks.spawn(until(stop.clone(), async move |stop| {
                let calls = serve(listener, routes);
                calls.with_graceful_shutdown(stop.cancelled_owned()).await
            }));
        }
        Ok(tasks)
    }
}

async fn until(
    stop: CancellationToken,
    serving: impl AsyncFnOnce(CancellationToken) -> io::Result<()>,
) {
    if let Err(error) = serving(stop).await {
        warn!(
            error = &error as &dyn std::error::Error,
            "The router does not tell how it is any more"
        );
    }
}

struct Asked {
    metrics: Arc<Metrics>,
    token: Secret<String>,
}

fn for_controllers(asked: Arc<Asked>) -> Router {
    Router::new()
        .route("/internal/routers/{router}", get(router))
        .route("/internal/routers/{router}/apps/{app}", get(app))
        .layer(from_fn_with_state(asked.clone(), authorize))
        .with_state(asked)
}

/// Only the platform's own hosts can connect at all. That they also know its token keeps out whoever has no more than a
/// certificate.
async fn authorize(
    State(asked): State<Arc<Asked>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let shown = headers.get(AUTHORIZATION).map(|shown| shown.as_bytes());
    let shown = shown.and_then(|shown| shown.strip_prefix(b"Bearer "));
    if shown.is_some_and(|shown| is_same(shown, asked.token.expose().as_bytes())) {
        next.run(request).await
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

/// Takes as long whichever byte differs.
fn is_same(shown: &[u8], secret: &[u8]) -> bool {
    shown.len() == secret.len()
        && shown
            .iter()
            .zip(secret)
            .fold(0, |differs, (a, b)| differs | (a ^ b))
            == 0
}

/// A router that handed over is asked at the address of the one after it, which does not answer in its name.
async fn router(
    State(asked): State<Arc<Asked>>,
    Path(id): Path<RouterId>,
) -> Result<Json<RouterReading>, StatusCode> {
    let metrics = by_name(&asked, id)?;
    Ok(Json(reading::of_router(metrics)))
}

async fn app(
    State(asked): State<Arc<Asked>>,
    Path((id, app)): Path<(RouterId, AppId)>,
) -> Result<Json<AppReading>, StatusCode> {
    let reading = reading::of_app(by_name(&asked, id)?, app);
    reading.map(Json).ok_or(StatusCode::NOT_FOUND)
}

fn by_name(asked: &Asked, id: RouterId) -> Result<&Metrics, StatusCode> {
    let is_meant = asked.metrics.id == id;
    is_meant
        .then_some(&*asked.metrics)
        .ok_or(StatusCode::MISDIRECTED_REQUEST)
}

struct Scraped {
    metrics: Arc<Metrics>,
    /// One at a time: with thousands of apps, the text is megabytes.
    turn: Mutex<()>,
}

async fn scrape(State(scraped): State<Arc<Scraped>>) -> Response {
    let _turn = scraped.turn.lock().await;
    let metrics = scraped.metrics.clone();
    let written = tokio::task::spawn_blocking(move || metrics::text(&metrics)).await;
    match written {
        Ok(Ok(text)) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        _ => {
            error!("Could not write the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
