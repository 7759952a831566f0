//! What the oracle and the exploration found, each as small as it gets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::sync::Arc;
use std::time::Duration;

use failover_core::attempt::AttemptId;
use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind, Scope};
use failover_core::machine::{
    Change, CloseReason, Condition, Event, Input, Machine, Outbox, Output, Status, Verdict, Whither,
};
use failover_core::policy::{
    Backoff, Every, Jitter, Limits, Lost, MIN_REDIAL, MaxAge, NoHooks, NobodyReady, Order, Pace,
    Policy, PolicyBuilder, Resume, Seed, Standing, Start, Walk,
};
use failover_core::race::{Race, Stagger};
use failover_core::time::Time;

const SECOND: Duration = Duration::from_secs(1);
const RESET: Failure = Failure::new(Kind::Reset);
const AUTH: Failure = Failure::new(Kind::Auth).scope(Scope::Endpoint);

mod rests {
    use super::*;

    #[test]
    fn a_forced_reconnect_to_anywhere_cuts_no_suspension_short() {
        let mut play = Play::new(1, policy());
        play.connect();
        play.lose(AUTH);
        play.input(Input::Reconnect(Whither::Any));
        assert_eq!(play.until_dialled(), 30 * SECOND);
    }

    #[test]
    fn a_forced_reconnect_to_a_suspended_one_does() {
        let mut play = Play::new(1, policy());
        play.connect();
        play.lose(AUTH);
        play.input(Input::Reconnect(Whither::This(EndpointId::new(0))));
        assert!(play.until_dialled() <= SECOND / 1000);
    }

    #[test]
    fn the_network_coming_back_cuts_no_suspension_short() {
        let mut play = Play::new(1, policy());
        play.connect();
        play.lose(AUTH);
        play.input(Input::Resume);
        assert_eq!(play.until_dialled(), 30 * SECOND);
    }

    #[test]
    fn a_stable_connection_does_not_end_the_rest_that_a_later_dial_earned() {
        let mut play = Play::new(1, policy());
        play.connect();
        play.input(Input::Reconnect(Whither::This(EndpointId::new(0))));
        let dial = play.dial.unwrap();
        play.input(Input::Failed {
            attempt: dial,
            failure: AUTH,
        });
        play.lose(RESET);
        let (condition, _) = play.machine.condition(EndpointId::new(0)).unwrap();
        assert_eq!(condition, Condition::Suspended);
        play.input(Input::Reconnect(Whither::Any));
        assert_eq!(play.until_dialled(), 30 * SECOND);
    }
}

mod pace {
    use super::*;

    #[test]
    fn the_least_wait_holds_before_a_return_too() {
        let pace = Pace::new(Backoff::Constant(Duration::ZERO)).min(SECOND);
        let policy = policy().pace(pace.every(Every::Return));
        let mut play = Play::new(1, policy.tls_jitter(Jitter::None));
        play.connect();
        play.lose(RESET);
        play.until_dialled();
        play.fail(RESET);
        assert_eq!(play.until_dialled(), SECOND);
    }

    #[test]
    fn the_first_that_is_ready_is_not_the_lost_one_where_that_goes_last() {
        let order = Order::new(Walk::FirstReady).lost(Lost::Last);
        let mut play = Play::new(3, policy().order(order));
        play.connect();
        play.lose(RESET);
        for _ in 0..3 {
            play.until_dialled();
            assert_eq!(play.dialled(), EndpointId::new(1));
            play.fail(RESET);
        }
    }

    #[test]
    fn the_least_bad_is_dialled_at_its_own_pace() {
        let pace = Pace::new(Backoff::Constant(SECOND)).every(Every::Endpoint);
        let least_bad = policy().pace(pace).nobody_ready(NobodyReady::LeastBad);
        let mut play = Play::new(1, least_bad);
        play.connect();
        play.lose(AUTH);
        play.until_dialled();
        let attempt = play.dial.take().unwrap();
        play.input(Input::Failed {
            attempt,
            failure: AUTH,
        });
        assert_eq!(play.until_dialled(), SECOND);
    }

