//! Requests in traces: what the dyno is told, and what the collector.

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use model::AppId;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use router::Tracing;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::support::*;

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Says what it was told: `traceparent`, `tracestate`.
async fn telling() -> Dyno {
    Dyno::http(|request| async move {
        let told = |name: &str| {
            let values = request.headers().get_all(name).into_iter();
            let values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
            values.join(",")
        };
        say(format!("{} {}", told("traceparent"), told("tracestate")))
    })
    .await
}

async fn told(platform: &Platform, parents: &[&str], state: Option<&str>) -> (String, String) {
    let mut request = Request::get("/a?secret=1").header("host", "app.paas.test");
    for parent in parents {
        request = request.header("traceparent", *parent);
    }
    if let Some(state) = state {
        request = request.header("tracestate", state);
    }
    let answer = platform.ask(request.body(Full::default()).unwrap()).await;
    let (parent, state) = text(&answer).split_once(' ').unwrap();
    (parent.to_owned(), state.to_owned())
}

async fn platform(tracing: Tracing) -> (Platform, Dyno) {
    let platform = Platform::start_with(|config| config.tracing = tracing).await;
    let dyno = telling().await;
    platform.route(&route(AppId::new(), "app", &[&dyno])).await;
    (platform, dyno)
}

fn sampling(sample: f64) -> Tracing {
    Tracing {
        sample,
        endpoint: None,
    }
}

/// A collector, and the spans it has got.
async fn collector() -> (Dyno, UnboundedReceiver<Span>) {
    let (got, spans) = unbounded_channel();
    let collector = Dyno::http(move |request| {
        let got = got.clone();
        async move {
            assert_eq!(request.uri().path(), "/v1/traces");
            assert_eq!(request.headers()["content-type"], "application/x-protobuf");
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let export = ExportTraceServiceRequest::decode(body).unwrap();
            for resource in export.resource_spans {
                let attributes = resource.resource.unwrap().attributes;
                assert!(attributes.iter().any(|a| a.key == "service.name"));
                for span in resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans)
                {
                    let _ = got.send(span);
                }
            }
            say("")
        }
    })
    .await;
    (collector, spans)
}

