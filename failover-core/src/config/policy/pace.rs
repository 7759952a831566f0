//! `[policy.order]` and `[policy.pace]`.

use crate::config::value::{Factor, Span, Worded};
use crate::policy::{Backoff, Order, Pace, Ratio};

use super::{FormError, LawName, OrderForm, PaceForm, span, worded};

impl OrderForm {
    pub(super) fn order(&self, base: Order) -> Order {
        Order::new(worded(self.walk, base.walk)).lost(worded(self.lost, base.lost))
    }
}

impl PaceForm {
    pub(super) fn pace(&self, base: Pace) -> Result<Pace, FormError> {
        Ok(Pace::new(self.backoff(base.backoff)?)
            .every(worded(self.every, base.every))
            .min(span(self.min, base.min))
            .cap(span(self.cap, base.cap))
            .first(span(self.first, base.first))
            .custom(worded(self.custom, base.custom)))
    }

    /// Of the named law, or of the law of the base, with the base's values where both have one.
    fn backoff(&self, base: Backoff) -> Result<Backoff, FormError> {
        let was = Self::from(Pace::new(base));
        let law = worded(self.law, was.law.map_or(LawName::Constant, |law| law.0));
        let (name, keys, has) = keys_of(law);
        let given = [
            ("wait", self.wait.is_some()),
            ("base", self.base.is_some()),
            ("initial", self.initial.is_some()),
            ("factor", self.factor.is_some()),
            ("spread", self.spread.is_some()),
            ("tls_spread", self.tls_spread.is_some()),
        ];
        if let Some((key, _)) = given
            .iter()
            .find(|(key, given)| *given && !keys.contains(key))
        {
            return Err(FormError::NotOfLaw {
                key,
                law: name,
                has,
            });
        }
        let take = |own: Option<Span>, was: Option<Span>, key, example| match own.or(was) {
            Some(span) => Ok(span.0),
            None => Err(FormError::Missing {
                part: "pace",
                key,
                example,
            }),
        };
        let factor = self
            .factor
            .or(was.factor)
            .map_or(Ratio::TWO, |factor| factor.0);
        Ok(match law {
            LawName::Constant => {
                Backoff::Constant(take(self.wait, was.wait, "wait", "wait = \"2s\"")?)
            }
            LawName::Exponential => Backoff::Exponential {
                base: take(self.base, was.base, "base", "base = \"250ms\"")?,
                factor,
            },
            LawName::Affine => Backoff::Affine {
                initial: take(self.initial, was.initial, "initial", "initial = \"10ms\"")?,
                factor,
            },
            LawName::Decorrelated => Backoff::Decorrelated {
                base: take(self.base, was.base, "base", "base = \"100ms\"")?,
            },
            LawName::PhaseLadder => Backoff::PhaseLadder {
                spread: take(self.spread, was.spread, "spread", "spread = \"250ms\"")?,
                tls_spread: take(
                    self.tls_spread,
                    was.tls_spread,
                    "tls_spread",
                    "tls_spread = \"1s\"",
                )?,
            },
        })
    }
}

fn keys_of(law: LawName) -> (&'static str, &'static [&'static str], &'static str) {
    match law {
        LawName::Constant => ("constant", &["wait"], "`wait`"),
        LawName::Exponential => ("exponential", &["base", "factor"], "`base` and `factor`"),
        LawName::Affine => ("affine", &["initial", "factor"], "`initial` and `factor`"),
        LawName::Decorrelated => ("decorrelated", &["base"], "`base`"),
        LawName::PhaseLadder => (
            "phase-ladder",
            &["spread", "tls_spread"],
            "`spread` and `tls_spread`",
        ),
    }
}

impl From<Pace> for PaceForm {
    fn from(pace: Pace) -> Self {
        let mut form = Self {
            every: Some(Worded(pace.every)),
            min: Some(Span(pace.min)),
            cap: Some(Span(pace.cap)),
            first: Some(Span(pace.first)),
            custom: Some(Worded(pace.custom)),
            ..Self::default()
        };
        let law = match pace.backoff {
            Backoff::Constant(wait) => {
                form.wait = Some(Span(wait));
                LawName::Constant
            }
            Backoff::Exponential { base, factor } => {
                form.base = Some(Span(base));
                form.factor = Some(Factor(factor));
                LawName::Exponential
            }
            Backoff::Affine { initial, factor } => {
                form.initial = Some(Span(initial));
                form.factor = Some(Factor(factor));
                LawName::Affine
            }
            Backoff::Decorrelated { base } => {
                form.base = Some(Span(base));
                LawName::Decorrelated
            }
            Backoff::PhaseLadder { spread, tls_spread } => {
                form.spread = Some(Span(spread));
                form.tls_spread = Some(Span(tls_spread));
                LawName::PhaseLadder
            }
        };
        form.law = Some(Worded(law));
        form
    }
}
