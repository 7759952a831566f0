//! The policy: what to do, described as a value.
//!
//! A [`Policy`] is pure data: `Clone`, `PartialEq`, `Debug`. It holds no counters, no code and no
//! randomness; those live in the [machine](crate::machine) and in [`Hooks`]. Each part says one
//! thing and knows nothing of the others.

mod backoff;
mod class;
mod error;
mod health;
mod hooks;
mod jitter;
mod limits;
mod moves;
mod order;
mod pace;
mod ratio;
mod reaction;
mod seed;
mod start;
mod waits;

use alloc::vec::Vec;
use core::time::Duration;

use rand::Rng;

pub use self::backoff::Backoff;
pub use self::class::Class;
pub use self::error::PolicyError;
pub use self::health::{Health, NobodyReady};
pub use self::hooks::{
    Admission, AdmitAsked, Choice, ChoiceAsked, DelayAnswer, DelayAsked, DelayHook, Hooks,
    JudgeAsked, NoHooks,
};
pub use self::jitter::Jitter;
pub use self::limits::{Limit, Limits};
pub use self::moves::{Failback, MaxAge, Overlap, Resume, Standing};
pub use self::order::{Lost, Order, Shuffle, Walk};
pub use self::pace::{CustomDelay, Every, Pace};
pub use self::ratio::{Ratio, RatioError};
pub use self::reaction::{On, Reaction, Reactions};
pub use self::seed::Seed;
pub use self::start::{PlainFallback, Start};
pub use self::waits::Waits;
use crate::endpoint::Security;
use crate::failure::Failure;
use crate::policy::backoff::Law;
pub(crate) use crate::policy::backoff::draw;
use crate::policy::jitter::Spread;
use crate::race::Race;

/// The least time between the starts of two dials of the same endpoint: 1 ms, without opt-out
/// (law L8). Whatever a policy, a hook or a user asks for, this bounds the rate.
pub const MIN_REDIAL: Duration = Duration::from_millis(1);

/// What a client does to stay connected to one of several endpoints.
///
/// ```
/// use core::time::Duration;
/// use failover_core::policy::{Backoff, Every, Jitter, Limit, Limits, Pace, Policy, Ratio};
///
/// let policy = Policy::builder()
///     .pace(
///         Pace::new(Backoff::Exponential { base: Duration::from_millis(100), factor: Ratio::TWO })
///             .every(Every::Sweep)
///             .cap(Duration::from_secs(10)),
///     )
///     .jitter(Jitter::UpTo(Duration::from_millis(100)))
///     .tls_jitter(Jitter::UpTo(Duration::from_secs(1)))
///     .limits(Limits::UNLIMITED.per_endpoint(Limit::AtMost(60)))
///     .deadline(Duration::from_secs(2))
///     .build()?;
/// assert_eq!(policy.pace().cap, Duration::from_secs(10));
/// # Ok::<(), failover_core::policy::PolicyError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    parts: Parts,
    law: Law,
    plain: Spread,
    tls: Spread,
    /// Whether any limit may close a client, before it was connected and after.
    ends_start_up: bool,
    ends: bool,
}

impl Policy {
    /// Begins with the default of every part.
    pub fn builder() -> PolicyBuilder {
        PolicyBuilder::default()
    }

    /// A builder that begins with this policy.
    pub fn to_builder(&self) -> PolicyBuilder {
        PolicyBuilder {
            parts: self.parts.clone(),
        }
    }

    /// Which endpoint is next.
    #[must_use]
    pub fn order(&self) -> Order {
        self.parts.order
    }

