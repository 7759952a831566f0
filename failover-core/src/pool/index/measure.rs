//! How fast it is. Run by hand, in release:
//! `cargo test --release -p failover-core --lib pool::index::measure -- --ignored --nocapture`

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "measures real time"
)]

use std::hint::black_box;
use std::time::Instant;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::{Among, Index, IndexWalk};
use crate::time::Time;

#[test]
#[ignore = "measurement: run by hand in release"]
fn picks_and_churn() {
    println!("walk size: ms to build, until all are ready that become it at once");
    println!("  | ns: pick, pick of the tenth that is ready, dial and churn");
    for walk in [
        IndexWalk::Listed,
        IndexWalk::Rotate,
        IndexWalk::Shuffled,
        IndexWalk::Drawn,
        IndexWalk::Weighted,
        IndexWalk::LeastFailed,
    ] {
        for size in [10, 1_000, 1_000_000] {
            measure(walk, size);
        }
    }
}

fn measure(walk: IndexWalk, size: u32) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let slots: Vec<(u8, u16)> = (0..size)
        .map(|_| (rng.random_range(0..2), rng.random_range(1..100)))
        .collect();
    let start = Instant::now();
    let mut index = Index::new(walk, &slots, &mut rng);
    let build = start.elapsed().as_secs_f64() * 1e3;

    let pick = picks(&mut index, size, &mut rng);
    let mut sparse = index.clone();
    for slot in (0..size).filter(|slot| slot % 10 != 3) {
        sparse.set_ready(slot, None);
    }
    let tenth = picks(&mut sparse, size, &mut rng);
    let churn = churn(&mut index, size, &mut rng);
    let all = all_at_once(&mut sparse, size, &mut rng);
    println!("{walk:?} {size}: {build:.1} {all:.1} | {pick:.1} {tenth:.1} {churn:.1}");
}

/// The worst that a pick can meet: everybody becomes ready in the same instant.
fn all_at_once(index: &mut Index, size: u32, rng: &mut Xoshiro256PlusPlus) -> f64 {
    let then = Time::from_nanos(1_000);
    (0..size).for_each(|slot| index.set_ready(slot, Some(then)));
    let start = Instant::now();
    black_box(index.pick(Among::Fresh, 0, rng, then));
    start.elapsed().as_secs_f64() * 1e3
}

/// The bare pick, from a random place.
fn picks(index: &mut Index, size: u32, rng: &mut Xoshiro256PlusPlus) -> f64 {
    each(500_000, |_| {
        let place = rng.random_range(0..size);
        black_box(index.pick(Among::Fresh, place, rng, Time::ZERO));
    })
}

/// A pick, its turn, its failure, and half of the list away at a time: with every dial one goes
/// and one becomes ready.
fn churn(index: &mut Index, size: u32, rng: &mut Xoshiro256PlusPlus) -> f64 {
    let mut now = 0;
    let mut place = 0;
    let mut dial = |_| {
        now += 1_000;
        let time = Time::from_nanos(now);
        let found = index.pick(Among::Fresh, place, rng, time).or_else(|| {
            index.next_sweep();
            index.pick(Among::Fresh, place, rng, time)
        });
        let Some(found) = found else { return };
        index.take_turn(found);
        index.set_failures(found, (now / 1_000 % 7) as u32);
        let away = rng.random_range(0..u64::from(size) * 1_000);
        index.set_ready(found, Some(Time::from_nanos(now + away)));
        place = index.place(found) + 1;
    };
    each(u64::from(size), &mut dial);
    each(500_000, dial)
}

/// The best of some rounds, so that others on the machine disturb it less.
fn each(times: u64, mut step: impl FnMut(u64)) -> f64 {
    let round = |_| {
        let start = Instant::now();
        (0..times).for_each(&mut step);
        start.elapsed().as_secs_f64() * 1e9 / times as f64
    };
    (0..5).map(round).fold(f64::INFINITY, f64::min)
}