    #[test]
    fn a_loss_at_the_limit_of_time_closes_without_another_dial() {
        let limits = Limits::UNLIMITED.elapsed(Duration::ZERO);
        let mut play = Play::new(2, policy().limits(limits));
        play.connect();
        play.lose(RESET);
        assert_eq!(play.dial, None);
    }
}

mod forced {
    use super::*;

    #[test]
    fn hammering_does_not_put_the_dial_off() {
        let mut play = Play::new(1, policy());
        play.connect();
        play.lose(AUTH);
        let lost = play.now;
        let half = Duration::from_micros(500);
        for _ in 0..4 {
            play.input(Input::Reconnect(Whither::This(EndpointId::new(0))));
            play.now = play.now + half;
            play.input(Input::Wake);
        }
        assert!(play.dial.is_some(), "nothing was dialled since {lost:?}");
    }
}

mod floor {
    use super::*;

    #[test]
    fn a_server_that_was_dialled_just_before_is_not_dialled_again_when_it_is_named() {
        let mut play = Play::new(2, policy().standing(Standing::default().spares(1)));
        play.input(Input::Start);
        let attempt = play.dial.unwrap();
        play.input(Input::Connected { attempt });
        let spare = play.dial.unwrap();
        play.input(Input::Failed {
            attempt: spare,
            failure: AUTH,
        });
        play.dial = None;
        play.input(Input::Reconnect(Whither::This(EndpointId::new(1))));
        assert_eq!(play.until_dialled(), MIN_REDIAL);
    }
}

mod moves {
    use super::*;

    #[test]
    fn the_only_server_is_not_dialled_when_it_was_switched_off() {
        let mut play = Play::new(1, policy());
        play.connect();
        play.input(Input::Change(Change::Off(EndpointId::new(0))));
        assert_eq!(play.dial, None);
        play.lose(RESET);
        assert_eq!(play.machine.status(), Status::Starved);
    }

    #[test]
    fn a_move_to_where_a_spare_stands_takes_the_spare() {
        for whither in [Whither::This(EndpointId::new(1)), Whither::Any] {
            let mut play = Play::new(2, policy().standing(Standing::default().spares(1)));
            play.input(Input::Start);
            for _ in 0..2 {
                let attempt = play.dial.take().unwrap();
                play.input(Input::Connected { attempt });
            }
            play.events.clear();
            play.input(Input::Reconnect(whither));
            assert!(
                matches!(play.events[..], [Event::Switching { .. }, Event::Moved { to, .. }]
                    if to.endpoint == EndpointId::new(1)),
                "{whither:?}: {:?}",
                play.events
            );
        }
    }
}

mod moves_by_name {
    use super::*;

    #[test]
    fn a_move_that_is_under_way_goes_where_the_user_names() {
        let mut play = Play::new(3, policy());
        play.connect();
        play.input(Input::Reconnect(Whither::Any));
        assert_eq!(play.dialled(), EndpointId::new(1));
        play.events.clear();
        play.input(Input::Reconnect(Whither::This(EndpointId::new(2))));
        assert_eq!(play.dialled(), EndpointId::new(2));
        assert!(
            matches!(&play.events[..], [Event::Attempt(ended)]
                if ended.outcome == Err(Failure::new(Kind::Cancelled))),
            "{:?}",
            play.events
        );
        // Named again, its dial goes on.
        let dial = play.dial;
        play.input(Input::Reconnect(Whither::This(EndpointId::new(2))));
        assert_eq!(play.dial, dial);
    }

    #[test]
    fn a_move_that_waits_goes_where_the_user_names_at_once() {
        let mut play = Play::new(3, policy());
        play.connect();
        play.input(Input::Reconnect(Whither::Any));
        play.fail(RESET);
        play.input(Input::Reconnect(Whither::This(EndpointId::new(2))));
        assert_eq!(play.dialled(), EndpointId::new(2));
        assert_eq!(play.until_dialled(), Duration::ZERO);
    }

