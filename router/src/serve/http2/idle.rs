//! Whether anything goes on over a connection: one that never begins, and one whose client just answers pings, would stay
//! for ever; and one whose client is gone would be waited for while its streams have nothing to say.

use std::rc::Rc;
use std::time::Duration;

use super::connection::Connection;
use crate::alarm::{Alarm, Alarms};
use crate::client::Client;
use crate::http2::frame;

/// A client that was told to leave, or has taken nothing for long, has this long for its last words, or as long as it may be idle.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// A client that has asked for nothing, and takes less than this of what it asked for in the time that it may be idle, is.
const LEAST_TAKEN: u64 = 16 * 1024;
/// A client that says nothing is asked whether it is there, and has this long to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const ARE_YOU_THERE: [u8; 8] = *b"are-u-in";

#[derive(Debug)]
pub(super) struct Idle {
    pub(super) alarm: Rc<Alarm>,
    begun: u64,
    data_gone: u64,
    is_told: bool,
}

pub(super) enum Look {
    Busy,
    /// It is to be told to leave.
    Idle,
    /// It was, and has not left.
    TooLong,
}

impl Idle {
    pub(super) fn new(client: &Client) -> Self {
        let alarm = Alarm::new(&client.worker.alarms);
        alarm.set(client.patience());
        Self {
            alarm,
            begun: client.begun.get(),
            data_gone: 0,
            is_told: false,
        }
    }

    pub(super) fn look(&mut self, connection: &Connection) -> Look {
        let client = &connection.client;
        let begun = client.begun.get();
        if begun != self.begun || client.under_way.get() > 0 {
            self.begun = begun;
            self.alarm.set(self.patience(client));
            return Look::Busy;
        }
        if !self.alarm.has_rung() {
            return Look::Busy;
        }
        let gone = connection.data_gone();
        if gone.saturating_sub(std::mem::replace(&mut self.data_gone, gone)) >= LEAST_TAKEN {
            self.alarm.set(self.patience(client));
            return Look::Busy;
        }
        match self.is_told {
            true => Look::TooLong,
            false => Look::Idle,
        }
    }

    /// It has been told to leave.
    pub(super) fn told(&mut self, client: &Client) {
        self.is_told = true;
        self.alarm.set(self.patience(client));
    }

    fn patience(&self, client: &Client) -> Duration {
        match self.is_told {
            true => LAST_WORDS.min(client.patience()),
            false => client.patience(),
        }
    }
}

/// Asks a client that says nothing, and waits for something, whether it is there.
#[derive(Debug)]
pub(super) struct Heartbeat {
    alarm: Rc<Alarm>,
    every: Duration,
    is_asked: bool,
}

impl Heartbeat {
    pub(super) fn new(alarms: &Rc<Alarms>, every: Duration) -> Self {
        let alarm = Alarm::new(alarms);
        alarm.set(every);
        Self {
            alarm,
            every,
            is_asked: false,
        }
    }

    /// The client has said something.
    pub(super) fn heard(&mut self) {
        self.is_asked = false;
        self.alarm.set(self.every);
    }

    /// Whether it is still there, as far as is known.
    pub(super) fn look(&mut self, connection: &Connection, waker: &std::task::Waker) -> bool {
        self.alarm.watch(waker);
        if !self.alarm.has_rung() {
            return true;
        }
        if self.is_asked {
            return false;
        }
        // Whoever has something to take that was sent before has other deadlines.
        self.is_asked = connection.under_way() > 0 && connection.with_out(|out| out.is_empty());
        let mut wait = self.every;
        if self.is_asked {
            connection.say(&frame::ping(0, ARE_YOU_THERE));
            wait = ANSWER_WITHIN.min(wait);
        }
        self.alarm.set(wait);
        true
    }
}
