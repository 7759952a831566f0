//! What the machine does beside a connection, and with a list that changes: moves, spares, failback,
//! races, the resume window, pauses.
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
    Answer, Change, CloseReason, Condition, Event, Input, Machine, Outbox, Output, Status, Verdict,
    Whither,
};
use failover_core::policy::{
    Backoff, Choice, ChoiceAsked, CustomDelay, DelayAnswer, DelayAsked, DelayHook, Every, Failback,
    Health, Hooks, Jitter, JudgeAsked, Limit, Limits, MaxAge, NoHooks, NobodyReady, On, Order,
    Overlap, Pace, Policy, PolicyBuilder, Ratio, Reaction, Reactions, Resume, Seed, Standing,
    Start, Walk,
};
use failover_core::race::{Race, Stagger};
use failover_core::time::Time;

const SECOND: Duration = Duration::from_secs(1);
const REFUSED: Failure = Failure::new(Kind::Refused);
const RESET: Failure = Failure::new(Kind::Reset);

mod moves {
    use super::*;

    #[test]
    fn a_forced_reconnect_makes_the_new_connection_before_it_breaks_the_old_one() {
        let mut play = Play::new(3, policy());
        play.connect("0");
        play.input(Input::Reconnect(Whither::Any));
        play.says("switching; dial 1");
        play.connected("1");
        play.says("attempt 1 ok; moved 0 to 1; hang up 0");
        assert_eq!(play.status(), "connected 1");
    }

    #[test]
    fn without_overlap_the_old_connection_goes_first_and_nothing_is_waited_for() {
        let mut play = Play::new(
            2,
            policy().standing(Standing::default().overlap(Overlap::Forbidden)),
        );
        play.connect("0");
        play.input(Input::Reconnect(Whither::Other));
        play.says("disconnected 0; hang up 0; dial 1");
        play.connected("1");
        play.says("attempt 1 ok; failed over to 1");
    }

    #[test]
    fn a_forced_reconnect_reaches_the_named_server_even_if_it_rests() {
        let mut play = Play::new(3, policy());
        play.connect("0");
        play.lose(RESET.scope(Scope::Endpoint));
        play.says("disconnected 0; suspended 0; dial 1");
        play.connected("1");
        play.says("attempt 1 ok; failed over to 1");
        play.pass(SECOND);
        play.input(Input::Reconnect(Whither::This(EndpointId::new(0))));
        play.says("switching; dial 0");
        play.connected("0");
        play.says("attempt 0 ok; moved 1 to 0; hang up 1");
    }

    #[test]
    fn a_thousand_forced_reconnects_are_one_move() {
        let mut play = Play::new(3, policy());
        play.connect("0");
        for _ in 0..1000 {
            play.input(Input::Reconnect(Whither::Any));
        }
        play.says("switching; dial 1");
    }

    #[test]
    fn a_draining_server_is_left_within_the_spread_and_a_failed_move_goes_on() {
        let mut play = Play::new(3, policy());
        let connection = play.connect("0");
        assert_eq!(
            play.input(Input::Drain {
                attempt: connection
            }),
            Answer::Taken
        );
        assert!(play.take().starts_with("draining"));
        play.until_something_happens();
        assert!(play.elapsed() < 5 * SECOND);
        play.says("switching; dial 1");
        play.fail("1", REFUSED);
        play.says("attempt 1 refused");
        play.until_something_happens();
        play.says("dial 2");
        play.connected("2");
        play.says("attempt 2 ok; moved 0 to 2; hang up 0");
    }

    #[test]
    fn a_loss_during_a_move_adopts_the_dial_that_is_under_way() {
        let mut play = Play::new(3, policy());
        play.connect("0");
        play.input(Input::Reconnect(Whither::Any));
        play.says("switching; dial 1");
        play.lose(RESET);
        play.says("disconnected 0");
        assert_eq!(play.status(), "dialing 1");
        play.connected("1");
        play.says("attempt 1 ok; failed over to 1");
    }

    #[test]
    fn a_connection_is_left_at_its_greatest_age() {
        let age = MaxAge::new(60 * SECOND).spread(6 * SECOND);
        let mut play = Play::new(2, policy().standing(Standing::default().max_age(age)));
        play.connect("0");
        play.until_something_happens();
        play.says("switching; dial 1");
        let age = 20 * SECOND + play.elapsed();
        assert!((54 * SECOND..=60 * SECOND).contains(&age), "{age:?}");
    }

