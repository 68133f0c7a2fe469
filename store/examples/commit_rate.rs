//! How many commits a second the embedded store takes on this machine's disk, and in how much memory.
//!
//! `cargo run --release -p store --example commit_rate [directory]`

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::{Commit, Embedded, Key, Op, Store};

const LASTS: Duration = Duration::from_secs(3);
/// About a dyno's record.
const VALUE_BYTES: usize = 500;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("commit-rate-{}", std::process::id()));
    println!(
        "{:>8} {:>10} {:>14} {:>10}",
        "writers", "commits/s", "median (ms)", "RSS (MB)"
    );
    for writers in [1, 8, 64] {
        let store = Embedded::open(&dir)?;
        let (rate, median) = measure(&store, writers).await?;
        println!(
            "{writers:>8} {rate:>10.0} {:>14.2} {:>10.1}",
            median.as_secs_f64() * 1e3,
            resident_mb()?
        );
        store.close().await;
    }
    fs_err::remove_dir_all(&dir)?;
    Ok(())
}

async fn measure(store: &Arc<Embedded>, writers: usize) -> Result<(f64, Duration), Box<dyn Error>> {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let store = store.clone();
        tasks.spawn(async move {
            let mut took = Vec::new();
            for i in 0_u64.. {
                let key = Key::from_text(format!("/paas/v1/rate/{writer}/{}", i % 1000));
                let value = Bytes::from(vec![b'x'; VALUE_BYTES]);
                let sent = Instant::now();
                store
                    .commit(Commit {
                        compares: vec![],
                        ops: vec![Op::Put {
                            key,
                            value,
                            lease: None,
                        }],
                    })
                    .await?;
                took.push(sent.elapsed());
                if began.elapsed() > LASTS {
                    break;
                }
            }
            Ok::<_, store::StoreError>(took)
        });
    }
    let mut took = Vec::new();
    while let Some(task) = tasks.join_next().await {
        took.extend(task??);
    }
    took.sort();
    let median = took.get(took.len() / 2).copied().unwrap_or_default();
    Ok((took.len() as f64 / began.elapsed().as_secs_f64(), median))
}

fn resident_mb() -> Result<f64, Box<dyn Error>> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0)
}
