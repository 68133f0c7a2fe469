//! The life of a request, phase by phase: request, response, error, log, and tcp for what is no HTTP.
//!
//! Each phase has one place, whichever protocol the client speaks, and that is where something may be hooked in:
//! [`request`] here, before a dyno is picked; for the response what an [`Answer`](crate::http1::response::Answer) is told of
//! its [`Hop`](crate::http1::response::Hop) when it is written; [`error`] makes the page of what cannot be answered;
//! [`Exchange::log`] is the log.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::Response;

use crate::buffer::Buffers;
use crate::client::Client;
use crate::error_page;
use crate::exchange::{Asked, Exchange};
use crate::fault::Fault;
use crate::forward::Instead;
use crate::http1::framing::Framing;
use crate::http1::request::{self, Fields, Line, Lines, Origin, Terms};
use crate::table::parse_host;

/// A request that was read, and what its own connection has to know of it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) asked: Asked,
    pub(crate) fault: Option<Fault>,
}

/// The request phase: what is asked, in the shape a dyno gets it. An error is a request that is nobody's.
pub(crate) fn request<'a>(
    buffers: &Buffers,
    line: &Line<'a>,
    fields: impl Fields<'a>,
    terms: &Terms<'a>,
    framing: Framing,
    origin: &Origin<'_>,
) -> Result<Opened, Fault> {
    let host = terms
        .host
        .filter(|_| terms.fault != Some(Fault::BadHost))
        .and_then(|host| parse_host(std::str::from_utf8(host).ok()?))
        .ok_or(Fault::BadHost)?;
    let (head, places) = request::write(buffers.take_text(), line, fields, terms, framing, origin);
    let asked = Asked {
        head,
        places,
        host: host.into_owned(),
        version: line.version,
        has_body: framing != Framing::Empty,
    };
    Ok(Opened {
        asked,
        fault: terms.fault,
    })
}

/// Of a head that could not be read: the request it may have been, for its line in the log.
pub(crate) fn unreadable(
    client: &Rc<Client>,
    head: &[u8],
    origin: &Origin<'_>,
) -> Option<Exchange> {
    let (line, _) = request::guess(head)?;
    let terms = Terms::of(&line, Lines::NONE);
    let opened = request(
        &client.worker.buffers,
        &line,
        Lines::NONE,
        &terms,
        Framing::Empty,
        origin,
    )
    .ok()?;
    Some(Exchange::new(client.clone(), opened.asked, Instant::now()))
}

/// The error phase: it cannot be answered as asked. The page that says so, and its line in the log.
pub(crate) fn error(exchange: &mut Exchange, instead: Instead) -> Response<Bytes> {
    let taste = exchange.taste();
    let fault = match instead {
        Instead::Landing => {
            let domain = exchange.worker.shared.config.domain.as_str();
            return error_page::landing(domain, taste);
        }
        Instead::Challenge => match exchange.challenge() {
            Some(answer) => return error_page::challenge(&answer),
            // The order has ended in this very moment.
            None => Fault::NoSuchApp,
        },
        Instead::Fault(fault) => fault,
    };
    exchange.release();
    if exchange.app().is_none() {
        exchange.find_app();
    }
    if fault == Fault::Misdirected {
        exchange.find_app_of_connection();
    }
    exchange.log(Some(fault), fault.status().as_u16());
    let own_page = exchange.app().and_then(|app| match fault {
        Fault::Maintenance => app.maintenance_page_url.as_deref(),
        // It is not the app that was asked for.
        Fault::Misdirected => None,
        _ => app.error_page_url.as_deref(),
    });
    error_page::page(fault, taste, own_page)
}