    #[test]
    fn a_stale_drain_hint_changes_nothing() {
        let mut play = Play::new(2, policy());
        play.connect("0");
        assert_eq!(
            play.input(Input::Drain {
                attempt: AttemptId::new(99)
            }),
            Answer::Stale
        );
        play.says("");
    }
}

mod spares {
    use super::*;

    fn with_spare(endpoints: u32) -> Play {
        Play::new(endpoints, policy().standing(Standing::default().spares(1)))
    }

    #[test]
    fn a_spare_on_another_server_is_promoted_at_once() {
        let mut play = with_spare(3);
        play.start();
        play.says("dial 0");
        play.connected("0");
        play.says("attempt 0 ok; connected 0; dial 1");
        play.connected("1");
        play.says("attempt 1 ok; spare 1");
        play.lose(RESET);
        play.says("disconnected 0; failed over to 1; dial 2");
        assert_eq!(play.status(), "connected 1");
    }

    #[test]
    fn a_spare_that_dies_is_replaced_after_a_wait() {
        let mut play = with_spare(3);
        play.connect("0");
        let spare = play.connected("1");
        play.says("attempt 1 ok; spare 1");
        play.input(Input::Lost {
            attempt: spare,
            failure: RESET,
            verdict: Verdict::AsPolicy,
        });
        play.says("spare lost 1");
        play.until_something_happens();
        play.says("dial 2");
        assert_eq!(play.elapsed(), SECOND);
    }

    #[test]
    fn spares_that_die_do_not_slow_the_dials_of_an_outage() {
        let pace = Pace::new(Backoff::Exponential {
            base: SECOND,
            factor: Ratio::TWO,
        })
        .every(Every::Endpoint);
        let standing = Standing::default().spares(1);
        let mut play = Play::new(2, policy().pace(pace).standing(standing));
        play.connect("0");
        for _ in 0..4 {
            let spare = play.connected("1");
            play.says("attempt 1 ok; spare 1");
            play.input(Input::Lost {
                attempt: spare,
                failure: RESET,
                verdict: Verdict::AsPolicy,
            });
            play.says("spare lost 1");
            play.until_something_happens();
            play.says("dial 1");
        }
        let waited = play.elapsed();
        assert!(
            waited >= 14 * SECOND,
            "the dials of spares are slowed: {waited:?}"
        );
        play.lose(RESET);
        play.take();
        play.fail("1", REFUSED);
        let failed = play.elapsed();
        while !play.take().contains("dial 1") {
            if !play.in_flight.is_empty() {
                play.fail("0", REFUSED);
            }
            play.until_something_happens();
        }
        assert_eq!(play.elapsed() - failed, SECOND);
    }

    #[test]
    fn a_refused_spare_is_tried_again_for_ever_and_counts_for_no_limit() {
        let limits = Limits::UNLIMITED.turns(Limit::AtMost(1));
        let standing = Standing::default().spares(1);
        let mut play = Play::new(2, policy().limits(limits).standing(standing));
        play.connect("0");
        for _ in 0..5 {
            play.fail("1", REFUSED);
            play.says("attempt 1 refused");
            play.until_something_happens();
            play.says("dial 1");
        }
        assert_eq!(play.status(), "connected 0");
    }

    #[test]
    fn a_move_is_made_to_a_spare_at_once() {
        let mut play = with_spare(2);
        play.connect("0");
        play.connected("1");
        play.take();
        play.input(Input::Reconnect(Whither::Any));
        play.says("switching; moved 0 to 1; hang up 0; dial 0");
        assert_eq!(play.status(), "connected 1");
    }

    #[test]
    fn a_move_to_a_named_server_takes_the_spare_there_and_no_other() {
        let mut play = with_spare(3);
        play.connect("0");
        play.connected("1");
        play.take();
        play.input(Input::Reconnect(Whither::This(EndpointId::new(2))));
        play.says("switching; dial 2");
    }

    #[test]
    fn close_hangs_up_on_spares_too() {
        let mut play = with_spare(2);
        play.connect("0");
        play.connected("1");
        play.take();
        play.input(Input::Close);
        play.says("disconnected 0; hang up 0; hang up 1; closed");
    }
}

