//! Every field's extremes, and hooks that answer anything: refused by name, or accepted and lawful.
//!
//! (News that is stale, doubled, early, late, out of order or from the past is in every generated
//! case: see `Trick` and law L12.)
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use failover_core::attempt::AttemptId;
use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind};
use failover_core::machine::{
    Answer, Change, Input, Machine, Outbox, Output, Status, Verdict, Whither,
};
use failover_core::policy::{
    Backoff, Choice, ChoiceAsked, Class, CustomDelay, DelayAnswer, DelayAsked, Every, Failback,
    Health, Hooks, Jitter, JudgeAsked, Limit, Limits, MaxAge, NoHooks, Order, Pace, Policy,
    PolicyBuilder, Ratio, Reaction, Resume, Seed, Standing, Walk,
};
use failover_core::sim::Trace;
use failover_core::testing::{Case, laws};
use failover_core::time::Time;
use proptest::prelude::*;

const FIELDS: [&str; 12] = [
    "backoff",
    "pace",
    "jitter",
    "limits",
    "health",
    "class",
    "spares",
    "failback",
    "max_age",
    "resume",
    "deadline",
    "turn_deadline",
];

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_policy_of_extremes_is_refused_by_name_or_breaks_no_law(
        bytes in proptest::collection::vec(any::<u8>(), 0..256),
        times in proptest::collection::vec(extreme(), 21),
        ratios in proptest::collection::vec(ratio(), 3),
        numbers in proptest::collection::vec(number(), 5),
        shape: u16,
    ) {
        match of_extremes(&times, &ratios, &numbers, shape).build() {
            Err(refusal) => {
                let told = refusal.to_string();
                let field = told.split([':', ' ']).next().unwrap();
                prop_assert!(FIELDS.contains(&field), "{}", told);
                prop_assert!(told.len() > 30, "{}", told);
            }
            Ok(policy) => {
                let mut case = Case::from_bytes(&bytes);
                case.policy = Arc::new(policy);
                lawful(&case.storm())?;
            }
        }
    }

    #[test]
    fn a_hook_that_answers_anything_breaks_no_law(
        bytes in proptest::collection::vec(any::<u8>(), 0..256),
        seed: u64,
        bounded: bool,
    ) {
        let mut case = Case::from_bytes(&bytes);
        let custom = match bounded {
            true => CustomDelay::Bounded,
            false => CustomDelay::Unbounded,
        };
        let pace = case.policy.pace();
        let policy = Policy::builder()
            .pace(Pace::new(Backoff::Constant(pace.cap)).cap(pace.cap).custom(custom))
            .standing(case.policy.standing())
            .race(case.policy.race())
            .stable_after(case.policy.stable_after());
        case.policy = Arc::new(policy.build().unwrap());
        let mut world = case.world().with_hooks(Box::new(Anything(seed)));
        world.start();
        world.run_until(Time::ZERO + Duration::from_secs(60), 600);
        lawful(world.trace())?;
    }
}

/// News of attempts that never were, and of endpoints that are not in the list.
fn of_strangers() -> Vec<Input> {
    let (attempt, endpoint) = (AttemptId::new(77), EndpointId::new(77));
    let failure = Failure::new(Kind::Reset);
    let until = Time::MAX;
    vec![
        Input::Connected { attempt },
        Input::Held { attempt },
        Input::Begun { attempt },
        Input::Failed { attempt, failure },
        Input::Learned {
            attempt,
            security: Security::Tls,
        },
        Input::Lost {
            attempt,
            failure,
            verdict: Verdict::Stop,
        },
        Input::Drain { attempt },
        Input::Reconnect(Whither::This(endpoint)),
        Input::Change(Change::Remove(endpoint)),
        Input::Change(Change::Off(endpoint)),
        Input::Change(Change::On(endpoint)),
        // Its id was used before.
        Input::Change(Change::Add(Traits::new(EndpointId::new(0)))),
        Input::Rests { endpoint, until },
        Input::Recovered { endpoint },
    ]
}

