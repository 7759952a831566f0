//! Generated cases: from plain bytes, so that every property tester and fuzzer shares one generator.

use core::time::Duration;
use std::sync::Arc;

use crate::endpoint::{EndpointId, Security, Traits};
use crate::failure::{Failure, Kind, Scope};
use crate::machine::{Change, Condition, Status, Verdict, Whither};
use crate::policy::{
    Backoff, Class, CustomDelay, DelayAnswer, DelayAsked, Every, Failback, Health, Hooks, Jitter,
    Limit, Limits, Lost, MaxAge, NobodyReady, On, Order, Overlap, Pace, PlainFallback, Policy,
    PolicyBuilder, Ratio, Reaction, Reactions, Resume, Seed, Shuffle, Standing, Start, Walk,
};
use crate::race::{Race, Stagger};
use crate::sim::{Command, Meets, Trace, Trick, Weather, World};
use crate::testing::laws;
use crate::time::Time;

/// A machine, its world, and what happens in it.
///
/// Every sequence of bytes is a valid case, and fewer or smaller bytes make a simpler one.
///
/// ```
/// use failover_core::testing::{Case, laws};
///
/// let case = Case::from_bytes(b"any bytes at all");
/// let trace = case.storm();
/// laws::l08_rate(&trace)?;
/// # Ok::<(), laws::Violation>(())
/// ```
#[derive(Clone, Debug)]
pub struct Case {
    /// The policy.
    pub policy: Arc<Policy>,
    /// The endpoints.
    pub endpoints: Vec<Traits>,
    /// The seed.
    pub seed: Seed,
    /// What dials meet.
    pub weather: Weather,
    /// What is said, and when.
    pub commands: Vec<(Time, Command)>,
    /// What is done wrong, and when.
    pub tricks: Vec<(Time, Trick)>,
    /// What the delay hook answers.
    pub delays: Delays,
}

/// A delay hook as a plain value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Delays {
    /// What is suggested.
    #[default]
    AsSuggested,
    /// Always this long.
    Exactly(Duration),
    /// Always this long, with the policy's jitter.
    PlusJitter(Duration),
    /// Zero, the longest duration there is, and what is suggested, at random.
    Wild,
}

impl Hooks for Delays {
    fn delay(&mut self, asked: &DelayAsked) -> DelayAnswer {
        match *self {
            Self::AsSuggested => DelayAnswer::AsSuggested,
            Self::Exactly(delay) => DelayAnswer::Exactly(delay),
            Self::PlusJitter(delay) => DelayAnswer::PlusJitter(delay),
            Self::Wild => match asked.random % 5 {
                0 => DelayAnswer::Exactly(Duration::MAX),
                1 | 2 => DelayAnswer::Exactly(Duration::ZERO),
                3 => DelayAnswer::PlusJitter(Duration::MAX),
                _ => DelayAnswer::AsSuggested,
            },
        }
    }
}

/// How long the storm of a case lasts.
pub(super) const STORM: Duration = Duration::from_secs(60);
/// How many things may happen in it.
const STORM_STEPS: usize = 600;
/// How many things may happen after it.
const CALM_STEPS: usize = 100_000;