mod failback {
    use super::*;

    fn tiered() -> Play {
        let failback = Failback::default()
            .every(10 * SECOND)
            .good_probes(2)
            .settle(SECOND);
        let policy = policy()
            .standing(Standing::default().failback(failback))
            .stable_after(Duration::ZERO);
        let endpoints = [0_u8, 1].map(|n| traits(u32::from(n)).tier(n));
        Play::of(endpoints.to_vec(), policy)
    }

    #[test]
    fn it_moves_up_only_after_enough_good_probes() {
        let mut play = tiered();
        play.start();
        play.fail("0", REFUSED);
        play.connected("1");
        play.take();
        for _ in 0..2 {
            play.until_something_happens();
            play.says("dial 0");
            play.fail("0", REFUSED);
            play.says("attempt 0 refused");
        }
        play.until_something_happens();
        play.says("dial 0");
        play.connected("0");
        play.says("attempt 0 ok; hang up 0");
        play.until_something_happens();
        play.says("dial 0");
        play.connected("0");
        play.says("attempt 0 ok; switching; moved 1 to 0; hang up 1");
        assert_eq!(play.wake(), None, "nothing is above the first tier");
    }

    #[test]
    fn a_spare_at_the_preferred_server_does_not_stand_in_its_way() {
        let failback = Failback::default().every(SECOND).good_probes(1);
        let standing = Standing::default().spares(1);
        let standing = standing.failback(failback.settle(Duration::ZERO));
        let endpoints = [0_u8, 1].map(|n| traits(u32::from(n)).tier(n));
        let mut play = Play::of(endpoints.to_vec(), policy().standing(standing));
        play.start();
        play.fail("0", REFUSED);
        play.connected("1");
        play.until_something_happens();
        play.connected("0");
        play.take();
        play.until_something_happens();
        play.says("dial 0");
        play.connected("0");
        play.says("attempt 0 ok; switching; moved 1 to 0; hang up 1; hang up 0");
        play.until_something_happens();
        play.says("dial 1");
    }

    #[test]
    fn a_failed_probe_starts_the_count_anew() {
        let mut play = tiered();
        play.start();
        play.fail("0", REFUSED);
        play.connected("1");
        for outcome in [true, false, true] {
            play.until_something_happens();
            match outcome {
                true => drop(play.connected("0")),
                false => play.fail("0", REFUSED),
            }
        }
        assert_eq!(play.status(), "connected 1");
    }
}

mod races {
    use super::*;

    fn raced(endpoints: u32) -> Play {
        let race = Race::new(2, Stagger::Fixed(SECOND / 4)).unwrap();
        Play::new(endpoints, policy().race(race).deadline(2 * SECOND))
    }

    #[test]
    fn a_mute_first_server_costs_the_stagger_and_the_loser_is_cancelled() {
        let mut play = raced(3);
        play.start();
        play.says("dial 0");
        play.until_something_happens();
        play.says("dial 1");
        assert_eq!(play.elapsed(), SECOND / 4);
        play.connected("1");
        play.says("attempt 1 ok; cancel 0; attempt 0 cancelled; connected 1");
    }

    #[test]
    fn a_failure_starts_the_next_at_once_and_no_more_than_allowed_run() {
        let mut play = raced(3);
        play.start();
        play.until_something_happens();
        play.says("dial 0; dial 1");
        play.fail("0", REFUSED);
        play.says("attempt 0 refused; dial 2");
        play.fail("2", REFUSED);
        play.says("attempt 2 refused");
        assert_eq!(play.status(), "dialing 1");
        play.fail("1", REFUSED);
        play.says("attempt 1 refused");
        play.until_something_happens();
        play.says("dial 0");
    }
}

mod resume {
    use super::*;

    fn resuming() -> Play {
        Play::new(2, policy().resume(Resume::new(12 * SECOND, 5 * SECOND)))
    }

    #[test]
    fn the_same_server_first_then_the_session_is_gone_before_another_is_dialled() {
        let mut play = resuming();
        play.connect("0");
        play.lose(RESET);
        play.says("disconnected 0; dial 0");
        for _ in 0..2 {
            play.fail("0", REFUSED);
            play.says("attempt 0 refused");
            play.until_something_happens();
            play.says("dial 0");
        }
        assert_eq!(play.elapsed(), 10 * SECOND);
        play.fail("0", REFUSED);
        play.says("attempt 0 refused; session gone; dial 1");
    }