    /// How long to wait, and before which dials.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.parts.pace
    }

    /// How waits before a dial of this security are spread.
    #[must_use]
    pub fn jitter(&self, security: Security) -> Jitter {
        match security {
            Security::Plain => self.parts.jitter,
            Security::Tls => self.parts.tls_jitter,
        }
    }

    /// When to give up after there was a connection.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.parts.limits
    }

    /// When to give up before there was a connection.
    #[must_use]
    pub fn start_up_limits(&self) -> Limits {
        self.parts.start_up_limits
    }

    /// Whether the first connect may walk over the list.
    #[must_use]
    pub fn start(&self) -> Start {
        self.parts.start
    }

    /// How long a connection must live before the counters reset.
    #[must_use]
    pub fn stable_after(&self) -> Duration {
        self.parts.stable_after
    }

    /// How long one dial may take, login included.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.parts.deadline
    }

    /// How long one turn may take, all its routes together, if that is bounded.
    #[must_use]
    pub fn turn_deadline(&self) -> Option<Duration> {
        self.parts.turn_deadline
    }

    /// Whether a plain route may follow a TLS route that failed.
    #[must_use]
    pub fn plain_fallback(&self) -> PlainFallback {
        self.parts.plain_fallback
    }

    /// How an endpoint that fails is rested.
    #[must_use]
    pub fn health(&self) -> Health {
        self.parts.health
    }

    /// What is done when every endpoint is resting.
    #[must_use]
    pub fn nobody_ready(&self) -> NobodyReady {
        self.parts.nobody_ready
    }

    /// What each failure means.
    #[must_use]
    pub fn reactions(&self) -> &Reactions {
        &self.parts.reactions
    }

    /// The rules that some endpoints have of their own: class 1, class 2, …
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        &self.parts.classes
    }

    /// How an endpoint of this class is rested.
    #[must_use]
    pub fn health_in(&self, class: u8) -> Health {
        self.class(class)
            .and_then(|own| own.health)
            .unwrap_or(self.parts.health)
    }

    /// What a failure of an endpoint of this class means.
    #[must_use]
    pub fn reaction_in(&self, class: u8, failure: &Failure) -> Reaction {
        self.class(class)
            .and_then(|own| own.reactions.rule_for(failure))
            .unwrap_or_else(|| self.parts.reactions.to(failure))
    }

    /// When to give up after there was a connection; nothing if it never does.
    pub(crate) fn limits_if_any(&self) -> Option<&Limits> {
        self.ends.then_some(&self.parts.limits)
    }

    /// When to give up before there was a connection; nothing if it never does.
    pub(crate) fn start_up_limits_if_any(&self) -> Option<&Limits> {
        self.ends_start_up.then_some(&self.parts.start_up_limits)
    }

    /// How many failed turns retire an endpoint of this class, where `limits` speak for all.
    pub(crate) fn per_endpoint_in(&self, class: u8, limits: Limits) -> Limit {
        self.class(class)
            .and_then(|own| own.per_endpoint)
            .unwrap_or(limits.per_endpoint)
    }

    /// The greatest number of failed turns that retires an endpoint; nothing if none ever is.
    pub(crate) fn retires_after(&self, limits: Limits) -> Option<u32> {
        let own = self.parts.classes.iter().filter_map(|own| own.per_endpoint);
        own.chain([limits.per_endpoint])
            .filter_map(|limit| match limit {
                Limit::AtMost(most) => Some(most),
                Limit::Unlimited => None,
            })
            .max()
    }

    fn class(&self, number: u8) -> Option<&Class> {
        self.parts.classes.get(usize::from(number).checked_sub(1)?)
    }

    /// What is done while a connection stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.parts.standing
    }

    /// How many endpoints are dialled side by side, and how staggered.
    #[must_use]
    pub fn race(&self) -> Race {
        self.parts.race
    }

    /// Whether, after a loss, the same server is tried first for a while.
    #[must_use]
    pub fn resume(&self) -> Option<Resume> {
        self.parts.resume
    }

    /// Within this time after the world has healed, a client of `endpoints` endpoints is connected
    /// again (law L17), if its limits let it go on, its hooks keep to the cap and its endpoints to
    /// the policy's deadline: the dial in
    /// flight may run into its deadline, the endpoints that are still mute take one deadline each,
    /// and the waits between them their cap.
    #[must_use]
    pub fn recovery_bound(&self, endpoints: u32) -> Duration {
        let waits = match self.parts.pace.every {
            Every::Sweep => 2,
            Every::Attempt | Every::Endpoint | Every::Return => endpoints.saturating_mul(2),
        };
        let dials = endpoints.saturating_mul(2).saturating_add(1);
        let wait = self.parts.pace.cap.saturating_add(MIN_REDIAL);
        wait.saturating_mul(waits).saturating_add(
            self.parts
                .deadline
                .saturating_add(MIN_REDIAL)
                .saturating_mul(dials),
        )
    }

    /// The wait after a wait of `previous` nanoseconds, before jitter; 0 means there was none.
    #[inline]
    pub(crate) fn next_wait(&self, previous: u64, security: Security, rng: &mut impl Rng) -> u64 {
        self.law.next(previous, security, rng)
    }

    /// Spreads a wait, in nanoseconds.
    #[inline]
    pub(crate) fn spread(&self, wait: u64, security: Security, rng: &mut impl Rng) -> u64 {
        match security {
            Security::Plain => self.plain.draw(wait, rng),
            Security::Tls => self.tls.draw(wait, rng),
        }
    }
}