    #[test]
    fn whom_the_user_named_has_one_chance() {
        let mut play = Play::new(3, policy());
        play.connect();
        play.input(Input::Reconnect(Whither::Any));
        play.input(Input::Reconnect(Whither::This(EndpointId::new(2))));
        play.fail(AUTH);
        play.until_dialled();
        assert_eq!(play.dialled(), EndpointId::new(1));
    }
}

mod start_up {
    use super::*;

    #[test]
    fn a_server_that_is_visited_twice_by_force_counts_once_among_those_that_refused() {
        let mut play = Play::new(3, policy());
        play.input(Input::Start);
        play.fail(RESET);
        for _ in 0..2 {
            play.now = play.now + SECOND / 10;
            play.input(Input::Reconnect(Whither::This(EndpointId::new(1))));
            assert_eq!(play.dialled(), EndpointId::new(1));
            play.fail(AUTH);
        }
        play.until_dialled();
        assert_eq!(play.dialled(), EndpointId::new(2));
        play.fail(AUTH);
        // The first was only out of reach: it is not all of them that refused.
        play.until_dialled();
        assert_eq!(play.dialled(), EndpointId::new(0));
    }

    #[test]
    fn all_that_refused_end_it_however_often_one_was_visited() {
        let mut play = Play::new(2, policy());
        play.input(Input::Start);
        play.fail(AUTH);
        play.now = play.now + SECOND / 10;
        play.input(Input::Reconnect(Whither::This(EndpointId::new(0))));
        play.fail(RESET);
        play.until_dialled();
        play.fail(AUTH);
        assert_eq!(
            play.machine.status(),
            Status::Closed(CloseReason::AllRefused)
        );
    }

    #[test]
    fn the_place_of_the_only_one_passes_on_when_it_is_removed() {
        let mut play = Play::new(2, policy().start(Start::FirstOnly));
        play.input(Input::Start);
        play.input(Input::Change(Change::Remove(EndpointId::new(0))));
        assert_eq!(play.dialled(), EndpointId::new(1));
    }

    #[test]
    fn the_only_one_is_waited_for_when_it_is_switched_off() {
        let mut play = Play::new(2, policy().start(Start::FirstOnly));
        play.input(Input::Start);
        play.input(Input::Change(Change::Off(EndpointId::new(0))));
        assert_eq!(play.machine.status(), Status::Starved);
        play.input(Input::Change(Change::On(EndpointId::new(0))));
        play.until_dialled();
        assert_eq!(play.dialled(), EndpointId::new(0));
    }
}

mod unstable {
    use super::*;

    /// Connected once more, and lost at once.
    fn lost_at_once(policy: PolicyBuilder, verdict: Verdict) -> Play {
        let mut play = Play::new(2, policy);
        play.connect();
        play.lose(RESET);
        play.until_dialled();
        let attempt = play.dial.unwrap();
        play.input(Input::Connected { attempt });
        play.dial = None;
        play.input(Input::Lost {
            attempt,
            failure: RESET,
            verdict,
        });
        play
    }

    #[test]
    fn its_loss_has_no_first_dial() {
        let pace = Pace::new(Backoff::Constant(SECOND)).first(SECOND / 2);
        let mut play = lost_at_once(policy().pace(pace), Verdict::AsPolicy);
        assert_eq!(play.until_dialled(), SECOND);
    }

    #[test]
    fn its_server_is_not_tried_first() {
        let mut play = lost_at_once(policy(), Verdict::Retry);
        play.until_dialled();
        assert_eq!(play.dialled(), EndpointId::new(0));
    }
}

mod first {
    use super::*;

    #[test]
    fn the_longer_of_the_first_wait_and_the_one_of_the_sweep_is_kept() {
        for (first, expected) in [(SECOND / 2, SECOND), (2 * SECOND, 2 * SECOND)] {
            // Alone, its loss was its turn: the next sweep begins.
            let pace = Pace::new(Backoff::Constant(SECOND)).cap(8 * SECOND);
            let mut play = Play::new(1, policy().pace(pace.first(first)));
            play.connect();
            play.lose(RESET);
            assert_eq!(play.until_dialled(), expected);
        }
    }
}