    #[test]
    fn a_server_that_comes_back_in_the_window_keeps_the_session() {
        let mut play = resuming();
        play.connect("0");
        play.lose(RESET);
        play.fail("0", REFUSED);
        play.until_something_happens();
        play.take();
        play.connected("0");
        play.says("attempt 0 ok; reconnected 0");
    }

    #[test]
    fn a_refused_login_ends_the_window_at_once() {
        let mut play = resuming();
        play.connect("0");
        play.lose(RESET);
        play.take();
        play.fail("0", Failure::new(Kind::Auth).scope(Scope::Endpoint));
        play.says("attempt 0 auth; session gone; suspended 0; dial 1");
    }

    #[test]
    fn an_orderly_close_is_no_reason_to_resume() {
        let mut play = resuming();
        play.connect("0");
        play.lose(Failure::new(Kind::Closed));
        play.says("disconnected 0; dial 1");
    }
}

mod lists {
    use super::*;

    #[test]
    fn a_removed_endpoint_is_never_dialled_again_and_its_id_does_not_come_back() {
        let mut play = Play::new(2, policy());
        play.connect("0");
        play.change(Change::Remove(EndpointId::new(1)));
        play.says("");
        play.lose(RESET);
        play.says("disconnected 0");
        play.until_something_happens();
        play.says("dial 0");
        assert_eq!(play.change(Change::Add(traits(1))), Answer::Stale);
        assert_eq!(play.condition(1), Condition::Removed);
    }

    #[test]
    fn a_dial_of_an_endpoint_that_leaves_is_cancelled_and_the_next_is_dialled() {
        let mut play = Play::new(2, policy());
        play.start();
        play.says("dial 0");
        play.change(Change::Remove(EndpointId::new(0)));
        play.says("cancel 0; attempt 0 cancelled; dial 1");
    }

    #[test]
    fn the_connection_to_an_endpoint_that_is_switched_off_is_left_by_a_move() {
        let mut play = Play::new(2, policy());
        play.connect("0");
        play.change(Change::Off(EndpointId::new(0)));
        play.says("switching; dial 1");
        play.connected("1");
        play.says("attempt 1 ok; moved 0 to 1; hang up 0");
    }

    #[test]
    fn an_empty_list_starves_once_and_an_addition_ends_it() {
        let mut play = Play::new(1, policy());
        play.start();
        play.says("dial 0");
        play.change(Change::Remove(EndpointId::new(0)));
        play.says("cancel 0; attempt 0 cancelled; starved");
        assert_eq!(play.wake(), None);
        play.change(Change::Add(traits(7)));
        play.says("dial 7");
    }

    #[test]
    fn an_addition_is_dialled_in_the_running_sweep() {
        let mut play = Play::new(1, policy());
        play.start();
        play.says("dial 0");
        play.change(Change::Add(traits(1)));
        play.fail("0", REFUSED);
        play.says("attempt 0 refused; dial 1");
    }
}

mod health {
    use super::*;

    #[test]
    fn marks_then_a_suspension_as_in_synapse() {
        let reactions = Reactions::default()
            .on(On::kind(Kind::Timeout), Reaction::Mark)
            .on(On::ANY, Reaction::Suspend);
        let health = Health::default()
            .retries(3)
            .retry_delay(Duration::from_millis(10))
            .initial(SECOND);
        let pace = Pace::new(Backoff::Constant(Duration::ZERO));
        let policy = policy().reactions(reactions).health(health).pace(pace);
        let mut play = Play::new(1, policy);
        play.connect("0");
        play.lose(RESET);
        play.says("disconnected 0; suspended 0");
        play.until_something_happens();
        assert_eq!(play.elapsed(), SECOND);
        play.connected("0");
        play.pass(20 * SECOND);
        play.lose(Failure::new(Kind::Timeout));
        let mut rests = Vec::new();
        for _ in 0..4 {
            let before = play.elapsed();
            play.until_something_happens();
            rests.push(play.elapsed() - before);
            play.fail("0", Failure::new(Kind::Timeout));
        }
        play.until_something_happens();
        let ten = Duration::from_millis(10);
        assert_eq!(rests, [ten, ten, ten, SECOND]);
    }

