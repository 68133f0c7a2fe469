//! One drain's task: takes what waits, delivers it, and tries again for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use rand::Rng as _;
use tokio_util::sync::CancellationToken;

use super::buffer::{Buffer, Hold, Loss};
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
            if let Some(taken) = self.next()
                && !self.deliver(taken, &leaving).await
            {
                return;
            }
        }
        while let Some(taken) = self.next() {
            if self.courier.send(&taken.batch).await.is_err() {
                return;
            }
            taken.delivered();
        }
    }

    fn next(&self) -> Option<InHand> {
        let pace = self.courier.pace();
        let taken = self.buffer.take(pace.lines, pace.bytes)?;
        let batch = Batch::new(&taken, self.courier.dialect(), Timestamp::now());
        Some(InHand::new(self.buffer.clone(), batch))
    }

    /// `false` if it was given up because there is no time left.
    async fn deliver(&mut self, taken: InHand, leaving: &CancellationToken) -> bool {
        loop {
            let Err(failure) = self.courier.send(&taken.batch).await else {
                taken.delivered();
                self.trouble.over().await;
                return true;
            };
            self.trouble.failed(&failure).await;
            let is_refused = failure.kind == FailureKind::Refused;
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

/// A batch that was taken out of the buffer. Dropped before it was delivered, be it that the receiver refuses it or that the
/// drain is changed and its worker stopped, it is counted among what was lost.
struct InHand {
    batch: Batch,
    buffer: Arc<Buffer>,
    loss: Option<Loss>,
    _hold: Hold,
}

impl InHand {
    fn new(buffer: Arc<Buffer>, batch: Batch) -> Self {
        Self {
            loss: batch.loss(),
            _hold: buffer.hold(batch.frames.len()),
            batch,
            buffer,
        }
    }

    fn delivered(mut self) {
        self.loss = None;
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some(loss) = self.loss {
            self.buffer.lose(loss);
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
