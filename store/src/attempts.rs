//! Optimistic changes: read, decide, commit if nobody else has changed it, and begin again if somebody has.

use std::time::Duration;

use rand::Rng as _;
use tokio::time::Instant;

use crate::StoreError;

/// Sixty-four at once on one app have all had their turn well before.
const PATIENCE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Counts the tries of one change.
#[derive(Debug)]
pub struct Attempts {
    since: Instant,
    lost: u32,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            lost: 0,
        }
    }
}

impl Attempts {
    /// Somebody else was quicker: waits, by chance so that those who collided do not do so again, and longer the fuller
    /// it is.
    ///
    /// # Errors
    /// When it has been tried for long enough.
    pub async fn lost(&mut self) -> Result<(), StoreError> {
        self.lost = self.lost.saturating_add(1);
        if self.since.elapsed() >= PATIENCE {
            return Err(StoreError::Contended {
                attempts: self.lost,
            });
        }
        let longest = LONGEST_PAUSE.min(Duration::from_millis(5) * self.lost);
        let pause = longest.mul_f64(rand::rng().random());
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_gives_up_after_a_while_and_says_how_often_it_tried() {
        let mut attempts = Attempts::default();
        let began = Instant::now();
        let error = loop {
            if let Err(error) = attempts.lost().await {
                break error;
            }
        };
        assert!(began.elapsed() >= PATIENCE && began.elapsed() < PATIENCE + LONGEST_PAUSE);
        assert!(matches!(error, StoreError::Contended { attempts: 150.. }));
    }
}