    #[test]
    fn when_all_rest_the_policy_says_whether_to_wait_to_fail_or_to_try_the_least_bad() {
        let all_suspended = |nobody_ready| {
            let mut play = Play::new(2, policy().nobody_ready(nobody_ready));
            play.connect("0");
            play.lose(RESET.scope(Scope::Endpoint));
            play.take();
            play.fail("1", RESET.scope(Scope::Endpoint));
            play
        };
        let mut waits = all_suspended(NobodyReady::Wait);
        waits.until_something_happens();
        assert_eq!(waits.elapsed(), 30 * SECOND);
        let mut fails = all_suspended(NobodyReady::Fail);
        assert!(fails.take().ends_with("closed"));
        let mut least_bad = all_suspended(NobodyReady::LeastBad);
        least_bad.until_something_happens();
        assert_eq!(least_bad.elapsed(), SECOND);
    }

    #[test]
    fn at_start_up_a_pass_of_refusals_for_reasons_of_their_own_closes() {
        let mut play = Play::new(2, policy());
        play.start();
        let auth = Failure::new(Kind::Auth).scope(Scope::Endpoint);
        play.fail("0", auth);
        play.fail("1", auth);
        assert!(play.take().ends_with("closed"));
        assert_eq!(
            play.machine.status(),
            Status::Closed(CloseReason::AllRefused)
        );
    }

    #[test]
    fn a_judge_may_think_better_of_a_failure() {
        struct Mild;
        impl Hooks for Mild {
            fn judge(&mut self, _: &JudgeAsked) -> Reaction {
                Reaction::Next
            }
        }
        let mut play = Play::new(1, policy());
        play.hooks = Box::new(Mild);
        play.start();
        play.fail("0", Failure::new(Kind::Auth).scope(Scope::Fatal));
        play.says("dial 0; attempt 0 auth");
        assert_eq!(play.condition(0), Condition::Active);
    }
}

mod control {
    use super::*;

    #[test]
    fn nothing_is_dialled_in_a_pause_and_a_loss_in_it_is_mended_afterwards() {
        let mut play = Play::new(2, policy());
        play.connect("0");
        play.input(Input::Pause);
        play.says("");
        play.lose(RESET);
        play.says("disconnected 0");
        assert_eq!((play.status(), play.wake()), ("paused".to_string(), None));
        play.pass(3600 * SECOND);
        let before = play.elapsed();
        play.input(Input::Resume);
        play.until_something_happens();
        play.says("dial 1");
        assert!(play.elapsed() - before <= SECOND / 2);
    }

    #[test]
    fn the_network_coming_back_cuts_a_wait_down_to_a_small_spread() {
        let pace = Pace::new(Backoff::Constant(3600 * SECOND)).cap(3600 * SECOND);
        let mut play = Play::new(1, policy().pace(pace));
        play.connect("0");
        play.lose(RESET);
        play.input(Input::Resume);
        play.until_something_happens();
        assert!(play.elapsed() <= SECOND / 2 + Duration::from_millis(1));
    }

    #[test]
    fn a_choice_hook_names_the_next_server_and_its_delay_and_a_bad_choice_is_not_heeded() {
        let mut play = Play::new(3, policy());
        play.hooks = Box::new(Choosy(vec![
            Choice::Endpoint(EndpointId::new(99)),
            Choice::EndpointAfter(EndpointId::new(0), 7 * SECOND),
            Choice::Endpoint(EndpointId::new(2)),
        ]));
        play.start();
        play.says("dial 2");
        play.fail("2", REFUSED);
        play.says("attempt 2 refused");
        play.until_something_happens();
        assert_eq!(play.elapsed(), 7 * SECOND);
        play.says("dial 0");
        play.fail("0", REFUSED);
        play.says("attempt 0 refused; dial 1");
    }

    #[test]
    fn a_choice_hook_reaches_neither_a_resting_server_nor_a_second_one_at_start_up() {
        let names = |id| {
            let named = Choice::Endpoint(EndpointId::new(id));
            Box::new(Choosy(vec![named, Choice::AsSuggested]))
        };
        let mut rests = Play::new(2, policy());
        rests.hooks = names(0);
        rests.start();
        rests.fail("0", REFUSED.scope(Scope::Endpoint));
        assert!(rests.take().ends_with("dial 1"));
        let mut first_only = Play::new(2, policy().start(Start::FirstOnly));
        first_only.hooks = names(1);
        first_only.start();
        first_only.fail("0", REFUSED);
        first_only.until_something_happens();
        assert!(first_only.take().ends_with("dial 0"));
    }

