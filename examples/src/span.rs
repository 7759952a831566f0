//! Durations and the like as people write them in files and arguments.

use std::time::Duration;

use failover_core::policy::{Jitter, Limit, Ratio};

/// What a duration looks like.
pub const DURATION: &str = "a duration is a number and a unit, such as 250ms, 1.5s or 2m";
/// What a jitter looks like.
pub const JITTER: &str =
    "jitter is none, full, equal, a duration such as 100ms, or a percentage up to 100%";

/// The units of a duration, in nanoseconds.
const UNITS: [(&str, u128); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// `250ms`, `1.5s`, `2m`; `forever` is the longest there is.
///
/// # Errors
/// What a duration looks like.
pub fn duration(text: &str) -> Result<Duration, String> {
    if text == "forever" {
        return Ok(Duration::MAX);
    }
    let wrong = || DURATION.to_string();
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, unit) = unit.ok_or_else(wrong)?;
    let (whole, broken) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || broken.is_empty() || broken.contains('.') {
        return Err(wrong());
    }
    let long = || "that is too long".to_string();
    let whole: u128 = whole.parse().map_err(|_| long())?;
    let mut nanos = whole.checked_mul(*unit).ok_or_else(long)?;
    let mut place = *unit;
    for digit in broken.bytes() {
        place /= 10;
        nanos += u128::from(digit - b'0') * place;
    }
    let nanos = u64::try_from(nanos).map_err(|_| long())?;
    Ok(Duration::from_nanos(nanos))
}

/// A duration that [`duration`] reads back as the same.
#[must_use]
pub fn text(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos > u128::from(u64::MAX) {
        return "forever".to_string();
    }
    let fits = |unit: &&(&str, u128)| nanos.is_multiple_of(unit.1);
    match UNITS.iter().find(fits) {
        Some(_) if nanos == 0 => "0s".to_string(),
        Some((unit, size)) => format!("{}{unit}", nanos / size),
        None => format!("{nanos}ns"),
    }
}

/// `none`, `full`, `equal`, `100ms`, `20%`.
///
/// # Errors
/// What a jitter looks like.
pub fn jitter(text: &str) -> Result<Jitter, String> {
    let wrong = || JITTER.to_string();
    match text {
        "none" => return Ok(Jitter::None),
        "full" => return Ok(Jitter::Full),
        "equal" => return Ok(Jitter::Equal),
        _ => {}
    }
    let Some(percent) = text.strip_suffix('%') else {
        return duration(text).map(Jitter::UpTo).map_err(|_| wrong());
    };
    // What is above 100% is the policy's to refuse.
    let percent: Ratio = percent.parse().map_err(|_| wrong())?;
    Ok(Jitter::Proportional(Ratio::from_ppm(percent.ppm() / 100)))
}

/// `unlimited`, or a whole number.
///
/// # Errors
/// What a limit looks like.
pub fn limit(text: &str) -> Result<Limit, String> {
    if text == "unlimited" {
        return Ok(Limit::Unlimited);
    }
    text.parse()
        .map(Limit::AtMost)
        .map_err(|_| "a limit is a whole number, or unlimited".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in [
            "", "5", "s", "-1s", "1e9s", "1.2.3s", "1 s", "5 days", "1.s",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(duration(&format!("{}s", "9".repeat(400))).is_err());
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for written in ["0s", "250ms", "90s", "2m", "1h", "1500us", "7ns", "forever"] {
            assert_eq!(text(duration(written).unwrap()), written);
        }
        assert_eq!(text(Duration::from_millis(1500)), "1500ms");
    }

    #[test]
    fn a_jitter_is_a_word_a_duration_or_a_percentage() {
        assert_eq!(jitter("none"), Ok(Jitter::None));
        assert_eq!(
            jitter("100ms"),
            Ok(Jitter::UpTo(Duration::from_millis(100)))
        );
        let fifth = Ratio::from_ppm(200_000);
        assert_eq!(jitter("20%"), Ok(Jitter::Proportional(fifth)));
        for wrong in ["", "%", "-5%", "500000%", "some", "20"] {
            assert!(jitter(wrong).is_err(), "{wrong}");
        }
    }
}
