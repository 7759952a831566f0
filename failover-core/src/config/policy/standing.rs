//! `[policy.standing]`, `race` and `resume`.

use core::time::Duration;

use crate::config::value::{Span, Switch, Worded};
use crate::policy::{Failback, MaxAge, Resume, Standing};
use crate::race::{Race, Stagger};

use super::{
    FailbackForm, FormError, MaxAgeForm, RaceForm, ResumeForm, StandingForm, span, worded,
};

impl StandingForm {
    pub(super) fn standing(&self, base: Standing) -> Result<Standing, FormError> {
        let mut standing = base
            .overlap(worded(self.overlap, base.overlap))
            .spares(self.spares.unwrap_or(base.spares))
            .drain_spread(span(self.drain_spread, base.drain_spread))
            .grace(span(self.grace, base.grace))
            .wake_spread(span(self.wake_spread, base.wake_spread));
        match &self.failback {
            Some(Switch::On(own)) => {
                let base = base.failback.unwrap_or_default();
                standing.failback = Some(
                    Failback::default()
                        .every(span(own.every, base.every))
                        .good_probes(own.good_probes.unwrap_or(base.good_probes))
                        .settle(span(own.settle, base.settle)),
                );
            }
            Some(Switch::Off) => standing.failback = None,
            None => {}
        }
        match &self.max_age {
            Some(Switch::On(own)) => {
                let Some(age) = own.age else {
                    return Err(FormError::Missing {
                        part: "standing.max_age",
                        key: "age",
                        example: "max_age = { age = \"1h\" }",
                    });
                };
                let max_age = MaxAge::new(age.0);
                standing.max_age = Some(max_age.spread(span(own.spread, max_age.spread)));
            }
            Some(Switch::Off) => standing.max_age = None,
            None => {}
        }
        Ok(standing)
    }
}

impl From<Standing> for StandingForm {
    fn from(standing: Standing) -> Self {
        let failback = standing.failback.map(|failback| FailbackForm {
            every: Some(Span(failback.every)),
            good_probes: Some(failback.good_probes),
            settle: Some(Span(failback.settle)),
        });
        let max_age = standing.max_age.map(|max_age| MaxAgeForm {
            age: Some(Span(max_age.age)),
            spread: Some(Span(max_age.spread)),
        });
        Self {
            overlap: Some(Worded(standing.overlap)),
            spares: Some(standing.spares),
            drain_spread: Some(Span(standing.drain_spread)),
            grace: Some(Span(standing.grace)),
            wake_spread: Some(Span(standing.wake_spread)),
            failback: Some(Switch::from_option(failback)),
            max_age: Some(Switch::from_option(max_age)),
        }
    }
}

impl RaceForm {
    pub(super) fn race(&self) -> Result<Race, FormError> {
        let stagger = match (self.stagger, self.stagger_min, self.stagger_max) {
            (None, None, None) => Stagger::DEFAULT,
            (Some(stagger), None, None) => Stagger::Fixed(stagger.0),
            (None, Some(min), Some(max)) => Stagger::Trained {
                min: min.0,
                max: max.0,
            },
            (Some(_), _, _) => return Err(FormError::TwoStaggers),
            (None, _, _) => {
                return Err(FormError::Missing {
                    part: "race",
                    key: "stagger_max",
                    example: "{ stagger_min = \"10ms\", stagger_max = \"250ms\" }",
                });
            }
        };
        let most = self.most.unwrap_or(Race::default().most());
        Ok(Race::new(most, stagger)?)
    }
}

pub(super) fn race_form(race: Race) -> Switch<RaceForm> {
    if race == Race::OFF {
        return Switch::Off;
    }
    let most = Some(race.most());
    Switch::On(match race.stagger() {
        Stagger::Fixed(stagger) => RaceForm {
            most,
            stagger: Some(Span(stagger)),
            ..RaceForm::default()
        },
        Stagger::Trained { min, max } => RaceForm {
            most,
            stagger_min: Some(Span(min)),
            stagger_max: Some(Span(max)),
            ..RaceForm::default()
        },
    })
}

impl ResumeForm {
    pub(super) fn resume(&self) -> Result<Resume, FormError> {
        let missing = |key| FormError::Missing {
            part: "resume",
            key,
            example: "resume = { window = \"60s\", every = \"5s\" }",
        };
        let window = self.window.ok_or(missing("window"))?.0;
        let every = self.every.ok_or(missing("every"))?.0;
        Ok(Resume::new(window, every).first(span(self.first, Duration::ZERO)))
    }
}
