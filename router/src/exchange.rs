//! One request and its response, from the first to the last byte: what is known of it, what it holds, and its one line
//! in the log.
//!
//! It has one owner at a time: whoever forwards it, then whoever carries the answer. It keeps the claim on the dyno until
//! both directions are over; dropped before that, the client has gone away (H27).

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Version;
use model::DynoProtocol;

use crate::access_log::{self, Record};
use crate::backend::{Backend, InFlight, Tunnel};
use crate::client::Client;
use crate::entry::{Entry, Visit};
use crate::error_page::Taste;
use crate::fault::Fault;
use crate::http1::request::Places;
use crate::metrics::Finished;
use crate::pool::Link;
use crate::queue::{Place, Queue};
use crate::table::{App, Target};
use crate::trace::{Span, Tracer};
use crate::worker::Worker;

/// What is kept of the request.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What a dyno is sent, but for the body.
    pub(crate) head: Vec<u8>,
    pub(crate) places: Places,
    /// Lower case, without port.
    pub(crate) host: String,
    pub(crate) version: Version,
    /// Whether the client used TLS, towards us or a proxy that we trust.
    pub(crate) is_https: bool,
    pub(crate) has_body: bool,
}

impl Asked {
    fn method(&self) -> &[u8] {
        self.places.method.of(&self.head)
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    /// Whether sending it twice means the same as sending it once, by HTTP's rule, and can be done.
    pub(crate) fn is_repeatable(&self) -> bool {
        let is_idempotent = matches!(
            self.method(),
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE"
        );
        is_idempotent && !self.has_body
    }

    /// The first field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        self.head.split(|byte| *byte == b'\n').find_map(|line| {
            let (start, rest) = line.split_at_checked(name.len())?;
            let value = rest.strip_prefix(b":")?;
            (start.eq_ignore_ascii_case(name.as_bytes())).then(|| value.trim_ascii())
        })
    }

    pub(crate) fn is_websocket(&self) -> bool {
        let upgrade = self.field("upgrade");
        upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case(b"websocket"))
    }

    /// What kind of page the client would have, by what it accepts.
    fn taste(&self) -> Taste {
        let accepts = self.field("accept");
        Taste::of(accepts.and_then(|accepts| std::str::from_utf8(accepts).ok()))
    }
}

/// Where authorities look (RFC 8555, 8.3).
const CHALLENGES: &[u8] = b"/.well-known/acme-challenge/";

#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) worker: Rc<Worker>,
    pub(crate) client: Rc<Client>,
    pub(crate) asked: Asked,
    /// When its head had come.
    pub(crate) began: Instant,
    /// Where its line goes; platform hosts have none.
    app: Option<Arc<App>>,
    /// The longest silence while bodies are under way.
    pub(crate) idle: Duration,

    /// If it was let in by an app that has rules.
    pub(crate) entry: Option<Box<Entry>>,
    /// While it waits.
    place: Option<Place>,
    /// What the dynos of the app speak whose dyno was picked.
    pub(crate) dyno_protocol: DynoProtocol,
    backend: Option<Arc<Backend>>,
    claim: Option<InFlight>,
    connect: Option<Duration>,
    dispatched: Option<Instant>,

    status: u16,
    /// Of the response's body.
    pub(crate) bytes: u64,
    /// Of the request's body, as far as the dyno was sent it.
    pub(crate) bytes_in: u64,
    is_upgraded: bool,
    is_logged: bool,
    /// Whether the app's log says nothing of it.
    is_hushed: bool,
    /// Where traces are taken and this request's is.
    span: Option<Box<Span>>,
}

impl Exchange {
    pub(crate) fn new(client: Rc<Client>, mut asked: Asked, began: Instant) -> Self {
        client.begun.set(client.begun.get() + 1);
        client.under_way.set(client.under_way.get() + 1);
        let tracer = client.worker.shared.tracer.as_ref();
        let span = tracer.and_then(|tracer| tracer.join(&mut asked, began));
        Self {
            worker: client.worker.clone(),
            client,
            asked,
            began,
            app: None,
            idle: Duration::MAX,
            entry: None,
            place: None,
            dyno_protocol: DynoProtocol::default(),
            backend: None,
            claim: None,
            connect: None,
            dispatched: None,
            status: 0,
            bytes: 0,
            bytes_in: 0,
            is_upgraded: false,
            is_logged: false,
            is_hushed: false,
            span,
        }
    }

