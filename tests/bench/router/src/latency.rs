//! How long requests take at a fixed, moderate rate: what a client sees, not what it costs.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::case::{CASES, Case, Speaks};
use crate::peers::Peer;
use crate::process::{OTHER_CORE, Proxy, pinned};
use crate::{note, table};

const CONNECTIONS: u32 = 20;
/// On each.
const PER_SECOND: u32 = 100;
const SECONDS: u32 = 5;

/// Microseconds: the median, and what 99 of 100 requests do not take.
#[derive(Debug, Clone, Copy)]
struct Took {
    p50: f64,
    p99: f64,
}

/// As a table: nginx's own figures, and the others' p99 as ratios to it by rounds.
pub(crate) fn compare(peers: &[Peer], rounds: usize, dir: &Path) -> anyhow::Result<String> {
    let rate = CONNECTIONS * PER_SECOND;
    let mut text = format!("| p99 at {rate} requests/s | nginx, p50 / p99 in µs |");
    let others = || peers.iter().filter(|peer| **peer != Peer::Nginx);
    for peer in others() {
        let _ = write!(text, " {} / nginx |", peer.name());
    }
    let _ = write!(
        text,
        " target |\n|---|---|{}---|",
        "---|".repeat(others().count())
    );
    for case in cases() {
        let measured = measure(peers, case, rounds, dir)?;
        let of = |peer: Peer, figure: fn(&Took) -> f64| -> Vec<f64> {
            let found = measured.iter().find(|(of, _)| *of == peer);
            found.map_or(Vec::new(), |(_, took)| took.iter().map(figure).collect())
        };
        let _ = write!(
            text,
            "\n| {} | {:.0} / {:.0} |",
            case.name,
            table::median(of(Peer::Nginx, |took| took.p50)),
            table::median(of(Peer::Nginx, |took| took.p99))
        );
        for peer in others() {
            let theirs = of(Peer::Nginx, |took| took.p99);
            let ratios = of(*peer, |took| took.p99).into_iter().zip(theirs);
            let ratios = ratios.map(|(ours, theirs)| ours / theirs).collect();
            let _ = write!(text, " {:.2} |", table::median(ratios));
        }
        text.push_str(" 1.00 |");
    }
    Ok(text)
}

/// Small answers over kept connections, of each protocol the first.
fn cases() -> impl Iterator<Item = &'static Case> {
    let wanted = [Speaks::Http1, Speaks::Http1Tls, Speaks::Http2Tls(10)];
    wanted
        .into_iter()
        .filter_map(|speaks| CASES.iter().find(|case| case.speaks == speaks))
}

fn measure(
    peers: &[Peer],
    case: &Case,
    rounds: usize,
    dir: &Path,
) -> anyhow::Result<Vec<(Peer, Vec<Took>)>> {
    let mut proxies: Vec<(Peer, Proxy, Vec<Took>)> = Vec::new();
    for peer in peers {
        proxies.push((*peer, peer.start(dir, case)?, Vec::new()));
    }
    for round in 0..=rounds {
        for (peer, _, figures) in &mut proxies {
            let took = ask(case, *peer, dir)
                .with_context(|| format!("{} through {}", case.name, peer.name()))?;
            // The first is to warm up.
            if round > 0 {
                figures.push(took);
            }
        }
        note(&format!("{}: round {round} of {rounds}", case.name));
    }
    Ok(proxies
        .into_iter()
        .map(|(peer, _, figures)| (peer, figures))
        .collect())
}

fn ask(case: &Case, peer: Peer, dir: &Path) -> anyhow::Result<Took> {
    let log = dir.join("latency.log");
    let _ = fs_err::remove_file(&log);
    let requests = CONNECTIONS * PER_SECOND * SECONDS;
    let (scheme, port, options): (_, _, &[&str]) = match case.speaks {
        Speaks::Http1 => ("http", peer.http(), &["--h1"]),
        Speaks::Http1Tls => ("https", peer.https(), &["--h1"]),
        _ => ("https", peer.https(), &[]),
    };
    let mut command = pinned(OTHER_CORE, "h2load");
    command
        .args(options)
        .args(["-n", &requests.to_string()])
        .args(["-c", &CONNECTIONS.to_string()])
        .args(["--rps", &PER_SECOND.to_string()])
        .arg(format!("--log-file={}", log.display()))
        .arg(format!("--connect-to=127.0.0.1:{port}"))
        .arg(format!("{scheme}://{}{}", case.host(), case.path));
    let output = command
        .output()
        .context("h2load (package nghttp2-client)")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let all = format!("status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx");
    ensure!(said.contains(&all), "{command:?}: {said}");
    took(&fs_err::read_to_string(&log)?)
}

/// Of h2load's log: when a request began, its status, and how many microseconds it took.
fn took(log: &str) -> anyhow::Result<Took> {
    let took = log
        .lines()
        .filter_map(|line| line.split('\t').nth(2)?.parse().ok());
    let mut took: Vec<f64> = took.collect();
    ensure!(!took.is_empty(), "h2load wrote no log");
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    Ok(Took {
        p50: at(50),
        p99: at(99),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_requests_the_slowest_does_not_count() {
        let log: String = (1..=101).map(|took| format!("1\t200\t{took}\n")).collect();
        let took = took(&log).unwrap();
        assert_eq!((took.p50, took.p99), (51.0, 100.0));
        assert!(super::took("").is_err());
    }
}