    #[test]
    fn the_first_wait_after_a_loss_is_for_whom_the_delay_hook_was_not_asked() {
        let pace = Pace::new(Backoff::Constant(SECOND))
            .every(Every::Endpoint)
            .first(3 * SECOND)
            .custom(CustomDelay::Bounded);
        let mut unasked = Play::new(1, policy().pace(pace));
        unasked.connect("0");
        unasked.lose(RESET);
        unasked.until_something_happens();
        assert_eq!(unasked.elapsed(), 3 * SECOND);
        let mut asked = Play::new(2, policy().pace(pace));
        asked.hooks = Box::new(DelayHook(|_: &DelayAsked| DelayAnswer::Exactly(2 * SECOND)));
        asked.start();
        asked.fail("0", REFUSED);
        asked.connected("1");
        asked.pass(20 * SECOND);
        asked.lose(RESET);
        assert!(asked.take().ends_with("disconnected 1; dial 0"));
    }

    /// Answers these from the last on, then as suggested.
    struct Choosy(Vec<Choice>);

    impl Hooks for Choosy {
        fn choose(&mut self, _: &ChoiceAsked) -> Choice {
            self.0.pop().unwrap_or(Choice::AsSuggested)
        }
    }

    #[test]
    fn a_lower_tier_is_tried_before_a_higher_one_whatever_the_walk() {
        let endpoints = vec![traits(0).tier(1), traits(1).tier(0), traits(2).tier(0)];
        let mut play = Play::of(endpoints, policy());
        play.start();
        play.fail("1", REFUSED);
        play.fail("2", REFUSED);
        play.says("dial 1; attempt 1 refused; dial 2; attempt 2 refused; dial 0");
    }
}

/// A machine on a stage: what goes in, and what came out, in words.
struct Play {
    machine: Machine,
    hooks: Box<dyn Hooks>,
    out: Outbox,
    said: Vec<String>,
    in_flight: Vec<(AttemptId, u32)>,
    connections: Vec<(AttemptId, u32)>,
    now: Time,
    since: Time,
}

impl Play {
    fn new(endpoints: u32, policy: PolicyBuilder) -> Self {
        Self::of((0..endpoints).map(traits).collect(), policy)
    }

    fn of(endpoints: Vec<Traits>, policy: PolicyBuilder) -> Self {
        let policy = Arc::new(policy.build().unwrap());
        Self {
            machine: Machine::new(policy, endpoints, Seed::new(1)),
            hooks: Box::new(NoHooks),
            out: Outbox::default(),
            said: Vec::new(),
            in_flight: Vec::new(),
            connections: Vec::new(),
            now: Time::ZERO,
            since: Time::ZERO,
        }
    }

    fn start(&mut self) {
        self.input(Input::Start);
    }

    /// Connects to this endpoint first and lets the connection prove stable.
    fn connect(&mut self, endpoint: &str) -> AttemptId {
        self.start();
        let connection = self.connected(endpoint);
        self.now = self.now + 20 * SECOND;
        self.since = self.now;
        self.take();
        connection
    }

    fn input(&mut self, input: Input) -> Answer {
        let answer = self
            .machine
            .handle(input, &mut *self.hooks, &mut self.out, self.now);
        let outputs: Vec<Output> = self.out.drain().collect();
        for output in outputs {
            self.note(output);
        }
        answer
    }

    fn change(&mut self, change: Change) -> Answer {
        self.input(Input::Change(change))
    }

    fn connected(&mut self, endpoint: &str) -> AttemptId {
        let dial = self.dial_of(endpoint);
        self.connections.push(dial);
        assert_eq!(
            self.input(Input::Connected { attempt: dial.0 }),
            Answer::Taken
        );
        dial.0
    }

    fn fail(&mut self, endpoint: &str, failure: Failure) {
        let (attempt, _) = self.dial_of(endpoint);
        assert_eq!(
            self.input(Input::Failed { attempt, failure }),
            Answer::Taken
        );
    }

