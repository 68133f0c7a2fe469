//! The life of a request, phase by phase: request, response, error, log, and tcp for what is no HTTP.
//!
//! Each phase has one place, whichever protocol the client speaks, and that is where something may be hooked in:
//! [`request`] here and [`entry`](crate::entry), before a dyno is picked; [`response`] plans what is done to an answer
//! before it is written; [`error`] makes the page of what cannot be answered; [`Exchange::log`] is the log.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::Response;

use crate::buffer::Buffers;
use crate::client::Client;
use crate::coding::{self, Coder, Coding};
use crate::error_page;
use crate::exchange::{Asked, Exchange};
use crate::fault::Fault;
use crate::forward::Instead;
use crate::http1::framing::Framing;
use crate::http1::request::{self, Fields, Line, Lines, Origin, Terms};
use crate::http1::response::{Added, Answer};
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
        is_https: request::reached_by(terms, origin).0,
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

/// What the app's rules have done to an answer.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    cookie: Option<String>,
    pub(crate) coder: Option<Coder>,
    varies: bool,
}

/// The response phase: what is done to an answer that a dyno gave.
pub(crate) fn response(exchange: &Exchange, answer: &Answer<'_, '_>) -> Plan {
    let mut plan = Plan {
        cookie: exchange.affinity(),
        ..Plan::default()
    };
    let rules = exchange.app().and_then(|app| app.rules.as_ref());
    if rules.is_some_and(|rules| rules.routing.compression) && coding::is_worth_it(answer) {
        plan.varies = true;
        if answer.framing != Framing::Empty {
            let accepts = exchange.asked.field("accept-encoding");
            let coding = accepts.and_then(Coding::accepted);
            plan.coder = coding.and_then(|coding| exchange.worker.coders.begin(coding));
        }
    }
    plan
}

impl Plan {
    pub(crate) const fn is_coded(&self) -> bool {
        self.coder.is_some()
    }

    pub(crate) fn added<'a>(&'a self, exchange: &'a Exchange) -> Added<'a> {
        Added {
            hsts: exchange.hsts(),
            cookie: self.cookie.as_deref(),
            coding: self.coder.as_ref().map(Coder::coding),
            varies: self.varies,
        }
    }
}

/// The error phase: it cannot be answered as asked. The page that says so, and its line in the log.
pub(crate) fn error(exchange: &mut Exchange, instead: Instead) -> Response<Bytes> {
    let taste = exchange.taste();
    exchange.release();
    let fault = match instead {
        Instead::Landing => {
            let domain = exchange.worker.shared.config.domain.as_str();
            return error_page::landing(domain, taste);
        }
        Instead::Redirect(to) => {
            exchange.log(None, to.status.as_u16());
            return error_page::redirect(&to, exchange.hsts());
        }
        Instead::Challenge => match exchange.challenge() {
            Some(answer) => return error_page::challenge(&answer),
            // The order has ended in this very moment.
            None => Fault::NoSuchApp,
        },
        Instead::Fault(fault) => fault,
    };
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
    let mut page = error_page::page(fault, taste, own_page);
    error_page::add_hsts(&mut page, exchange.hsts());
    page
}
