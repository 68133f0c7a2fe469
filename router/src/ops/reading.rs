//! What a router says when it is asked, from what it has counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use controller_api::wire::{
    AppReading, BackendReading, ConnectionCounts, Latency, RouterReading, TcpPortReading,
};
use model::AppId;

use crate::backend::Backend;
use crate::metrics::{Durations, Metrics, Protocol, Totals, resident_bytes};

pub(super) fn of_router(metrics: &Metrics) -> RouterReading {
    let (workers, recent) = (metrics.workers(), metrics.recent());
    let table = metrics.table();
    let apps = || table.iter().flat_map(|table| table.apps());
    let backends = || apps().flat_map(|app| app.backends.iter());
    let now = Instant::now();
    let open = |protocols: [Protocol; 2]| {
        let open = protocols.map(|protocol| workers.connections(protocol));
        open.iter().sum()
    };
    RouterReading {
        backends: backends().count() as u64,
        buffers: workers.buffers,
        connections: ConnectionCounts {
            http1: open([Protocol::Http1, Protocol::Http1OverTls]),
            http2: open([Protocol::Http2, Protocol::Http2OverTls]),
            tcp: workers.connections(Protocol::Tcp),
            upgraded: recent.all.upgraded,
        },
        id: metrics.id,
        latency: latency(&recent.all.durations),
        memory_bytes: resident_bytes(),
        quarantined_backends: backends().filter(|b| state(b, now) != UP).count() as u64,
        requests_in_flight: recent.all.in_flight,
        requests_per_second: rounded(recent.per_second(recent.requests)),
        routes: apps().count() as u64,
        tcp_ports: tcp_ports(metrics),
        uptime_seconds: metrics.started.elapsed().as_secs(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        window_seconds: rounded(recent.span.as_secs_f64()),
    }
}

/// `None`: it has no route.
pub(super) fn of_app(metrics: &Metrics, id: AppId) -> Option<AppReading> {
    let table = metrics.table()?;
    let app = table.app(id)?;
    let mut recent = metrics.recent();
    let totals = recent.apps.remove(&id).unwrap_or_default();
    let now = Instant::now();
    let backends = app
        .backends
        .iter()
        .map(|backend: &Arc<Backend>| BackendReading {
            address: backend.addr,
            in_flight: backend.load().into(),
            name: backend.label.to_string(),
            state: state(backend, now).to_owned(),
        });
    Some(AppReading {
        backends: backends.collect(),
        bytes_in: totals.bytes_in,
        bytes_out: totals.bytes_out,
        connect: latency(&totals.connects),
        id: metrics.id,
        in_flight: totals.in_flight,
        latency: latency(&totals.durations),
        requests_per_second: rounded(recent.per_second(finished(&totals))),
        upgraded: totals.upgraded,
        window_seconds: rounded(recent.span.as_secs_f64()),
        statuses: named_classes(&totals),
        codes: totals
            .codes
            .iter()
            .map(|(code, count)| (format!("H{code}"), *count))
            .collect(),
    })
}

fn tcp_ports(metrics: &Metrics) -> Vec<TcpPortReading> {
    let ports = metrics.ports.readings().into_iter();
    let open = ports.filter(|port| port.error.is_none());
    open.map(|port| TcpPortReading {
        accepted: port.accepted,
        connections: port.connections,
        failed: port.failed,
        port: port.port,
    })
    .collect()
}

const UP: &str = "up";

fn state(backend: &Backend, now: Instant) -> &'static str {
    if backend.is_on_silent_host(now) {
        "host silent"
    } else if backend.is_quarantined(now) {
        "quarantined"
    } else {
        UP
    }
}

fn finished(totals: &Totals) -> u64 {
    totals.classes.iter().sum()
}

fn named_classes(totals: &Totals) -> std::collections::BTreeMap<String, u64> {
    let classes = totals.classes.iter().enumerate().skip(1);
    classes
        .filter(|(_, count)| **count > 0)
        .map(|(class, count)| (format!("{class}xx"), *count))
        .collect()
}

fn latency(durations: &Durations) -> Latency {
    let millis = |took: Duration| rounded(took.as_secs_f64() * 1000.0);
    Latency {
        p50: durations.quantile(0.5).map(millis),
        p99: durations.quantile(0.99).map(millis),
    }
}

/// To a tenth: more would be pretended.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
