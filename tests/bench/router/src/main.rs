//! The router against its peers, in turn on the same machine.
//!
//! ```sh
//! apt-get install nginx-light haproxy h2o wrk nghttp2-client
//! cargo run --release -p router-bench
//! ```
//!
//! With `--idle`, the memory of idle connections instead; with `--latency`, how long requests take. In a network namespace of its own (`unshare --net`, then
//! `ip link set lo up`) no firewall rules of the machine take part.
//!
//! The proxy has one core to itself, the load generator and the backend another. Every round asks each proxy for the same
//! number of requests; what counts is the CPU time it took (user and system, of all its processes) per request, as a
//! ratio to nginx's in the same round. Medians over rounds. A request that fails ends the benchmark.

mod backend;
mod case;
mod idle;
mod latency;
mod load;
mod peers;
mod process;
mod subject;
mod table;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::case::{CASES, Case};
use crate::peers::Peer;
use crate::process::Proxy;

/// As `paasd` has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(about = "The router against nginx, haproxy and h2o, by CPU time per request")]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// Rounds; the median of them counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Requests of each measurement, in thousands
    #[arg(long, default_value_t = 40)]
    thousands: u64,
    /// Only cases whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Only these proxies besides nginx and ours
    #[arg(long, value_delimiter = ',', default_value = "haproxy,h2o")]
    peers: Vec<String>,
    /// What idle connections cost in memory
    #[arg(long)]
    idle: bool,
    /// How long requests take at a fixed, moderate rate
    #[arg(long, conflicts_with = "idle")]
    latency: bool,
}

/// The benchmark starts itself for these.
#[derive(Debug, Subcommand)]
enum Part {
    #[command(hide = true)]
    Backend,
    #[command(hide = true)]
    Subject {
        dir: PathBuf,
        hosts: usize,
        #[arg(long)]
        limited: bool,
    },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.part {
        Some(Part::Backend) => backend::run(),
        Some(Part::Subject {
            dir,
            hosts,
            limited,
        }) => subject::run(&dir, hosts, limited),
        None => compare(&args),
    }
}

fn compare(args: &Args) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    peers::prepare(dir.path())?;
    let backend = backend::start()?;
    let chosen: Vec<Peer> = chosen(args).collect();
    if args.idle {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
        print(&idle::compare(&chosen, dir.path())?);
        return Ok(());
    }
    if args.latency {
        print(&latency::compare(&chosen, args.rounds, dir.path())?);
        return Ok(());
    }
    let mut rows = Vec::new();
    for case in CASES
        .iter()
        .filter(|case| case.name.contains(args.only.as_str()))
    {
        rows.push((case, measure(args, case, dir.path())?));
    }
    drop(backend);
    print(&table::render(&rows));
    Ok(())
}

fn chosen(args: &Args) -> impl Iterator<Item = Peer> {
    Peer::ALL.into_iter().filter(|peer| {
        matches!(peer, Peer::Paas | Peer::Nginx)
            || args.peers.iter().any(|name| name == peer.name())
    })
}

/// CPU microseconds per request: of each proxy, round by round.
pub(crate) type Measured = Vec<(Peer, Vec<f64>)>;

fn measure(args: &Args, case: &Case, dir: &std::path::Path) -> anyhow::Result<Measured> {
    let mut proxies: Vec<(Peer, Proxy)> = Vec::new();
    for peer in chosen(args) {
        proxies.push((peer, peer.start(dir, case)?));
    }
    let mut measured: Measured = proxies
        .iter()
        .map(|(peer, _)| (*peer, Vec::new()))
        .collect();
    let requests = (args.thousands * 1000) / case.weight;
    for round in 0..=args.rounds {
        for ((peer, proxy), (_, figures)) in proxies.iter().zip(&mut measured) {
            let before = proxy.cpu()?;
            load::run(case, *peer, requests)
                .with_context(|| format!("{} through {}", case.name, peer.name()))?;
            let took = proxy.cpu()?.saturating_sub(before);
            // The first is to warm up.
            if round > 0 {
                figures.push(took.as_secs_f64() * 1e6 / requests as f64);
            }
        }
        note(&format!("{}: round {round} of {}", case.name, args.rounds));
    }
    Ok(measured)
}

#[expect(clippy::print_stdout, reason = "what a benchmark is for")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(
    clippy::print_stderr,
    reason = "who waits wants to see that it goes on"
)]
fn note(text: &str) {
    eprintln!("{text}");
}
