//! Values on the command line, read as in a file.

use std::time::Duration;

use failover_core::config::{Bound, SpreadText, parse_duration};
use failover_core::policy::{Jitter, Limit};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;

/// `250ms`, `1.5s`, `2m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// The same, but not nothing.
pub(crate) fn above_zero(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be above zero, such as 30s".to_string()),
        above => Ok(above),
    }
}

/// `none`, `full`, `equal`, `100ms`, `20%`.
pub(crate) fn jitter(text: &str) -> Result<Jitter, String> {
    let read = SpreadText::deserialize(IntoDeserializer::<Error>::into_deserializer(text));
    read.map(|jitter| jitter.0)
        .map_err(|error| error.to_string())
}

/// `unlimited`, or a whole number.
pub(crate) fn limit(text: &str) -> Result<Limit, String> {
    let read = match text.parse::<u32>() {
        Ok(number) => Bound::deserialize(IntoDeserializer::<Error>::into_deserializer(number)),
        Err(_) => Bound::deserialize(IntoDeserializer::<Error>::into_deserializer(text)),
    };
    read.map(|bound| bound.0).map_err(|error| error.to_string())
}