    fn lose(&mut self, failure: Failure) {
        let Status::Connected { link, .. } = self.machine.status() else {
            panic!("not connected: {}", self.status());
        };
        let verdict = Verdict::AsPolicy;
        let attempt = link.attempt;
        self.input(Input::Lost {
            attempt,
            failure,
            verdict,
        });
    }

    fn dial_of(&mut self, endpoint: &str) -> (AttemptId, u32) {
        let at = self
            .in_flight
            .iter()
            .rposition(|(_, n)| n.to_string() == endpoint);
        self.in_flight
            .remove(at.unwrap_or_else(|| panic!("no dial of {endpoint} in flight")))
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Time passes, wake by wake, until the machine says something.
    fn until_something_happens(&mut self) {
        let before = self.said.len();
        while self.said.len() == before {
            self.now = self.machine.next_wake().expect("a wake-up is due");
            self.input(Input::Wake);
        }
    }

    fn wake(&self) -> Option<Time> {
        self.machine.next_wake()
    }

    /// Since the start, or since [`connect`](Self::connect).
    fn elapsed(&self) -> Duration {
        self.now.since(self.since)
    }

    fn condition(&self, endpoint: u32) -> Condition {
        self.machine.condition(EndpointId::new(endpoint)).unwrap().0
    }

    fn status(&self) -> String {
        match self.machine.status() {
            Status::Connected { link, .. } => format!("connected {}", link.endpoint.number()),
            Status::Dialing { endpoint } => format!("dialing {}", endpoint.number()),
            Status::Waiting { endpoint, .. } => format!("waiting for {}", endpoint.number()),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    fn take(&mut self) -> String {
        std::mem::take(&mut self.said).join("; ")
    }

    fn says(&mut self, expected: &str) {
        assert_eq!(self.take(), expected);
    }

    fn note(&mut self, output: Output) {
        let words = match output {
            Output::Dial(order) => {
                let endpoint = order.endpoint.number();
                self.in_flight.push((order.attempt, endpoint));
                format!("dial {endpoint}")
            }
            Output::Cancel(attempt) => {
                let at = self
                    .in_flight
                    .iter()
                    .position(|(id, _)| *id == attempt)
                    .unwrap();
                format!("cancel {}", self.in_flight.remove(at).1)
            }
            Output::HangUp { attempt, .. } => {
                let (_, endpoint) = self
                    .connections
                    .iter()
                    .find(|(id, _)| *id == attempt)
                    .unwrap();
                format!("hang up {endpoint}")
            }
            Output::Event(event) => words(&event),
            other => panic!("{other:?}"),
        };
        self.said.push(words);
    }
}

fn words(event: &Event) -> String {
    match event {
        Event::Attempt(ended) => {
            let outcome = ended
                .outcome
                .map_or_else(|failure| failure.kind.as_str(), |()| "ok");
            format!("attempt {} {outcome}", ended.order.endpoint.number())
        }
        Event::Connected(link) => format!("connected {}", link.endpoint.number()),
        Event::Reconnected(link) => format!("reconnected {}", link.endpoint.number()),
        Event::FailedOver { to, .. } => format!("failed over to {}", to.endpoint.number()),
        Event::Disconnected { link, .. } => format!("disconnected {}", link.endpoint.number()),
        Event::SessionGone => "session gone".into(),
        Event::Switching { .. } => "switching".into(),
        Event::Moved { to, from, .. } => {
            format!("moved {} to {}", from.number(), to.endpoint.number())
        }
        Event::Draining { .. } => "draining".into(),
        Event::Suspended { endpoint, .. } => format!("suspended {}", endpoint.number()),
        Event::SpareReady(link) => format!("spare {}", link.endpoint.number()),
        Event::SpareLost { link, .. } => format!("spare lost {}", link.endpoint.number()),
        Event::Starved => "starved".into(),
        Event::Closed(_) => "closed".into(),
        other => panic!("{other:?}"),
    }
}

fn traits(n: u32) -> Traits {
    Traits::new(EndpointId::new(n)).route(Security::Plain)
}

/// Rotates from the top, waits a second before each sweep, without jitter.
fn policy() -> PolicyBuilder {
    Policy::builder()
        .order(Order::new(Walk::Rotate))
        .pace(Pace::new(Backoff::Constant(SECOND)))
        .jitter(Jitter::None)
}