mod resume {
    use super::*;

    #[test]
    fn the_window_stays_open_when_its_server_is_asked_for() {
        let server = Whither::This(EndpointId::new(0));
        for whither in [Whither::Any, server] {
            let mut play = Play::new(2, policy().resume(Resume::new(10 * SECOND, SECOND)));
            play.connect();
            play.lose(RESET);
            play.fail(RESET);
            play.now = play.now + SECOND / 10;
            play.events.clear();
            play.input(Input::Reconnect(whither));
            assert_eq!(play.dialled(), EndpointId::new(0));
            assert!(!play.events.contains(&Event::SessionGone), "{whither:?}");
        }
    }

    #[test]
    fn the_session_is_told_to_be_gone_before_another_server_is_dialled_by_force() {
        let mut play = Play::new(2, policy().resume(Resume::new(10 * SECOND, SECOND)));
        play.connect();
        play.lose(RESET);
        play.events.clear();
        play.input(Input::Reconnect(Whither::This(EndpointId::new(1))));
        assert!(play.events.contains(&Event::SessionGone));
    }

    #[test]
    fn the_wait_before_the_first_dial_elsewhere_is_the_policys_when_the_lost_server_leaves() {
        let pace = Pace::new(Backoff::Constant(SECOND)).first(SECOND / 2);
        let resume = Resume::new(10 * SECOND, SECOND).first(SECOND / 10);
        let mut play = Play::new(2, policy().pace(pace.every(Every::Attempt)).resume(resume));
        play.connect();
        play.lose(RESET);
        play.input(Input::Change(Change::Remove(EndpointId::new(0))));
        let wait = play.until_dialled();
        assert!(wait > SECOND / 10, "{wait:?}");
    }

    #[test]
    fn the_window_is_not_for_a_server_that_was_switched_off() {
        let mut play = Play::new(1, policy().resume(Resume::new(10 * SECOND, SECOND)));
        play.connect();
        play.input(Input::Change(Change::Off(EndpointId::new(0))));
        play.lose(RESET);
        assert_eq!(play.dial, None);
        assert_eq!(play.machine.status(), Status::Starved);
    }
}

mod others {
    use super::*;

    const A: EndpointId = EndpointId::new(0);
    const B: EndpointId = EndpointId::new(1);

    fn rest(play: &mut Play, endpoint: EndpointId) {
        let until = play.now + 1000 * SECOND;
        play.input(Input::Rests { endpoint, until });
    }

    #[test]
    fn a_recovery_elsewhere_leaves_the_resume_window_to_the_lost_server() {
        let mut play = Play::new(2, policy().resume(Resume::new(10 * SECOND, 2 * SECOND)));
        play.connect();
        rest(&mut play, B);
        play.lose(RESET);
        play.fail(RESET);
        play.events.clear();
        play.input(Input::Recovered { endpoint: B });
        play.until_dialled();
        assert_eq!(play.dialled(), A);
        assert!(!play.events.contains(&Event::SessionGone));
    }

    #[test]
    fn a_recovery_after_the_limit_of_time_dials_nobody() {
        let limits = Limits::UNLIMITED.elapsed(30 * SECOND);
        let standing = Standing::default().wake_spread(Duration::ZERO);
        let mut play = Play::new(1, policy().limits(limits).standing(standing));
        play.connect();
        play.lose(RESET);
        rest(&mut play, A);
        play.now = play.now + 31 * SECOND;
        play.input(Input::Recovered { endpoint: A });
        assert_eq!(play.dial, None);
        let reason = CloseReason::Elapsed(30 * SECOND);
        assert_eq!(play.machine.status(), Status::Closed(reason));
    }

