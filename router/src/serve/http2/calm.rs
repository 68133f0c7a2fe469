//! Frames that cost us something and bring nobody anything: a client may send some, and more of them the more it is sent
//! itself. One that goes on beyond that attacks.
//!
//! What a connection may make us *keep* has bounds of its own. What it may make us *do* is bounded here: requests begun
//! and taken back (CVE-2023-44487), or spoiled so that we take them back (CVE-2025-8671), settings, pings, priorities,
//! windows that are opened by a byte.

use std::time::{Duration, Instant};

use crate::http2::frame::{
    CONTINUATION, DATA, HEADERS, Head, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};

/// The most a client may have saved up.
const MOST: u32 = 10_000;
/// Saved up in a millisecond.
const PER_MILLISECOND: u32 = 1;

/// A request that was taken back: a dyno may have begun with it. So 500 at once and 50 a second, besides as many as were
/// answered.
const RESET: u32 = 20;
/// Each is answered.
const SETTING: u32 = 10;
/// Each is answered; clients that measure the path's bandwidth send one for each frame of data.
const A_PING: u32 = 2;
/// Two follow each frame of data, for the stream and the connection.
const WINDOW: u32 = 1;
/// Priorities, and what we do not know.
const OTHER: u32 = 2;
const EMPTY: u32 = 10;
/// A list of fields that is too long, which is answered all the same.
const TOO_MUCH: u32 = 100;
/// A head in few pieces is any client's that has much to say.
const CONTINUED: u32 = 5;

/// Earned by a frame of data that it was sent: windows and a ping may follow.
const DATA_SENT: u32 = 2 * WINDOW + A_PING;
/// Earned by an answer.
const ANSWERED: u32 = RESET;

/// What a client has left.
#[derive(Debug)]
pub(super) struct Calm {
    left: u32,
    at: Instant,
}

/// It has spent more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client sends more frames without a purpose than it may")]
pub(super) struct Enough;

impl Calm {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            left: MOST,
            at: now,
        }
    }

    /// A frame came.
    pub(super) fn received(&mut self, head: &Head, now: Instant) -> Result<(), Enough> {
        let cost = cost(head);
        if cost == 0 {
            return Ok(());
        }
        let since = now.saturating_duration_since(self.at);
        self.at = now;
        self.earn(millis(since).saturating_mul(PER_MILLISECOND));
        self.spend(cost)
    }

    /// It did something wrong with a stream, and we have to take the request back.
    pub(super) fn erred(&mut self) -> Result<(), Enough> {
        self.spend(RESET)
    }

    /// Something came that neither carries anything nor ends anything, or is for nobody.
    pub(super) fn received_nothing(&mut self) -> Result<(), Enough> {
        self.spend(EMPTY)
    }

    /// It asks with more fields than anybody takes: a block of 16 KiB can unpack to a thousand times as much.
    pub(super) fn asked_too_much(&mut self) -> Result<(), Enough> {
        self.spend(TOO_MUCH)
    }

    fn spend(&mut self, points: u32) -> Result<(), Enough> {
        self.left = self.left.checked_sub(points).ok_or(Enough)?;
        Ok(())
    }

    /// A frame of ours goes to it.
    pub(super) fn sent(&mut self, head: &Head) {
        match head.kind {
            DATA => self.earn(DATA_SENT),
            HEADERS => self.earn(ANSWERED),
            _ => {}
        }
    }

    fn earn(&mut self, points: u32) {
        self.left = self.left.saturating_add(points).min(MOST);
    }
}

const fn cost(head: &Head) -> u32 {
    match head.kind {
        DATA | HEADERS => 0,
        RST_STREAM => RESET,
        SETTINGS => SETTING,
        PING => A_PING,
        WINDOW_UPDATE => WINDOW,
        CONTINUATION => CONTINUED,
        _ => OTHER,
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: usize) -> Head {
        Head {
            kind,
            flags: 0,
            length,
            stream: 1,
        }
    }

    /// How many of a kind a client may send at once.
    fn at_once(kind: u8) -> u32 {
        let now = Instant::now();
        let mut calm = Calm::new(now);
        let mut sent = 0;
        while calm.received(&frame(kind, 0), now).is_ok() {
            sent += 1;
            assert!(sent < 1_000_000, "without end");
        }
        sent
    }

    #[test]
    fn a_flood_of_any_kind_ends() {
        // Those two have windows, and what answers them.
        for kind in (0..=0xff).filter(|kind| ![HEADERS, DATA].contains(kind)) {
            assert!((100..=10_000).contains(&at_once(kind)), "{kind}");
        }
        assert_eq!(at_once(RST_STREAM), 500);
    }

    #[test]
    fn what_is_wrong_or_nothing_ends_too() {
        let mut calm = Calm::new(Instant::now());
        let wrong = std::iter::repeat_with(|| calm.erred()).take_while(Result::is_ok);
        assert_eq!(wrong.take(1_000).count(), 500);
        let mut calm = Calm::new(Instant::now());
        let long = std::iter::repeat_with(|| calm.asked_too_much());
        assert_eq!(long.take_while(Result::is_ok).take(2_000).count(), 100);
        let mut calm = Calm::new(Instant::now());
        let nothing = std::iter::repeat_with(|| calm.received_nothing());
        assert_eq!(nothing.take_while(Result::is_ok).take(2_000).count(), 1_000);
    }

    #[test]
    fn time_and_answers_make_up_for_it() {
        let now = Instant::now();
        let mut calm = Calm::new(now);
        let reset = frame(RST_STREAM, 4);
        while calm.received(&reset, now).is_ok() {}
        calm.sent(&frame(HEADERS, 10));
        assert_eq!(calm.received(&reset, now), Ok(()));
        assert_eq!(calm.received(&reset, now), Err(Enough));
        let later = now + Duration::from_millis(u64::from(RESET / PER_MILLISECOND));
        assert_eq!(calm.received(&reset, later), Ok(()));
        assert_eq!(calm.received(&reset, later), Err(Enough));
    }

    #[test]
    fn who_is_sent_data_may_open_windows_and_ping_for_ever() {
        let now = Instant::now();
        let mut calm = Calm::new(now);
        for _ in 0..100_000 {
            calm.sent(&frame(DATA, 16_384));
            for kind in [WINDOW_UPDATE, WINDOW_UPDATE, PING] {
                assert_eq!(calm.received(&frame(kind, 4), now), Ok(()));
            }
        }
    }
}
