//! Values on the command line, read as in a file.

use std::any::TypeId;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Command;
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

/// Reads a whole number that is not out of these bounds.
pub(crate) fn whole<N: TryFrom<u64>>(
    bounds: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<N, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        let read = number.and_then(|number| N::try_from(number).ok());
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let too_large = digits && text.parse::<u64>().is_err();
        read.ok_or_else(|| match bounds.clone().into_inner() {
            (least, most) if too_large => {
                format!("it must be a whole number from {least} to {most}")
            }
            (least, u64::MAX) => format!("it must be a whole number, {least} or more"),
            (least, most) if most == least + 1 => format!("it must be {least} or {most}"),
            (least, most) => format!("it must be a whole number from {least} to {most}"),
        })
    }
}

/// Reads a number of things that none of would make no sense.
pub(crate) fn at_least_one()
-> impl Fn(&str) -> Result<NonZeroUsize, String> + Clone + Send + Sync + 'static {
    let whole = whole::<usize>(1..=u64::MAX);
    move |text| {
        let number = whole(text)?;
        NonZeroUsize::new(number).ok_or_else(|| "it must be at least 1".to_string())
    }
}

/// An address and a port of this machine.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, String> {
    let read = text.parse();
    read.map_err(|_| "write an address and a port such as `127.0.0.1:8222`".to_string())
}

/// A number that need not be whole, and is more than nothing.
pub(crate) fn above_nothing(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    let above = number.filter(|number: &f64| number.is_finite() && *number > 0.0);
    above.ok_or_else(|| "it must be a number above 0, such as 2000".to_string())
}

/// The same arguments, with a negative number or time after a flag taken as its value: so that the flag
/// says what is wrong with it, and not that there is no flag of that name.
pub(crate) fn with_negative_numbers(command: Command) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_string())
        .collect();
    let command = command.mut_args(|argument| {
        let takes_one = argument.get_action().takes_values() && !argument.is_positional();
        let value = argument.get_value_parser().type_id();
        let is_time = value == TypeId::of::<Duration>() || value == TypeId::of::<Jitter>();
        argument
            .allow_negative_numbers(takes_one)
            .allow_hyphen_values(takes_one && is_time)
    });
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, with_negative_numbers)
    })
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
