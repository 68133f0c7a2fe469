//! One drain's task: takes what waits, delivers it, and tries again for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use rand::Rng as _;
use tokio_util::sync::CancellationToken;

use super::buffer::{Buffer, Hold};
use super::courier::{Courier, FailureKind};
use super::frame::Batch;
use super::trouble::Trouble;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(60);

pub(super) struct Worker {
    pub(super) buffer: Arc<Buffer>,
    pub(super) courier: Courier,
    pub(super) trouble: Trouble,
}

impl Worker {
    /// Until `leaving`; then what waits is tried once.
    pub(super) async fn run(mut self, leaving: CancellationToken) {
        loop {
            tokio::select! {
                () = leaving.cancelled() => break,
                () = self.buffer.filled() => {}
                () = self.courier.hung_up() => continue,
            }
            let pace = self.courier.pace();
            if !pace.gather.is_zero() && !self.buffer.holds(pace.lines, pace.bytes) {
                tokio::select! {
                    () = leaving.cancelled() => {}
                    () = tokio::time::sleep(pace.gather) => {}
                }
            }
            if let Some((batch, _hold)) = self.next()
                && !self.deliver(&batch, &leaving).await
            {
                return;
            }
        }
        while let Some((batch, _hold)) = self.next() {
            if self.courier.send(&batch).await.is_err() {
                return;
            }
        }
    }

    fn next(&self) -> Option<(Batch, Hold)> {
        let pace = self.courier.pace();
        let taken = self.buffer.take(pace.lines, pace.bytes)?;
        let batch = Batch::new(&taken, self.courier.dialect(), Timestamp::now());
        let hold = self.buffer.hold(batch.frames.len());
        Some((batch, hold))
    }

    /// `false` if it was given up because there is no time left.
    async fn deliver(&mut self, batch: &Batch, leaving: &CancellationToken) -> bool {
        loop {
            let Err(failure) = self.courier.send(batch).await else {
                self.trouble.over().await;
                return true;
            };
            self.trouble.failed(&failure).await;
            let is_refused = failure.kind == FailureKind::Refused;
            if is_refused && let Some(loss) = batch.loss() {
                self.buffer.lose(loss);
            }
            let was_last = leaving.is_cancelled();
            tokio::select! {
                () = leaving.cancelled() => {}
                () = tokio::time::sleep(pause(self.trouble.failures())) => {}
            }
            if is_refused || was_last {
                return is_refused;
            }
        }
    }
}

/// Doubled by each failure in a row, up to a minute; some of it by chance, so that the drains of a receiver that comes
/// back do not come all at once.
fn pause(failures: u32) -> Duration {
    let longest = FIRST_PAUSE
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(MAX_PAUSE);
    longest.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        for (failures, longest) in [
            (1, 200),
            (2, 400),
            (5, 3_200),
            (9, 51_200),
            (10, 60_000),
            (u32::MAX, 60_000),
        ] {
            let longest = Duration::from_millis(longest);
            for _ in 0..20 {
                let pause = pause(failures);
                assert!(
                    pause <= longest && pause >= longest / 2,
                    "{failures}: {pause:?}"
                );
            }
        }
    }
}
