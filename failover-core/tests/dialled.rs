//! The laws once more, of what the connector really dialled: over random policies, lists, seeds,
//! weather, words of the user and mischief.
//!
//! `FAILOVER_CASES` says how many cases each property tries.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::cell::Cell;

use failover_core::machine::{Event, Status};
use failover_core::sim::Trace;
use failover_core::testing::{Case, Dialled, laws, strategy};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Those that can be seen from outside. L2, L6 and L13 judge plans, by what is in flight when they are
/// told: a dial is seen a moment after it is ordered. L5 and L12 play the machine again, which takes
/// what only the machine knows; that stale reports change nothing is seen by [`Dialled::faults`].
const OF_NEWS: [(&str, laws::Law); 7] = [
    ("L7", laws::l07_limits),
    ("L8", laws::l08_rate),
    ("L9", laws::l09_eligibility),
    ("L9, sweep", laws::l09_sweep),
    ("L10", laws::l10_failback),
    ("L11", laws::l11_close),
    ("L15", laws::l15_grammar),
];

#[test]
fn what_is_dialled_in_a_storm_breaks_no_law() {
    let dials = Cell::new(0);
    check(|case| {
        let dialled = case.dialled()?;
        dials.set(dials.get() + dialled.news.dials().count());
        obeys(&dialled)
    });
    assert!(dials.get() > 500, "{} dials", dials.get());
}

#[test]
fn once_the_world_heals_the_connector_is_connected_within_its_bound() {
    let connected = Cell::new(0);
    check(|case| {
        let (dialled, healed) = case.dialled_and_calm()?;
        let last = dialled.polls.steps.last().unwrap().status;
        connected.set(connected.get() + u32::from(matches!(last, Status::Connected { .. })));
        obeys(&dialled)?;
        judge(&dialled.polls, laws::l17_recovery(&dialled.polls, healed))?;
        judge(&dialled.polls, laws::l17_standing(&dialled.polls))
    });
    assert!(connected.get() > 25, "{} ended connected", connected.get());
}

#[test]
fn the_cases_reach_what_a_connector_can_meet() {
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    for _ in 0..300 {
        let case = strategy::any_case().new_tree(&mut runner).unwrap();
        let trace = case.current().dialled().unwrap().news;
        let events: Vec<&Event> = trace.events().map(|(_, event)| event).collect();
        let mut note = |what, is_so: bool| *seen.entry(what).or_default() += usize::from(is_so);
        let any = |is: fn(&Event) -> bool| events.iter().any(|event| is(event));
        note(
            "connected",
            any(|event| matches!(event, Event::Connected(_))),
        );
        note(
            "lost",
            any(|event| matches!(event, Event::Disconnected { .. })),
        );
        note(
            "failed over",
            any(|event| matches!(event, Event::FailedOver { .. })),
        );
        note("moved", any(|event| matches!(event, Event::Moved { .. })));
        note("spare", any(|event| matches!(event, Event::SpareReady(_))));
        note(
            "suspended",
            any(|event| matches!(event, Event::Suspended { .. })),
        );
        note("closed", any(|event| matches!(event, Event::Closed(_))));
        note("many dials", trace.dials().count() > 20);
    }
    assert!(
        seen.len() == 8 && seen.values().all(|n| *n >= 5),
        "{seen:?}"
    );
}

/// A connector that dials too soon would be seen: the same trace with its dials moved together.
#[test]
fn a_dial_that_comes_too_soon_is_seen() {
    let mut runner = TestRunner::deterministic();
    let caught = (0..50).filter(|_| {
        let case = strategy::any_case().new_tree(&mut runner).unwrap();
        let mut trace = case.current().dialled().unwrap().news;
        for step in &mut trace.steps {
            step.at = failover_core::time::Time::ZERO;
        }
        laws::l08_rate(&trace).is_err()
    });
    assert!(caught.count() > 10);
}

fn obeys(dialled: &Dialled) -> Result<(), TestCaseError> {
    prop_assert!(dialled.faults.is_empty(), "{:?}", dialled.faults);
    for (_, law) in OF_NEWS {
        judge(&dialled.news, law(&dialled.news))?;
    }
    judge(&dialled.polls, laws::l14_progress(&dialled.polls))
}

fn judge(trace: &Trace, verdict: Result<(), laws::Violation>) -> Result<(), TestCaseError> {
    verdict.map_err(|violation| {
        let around = violation.at.saturating_sub(8)..(violation.at + 2).min(trace.steps.len());
        let steps = trace.steps.get(around).unwrap_or_default().to_vec();
        let part = Trace {
            steps,
            ..trace.clone()
        };
        TestCaseError::fail(format!("{violation}\n{part}"))
    })
}

fn check(test: impl Fn(Case) -> Result<(), TestCaseError>) {
    let cases = std::env::var("FAILOVER_CASES");
    let cases = cases.ok().and_then(|cases| cases.parse().ok());
    let mut config = ProptestConfig::with_cases(cases.unwrap_or(256));
    config.failure_persistence = None;
    config.max_shrink_iters = 4_000;
    if let Err(failed) = TestRunner::new(config).run(&strategy::any_case(), test) {
        panic!("{failed}");
    }
}
