//! Values on the command line, read as in a file.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};
use failover_core::config::{Bound, SpreadText, parse_duration};
use failover_core::directory::Url;
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

/// A number of things that none of would make no sense.
pub(crate) fn at_least_one<N: TryFrom<NonZeroU64>>(text: &str) -> Result<N, String> {
    let number = text.parse::<u64>().map_err(|error| error.to_string())?;
    let number = NonZeroU64::new(number).ok_or("it must be at least 1")?;
    N::try_from(number).map_err(|_| "number too large to fit in target type".to_string())
}

/// The path of a file. A URL in its place is a mistake, and may hold a password.
pub(crate) fn file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match is_url(&path.to_string_lossy()) {
        true => Err("it is a URL, a file is expected here"),
        false => Ok(path),
    })
}

/// The same, or a failover URI.
pub(crate) fn file_or_uri() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        let text = path.to_string_lossy();
        match is_url(&text) && !text.starts_with("failover:") {
            true => Err("it is a URL, a file or a failover: URI is expected here"),
            false => Ok(path),
        }
    })
}

/// Whether this begins as a URL does: with `scheme:/`.
fn is_url(text: &str) -> bool {
    let scheme = text.split_once(":/").map_or("", |(scheme, _)| scheme);
    scheme.len() > 1
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// A text that may hold a password, without it.
pub(crate) fn masked(text: &str) -> String {
    match text.parse::<Url>() {
        Ok(url) => url.to_string(),
        Err(error) => error.input().to_string(),
    }
}

/// What clap says of these arguments, without the passwords in them.
pub(crate) fn without_passwords(said: &str, arguments: &[String]) -> String {
    let mut said = said.to_string();
    for argument in arguments.iter().filter(|argument| argument.contains('@')) {
        // `--deadline=tcp://joe:secret@a`: its value alone is told.
        let value = argument.split_once('=').map_or("", |(_, value)| value);
        for text in [argument.as_str(), value] {
            if text.contains('@') {
                said = said.replace(text, &masked(text));
            }
        }
    }
    said
}