impl Case {
    /// The case that these bytes stand for.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut bytes = Bytes(bytes.iter());
        let mut endpoints = endpoints(&mut bytes);
        let policy = policy(&mut bytes);
        let seed = Seed::new(u64::from_le_bytes([(); 8].map(|()| bytes.next())));
        let weather = weather(&mut bytes, &endpoints);
        let delays = delays(&mut bytes);
        let commands = commands(&mut bytes, &endpoints);
        let tricks = tricks(&mut bytes);
        // What came later comes last: bytes that were kept mean what they meant.
        let policy = own_rules(policy, &mut endpoints, &mut bytes);
        let (policy, said) = later(policy, &endpoints, &mut bytes);
        let commands = commands.into_iter().chain(said).collect();
        debug_assert!(policy.clone().build().is_ok(), "{:?}", policy.build());
        Self {
            policy: Arc::new(policy.build().unwrap_or_default()),
            endpoints,
            seed,
            weather,
            commands,
            tricks,
            delays,
        }
    }

    /// The builder of the policy that these bytes stand for, for tests of one more part.
    pub fn policy_from_bytes(bytes: &[u8]) -> PolicyBuilder {
        policy(&mut Bytes(bytes.iter()))
    }

    /// Its world, at time zero.
    #[must_use]
    pub fn world(&self) -> World {
        let mut world = World::new(
            Arc::clone(&self.policy),
            &self.endpoints,
            self.seed,
            self.weather.clone(),
        )
        .with_hooks(Box::new(self.delays));
        for &(at, command) in &self.commands {
            world.command(at, command);
        }
        for &(at, trick) in &self.tricks {
            world.trick(at, trick);
        }
        world
    }

    /// Lives through its storm: at most a minute, or some hundred steps.
    #[must_use]
    pub fn storm(&self) -> Trace {
        self.stormy_world().into_trace()
    }

    /// Lives through its storm; then the world heals. Also says when it did.
    #[must_use]
    pub fn storm_and_calm(&self) -> (Trace, Time) {
        let mut world = self.stormy_world();
        let healed = self.healed(&world);
        world.heal();
        self.calm(&mut world);
        (world.into_trace(), healed)
    }

    /// Lives through its storm; then one endpoint comes back, and all others are mute for ever.
    /// Nothing if that endpoint is retired, switched off or removed by then.
    #[must_use]
    pub fn storm_and_one_back(&self, back: EndpointId) -> Option<(Trace, Time)> {
        let mut world = self.stormy_world();
        let (condition, _) = world.machine().condition(back)?;
        if condition > Condition::Suspended {
            return None;
        }
        let healed = self.healed(&world);
        world.heal_partly(Weather::new(Meets::Mute).endpoint(Time::ZERO, back, Meets::ACCEPT));
        self.calm(&mut world);
        Some((world.into_trace(), healed))
    }

    /// Now; after a pause, when the spread of its end is over.
    fn healed(&self, world: &World) -> Time {
        match world.machine().status() {
            Status::Paused => world.now() + self.policy.standing().wake_spread,
            Status::Idle
            | Status::Waiting { .. }
            | Status::Dialing { .. }
            | Status::Connected { .. }
            | Status::Starved
            | Status::Closed(_) => world.now(),
        }
    }

    fn stormy_world(&self) -> World {
        let mut world = self.world();
        world.start();
        world.run_until(Time::ZERO + STORM, STORM_STEPS);
        world
    }

    fn calm(&self, world: &mut World) {
        world.run_until(self.calm_by(world.now()), CALM_STEPS);
    }

    /// By when everything must be well, if the world heals now.
    pub(super) fn calm_by(&self, now: Time) -> Time {
        let bound = laws::recovery_bound(&self.policy, &self.endpoints);
        let rest = laws::longest_rest(&self.policy);
        let spread = self.policy.standing().wake_spread;
        let beside = laws::standing_bound(&self.policy, &self.endpoints);
        let told = self.commands.iter().map(|(_, said)| {
            if let Command::Rests(_, rest) = said {
                *rest
            } else {
                Duration::ZERO
            }
        });
        now + spread + bound + 2 * rest + beside + told.max().unwrap_or_default()
    }
}

