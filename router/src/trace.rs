//! Traces: a request's place in a trace by W3C's `traceparent`, and its span, sent on by OTLP.
//!
//! Off unless an operator has set a sampling rate or a collector; then a request costs one look at an empty option, and
//! `traceparent` passes through as any other field. On, the router takes part as the specification has it
//! (<https://www.w3.org/TR/trace-context/>): in a trace that is sampled it puts itself between caller and dyno; one that
//! is not sampled passes untouched; what cannot be read is replaced.

mod export;
mod head;
mod parent;

use std::time::{Instant, SystemTime};

use rand::Rng as _;

pub(crate) use export::{Exporter, Exporting, SpanCounts};
use parent::Parent;

use crate::exchange::Asked;

/// What an operator asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tracing {
    /// Which share of the requests that bring no trace begins one: 0 none, 1 all.
    pub sample: f64,
    /// Where spans are posted, by OTLP over HTTP: `http://collector:4318/v1/traces`.
    pub endpoint: Option<String>,
}

/// A router's part in tracing.
#[derive(Debug)]
pub(crate) struct Tracer {
    sample: f64,
    exporter: Option<Exporter>,
}

/// A request's span, under way.
#[derive(Debug)]
pub(crate) struct Span {
    trace: [u8; 16],
    id: [u8; 8],
    /// The caller's, where it has one.
    parent: Option<[u8; 8]>,
    began: SystemTime,
    clock: Instant,
}

impl Tracer {
    /// `None`: nobody asked for it.
    pub(crate) fn new(tracing: &Tracing, exporter: Option<Exporter>) -> Option<Self> {
        let is_on = tracing.sample > 0.0 || tracing.endpoint.is_some();
        is_on.then_some(Self {
            sample: tracing.sample,
            exporter,
        })
    }

    /// Puts the request into its trace: writes into its head what the dyno is to be told. `None`: it is not sampled.
    pub(crate) fn join(&self, asked: &mut Asked, clock: Instant) -> Option<Box<Span>> {
        let mut rng = rand::rng();
        match head::find(&asked.head) {
            head::Found::None if rng.random::<f64>() >= self.sample => None,
            head::Found::None => {
                let (new, span) = begin(true, clock);
                // What describes the place in a trace that nobody knows of describes nothing.
                head::replace(asked, &new);
                Some(span)
            }
            head::Found::One(parent) if !parent.is_sampled() => None,
            head::Found::One(parent) => {
                let id = new_id();
                head::put(asked, &parent.child(id));
                Some(Box::new(Span {
                    trace: parent.trace,
                    id,
                    parent: Some(parent.id),
                    began: SystemTime::now(),
                    clock,
                }))
            }
            head::Found::Nonsense => {
                let is_sampled = rng.random::<f64>() < self.sample;
                let (new, span) = begin(is_sampled, clock);
                head::replace(asked, &new);
                is_sampled.then_some(span)
            }
        }
    }

    pub(crate) const fn exporter(&self) -> Option<&Exporter> {
        self.exporter.as_ref()
    }
}

fn begin(is_sampled: bool, clock: Instant) -> (Parent, Box<Span>) {
    let new = Parent::new(new_id(), new_id(), is_sampled);
    let span = Span {
        trace: new.trace,
        id: new.id,
        parent: None,
        began: SystemTime::now(),
        clock,
    };
    (new, Box::new(span))
}

/// Random, and not the one of all zeros, which is none.
fn new_id<const N: usize>() -> [u8; N] {
    loop {
        let id = std::array::from_fn(|_| rand::random());
        if id != [0; N] {
            return id;
        }
    }
}
