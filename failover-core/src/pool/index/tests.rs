//! The index against the scan that it stands for.

use proptest::prelude::*;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::{Among, Index, IndexWalk};
use crate::time::Time;

const WALKS: [IndexWalk; 6] = [
    IndexWalk::Listed,
    IndexWalk::Rotate,
    IndexWalk::Shuffled,
    IndexWalk::Drawn,
    IndexWalk::Weighted,
    IndexWalk::LeastFailed,
];

/// What happens to a list. Slots are drawn modulo the length.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Pick and take the turn, this much later; then goes away for so long.
    Dial {
        later: u64,
        away: Option<u64>,
    },
    /// Pick, looking ahead to the soonest, or so far.
    Ahead {
        far: Option<u64>,
    },
    /// Pick, whoever had a turn.
    Any,
    /// Time passes: is anybody ready, who had a turn?
    Ask {
        later: u64,
        slot: u32,
    },
    /// Ask, at an earlier time.
    Back {
        earlier: u64,
    },
    Ready {
        slot: u32,
        after: u64,
    },
    Never {
        slot: u32,
    },
    Failures {
        slot: u32,
        failures: u32,
    },
    TakeTurn {
        slot: u32,
    },
    NextSweep,
    Push {
        tier: u8,
        weight: u16,
    },
    Remove {
        slot: u32,
    },
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_index_picks_what_the_scan_picks(
        walk in proptest::sample::select(&WALKS[..]),
        slots in slots(0..300),
        steps in proptest::collection::vec(step(), 0..400),
        seed: u64,
    ) {
        Pair::new(walk, &slots, seed).run(&steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn also_in_long_lists(
        walk in proptest::sample::select(&WALKS[..]),
        slots in slots(2_000..5_000),
        steps in proptest::collection::vec(step(), 0..600),
        seed: u64,
    ) {
        Pair::new(walk, &slots, seed).run(&steps);
    }

    #[test]
    fn a_sweep_visits_every_ready_slot_once(
        walk in proptest::sample::select(&WALKS[..]),
        slots in slots(1..1_500),
        away in proptest::collection::vec(any::<u32>(), 0..2_000),
        seed: u64,
    ) {
        let mut pair = Pair::new(walk, &slots, seed);
        for slot in away {
            pair.step(Step::Never { slot });
        }
        let ready = (0..slots.len()).filter(|&slot| pair.scan.slots[slot].ready == Some(0)).count();
        for _ in 0..3 {
            let mut visited = vec![false; slots.len()];
            while let Some(found) = pair.pick(Time::ZERO) {
                prop_assert!(!visited[found as usize]);
                visited[found as usize] = true;
                pair.take_turn(found);
            }
            prop_assert_eq!(visited.iter().filter(|&&visited| visited).count(), ready);
            pair.step(Step::NextSweep);
        }
    }
}

#[test]
fn draws_are_uniform_among_the_ready() {
    // Every third is away, the second tier never comes up.
    let mut pair = Pair::new(IndexWalk::Drawn, &two_tiers(400, |_| 7), 1);
    let ready: Vec<u32> = (0..400).filter(|slot| slot % 3 != 0).collect();
    for slot in (0..400).step_by(3) {
        pair.step(Step::Never { slot });
    }
    let shares: Vec<(u32, f64)> = ready.iter().map(|&slot| (slot, 1.0)).collect();
    check_shares(&mut pair, &shares, 200_000, |_| {});
}

#[test]
fn draws_are_in_proportion_to_the_weights() {
    let weight = |slot: u32| u16::try_from(1 + slot % 50).unwrap();
    let mut pair = Pair::new(IndexWalk::Weighted, &two_tiers(300, weight), 2);
    for slot in (0..300).step_by(7) {
        pair.step(Step::Never { slot });
    }
    let shares: Vec<(u32, f64)> = (0..300)
        .filter(|slot| slot % 7 != 0)
        .map(|slot| (slot, f64::from(weight(slot))))
        .collect();
    check_shares(&mut pair, &shares, 300_000, |_| {});

    // In the next sweep some have had their turn.
    let (_, fresh): (Vec<_>, Vec<_>) = shares.into_iter().partition(|&(slot, _)| slot % 5 == 0);
    check_shares(&mut pair, &fresh, 300_000, |pair| {
        pair.step(Step::NextSweep);
        (0..300).step_by(5).for_each(|slot| pair.take_turn(slot));
    });
}

#[test]
fn draws_are_uniform_among_those_who_still_have_a_turn() {
    let mut pair = Pair::new(IndexWalk::Drawn, &two_tiers(200, |_| 1), 3);
    let fresh: Vec<(u32, f64)> = (100..200).map(|slot| (slot, 1.0)).collect();
    check_shares(&mut pair, &fresh, 100_000, |pair| {
        pair.step(Step::NextSweep);
        (0..100).for_each(|slot| pair.take_turn(slot));
    });
}

#[test]
fn an_order_of_four_is_each_of_the_24_equally_often() {
    for walk in [IndexWalk::Drawn, IndexWalk::Shuffled] {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
        let mut orders = std::collections::BTreeMap::new();
        let draws = 120_000;
        for _ in 0..draws {
            let mut index = Index::new(walk, &[(0, 1); 3], &mut rng);
            index.push(0, 1, &mut rng);
            let order: Vec<u32> = std::iter::from_fn(|| {
                let found = index.pick(Among::Fresh, 0, &mut rng, Time::ZERO)?;
                index.take_turn(found);
                Some(found)
            })
            .collect();
            *orders.entry(order).or_insert(0_u32) += 1;
        }
        assert_eq!(orders.len(), 24);
        let counts: Vec<(f64, f64)> = orders
            .values()
            .map(|&count| (f64::from(count), f64::from(draws) / 24.0))
            .collect();
        check_chi_square(&counts);
    }
}

#[test]
fn a_shuffled_list_keeps_its_order_over_the_sweeps() {
    let mut pair = Pair::new(IndexWalk::Shuffled, &[(0, 1); 200], 5);
    let mut sweep = || -> Vec<u32> {
        pair.step(Step::NextSweep);
        std::iter::from_fn(|| {
            let found = pair.pick(Time::ZERO)?;
            pair.take_turn(found);
            pair.place = pair.index.place(found) + 1;
            Some(found)
        })
        .collect()
    };
    let first = sweep();
    assert_eq!(sweep(), first);
    assert_ne!(first, (0..200).collect::<Vec<u32>>());
}

#[test]
fn the_same_seed_gives_the_same_picks() {
    for walk in WALKS {
        let [one, other] = [9, 9].map(|seed| {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let mut index = Index::new(walk, &two_tiers(500, |_| 3), &mut rng);
            let picks: Vec<_> = (0..600)
                .map(|place| {
                    let found = index.pick(
                        Among::Fresh,
                        place,
                        &mut rng,
                        Time::from_nanos(place.into()),
                    );
                    found.inspect(|&found| {
                        index.take_turn(found);
                    })
                })
                .collect();
            (index, picks)
        });
        assert_eq!(one, other);
    }
}

#[test]
fn nobody_is_next_in_an_empty_list() {
    for walk in WALKS {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(6);
        let mut index = Index::new(walk, &[], &mut rng);
        assert_eq!(index.pick(Among::Fresh, 3, &mut rng, Time::MAX), None);
        assert_eq!(index.soonest(), None);
        index.set_ready(0, Some(Time::ZERO));
        assert!(!index.take_turn(7) && !index.give_turn(7));
        index.remove(7);
        assert!(!index.any_ready(Time::ZERO));
        assert_eq!(index.push(0, 1, &mut rng), 0);
        assert_eq!(index.pick(Among::Fresh, 0, &mut rng, Time::ZERO), Some(0));
    }
}

#[test]
fn a_removed_slot_stays_away() {
    for walk in WALKS {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let mut index = Index::new(walk, &[(0, 1); 2], &mut rng);
        index.remove(0);
        index.set_failures(0, 3);
        index.set_ready(0, Some(Time::ZERO));
        index.set_ready(1, None);
        assert_eq!(index.pick(Among::Fresh, 0, &mut rng, Time::MAX), None);
        assert_eq!(index.push(0, 1, &mut rng), 2);
    }
}

#[test]
fn a_draw_ends_whatever_the_generator_says() {
    for word in [0, u64::MAX] {
        let mut rng = Stuck(word);
        let mut index = Index::new(IndexWalk::Weighted, &[(0, 5), (0, 3), (0, 0)], &mut rng);
        assert!(index.pick(Among::Fresh, 0, &mut rng, Time::ZERO).is_some());
    }
}

#[test]
fn the_last_tier_and_no_weight_are_visited_too() {
    for walk in WALKS {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(12);
        let mut index = Index::new(walk, &[(255, 0)], &mut rng);
        let found = index.pick(Among::Fresh, 0, &mut rng, Time::ZERO);
        assert_eq!(found, Some(0), "{walk:?}");
    }
}

#[test]
fn the_most_failures_stay_in_their_tier() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
    let mut index = Index::new(
        IndexWalk::LeastFailed,
        &[(255, 1), (254, 1), (3, 1)],
        &mut rng,
    );
    (0..3).for_each(|slot| index.set_failures(slot, u32::MAX));
    for expected in [2, 0, 1] {
        let found = index.pick(Among::Fresh, 0, &mut rng, Time::ZERO).unwrap();
        assert_eq!(found, expected);
        index.take_turn(found);
    }
    assert_eq!(index.pick(Among::Fresh, 0, &mut rng, Time::ZERO), None);
}

