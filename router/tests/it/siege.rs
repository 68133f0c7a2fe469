//! What all attacks are measured by: somebody else is served meanwhile, and memory is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::Full;
use model::AppId;
use router::{Config, Timeouts};
use tokio::task::JoinHandle;

use super::support::*;

/// How long a bystander may wait for an answer while the router, its dynos and the attackers share a few cores.
const AT_MOST: Duration = Duration::from_secs(10);

pub(super) const SHORT: Duration = Duration::from_millis(400);

/// A platform without patience.
pub(super) async fn besieged(change: impl FnOnce(&mut Config)) -> Platform {
    Platform::start_with(|config| {
        config.timeouts = Timeouts {
            idle: SHORT,
            client_head: SHORT,
            tls_handshake: SHORT,
            pace: SHORT,
            ..Timeouts::HEROKU
        };
        change(config);
    })
    .await
}

/// Asks for `bystander.paas.test` again and again, over connections of its own and over one that it keeps.
pub(super) struct Bystander {
    asking: JoinHandle<usize>,
    is_over: Arc<AtomicBool>,
    _dyno: Dyno,
}

impl Bystander {
    pub(super) async fn at(platform: &Platform) -> Self {
        let dyno = Dyno::saying("here").await;
        let route = route(AppId::new(), "bystander", &[&dyno]);
        platform.route(&route).await;
        let (is_over, to) = (Arc::new(AtomicBool::new(false)), platform.http);
        let over = is_over.clone();
        let asking = tokio::spawn(async move {
            let (mut kept, mut answered) = (http1(to).await, 0);
            let mut silent_since = Instant::now();
            while !over.load(Ordering::SeqCst) || answered < 4 {
                if answered % 2 == 0 {
                    silent_since = Instant::now();
                    kept = http1(to).await;
                }
                let request = Request::get("/")
                    .header("host", "bystander.paas.test")
                    .body(Full::default())
                    .unwrap();
                let began = Instant::now();
                let answer = tokio::time::timeout(AT_MOST, kept.send_request(request)).await;
                let answer = match answer.expect("the bystander was not answered") {
                    // Both may close an idle connection at any time. And where the machine lets it wait for as long before
                    // it can speak, it is one that says nothing, like those of the attackers.
                    Err(error)
                        if (error.is_canceled() && answered % 2 == 1)
                            || silent_since.elapsed() >= SHORT =>
                    {
                        silent_since = Instant::now();
                        kept = http1(to).await;
                        continue;
                    }
                    answer => answer.unwrap(),
                };
                assert_eq!(text(&collect(answer).await), "here");
                assert!(began.elapsed() < AT_MOST, "{:?}", began.elapsed());
                answered += 1;
                silent_since = Instant::now();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            answered
        });
        Self {
            asking,
            is_over,
            _dyno: dyno,
        }
    }

    /// Fails if one of its requests has.
    pub(super) async fn was_served(self) {
        self.is_over.store(true, Ordering::SeqCst);
        assert!(self.asking.await.unwrap() >= 4);
    }
}

/// In bytes, of this process: router, dynos and attackers. A bound for all of them is one for the router.
pub(super) fn memory() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Fails if more than `most` bytes have been added since.
pub(super) fn assert_grew_no_more(since: usize, most: usize) {
    let grown = memory().saturating_sub(since);
    assert!(grown <= most, "{} MiB more", grown >> 20);
}
