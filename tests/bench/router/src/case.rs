//! What is measured, and what it is to be.

/// Who speaks what to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http1Tls,
    /// Streams at a time on each connection.
    Http2Tls(u32),
    /// A connection for each request.
    NewConnection,
    NewConnectionTls,
}

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) speaks: Speaks,
    pub(crate) connections: u32,
    /// Names the proxy knows; one of them is asked for.
    pub(crate) hosts: usize,
    pub(crate) path: &'static str,
    /// Whether ours counts what each client asks, and h2o too. Nobody reaches the limit.
    pub(crate) is_limited: bool,
    /// How many times dearer a request is than a small one on a kept connection.
    pub(crate) weight: u64,
    /// Our CPU time per request over nginx's.
    pub(crate) target: f64,
}

const SMALL: &str = "/1k";
const LARGE: &str = "/64k";

pub(crate) const CASES: [Case; 11] = [
    case("HTTP/1.1, 50 connections", Speaks::Http1, 50, 0.80),
    case("HTTP/1.1, 200 connections", Speaks::Http1, 200, 0.80),
    Case {
        hosts: 10_000,
        ..case("HTTP/1.1, 10,000 hosts", Speaks::Http1, 50, 0.80)
    },
    Case {
        is_limited: true,
        ..case("HTTP/1.1, a limit per client", Speaks::Http1, 50, 0.85)
    },
    case("HTTP/1.1 over TLS", Speaks::Http1Tls, 50, 0.80),
    case(
        "HTTP/2 over TLS, 10 streams",
        Speaks::Http2Tls(10),
        10,
        0.65,
    ),
    case(
        "HTTP/2 over TLS, 100 streams",
        Speaks::Http2Tls(100),
        2,
        0.65,
    ),
    Case {
        weight: 4,
        ..case(
            "new connection each, plain",
            Speaks::NewConnection,
            20,
            0.95,
        )
    },
    Case {
        weight: 20,
        ..case(
            "new connection each, TLS",
            Speaks::NewConnectionTls,
            20,
            0.80,
        )
    },
    Case {
        path: LARGE,
        weight: 4,
        ..case("HTTP/1.1, 64 KB bodies", Speaks::Http1, 50, 0.90)
    },
    Case {
        path: LARGE,
        weight: 4,
        ..case(
            "HTTP/1.1 over TLS, 64 KB bodies",
            Speaks::Http1Tls,
            50,
            0.90,
        )
    },
];

const fn case(name: &'static str, speaks: Speaks, connections: u32, target: f64) -> Case {
    Case {
        name,
        speaks,
        connections,
        hosts: 1,
        path: SMALL,
        is_limited: false,
        weight: 1,
        target,
    }
}

pub(crate) const DOMAIN: &str = "bench.test";

/// The `index`th app's name.
pub(crate) fn host(index: usize) -> String {
    format!("app-{index}.{DOMAIN}")
}

impl Case {
    /// The one that is asked for.
    pub(crate) fn host(&self) -> String {
        host(self.hosts / 2)
    }
}