#[test]
fn looking_ahead_changes_nothing_until_the_time_comes() {
    for walk in WALKS {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(8);
        let mut index = Index::new(walk, &[(0, 1); 100], &mut rng);
        let at = Time::from_nanos;
        (0..100).for_each(|slot| index.set_ready(slot, Some(at(1_000 + u64::from(slot)))));
        let before = index.clone();
        let found = index
            .pick_ahead(Among::Fresh, 0, &mut rng, at(1_000))
            .unwrap();
        assert_eq!(found, 0);
        assert_eq!(index.soonest(), Some(at(1_000)));
        assert_eq!(index.pick(Among::Fresh, 0, &mut rng, at(999)), None);
        assert_eq!(index.soonest(), before.soonest());
        assert_eq!(index.pick(Among::Fresh, 0, &mut rng, at(1_000)).unwrap(), 0);
    }
}

#[test]
fn one_more_slot_wakes_nobody_who_was_looked_ahead_to() {
    for (walk, seed) in WALKS
        .iter()
        .flat_map(|&walk| (0..9).map(move |seed| (walk, seed)))
    {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut index = Index::new(walk, &[(0, 1); 100], &mut rng);
        let later = Time::from_nanos(1_000);
        (0..100).for_each(|slot| index.set_ready(slot, Some(later)));
        let ahead = index.pick_ahead(Among::Fresh, 0, &mut rng, later);
        assert!(ahead.is_some());
        let more = index.push(0, 1, &mut rng);
        let found = index.pick(Among::All, 0, &mut rng, Time::ZERO);
        assert_eq!(found, Some(more), "{walk:?}");
        index.set_ready(more, None);
        assert!(!index.any_ready(Time::ZERO), "{walk:?}");
        assert_eq!(index.soonest(), Some(later), "{walk:?}");
    }
}

