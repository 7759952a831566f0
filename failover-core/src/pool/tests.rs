//! The index against the scan, by what the machine asks of them.

#[cfg(feature = "proptest")]
use core::time::Duration;

use proptest::prelude::*;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use super::{Finder, Of, Pool, Special, Wanted};
use crate::endpoint::{EndpointId, Security, Traits};
use crate::policy::{Health, Shuffle, Walk};
use crate::pool::{Condition, SlotIndex};
#[cfg(feature = "proptest")]
use crate::testing::laws;
use crate::time::Time;

impl Pool {
    /// The same with an index, however short the list is.
    pub(crate) fn with_index(mut self, walk: Walk, rng: &mut impl Rng) -> Self {
        self.build_index(walk, rng);
        self
    }
}

/// What happens to an endpoint, or to all. Endpoints are drawn modulo the length.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(u64),
    Pick(Ask),
    Soonest(Ask),
    Counts,
    Skip(u32),
    Give(u32),
    Fail(u32),
    Mark(u32),
    Suspend(u32),
    Retire(u32),
    Answered(u32),
    Stable(u32),
    Off(u32),
    On(u32),
    Remove(u32),
    Add { tier: u8, weight: u16 },
    NextSweep,
    NextOutage,
}

/// One question.
#[derive(Clone, Copy, Debug)]
struct Ask {
    any: Whose,
    ahead: u64,
    special: Option<(u32, Special)>,
    only: Option<u32>,
    below: Option<u8>,
    except: [u32; 2],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Whose {
    Fresh,
    All,
    /// The fresh, or else all.
    Any,
}

/// The same endpoints, found in both ways.
struct Twins {
    walk: Walk,
    scan: Pool,
    index: Pool,
    rngs: [Xoshiro256PlusPlus; 2],
    now: Time,
    outage: u32,
    visited: Vec<SlotIndex>,
}

impl Twins {
    fn new(walk: Walk, traits: &[(u8, u16)]) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let list: Vec<Traits> = (0..)
            .zip(traits)
            .map(|(id, one)| endpoint(id, *one))
            .collect();
        let scan = Pool::new(list.into(), walk, &mut rng);
        Self {
            walk,
            index: scan.clone().with_index(walk, &mut rng),
            scan,
            rngs: [2, 3].map(Xoshiro256PlusPlus::seed_from_u64),
            now: Time::ZERO,
            outage: 1,
            visited: Vec::new(),
        }
    }

    fn draws(&self) -> bool {
        matches!(self.walk, Walk::Shuffled(_) | Walk::Weighted)
    }

    fn both(&mut self, mut change: impl FnMut(&mut Pool)) {
        change(&mut self.scan);
        change(&mut self.index);
    }

    fn step(&mut self, step: Step) {
        let (now, outage, health) = (self.now, self.outage, Health::default());
        let len = u32::try_from(self.scan.slots().len()).unwrap();
        let real = |slot: u32| slot % len;
        match step {
            Step::Pass(nanos) => self.now = now.after(nanos * 100_000_000),
            Step::Pick(ask) => self.pick(ask),
            Step::Soonest(ask) => {
                let (wanted, except) = self.wanted(ask);
                let scanned = self.scan.soonest(&wanted, except.into_iter());
                let found = self.index.soonest(&wanted, except.into_iter());
                assert_eq!(found.map(|at| at.max(now)), scanned.map(|at| at.max(now)));
            }
            Step::Counts => {
                for of in [Of::All, Of::Visited] {
                    assert_eq!(self.scan.census(of, outage), self.index.census(of, outage));
                }
                for slot in 0..len {
                    let alone = self.scan.is_alone(slot, outage);
                    assert_eq!(self.index.is_alone(slot, outage), alone);
                }
            }
            Step::Skip(slot) => self.both(|pool| pool.skip_turn(real(slot))),
            Step::Give(slot) => {
                self.both(|pool| pool.give_turn(real(slot)));
                self.visited.retain(|visited| *visited != real(slot));
            }
            Step::Fail(slot) => self.both(|pool| pool.slot_mut(real(slot)).failed(outage)),
            Step::Mark(slot) => self.both(|pool| pool.slot_mut(real(slot)).mark(&health, now)),
            Step::Suspend(slot) => {
                self.both(|pool| pool.slot_mut(real(slot)).suspend(&health, now))
            }
            Step::Retire(slot) => self.both(|pool| pool.slot_mut(real(slot)).retire(outage)),
            Step::Answered(slot) => self.both(|pool| pool.slot_mut(real(slot)).answered(now)),
            Step::Stable(slot) => self.both(|pool| pool.slot_mut(real(slot)).proved_stable()),
            Step::Off(slot) => {
                self.both(|pool| pool.slot_mut(real(slot)).switch_off(Condition::Off))
            }
            Step::On(slot) => self.both(|pool| pool.slot_mut(real(slot)).switch_on(now)),
            Step::Remove(slot) => {
                self.both(|pool| pool.slot_mut(real(slot)).switch_off(Condition::Removed));
            }
            Step::Add { tier, weight } if len < 64 => {
                let traits = endpoint(len, (tier, weight));
                let (walk, [one, other]) = (self.walk, &mut self.rngs);
                assert_eq!(self.scan.add(traits, walk, one), Some(len));
                assert_eq!(self.index.add(traits, walk, other), Some(len));
            }
            Step::Add { .. } => {}
            Step::NextSweep => {
                self.both(Pool::next_sweep);
                self.visited.clear();
            }
            Step::NextOutage => self.outage += 1,
        }
    }

