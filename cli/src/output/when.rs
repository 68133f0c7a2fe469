//! Moments as Heroku prints them: `2026/11/22 13:24:10 +0000 (~ 1m ago)`.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The moment in the user's time zone.
pub(crate) fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system())
        .strftime("%Y/%m/%d %H:%M:%S %z")
        .to_string()
}

/// The moment, and how long ago that was.
pub(crate) fn ago(at: Timestamp) -> String {
    format!("{} (~ {} ago)", clock(at), distance(Timestamp::now(), at))
}

fn distance(now: Timestamp, at: Timestamp) -> String {
    match (now.as_second() - at.as_second()).max(0) {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_told_in_one_unit() {
        let now = Timestamp::UNIX_EPOCH + jiff::Span::new().seconds(1_000_000);
        let ago = |seconds: i64| distance(now, now - jiff::Span::new().seconds(seconds));
        assert_eq!(
            [-5, 0, 59, 60, 3599, 3600, 86399, 86400, 400_000].map(ago),
            ["0s", "0s", "59s", "1m", "59m", "1h", "23h", "1d", "4d"]
        );
    }
}