#[test]
fn a_million_endpoints_come_and_go() {
    const N: u32 = 1_000_000;
    for walk in WALKS {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(10);
        let mut index = Index::new(walk, &two_tiers(N / 2, |_| 5), &mut rng);
        // One dial a millisecond; each goes away for a second.
        let mut place = 0;
        let mut seen = vec![0_u64; N as usize];
        for step in 1..20_000_u64 {
            let now = step * 1_000_000;
            let found = index
                .pick(Among::Fresh, place, &mut rng, Time::from_nanos(now))
                .or_else(|| {
                    index.next_sweep();
                    index.pick(Among::Fresh, place, &mut rng, Time::from_nanos(now))
                })
                .unwrap();
            let away_since = std::mem::replace(&mut seen[found as usize], now);
            assert!(away_since == 0 || now >= away_since + 1_000_000_000);
            index.take_turn(found);
            index.set_failures(found, 1);
            index.set_ready(found, Some(Time::from_nanos(now + 1_000_000_000)));
            place = index.place(found) + 1;
        }
        // Everybody goes away but one, who is found at once.
        for slot in (0..N).filter(|&slot| slot != 765_432) {
            index.set_ready(slot, None);
        }
        index.next_sweep();
        let last = index.pick(Among::Fresh, place, &mut rng, Time::from_nanos(1 << 40));
        assert_eq!(last.unwrap(), 765_432);
    }
}