    fn wanted(&self, ask: Ask) -> (Wanted, [SlotIndex; 2]) {
        let len = u32::try_from(self.scan.slots().len()).unwrap();
        let wanted = Wanted {
            walk: self.walk,
            now: self.now,
            ready: self.now.after(ask.ahead * 100_000_000),
            outage: self.outage,
            special: ask.special.map(|(slot, place)| (slot % len, place)),
            only: ask.only.map(|slot| slot % len),
            below: ask.below,
        };
        (wanted, ask.except.map(|slot| slot % len))
    }

    /// Both pick the same; or, where lots are drawn, somebody if the other does, of the same tier and
    /// who may be. Then both take the turn of the one that the index picked.
    fn pick(&mut self, ask: Ask) {
        let (wanted, except) = self.wanted(ask);
        let [one, other] = &mut self.rngs;
        let (scanned, found) = match ask.any {
            Whose::Fresh => (
                self.scan.pick_fresh(&wanted, one, except.into_iter()),
                self.index.pick_fresh(&wanted, other, except.into_iter()),
            ),
            Whose::All => (
                self.scan.pick_whoever(&wanted, one, except.into_iter()),
                self.index.pick_whoever(&wanted, other, except.into_iter()),
            ),
            Whose::Any => (
                self.scan.pick_any(&wanted, one, except.into_iter()),
                self.index.pick_any(&wanted, other, except.into_iter()),
            ),
        };
        match self.draws() {
            false => assert_eq!(found, scanned),
            true => {
                let tier = |slot: SlotIndex| self.scan.traits(slot).in_tier();
                assert_eq!(found.map(tier), scanned.map(tier));
                let special = |slot| wanted.special.map(|(special, _)| special == slot);
                assert_eq!(found.and_then(special), scanned.and_then(special));
            }
        }
        let Some(found) = found else { return };
        assert!(wanted.takes(found, &self.scan.traits(found), self.scan.slot(found)));
        assert!(!except.contains(&found));
        if ask.any == Whose::Fresh {
            assert!(!self.visited.contains(&found), "a second turn in one sweep");
        }
        self.visited.push(found);
        self.both(|pool| pool.take_turn(found));
        assert_eq!(self.scan.had_turn(found), self.index.had_turn(found));
    }
}

fn endpoint(id: u32, (tier, weight): (u8, u16)) -> Traits {
    let traits = Traits::new(EndpointId::new(id)).route(Security::Plain);
    traits.tier(tier).weight(weight)
}

const WALKS: [Walk; 8] = [
    Walk::Listed,
    Walk::FirstReady,
    Walk::Rotate,
    Walk::LeastFailed,
    Walk::Weighted,
    Walk::Shuffled(Shuffle::Once),
    Walk::Shuffled(Shuffle::EachLoss),
    Walk::Shuffled(Shuffle::EachSweep),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_index_answers_as_the_scan_does(
        walk in proptest::sample::select(&WALKS[..]),
        traits in proptest::collection::vec((0..3_u8, 1..9_u16), 1..60),
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        let mut twins = Twins::new(walk, &traits);
        for step in steps {
            twins.step(step);
        }
    }
}

