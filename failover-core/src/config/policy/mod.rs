//! A policy in a file: a preset, and key by key what differs from it. Here are the tables; the files
//! beside it make a policy of them and the reverse.

mod pace;
mod rests;
mod standing;
mod words;

use core::time::Duration;
use std::vec::Vec;

use thiserror::Error;

use self::rests::{raw, reactions};
use self::standing::race_form;
use crate::config::form::form;
use crate::config::value::{Bound, Factor, Span, SpreadText, Switch, Worded};
use crate::endpoint::Security;
use crate::failure::{Kind, Scope};
use crate::policy::{
    CustomDelay, Every, Lost, NobodyReady, Overlap, PlainFallback, Policy, PolicyBuilder,
    PolicyError, Reaction, Start, Walk,
};
use crate::preset::PresetName;
use crate::race::{Race, RaceError};

form! {
    /// A policy: a preset, and key by key what differs from it.
    pub struct PolicyForm {
        /// The preset that the other keys change.
        preset: Worded<PresetName>,
        /// [`Policy::jitter`] before plain dials. It says nothing about TLS dials.
        jitter: SpreadText,
        /// [`Policy::jitter`] before TLS dials.
        tls_jitter: SpreadText,
        /// [`Policy::start`].
        start: Worded<Start>,
        /// [`Policy::stable_after`].
        stable_after: Span,
        /// [`Policy::deadline`].
        deadline: Span,
        /// [`Policy::turn_deadline`].
        turn_deadline: Switch<Span>,
        /// [`Policy::plain_fallback`].
        plain_fallback: Worded<PlainFallback>,
        /// [`Policy::nobody_ready`].
        nobody_ready: Worded<NobodyReady>,
        /// [`Policy::order`].
        order: OrderForm,
        /// [`Policy::pace`].
        pace: PaceForm,
        /// [`Policy::limits`].
        limits: LimitsForm,
        /// [`Policy::start_up_limits`].
        start_up_limits: LimitsForm,
        /// [`Policy::health`].
        health: HealthForm,
        /// [`Policy::reactions`], all of them.
        reactions: Vec<RawReaction>,
        /// [`Policy::classes`], all of them.
        classes: Vec<ClassForm>,
        /// [`Policy::standing`].
        standing: StandingForm,
        /// [`Policy::race`].
        race: Switch<RaceForm>,
        /// [`Policy::resume`].
        resume: Switch<ResumeForm>,
    }
}

form! {
    /// [`Order`](crate::policy::Order).
    pub struct OrderForm {
        /// How a sweep walks.
        walk: Worded<Walk>,
        /// Where the lost server goes.
        lost: Worded<Lost>,
    }
}

form! {
    /// [`Pace`](crate::policy::Pace), with the keys of its [`Backoff`](crate::policy::Backoff) beside its own.
    pub struct PaceForm {
        /// The law: which of the next six keys have a meaning.
        law: Worded<LawName>,
        /// The wait of a constant law.
        wait: Span,
        /// The first wait of an exponential law, the least of a decorrelated one.
        base: Span,
        /// The unit of an affine law.
        initial: Span,
        /// The growth of an exponential or affine law.
        factor: Factor,
        /// The whole initial spread of a phase ladder before a plain dial.
        spread: Span,
        /// The same before a TLS dial.
        tls_spread: Span,
        /// What each wait stands before.
        every: Worded<Every>,
        /// The least wait.
        min: Span,
        /// The longest wait.
        cap: Span,
        /// The wait before the first dial after a loss.
        first: Span,
        /// Whether the delay hook is asked.
        custom: Worded<CustomDelay>,
    }
}

form! {
    /// [`Limits`](crate::policy::Limits).
    pub struct LimitsForm {
        /// Failed turns in a row.
        turns: Bound,
        /// Failed turns in a row of one endpoint.
        per_endpoint: Bound,
        /// Sweeps without success.
        sweeps: Bound,
        /// Time since the outage began, or off.
        elapsed: Switch<Span>,
    }
}

form! {
    /// [`Health`](crate::policy::Health).
    pub struct HealthForm {
        /// The first suspension.
        initial: Span,
        /// The growth of suspensions.
        factor: Factor,
        /// The longest suspension.
        maximum: Span,
        /// Marks before a suspension.
        retries: u8,
        /// The rest after a mark.
        retry_delay: Span,
    }
}

