//! The counts in Prometheus's text format.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

pub(crate) use prometheus_text::CONTENT_TYPE;

use super::{Door, Durations, Metrics, Protocol, Totals, resident_bytes};
use crate::buffer;
use crate::table::App;

/// All of it. What it costs grows with the number of apps that have had requests.
pub(crate) fn text(metrics: &Arc<Metrics>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("paas_router");
    registry.register_collector(Box::new(Everything(metrics.clone())));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Everything(Arc<Metrics>);

impl Collector for Everything {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        self.process(&mut writer)?;
        self.ports(&mut writer)?;
        self.apps(&mut writer)
    }
}

type Labels<'a> = [(&'a str, &'a str)];

struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'l Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            metric
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'l Labels<'l>, f64)>,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.gauges(name, help, [(&[][..], value)])
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [(&[][..], value)])
    }

    fn histograms<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'l Labels<'l>, Durations)>,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, durations) in values {
            let none: Option<&HashMap<usize, _>> = None;
            metric
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(
                    durations.sum_seconds(),
                    durations.count(),
                    &durations.buckets(),
                    none,
                )?;
        }
        Ok(())
    }
}

impl Everything {
    fn process(&self, w: &mut Writer<'_>) -> fmt::Result {
        let (metrics, workers) = (&self.0, self.0.workers());
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        w.gauges("build_info", "The program's version", [(&version[..], 1.0)])?;
        w.gauge(
            "uptime_seconds",
            "Since the router's start",
            metrics.started.elapsed().as_secs_f64(),
        )?;
        w.gauge(
            "resident_memory_bytes",
            "Memory of the whole process",
            resident_bytes() as f64,
        )?;
        w.counter(
            "requests",
            "Requests that are over, of apps and others",
            workers.requests,
        )?;
        let doors = Door::ALL.map(|(door, name)| ([("listener", name)], workers.accepted(door)));
        w.counters(
            "accepted_connections",
            "Connections of clients",
            doors.iter().map(|(labels, count)| (&labels[..], *count)),
        )?;
        let protocols = Protocol::ALL.map(|protocol| {
            let (name, tls) = protocol.labels();
            let open = workers.connections(protocol) as f64;
            ([("protocol", name), ("tls", tls)], open)
        });
        w.gauges(
            "connections",
            "Connections of clients that are open",
            protocols.iter().map(|(labels, open)| (&labels[..], *open)),
        )?;
        w.counter(
            "tls_handshakes",
            "TLS handshakes that came to be",
            workers.handshakes,
        )?;
        w.counter(
            "tls_resumptions",
            "TLS handshakes that took a session up again",
            workers.resumed,
        )?;
        w.counter(
            "tls_failed_handshakes",
            "TLS handshakes that failed or took too long",
            workers.failed_handshakes,
        )?;
        w.gauge("buffers", "Buffers in use", workers.buffers as f64)?;
        w.gauge(
            "buffer_bytes",
            "Bytes of the buffers in use",
            workers.buffers as f64 * buffer::SIZE as f64,
        )?;
        let spans = [
            ("exported", &metrics.spans.exported),
            ("dropped", &metrics.spans.dropped),
            ("failed", &metrics.spans.failed),
        ];
        let spans = spans.map(|(what, count)| ([("outcome", what)], count.load(Ordering::Relaxed)));
        w.counters(
            "spans",
            "Spans of traces, by what became of them",
            spans.iter().map(|(labels, count)| (&labels[..], *count)),
        )?;
        w.gauge(
            "applied_revision",
            "The store's revision whose routes are in force",
            metrics.applied() as f64,
        )
    }