#[cfg(feature = "proptest")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Whole lives of machines: the same where no lots are drawn, lawful everywhere.
    #[test]
    fn a_machine_with_an_index_lives_as_one_that_scans(case in crate::testing::strategy::any_case()) {
        let [scanned, indexed] = [case.world(), case.world().with_index()].map(|mut world| {
            world.start();
            world.run_until(Time::ZERO + Duration::from_secs(60), 600);
            world.heal();
            world.run_until(world.now() + Duration::from_secs(60), 600);
            world.into_trace()
        });
        if let Walk::Listed | Walk::FirstReady | Walk::Rotate | Walk::LeastFailed = case.policy.order().walk {
            prop_assert_eq!(&scanned, &indexed);
        }
        // A replay scans again, and draws other lots.
        for (name, law) in laws::ALL.iter().filter(|(name, _)| !["L5", "L12"].contains(name)) {
            let found = law(&indexed).map_err(|violation| violation.to_string());
            prop_assert_eq!((name, found), (name, Ok(())));
        }
    }
}

#[test]
fn one_that_is_retired_in_two_outages_comes_back_from_both() {
    let mut twins = Twins::new(Walk::Listed, &[(0, 1); 2]);
    for step in [
        Step::Retire(1),
        Step::Counts,
        Step::NextOutage,
        Step::Stable(1),
        Step::Retire(1),
        Step::Counts,
        Step::NextOutage,
        Step::Counts,
    ] {
        twins.step(step);
    }
}

#[test]
fn a_list_that_grows_long_gets_an_index_and_goes_on_with_its_sweep() {
    for walk in WALKS {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
        let list: Vec<Traits> = (0..64).map(|id| endpoint(id, (0, 1))).collect();
        let mut pool = Pool::new(list.into(), walk, &mut rng);
        (0..10).for_each(|slot| pool.take_turn(slot));
        pool.slot_mut(10).switch_off(Condition::Off);
        assert!(matches!(pool.finder, Finder::Scan(_)));
        assert_eq!(pool.add(endpoint(64, (0, 1)), walk, &mut rng), Some(64));
        assert!(matches!(pool.finder, Finder::Long(_)));
        let wanted = anybody(walk);
        let mut rest: Vec<SlotIndex> = std::iter::from_fn(|| {
            let found = pool.pick_fresh(&wanted, &mut rng, std::iter::empty())?;
            pool.take_turn(found);
            Some(found)
        })
        .collect();
        rest.sort_unstable();
        assert_eq!(rest, (11..=64).collect::<Vec<_>>());
    }
}

#[test]
fn who_stays_keeps_its_place_in_the_walk_and_its_turn() {
    for (walk, len) in WALKS
        .into_iter()
        .flat_map(|walk| [(walk, 40), (walk, 100), (walk, 250)])
    {
        let (mut pool, mut rng) = littered(walk, len);
        let before = sweep(&mut pool.clone(), walk, &mut rng);
        let moved = pool.tidy(walk, &mut rng, |slot| slot == 7);
        let left = pool.list.iter().map(|traits| traits.id().number());
        let last = len - 1;
        let stay = |id: &u32| id.is_multiple_of(3) || [7, last].contains(id);
        assert_eq!(
            left.collect::<Vec<_>>(),
            (0..=last).filter(stay).collect::<Vec<_>>()
        );
        assert_eq!(
            (moved.to(6), moved.to(7), moved.to(8)),
            (Some(2), Some(3), None)
        );
        assert_eq!(matches!(pool.finder, Finder::Long(_)), len == 250, "{len}");
        let mut after = sweep(&mut pool, walk, &mut rng);
        let mut before = before;
        if let Walk::Weighted | Walk::Shuffled(Shuffle::EachLoss | Shuffle::EachSweep) = walk {
            before.sort_unstable();
            after.sort_unstable();
        }
        assert_eq!(after, before, "{walk:?}, {len}");
    }
}

