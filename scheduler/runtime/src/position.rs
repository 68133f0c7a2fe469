//! A place in a container's log, to go on from without losing or repeating a line.

use model::Timestamp;

/// After some line: its time, and how many lines so far had that same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogPosition {
    pub at: Option<Timestamp>,
    pub same: u32,
}

/// Tells lines of before a position from those after it.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogResume {
    at: Option<Timestamp>,
    left: u32,
}

impl LogPosition {
    pub fn advance(&mut self, at: Timestamp) {
        // Two streams are timed apart, so one may be a hair behind; a position never goes back.
        match self.at {
            Some(last) if at == last => self.same += 1,
            Some(last) if at < last => {}
            _ => (self.at, self.same) = (Some(at), 1),
        }
    }

    pub const fn resume(&self) -> LogResume {
        LogResume {
            at: self.at,
            left: self.same,
        }
    }
}

impl LogResume {
    /// To be asked of each line in turn.
    pub fn was_seen(&mut self, at: Timestamp) -> bool {
        match self.at {
            Some(last) if at < last => true,
            Some(last) if at == last && self.left > 0 => {
                self.left -= 1;
                true
            }
            Some(_) => {
                self.at = None;
                false
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_on_after_any_line_repeats_and_loses_none() {
        let times = [1, 1, 2, 3, 3, 3, 4].map(|ns| Timestamp::from_nanosecond(ns).unwrap());
        for seen in 0..=times.len() {
            let mut position = LogPosition::default();
            for time in &times[..seen] {
                position.advance(*time);
            }
            let mut resume = position.resume();
            let rest = times.iter().filter(|time| !resume.was_seen(**time)).count();
            assert_eq!(rest, times.len() - seen, "after {seen} lines");
        }
    }
}
