//! Waiting for a condition, with a deadline and a reason; never for a time.

use std::future::Future;
use std::time::{Duration, Instant};

/// Tries `check` until it gives a value, at most for `within`.
///
/// # Panics
/// When time is up, saying `what` did not happen.
pub async fn eventually<T, F, R>(what: &str, within: Duration, mut check: F) -> T
where
    F: FnMut() -> R,
    R: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "within {within:?} it did not come true that {what}"
        );
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