    /// Over how much waiting for the client its pace is measured. Who may be silent for longer may be slow for longer.
    pub(crate) fn pace(&self) -> Duration {
        let pace = self.worker.shared.config.timeouts.pace;
        pace.max(self.idle)
    }

    /// The app it is for: the first that was found, as the table has it that was asked last.
    pub(crate) fn set_app(&mut self, app: &Arc<App>) {
        match &mut self.app {
            None => {
                app.counters.of(self.worker.index).begin();
                self.app = Some(app.clone());
            }
            Some(known) if known.id == app.id && !Arc::ptr_eq(known, app) => *known = app.clone(),
            Some(_) => {}
        }
    }

    /// Makes out whose it is, for a request that is not going to be forwarded.
    pub(crate) fn find_app(&mut self) {
        let worker = self.worker.clone();
        if let Some(Target::App(app)) = worker.table().lookup(&self.asked.host) {
            self.set_app(app);
        }
    }

    /// Whose name the connection was opened for: who else should hear of what went wrong on it?
    pub(crate) fn find_app_of_connection(&mut self) {
        let (worker, client) = (self.worker.clone(), self.client.clone());
        let shown = client.shown.as_ref();
        if let Some(name) = shown.and_then(|shown| shown.name.as_deref())
            && let Some(Target::App(app)) = worker.table().lookup(name)
        {
            self.set_app(app);
        }
    }

    /// Whether an authority asks for what we have an answer to. It asks over plain HTTP first, but may be sent on.
    pub(crate) fn is_challenge(&self) -> bool {
        // Nearly never; and then the answer is looked for.
        let path = self.asked.places.path.of(&self.asked.head);
        path.starts_with(CHALLENGES) && self.challenge().is_some()
    }

    pub(crate) fn challenge(&self) -> Option<String> {
        let path = self.asked.places.path.of(&self.asked.head);
        let token = std::str::from_utf8(path.strip_prefix(CHALLENGES)?).ok()?;
        let tls = self.worker.shared.tls.as_ref()?;
        let answer = tls.current().challenge(&self.asked.host, token)?.to_owned();
        Some(answer)
    }

    pub(crate) const fn app(&self) -> Option<&Arc<App>> {
        self.app.as_ref()
    }

    /// What kind of page says that it cannot be answered.
    pub(crate) fn taste(&self) -> Taste {
        match self.worker.table().lookup(&self.asked.host) {
            Some(Target::Platform(platform)) if platform.is_api() => Taste::Json,
            _ => self.asked.taste(),
        }
    }