form! {
    /// One rule of [`Reactions`](crate::policy::Reactions).
    pub struct RawReaction {
        /// Failures of this kind.
        kind: Worded<Kind>,
        /// Failures that reach this far.
        scope: Worded<Scope>,
        /// Failures with this number of the peer's.
        code: u32,
        /// What they mean. Never left out.
        reaction: Worded<Reaction>,
    }
}

form! {
    /// [`Class`](crate::policy::Class).
    pub struct ClassForm {
        /// How they rest.
        health: HealthForm,
        /// What their failures mean.
        reactions: Vec<RawReaction>,
        /// How many failed turns retire one.
        per_endpoint: Bound,
    }
}

form! {
    /// [`Standing`](crate::policy::Standing).
    pub struct StandingForm {
        /// Whether two connections may stand at the same time.
        overlap: Worded<Overlap>,
        /// How many spare connections are kept.
        spares: u8,
        /// Within which time a draining server is left.
        drain_spread: Span,
        /// How long a connection that is left may finish.
        grace: Span,
        /// Within which time waits end when the network is back.
        wake_spread: Span,
        /// Going back to a lower tier, or off.
        failback: Switch<FailbackForm>,
        /// When a connection is too old, or off.
        max_age: Switch<MaxAgeForm>,
    }
}

form! {
    /// [`Failback`](crate::policy::Failback).
    pub struct FailbackForm {
        /// How often is probed.
        every: Span,
        /// Good probes in a row.
        good_probes: u8,
        /// How long after the first of them the move is made.
        settle: Span,
    }
}

form! {
    /// [`MaxAge`](crate::policy::MaxAge).
    pub struct MaxAgeForm {
        /// The greatest age. Never left out.
        age: Span,
        /// Its spread.
        spread: Span,
    }
}

form! {
    /// [`Race`].
    pub struct RaceForm {
        /// How many at once.
        most: u8,
        /// How long after one another.
        stagger: Span,
        /// Instead of `stagger`: the least trained one, with `stagger_max`.
        stagger_min: Span,
        /// The longest trained one.
        stagger_max: Span,
    }
}

form! {
    /// [`Resume`](crate::policy::Resume).
    pub struct ResumeForm {
        /// How long. Never left out.
        window: Span,
        /// The wait between two dials. Never left out.
        every: Span,
        /// The wait before the first.
        first: Span,
    }
}

/// The laws by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LawName {
    /// [`Backoff::Constant`](crate::policy::Backoff::Constant).
    Constant,
    /// [`Backoff::Exponential`](crate::policy::Backoff::Exponential).
    Exponential,
    /// [`Backoff::Affine`](crate::policy::Backoff::Affine).
    Affine,
    /// [`Backoff::Decorrelated`](crate::policy::Backoff::Decorrelated).
    Decorrelated,
    /// [`Backoff::PhaseLadder`](crate::policy::Backoff::PhaseLadder).
    PhaseLadder,
}

