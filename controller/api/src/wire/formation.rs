//! Formations: how many dynos of each process type, and how large.

use std::fmt;
use std::str::FromStr;

use model::DynoSize;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::{AppRef, Named};
use crate::WireTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formation {
    pub app: AppRef,
    pub command: String,
    pub created_at: WireTime,
    pub dyno_size: Named,
    pub id: Uuid,
    pub quantity: u32,
    pub size: DynoSize,
    #[serde(rename = "type")]
    pub process_type: String,
    pub updated_at: WireTime,
}

/// `PATCH …/formation`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FormationBatch {
    pub updates: Vec<FormationUpdate>,
    /// Of an app without code, types may be named that only its first release will tell of: it then finds them scaled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ahead: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FormationUpdate {
    #[serde(rename = "type")]
    pub process_type: String,
    #[serde(flatten)]
    pub change: FormationChange,
}

/// `PATCH …/formation/:type`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FormationChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "size"
    )]
    pub size: Option<String>,
}

/// `3`, `"3"`, `"+1"`, `"-2"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    Exactly(u32),
    More(u32),
    Fewer(u32),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the quantity {text:?} is invalid: it must be a number such as 3, +1 or -1")]
pub struct InvalidQuantity {
    pub text: String,
}

impl InvalidQuantity {
    fn of(text: &str) -> Self {
        Self {
            text: text.chars().take(40).collect(),
        }
    }
}

impl Quantity {
    /// The new quantity; fewer than none is none.
    pub const fn of(self, now: u32) -> u32 {
        match self {
            Self::Exactly(quantity) => quantity,
            Self::More(more) => now.saturating_add(more),
            Self::Fewer(fewer) => now.saturating_sub(fewer),
        }
    }
}

impl FromStr for Quantity {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let (kind, digits): (fn(u32) -> Self, &str) = match text.as_bytes().first() {
            Some(b'+') => (Self::More, &text[1..]),
            Some(b'-') => (Self::Fewer, &text[1..]),
            _ => (Self::Exactly, text),
        };
        let all_digits = digits.bytes().all(|b| b.is_ascii_digit());
        match digits.parse() {
            Ok(quantity) if all_digits => Ok(kind(quantity)),
            _ => Err(InvalidQuantity::of(text)),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(quantity) => write!(f, "{quantity}"),
            Self::More(more) => write!(f, "+{more}"),
            Self::Fewer(fewer) => write!(f, "-{fewer}"),
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Exactly(quantity) => serializer.serialize_u32(*quantity),
            Self::More(_) | Self::Fewer(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u32),
            Text(String),
            Other(serde_json::Value),
        }
        let quantity = match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(Self::Exactly(number)),
            Form::Text(text) => text.trim().parse(),
            Form::Other(value) => Err(InvalidQuantity::of(&value.to_string())),
        };
        quantity.map_err(serde::de::Error::custom)
    }
}

/// A size by name, or as older clients send it: `{"name": "Standard-1X"}`.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<super::app::Identity>::deserialize(deserializer)?.map(|identity| identity.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_are_read_as_clients_send_them() {
        for (json, quantity) in [
            ("3", Quantity::Exactly(3)),
            ("\"3\"", Quantity::Exactly(3)),
            ("\"+1\"", Quantity::More(1)),
            ("\"-2\"", Quantity::Fewer(2)),
            ("\"0\"", Quantity::Exactly(0)),
        ] {
            assert_eq!(
                serde_json::from_str::<Quantity>(json).unwrap(),
                quantity,
                "{json}"
            );
        }
        for json in [
            "-1",
            "\"\"",
            "\"+\"",
            "\"1x\"",
            "\"--1\"",
            "\"+-1\"",
            "1.5",
            "99999999999",
            "null",
            "[1]",
            "{\"a\":1}",
        ] {
            let error = serde_json::from_str::<Quantity>(json).unwrap_err();
            assert!(error.to_string().contains("such as 3, +1 or -1"), "{error}");
        }
    }

    #[test]
    fn updates_take_sizes_in_both_forms_and_ignore_the_rest() {
        let update: FormationUpdate = serde_json::from_str(
            r#"{"type":"web","quantity":"+1","size":{"name":"standard-2x"},"kernel":null}"#,
        )
        .unwrap();
        assert_eq!(update.change.quantity, Some(Quantity::More(1)));
        assert_eq!(update.change.size.as_deref(), Some("standard-2x"));
        let update: FormationUpdate =
            serde_json::from_str(r#"{"type":"web","size":"Basic"}"#).unwrap();
        assert_eq!(
            (update.change.quantity, update.change.size.as_deref()),
            (None, Some("Basic"))
        );
    }

    proptest! {
        #[test]
        fn any_text_either_is_a_quantity_that_prints_back_or_is_refused(text in "[+-]?[0-9a]{0,12}") {
            if let Ok(quantity) = text.parse::<Quantity>() {
                prop_assert_eq!(quantity.to_string().parse::<Quantity>().unwrap(), quantity);
                let json = serde_json::to_string(&quantity).unwrap();
                prop_assert_eq!(serde_json::from_str::<Quantity>(&json).unwrap(), quantity);
            }
        }

        #[test]
        fn steps_never_leave_the_numbers(now in any::<u32>(), step in any::<u32>()) {
            prop_assert!(Quantity::More(step).of(now) >= now);
            prop_assert!(Quantity::Fewer(step).of(now) <= now);
            prop_assert_eq!(Quantity::Exactly(step).of(now), step);
        }
    }
}