    #[test]
    fn a_recovery_cuts_the_wait_of_the_sweep_short_for_its_endpoint_alone() {
        let standing = Standing::default().wake_spread(Duration::ZERO);
        let mut play = Play::new(2, policy().standing(standing));
        play.connect();
        rest(&mut play, B);
        play.lose(RESET);
        assert_eq!(play.dial, None);
        play.input(Input::Recovered { endpoint: B });
        assert_eq!(play.dialled(), B);
        play.fail(RESET);
        assert_eq!(play.until_dialled(), SECOND);
        assert_eq!(play.dialled(), A);
    }
}

mod switched {
    use super::*;

    const FIRST: EndpointId = EndpointId::new(0);

    #[test]
    fn off_and_on_again_the_connection_is_not_left() {
        for servers in [1, 2] {
            let mut play = Play::new(servers, policy());
            play.connect();
            play.input(Input::Change(Change::Off(FIRST)));
            let begun = play.dial.take();
            assert_eq!(begun.is_some(), servers == 2);
            play.events.clear();
            play.input(Input::Change(Change::On(FIRST)));
            // A dial of the move is given up, and no other follows.
            assert_eq!(play.events.len(), usize::from(begun.is_some()));
            assert_eq!((play.dial, play.machine.next_wake()), (None, None));
            assert!(matches!(play.machine.status(), Status::Connected { .. }));
        }
    }

    #[test]
    fn the_greatest_age_still_holds_for_a_connection_that_stays() {
        let age = MaxAge::new(60 * SECOND).spread(Duration::ZERO);
        let mut play = Play::new(2, policy().standing(Standing::default().max_age(age)));
        play.connect();
        play.input(Input::Change(Change::Off(FIRST)));
        play.input(Input::Change(Change::On(FIRST)));
        play.dial = None;
        assert_eq!(play.until_dialled(), 40 * SECOND);
    }

    #[test]
    fn a_move_for_another_reason_goes_on() {
        let mut play = Play::new(2, policy());
        play.connect();
        play.input(Input::Change(Change::Off(FIRST)));
        play.input(Input::Reconnect(Whither::Any));
        play.input(Input::Change(Change::On(FIRST)));
        assert_eq!(play.dialled(), EndpointId::new(1));
    }

    #[test]
    fn a_server_that_drains_is_left_though_it_is_switched_on() {
        let standing = Standing::default().drain_spread(Duration::ZERO);
        for drains_first in [true, false] {
            let mut play = Play::new(2, policy().standing(standing));
            play.connect();
            let Status::Connected { link, .. } = play.machine.status() else {
                panic!("not connected");
            };
            let attempt = link.attempt;
            let mut words = [Input::Drain { attempt }, Input::Change(Change::Off(FIRST))];
            if !drains_first {
                words.reverse();
            }
            for word in words {
                play.input(word);
            }
            play.input(Input::Change(Change::On(FIRST)));
            assert_eq!(play.dialled(), EndpointId::new(1));
            assert!(matches!(play.machine.status(), Status::Connected { .. }));
        }
    }

    #[test]
    fn a_move_that_keeps_failing_keeps_the_pace() {
        let mut play = Play::new(1, policy());
        play.connect();
        play.input(Input::Reconnect(Whither::Any));
        for _ in 0..3 {
            play.fail(RESET);
            assert_eq!(play.until_dialled(), SECOND);
        }
    }

    #[test]
    fn on_a_server_that_is_on_changes_nothing() {
        let mut play = Play::new(1, policy());
        play.connect();
        play.input(Input::Reconnect(Whither::Any));
        play.fail(RESET);
        play.input(Input::Change(Change::On(FIRST)));
        assert_eq!(play.until_dialled(), SECOND);
    }
}

mod fresh {
    use super::*;

    fn added(n: u32) -> Input {
        let traits = Traits::new(EndpointId::new(n)).route(Security::Plain);
        Input::Change(Change::Add(traits))
    }

    #[test]
    fn an_endpoint_that_comes_is_dialled_at_once_while_all_others_rest() {
        let mut play = Play::new(1, policy());
        play.connect();
        play.lose(AUTH);
        play.input(added(1));
        assert_eq!(play.dialled(), EndpointId::new(1));
        // The one that rests is waited for as before.
        play.fail(AUTH);
        assert_eq!(play.until_dialled(), 30 * SECOND);
        assert_eq!(play.dialled(), EndpointId::new(0));
    }