impl Default for Policy {
    /// Our own default: see the parts. After a loss the other ready endpoints are dialled at once,
    /// the lost one in the sweep after; waits once per sweep, on a
    /// [phase ladder](Backoff::PhaseLadder) that begins with 125 ms, 1 s before TLS, and doubles up
    /// to 8 s; never gives up; one dial may take 5 s; a connection is stable after 10 s.
    fn default() -> Self {
        Parts::default().compile()
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Parts {
    order: Order,
    pace: Pace,
    jitter: Jitter,
    tls_jitter: Jitter,
    limits: Limits,
    start_up_limits: Limits,
    start: Start,
    stable_after: Duration,
    deadline: Duration,
    turn_deadline: Option<Duration>,
    plain_fallback: PlainFallback,
    health: Health,
    nobody_ready: NobodyReady,
    reactions: Reactions,
    classes: Vec<Class>,
    standing: Standing,
    race: Race,
    resume: Option<Resume>,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            order: Order::default(),
            pace: Pace::new(Backoff::PhaseLadder {
                spread: Duration::from_millis(125),
                tls_spread: Duration::from_secs(1),
            }),
            jitter: Jitter::Full,
            tls_jitter: Jitter::Full,
            limits: Limits::UNLIMITED,
            start_up_limits: Limits::UNLIMITED,
            start: Start::default(),
            stable_after: Duration::from_secs(10),
            deadline: Duration::from_secs(5),
            turn_deadline: None,
            plain_fallback: PlainFallback::default(),
            health: Health::default(),
            nobody_ready: NobodyReady::default(),
            reactions: Reactions::default(),
            classes: Vec::new(),
            standing: Standing::default(),
            race: Race::OFF,
            resume: None,
        }
    }
}

impl Parts {
    fn compile(self) -> Policy {
        let Pace {
            backoff, min, cap, ..
        } = self.pace;
        let (jitter, tls_jitter) = match backoff.draws() {
            true => (Jitter::None, Jitter::None),
            false => (self.jitter, self.tls_jitter),
        };
        let plateau = backoff.plateau(cap);
        let retires = self.classes.iter().any(|own| own.per_endpoint.is_some());
        Policy {
            ends_start_up: retires || self.start_up_limits != Limits::UNLIMITED,
            ends: retires || self.limits != Limits::UNLIMITED,
            law: backoff.compile(cap),
            plain: jitter.compile(min, plateau, cap),
            tls: tls_jitter.compile(min, plateau, cap),
            parts: self,
        }
    }
}

/// Puts a [`Policy`] together; every rule is checked in [`build`](Self::build).
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct PolicyBuilder {
    parts: Parts,
}

impl PolicyBuilder {
    /// Which endpoint is next. Default: shuffled once, the lost server's turn is taken.
    pub fn order(mut self, order: Order) -> Self {
        self.parts.order = order;
        self
    }