    fn ports(&self, w: &mut Writer<'_>) -> fmt::Result {
        let ports: Vec<_> = self
            .0
            .ports
            .readings()
            .into_iter()
            .map(|reading| (reading.port.to_string(), reading))
            .collect();
        let labels: Vec<_> = ports
            .iter()
            .map(|(port, _)| [("port", port.as_str())])
            .collect();
        let each = || {
            labels
                .iter()
                .map(|labels| &labels[..])
                .zip(ports.iter().map(|(_, r)| r))
        };
        w.gauges(
            "tcp_port_open",
            "Whether the port of a TCP route is open on this host",
            each().map(|(labels, reading)| (labels, f64::from(u8::from(reading.error.is_none())))),
        )?;
        w.gauges(
            "tcp_connections",
            "Connections of TCP routes that are open",
            each().map(|(labels, reading)| (labels, reading.connections as f64)),
        )?;
        w.counters(
            "tcp_accepted",
            "Connections that TCP routes have had",
            each().map(|(labels, reading)| (labels, reading.accepted)),
        )?;
        w.counters(
            "tcp_failed",
            "Connections of TCP routes that were not brought to a backend",
            each().map(|(labels, reading)| (labels, reading.failed)),
        )?;
        w.counters(
            "tcp_in_bytes",
            "Bytes from clients of TCP routes",
            each().map(|(labels, reading)| (labels, reading.bytes_in)),
        )?;
        w.counters(
            "tcp_out_bytes",
            "Bytes to clients of TCP routes",
            each().map(|(labels, reading)| (labels, reading.bytes_out)),
        )
    }

    fn apps(&self, w: &mut Writer<'_>) -> fmt::Result {
        let table = self.0.table();
        let routed: Vec<&Arc<App>> = table.iter().flat_map(|table| table.apps()).collect();
        let backends = || routed.iter().flat_map(|app| app.backends.iter());
        let now = Instant::now();
        let quarantined = backends().filter(|b| b.is_quarantined(now) || b.is_on_silent_host(now));
        w.gauge("routes", "Apps in the table", routed.len() as f64)?;
        w.gauge("backends", "Dynos in the table", backends().count() as f64)?;
        w.gauge(
            "quarantined_backends",
            "Dynos in the table that are left alone for a while",
            quarantined.count() as f64,
        )?;
        let busy: Vec<([(&str, &str); 1], Totals)> = routed
            .iter()
            .filter_map(|app| Some(([("app", app.name.as_str())], app.counters.totals()?)))
            .collect();
        by_class(w, &busy)?;
        by_code(w, &busy)?;
        let each = || busy.iter().map(|(labels, totals)| (&labels[..], totals));
        w.counters(
            "app_in_bytes",
            "Bytes of request bodies, and of what came over upgraded connections",
            each().map(|(labels, totals)| (labels, totals.bytes_in)),
        )?;
        w.counters(
            "app_out_bytes",
            "Bytes of response bodies, and of what went over upgraded connections",
            each().map(|(labels, totals)| (labels, totals.bytes_out)),
        )?;
        w.gauges(
            "app_requests_in_flight",
            "Requests under way",
            each().map(|(labels, totals)| (labels, totals.in_flight as f64)),
        )?;
        w.gauges(
            "app_upgraded_connections",
            "WebSockets and the like that are open",
            each().map(|(labels, totals)| (labels, totals.upgraded as f64)),
        )?;
        w.histograms(
            "app_request_duration_seconds",
            "From a request's head to the end of its answer",
            each().map(|(labels, totals)| (labels, totals.durations)),
        )?;
        w.histograms(
            "app_connect_duration_seconds",
            "To a connection with the dyno; 0 where one was there",
            each().map(|(labels, totals)| (labels, totals.connects)),
        )
    }
}

const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

fn by_class(w: &mut Writer<'_>, busy: &[([(&str, &str); 1], Totals)]) -> fmt::Result {
    let values: Vec<_> = busy
        .iter()
        .flat_map(|([app], totals)| {
            let counts = CLASSES.into_iter().zip(totals.classes);
            counts
                .filter(|(_, count)| *count > 0)
                .map(|(class, count)| ([*app, ("status", class)], count))
        })
        .collect();
    w.counters(
        "app_requests",
        "Requests of an app, by the class of their answer's status",
        values.iter().map(|(labels, count)| (&labels[..], *count)),
    )
}

fn by_code(w: &mut Writer<'_>, busy: &[([(&str, &str); 1], Totals)]) -> fmt::Result {
    let codes: Vec<_> = busy
        .iter()
        .flat_map(|([app], totals)| {
            let counts = totals.codes.iter();
            counts.map(|(code, count)| (*app, format!("H{code}"), *count))
        })
        .collect();
    let values: Vec<_> = codes
        .iter()
        .map(|(app, code, count)| ([*app, ("code", code.as_str())], *count))
        .collect();
    w.counters(
        "app_errors",
        "Requests of an app that ended with one of Heroku's codes",
        values.iter().map(|(labels, count)| (&labels[..], *count)),
    )
}
