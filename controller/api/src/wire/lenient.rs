//! Reading what real clients send rather than what the schema says they should.

use serde::{Deserialize, Deserializer};

/// `true`, `1`, `"1"`, `"true"`; heroku3 sends `maintenance: 1`.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Bool(bool),
        Number(i64),
        Text(String),
        Null(()),
        Other(serde::de::IgnoredAny),
    }
    match Flag::deserialize(deserializer)? {
        Flag::Bool(value) => Ok(Some(value)),
        Flag::Number(0) => Ok(Some(false)),
        Flag::Number(1) => Ok(Some(true)),
        Flag::Text(text) if text == "true" || text == "1" => Ok(Some(true)),
        Flag::Text(text) if text == "false" || text == "0" => Ok(Some(false)),
        Flag::Null(()) => Ok(None),
        Flag::Number(_) | Flag::Text(_) | Flag::Other(_) => {
            Err(serde::de::Error::custom("expected true or false"))
        }
    }
}

/// `3600`, `"3600"`.
pub fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let number = match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => return Ok(None),
        serde_json::Value::Number(number) => number.as_i64(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let error = || serde::de::Error::custom("expected a whole number");
    number.map(Some).ok_or_else(error)
}

/// `80`, `"80"`; anything else, and what is negative or far too large, is `None`.
pub fn small_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(match value {
        serde_json::Value::Number(number) => number.as_u64().and_then(|n| n.try_into().ok()),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

/// A map whose values may be strings or plain numbers and booleans, as `env` of a one-off dyno may be.
pub fn string_map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<std::collections::BTreeMap<String, String>, D::Error> {
    let map =
        Option::<std::collections::BTreeMap<String, serde_json::Value>>::deserialize(deserializer)?;
    map.unwrap_or_default()
        .into_iter()
        .filter_map(|(name, value)| match value {
            serde_json::Value::String(text) => Some(Ok((name, text))),
            serde_json::Value::Number(number) => Some(Ok((name, number.to_string()))),
            serde_json::Value::Bool(flag) => Some(Ok((name, flag.to_string()))),
            serde_json::Value::Null => None,
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => Some(Err(
                serde::de::Error::custom(format!("the value of {name} must be a string")),
            )),
        })
        .collect()
}
