//! The platform's time and memory budgets, measured on a platform of its own and printed as a table.
//!
//! `cargo build --release --workspace && target/release/budgets` (root, Docker and the stack images are needed; tests/run
//! sees to them).

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tests::{Platform, Project};

const RUNS: usize = 5;

struct Row {
    what: &'static str,
    budget: f64,
    unit: &'static str,
    measured: Vec<f64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let platform = Platform::start().await;
    let mut rows = Vec::new();
    for (what, fixture) in [
        (
            "push of the Python sample, dependencies unchanged, to first 200",
            "python-flask",
        ),
        (
            "push of the Node sample, dependencies unchanged, to first 200",
            "node-express",
        ),
    ] {
        let project = platform.project(fixture).await;
        project.push().await.ok();
        rows.push(Row {
            what,
            budget: 5.0,
            unit: "s",
            measured: pushes(&project).await?,
        });
        if fixture == "python-flask" {
            let measured = scalings(&platform, &project).await?;
            rows.push(Row {
                what: "ps:scale +1, slug cached, to its first 200",
                budget: 1.5,
                unit: "s",
                measured,
            });
            let measured = rollbacks(&project).await?;
            rows.push(Row {
                what: "rollback to first 200 of the old release",
                budget: 2.0,
                unit: "s",
                measured,
            });
        }
        project.paas(&["ps:scale", "web=0"]).await.ok();
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let pss = pss_mb(platform.server_pid().context("paasd runs")?)?;
    rows.push(Row {
        what: "paasd idle, all roles, PSS",
        budget: 100.0,
        unit: "MB",
        measured: vec![pss],
    });
    print(&rows);
    Ok(())
}

/// A one-line change each time.
async fn pushes(project: &Project<'_>) -> anyhow::Result<Vec<f64>> {
    let mut measured = Vec::new();
    for run in 0..RUNS {
        project.write("round.txt", &run.to_string());
        project.commit("Change").await;
        let wanted = project.latest_release().await.0 + 1;
        let began = Instant::now();
        project.push().await.ok();
        answered_by(project, wanted).await?;
        measured.push(began.elapsed().as_secs_f64());
    }
    Ok(measured)
}

/// From the command's start to the first answer of the dyno that it added.
async fn scalings(platform: &Platform, project: &Project<'_>) -> anyhow::Result<Vec<f64>> {
    let mut measured = Vec::new();
    for run in 0..RUNS {
        let (quantity, name) = (run + 2, format!("web.{}", run + 2));
        let began = Instant::now();
        let scale = project.paas_command(&["ps:scale", "--no-wait", &format!("web={quantity}")]);
        let mut scale = { scale }.spawn()?;
        loop {
            ensure!(
                began.elapsed() < Duration::from_secs(30),
                "{name} never answered"
            );
            let answer = platform.get(&project.host(), "/").await;
            if answer.status == 200 && answer.text.contains(&name) {
                break;
            }
        }
        measured.push(began.elapsed().as_secs_f64());
        scale.wait().await?;
    }
    project.paas(&["ps:scale", "web=1"]).await.ok();
    Ok(measured)
}

async fn rollbacks(project: &Project<'_>) -> anyhow::Result<Vec<f64>> {
    let mut measured = Vec::new();
    for _ in 0..RUNS {
        let wanted = project.latest_release().await.0 + 1;
        let began = Instant::now();
        project.paas(&["rollback", "--no-wait"]).await.ok();
        answered_by(project, wanted).await?;
        measured.push(began.elapsed().as_secs_f64());
        project.paas(&["ps"]).await.ok();
    }
    Ok(measured)
}

async fn answered_by(project: &Project<'_>, version: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let answer = project.get("/").await;
        if answer.status == 200 && answer.text.contains(&format!("v{version} ")) {
            return Ok(());
        }
        ensure!(
            began.elapsed() < Duration::from_secs(60),
            "v{version} never answered: {answer:?}"
        );
    }
}

/// Proportional set size: what the process would free if it went.
fn pss_mb(pid: u32) -> anyhow::Result<f64> {
    let text = fs_err::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text
        .lines()
        .find(|line| line.starts_with("Pss:"))
        .context("a Pss line")?;
    let kib: f64 = line
        .split_whitespace()
        .nth(1)
        .context("a number")?
        .parse()?;
    Ok(kib / 1024.0)
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn print(rows: &[Row]) {
    println!("| what | budget | median | min | max | |\n|---|---|---|---|---|---|");
    for row in rows {
        let mut sorted = row.measured.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        let verdict = if median <= row.budget {
            "met"
        } else {
            "missed"
        };
        println!(
            "| {} | {} {unit} | {median:.2} {unit} | {:.2} | {:.2} | {verdict} |",
            row.what,
            row.budget,
            sorted[0],
            sorted[sorted.len() - 1],
            unit = row.unit,
        );
    }
}