    #[test]
    fn an_endpoint_that_comes_does_not_wait_for_the_sweep_of_the_others() {
        let mut play = Play::new(1, policy());
        play.connect();
        play.lose(RESET);
        play.now = play.now + SECOND / 10;
        play.input(added(1));
        assert_eq!(play.dialled(), EndpointId::new(1));
        // The others' wait is still owed.
        play.fail(RESET);
        assert_eq!(play.until_dialled(), SECOND);
        assert_eq!(play.dialled(), EndpointId::new(0));
    }

    #[test]
    fn an_endpoint_that_is_switched_on_is_dialled_as_soon_as_the_floor_allows() {
        let mut play = Play::new(2, policy());
        play.input(Input::Change(Change::Off(EndpointId::new(1))));
        play.connect();
        play.lose(AUTH);
        play.input(Input::Change(Change::On(EndpointId::new(1))));
        assert_eq!(play.until_dialled(), MIN_REDIAL);
        assert_eq!(play.dialled(), EndpointId::new(1));
    }

    #[test]
    fn an_endpoint_that_had_its_turn_has_another_when_it_is_switched_on() {
        let mut play = Play::new(2, policy());
        play.connect();
        play.lose(AUTH);
        play.fail(AUTH);
        play.input(Input::Change(Change::Off(EndpointId::new(1))));
        play.input(Input::Change(Change::On(EndpointId::new(1))));
        assert_eq!(play.until_dialled(), MIN_REDIAL);
        assert_eq!(play.dialled(), EndpointId::new(1));
    }

    #[test]
    fn a_pace_before_every_attempt_holds_for_who_comes_too() {
        let pace = Pace::new(Backoff::Constant(SECOND)).every(Every::Attempt);
        let mut play = Play::new(1, policy().pace(pace));
        play.connect();
        play.lose(RESET);
        play.fail(RESET);
        play.now = play.now + SECOND / 10;
        play.input(added(1));
        assert_eq!(play.until_dialled(), 9 * SECOND / 10);
        assert_eq!(play.dialled(), EndpointId::new(0));
        // Of a rest it waits no more than the pace.
        play.fail(AUTH);
        play.now = play.now + SECOND / 10;
        play.input(added(2));
        play.until_dialled();
        play.fail(AUTH);
        play.until_dialled();
        play.fail(AUTH);
        play.now = play.now + 2 * SECOND;
        play.input(added(3));
        assert_eq!(play.until_dialled(), SECOND);
        assert_eq!(play.dialled(), EndpointId::new(3));
    }

    #[test]
    fn the_wait_before_the_first_dial_holds_for_who_comes_too() {
        let pace = Pace::new(Backoff::Constant(SECOND)).first(2 * SECOND);
        let mut play = Play::new(1, policy().pace(pace));
        play.connect();
        play.lose(AUTH);
        play.input(added(1));
        assert_eq!(play.until_dialled(), 2 * SECOND);
        assert_eq!(play.dialled(), EndpointId::new(1));
    }

    #[test]
    fn the_resume_window_is_for_the_lost_server_alone() {
        let mut play = Play::new(1, policy().resume(Resume::new(10 * SECOND, SECOND)));
        play.connect();
        play.lose(RESET);
        play.fail(RESET);
        play.input(added(1));
        assert_eq!(play.until_dialled(), SECOND);
        assert_eq!(play.dialled(), EndpointId::new(0));
    }

    #[test]
    fn at_start_up_the_first_alone_is_dialled_whoever_comes() {
        let mut play = Play::new(1, policy().start(Start::FirstOnly));
        play.input(Input::Start);
        play.fail(RESET);
        play.input(added(1));
        assert_eq!(play.until_dialled(), SECOND);
        assert_eq!(play.dialled(), EndpointId::new(0));
    }