/// Bytes, and zeros after their end.
struct Bytes<'a>(core::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    /// One of `0..n`.
    fn below(&mut self, n: u8) -> u8 {
        self.next() % n.max(1)
    }

    /// From zero to about eight seconds: short ones are likely, so are equal ones.
    fn time(&mut self) -> Duration {
        let byte = self.next();
        match byte >> 6 {
            0 => Duration::from_millis(u64::from(byte)),
            1 => Duration::from_micros(u64::from(byte) * 7),
            2 => Duration::from_millis(u64::from(byte & 63) * 10),
            _ => Duration::from_millis(u64::from(byte & 63) * 125),
        }
    }

    /// A time above zero.
    fn some_time(&mut self) -> Duration {
        self.time() + Duration::from_millis(1)
    }

    /// A point in the storm.
    fn moment(&mut self) -> Time {
        let units = u64::from(self.next()) * u64::from(self.next());
        Time::ZERO + Duration::from_micros(units * 900)
    }

    /// A part of `whole`, in 255ths.
    fn part(&mut self, whole: Duration) -> Duration {
        let nanos = whole.as_nanos() * u128::from(self.next()) / 255;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn limit(&mut self, least: u32) -> Limit {
        match self.below(16) {
            n @ 11.. => Limit::AtMost(least + (u32::from(n) - 11) * 2),
            _ => Limit::Unlimited,
        }
    }
}

fn endpoints(bytes: &mut Bytes<'_>) -> Vec<Traits> {
    let n = 1 + bytes.below(5);
    let mut endpoints = Vec::new();
    for id in 0..n {
        let shape = bytes.next();
        let mut traits = Traits::new(EndpointId::new(u32::from(id)));
        let routes = match shape & 7 {
            0..=4 => 1,
            more => more - 3,
        };
        for route in 0..routes {
            traits = traits.route(match shape >> (3 + route) & 1 {
                0 => Security::Plain,
                _ => Security::Tls,
            });
        }
        endpoints.push(match shape >> 6 {
            3 => traits.tier(1).weight(3),
            2 => traits.weight(10),
            _ => traits,
        });
    }
    endpoints
}

fn policy(bytes: &mut Bytes<'_>) -> PolicyBuilder {
    let (pace, jitter, tls_jitter) = pace(bytes);
    let mut policy = Policy::builder()
        .order(order(bytes))
        .pace(pace)
        .jitter(jitter)
        .tls_jitter(tls_jitter)
        .deadline(bytes.some_time())
        .stable_after(match bytes.below(4) {
            0 => Duration::from_secs(10),
            1 => Duration::ZERO,
            _ => bytes.time(),
        })
        .limits(limits(bytes, 0))
        .start_up_limits(limits(bytes, 1))
        .health(health(bytes));
    let parts = bytes.next();
    if parts & 1 != 0 {
        policy = policy.start(Start::FirstOnly);
    }
    if parts & 2 != 0 {
        policy = policy.plain_fallback(PlainFallback::Allow);
    }
    policy = policy.nobody_ready(match parts >> 2 & 3 {
        1 => NobodyReady::LeastBad,
        2 => NobodyReady::Fail,
        _ => NobodyReady::Wait,
    });
    if parts & 16 != 0 {
        policy = policy.reactions(reactions(bytes));
    }
    if parts & 32 != 0 {
        policy = policy.standing(standing(bytes));
    }
    if parts & 64 != 0
        && let Ok(race) = Race::new(1 + bytes.below(3), stagger(bytes))
    {
        policy = policy.race(race);
    }
    if parts & 128 != 0 {
        policy = policy.resume(Resume::new(bytes.some_time(), bytes.some_time()));
    }
    policy
}

/// Classes, deadlines of endpoints and one for turns.
fn own_rules(
    mut policy: PolicyBuilder,
    endpoints: &mut [Traits],
    bytes: &mut Bytes<'_>,
) -> PolicyBuilder {
    let parts = bytes.next();
    if parts & 1 != 0 {
        for _ in 0..=bytes.below(2) {
            policy = policy.class(class(bytes));
        }
        for traits in &mut *endpoints {
            // Also one that the policy may not have.
            *traits = traits.class(bytes.below(4));
        }
    }
    if parts & 2 != 0 {
        policy = policy.turn_deadline(bytes.some_time());
    }
    if parts & 4 != 0 {
        for traits in endpoints {
            if bytes.below(2) == 1 {
                *traits = traits.deadline(bytes.some_time());
            }
        }
    }
    policy
}