async fn next(spans: &mut UnboundedReceiver<Span>) -> Span {
    let span = tokio::time::timeout(PATIENCE, spans.recv()).await;
    span.expect("no span came").unwrap()
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == key)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_the_router_leaves_traces_alone() {
    let (platform, _dyno) = platform(Tracing::default()).await;
    for parent in ["", "nonsense", &format!("{CALLER}-01")] {
        let parents = [parent];
        let parents = if parent.is_empty() { &[][..] } else { &parents };
        let told = told(&platform, parents, Some("x=1")).await;
        assert_eq!(told, (parent.to_owned(), "x=1".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_sampled_trace_the_dyno_has_the_router_as_its_caller() {
    let (platform, _dyno) = platform(sampling(1.0)).await;
    let (parent, state) = told(&platform, &[&format!("{CALLER}-01")], Some("x=1")).await;
    assert!(parent.starts_with(&format!("00-{TRACE}-")), "{parent}");
    assert!(
        !parent.contains("00f067aa0ba902b7") && parent.ends_with("-01"),
        "{parent}"
    );
    assert_eq!(state, "x=1");
    let unsampled = format!("{CALLER}-00");
    let (parent, state) = told(&platform, &[&unsampled], Some("x=1")).await;
    assert_eq!((parent, state), (unsampled, "x=1".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_trace_begin_one_as_often_as_the_rate_says() {
    let (always, _dyno) = platform(sampling(1.0)).await;
    let (parent, state) = told(&always, &[], Some("x=1")).await;
    assert!(parent.len() == 55 && parent.ends_with("-03"), "{parent}");
    assert_eq!(state, "", "it is of no trace");
    // A collector alone begins none: it is for the traces of callers.
    let only_exporting = Tracing {
        sample: 0.0,
        endpoint: Some(format!("http://{}/v1/traces", refusing().await)),
    };
    let (never, _dyno) = platform(only_exporting).await;
    assert_eq!(told(&never, &[], None).await.0, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_traceparent_is_replaced_with_all_that_came_with_it() {
    let (platform, _dyno) = platform(sampling(1.0)).await;
    let good = format!("{CALLER}-01");
    let upper = good.to_uppercase();
    for bad in [
        &["nonsense"][..],
        &[good.as_str(), good.as_str()],
        &[upper.as_str()],
        &["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
    ] {
        let (parent, state) = told(&platform, bad, Some("x=1")).await;
        assert_eq!(parent.len(), 55, "{bad:?}: {parent}");
        assert!(!parent.contains(TRACE), "{bad:?}: {parent}");
        assert_eq!(state, "", "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_collector_has_a_span_of_each_sampled_request_whichever_protocol_it_came_by() {
    let (collector, mut spans) = collector().await;
    let tracing = Tracing {
        sample: 0.0,
        endpoint: Some(format!("http://{}/v1/traces", collector.addr)),
    };
    let (platform, _dyno) = platform(tracing).await;
    let (parent, _) = told(&platform, &[&format!("{CALLER}-01")], None).await;
    let span = next(&mut spans).await;
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    assert_eq!(hex(&span.trace_id), TRACE);
    assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(parent, format!("00-{TRACE}-{}-01", hex(&span.span_id)));
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/a"),
        ("server.address", "app.paas.test"),
        ("http.response.status_code", "200"),
        ("paas.app", "app"),
        ("paas.dyno", "web.1"),
    ] {
        assert_eq!(attribute(&span, key).as_deref(), Some(value), "{key}");
    }

    let request = Request::get("https://nobody.paas.test/")
        .header("traceparent", format!("{CALLER}-01"))
        .body(Full::default())
        .unwrap();
    let mut client = platform.http2("app.paas.test").await;
    assert_eq!(client.send_request(request).await.unwrap().status(), 404);
    let span = next(&mut spans).await;
    assert_eq!(
        attribute(&span, "http.response.status_code").as_deref(),
        Some("404")
    );
    assert_eq!(attribute(&span, "paas.app"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_stops_hands_over_the_last_spans_first() {
    let (collector, mut spans) = collector().await;
    let tracing = Tracing {
        sample: 1.0,
        endpoint: Some(format!("http://{}/v1/traces", collector.addr)),
    };
    let (platform, _dyno) = platform(tracing).await;
    told(&platform, &[], None).await;
    platform.shutdown.cancel();
    platform.handle.join().await.unwrap();
    let span = spans.try_recv().expect("it is there by now");
    assert_eq!(span.parent_span_id, Vec::<u8>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_says_nothing_costs_spans_and_no_request() {
    let silent = Dyno::raw(|_stream| std::future::pending()).await;
    let tracing = Tracing {
        sample: 1.0,
        endpoint: Some(format!("http://{}/v1/traces", silent.addr)),
    };
    let (platform, dyno) = platform(tracing).await;
    let mut client = http1(platform.http).await;
    let began = std::time::Instant::now();
    let mut asked = 0;
    // More than can wait, and what is under way.
    while !has_dropped(&platform).await {
        for _ in 0..500 {
            let request = Request::get("/").header("host", "app.paas.test");
            let request = request.body(Full::default()).unwrap();
            client.ready().await.unwrap();
            let answer = collect(client.send_request(request).await.unwrap()).await;
            assert_eq!(answer.status(), 200);
            asked += 1;
        }
        assert!(asked < 20_000, "none was dropped");
    }
    assert_eq!(dyno.requests(), asked);
    assert!(began.elapsed() < Duration::from_secs(60));
}

async fn has_dropped(platform: &Platform) -> bool {
    let metrics = platform.scrape().await;
    let dropped = "paas_router_spans_total{outcome=\"dropped\"} ";
    let dropped = metrics.lines().find_map(|line| line.strip_prefix(dropped));
    dropped.is_some_and(|count| count != "0")
}
