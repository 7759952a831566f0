//! Each rule that a policy must keep, at its border: what just keeps it is taken, and what just does
//! not is refused by name.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::time::Duration;

use failover_core::policy::{
    Backoff, Class, Failback, Health, Jitter, Limit, Limits, MIN_REDIAL, MaxAge, Overlap, Pace,
    Policy, PolicyBuilder, PolicyError, Ratio, Resume, Standing,
};

const NANO: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);
/// The longest wait that the core tells from a longer one.
const LONGEST: Duration = Duration::from_nanos(u64::MAX);

mod a_law {
    use super::*;

    #[test]
    fn that_is_affine_grows_by_a_factor_above_one() {
        let of = |ppm| {
            paced(Pace::new(Backoff::Affine {
                initial: SECOND,
                factor: Ratio::from_ppm(ppm),
            }))
        };
        let factor = Ratio::ONE;
        refused(of(1_000_000), PolicyError::FactorNotAboveOne { factor });
        taken(of(1_000_001));
    }

    #[test]
    fn on_a_ladder_has_neither_spread_above_the_cap() {
        let of = |spread, tls_spread| {
            paced(Pace::new(Backoff::PhaseLadder { spread, tls_spread }).cap(8 * SECOND))
        };
        taken(of(8 * SECOND, 8 * SECOND));
        let wider = 8 * SECOND + NANO;
        for (spread, tls_spread) in [(wider, SECOND), (SECOND, wider)] {
            let refusal = PolicyError::Ladder {
                spread: wider,
                min: Duration::ZERO,
                cap: 8 * SECOND,
            };
            refused(of(spread, tls_spread), refusal);
        }
        for (spread, tls_spread) in [(Duration::ZERO, SECOND), (SECOND, Duration::ZERO)] {
            refused(of(spread, tls_spread), PolicyError::ZeroBase);
        }
    }

    #[test]
    fn on_a_ladder_begins_at_zero() {
        let backoff = Backoff::PhaseLadder {
            spread: SECOND,
            tls_spread: 2 * SECOND,
        };
        let refusal = PolicyError::Ladder {
            spread: 2 * SECOND,
            min: NANO,
            cap: 8 * SECOND,
        };
        refused(paced(Pace::new(backoff).min(NANO)), refusal);
    }

    #[test]
    fn may_wait_as_long_as_a_wait_can_be_and_no_longer() {
        let of = |min| {
            let pace = Pace::new(Backoff::Constant(min)).cap(Duration::MAX);
            paced(pace.min(min))
                .jitter(Jitter::None)
                .tls_jitter(Jitter::None)
        };
        taken(of(LONGEST));
        let min = LONGEST + NANO;
        refused(of(min), PolicyError::MinTooLong { min });
    }
}

mod a_jitter {
    use super::*;

    #[test]
    fn in_proportion_needs_its_whole_width_between_min_and_cap() {
        // ±20 % below 12 s: from 8 s.
        let fifth = Jitter::Proportional(Ratio::from_ppm(200_000));
        spread(fifth, 8 * SECOND, 12 * SECOND);
        too_wide(fifth, 8 * SECOND + NANO, 12 * SECOND);
        spread(Jitter::Proportional(Ratio::ONE), Duration::ZERO, SECOND);
    }

    #[test]
    fn that_is_full_needs_a_min_below_the_cap() {
        spread(Jitter::Full, SECOND - NANO, SECOND);
        too_wide(Jitter::Full, SECOND, SECOND);
    }

    #[test]
    fn that_is_full_may_be_of_no_wait_at_all() {
        let pace = Pace::new(Backoff::Constant(Duration::ZERO)).cap(Duration::ZERO);
        taken(paced(pace));
    }

    #[test]
    fn of_the_upper_half_needs_a_min_of_at_most_half_the_cap() {
        spread(Jitter::Equal, SECOND / 2, SECOND);
        too_wide(Jitter::Equal, SECOND / 2 + NANO, SECOND);
    }

    #[test]
    fn up_to_a_width_needs_that_width_above_min() {
        spread(Jitter::UpTo(SECOND / 4), SECOND / 4 * 3, SECOND);
        too_wide(Jitter::UpTo(SECOND / 4), SECOND / 4 * 3 + NANO, SECOND);
    }

    #[test]
    fn of_which_min_leaves_nothing_is_refused() {
        // A second before each dial, and never less than two: full jitter lies below them.
        let pace = Pace::new(Backoff::Constant(SECOND)).cap(60 * SECOND);
        let refusal = PolicyError::MinSwallowsJitter {
            jitter: Jitter::Full,
            wait: SECOND,
            min: 2 * SECOND,
        };
        refused(paced(pace.min(2 * SECOND)), refusal);
    }

