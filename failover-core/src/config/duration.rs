//! Durations as text: `250ms`.

use core::time::Duration;
use std::string::String;

use thiserror::Error;

use crate::config::shown;

/// Units with their nanoseconds.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// The text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` is not a duration: write a number with a unit, such as `250ms`, `1.5s` or `2m` (ns, us, ms, s, m, h, d)"
)]
#[non_exhaustive]
pub struct DurationError {
    /// The text.
    pub text: String,
}

/// Reads a duration: a number with at most nine places, and a unit, which is never left out.
///
/// ```
/// use core::time::Duration;
/// use failover_core::config::{parse_duration, print_duration};
///
/// assert_eq!(parse_duration("1.5s")?, Duration::from_millis(1_500));
/// assert_eq!(print_duration(Duration::from_millis(1_500)), "1500ms");
/// assert!(parse_duration("250").is_err());
/// # Ok::<(), failover_core::config::DurationError>(())
/// ```
///
/// # Errors
/// When the text is not one, or too long to count.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    read(text).ok_or_else(|| DurationError { text: shown(text) })
}

/// The shortest exact text of a duration; [`parse_duration`] reads it back.
#[must_use]
pub fn print_duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let whole = |unit: u32| nanos % unit == 0 && seconds < 1_000;
    let total = duration.as_nanos();
    if nanos == 0 {
        format!("{seconds}s")
    } else if whole(1_000_000) {
        format!("{}ms", total / 1_000_000)
    } else if whole(1_000) {
        format!("{}us", total / 1_000)
    } else if seconds == 0 {
        format!("{nanos}ns")
    } else {
        let places = format!("{nanos:09}");
        format!("{seconds}.{}s", places.trim_end_matches('0'))
    }
}

fn read(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, places) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || places.is_empty() || places.len() > 9 || places.contains('.') {
        return None;
    }
    let scale = 10_u128.checked_pow(u32::try_from(places.len()).ok()?)?;
    let unit = u128::from(*nanos);
    let whole = whole.parse::<u128>().ok()?.checked_mul(unit)?;
    let part = places.parse::<u128>().ok()?.checked_mul(unit)?;
    let total = whole.checked_add(part / scale)?;
    let seconds = u64::try_from(total / 1_000_000_000).ok()?;
    let nanos = u32::try_from(total % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for duration in [
            Duration::ZERO,
            Duration::MAX,
            Duration::from_nanos(1),
            Duration::from_micros(1_500),
            Duration::from_millis(250),
            Duration::new(86_400, 1),
            Duration::from_secs(60),
        ] {
            let text = print_duration(duration);
            assert_eq!(parse_duration(&text), Ok(duration), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "250",
            "ms",
            "-1s",
            "1e3s",
            "1.s",
            ".5s",
            "1..2s",
            "1 s",
            "1.5.5s",
            "5 minutes",
            "99999999999999999999999999999999999999999s",
            "1.0000000001s",
            "∞",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