    #[test]
    fn a_race_in_which_nobody_was_left_goes_on_with_who_comes() {
        let race = Race::new(2, Stagger::Fixed(SECOND / 10)).unwrap();
        let mut play = Play::new(1, policy().race(race));
        play.input(Input::Start);
        play.now = play.now + SECOND / 2;
        play.input(Input::Wake);
        play.input(added(1));
        assert_eq!(play.dialled(), EndpointId::new(1));
    }
}

mod turns {
    use super::*;

    #[test]
    fn a_server_suspended_while_it_is_dialled_has_no_further_route() {
        let list = [0, 1].map(|n| {
            Traits::new(EndpointId::new(n))
                .route(Security::Tls)
                .route(Security::Tls)
        });
        let mut play = Play::of(list.to_vec(), policy());
        play.connect();
        play.input(Input::Change(Change::Remove(EndpointId::new(1))));
        play.input(Input::Reconnect(Whither::Any));
        assert_eq!(play.dialled(), EndpointId::new(0));
        // Its connection is lost for a reason that suspends it: the dial of the move goes on.
        let moving = play.dial;
        play.lose(AUTH);
        play.dial = moving;
        play.fail(RESET);
        assert_eq!(play.until_dialled(), 30 * SECOND);
    }
}

/// A machine, the time, and its newest dial.
struct Play {
    machine: Machine,
    now: Time,
    dial: Option<AttemptId>,
    to: Option<EndpointId>,
    events: Vec<Event>,
}

impl Play {
    fn new(endpoints: u32, policy: PolicyBuilder) -> Self {
        let endpoints: Vec<Traits> = (0..endpoints)
            .map(|n| Traits::new(EndpointId::new(n)).route(Security::Plain))
            .collect();
        Self::of(endpoints, policy)
    }

    fn of(endpoints: Vec<Traits>, policy: PolicyBuilder) -> Self {
        let policy = Arc::new(policy.build().unwrap());
        Self {
            machine: Machine::new(policy, endpoints, Seed::new(1)),
            now: Time::ZERO + SECOND,
            dial: None,
            to: None,
            events: Vec::new(),
        }
    }

    fn input(&mut self, input: Input) {
        let mut out = Outbox::default();
        self.machine.handle(input, &mut NoHooks, &mut out, self.now);
        for output in out.drain() {
            match output {
                Output::Dial(order) => {
                    self.dial = Some(order.attempt);
                    self.to = Some(order.endpoint);
                }
                Output::Event(event) => self.events.push(event),
                _ => {}
            }
        }
    }

    /// Starts, connects and proves stable.
    fn connect(&mut self) {
        self.input(Input::Start);
        let attempt = self.dial.take().unwrap();
        self.input(Input::Connected { attempt });
        self.now = self.now + 20 * SECOND;
    }

    fn lose(&mut self, failure: Failure) {
        let Status::Connected { link, .. } = self.machine.status() else {
            panic!("not connected: {:?}", self.machine.status());
        };
        self.dial = None;
        self.input(Input::Lost {
            attempt: link.attempt,
            failure,
            verdict: Verdict::AsPolicy,
        });
    }

    fn fail(&mut self, failure: Failure) {
        let attempt = self.dial.take().unwrap();
        self.input(Input::Failed { attempt, failure });
    }

    /// Whom the newest dial goes to.
    fn dialled(&self) -> EndpointId {
        assert!(self.dial.is_some(), "{:?}", self.machine.status());
        self.to.unwrap()
    }

    /// How long it takes until the next dial.
    fn until_dialled(&mut self) -> Duration {
        let since = self.now;
        while self.dial.is_none() {
            self.now = self.machine.next_wake().expect("a wake-up is due");
            self.input(Input::Wake);
        }
        self.now.since(since)
    }
}

/// Rotates from the top, waits a second before each sweep, without jitter.
fn policy() -> PolicyBuilder {
    Policy::builder()
        .order(Order::new(Walk::Rotate))
        .pace(Pace::new(Backoff::Constant(SECOND)))
        .jitter(Jitter::None)
}