/// What the parts above do not have: further walks and paces, and what others have to say.
fn later(
    mut policy: PolicyBuilder,
    endpoints: &[Traits],
    bytes: &mut Bytes<'_>,
) -> (PolicyBuilder, Vec<(Time, Command)>) {
    let parts = bytes.next();
    if let Ok(built) = policy.clone().build() {
        if parts & 3 == 3 {
            policy = policy.order(Order {
                walk: Walk::FirstReady,
                ..built.order()
            });
        }
        if parts & 12 == 12 {
            policy = policy.pace(built.pace().every(Every::Return));
        }
        if parts & 16 != 0
            && let Some(resume) = built.resume()
        {
            policy = policy.resume(resume.first(bytes.time()));
        }
        if parts & 32 != 0 && built.start() == Start::Cascade {
            policy = policy.start(Start::Persevere);
        }
    }
    let mut commands = Vec::new();
    if parts & 64 != 0 {
        for _ in 0..=bytes.below(12) {
            let at = bytes.moment();
            let endpoint = some(bytes, endpoints);
            let command = match bytes.below(4) {
                0 => Command::Recovered(endpoint),
                1 => Command::Permits(bytes.time()),
                _ => Command::Rests(endpoint, bytes.time()),
            };
            commands.push((at, command));
        }
    }
    if parts & 128 != 0 {
        commands.push((Time::ZERO, Command::Permits(bytes.time())));
    }
    (policy, commands)
}

fn class(bytes: &mut Bytes<'_>) -> Class {
    let mut class = Class::default();
    let parts = bytes.next();
    if parts & 1 != 0 {
        class = class.health(health(bytes));
    }
    if parts & 2 != 0 {
        class = class.reactions(reactions(bytes));
    }
    if parts & 4 != 0 {
        class = class.per_endpoint(bytes.limit(1));
    }
    class
}

fn health(bytes: &mut Bytes<'_>) -> Health {
    let growth = |byte| Ratio::from_ppm(1_000_000 + u32::from(byte) * 10_000);
    Health::default()
        .initial(bytes.time())
        .maximum(bytes.some_time())
        .factor(growth(bytes.next()))
        .retries(bytes.below(3))
        .retry_delay(bytes.time())
}

fn order(bytes: &mut Bytes<'_>) -> Order {
    let walk = match bytes.below(8) {
        0 => Walk::Rotate,
        1 => Walk::Listed,
        2 | 3 => Walk::Shuffled(Shuffle::Once),
        4 => Walk::Shuffled(Shuffle::EachLoss),
        5 => Walk::Shuffled(Shuffle::EachSweep),
        6 => Walk::Weighted,
        _ => Walk::LeastFailed,
    };
    Order::new(walk).lost(match bytes.below(4) {
        0 => Lost::TurnTaken,
        1 => Lost::First,
        2 => Lost::InPlace,
        _ => Lost::Last,
    })
}

/// A pace and two jitters that fit into it.
fn pace(bytes: &mut Bytes<'_>) -> (Pace, Jitter, Jitter) {
    let cap = bytes.some_time();
    let mut min = match bytes.below(3) {
        2 => bytes.part(cap / 2),
        _ => Duration::ZERO,
    };
    let growth = Ratio::from_ppm(1_000_001 + u32::from(bytes.next()) * 8_000);
    let some_of_cap = bytes.part(cap).max(Duration::from_nanos(1));
    let backoff = match bytes.below(8) {
        0 | 1 => {
            let wait = bytes.time();
            min = min.min(wait / 2);
            Backoff::Constant(wait)
        }
        2..=4 => Backoff::Exponential {
            base: bytes.some_time(),
            factor: growth,
        },
        5 => Backoff::Affine {
            initial: some_of_cap,
            factor: growth,
        },
        6 if some_of_cap < cap => {
            min = min.min(some_of_cap);
            Backoff::Decorrelated { base: some_of_cap }
        }
        _ => {
            min = Duration::ZERO;
            Backoff::PhaseLadder {
                spread: some_of_cap,
                tls_spread: bytes.part(cap).max(Duration::from_nanos(1)),
            }
        }
    };
    let every = match bytes.below(3) {
        0 => Every::Sweep,
        1 => Every::Attempt,
        _ => Every::Endpoint,
    };
    let custom = match bytes.below(6) {
        4 => CustomDelay::Bounded,
        5 => CustomDelay::Unbounded,
        _ => CustomDelay::Off,
    };
    let first = match bytes.below(3) {
        2 => bytes.part(cap),
        _ => Duration::ZERO,
    };
    let pace = Pace::new(backoff)
        .every(every)
        .min(min)
        .cap(cap)
        .first(first)
        .custom(custom);
    (pace, jitter(bytes, min, cap), jitter(bytes, min, cap))
}