    /// How long to wait, and before which dials. Default: [`Pace::default`] with a phase ladder of
    /// 125 ms, 1 s before TLS.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.parts.pace = pace;
        self
    }

    /// How waits are spread before a dial without TLS. Default: [`Jitter::Full`].
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.parts.jitter = jitter;
        self
    }

    /// How waits are spread before a TLS dial. Default: [`Jitter::Full`].
    ///
    /// TLS handshakes cost the server more, so a wider spread is wise (NATS: 1 s against 100 ms).
    pub fn tls_jitter(mut self, jitter: Jitter) -> Self {
        self.parts.tls_jitter = jitter;
        self
    }

    /// When to give up after there was a connection. Default: never. A limit of zero means that a
    /// loss closes (NATS's `AllowReconnect = false`).
    pub fn limits(mut self, limits: Limits) -> Self {
        self.parts.limits = limits;
        self
    }

    /// When to give up before there was a connection. Default: never. `sweeps(AtMost(1))` is NATS's
    /// first connect: one pass, then the error.
    pub fn start_up_limits(mut self, limits: Limits) -> Self {
        self.parts.start_up_limits = limits;
        self
    }

    /// Whether the first connect may walk over the list. Default: it may.
    pub fn start(mut self, start: Start) -> Self {
        self.parts.start = start;
        self
    }

    /// How long a connection must live before the counters reset; one that is lost sooner counts as
    /// a failure. Default 10 s. Zero: every connection resets them.
    pub fn stable_after(mut self, life: Duration) -> Self {
        self.parts.stable_after = life;
        self
    }

    /// How long one dial may take: resolving, connecting, TLS, upgrade and login together.
    /// Default 5 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.parts.deadline = deadline;
        self
    }

    /// How long one turn may take: the dials over all routes of an endpoint together. Its last dial
    /// ends with it, and no further route is tried. Default: as long as its dials may.
    pub fn turn_deadline(mut self, deadline: impl Into<Option<Duration>>) -> Self {
        self.parts.turn_deadline = deadline.into();
        self
    }

    /// Whether a plain route may follow a TLS route that failed. Default: it may not.
    pub fn plain_fallback(mut self, fallback: PlainFallback) -> Self {
        self.parts.plain_fallback = fallback;
        self
    }

    /// How an endpoint that fails is rested. Default: 30 s, doubled up to 10 min.
    pub fn health(mut self, health: Health) -> Self {
        self.parts.health = health;
        self
    }

    /// What is done when every endpoint is resting. Default: wait for the first.
    pub fn nobody_ready(mut self, nobody_ready: NobodyReady) -> Self {
        self.parts.nobody_ready = nobody_ready;
        self
    }

    /// What each failure means. Default: its scope decides.
    pub fn reactions(mut self, reactions: Reactions) -> Self {
        self.parts.reactions = reactions;
        self
    }

    /// One more class of endpoints with rules of their own; the first is number 1. Default: none.
    pub fn class(mut self, class: Class) -> Self {
        self.parts.classes.push(class);
        self
    }

    /// These classes instead of all that were added.
    pub fn classes(mut self, classes: Vec<Class>) -> Self {
        self.parts.classes = classes;
        self
    }

    /// What is done while a connection stands. Default: nothing.
    pub fn standing(mut self, standing: Standing) -> Self {
        self.parts.standing = standing;
        self
    }

    /// How many endpoints are dialled side by side, and how staggered. Default: one at a time.
    pub fn race(mut self, race: Race) -> Self {
        self.parts.race = race;
        self
    }

    /// After a loss, the same server first. Default: not.
    pub fn resume(mut self, resume: impl Into<Option<Resume>>) -> Self {
        self.parts.resume = resume.into();
        self
    }

    /// Checks every rule and gives the policy.
    ///
    /// # Errors
    /// The first part that no machine could carry out, with what would be right.
    pub fn build(self) -> Result<Policy, PolicyError> {
        let Parts {
            pace,
            jitter,
            tls_jitter,
            ..
        } = self.parts;
        pace.check()?;
        jitter.check(pace.min, pace.cap)?;
        tls_jitter.check(pace.min, pace.cap)?;
        if !pace.backoff.draws() {
            let plateau = pace.backoff.plateau(pace.cap);
            jitter.check_plateau(pace.min, plateau, pace.cap)?;
            tls_jitter.check_plateau(pace.min, plateau, pace.cap)?;
        }
        if pace.first > pace.cap {
            return Err(PolicyError::FirstAboveCap {
                first: pace.first,
                cap: pace.cap,
            });
        }
        self.parts.start_up_limits.check_start_up()?;
        self.parts.standing.check()?;
        self.parts.health.check()?;
        class::check(&self.parts.classes)?;
        if let Some(Resume { window, every, .. }) = self.parts.resume
            && (every < MIN_REDIAL || window.is_zero())
        {
            return Err(PolicyError::Resume { window, every });
        }
        if self.parts.deadline < MIN_REDIAL {
            return Err(PolicyError::ZeroDeadline {
                deadline: self.parts.deadline,
            });
        }
        if self
            .parts
            .turn_deadline
            .is_some_and(|turn| turn < MIN_REDIAL)
        {
            return Err(PolicyError::ZeroTurnDeadline);
        }
        Ok(self.parts.compile())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(builder: PolicyBuilder) -> PolicyError {
        builder.build().unwrap_err()
    }

    #[test]
    fn the_default_is_a_policy_that_build_accepts() {
        assert_eq!(Policy::builder().build(), Ok(Policy::default()));
    }

    #[test]
    fn each_rule_is_checked_when_it_is_built() {
        let second = Duration::from_secs(1);
        let pace = || Pace::new(Backoff::Constant(second)).cap(second);
        let exponential =
            |base, factor| Policy::builder().pace(Pace::new(Backoff::Exponential { base, factor }));

        assert_eq!(
            refused(exponential(Duration::ZERO, Ratio::TWO)),
            PolicyError::ZeroBase
        );
        let half = Ratio::from_ppm(500_000);
        assert_eq!(
            refused(exponential(second, half)),
            PolicyError::FactorBelowOne { factor: half }
        );
        assert!(matches!(
            refused(Policy::builder().pace(pace().min(2 * second))),
            PolicyError::MinAboveCap { .. }
        ));
        assert!(matches!(
            refused(Policy::builder().pace(pace().first(2 * second))),
            PolicyError::FirstAboveCap { .. }
        ));
        assert!(matches!(
            refused(
                Policy::builder()
                    .pace(pace())
                    .tls_jitter(Jitter::UpTo(2 * second))
            ),
            PolicyError::NoRoomForJitter { .. }
        ));
        assert_eq!(
            refused(Policy::builder().jitter(Jitter::Proportional(Ratio::TWO))),
            PolicyError::Proportion { p: Ratio::TWO }
        );
        assert_eq!(
            refused(Policy::builder().deadline(Duration::ZERO)),
            PolicyError::ZeroDeadline {
                deadline: Duration::ZERO
            }
        );
        let zero = Limits::UNLIMITED.turns(Limit::AtMost(0));
        assert_eq!(
            refused(Policy::builder().start_up_limits(zero)),
            PolicyError::ZeroStartUpLimit { limit: "turns" }
        );
        assert!(Policy::builder().limits(zero).build().is_ok());
    }

    #[test]
    fn recovery_takes_two_deadlines_an_endpoint_the_dial_in_flight_and_the_waits_between() {
        let bound = |every| {
            let pace = Pace::default().every(every).cap(Duration::from_secs(8));
            let policy = Policy::builder()
                .pace(pace)
                .deadline(Duration::from_secs(5));
            policy.build().unwrap().recovery_bound(3).as_millis()
        };
        let (dials, wait) = (7 * 5001, 8001);
        assert_eq!(bound(Every::Sweep), dials + 2 * wait);
        for every in [Every::Attempt, Every::Endpoint, Every::Return] {
            assert_eq!(bound(every), dials + 6 * wait);
        }
    }

    #[test]
    fn no_field_overflows_at_its_extremes() {
        for every in [Every::Sweep, Every::Attempt, Every::Endpoint, Every::Return] {
            let default = Policy::builder().pace(Pace::default().every(every));
            assert!(default.build().unwrap().recovery_bound(u32::MAX) > Duration::from_secs(60));
        }
        let extreme = Policy::builder()
            .pace(
                Pace::new(Backoff::Exponential {
                    base: Duration::MAX,
                    factor: Ratio::from_ppm(u32::MAX),
                })
                .cap(Duration::MAX),
            )
            .jitter(Jitter::UpTo(Duration::from_secs(1)))
            .deadline(Duration::MAX)
            .stable_after(Duration::MAX)
            .build()
            .unwrap();
        assert_eq!(extreme.recovery_bound(u32::MAX), Duration::MAX);
    }
}