    fn spread(jitter: Jitter, min: Duration, cap: Duration) {
        taken(jittered(jitter, min, cap));
    }

    fn too_wide(jitter: Jitter, min: Duration, cap: Duration) {
        let refusal = PolicyError::NoRoomForJitter { jitter, min, cap };
        refused(jittered(jitter, min, cap), refusal);
    }

    fn jittered(jitter: Jitter, min: Duration, cap: Duration) -> PolicyBuilder {
        paced(Pace::new(Backoff::Constant(cap)).min(min).cap(cap))
            .jitter(jitter)
            .tls_jitter(Jitter::None)
    }
}

#[test]
fn at_start_up_no_limit_is_zero() {
    let none = Limits::UNLIMITED;
    let zero = Limit::AtMost(0);
    let named = [
        (none.turns(zero), "turns"),
        (none.per_endpoint(zero), "per_endpoint"),
        (none.sweeps(zero), "sweeps"),
        (none.elapsed(Duration::ZERO), "elapsed"),
    ];
    for (limits, limit) in named {
        let refusal = PolicyError::ZeroStartUpLimit { limit };
        refused(Policy::builder().start_up_limits(limits), refusal);
        taken(Policy::builder().limits(limits));
    }
    taken(Policy::builder().start_up_limits(none.elapsed(NANO)));
}

#[test]
fn a_suspension_never_shrinks_and_254_marks_can_be_counted() {
    let of = |health| Policy::builder().health(health);
    let factor = Ratio::from_ppm(999_999);
    taken(of(Health::default().factor(Ratio::ONE).retries(254)));
    refused(
        of(Health::default().factor(factor)),
        PolicyError::SuspensionFactor { factor },
    );
    refused(
        of(Health::default().retries(255)),
        PolicyError::Retries { retries: 255 },
    );
}

#[test]
fn there_may_be_255_classes() {
    let of = |classes| Policy::builder().classes(vec![Class::default(); classes]);
    taken(of(255));
    refused(of(256), PolicyError::TooManyClasses { classes: 256 });
}

#[test]
fn spares_and_failback_need_two_connections() {
    let alone = Standing::default().overlap(Overlap::Forbidden);
    taken(standing(alone));
    let spares = PolicyError::NeedsOverlap { part: "spares" };
    refused(standing(alone.spares(1)), spares);
    let failback = PolicyError::NeedsOverlap { part: "failback" };
    refused(standing(alone.failback(Failback::default())), failback);
}

#[test]
fn failback_probes_at_least_once_and_not_all_the_time() {
    let of = |failback| standing(Standing::default().failback(failback));
    let probed = Failback::default().every(NANO).good_probes(1);
    taken(of(probed));
    refused(of(probed.good_probes(0)), PolicyError::ZeroFailback);
    refused(of(probed.every(Duration::ZERO)), PolicyError::ZeroFailback);
}

#[test]
fn a_greatest_age_is_above_zero_and_spread_over_no_more_than_itself() {
    let of = |age, spread| {
        let max_age = MaxAge::new(age).spread(spread);
        standing(Standing::default().max_age(max_age))
    };
    assert_eq!(
        MaxAge::new(10 * SECOND).spread,
        SECOND,
        "if nothing is said"
    );
    taken(of(SECOND, SECOND));
    for (age, spread) in [(SECOND, SECOND + NANO), (Duration::ZERO, Duration::ZERO)] {
        refused(of(age, spread), PolicyError::MaxAge { age, spread });
    }
}

#[test]
fn a_resume_window_has_time_for_a_dial_and_a_wait_between_two() {
    let of = |window, every| Policy::builder().resume(Resume::new(window, every));
    taken(of(NANO, MIN_REDIAL));
    for (window, every) in [(SECOND, MIN_REDIAL - NANO), (Duration::ZERO, SECOND)] {
        refused(of(window, every), PolicyError::Resume { window, every });
    }
}

#[test]
fn a_dial_and_a_turn_have_a_millisecond() {
    let deadline = MIN_REDIAL - NANO;
    taken(Policy::builder().deadline(MIN_REDIAL));
    refused(
        Policy::builder().deadline(deadline),
        PolicyError::ZeroDeadline { deadline },
    );
    taken(Policy::builder().turn_deadline(MIN_REDIAL));
    refused(
        Policy::builder().turn_deadline(deadline),
        PolicyError::ZeroTurnDeadline,
    );
}

fn paced(pace: Pace) -> PolicyBuilder {
    Policy::builder().pace(pace)
}

fn standing(standing: Standing) -> PolicyBuilder {
    Policy::builder().standing(standing)
}

fn taken(builder: PolicyBuilder) {
    assert_eq!(builder.build().err(), None);
}

fn refused(builder: PolicyBuilder, refusal: PolicyError) {
    assert_eq!(builder.build().err(), Some(refusal));
}
