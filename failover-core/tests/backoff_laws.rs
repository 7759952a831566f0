//! Laws L1 to L5 for every policy that the builder accepts, the extremes included.
//!
//! `FAILOVER_CASES` says how many policies each property draws (default 256).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::time::Duration;

use failover_core::endpoint::Security;
use failover_core::policy::{Backoff, Jitter, Pace, Policy, PolicyError, Ratio, Seed};
use failover_core::testing::laws;
use proptest::prelude::*;

const NANO: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);
/// The longest wait that the core tells from a longer one.
const LONGEST: Duration = Duration::from_nanos(u64::MAX);

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_policy_is_refused_by_name_or_its_waits_keep_the_laws(parts in parts()) {
        match parts.build() {
            Err(refusal) => {
                let told = refusal.to_string();
                let field = told.split([':', ' ']).next().unwrap();
                prop_assert!(["backoff", "pace", "jitter"].contains(&field), "{told}");
                prop_assert!(told.len() > 30, "{told}");
            }
            Ok(policy) => keeps_the_laws(&policy)?,
        }
    }

    #[test]
    fn ordinary_policies_are_never_refused(
        backoff in backoff(ordinary_duration(), ordinary_factor()),
        jitter in ordinary_jitter(),
        cap in 60_u64..6000,
    ) {
        let parts = Parts { backoff, jitter, min: Duration::ZERO, cap: Duration::from_secs(cap) };
        keeps_the_laws(&parts.build().map_err(|refusal| TestCaseError::fail(refusal.to_string()))?)?;
    }

    #[test]
    fn the_closed_form_is_the_step_law_taken_so_many_times(
        backoff in backoff(duration(), factor()),
        cap in duration(),
        security in security(),
        seed: u64,
    ) {
        let parts = Parts { backoff, jitter: Jitter::None, min: Duration::ZERO, cap };
        let Ok(policy) = parts.build() else { return Ok(()) };
        let waits = policy.waits(Seed::new(seed), security);
        for (attempt, wait) in (1..=100).zip(waits) {
            let closed = backoff.wait(attempt, cap);
            match backoff {
                Backoff::PhaseLadder { .. } if security == Security::Tls => {}
                _ if backoff.draws() => prop_assert!(wait <= closed, "{attempt}: {wait:?}, {closed:?}"),
                _ => prop_assert_eq!(wait, closed, "{}", attempt),
            }
        }
    }

    #[test]
    fn the_closed_form_answers_for_the_last_attempt_number(
        backoff in backoff(duration(), factor()),
        cap in duration(),
        attempt: u32,
    ) {
        let most = cap.min(LONGEST);
        prop_assert!(backoff.wait(attempt, cap) <= most);
        prop_assert!(backoff.wait(u32::MAX, cap) <= most);
    }
}

mod refusals {
    use super::*;

    #[test]
    fn a_least_wait_that_no_wait_can_keep_is_refused() {
        let pace = Pace::new(Backoff::Constant(SECOND))
            .min(Duration::MAX)
            .cap(Duration::MAX);
        let refused = Policy::builder()
            .pace(pace)
            .jitter(Jitter::None)
            .tls_jitter(Jitter::None)
            .build();
        assert_eq!(refused, Err(PolicyError::MinTooLong { min: Duration::MAX }));
    }

    #[test]
    fn a_decorrelated_base_that_cannot_be_told_from_the_cap_is_refused() {
        let pace = Pace::new(Backoff::Decorrelated { base: 2 * LONGEST }).cap(Duration::MAX);
        let refused = Policy::builder().pace(pace).build();
        assert!(matches!(refused, Err(PolicyError::DecorrelatedBase { .. })));
    }

    #[test]
    fn a_jitter_that_the_least_wait_swallows_for_ever_is_refused() {
        let steady = [
            Backoff::Constant(SECOND),
            Backoff::Exponential {
                base: SECOND,
                factor: Ratio::ONE,
            },
        ];
        for backoff in steady {
            let swallowed = [
                (Jitter::Full, SECOND),
                (Jitter::Equal, 2 * SECOND),
                (Jitter::Proportional(Ratio::from_ppm(100_000)), 2 * SECOND),
            ];
            for (jitter, min) in swallowed {
                let pace = Pace::new(backoff).min(min).cap(60 * SECOND);
                let refused = Policy::builder()
                    .pace(pace)
                    .jitter(jitter)
                    .tls_jitter(Jitter::None)
                    .build();
                assert!(
                    matches!(refused, Err(PolicyError::MinSwallowsJitter { .. })),
                    "{backoff:?} {jitter:?}"
                );
            }
            let pace = Pace::new(backoff).min(SECOND / 2).cap(60 * SECOND);
            assert!(Policy::builder().pace(pace).build().is_ok());
        }
    }
}

