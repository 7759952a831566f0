//! Each law as a property: over random policies, lists, seeds, weather, commands and mischief.
//!
//! `FAILOVER_CASES` says how many cases each property tries. A case that fails is kept in
//! `tests/laws.regressions` and tried first the next time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use failover_core::endpoint::Security;
use failover_core::machine::{Answer, Event, Input, Move, Status};
use failover_core::policy::{
    Backoff, Every, Failback, Limits, NobodyReady, Overlap, Ratio, Seed, Standing, Start, Walk,
};
use failover_core::sim::Trace;
use failover_core::testing::{Case, laws, strategy};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{FileFailurePersistence, TestRunner};

mod the_machine {
    use super::*;

    #[test]
    fn l02_keeps_each_wait_within_its_bounds() {
        in_the_storm("L2", laws::l02_waits);
    }

    #[test]
    fn l02_paces_what_it_dials_beside_a_connection() {
        in_the_storm("L2, beside", laws::l02_beside);
    }

    #[test]
    fn l05_does_the_same_again() {
        in_the_storm("L5", laws::l05_replay);
    }

    #[test]
    fn l06_applies_the_tls_jitter_to_tls_dials_alone() {
        in_the_storm("L6", laws::l06_tls);
    }

    #[test]
    fn l07_gives_up_at_its_limits_and_not_before() {
        in_the_storm("L7", laws::l07_limits);
    }

    #[test]
    fn l08_never_dials_faster_than_the_floor() {
        in_the_storm("L8", laws::l08_rate);
    }

    #[test]
    fn l09_never_dials_who_is_not_eligible() {
        in_the_storm("L9", laws::l09_eligibility);
    }

    #[test]
    fn l09_visits_everybody_once_a_sweep() {
        in_the_storm("L9, sweep", laws::l09_sweep);
    }

    #[test]
    fn l10_goes_back_upward_after_good_probes_alone() {
        in_the_storm("L10", laws::l10_failback);
    }

    #[test]
    fn l11_closes_once_and_leaves_nothing_behind() {
        in_the_storm("L11", laws::l11_close);
    }

    #[test]
    fn l12_takes_no_notice_of_stale_news() {
        in_the_storm("L12", laws::l12_stale);
    }

    #[test]
    fn l13_obeys_the_delay_hook_within_its_bounds() {
        in_the_storm("L13", laws::l13_custom);
    }

    #[test]
    fn l14_always_goes_on() {
        in_the_storm("L14", laws::l14_progress);
    }

    #[test]
    fn l15_tells_events_in_their_order() {
        in_the_storm("L15", laws::l15_grammar);
    }

    #[test]
    fn l17_breaks_no_law_in_the_storm_and_is_connected_after_it() {
        let steps = AtomicUsize::new(0);
        check("L17", strategy::any_case(), &steps, |case| {
            let (trace, healed) = case.storm_and_calm();
            steps.fetch_add(trace.steps.len(), Ordering::Relaxed);
            for (_, law) in laws::ALL {
                judge(&trace, law(&trace))?;
            }
            judge(&trace, laws::l17_recovery(&trace, healed))
        });
    }

    #[test]
    fn l17_finds_the_one_endpoint_that_came_back_among_mute_ones() {
        let steps = AtomicUsize::new(0);
        let cases = (strategy::any_case(), any::<prop::sample::Index>());
        check("L17, one back", cases, &steps, |(case, back)| {
            let single = case.endpoints.iter().all(|traits| traits.routes() == 1);
            let policy = &case.policy;
            let plain = policy.resume().is_none()
                && policy.start() != Start::FirstOnly
                && policy.order().walk != Walk::FirstReady
                && policy.nobody_ready() == NobodyReady::Wait;
            if !(single && plain && case.commands.is_empty()) {
                return Ok(());
            }
            let back = back.get(&case.endpoints).id();
            let Some((trace, healed)) = case.storm_and_one_back(back) else {
                return Ok(());
            };
            steps.fetch_add(trace.steps.len(), Ordering::Relaxed);
            judge(&trace, laws::l17_recovery(&trace, healed))
        });
    }
}