/// A generator that says one word only.
struct Stuck(u64);

impl rand::rand_core::TryRng for Stuck {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.0 as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(self.0 as u8);
        Ok(())
    }
}

/// The index and the scan, side by side.
struct Pair {
    walk: IndexWalk,
    index: Index,
    scan: Scan,
    rng: Xoshiro256PlusPlus,
    now: u64,
    place: u32,
}

impl Pair {
    fn new(walk: IndexWalk, slots: &[(u8, u16)], seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let index = Index::new(walk, slots, &mut rng);
        let scan = Scan {
            slots: slots.iter().map(|&(tier, _)| ScanSlot::new(tier)).collect(),
        };
        Self {
            walk,
            index,
            scan,
            rng,
            now: 0,
            place: 0,
        }
    }

    fn run(&mut self, steps: &[Step]) {
        for &step in steps {
            self.step(step);
        }
        self.pick(Time::from_nanos(self.now));
        self.pick(Time::MAX);
    }

    fn step(&mut self, step: Step) {
        let len = u32::try_from(self.scan.slots.len()).unwrap();
        let real = |slot: u32| slot.checked_rem(len).unwrap_or(0);
        match step {
            Step::Dial { later, away } => {
                self.now += later;
                let Some(found) = self.pick(Time::from_nanos(self.now)) else {
                    return;
                };
                self.place = self.index.place(found) + 1;
                self.take_turn(found);
                let ready = away.map(|away| self.now + away);
                self.set_ready(found, ready);
                let failures = self.scan.slots[found as usize].failures + 1;
                self.set_failures(found, failures);
            }
            Step::Ahead { far } => {
                let soonest = self.scan.soonest(self.now).unwrap_or(Time::MAX);
                let at = far.map_or(soonest, |far| Time::from_nanos(self.now + far));
                let found = self
                    .index
                    .pick_ahead(Among::Fresh, self.place, &mut self.rng, at);
                self.check(found, Among::Fresh, at.as_nanos());
                assert_eq!(self.index.soonest(), self.scan.soonest(self.now));
            }
            Step::Any => {
                let now = Time::from_nanos(self.now);
                let found = self.index.pick(Among::All, self.place, &mut self.rng, now);
                self.check(found, Among::All, self.now);
            }
            Step::Ask { later, slot } => {
                self.now += later;
                let now = Time::from_nanos(self.now);
                let scanned = self.scan.slots.get(real(slot) as usize);
                let had_turn = scanned.is_some_and(|slot| slot.taken);
                assert_eq!(self.index.had_turn(real(slot)), had_turn);
                assert_eq!(self.index.any_ready(now), self.scan.any_ready(self.now));
                assert_eq!(self.index.soonest(), self.scan.soonest(self.now));
            }
            Step::Back { earlier } => {
                let back = Time::from_nanos(self.now.saturating_sub(earlier));
                self.pick(back);
            }
            Step::Ready { slot, after } => self.set_ready(real(slot), Some(self.now + after)),
            Step::Never { slot } => self.set_ready(real(slot), None),
            Step::Failures { slot, failures } => self.set_failures(real(slot), failures),
            Step::TakeTurn { slot } => self.take_turn(real(slot)),
            Step::NextSweep => {
                self.index.next_sweep();
                self.scan
                    .slots
                    .iter_mut()
                    .for_each(|slot| slot.taken = false);
            }
            Step::Push { tier, weight } => {
                assert_eq!(self.index.push(tier, weight, &mut self.rng), len);
                self.scan.slots.push(ScanSlot::new(tier));
            }
            Step::Remove { slot } => {
                self.index.remove(real(slot));
                if let Some(slot) = self.scan.slots.get_mut(real(slot) as usize) {
                    slot.removed = true;
                    slot.ready = None;
                }
            }
        }
    }