fn jitter(bytes: &mut Bytes<'_>, min: Duration, cap: Duration) -> Jitter {
    match bytes.below(6) {
        0 => Jitter::None,
        1 | 2 => Jitter::UpTo(bytes.part(cap - min)),
        3 => {
            // cap·(1 − p)/(1 + p) must not be below min: at min ≤ cap/2, any p up to 0.3 fits.
            Jitter::Proportional(Ratio::from_ppm(u32::from(bytes.next()) * 1_176))
        }
        4 if min < cap / 2 => Jitter::Equal,
        _ => Jitter::Full,
    }
}

fn limits(bytes: &mut Bytes<'_>, least: u32) -> Limits {
    let limits = Limits::UNLIMITED
        .turns(bytes.limit(least))
        .per_endpoint(bytes.limit(least))
        .sweeps(bytes.limit(least));
    match (bytes.below(8), least) {
        (7, 0) => limits.elapsed(bytes.time()),
        (7, _) => limits.elapsed(bytes.some_time()),
        (_, _) => limits,
    }
}

fn reactions(bytes: &mut Bytes<'_>) -> Reactions {
    let mut reactions = Reactions::default();
    for _ in 0..bytes.below(3) {
        let on = On::kind(kind(bytes));
        reactions = reactions.on(
            on,
            match bytes.below(8) {
                0..=2 => Reaction::Next,
                3 | 4 => Reaction::Mark,
                5 => Reaction::Suspend,
                6 => Reaction::Remove,
                _ => Reaction::Stop,
            },
        );
    }
    reactions
}

fn standing(bytes: &mut Bytes<'_>) -> Standing {
    let mut standing = Standing::default()
        .drain_spread(bytes.time())
        .grace(bytes.time())
        .wake_spread(bytes.time());
    let parts = bytes.next();
    if parts & 1 != 0 {
        let age = bytes.some_time();
        standing = standing.max_age(MaxAge::new(age).spread(bytes.part(age)));
    }
    if parts & 2 != 0 {
        return standing.overlap(Overlap::Forbidden);
    }
    if parts & 4 != 0 {
        standing = standing.spares(1 + bytes.below(2));
    }
    if parts & 8 != 0 {
        let failback = Failback::default()
            .every(bytes.some_time())
            .good_probes(1 + bytes.below(3))
            .settle(bytes.time());
        standing = standing.failback(failback);
    }
    standing
}

fn stagger(bytes: &mut Bytes<'_>) -> Stagger {
    match bytes.below(2) {
        0 => Stagger::Fixed(Duration::from_millis(10) + bytes.time()),
        _ => Stagger::TRAINED,
    }
}

fn kind(bytes: &mut Bytes<'_>) -> Kind {
    match bytes.below(10) {
        0 | 1 => Kind::Refused,
        2 => Kind::Reset,
        3 => Kind::Tls,
        4 => Kind::Upgrade,
        5 => Kind::Auth,
        6 => Kind::Draining,
        7 => Kind::Timeout,
        8 => Kind::Closed,
        _ => Kind::Other,
    }
}

fn failure(bytes: &mut Bytes<'_>) -> Failure {
    let failure = Failure::new(kind(bytes));
    match bytes.below(12) {
        8 | 9 => failure.scope(Scope::Endpoint),
        10 => failure.retry_after(bytes.time()),
        11 if bytes.below(4) == 3 => failure.scope(Scope::Fatal),
        _ => failure,
    }
}

