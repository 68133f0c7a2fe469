//! The lines that wait for one drain. Full, it drops its oldest, and remembers to say so.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use model::Timestamp;
use model::log::LogLine;
use tokio::sync::Notify;

use super::lock;

const MAX_LINES: usize = 5_000;
const MAX_BYTES: usize = 1 << 20;
/// Of all drains of this controller; beyond it, each keeps [`SHARE`].
const MAX_HELD: usize = 64 << 20;
const SHARE: usize = 16 << 10;
/// What a line costs besides its text.
const OVERHEAD: usize = 128;

/// What this controller holds of lines for drains, waiting or on their way, in bytes.
pub(super) type Held = Arc<AtomicUsize>;

/// Counts what is on its way, until it is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    held: Held,
    bytes: usize,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct Buffer {
    /// Guards a few pushes and pops; never held across an await.
    state: Mutex<State>,
    filled: Notify,
    held: Held,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    loss: Option<Loss>,
}

/// Lines that were dropped, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) count: u64,
    pub(super) since: Timestamp,
}

/// What travels together. A loss was before the lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) loss: Option<Loss>,
    pub(super) lines: Vec<Arc<LogLine>>,
}

impl Buffer {
    pub(super) fn new(held: Held) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            held,
        }
    }

    pub(super) fn push(&self, line: Arc<LogLine>) {
        let mut state = lock(&self.state);
        let cost = cost(&line);
        state.lines.push_back(line);
        state.bytes += cost;
        self.held.fetch_add(cost, Ordering::Relaxed);
        while self.is_too_full(&state)
            && let Some(oldest) = self.pop(&mut state)
        {
            state.lose(Loss {
                count: 1,
                since: oldest.at,
            });
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Lines that were taken out and could not be delivered.
    pub(super) fn lose(&self, loss: Loss) {
        lock(&self.state).lose(loss);
        self.filled.notify_one();
    }

    /// The oldest lines, as many as fit: one at least. `None` when nothing waits.
    pub(super) fn take(&self, max_lines: usize, max_bytes: usize) -> Option<Taken> {
        let mut state = lock(&self.state);
        let loss = state.loss.take();
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while let Some(next) = state.lines.front() {
            bytes += cost(next);
            if lines.len() >= max_lines || (bytes > max_bytes && !lines.is_empty()) {
                break;
            }
            lines.extend(self.pop(&mut state));
        }
        (loss.is_some() || !lines.is_empty()).then_some(Taken { loss, lines })
    }

    /// For what was taken out, as long as it is kept.
    pub(super) fn hold(&self, bytes: usize) -> Hold {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Hold {
            held: self.held.clone(),
            bytes,
        }
    }

    /// Once something waits. For one at a time; safe to cancel.
    pub(super) async fn filled(&self) {
        while self.is_empty() {
            self.filled.notified().await;
        }
    }

    /// Whether as much waits as travels together.
    pub(super) fn holds(&self, lines: usize, bytes: usize) -> bool {
        let state = lock(&self.state);
        state.lines.len() >= lines || state.bytes >= bytes
    }

    fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.lines.is_empty() && state.loss.is_none()
    }

    fn is_too_full(&self, state: &State) -> bool {
        let all_are = self.held.load(Ordering::Relaxed) > MAX_HELD;
        state.lines.len() > MAX_LINES || state.bytes > MAX_BYTES || (all_are && state.bytes > SHARE)
    }

    fn pop(&self, state: &mut State) -> Option<Arc<LogLine>> {
        let line = state.lines.pop_front()?;
        let cost = cost(&line);
        state.bytes -= cost;
        self.held.fetch_sub(cost, Ordering::Relaxed);
        Some(line)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.held
            .fetch_sub(lock(&self.state).bytes, Ordering::Relaxed);
    }
}

impl State {
    fn lose(&mut self, loss: Loss) {
        let before = self.loss.get_or_insert(Loss { count: 0, ..loss });
        before.count += loss.count;
        before.since = before.since.min(loss.since);
    }
}

fn cost(line: &LogLine) -> usize {
    line.text.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use model::AppId;
    use model::log::LogSource;

    use super::*;

    fn line(number: i64, bytes: usize) -> Arc<LogLine> {
        Arc::new(LogLine {
            app: AppId::from_uuid(uuid::Uuid::nil()),
            at: Timestamp::from_second(number).unwrap(),
            source: LogSource::App,
            process: "web.1".to_owned(),
            text: "x".repeat(bytes),
        })
    }

    fn numbers(taken: &Taken) -> Vec<i64> {
        taken.lines.iter().map(|line| line.at.as_second()).collect()
    }

    #[test]
    fn lines_come_out_in_order_and_in_bounded_pieces() {
        let buffer = Buffer::new(Held::default());
        for number in 0..5 {
            buffer.push(line(number, 1_000));
        }
        assert_eq!(numbers(&buffer.take(2, 1 << 20).unwrap()), [0, 1]);
        assert_eq!(numbers(&buffer.take(9, 2_500).unwrap()), [2, 3]);
        assert_eq!(numbers(&buffer.take(9, 1).unwrap()), [4], "one at least");
        assert_eq!(buffer.take(9, 9), None);
    }

    #[test]
    fn a_full_buffer_drops_its_oldest_and_says_so_before_the_rest() {
        for (bytes, fits) in [(0, MAX_LINES), (10_000 - OVERHEAD, MAX_BYTES / 10_000)] {
            let buffer = Buffer::new(Held::default());
            let fits = i64::try_from(fits).unwrap();
            for number in 0..fits + 7 {
                buffer.push(line(number, bytes));
            }
            let taken = buffer.take(usize::MAX, usize::MAX).unwrap();
            let since = Timestamp::from_second(0).unwrap();
            assert_eq!(taken.loss, Some(Loss { count: 7, since }));
            assert_eq!(numbers(&taken), (7..fits + 7).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_all_hold_is_bounded_and_each_keeps_a_share() {
        let held = Held::default();
        let buffers: Vec<_> = (0..100).map(|_| Buffer::new(held.clone())).collect();
        for buffer in &buffers {
            for number in 0..200 {
                buffer.push(line(number, 10_000));
            }
        }
        assert!(held.load(Ordering::Relaxed) <= MAX_HELD + buffers.len() * SHARE);
        let last = buffers
            .last()
            .unwrap()
            .take(usize::MAX, usize::MAX)
            .unwrap();
        assert_eq!(*numbers(&last).last().unwrap(), 199);
        let before = held.load(Ordering::Relaxed);
        let hold = buffers[0].hold(7);
        assert_eq!(held.load(Ordering::Relaxed), before + 7);
        drop((buffers, hold));
        assert_eq!(held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_was_lost_on_the_way_is_counted_with_what_was_dropped() {
        let buffer = Buffer::new(Held::default());
        let at = |second| Timestamp::from_second(second).unwrap();
        buffer.lose(Loss {
            count: 3,
            since: at(20),
        });
        buffer.lose(Loss {
            count: 4,
            since: at(10),
        });
        let loss = buffer.take(1, 1).unwrap().loss.unwrap();
        assert_eq!(
            loss,
            Loss {
                count: 7,
                since: at(10)
            }
        );
    }
}
