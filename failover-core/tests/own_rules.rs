//! What some endpoints have of their own, what a turn may take, and groups.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use failover_core::directory::{Directory, Endpoint};
use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind};
use failover_core::machine::{CloseReason, Condition, Status};
use failover_core::policy::{
    Backoff, Class, Health, Jitter, Limit, Limits, On, Order, Pace, Policy, PolicyBuilder,
    PolicyError, Reaction, Reactions, Seed, Shuffle, Walk,
};
use failover_core::sim::{Meets, Trace, Weather, World};
use failover_core::testing::{Case, laws};
use failover_core::time::Time;
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

mod a_class {
    use super::*;

    #[test]
    fn rests_as_its_own_health_says_and_the_others_as_the_policys() {
        let policy = listed()
            .reactions(suspends())
            .health(Health::default().initial(MINUTE).maximum(MINUTE))
            .class(Class::default().health(Health::default().initial(SECOND).maximum(SECOND)));
        let world = lived(policy, [plain(0), plain(1).class(1)], 2);
        assert_eq!(rest(&world, 0), Time::ZERO + MINUTE);
        assert_eq!(rest(&world, 1), Time::ZERO + SECOND);
    }

    #[test]
    fn asks_its_own_reactions_first_and_then_the_policys() {
        let policy = listed()
            .reactions(suspends())
            .class(
                Class::default()
                    .reactions(Reactions::default().on(On::kind(Kind::Refused), Reaction::Remove)),
            )
            .class(
                Class::default()
                    .reactions(Reactions::default().on(On::kind(Kind::Auth), Reaction::Remove)),
            );
        let list = [plain(0), plain(1).class(1), plain(2).class(2)];
        let world = lived(policy, list, 3);
        assert_eq!(condition(&world, 0), Condition::Suspended);
        assert_eq!(condition(&world, 1), Condition::Off);
        assert_eq!(condition(&world, 2), Condition::Suspended);
    }

    #[test]
    fn retires_its_endpoints_after_its_own_limit() {
        let limits = Limits::UNLIMITED.per_endpoint(Limit::AtMost(3));
        let policy = || {
            listed()
                .start_up_limits(limits)
                .class(Class::default().per_endpoint(Limit::AtMost(1)))
                .class(Class::default().per_endpoint(Limit::Unlimited))
        };
        let world = lived(policy(), [plain(0), plain(1).class(1)], 100);
        assert_eq!((dials(&world, 0), dials(&world, 1)), (3, 1));
        let closed = Status::Closed(CloseReason::PerEndpoint(3));
        assert_eq!(world.machine().status(), closed);

        let world = lived(policy(), [plain(0), plain(1).class(2)], 100);
        assert_eq!(dials(&world, 0), 3);
        assert!(dials(&world, 1) > 10);
    }

    #[test]
    fn closes_when_it_alone_has_a_limit_and_all_are_of_it() {
        let policy = listed().class(Class::default().per_endpoint(Limit::AtMost(2)));
        let world = lived(policy, [plain(0).class(1), plain(1).class(1)], 100);
        let closed = Status::Closed(CloseReason::PerEndpoint(2));
        assert_eq!(world.machine().status(), closed);
        assert_eq!(world.trace().dials().count(), 4);
    }

    #[test]
    fn that_the_policy_does_not_have_means_the_policys_own_rules() {
        let policy = listed().reactions(suspends());
        let world = lived(policy, [plain(0).class(9), plain(1).class(255)], 2);
        assert_eq!(condition(&world, 0), Condition::Suspended);
        assert_eq!(condition(&world, 1), Condition::Suspended);
    }

    #[test]
    fn is_named_by_an_endpoint_of_the_directory() {
        let endpoint = Endpoint::parse("tcp://a:1").unwrap().class(3);
        let directory = Directory::new([endpoint]).unwrap();
        let traits = directory.traits(|_| Security::Plain);
        assert_eq!(traits[0].in_class(), 3);
    }

    #[test]
    fn is_checked_when_the_policy_is_built() {
        let refused = |class| listed().class(class).build().unwrap_err();
        let zero = Class::default().per_endpoint(Limit::AtMost(0));
        assert_eq!(refused(zero), PolicyError::ZeroClassLimit);
        let retries = Class::default().health(Health::default().retries(255));
        assert_eq!(refused(retries), PolicyError::Retries { retries: 255 });
        let many = (0..256).fold(listed(), |policy, _| policy.class(Class::default()));
        let refusal = PolicyError::TooManyClasses { classes: 256 };
        assert_eq!(many.build(), Err(refusal));
    }
}

