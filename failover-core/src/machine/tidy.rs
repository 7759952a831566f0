//! What is known of endpoints that left is given up, when they are more than those that are there.

use alloc::vec::Vec;

use crate::machine::{Condition, Machine, Stage, State};
use crate::pool::SlotIndex;

impl Machine {
    /// Gives up slots, if most are of endpoints that were removed. What happens next is the same as without.
    /// When it happens follows from what the machine knows alone.
    pub(super) fn tidy(&mut self) {
        if self.pool.is_littered() {
            self.give_up_slots();
        }
    }

    /// The same, however few they are.
    pub(crate) fn give_up_slots(&mut self) {
        if let Some(extras) = &mut self.extras {
            // Nobody dials them again.
            let pool = &self.pool;
            extras.forget_turns_of(|slot| pool.condition(slot) == Condition::Removed);
        }
        let mut needed: Vec<SlotIndex> = Vec::new();
        self.each_slot(&mut |slot| needed.push(*slot));
        needed.sort_unstable();
        let is_needed = |slot| needed.binary_search(&slot).is_ok();
        let walk = self.policy.order().walk;
        let moved = self.pool.tidy(walk, &mut self.rng, is_needed);
        self.each_slot(&mut |slot| {
            if let Some(to) = moved.to(*slot) {
                *slot = to;
            }
        });
    }

    /// Each slot that it names, apart from the pool.
    pub(super) fn each_slot(&mut self, visit: &mut dyn FnMut(&mut SlotIndex)) {
        match &mut self.state {
            State::Waiting(plan) => visit(&mut plan.slot),
            State::Connected { slot, .. } => visit(slot),
            State::Idle | State::Dialing | State::Paused | State::Starved | State::Closed(_) => {}
        }
        let (Stage::StartUp { pinned: named } | Stage::After { lost: named }) = &mut self.stage;
        named.get_mut().into_iter().for_each(&mut *visit);
        let attempts = self.attempts.iter_mut();
        attempts.for_each(|attempt| visit(&mut attempt.slot));
        if let Some(extras) = &mut self.extras {
            extras.each_slot(visit);
        }
    }
}

#[cfg(all(test, feature = "proptest"))]
mod tests {
    use core::time::Duration;
    use std::string::ToString;
    use std::vec::Vec;

    use proptest::prelude::*;

    use crate::endpoint::{EndpointId, Security, Traits};
    use crate::machine::Change;
    use crate::policy::{Shuffle, Walk};
    use crate::sim::{Command, Trace, World};
    use crate::testing::{Case, laws, strategy};
    use crate::time::Time;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        /// Whole lives: the same where no lots are drawn, lawful everywhere. Others still come and go in the
        /// first: there slots are given up when most are of endpoints that left.
        #[test]
        fn a_machine_that_gives_up_slots_after_each_step_lives_as_others(
            case in strategy::any_case(),
            more in prop_oneof![2 => Just(0), 1 => Just(70)],
            churn in churn(),
        ) {
            let case = with_churn(case, more, &churn);
            let seldom = lives(case.world(), World::run_until);
            let always = lives(case.world(), World::run_tidied_until);
            let is_same = match case.policy.order().walk {
                Walk::Listed | Walk::FirstReady | Walk::Rotate | Walk::LeastFailed => true,
                // An index draws, and others than a scan.
                Walk::Weighted | Walk::Shuffled(Shuffle::Once) => most_at_once(&case) <= 64,
                Walk::Shuffled(Shuffle::EachLoss | Shuffle::EachSweep) => false,
            };
            if is_same {
                prop_assert_eq!(&seldom, &always);
            }
            lawful(&seldom, &[])?;
            // A replay gives up slots when it is time, and draws other lots.
            lawful(&always, &["L5", "L12"])?;
        }

        /// The index is left for the scan, if the list is short.
        #[test]
        fn a_machine_that_leaves_its_index_lives_as_others(
            case in strategy::any_case(),
            churn in churn(),
        ) {
            let case = with_churn(case, 0, &churn);
            let scanned = lives(case.world(), World::run_until);
            let left = lives(case.world().with_index(), World::run_tidied_until);
            if let Walk::Listed | Walk::FirstReady | Walk::Rotate | Walk::LeastFailed =
                case.policy.order().walk
            {
                prop_assert_eq!(&scanned, &left);
            }
            lawful(&left, &["L5", "L12"])?;
        }
    }

    /// As many as there can be at once, if nobody leaves.
    fn most_at_once(case: &Case) -> usize {
        let said = case.commands.iter();
        let adds = said.filter(|(_, said)| matches!(said, Command::Change(Change::Add(_))));
        case.endpoints.len() + adds.count()
    }

    fn lawful(trace: &Trace, but: &[&str]) -> Result<(), TestCaseError> {
        for (name, law) in laws::ALL.iter().filter(|(name, _)| !but.contains(name)) {
            let found = law(trace).map_err(|violation| violation.to_string());
            prop_assert_eq!((name, found), (name, Ok(())));
        }
        Ok(())
    }

    fn lives(mut world: World, run_until: fn(&mut World, Time, usize)) -> Trace {
        world.start();
        run_until(&mut world, Time::ZERO + Duration::from_secs(60), 900);
        world.heal();
        let end = world.now() + Duration::from_secs(60);
        run_until(&mut world, end, 600);
        world.into_trace()
    }

    /// When somebody comes, or leaves: which of those that came, modulo their number.
    fn churn() -> impl Strategy<Value = Vec<(u64, Option<usize>)>> {
        let whom = prop_oneof![1 => Just(None), 2 => any::<usize>().prop_map(Some)];
        proptest::collection::vec((0..60_000_u64, whom), 0..240).prop_map(|mut churn| {
            churn.sort_unstable();
            churn
        })
    }

    fn with_churn(mut case: Case, more: u32, churn: &[(u64, Option<usize>)]) -> Case {
        let shapes = case.endpoints.clone();
        let shape = |id: u32| {
            let like = shapes[id as usize % shapes.len()];
            let traits = Traits::new(EndpointId::new(id)).route(Security::Plain);
            traits.tier(like.in_tier()).weight(like.weighs())
        };
        // Those of the case have the first ids, and some are left for those that it adds itself.
        case.endpoints.extend((100..100 + more).map(shape));
        let mut came: Vec<EndpointId> = case.endpoints.iter().map(|traits| traits.id()).collect();
        let mut next = 200;
        for &(millis, whom) in churn {
            let change = match whom {
                Some(whom) => Change::Remove(came[whom % came.len()]),
                None => {
                    let traits = shape(next);
                    next += 1;
                    came.push(traits.id());
                    Change::Add(traits)
                }
            };
            let at = Time::ZERO + Duration::from_millis(millis);
            case.commands.push((at, Command::Change(change)));
        }
        case
    }
}