fn verdict(bytes: &mut Bytes<'_>) -> Verdict {
    match bytes.below(16) {
        10 | 11 => Verdict::Retry,
        12 | 13 => Verdict::Next,
        14 => Verdict::Suspend,
        15 => Verdict::Remove,
        _ => Verdict::AsPolicy,
    }
}

fn meets(bytes: &mut Bytes<'_>) -> Meets {
    match bytes.below(8) {
        0 | 1 => Meets::fail(bytes.time(), failure(bytes)),
        2 => Meets::REFUSE,
        3 => Meets::Mute,
        4 => Meets::Accept {
            after: bytes.time(),
        },
        5 => Meets::accept_and_drop(Duration::ZERO),
        _ => Meets::AcceptAndDrop {
            after: bytes.time(),
            lives: bytes.time(),
            failure: failure(bytes),
            verdict: verdict(bytes),
        },
    }
}

fn weather(bytes: &mut Bytes<'_>, endpoints: &[Traits]) -> Weather {
    let mut weather = Weather::new(meets(bytes));
    for _ in 0..bytes.below(10) {
        let from = bytes.moment();
        let endpoint = some(bytes, endpoints);
        let here = meets(bytes);
        weather = match bytes.below(5) {
            0 => weather.everywhere(from, here),
            1 => weather.route(from, endpoint, bytes.below(4), here),
            _ => weather.endpoint(from, endpoint, here),
        };
    }
    weather
}

fn delays(bytes: &mut Bytes<'_>) -> Delays {
    match bytes.below(4) {
        0 => Delays::AsSuggested,
        1 => Delays::Exactly(bytes.time()),
        2 => Delays::PlusJitter(bytes.time()),
        _ => Delays::Wild,
    }
}

fn some(bytes: &mut Bytes<'_>, endpoints: &[Traits]) -> EndpointId {
    let at = usize::from(bytes.next()) % endpoints.len().max(1);
    endpoints.get(at).map_or(EndpointId::new(0), |t| t.id())
}

fn commands(bytes: &mut Bytes<'_>, endpoints: &[Traits]) -> Vec<(Time, Command)> {
    let mut commands = Vec::new();
    let mut added = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
    for _ in 0..bytes.below(12) {
        let at = bytes.moment();
        let command = match bytes.below(20) {
            0..=5 => Command::Reconnect(Whither::Any),
            6 | 7 => Command::Reconnect(Whither::Other),
            8 | 9 => Command::Reconnect(Whither::This(some(bytes, endpoints))),
            10 | 11 => Command::Drain,
            12 => Command::Pause,
            13 => Command::Resume,
            14 => {
                let traits = Traits::new(EndpointId::new(added)).route(Security::Tls);
                added = added.saturating_add(1);
                Command::Change(Change::Add(traits))
            }
            15 => Command::Change(Change::Remove(some(bytes, endpoints))),
            16 => Command::Change(Change::Off(some(bytes, endpoints))),
            17 | 18 => Command::Change(Change::On(some(bytes, endpoints))),
            _ => Command::Close,
        };
        // Sometimes a burst of the same.
        let times = match bytes.below(8) {
            7 => 20,
            _ => 1,
        };
        commands.extend(core::iter::repeat_n((at, command), times));
    }
    commands
}

fn tricks(bytes: &mut Bytes<'_>) -> Vec<(Time, Trick)> {
    let mut tricks = Vec::new();
    for _ in 0..bytes.below(10) {
        let at = bytes.moment();
        let trick = match bytes.below(10) {
            0..=2 => Trick::Wake,
            3 => Trick::Double,
            4 | 5 => Trick::Stale,
            6 => Trick::Back(bytes.time()),
            7 => Trick::Sleep(bytes.time() * 40),
            8 => Trick::Learn(Security::Tls),
            _ => Trick::Learn(Security::Plain),
        };
        tricks.push((at, trick));
    }
    tricks
}