#[test]
fn an_affine_law_of_centuries_grows_to_its_cap() {
    let backoff = Backoff::Affine {
        initial: Duration::MAX,
        factor: Ratio::TWO,
    };
    assert_eq!(backoff.wait(1, Duration::MAX), LONGEST);
    assert_eq!(backoff.wait(1, SECOND), SECOND);
}

#[test]
fn a_phase_ladder_of_a_nanosecond_climbs_to_its_cap_too() {
    let backoff = Backoff::PhaseLadder {
        spread: NANO,
        tls_spread: NANO,
    };
    let pace = Pace::new(backoff).cap(SECOND);
    let policy = Policy::builder().pace(pace).build().unwrap();
    let mut waits = policy.waits(Seed::new(0), Security::Plain);
    // 2³⁰ ns are more than a second.
    assert_eq!(waits.nth(31), Some(SECOND));
}

/// What the waits depend on.
#[derive(Clone, Copy, Debug)]
struct Parts {
    backoff: Backoff,
    jitter: Jitter,
    min: Duration,
    cap: Duration,
}

impl Parts {
    fn build(self) -> Result<Policy, PolicyError> {
        Policy::builder()
            .pace(Pace::new(self.backoff).min(self.min).cap(self.cap))
            .jitter(self.jitter)
            .tls_jitter(self.jitter)
            .build()
    }
}

fn keeps_the_laws(policy: &Policy) -> Result<(), TestCaseError> {
    for security in [Security::Plain, Security::Tls] {
        let broken = |violation| TestCaseError::fail(format!("{security:?}: {violation}"));
        let client = |seed| {
            let mut waits = policy.waits(Seed::new(seed), security);
            move |_: u32| waits.next_wait()
        };
        let pace = policy.pace();
        laws::l01_total(client(1)).map_err(broken)?;
        laws::l02_bounds(client(2), pace.min, pace.cap).map_err(broken)?;
        if let Some((attempts, plateau)) = plateau(policy) {
            let before_jitter = |attempt| pace.backoff.wait(attempt, pace.cap);
            laws::l04_growth(before_jitter, plateau).map_err(broken)?;
            let width = width(policy, plateau, security);
            if width >= Duration::from_millis(1) {
                laws::l03_spread(&laws::at_attempt(attempts, client), width / 10 * 8)
                    .map_err(broken)?;
                laws::l05_series(client, attempts).map_err(broken)?;
            }
        }
        match pace.backoff {
            Backoff::Decorrelated { base } => {
                let waits: Vec<Duration> = policy.waits(Seed::new(4), security).take(200).collect();
                laws::l04_decorrelated(&waits, base, pace.cap).map_err(broken)?;
            }
            Backoff::PhaseLadder { spread, tls_spread } => {
                let phases = match security {
                    Security::Plain => spread,
                    Security::Tls => tls_spread,
                };
                if phases >= Duration::from_millis(1) {
                    attempts_are_spread(policy, security)?;
                }
            }
            Backoff::Constant(_) | Backoff::Exponential { .. } | Backoff::Affine { .. } => {}
            _ => panic!("a law of which these properties know nothing"),
        }
    }
    Ok(())
}

/// By when the growth has come to its end, and where, unless that takes too long to try.
fn plateau(policy: &Policy) -> Option<(u32, Duration)> {
    let pace = policy.pace();
    let cap = pace.cap.min(LONGEST);
    let plateau = match pace.backoff {
        Backoff::Constant(wait) => wait.min(cap),
        Backoff::Exponential { base, factor } if factor == Ratio::ONE => base.min(cap),
        _ => cap,
    };
    let attempts = (1..=200).find(|&attempt| pace.backoff.wait(attempt, pace.cap) == plateau)?;
    // The drawn laws reach their cap later than their bound does.
    Some((
        attempts + if pace.backoff.draws() { 100 } else { 0 },
        plateau,
    ))
}

/// How far apart the waits at the plateau may be drawn.
fn width(policy: &Policy, plateau: Duration, security: Security) -> Duration {
    let pace = policy.pace();
    let (min, cap) = (pace.min, pace.cap.min(LONGEST));
    if let Backoff::Decorrelated { base } = pace.backoff {
        // The one before may have been as short as the base.
        return (cap.min(base.saturating_mul(3)) - base) / 2;
    }
    if pace.backoff.draws() {
        return Duration::ZERO;
    }
    let low = |low: Duration| low.max(min);
    match policy.jitter(security) {
        Jitter::UpTo(width) => width.min(cap),
        Jitter::Full => plateau.saturating_sub(min),
        Jitter::Equal => plateau.saturating_sub(low(plateau / 2)),
        Jitter::Proportional(p) => {
            let p = f64::from(p.ppm()) / 1e6;
            let center = plateau.as_secs_f64().min(cap.as_secs_f64() / (1.0 + p));
            let least = low(Duration::from_secs_f64(center * (1.0 - p)));
            Duration::from_secs_f64(center * (1.0 + p)).saturating_sub(least)
        }
        _ => Duration::ZERO,
    }
}

