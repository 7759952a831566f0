//! Single values: durations, factors, limits, jitters, words, and what may be off.

use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;
use std::string::{String, ToString};
use std::vec::Vec;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::config::form::listed;
use crate::config::{nearest, parse_duration, print_duration, shown};
use crate::policy::{Jitter, Limit, Ratio};

/// A duration, such as `"250ms"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&print_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Scalar {
            expects: "a duration with its unit, such as \"250ms\", \"1.5s\" or \"2m\"",
            text: |text: &str| parse_duration(text).map(Self).map_err(|e| e.to_string()),
            number: |number: &str| {
                Err(format!(
                    "the duration {number} has no unit: write a text such as \"{number}ms\" or \"{number}s\""
                ))
            },
        })
    }
}

/// A factor, such as `1.6`: from 0 to 4294.967295, with at most six places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor(pub Ratio);

impl Serialize for Factor {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(f64::from(self.0.ppm()) / 1e6)
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let read = |text: &str| {
            let factor = text.parse().map(Self);
            factor.map_err(|error| format!("`{}`: {error}", shown(text)))
        };
        from.deserialize_any(Scalar {
            expects: "a factor, such as 1.6",
            text: read,
            number: read,
        })
    }
}

/// A count with a bound (`60`) or `"unlimited"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound(pub Limit);

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Limit::Unlimited => to.serialize_str("unlimited"),
            Limit::AtMost(most) => to.serialize_u32(most),
        }
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wrong = |text: &str| {
            format!(
                "`{}` is not a limit: write a whole number from 0 to {}, or \"unlimited\"",
                shown(text),
                u32::MAX
            )
        };
        from.deserialize_any(Scalar {
            expects: "a whole number or \"unlimited\"",
            text: move |text: &str| match text {
                "unlimited" => Ok(Self(Limit::Unlimited)),
                _ => Err(wrong(text)),
            },
            number: move |number: &str| match number.parse() {
                Ok(most) => Ok(Self(Limit::AtMost(most))),
                Err(_) => Err(wrong(number)),
            },
        })
    }
}

/// A jitter: `"none"`, `"full"`, `"equal"`, `"100ms"` (up to that much more) or `"20%"` (more or
/// less).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpreadText(pub Jitter);

impl Serialize for SpreadText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Jitter::None => to.serialize_str("none"),
            Jitter::Full => to.serialize_str("full"),
            Jitter::Equal => to.serialize_str("equal"),
            Jitter::UpTo(width) => to.serialize_str(&print_duration(width)),
            Jitter::Proportional(p) => {
                let (percent, rest) = (p.ppm() / 10_000, p.ppm() % 10_000);
                to.serialize_str(&match rest {
                    0 => format!("{percent}%"),
                    _ => format!("{percent}.{rest:04}%"),
                })
            }
        }
    }
}

impl<'de> Deserialize<'de> for SpreadText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        const RIGHT: &str = "write \"none\", \"full\", \"equal\", a duration such as \"100ms\", or a proportion such as \"20%\"";
        from.deserialize_any(Scalar {
            expects: "a jitter, such as \"full\", \"100ms\" or \"20%\"",
            text: |text: &str| {
                jitter(text)
                    .map(Self)
                    .ok_or_else(|| format!("`{}` is not a jitter: {RIGHT}", shown(text)))
            },
            number: |number: &str| Err(format!("{number} is not a jitter: {RIGHT}")),
        })
    }
}

fn jitter(text: &str) -> Option<Jitter> {
    match text {
        "none" => Some(Jitter::None),
        "full" => Some(Jitter::Full),
        "equal" => Some(Jitter::Equal),
        _ => match text.strip_suffix('%') {
            Some(percent) => {
                let ratio: Ratio = percent.parse().ok()?;
                let exact = ratio.ppm().is_multiple_of(100);
                exact.then(|| Jitter::Proportional(Ratio::from_ppm(ratio.ppm() / 100)))
            }
            None => parse_duration(text).ok().map(Jitter::UpTo),
        },
    }
}

/// What has a word of its own for each of its values.
pub trait Word: Copy + PartialEq + 'static {
    /// The words, and what they stand for.
    const WORDS: &'static [(&'static str, Self)];
}

/// A value by its word, such as `"sweep"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worded<T>(pub T);

impl<T: Word> Serialize for Worded<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match T::WORDS.iter().find(|(_, value)| *value == self.0) {
            Some((word, _)) => to.serialize_str(word),
            None => Err(serde::ser::Error::custom("there is no word for this value")),
        }
    }
}

impl<'de, T: Word> Deserialize<'de> for Worded<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let read = |text: &str| {
            let mut words = T::WORDS.iter();
            match words.find(|(word, _)| *word == text) {
                Some((_, value)) => Ok(Self(*value)),
                None => Err(no_such_word::<T>(text)),
            }
        };
        from.deserialize_any(Scalar {
            expects: "a word",
            text: read,
            number: read,
        })
    }
}

fn no_such_word<T: Word>(text: &str) -> String {
    let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
    let all = listed(&words);
    match nearest(text, words.iter().copied()) {
        Some(nearest) => format!(
            "there is no `{}` here: did you mean `{nearest}`? Known are {all}",
            shown(text)
        ),
        None => format!("there is no `{}` here: known are {all}", shown(text)),
    }
}

/// A table, or `"off"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch<T> {
    /// Not at all.
    Off,
    /// Like this.
    On(T),
}

impl<T> Switch<T> {
    /// From what may be missing.
    pub fn from_option(option: Option<T>) -> Self {
        option.map_or(Self::Off, Self::On)
    }
}

impl<T: Serialize> Serialize for Switch<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => to.serialize_str("off"),
            Self::On(value) => value.serialize(to),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OffOr<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OffOr<T> {
            type Value = Switch<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"off\", or a table or text that says how")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Switch<T>, E> {
                T::deserialize(number.into_deserializer()).map(Switch::On)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Switch<T>, E> {
                T::deserialize(number.into_deserializer()).map(Switch::On)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Switch<T>, E> {
                T::deserialize(number.into_deserializer()).map(Switch::On)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Switch<T>, E> {
                match text {
                    "off" => Ok(Switch::Off),
                    _ => T::deserialize(de::value::StrDeserializer::new(text)).map(Switch::On),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Switch<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Switch::On)
            }
        }
        from.deserialize_any(OffOr(PhantomData))
    }
}

/// Reads a text or a number, whose digits come as text.
struct Scalar<A, B> {
    expects: &'static str,
    text: A,
    number: B,
}

impl<'de, T, A, B> Visitor<'de> for Scalar<A, B>
where
    A: FnOnce(&str) -> Result<T, String>,
    B: FnOnce(&str) -> Result<T, String>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expects)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        (self.number)(&number.to_string()).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.number)(&number.to_string()).map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        (self.number)(&number.to_string()).map_err(E::custom)
    }
}
