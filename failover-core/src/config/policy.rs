//! A policy in a file: a preset, and key by key what differs from it.

use core::time::Duration;
use std::vec::Vec;

use thiserror::Error;

use crate::config::form::form;
use crate::config::value::{Bound, Factor, Span, SpreadText, Switch, Word, Worded};
use crate::endpoint::Security;
use crate::failure::{Kind, Scope};
use crate::policy::{
    Backoff, Class, CustomDelay, Every, Failback, Health, Limits, Lost, MaxAge, NobodyReady, On,
    Order, Overlap, Pace, PlainFallback, Policy, PolicyBuilder, PolicyError, Ratio, Reaction,
    Reactions, Resume, Shuffle, Standing, Start, Walk,
};
use crate::preset::PresetName;
use crate::race::{Race, RaceError, Stagger};

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
    /// [`Order`].
    pub struct OrderForm {
        /// How a sweep walks.
        walk: Worded<Walk>,
        /// Where the lost server goes.
        lost: Worded<Lost>,
    }
}

form! {
    /// [`Pace`], with the keys of its [`Backoff`] beside its own.
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
    /// [`Limits`].
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
    /// [`Health`].
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
    /// One rule of [`Reactions`].
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
    /// [`Class`].
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
    /// [`Standing`].
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
    /// [`Failback`].
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
    /// [`MaxAge`].
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
    /// [`Resume`].
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
    /// [`Backoff::Constant`].
    Constant,
    /// [`Backoff::Exponential`].
    Exponential,
    /// [`Backoff::Affine`].
    Affine,
    /// [`Backoff::Decorrelated`].
    Decorrelated,
    /// [`Backoff::PhaseLadder`].
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

impl OrderForm {
    fn order(&self, base: Order) -> Order {
        Order::new(worded(self.walk, base.walk)).lost(worded(self.lost, base.lost))
    }
}

impl PaceForm {
    fn pace(&self, base: Pace) -> Result<Pace, FormError> {
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

impl LimitsForm {
    fn limits(&self, base: Limits) -> Limits {
        let bound = |own: Option<Bound>, base| own.map_or(base, |own| own.0);
        let limits = Limits::UNLIMITED
            .turns(bound(self.turns, base.turns))
            .per_endpoint(bound(self.per_endpoint, base.per_endpoint))
            .sweeps(bound(self.sweeps, base.sweeps));
        match self
            .elapsed
            .map_or(base.elapsed, |own| on(own).map(|own| own.0))
        {
            Some(elapsed) => limits.elapsed(elapsed),
            None => limits,
        }
    }
}

impl From<Limits> for LimitsForm {
    fn from(limits: Limits) -> Self {
        Self {
            turns: Some(Bound(limits.turns)),
            per_endpoint: Some(Bound(limits.per_endpoint)),
            sweeps: Some(Bound(limits.sweeps)),
            elapsed: Some(Switch::from_option(limits.elapsed.map(Span))),
        }
    }
}

impl HealthForm {
    fn health(&self, base: Health) -> Health {
        Health::default()
            .initial(span(self.initial, base.initial))
            .factor(self.factor.map_or(base.factor, |factor| factor.0))
            .maximum(span(self.maximum, base.maximum))
            .retries(self.retries.unwrap_or(base.retries))
            .retry_delay(span(self.retry_delay, base.retry_delay))
    }
}

impl From<Health> for HealthForm {
    fn from(health: Health) -> Self {
        Self {
            initial: Some(Span(health.initial)),
            factor: Some(Factor(health.factor)),
            maximum: Some(Span(health.maximum)),
            retries: Some(health.retries),
            retry_delay: Some(Span(health.retry_delay)),
        }
    }
}

fn reactions(rules: &[RawReaction]) -> Result<Reactions, FormError> {
    let mut reactions = Reactions::default();
    for rule in rules {
        let mut on = On::ANY;
        on.kind = rule.kind.map(|kind| kind.0);
        on.scope = rule.scope.map(|scope| scope.0);
        on.code = rule.code;
        let Some(reaction) = rule.reaction else {
            return Err(FormError::Missing {
                part: "reactions",
                key: "reaction",
                example: "{ kind = \"auth\", reaction = \"suspend\" }",
            });
        };
        reactions = reactions.on(on, reaction.0);
    }
    Ok(reactions)
}

fn raw(reactions: &Reactions) -> Vec<RawReaction> {
    let raw = |(on, reaction): &(On, Reaction)| RawReaction {
        kind: on.kind.map(Worded),
        scope: on.scope.map(Worded),
        code: on.code,
        reaction: Some(Worded(*reaction)),
    };
    reactions.rules().iter().map(raw).collect()
}

impl ClassForm {
    fn class(&self) -> Result<Class, FormError> {
        let mut class = Class::default();
        if let Some(health) = &self.health {
            class = class.health(health.health(Health::default()));
        }
        if let Some(rules) = &self.reactions {
            class = class.reactions(reactions(rules)?);
        }
        if let Some(limit) = self.per_endpoint {
            class = class.per_endpoint(limit.0);
        }
        Ok(class)
    }
}

impl From<&Class> for ClassForm {
    fn from(class: &Class) -> Self {
        Self {
            health: class.health.map(HealthForm::from),
            reactions: Some(raw(&class.reactions)),
            per_endpoint: class.per_endpoint.map(Bound),
        }
    }
}

impl StandingForm {
    fn standing(&self, base: Standing) -> Result<Standing, FormError> {
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
    fn race(&self) -> Result<Race, FormError> {
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

fn race_form(race: Race) -> Switch<RaceForm> {
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
    fn resume(&self) -> Result<Resume, FormError> {
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

/// Writes [`Word`] for an enum: its words, and what they stand for.
macro_rules! words {
    ($($type:ty { $($word:literal => $value:expr,)+ })+) => {
        $(impl Word for $type {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $value)),+];
        })+
    };
}

words! {
    PresetName {
        "default" => Self::Default,
        "stompit" => Self::Stompit,
        "activemq" => Self::ActiveMq,
        "diffusion_reconnect" => Self::DiffusionReconnect,
        "diffusion_failover" => Self::DiffusionFailover,
        "nats" => Self::Nats,
        "synapse" => Self::Synapse,
    }
    LawName {
        "constant" => Self::Constant,
        "exponential" => Self::Exponential,
        "affine" => Self::Affine,
        "decorrelated" => Self::Decorrelated,
        "phase-ladder" => Self::PhaseLadder,
    }
    Walk {
        "listed" => Self::Listed,
        "first-ready" => Self::FirstReady,
        "rotate" => Self::Rotate,
        "shuffled" => Self::Shuffled(Shuffle::Once),
        "shuffled-each-loss" => Self::Shuffled(Shuffle::EachLoss),
        "shuffled-each-sweep" => Self::Shuffled(Shuffle::EachSweep),
        "weighted" => Self::Weighted,
        "least-failed" => Self::LeastFailed,
    }
    Lost {
        "first" => Self::First,
        "in-place" => Self::InPlace,
        "last" => Self::Last,
        "turn-taken" => Self::TurnTaken,
    }
    Every {
        "attempt" => Self::Attempt,
        "endpoint" => Self::Endpoint,
        "return" => Self::Return,
        "sweep" => Self::Sweep,
    }
    CustomDelay {
        "off" => Self::Off,
        "bounded" => Self::Bounded,
        "unbounded" => Self::Unbounded,
    }
    Start {
        "cascade" => Self::Cascade,
        "persevere" => Self::Persevere,
        "first-only" => Self::FirstOnly,
    }
    PlainFallback {
        "refuse" => Self::Refuse,
        "allow" => Self::Allow,
    }
    NobodyReady {
        "wait" => Self::Wait,
        "fail" => Self::Fail,
        "least-bad" => Self::LeastBad,
    }
    Overlap {
        "allowed" => Self::Allowed,
        "forbidden" => Self::Forbidden,
    }
    Reaction {
        "next" => Self::Next,
        "mark" => Self::Mark,
        "suspend" => Self::Suspend,
        "remove" => Self::Remove,
        "stop" => Self::Stop,
    }
    Scope {
        "transient" => Self::Transient,
        "endpoint" => Self::Endpoint,
        "fatal" => Self::Fatal,
    }
    Kind {
        "resolve" => Self::Resolve,
        "refused" => Self::Refused,
        "unreachable" => Self::Unreachable,
        "timeout" => Self::Timeout,
        "reset" => Self::Reset,
        "closed" => Self::Closed,
        "tls" => Self::Tls,
        "upgrade" => Self::Upgrade,
        "protocol" => Self::Protocol,
        "auth" => Self::Auth,
        "wrong-role" => Self::WrongRole,
        "stale" => Self::Stale,
        "cancelled" => Self::Cancelled,
        "exhausted" => Self::Exhausted,
        "draining" => Self::Draining,
        "none-ready" => Self::NoneReady,
        "other" => Self::Other,
    }
}
