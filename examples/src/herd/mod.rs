//! A herd: the clients of a [`Scenario`], a million of them if need be, in figures.
//!
//! [`run`] plays the scenario with the real machine of every client, as `failover simulate` does, and
//! counts instead of telling. `docs/herd.md` says what each figure means.

mod clock;
mod contestant;
mod count;
mod healing;
mod memory;
mod plot;
mod report;
mod sheet;
pub mod tune;

use std::time::Duration;

use failover_core::policy::{Policy, Seed};
use failover_core::time::Time;

use self::clock::Clock;
pub use self::contestant::{Contestant, NoSuchContestant};
use self::count::Count;
pub use self::memory::{TooMany, check as check_memory, check_within as check_memory_of};
pub use self::plot::page;
pub use self::report::{Bin, Herd, ServerFigures, Waited, compared};
pub use self::sheet::{csv, rates};
use crate::scenario::Scenario;

/// The most things that may happen to one herd.
pub const MOST: u64 = 20_000_000_000;
/// Into how many slices a play is cut, to tell how far it is.
const SLICES: u32 = 400;

/// How far a play is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// The part of the scenario's time that is over, from 0 to 1.
    pub part: f64,
    /// How many clients are connected.
    pub connected: usize,
}

/// Plays the scenario with this policy for every client.
///
/// `name` is what the policy is called in reports. The scenario's number of clients and seed count.
#[must_use]
pub fn run(
    scenario: &Scenario,
    contestant: &Contestant,
    progress: &mut dyn FnMut(Progress),
) -> Herd {
    let scenario = scenario.under(contestant.policy.clone());
    let clock = Clock::start();
    let mut fleet = scenario.fleet();
    let mut count = Count::new(&scenario);
    let whole = scenario.until.since(Time::ZERO);
    let mut things = 0;
    for slice in 1..=SLICES {
        let end = Time::ZERO + part_of(whole, slice);
        things += fleet.run_until(end, MOST - things, &mut |fleet, moment| {
            count.note(fleet, moment);
        });
        count.pass(&fleet, end);
        progress(Progress {
            part: f64::from(slice) / f64::from(SLICES),
            connected: count.connected(),
        });
    }
    count.herd(&contestant.name, things >= MOST, &clock)
}

/// The same for several policies and seeds, so many at a time. The results are in the order of the
/// policies, then of the seeds, however many run at a time.
#[must_use]
pub fn run_all(
    scenario: &Scenario,
    contestants: &[Contestant],
    seeds: &[Seed],
    jobs: usize,
    done: &(dyn Fn(usize) + Sync),
) -> Vec<Herd> {
    let works: Vec<(&Contestant, Seed)> = contestants
        .iter()
        .flat_map(|contestant| seeds.iter().map(move |seed| (contestant, *seed)))
        .collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let finished = std::sync::Mutex::new(Vec::with_capacity(works.len()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, works.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some((contestant, seed)) = works.get(at) else {
                        return;
                    };
                    let world = Scenario {
                        seed: *seed,
                        ..scenario.clone()
                    };
                    let herd = run(&world, contestant, &mut |_| {});
                    let mut finished = finished.lock().unwrap_or_else(|e| e.into_inner());
                    finished.push((at, herd));
                    done(finished.len());
                }
            });
        }
    });
    let mut finished = finished.into_inner().unwrap_or_else(|e| e.into_inner());
    finished.sort_by_key(|(at, _)| *at);
    finished.into_iter().map(|(_, herd)| herd).collect()
}

/// The policy of the scenario itself.
#[must_use]
pub fn own(scenario: &Scenario) -> Contestant {
    let name = scenario.preset.as_deref().unwrap_or("scenario");
    Contestant::new(name, scenario.policy.clone())
}

fn part_of(whole: Duration, slice: u32) -> Duration {
    let nanos = whole.as_nanos() * u128::from(slice) / u128::from(SLICES);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Contestant {
    /// A policy and what to call it.
    #[must_use]
    pub fn new(name: impl Into<String>, policy: Policy) -> Self {
        Self {
            name: name.into(),
            policy,
        }
    }
}