#[test]
fn news_of_strangers_changes_nothing_in_any_state() {
    let list = [0, 1].map(|n| Traits::new(EndpointId::new(n)).route(Security::Plain));
    let policy = Policy::builder()
        .pace(Pace::new(Backoff::Constant(Duration::from_secs(1))).every(Every::Attempt))
        .jitter(Jitter::None)
        .build()
        .unwrap();
    let mut machine = Machine::new(Arc::new(policy), list, Seed::new(1));
    let mut seen = Vec::new();
    let mut dial = None;
    let mut now = Time::ZERO;
    for turn in 0..8 {
        let status = machine.status();
        let before = machine.clone();
        let answer = match status {
            Status::Closed(_) => Answer::Closed,
            _ => Answer::Stale,
        };
        for input in of_strangers() {
            let mut out = Outbox::default();
            assert_eq!(
                machine.handle(input, &mut NoHooks, &mut out, now),
                answer,
                "{input:?} in {status:?}"
            );
            assert!(out.as_slice().is_empty(), "{input:?} in {status:?}");
            assert_eq!(machine, before, "{input:?} in {status:?}");
        }
        seen.push(std::mem::discriminant(&status));
        let attempt = dial.unwrap_or(AttemptId::new(0));
        let failure = Failure::new(Kind::Refused);
        let next = match (status, turn) {
            (Status::Idle, _) => Input::Start,
            (Status::Dialing { .. }, 1) => Input::Failed { attempt, failure },
            (Status::Dialing { .. }, _) => Input::Connected { attempt },
            (Status::Waiting { until, .. }, _) => {
                now = until;
                Input::Wake
            }
            (Status::Connected { .. }, 4) => Input::Lost {
                attempt,
                failure,
                verdict: Verdict::AsPolicy,
            },
            (Status::Paused, _) => Input::Close,
            (_, _) => Input::Pause,
        };
        let mut out = Outbox::default();
        machine.handle(next, &mut NoHooks, &mut out, now);
        for output in out.drain() {
            if let Output::Dial(order) = output {
                dial = Some(order.attempt);
            }
        }
        if let (Status::Waiting { .. }, 4) = (machine.status(), turn) {
            let mut out = Outbox::default();
            machine.handle(Input::Pause, &mut NoHooks, &mut out, now);
        }
    }
    seen.dedup();
    // Idle, dialing, waiting, dialing, connected, paused, closed.
    assert_eq!(seen.len(), 7, "{seen:?}");
}

#[test]
fn a_panic_of_a_hook_passes_through_the_bare_machine() {
    struct Panics;
    impl Hooks for Panics {
        fn choose(&mut self, _: &ChoiceAsked) -> Choice {
            panic!("planted")
        }
    }
    let list = [Traits::new(EndpointId::new(0)).route(Security::Plain)];
    let mut machine = Machine::new(Arc::new(Policy::default()), list, Seed::new(1));
    let mut out = Outbox::default();
    let start = || machine.handle(Input::Start, &mut Panics, &mut out, Time::ZERO);
    let unwound: Result<Answer, _> = catch_unwind(AssertUnwindSafe(start));
    assert!(unwound.is_err());
}

fn lawful(trace: &Trace) -> Result<(), TestCaseError> {
    for (name, law) in laws::ALL {
        prop_assert_eq!(law(trace), Ok(()), "{}\n{}", name, trace);
    }
    Ok(())
}