    /// Picks, and holds the answer against the scan's.
    fn pick(&mut self, now: Time) -> Option<u32> {
        let found = self
            .index
            .pick(Among::Fresh, self.place, &mut self.rng, now);
        self.check(found, Among::Fresh, now.as_nanos().max(self.now));
        found
    }

    fn check(&self, found: Option<u32>, among: Among, at: u64) {
        let legal = self.scan.legal(among, at);
        let at_place = |slot: u32| {
            let place = self.index.place(slot);
            (place < self.place, place)
        };
        let failures = |slot: u32| self.scan.slots[slot as usize].failures;
        let expected = match self.walk {
            IndexWalk::Listed => legal.iter().copied().min(),
            IndexWalk::Rotate | IndexWalk::Shuffled => {
                legal.iter().copied().min_by_key(|&slot| at_place(slot))
            }
            IndexWalk::LeastFailed => {
                let by = |&slot: &u32| (failures(slot), at_place(slot));
                legal.iter().copied().min_by_key(by)
            }
            IndexWalk::Drawn | IndexWalk::Weighted => {
                assert!(found.is_none_or(|slot| legal.contains(&slot)));
                found.or(legal.first().copied())
            }
        };
        assert_eq!(found, expected);
    }

    fn take_turn(&mut self, slot: u32) {
        self.index.take_turn(slot);
        if let Some(slot) = self.scan.slots.get_mut(slot as usize) {
            slot.taken = true;
        }
    }

    fn set_ready(&mut self, slot: u32, ready: Option<u64>) {
        self.index.set_ready(slot, ready.map(Time::from_nanos));
        if let Some(slot) = self.scan.slots.get_mut(slot as usize)
            && !slot.removed
        {
            slot.ready = ready;
        }
    }

    fn set_failures(&mut self, slot: u32, failures: u32) {
        self.index.set_failures(slot, failures);
        if let Some(slot) = self.scan.slots.get_mut(slot as usize) {
            slot.failures = failures;
        }
    }
}

/// A list that is walked, obviously right.
struct Scan {
    slots: Vec<ScanSlot>,
}

struct ScanSlot {
    tier: u8,
    ready: Option<u64>,
    failures: u32,
    taken: bool,
    removed: bool,
}

impl ScanSlot {
    fn new(tier: u8) -> Self {
        Self {
            tier,
            ready: Some(0),
            failures: 0,
            taken: false,
            removed: false,
        }
    }

    fn may_go(&self, among: Among, at: u64) -> bool {
        (among == Among::All || !self.taken) && self.ready.is_some_and(|ready| ready <= at)
    }
}

impl Scan {
    /// Who may be picked: the ready of the lowest tier that has any.
    fn legal(&self, among: Among, at: u64) -> Vec<u32> {
        let waiting: Vec<(u32, u8)> = (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.may_go(among, at))
            .map(|(index, slot)| (index, slot.tier))
            .collect();
        let lowest = waiting.iter().map(|&(_, tier)| tier).min();
        waiting
            .into_iter()
            .filter(|&(_, tier)| Some(tier) == lowest)
            .map(|(index, _)| index)
            .collect()
    }