mod while_connected {
    use super::*;

    #[test]
    fn l10_goes_back_upward_after_good_probes_alone() {
        let (steps, moves) = (AtomicUsize::new(0), AtomicUsize::new(0));
        check("L10, standing", standing(), &steps, |case| {
            let (trace, _) = case.storm_and_calm();
            steps.fetch_add(trace.steps.len(), Ordering::Relaxed);
            let back = trace.events().filter(|(_, event)| goes_back(event));
            moves.fetch_add(back.count(), Ordering::Relaxed);
            judge(&trace, laws::l10_failback(&trace))
        });
        assert!(moves.into_inner() > 100);
    }

    #[test]
    fn l17_has_what_the_policy_wants_beside_the_connection_once_the_world_heals() {
        let steps = AtomicUsize::new(0);
        check("L17, standing", standing(), &steps, |case| {
            let (trace, healed) = case.storm_and_calm();
            steps.fetch_add(trace.steps.len(), Ordering::Relaxed);
            for (_, law) in laws::ALL {
                judge(&trace, law(&trace))?;
            }
            judge(&trace, laws::l17_recovery(&trace, healed))?;
            judge(&trace, laws::l17_standing(&trace))
        });
    }

    fn goes_back(event: &Event) -> bool {
        let why = match event {
            Event::Moved { why, .. } => Some(*why),
            _ => None,
        };
        why == Some(Move::Failback)
    }

    /// Cases with tiers, failback and spares that last: without limits and words of the user.
    fn standing() -> impl Strategy<Value = Case> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..320);
        let failback = (1..2_000_u64, 1..4_u8, 0..2_000_u64);
        (bytes, failback, 0..3_u8).prop_map(|(bytes, (every, probes, settle), spares)| {
            let failback = Failback::default()
                .every(Duration::from_millis(every))
                .good_probes(probes)
                .settle(Duration::from_millis(settle));
            let standing = Standing::default().failback(failback).spares(spares);
            let policy = Case::policy_from_bytes(&bytes)
                .limits(Limits::UNLIMITED)
                .start_up_limits(Limits::UNLIMITED)
                .reactions(Default::default())
                .standing(standing);
            let mut case = Case::from_bytes(&bytes);
            case.policy = policy.build().unwrap().into();
            case.commands.clear();
            for (tier, traits) in (0..).zip(&mut case.endpoints) {
                *traits = traits.tier(tier);
            }
            case
        })
    }
}

mod its_backoff {
    use super::*;

    #[test]
    fn l01_is_total() {
        let steps = AtomicUsize::new(0);
        check("L1", strategy::any_case(), &steps, |case| {
            let pace = case.policy.pace();
            laws::l01_total(|n| pace.backoff.wait(n % 10_000, pace.cap))?;
            laws::l01_total(|n| pace.backoff.wait(n, Duration::from_secs(8)))?;
            Ok(())
        });
    }

    #[test]
    fn l02_stays_within_min_and_cap() {
        let steps = AtomicUsize::new(0);
        check("L2, backoff", waiting(), &steps, |(case, security)| {
            let pace = case.policy.pace();
            let waits = laws::waits(&case.policy, security, case.seed, 60);
            steps.fetch_add(2 * waits.len(), Ordering::Relaxed);
            let nth = |n: u32| waits[(n as usize - 1).min(waits.len() - 1)];
            if !waits.is_empty() {
                laws::l02_bounds(nth, pace.min, pace.cap.max(Duration::from_millis(1)))?;
            }
            Ok(())
        });
    }