mod a_turn {
    use super::*;

    #[test]
    fn ends_with_its_cap_within_the_last_dial() {
        let policy = listed().deadline(SECOND).turn_deadline(SECOND * 5 / 2);
        let world = lived_in(policy, [four_routes(0), plain(1)], Meets::Mute, 12);
        let dials: Vec<_> = world.trace().dials().collect();
        let taken: Vec<u32> = dials
            .iter()
            .map(|(_, order)| order.endpoint.number())
            .collect();
        assert_eq!(taken[..4], [0, 0, 0, 1]);
        assert_eq!(dials[2].1.deadline, Time::ZERO + SECOND * 5 / 2);
        assert_eq!(dials[3].0, Time::ZERO + SECOND * 5 / 2);
    }

    #[test]
    fn has_its_whole_cap_again_in_the_next_sweep() {
        let policy = listed().deadline(SECOND).turn_deadline(SECOND * 3 / 2);
        let world = lived_in(policy, [four_routes(0)], Meets::Mute, 12);
        let dials: Vec<_> = world.trace().dials().take(4).collect();
        let routes: Vec<u8> = dials.iter().map(|(_, order)| order.route).collect();
        assert_eq!(routes, [0, 1, 0, 1]);
        assert_eq!(dials[3].1.deadline.since(dials[2].0), SECOND * 3 / 2);
    }

    #[test]
    fn is_not_cut_where_nothing_bounds_it() {
        let world = lived_in(listed(), [four_routes(0), plain(1)], Meets::Mute, 8);
        let taken = world.trace().dials().take(5);
        let taken: Vec<u32> = taken.map(|(_, order)| order.endpoint.number()).collect();
        assert_eq!(taken, [0, 0, 0, 0, 1]);
    }

    #[test]
    fn without_time_is_refused() {
        let refused = listed().turn_deadline(Duration::ZERO).build();
        assert_eq!(refused, Err(PolicyError::ZeroTurnDeadline));
    }
}

mod groups {
    use super::*;

    /// Two groups of three: the machine walks over one, in an order of its own, before the other.
    #[test]
    fn are_tiers_that_fail_over_while_the_walk_balances_within_each() {
        let mut first = BTreeSet::new();
        for seed in 0..60 {
            let order = Order::new(Walk::Shuffled(Shuffle::Once));
            let policy = listed().order(order).build().unwrap();
            let list: Vec<Traits> = (0..6).map(|n| plain(n).tier(u8::from(n >= 3))).collect();
            let mut world = World::new(policy, list, Seed::new(seed), Weather::new(Meets::REFUSE));
            world.start();
            world.run_until(Time::ZERO + SECOND / 2, 100);
            let sweep: Vec<u32> = visited(world.trace()).into_iter().take(6).collect();
            let (near, far) = sweep.split_at(3);
            assert!(
                near.iter().all(|&n| n < 3) && far.iter().all(|&n| n >= 3),
                "{sweep:?}"
            );
            first.insert((near[0], far[0]));
        }
        assert_eq!(first.len(), 9, "any of one group, then any of the other");
    }

