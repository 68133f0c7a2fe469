//! Heroku's form of a point in time: RFC 3339, UTC, whole seconds.

use std::fmt;

use model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `2026-11-22T13:25:11Z`. Parts of a second are kept in memory and cut when written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireTime(pub Timestamp);

impl fmt::Display for WireTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

impl From<Timestamp> for WireTime {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for WireTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WireTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Timestamp::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_of_utc() {
        let at: Timestamp = "2012-01-01T12:00:00.987654Z".parse().unwrap();
        assert_eq!(
            serde_json::to_string(&WireTime(at)).unwrap(),
            "\"2012-01-01T12:00:00Z\""
        );
        let back: WireTime = serde_json::from_str("\"2012-01-01T12:00:00Z\"").unwrap();
        assert_eq!(back.to_string(), "2012-01-01T12:00:00Z");
    }
}