    #[test]
    fn l03_is_still_spread_at_the_cap() {
        let steps = AtomicUsize::new(0);
        check("L3", waiting(), &steps, |(case, security)| {
            let policy = &case.policy;
            let ladder = matches!(policy.pace().backoff, Backoff::PhaseLadder { .. });
            if case.policy.pace().cap < Duration::from_millis(20)
                || width(&case, security) < Duration::from_millis(1)
            {
                return Ok(());
            }
            let of_seed = |seed| {
                let waits = laws::waits(policy, security, Seed::new(seed), 40);
                steps.fetch_add(2 * waits.len(), Ordering::Relaxed);
                match ladder {
                    true => waits.iter().sum(),
                    false => waits.last().copied().unwrap_or_default(),
                }
            };
            let at_cap: Vec<Duration> = (0..12).map(of_seed).collect();
            laws::l03_spread(&at_cap, Duration::ZERO)?;
            Ok(())
        });
    }

    #[test]
    fn l04_grows_to_its_cap() {
        let steps = AtomicUsize::new(0);
        check("L4", waiting(), &steps, |(case, _)| {
            let pace = case.policy.pace();
            match pace.backoff {
                Backoff::Constant(_) => {}
                Backoff::Decorrelated { base } => {
                    let waits = laws::waits(&case.policy, Security::Plain, case.seed, 60);
                    steps.fetch_add(2 * waits.len(), Ordering::Relaxed);
                    // The floor of 1 ms is not of the law.
                    if base >= Duration::from_millis(1) {
                        laws::l04_decorrelated(&waits, base, pace.cap)?;
                    }
                }
                Backoff::Exponential { factor, .. } if factor == Ratio::ONE => {}
                _ => laws::l04_growth(|n| pace.backoff.wait(n, pace.cap), pace.cap)?,
            }
            Ok(())
        });
    }

    /// A case that one endpoint can show for long: without limits and a hook.
    fn waiting() -> impl Strategy<Value = (Case, Security)> {
        let security = prop_oneof![Just(Security::Plain), Just(Security::Tls)];
        let bytes = proptest::collection::vec(any::<u8>(), 0..64);
        (bytes, security).prop_map(|(bytes, security)| {
            let builder = Case::policy_from_bytes(&bytes)
                .limits(Limits::UNLIMITED)
                .start_up_limits(Limits::UNLIMITED)
                .reactions(Default::default());
            let mut case = Case::from_bytes(&bytes);
            case.policy = builder.build().unwrap().into();
            (case, security)
        })
    }

    /// How wide a wait at the cap is spread.
    fn width(case: &Case, security: Security) -> Duration {
        use failover_core::policy::Jitter;
        let pace = case.policy.pace();
        let at_cap = match pace.backoff {
            Backoff::Constant(wait) => wait.min(pace.cap),
            Backoff::Exponential { .. } | Backoff::Affine { .. } => {
                // Forty waits must be enough to get there.
                pace.backoff.wait(39, pace.cap)
            }
            // From a tiny base, forty waits may not get there.
            Backoff::Decorrelated { base } if base < Duration::from_millis(1) => {
                return Duration::ZERO;
            }
            Backoff::Decorrelated { base } => return pace.cap - base,
            Backoff::PhaseLadder { spread, tls_spread } => {
                return match security {
                    Security::Plain => spread / 2,
                    Security::Tls => tls_spread / 2,
                };
            }
            _ => return Duration::ZERO,
        };
        // What is drawn below the hard floor is waited as the floor.
        if at_cap < Duration::from_millis(20) {
            return Duration::ZERO;
        }
        let above_min = at_cap.saturating_sub(pace.min);
        match case.policy.jitter(security) {
            Jitter::UpTo(width) => width,
            Jitter::Proportional(p) => above_min.min(at_cap * p.ppm() / 2_000_000),
            Jitter::Full => above_min,
            Jitter::Equal => above_min.min(at_cap / 2),
            _ => Duration::ZERO,
        }
    }
}

mod the_cases {
    use super::*;

