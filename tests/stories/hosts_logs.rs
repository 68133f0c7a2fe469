//! Several hosts, and a dyno that talks as fast as a node promises to listen: no line is lost while two controllers live.

use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use tests::Lab;
use tests::eventually::eventually;

use super::spread::PATIENCE;

/// Of the design, for a node.
const LINES_PER_SECOND: usize = 5_000;
const SECONDS: usize = 20;
/// What `paasd` may take more than before, of a host with all roles: queues are bounded, and this is some of them full.
const MAY_GROW_MB: u64 = 96;

#[tokio::test]
async fn five_thousand_lines_a_second_arrive_whole_and_in_order() {
    let lab = Lab::up(2).await;
    let project = lab.project("talks").await;
    project.push().await.ok();
    let (rate, seconds) = (
        format!("LINES_PER_SECOND={LINES_PER_SECOND}"),
        format!("SECONDS={SECONDS}"),
    );
    project.paas(&["config:set", &rate, &seconds]).await.ok();
    let before = memory_mb(&lab).await;

    let heard = project.dir.with_file_name("heard");
    let file = std::fs::File::create(&heard).expect("a file");
    let mut tail = project.paas_command(&["logs", "--tail", "--dyno", "talker"]);
    let mut tail = tail
        .stdin(Stdio::null())
        .stdout(file)
        .kill_on_drop(true)
        .spawn()
        .expect("paas logs --tail");
    project.paas(&["ps:scale", "talker=1"]).await.ok();
    let total = LINES_PER_SECOND * SECONDS;
    let end = format!("END {total}");
    let lasts = Duration::from_secs(SECONDS as u64) + PATIENCE;
    let most = Mutex::new(before.clone());
    let text = eventually("all has been said and heard", lasts, || async {
        let now = memory_mb(&lab).await;
        let mut most = most.lock().expect("nobody panics with it");
        for (most, now) in most.iter_mut().zip(now) {
            *most = (*most).max(now);
        }
        let text = fs_err::read_to_string(&heard).expect("what was heard");
        text.contains(&end).then_some(text)
    })
    .await;
    let most = most.into_inner().expect("nobody panicked with it");
    tail.kill().await.expect("it can be ended");

    let numbers: Vec<usize> = text
        .lines()
        .filter_map(|line| line.split_once(": line ")?.1.get(..7)?.parse().ok())
        .collect();
    let missing = (0..total).filter(|number| numbers.binary_search(number).is_err());
    let missing: Vec<usize> = missing.take(20).collect();
    eprintln!(
        "{} of {total} lines; paasd had {before:?} MB, and {most:?} at most",
        numbers.len()
    );
    assert!(numbers.is_sorted(), "in order");
    assert!(
        missing.is_empty(),
        "{} of {total} came; missing: {missing:?}",
        numbers.len()
    );
    assert_eq!(numbers.len(), total, "each once");
    assert!(!text.contains("L10"), "none was dropped");
    for (before, most) in before.iter().zip(&most) {
        assert!(*most < before + MAY_GROW_MB, "{before} MB became {most}");
    }
}

/// Of each host's `paasd`, resident.
async fn memory_mb(lab: &Lab) -> Vec<u64> {
    let mut all = Vec::new();
    for host in lab.hosts() {
        let said = lab
            .on_host(
                host,
                &["sh", "-c", "ps -C paasd -o rss= | sort -n | tail -1"],
            )
            .await;
        all.push(said.stdout.trim().parse::<u64>().expect("a number") >> 10);
    }
    all
}
