use serde_json::{Value, json};

use super::harness::Cli;

const STATUS: &str = "GET /platform/routers";
const TRAFFIC: &str = "GET /apps/myapp/traffic";

fn latency(p50: f64, p99: f64) -> Value {
    json!({"p50": p50, "p99": p99})
}

fn routers() -> Value {
    json!({"revision": 130, "routers": [
        {
            "applied": 128, "behind": 0, "closed_ports": {"5432": "the address is in use"}, "draining_requests": 0,
            "error": null, "host": "alpha", "id": ID_1, "state": "up",
            "reading": {
                "backends": 4, "buffers": 2, "id": ID_1,
                "connections": {"http1": 20, "http2": 3, "tcp": 1, "upgraded": 2},
                "latency": latency(4.5, 120.0), "memory_bytes": 30_000_000, "quarantined_backends": 0,
                "requests_in_flight": 6, "requests_per_second": 81.5, "routes": 3, "tcp_ports": [],
                "uptime_seconds": 7380, "version": "0.1.0", "window_seconds": 15.0,
            },
        },
        {
            "applied": 90, "behind": 2, "closed_ports": {}, "draining_requests": 3,
            "error": "it has not answered within 2 s", "host": "beta", "id": ID_2, "state": "no answer",
            "reading": null,
        },
    ]})
}

const ID_1: &str = "01234567-89ab-cdef-0123-456789abcdef";
const ID_2: &str = "01234567-89ab-cdef-0123-456789abcde0";

#[test]
fn each_router_has_a_line_and_one_that_is_silent_its_reason() {
    let cli = Cli::new();
    cli.stub.on(STATUS, routers());
    let said = cli.paas(&["router:status"]);
    said.answers(
        "Router  State      Version  Up     Revision              Connections  Requests/s  p50     p99     In flight  Draining  Memory\n\
         alpha   up         0.1.0    2h 3m  128                   26           81.5        4.5 ms  120 ms  6          0         30.0 MB\n\
         beta    no answer  -        -      90 (2 routes behind)  -            -           -       -       -          3         -\n\
         The store is at revision 130.\n\
         alpha: port 5432 is not open: the address is in use\n\
         beta: it has not answered within 2 s\n",
    );
    let json = cli.paas(&["router:status", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["routers"][0]["reading"]["requests_per_second"], 81.5);
    assert_eq!(json["routers"][1]["state"], "no answer");
}

#[test]
fn an_apps_traffic_is_told_by_router_and_its_dynos_as_each_sees_them() {
    let cli = Cli::new();
    let backend = |name: &str, state: &str| json!({"address": "10.0.0.7:32768", "in_flight": 2, "name": name, "state": state});
    let reading = json!({
        "backends": [backend("web.1", "up"), backend("web.2", "quarantined")],
        "bytes_in": 1, "bytes_out": 2, "codes": {"H12": 1}, "connect": latency(0.4, 0.9), "id": ID_1,
        "in_flight": 4, "latency": latency(4.5, 120.0), "requests_per_second": 12.0,
        "statuses": {"2xx": 119, "5xx": 1}, "upgraded": 0, "window_seconds": 10.0,
    });
    cli.stub.on(
        TRAFFIC,
        json!({"routers": [{"error": null, "host": "alpha", "id": ID_1, "reading": reading, "state": "up"}]}),
    );
    cli.paas(&["router:status", "-a", "myapp"]).answers(
        "=== ⬢ myapp by router\n\n\
         Router  State  Requests/s  Statuses        Errors  p50     p99     Connect p99  In flight  Upgraded\n\
         alpha   up     12          2xx 119, 5xx 1  H12 1   4.5 ms  120 ms  0.9 ms       4          0\n\
         \n\
         === Dynos\n\n\
         Dyno   Router  State        In flight  Address\n\
         web.1  alpha   up           2          10.0.0.7:32768\n\
         web.2  alpha   quarantined  2          10.0.0.7:32768\n",
    );
}

#[test]
fn without_a_router_that_is_said() {
    let cli = Cli::new();
    cli.stub.on(STATUS, json!({"revision": 1, "routers": []}));
    cli.paas(&["router:status"])
        .says("No router is alive: nothing is reached.\n");
}