    /// What is decided by who it is from and what it asks for.
    pub(crate) fn visit(&self) -> Visit<'_> {
        let (head, places) = (&self.asked.head, &self.asked.places);
        let ports = self.worker.shared.config.public_ports;
        Visit {
            client: self.client.address(places.fwd.of(head)),
            method: self.asked.method(),
            host: &self.asked.host,
            path: places.path.of(head),
            is_https: self.asked.is_https,
            cookies: self.asked.field("cookie"),
            ports: (ports.http, ports.https),
        }
    }

    /// Takes a place among those of the app that wait, or keeps the one it has. Whether there was one.
    pub(crate) fn waits(&mut self, queue: &Queue, most: u32) -> bool {
        if self.place.is_none() {
            self.place = queue.join(most);
        }
        self.place.is_some()
    }

    /// Whether it has a place among those that wait.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.place.is_some()
    }

    /// What its answer says of HTTPS.
    pub(crate) fn hsts(&self) -> Option<&str> {
        let entry = self.entry.as_ref().filter(|_| self.asked.is_https)?;
        entry.front.rules.as_ref()?.hsts.as_deref()
    }

    /// The cookie that brings the client's next request to the same dyno, if it has no such cookie.
    pub(crate) fn affinity(&self) -> Option<String> {
        let has_it = |app: &App| {
            app.rules
                .as_ref()
                .is_some_and(|rules| rules.routing.session_affinity)
        };
        let front = self.entry.as_ref().map(|entry| &*entry.front);
        if !front.is_some_and(has_it) {
            return None;
        }
        let wanted = self.entry.as_ref().and_then(|entry| entry.wanted);
        let tag = self
            .backend
            .as_ref()?
            .tag
            .filter(|tag| Some(*tag) != wanted)?;
        let path = self
            .entry
            .as_ref()
            .and_then(|entry| entry.prefix.as_deref());
        Some(tag.set_cookie(path.unwrap_or("/"), self.asked.is_https))
    }

    /// The backend that was picked; whatever was claimed before is let go.
    pub(crate) fn claim(&mut self, claim: InFlight) {
        self.backend = Some(claim.backend().clone());
        self.claim = Some(claim);
    }

    /// Lets the backend go: nothing of this request is or will be there.
    pub(crate) fn release(&mut self) {
        self.claim = None;
    }

    /// The one picked last, claimed or not.
    pub(crate) const fn backend(&self) -> Option<&Arc<Backend>> {
        self.backend.as_ref()
    }

    pub(crate) fn failed_to_connect(&mut self, took: Duration) {
        self.connect = Some(took);
        self.release();
    }

    pub(crate) fn become_tunnel(&mut self) -> Option<Tunnel> {
        self.is_upgraded = true;
        if let Some(app) = &self.app {
            app.counters.of(self.worker.index).upgrade();
        }
        self.claim.take().map(InFlight::into_tunnel)
    }

    /// It has a connection since `now`.
    pub(crate) fn dispatch(&mut self, connect: Duration, now: Instant) {
        self.place = None;
        self.connect = Some(connect);
        self.dispatched = Some(now);
    }

    pub(crate) const fn set_status(&mut self, status: u16) {
        self.status = status;
    }

    /// Whether the dyno has agreed to speak another protocol.
    pub(crate) const fn is_tunnel(&self) -> bool {
        self.status == 101
    }

    /// All of the response has come from the dyno.
    pub(crate) fn received(&mut self) {
        self.log(None, self.status);
    }

    /// Both directions are complete: the dyno may go, and its connection carry the next request.
    pub(crate) fn end(mut self, link: Option<Link>) {
        if let (Some(link), Some(backend)) = (link, &self.backend) {
            let now = self.worker.alarms.now();
            self.worker.pool.put(backend, link, now);
        }
        self.release();
    }

    /// Breaks it off where it stands.
    pub(crate) fn cut(&mut self, fault: Fault) {
        self.log(Some(fault), fault.status().as_u16());
        self.release();
    }

    /// It is to have no line.
    pub(crate) const fn hush(&mut self) {
        self.is_hushed = true;
    }

    /// The request's one line, whoever comes first.
    pub(crate) fn log(&mut self, fault: Option<Fault>, status: u16) {
        if std::mem::replace(&mut self.is_logged, true) {
            return;
        }
        let span = self.span.take();
        let app = self.app.as_ref();
        let has_line = app.is_some() && fault.is_none_or(|fault| fault.code().is_some());
        if !has_line && span.is_none() {
            return;
        }
        let now = Instant::now();
        let (head, places) = (&self.asked.head, &self.asked.places);
        let record = Record {
            fault,
            method: &text(places.method.of(head)),
            path: &text(places.path.of(head)),
            host: &self.asked.host,
            request_id: &text(places.request_id.of(head)),
            fwd: &text(places.fwd.of(head)),
            dyno: self.backend.as_ref().map_or("", |backend| &backend.label),
            connect: self.connect,
            service: self.dispatched.map(|at| now.duration_since(at)),
            status,
            bytes: self.dispatched.map(|_| self.bytes),
            version: self.asked.version,
            tls_version: self.client.tls_version,
        };
        let shared = &self.worker.shared;
        if let Some(app) = app.filter(|_| has_line) {
            app.counters.of(self.worker.index).finished(&Finished {
                fault,
                status,
                took: now.duration_since(self.began),
                connect: self.connect,
            });
            if !self.is_hushed {
                access_log::send(&shared.log, app.id, &record);
            }
        }
        let exporter = shared.tracer.as_ref().and_then(Tracer::exporter);
        if let (Some(span), Some(exporter)) = (span, exporter) {
            exporter.send(&span, &record, app.map(|app| app.name.as_str()));
        }
    }
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    // Nearly always it is text, and that is found out faster so.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_logged {
            let fault = if self.worker.is_closing() {
                Fault::ForcedClose
            } else {
                Fault::ClientInterrupted
            };
            self.log(Some(fault), fault.status().as_u16());
        }
        let under_way = &self.client.under_way;
        under_way.set(under_way.get().saturating_sub(1));
        self.worker.counters.requests.one();
        if let Some(app) = &self.app {
            let counters = app.counters.of(self.worker.index);
            counters.end(self.bytes_in, self.bytes, self.is_upgraded);
        }
        let head = std::mem::take(&mut self.asked.head);
        self.worker.buffers.put_text(head);
    }
}
