//! Factors and proportions without floating point.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// A factor or proportion as a fixed-point number: parts per million.
///
/// No `f64` takes part in a law, because its functions differ between platforms and are missing
/// without `std`. Largest: 4294.967295.
///
/// ```
/// use failover_core::policy::Ratio;
///
/// let grpc: Ratio = "1.6".parse()?;
/// assert_eq!(grpc, Ratio::from_ppm(1_600_000));
/// assert_eq!(grpc.to_string(), "1.6");
/// # Ok::<(), failover_core::policy::RatioError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio(u32);

const MILLION: u64 = 1_000_000;

impl Ratio {
    /// 0.
    pub const ZERO: Self = Self(0);
    /// 1.
    pub const ONE: Self = Self(1_000_000);
    /// 2, the usual factor of an exponential law.
    pub const TWO: Self = Self(2_000_000);

    /// This many millionths.
    #[must_use]
    pub const fn from_ppm(ppm: u32) -> Self {
        Self(ppm)
    }

    /// How many millionths.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// `value` times this, rounded up, saturating.
    ///
    /// Rounded up, so that a factor above 1 makes every value above 0 grow (law L4); rounding down
    /// would stop at small values.
    #[inline]
    pub(crate) const fn of(self, value: u64) -> u64 {
        let (whole, broken) = (self.0 as u64 / MILLION, self.0 as u64 % MILLION);
        let whole = value.saturating_mul(whole);
        if broken == 0 {
            return whole;
        }
        // Whole and broken millions apart: neither product overflows.
        let millions = (value / MILLION) * broken;
        let rest = ((value % MILLION) * broken).div_ceil(MILLION);
        whole.saturating_add(millions + rest)
    }

    /// The largest value whose product with (1 + this) is at most `product`.
    pub(crate) const fn shrink(self, product: u64) -> u64 {
        let one_more = MILLION + self.0 as u64;
        (product as u128 * MILLION as u128 / one_more as u128) as u64
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut broken) = (self.0 / 1_000_000, self.0 % 1_000_000);
        write!(f, "{whole}")?;
        let mut width = 6;
        if broken == 0 {
            return Ok(());
        }
        while broken % 10 == 0 {
            broken /= 10;
            width -= 1;
        }
        write!(f, ".{broken:0width$}")
    }
}

impl fmt::Debug for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a ratio is a decimal number from 0 to 4294.967295 with at most six places, such as `1.6`")]
#[non_exhaustive]
pub struct RatioError;

impl FromStr for Ratio {
    type Err = RatioError;

    fn from_str(text: &str) -> Result<Self, RatioError> {
        let (whole, broken) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(broken) || broken.len() > 6 || whole.len() > 4 {
            return Err(RatioError);
        }
        let whole: u64 = whole.parse().map_err(|_| RatioError)?;
        let places = u32::try_from(broken.len()).map_err(|_| RatioError)?;
        let broken: u64 = broken.parse().map_err(|_| RatioError)?;
        let ppm = whole * MILLION + broken * 10_u64.pow(6 - places);
        u32::try_from(ppm).map(Self).map_err(|_| RatioError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_product_rounds_up_and_saturates() {
        assert_eq!(Ratio::from_ppm(1_500_000).of(1), 2);
        assert_eq!(Ratio::from_ppm(1_000_001).of(1), 2);
        assert_eq!(Ratio::ONE.of(u64::MAX), u64::MAX);
        assert_eq!(Ratio::TWO.of(u64::MAX), u64::MAX);
        assert_eq!(Ratio::ZERO.of(u64::MAX), 0);
    }

    #[test]
    fn shrinking_leaves_room_for_the_proportion() {
        let fifth = Ratio::from_ppm(200_000);
        for cap in [0, 1, 5, 1_000, u64::MAX] {
            let base = fifth.shrink(cap);
            assert!(
                base.saturating_add(fifth.of(base)) <= cap.saturating_add(1),
                "{cap}"
            );
        }
    }

    #[test]
    fn text_is_read_and_printed() {
        for text in ["0", "1", "2", "1.6", "0.2", "4294.967295", "1.000001"] {
            assert_eq!(text.parse::<Ratio>().unwrap().to_string(), text);
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "4294.967296",
            "1.0000001",
            "NaN",
            "99999",
            "00001",
            "1.+5",
            "20000000000000",
        ] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
    }
}