    #[test]
    fn cover_what_a_life_can_be() {
        let mut seen = std::collections::BTreeMap::<&str, usize>::new();
        let mut runner = TestRunner::deterministic();
        for _ in 0..300 {
            let case = strategy::any_case()
                .new_tree(&mut runner)
                .unwrap()
                .current();
            let trace = case.storm();
            let last = trace.steps.last().unwrap();
            let mut note = |what| *seen.entry(what).or_default() += 1;
            match last.status {
                Status::Connected { .. } => note("ends connected"),
                Status::Closed(_) => note("ends closed"),
                Status::Waiting { .. } | Status::Dialing { .. } => note("ends on its way"),
                Status::Starved => note("ends starved"),
                Status::Paused => note("ends paused"),
                _ => {}
            }
            if trace.dials().count() > 20 {
                note("dials often");
            }
            if case.policy.standing().overlap == Overlap::Forbidden {
                note("forbids overlap");
            }
            if trace.steps.iter().any(|step| step.asked.len() > 1) {
                note("asks hooks");
            }
            for step in &trace.steps {
                match (step.input, step.answer) {
                    (Input::Held { .. }, Answer::Taken) => note("holds a dial"),
                    (Input::Begun { .. }, Answer::Taken) => note("lets a held one begin"),
                    (Input::Rests { .. }, Answer::Taken) => note("hears of a bad one"),
                    (Input::Recovered { .. }, Answer::Taken) => note("hears of one that is back"),
                    _ => {}
                }
            }
            if case.policy.order().walk == Walk::FirstReady {
                note("goes to the first that is ready");
            }
            if case.policy.pace().every == Every::Return {
                note("waits before each return");
            }
        }
        for what in [
            "ends connected",
            "ends closed",
            "ends on its way",
            "dials often",
            "forbids overlap",
            "asks hooks",
            "holds a dial",
            "lets a held one begin",
            "hears of a bad one",
            "hears of one that is back",
            "goes to the first that is ready",
            "waits before each return",
        ] {
            assert!(seen.get(what).is_some_and(|n| *n >= 10), "{what}: {seen:?}");
        }
    }

    #[test]
    fn any_bytes_make_a_policy_that_build_accepts() {
        let steps = AtomicUsize::new(0);
        let bytes = proptest::collection::vec(any::<u8>(), 0..64);
        check("cases", bytes, &steps, |bytes| {
            prop_assert!(Case::policy_from_bytes(&bytes).build().is_ok());
            Ok(())
        });
    }
}

fn in_the_storm(name: &str, law: laws::Law) {
    let steps = AtomicUsize::new(0);
    check(name, strategy::any_case(), &steps, |case| {
        let trace = case.storm();
        steps.fetch_add(trace.steps.len(), Ordering::Relaxed);
        judge(&trace, law(&trace))
    });
}

fn judge(trace: &Trace, verdict: Result<(), laws::Violation>) -> Result<(), TestCaseError> {
    verdict.map_err(|violation| {
        let from = violation.at.saturating_sub(8);
        let life = trace.to_string();
        let numbered = |line: &&str| !line.starts_with("         ");
        let mut number = 0;
        let mut shown = String::new();
        for line in life.lines() {
            number += usize::from(numbered(&line));
            if (from..=violation.at + 1).contains(&(number - 1)) {
                shown += line;
                shown.push('\n');
            }
        }
        TestCaseError::fail(format!("{violation}\n{shown}"))
    })
}

static ALL_STEPS: AtomicUsize = AtomicUsize::new(0);

fn check<S: Strategy>(
    name: &str,
    strategy: S,
    steps: &AtomicUsize,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let cases = std::env::var("FAILOVER_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(1024);
    let mut config = ProptestConfig::with_cases(cases);
    config.max_shrink_iters = 4_000;
    config.failure_persistence = Some(Box::new(FileFailurePersistence::Direct(
        "tests/laws.regressions",
    )));
    config.source_file = Some(file!());
    let outcome = TestRunner::new(config).run(&strategy, test);
    let steps = steps.load(Ordering::Relaxed);
    let all = ALL_STEPS.fetch_add(steps, Ordering::Relaxed) + steps;
    // Written past the capture of passing tests.
    let _ = writeln!(
        std::io::stderr(),
        "{name}: {cases} cases, {steps} steps of the machine; {all} in all so far"
    );
    if let Err(failed) = outcome {
        panic!("{name}: {failed}");
    }
}