fn of_extremes(times: &[Duration], ratios: &[Ratio], numbers: &[u32], shape: u16) -> PolicyBuilder {
    let t = |n: usize| times[n];
    let backoff = match shape % 5 {
        0 => Backoff::Constant(t(0)),
        1 => Backoff::Exponential {
            base: t(0),
            factor: ratios[0],
        },
        2 => Backoff::Affine {
            initial: t(0),
            factor: ratios[0],
        },
        3 => Backoff::Decorrelated { base: t(0) },
        _ => Backoff::PhaseLadder {
            spread: t(0),
            tls_spread: t(1),
        },
    };
    let every =
        [Every::Sweep, Every::Attempt, Every::Endpoint, Every::Return][usize::from(shape >> 3) % 4];
    let jitter = |n: u16| match (shape >> n) % 5 {
        0 => Jitter::None,
        1 => Jitter::UpTo(t(2)),
        2 => Jitter::Proportional(ratios[1]),
        3 => Jitter::Full,
        _ => Jitter::Equal,
    };
    let limits = |n: usize| {
        Limits::UNLIMITED
            .turns(Limit::AtMost(numbers[n]))
            .per_endpoint(Limit::AtMost(numbers[n + 1]))
            .sweeps(Limit::AtMost(numbers[n + 2]))
            .elapsed(t(3 + n))
    };
    let health = Health::default()
        .initial(t(6))
        .maximum(t(7))
        .retry_delay(t(8))
        .factor(ratios[2])
        .retries(numbers[0].to_le_bytes()[0]);
    let mut standing = Standing::default()
        .drain_spread(t(9))
        .grace(t(10))
        .wake_spread(t(11));
    if shape & 1 << 8 != 0 {
        standing = standing.max_age(MaxAge::new(t(12)).spread(t(13)));
    }
    if shape & 1 << 9 != 0 {
        let probes = numbers[1].to_le_bytes()[0];
        let failback = Failback::default()
            .every(t(14))
            .settle(t(15))
            .good_probes(probes);
        standing = standing.failback(failback);
    }
    let pace = Pace::new(backoff)
        .min(t(16))
        .cap(t(17))
        .first(t(18))
        .every(every);
    let mut policy = Policy::builder()
        .pace(pace)
        .jitter(jitter(4))
        .tls_jitter(jitter(6))
        .health(health)
        .standing(standing)
        .stable_after(t(19));
    if shape & 1 << 10 != 0 {
        policy = policy.limits(limits(0)).start_up_limits(limits(2));
    }
    if shape & 1 << 11 != 0 {
        policy = policy.resume(Resume::new(t(19), t(20)).first(t(11)));
    }
    if shape & 1 << 12 != 0 {
        policy = policy.deadline(t(20)).turn_deadline(t(12));
    }
    if shape & 1 << 13 != 0 {
        let own = health.initial(t(7)).maximum(t(6)).factor(ratios[1]);
        let limit = Limit::AtMost(numbers[2]);
        policy = policy.class(Class::default().health(own).per_endpoint(limit));
    }
    if shape & 1 << 14 != 0 {
        policy = policy.order(Order::new(Walk::FirstReady));
    }
    policy
}

/// Answers anything: unknown endpoints, zero, the longest wait there is, any reaction but the end.
struct Anything(u64);

impl Anything {
    fn next(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % n
    }

    fn time(&mut self) -> Duration {
        [Duration::ZERO, Duration::MAX, Duration::from_millis(7)]
            [usize::try_from(self.next(3)).unwrap()]
    }
}

impl Hooks for Anything {
    fn delay(&mut self, _: &DelayAsked) -> DelayAnswer {
        match self.next(3) {
            0 => DelayAnswer::AsSuggested,
            1 => DelayAnswer::Exactly(self.time()),
            _ => DelayAnswer::PlusJitter(self.time()),
        }
    }

    fn choose(&mut self, asked: &ChoiceAsked) -> Choice {
        let id = [0, 1, 2, 77, u32::MAX][usize::try_from(self.next(5)).unwrap()];
        match self.next(4) {
            0 => Choice::AsSuggested,
            1 => asked.lost.map_or(Choice::AsSuggested, Choice::Endpoint),
            2 => Choice::Endpoint(EndpointId::new(id)),
            _ => Choice::EndpointAfter(EndpointId::new(id), self.time()),
        }
    }

    fn judge(&mut self, _: &JudgeAsked) -> Reaction {
        match self.next(5) {
            0 => Reaction::Mark,
            1 => Reaction::Suspend,
            2 => Reaction::Remove,
            _ => Reaction::Next,
        }
    }
}

fn extreme() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::from_nanos(999_999)),
        Just(Duration::from_millis(1)),
        Just(Duration::from_nanos(u64::MAX)),
        Just(Duration::MAX),
        (1..20_000_u64).prop_map(Duration::from_millis),
    ]
}

fn ratio() -> impl Strategy<Value = Ratio> {
    let some = [0, 1, 999_999, 1_000_000, 1_000_001, 2_000_000, u32::MAX];
    proptest::sample::select(some.to_vec()).prop_map(Ratio::from_ppm)
}

fn number() -> impl Strategy<Value = u32> {
    proptest::sample::select(vec![0, 1, 2, 254, 255, u32::MAX])
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("FAILOVER_CASES").ok();
    ProptestConfig {
        cases: cases.and_then(|cases| cases.parse().ok()).unwrap_or(2048),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
