//! The life of a request, phase by phase: request, response, error, log.
//!
//! Each phase is one function and one place where something may later be hooked in: [`answer`] opens the exchange and
//! is the request phase, `respond` the response phase, `explain` the error phase; the log phase is
//! [`Exchange::log`], whoever gets there.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONNECTION, VIA};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio::sync::Notify;

use crate::body::{Body, Download};
use crate::error_page::{self, Taste};
use crate::exchange::{Asked, Exchange};
use crate::fault::Fault;
use crate::forward::{Instead, forward};
use crate::head;
use crate::pool::Connection;
use crate::rewrite::{self, Origin};
use crate::table::Target;
use crate::upgrade;
use crate::worker::Worker;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) worker: Rc<Worker>,
    pub(crate) peer: IpAddr,
    /// `tls1.3`; `None`: plain HTTP.
    pub(crate) tls_version: Option<&'static str>,
    /// Whether it has asked for anything yet.
    pub(crate) has_asked: Cell<bool>,
    /// Told when nothing but closing will end what the client does.
    pub(crate) abort: Notify,
}

impl Client {
    fn origin(&self) -> Origin {
        let ports = self.worker.shared.config.public_ports;
        let is_https = self.tls_version.is_some();
        Origin {
            is_https,
            port: if is_https { ports.https } else { ports.http },
        }
    }
}

pub(crate) async fn answer(
    client: Rc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    client.has_asked.set(true);
    let is_last = client.worker.shared.leaving.leave.is_cancelled();
    let mut response = route(client, request).await;
    if is_last && response.version() <= Version::HTTP_11 && !is_switch(&response) {
        // Else the client would ask again here, where nothing is to stay.
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn is_switch(response: &Response<Body>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

async fn route(client: Rc<Client>, mut request: Request<Incoming>) -> Response<Body> {
    let client_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (parts, body) = request.into_parts();
    let taste = Taste::of(&parts.headers);
    let (host_value, host) = match head::host(&parts) {
        Ok(host) => host,
        Err(fault) => return page(fault, taste, None, &parts.method, parts.version),
    };
    let fwd = head::forwarded_for(&parts.headers, client.peer);
    let request_id = head::request_id(&parts.headers);
    let asked = Asked {
        method: parts.method.clone(),
        path: parts
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/")),
        host,
        request_id: request_id.clone(),
        fwd: fwd.clone(),
        version: parts.version,
        taste,
    };
    let (origin, has_body) = (client.origin(), !body.is_end_stream());
    let exchange = Exchange::new(client, asked, body);
    if let Err(fault) = head::check(&parts) {
        if let Some(Target::App(app)) = exchange.worker.table().lookup(&exchange.asked.host) {
            exchange.set_app(app);
        }
        return explain(&exchange, fault);
    }
    let wanted = head::upgrade(&parts).filter(|_| client_upgrade.is_some());
    let wants_upgrade = wanted.is_some();
    let head = rewrite::for_backend(
        parts,
        has_body,
        origin,
        [host_value, request_id, fwd],
        wanted,
    );

    match forward(&exchange, head).await {
        Ok((response, connection)) => {
            let client_upgrade = client_upgrade.filter(|_| wants_upgrade);
            respond(exchange, response, connection, client_upgrade)
        }
        Err(Instead::Landing) => {
            let domain = exchange.worker.shared.config.domain.as_str();
            whole(
                error_page::landing(domain, taste),
                &exchange.asked.method,
                exchange.asked.version,
            )
        }
        Err(Instead::Fault(fault)) => explain(&exchange, fault),
    }
}

/// The dyno has answered.
fn respond(
    exchange: Rc<Exchange>,
    mut response: Response<Incoming>,
    connection: Connection,
    client_upgrade: Option<OnUpgrade>,
) -> Response<Body> {
    let version = exchange.asked.version;
    exchange.set_status(response.status().as_u16());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let backend_upgrade = response.extensions_mut().remove::<OnUpgrade>();
        let (Some(client), Some(backend)) = (client_upgrade, backend_upgrade) else {
            // Nobody asked for it.
            return explain(&exchange, Fault::PoorResponse);
        };
        rewrite::for_client(response.headers_mut(), version, true);
        upgrade::tunnel(exchange, connection, client, backend);
        *response.version_mut() = Version::HTTP_11;
        return response.map(|_| Body::Whole(Bytes::new()));
    }
    let (mut parts, body) = response.into_parts();
    rewrite::for_client(&mut parts.headers, version, false);
    parts.version = if version == Version::HTTP_2 {
        version
    } else {
        Version::HTTP_11
    };
    let is_whole = body.is_end_stream();
    exchange.begin_download(body, connection);
    let body = if is_whole {
        Body::Whole(Bytes::new())
    } else {
        Body::Stream(Download(exchange))
    };
    Response::from_parts(parts, body)
}

/// It cannot be answered as asked: the page that says so, and the line.
fn explain(exchange: &Rc<Exchange>, fault: Fault) -> Response<Body> {
    exchange.release();
    exchange.log(Some(fault), fault.status().as_u16());
    let own_page = exchange.app().and_then(|app| match fault {
        Fault::Maintenance => app.maintenance_page_url.as_deref(),
        _ => app.error_page_url.as_deref(),
    });
    let taste = match exchange.worker.table().lookup(&exchange.asked.host) {
        Some(Target::Platform(platform)) if platform.is_api() => Taste::Json,
        _ => exchange.asked.taste,
    };
    page(
        fault,
        taste,
        own_page,
        &exchange.asked.method,
        exchange.asked.version,
    )
}

fn page(
    fault: Fault,
    taste: Taste,
    own_page: Option<&str>,
    method: &Method,
    version: Version,
) -> Response<Body> {
    whole(error_page::page(fault, taste, own_page), method, version)
}

fn whole(mut response: Response<Bytes>, method: &Method, version: Version) -> Response<Body> {
    response.headers_mut().insert(VIA, rewrite::via(version));
    let is_head = *method == Method::HEAD;
    response.map(|bytes| Body::Whole(if is_head { Bytes::new() } else { bytes }))
}