    #[test]
    fn fall_back_to_the_preferred_one_at_the_next_outage() {
        let list = [plain(0), plain(1), plain(2).tier(1)];
        let order = Order::new(Walk::Shuffled(Shuffle::EachLoss));
        let policy = listed()
            .order(order)
            .stable_after(Duration::ZERO)
            .build()
            .unwrap();
        let near_is_down = Weather::new(Meets::REFUSE).endpoint(
            Time::ZERO,
            EndpointId::new(2),
            Meets::AcceptAndDrop {
                after: Duration::ZERO,
                lives: 10 * SECOND,
                failure: Failure::new(Kind::Reset),
                verdict: Default::default(),
            },
        );
        let near_is_back = near_is_down.everywhere(Time::ZERO + 5 * SECOND, Meets::ACCEPT);
        let mut world = World::new(policy, list, Seed::new(3), near_is_back);
        world.start();
        world.run_until(Time::ZERO + MINUTE, 100);
        let Status::Connected { link, .. } = world.machine().status() else {
            panic!("{}", world.trace());
        };
        assert!(link.endpoint.number() < 2, "{}", world.trace());
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_law_breaks_whatever_the_endpoints_have_of_their_own(
        bytes in proptest::collection::vec(any::<u8>(), 0..256),
        own in proptest::collection::vec((0..4_u8, 1..20_000_u64), 5),
        turn in proptest::option::of(1..4_000_u64),
    ) {
        let case = with_own_rules(&bytes, &own, turn);
        let trace = case.storm();
        for (name, law) in laws::ALL {
            prop_assert_eq!(law(&trace), Ok(()), "{}\n{}", name, trace);
        }
        let (trace, healed) = case.storm_and_calm();
        prop_assert_eq!(laws::l17_recovery(&trace, healed), Ok(()), "{}", trace);
    }
}

/// The case of these bytes; its endpoints are of three classes and have deadlines of their own.
fn with_own_rules(bytes: &[u8], own: &[(u8, u64)], turn: Option<u64>) -> Case {
    let short = Health::default()
        .initial(SECOND)
        .maximum(2 * SECOND)
        .retries(1);
    let mut case = Case::from_bytes(bytes);
    let mut policy = Case::policy_from_bytes(bytes)
        .class(Class::default().health(short))
        .class(Class::default().reactions(suspends()))
        .class(Class::default().per_endpoint(Limit::AtMost(2)));
    if let Some(turn) = turn {
        policy = policy.turn_deadline(Duration::from_millis(turn));
    }
    case.policy = Arc::new(policy.build().unwrap());
    for (traits, (class, deadline)) in case.endpoints.iter_mut().zip(own) {
        *traits = traits
            .class(*class)
            .deadline(Duration::from_millis(*deadline));
    }
    case
}

fn suspends() -> Reactions {
    Reactions::default().on(On::ANY, Reaction::Suspend)
}

/// From the top, one second after another, no jitter.
fn listed() -> PolicyBuilder {
    Policy::builder()
        .order(Order::new(Walk::Listed))
        .pace(Pace::new(Backoff::Constant(SECOND)))
        .jitter(Jitter::None)
        .tls_jitter(Jitter::None)
}

fn plain(n: u32) -> Traits {
    Traits::new(EndpointId::new(n)).route(Security::Plain)
}

fn four_routes(n: u32) -> Traits {
    (0..3).fold(plain(n), |traits, _| traits.route(Security::Plain))
}

/// A world where everybody refuses, after the start and so many further steps.
fn lived<const N: usize>(policy: PolicyBuilder, list: [Traits; N], steps: usize) -> World {
    let refuse = Meets::fail(MS, Failure::new(Kind::Refused));
    let mut world = lived_in(policy, list, refuse, 0);
    // Each refusal takes no longer than a millisecond: what rests has not rested yet.
    world.run_until(Time::MAX, steps);
    world
}

fn lived_in<const N: usize>(
    policy: PolicyBuilder,
    list: [Traits; N],
    meets: Meets,
    steps: usize,
) -> World {
    let weather = Weather::new(meets);
    let mut world = World::new(policy.build().unwrap(), list, Seed::new(1), weather);
    world.start();
    world.run_until(Time::MAX, steps);
    world
}

fn condition(world: &World, n: u32) -> Condition {
    world.machine().condition(EndpointId::new(n)).unwrap().0
}

/// Until when it rests, in whole seconds.
fn rest(world: &World, n: u32) -> Time {
    let (condition, until) = world.machine().condition(EndpointId::new(n)).unwrap();
    assert_eq!(condition, Condition::Suspended);
    Time::ZERO + Duration::from_secs(until.since(Time::ZERO).as_secs())
}

fn dials(world: &World, n: u32) -> usize {
    let of = |order: EndpointId| order == EndpointId::new(n);
    world
        .trace()
        .dials()
        .filter(|(_, order)| of(order.endpoint))
        .count()
}

fn visited(trace: &Trace) -> Vec<u32> {
    trace
        .dials()
        .map(|(_, order)| order.endpoint.number())
        .collect()
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("FAILOVER_CASES").ok();
    ProptestConfig {
        cases: cases.and_then(|cases| cases.parse().ok()).unwrap_or(1024),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