/// Why a form is no policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FormError {
    /// A key that has no meaning beside another.
    #[error("pace: `{key}` has no meaning for the law {law}, which has {has}")]
    NotOfLaw {
        /// The key.
        key: &'static str,
        /// The law.
        law: &'static str,
        /// The keys that it has.
        has: &'static str,
    },
    /// A key that may not be left out.
    #[error("{part}: the key `{key}` is missing, as in `{example}`")]
    Missing {
        /// The table.
        part: &'static str,
        /// The key.
        key: &'static str,
        /// What would be right.
        example: &'static str,
    },
    /// Two keys that say two things.
    #[error(
        "race: `stagger` is fixed, `stagger_min` and `stagger_max` are trained: write one of them"
    )]
    TwoStaggers,
    /// A race that cannot be.
    #[error(transparent)]
    Race(#[from] RaceError),
    /// The policy was refused.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl PolicyForm {
    /// The policy.
    ///
    /// # Errors
    /// The first key that makes no sense, or the rule that the policy breaks.
    pub fn policy(&self) -> Result<Policy, FormError> {
        let preset = self.preset.map_or(PresetName::Default, |name| name.0);
        let base = preset.preset()?.policy;
        let mut builder = self.scalars(base.to_builder());
        if let Some(order) = &self.order {
            builder = builder.order(order.order(base.order()));
        }
        if let Some(pace) = &self.pace {
            builder = builder.pace(pace.pace(base.pace())?);
        }
        if let Some(limits) = &self.limits {
            builder = builder.limits(limits.limits(base.limits()));
        }
        if let Some(limits) = &self.start_up_limits {
            builder = builder.start_up_limits(limits.limits(base.start_up_limits()));
        }
        if let Some(health) = &self.health {
            builder = builder.health(health.health(base.health()));
        }
        if let Some(rules) = &self.reactions {
            builder = builder.reactions(reactions(rules)?);
        }
        if let Some(classes) = &self.classes {
            builder = builder.classes(
                classes
                    .iter()
                    .map(ClassForm::class)
                    .collect::<Result<_, _>>()?,
            );
        }
        if let Some(standing) = &self.standing {
            builder = builder.standing(standing.standing(base.standing())?);
        }
        match &self.race {
            Some(Switch::On(race)) => builder = builder.race(race.race()?),
            Some(Switch::Off) => builder = builder.race(Race::OFF),
            None => {}
        }
        match &self.resume {
            Some(Switch::On(resume)) => builder = builder.resume(resume.resume()?),
            Some(Switch::Off) => builder = builder.resume(None),
            None => {}
        }
        Ok(builder.build()?)
    }

    fn scalars(&self, mut builder: PolicyBuilder) -> PolicyBuilder {
        if let Some(jitter) = self.jitter {
            builder = builder.jitter(jitter.0);
        }
        if let Some(jitter) = self.tls_jitter {
            builder = builder.tls_jitter(jitter.0);
        }
        if let Some(start) = self.start {
            builder = builder.start(start.0);
        }
        if let Some(life) = self.stable_after {
            builder = builder.stable_after(life.0);
        }
        if let Some(deadline) = self.deadline {
            builder = builder.deadline(deadline.0);
        }
        if let Some(deadline) = self.turn_deadline {
            builder = builder.turn_deadline(on(deadline).map(|deadline| deadline.0));
        }
        if let Some(fallback) = self.plain_fallback {
            builder = builder.plain_fallback(fallback.0);
        }
        if let Some(nobody_ready) = self.nobody_ready {
            builder = builder.nobody_ready(nobody_ready.0);
        }
        builder
    }
}

impl From<&Policy> for PolicyForm {
    /// Every key, whatever the preset.
    fn from(policy: &Policy) -> Self {
        Self {
            preset: None,
            jitter: Some(SpreadText(policy.jitter(Security::Plain))),
            tls_jitter: Some(SpreadText(policy.jitter(Security::Tls))),
            start: Some(Worded(policy.start())),
            stable_after: Some(Span(policy.stable_after())),
            deadline: Some(Span(policy.deadline())),
            turn_deadline: Some(Switch::from_option(policy.turn_deadline().map(Span))),
            plain_fallback: Some(Worded(policy.plain_fallback())),
            nobody_ready: Some(Worded(policy.nobody_ready())),
            order: Some(OrderForm {
                walk: Some(Worded(policy.order().walk)),
                lost: Some(Worded(policy.order().lost)),
            }),
            pace: Some(policy.pace().into()),
            limits: Some(policy.limits().into()),
            start_up_limits: Some(policy.start_up_limits().into()),
            health: Some(policy.health().into()),
            reactions: Some(raw(policy.reactions())),
            classes: Some(policy.classes().iter().map(ClassForm::from).collect()),
            standing: Some(policy.standing().into()),
            race: Some(race_form(policy.race())),
            resume: Some(Switch::from_option(policy.resume().map(|resume| {
                ResumeForm {
                    window: Some(Span(resume.window)),
                    every: Some(Span(resume.every)),
                    first: Some(Span(resume.first)),
                }
            }))),
        }
    }
}

fn on<T>(switch: Switch<T>) -> Option<T> {
    match switch {
        Switch::On(value) => Some(value),
        Switch::Off => None,
    }
}

fn span(own: Option<Span>, base: Duration) -> Duration {
    own.map_or(base, |own| own.0)
}

fn worded<T>(own: Option<Worded<T>>, base: T) -> T {
    own.map_or(base, |own| own.0)
}