    fn any_ready(&self, now: u64) -> bool {
        self.ready_times().any(|ready| ready <= now)
    }

    fn soonest(&self, now: u64) -> Option<Time> {
        let soonest = self.ready_times().filter(|&ready| ready > now).min();
        soonest.map(Time::from_nanos)
    }

    fn ready_times(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().filter_map(|slot| slot.ready)
    }
}

fn slots(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(u8, u16)>> {
    let one_tier = proptest::collection::vec((Just(0), 1..9_u16), len.clone());
    let few_tiers = proptest::collection::vec((0..4_u8, any::<u16>()), len.clone());
    let many_tiers = proptest::collection::vec((0..255_u8, 1..9_u16), len);
    prop_oneof![one_tier, few_tiers, many_tiers]
}

fn step() -> impl Strategy<Value = Step> {
    // Few distinct times, so that many fall together.
    let time = || prop_oneof![0..4_u64, 0..200_u64];
    let away = prop_oneof![Just(None), time().prop_map(Some)];
    let far = prop_oneof![Just(None), time().prop_map(Some)];
    let slot = any::<u32>;
    prop_oneof![
        8 => (time(), away).prop_map(|(later, away)| Step::Dial { later, away }),
        4 => far.prop_map(|far| Step::Ahead { far }),
        2 => Just(Step::Any),
        2 => (time(), slot()).prop_map(|(later, slot)| Step::Ask { later, slot }),
        1 => time().prop_map(|earlier| Step::Back { earlier }),
        4 => (slot(), time()).prop_map(|(slot, after)| Step::Ready { slot, after }),
        2 => slot().prop_map(|slot| Step::Never { slot }),
        2 => (slot(), 0..5_u32).prop_map(|(slot, failures)| Step::Failures { slot, failures }),
        3 => slot().prop_map(|slot| Step::TakeTurn { slot }),
        1 => Just(Step::NextSweep),
        2 => (0..6_u8, any::<u16>()).prop_map(|(tier, weight)| Step::Push { tier, weight }),
        1 => slot().prop_map(|slot| Step::Remove { slot }),
    ]
}

/// So many slots in the first tier, and as many in the second.
fn two_tiers(each: u32, weight: impl Fn(u32) -> u16) -> Vec<(u8, u16)> {
    let first = (0..each).map(|slot| (0, weight(slot)));
    let second = (0..each).map(|slot| (1, weight(slot)));
    first.chain(second).collect()
}

/// Draws often; each slot must come up according to its share, and no other.
fn check_shares(
    pair: &mut Pair,
    shares: &[(u32, f64)],
    draws: u32,
    prepare: impl FnOnce(&mut Pair),
) {
    prepare(pair);
    let mut counts = vec![0_u32; pair.scan.slots.len()];
    for _ in 0..draws {
        let now = Time::from_nanos(pair.now);
        let found = pair
            .index
            .pick(Among::Fresh, pair.rng.random(), &mut pair.rng, now);
        counts[found.unwrap() as usize] += 1;
    }
    let sum: f64 = shares.iter().map(|&(_, share)| share).sum();
    let counts: Vec<(f64, f64)> = shares
        .iter()
        .map(|&(slot, share)| {
            (
                f64::from(counts[slot as usize]),
                share / sum * f64::from(draws),
            )
        })
        .collect();
    let counted: f64 = counts.iter().map(|&(count, _)| count).sum();
    assert_eq!(counted, f64::from(draws), "somebody else was drawn");
    check_chi_square(&counts);
}

/// Chi-square of (counted, expected), within four standard deviations of its mean.
fn check_chi_square(counts: &[(f64, f64)]) {
    let chi: f64 = counts
        .iter()
        .map(|&(counted, expected)| (counted - expected).powi(2) / expected)
        .sum();
    let freedom = (counts.len() - 1) as f64;
    assert!(
        (chi - freedom).abs() < 4.0 * (2.0 * freedom).sqrt(),
        "chi-square {chi} of {freedom} degrees of freedom"
    );
}