#[test]
fn an_id_that_was_used_is_refused_although_its_endpoint_is_forgotten() {
    let (mut pool, mut rng) = littered(Walk::Rotate, 40);
    pool.tidy(Walk::Rotate, &mut rng, |_| false);
    for used in [38, 39] {
        let again = endpoint(used, (0, 1));
        assert_eq!(pool.add(again, Walk::Rotate, &mut rng), None);
    }
    let fresh = endpoint(40, (0, 1));
    assert!(pool.add(fresh, Walk::Rotate, &mut rng).is_some());
}

#[test]
fn that_there_ever_was_a_lower_tier_is_not_forgotten() {
    let (mut pool, mut rng) = littered(Walk::Rotate, 40);
    for (id, tier) in [(40, 2), (41, 0), (42, 2)] {
        pool.add(endpoint(id, (tier, 1)), Walk::Rotate, &mut rng);
    }
    for slot in 0..42 {
        pool.slot_mut(slot).switch_off(Condition::Removed);
    }
    for _ in 0..2 {
        pool.tidy(Walk::Rotate, &mut rng, |_| false);
        assert!(pool.has_tier_below(1));
        assert_eq!(pool.list.len(), 2);
    }
}

/// Of so many endpoints, two of three were removed, and the last one. Some had their turn, others failed.
fn littered(walk: Walk, len: u32) -> (Pool, Xoshiro256PlusPlus) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(u64::from(len));
    let list: Vec<Traits> = (0..len).map(|id| endpoint(id, (0, 1))).collect();
    let mut pool = Pool::new(list.into(), walk, &mut rng);
    if let Walk::Shuffled(_) = walk {
        pool.shuffle(&mut rng);
    }
    for slot in 0..len {
        if slot % 5 == 1 {
            pool.take_turn(slot);
        }
        if slot % 7 == 2 {
            pool.slot_mut(slot).failed(1);
        }
        if slot % 3 != 0 || slot == len - 1 {
            pool.slot_mut(slot).switch_off(Condition::Removed);
        }
    }
    pool.take_turn(6);
    (pool, rng)
}

/// Whoever is ready, by this walk.
fn anybody(walk: Walk) -> Wanted {
    Wanted {
        walk,
        now: Time::ZERO,
        ready: Time::ZERO,
        outage: 1,
        special: None,
        only: None,
        below: None,
    }
}

/// The ids of those who still have a turn, in the order in which they get it.
fn sweep(pool: &mut Pool, walk: Walk, rng: &mut impl Rng) -> Vec<u32> {
    let wanted = anybody(walk);
    std::iter::from_fn(|| {
        let found = pool.pick_fresh(&wanted, rng, std::iter::empty())?;
        pool.take_turn(found);
        Some(pool.id(found).number())
    })
    .collect()
}

fn step() -> impl Strategy<Value = Step> {
    let slot = any::<u32>;
    prop_oneof![
        3 => (0..40_u64).prop_map(Step::Pass),
        12 => ask().prop_map(Step::Pick),
        3 => ask().prop_map(Step::Soonest),
        1 => Just(Step::Counts),
        1 => slot().prop_map(Step::Skip),
        1 => slot().prop_map(Step::Give),
        4 => slot().prop_map(Step::Fail),
        3 => slot().prop_map(Step::Mark),
        3 => slot().prop_map(Step::Suspend),
        3 => slot().prop_map(Step::Retire),
        1 => slot().prop_map(Step::Answered),
        1 => slot().prop_map(Step::Stable),
        1 => slot().prop_map(Step::Off),
        1 => slot().prop_map(Step::On),
        1 => slot().prop_map(Step::Remove),
        1 => (0..3_u8, 1..9_u16).prop_map(|(tier, weight)| Step::Add { tier, weight }),
        1 => Just(Step::NextSweep),
        1 => Just(Step::NextOutage),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let place = prop_oneof![Just(Special::First), Just(Special::Last)];
    (
        prop_oneof![3 => Just(Whose::Fresh), 1 => Just(Whose::All), 1 => Just(Whose::Any)],
        prop_oneof![Just(0), 0..50_u64],
        proptest::option::weighted(0.3, (any::<u32>(), place)),
        proptest::option::weighted(0.1, any::<u32>()),
        proptest::option::weighted(0.2, 0..3_u8),
        any::<[u32; 2]>(),
    )
        .prop_map(|(any, ahead, special, only, below, except)| Ask {
            any,
            ahead,
            special,
            only,
            below,
            except,
        })
}