/// Law L3 for a phase ladder: the times of the attempts differ, by nearly the cap.
fn attempts_are_spread(policy: &Policy, security: Security) -> Result<(), TestCaseError> {
    let client = |seed| {
        let mut waits = policy.waits(Seed::new(seed), security);
        let mut time = Duration::ZERO;
        move |_: u32| {
            time += waits.next_wait();
            time
        }
    };
    let width = policy.pace().cap.min(LONGEST) / 10 * 8;
    let spread = laws::l03_spread(&laws::at_attempt(70, client), width);
    spread.map_err(|violation| TestCaseError::fail(violation.to_string()))
}

fn parts() -> impl Strategy<Value = Parts> {
    let least = prop_oneof![2 => Just(Duration::ZERO), 1 => duration()];
    let drawn = (
        backoff(duration(), factor()),
        jitter(duration()),
        least,
        duration(),
    );
    drawn.prop_map(|(backoff, jitter, min, cap)| Parts {
        backoff,
        jitter,
        min,
        cap,
    })
}

fn backoff(
    wait: impl Strategy<Value = Duration> + Clone + 'static,
    factor: impl Strategy<Value = Ratio> + Clone + 'static,
) -> impl Strategy<Value = Backoff> {
    let w = || wait.clone();
    prop_oneof![
        w().prop_map(Backoff::Constant),
        (w(), factor.clone()).prop_map(|(base, factor)| Backoff::Exponential { base, factor }),
        (w(), factor).prop_map(|(initial, factor)| Backoff::Affine { initial, factor }),
        w().prop_map(|base| Backoff::Decorrelated { base }),
        (w(), w()).prop_map(|(spread, tls_spread)| Backoff::PhaseLadder { spread, tls_spread }),
    ]
}

fn jitter(width: impl Strategy<Value = Duration>) -> impl Strategy<Value = Jitter> {
    prop_oneof![
        Just(Jitter::None),
        Just(Jitter::Full),
        Just(Jitter::Equal),
        width.prop_map(Jitter::UpTo),
        (0..=1_000_000_u32).prop_map(|ppm| Jitter::Proportional(Ratio::from_ppm(ppm))),
        any::<u32>().prop_map(|ppm| Jitter::Proportional(Ratio::from_ppm(ppm))),
    ]
}

fn ordinary_jitter() -> impl Strategy<Value = Jitter> {
    let width = (0..=1000_u64).prop_map(Duration::from_millis);
    jitter(width).prop_filter(
        "a proportion above 1",
        |jitter| !matches!(jitter, Jitter::Proportional(p) if *p > Ratio::ONE),
    )
}

fn factor() -> impl Strategy<Value = Ratio> + Clone + 'static {
    prop_oneof![
        Just(Ratio::ZERO),
        Just(Ratio::ONE),
        Just(Ratio::TWO),
        Just(Ratio::from_ppm(u32::MAX)),
        ordinary_factor(),
        any::<u32>().prop_map(Ratio::from_ppm),
    ]
}

fn ordinary_factor() -> impl Strategy<Value = Ratio> + Clone + 'static {
    (1_100_000..4_000_000_u32).prop_map(Ratio::from_ppm)
}

fn ordinary_duration() -> impl Strategy<Value = Duration> + Clone + 'static {
    (1_000_000..50_000_000_000_u64).prop_map(Duration::from_nanos)
}

fn duration() -> impl Strategy<Value = Duration> + Clone + 'static {
    prop_oneof![
        Just(Duration::ZERO),
        Just(NANO),
        Just(Duration::MAX),
        Just(LONGEST),
        (0..100_u64).prop_map(Duration::from_nanos),
        (0..100_000_u64).prop_map(Duration::from_millis),
        any::<u64>().prop_map(Duration::from_nanos),
        any::<u64>().prop_map(Duration::from_secs),
        // Of every order of magnitude.
        (0..64_u32, any::<u64>()).prop_map(|(by, nanos)| Duration::from_nanos(nanos >> by)),
    ]
}

fn security() -> impl Strategy<Value = Security> {
    prop_oneof![Just(Security::Plain), Just(Security::Tls)]
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("FAILOVER_CASES").ok();
    ProptestConfig {
        cases: cases.and_then(|cases| cases.parse().ok()).unwrap_or(256),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
