//! What the machine does from a loss to the next connection: scenarios of the systems that its
//! policy takes in, and the bugs that the laws found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use failover_core::attempt::AttemptId;
use failover_core::endpoint::{EndpointId, Security, Traits};
use failover_core::failure::{Failure, Kind, Scope};
use failover_core::machine::{
    Answer, Change, CloseReason, Event, Input, Machine, Outbox, Output, Status, Verdict, Whither,
};
use failover_core::policy::{
    Backoff, CustomDelay, DelayAnswer, DelayHook, Every, Health, Hooks, Jitter, Limit, Limits,
    Lost, NoHooks, NobodyReady, On, Order, Overlap, Pace, PlainFallback, Policy, PolicyBuilder,
    Ratio, Reaction, Reactions, Resume, Seed, Standing, Start, Walk,
};
use failover_core::race::{Race, Stagger};
use failover_core::time::Time;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const REFUSED: Failure = Failure::new(Kind::Refused);
const RESET: Failure = Failure::new(Kind::Reset);
const AUTH: Failure = Failure::new(Kind::Auth).scope(Scope::Endpoint);

mod limits {
    use super::*;

    #[test]
    fn a_limit_of_no_time_closes_at_the_loss() {
        let limits = Limits::UNLIMITED.elapsed(Duration::ZERO);
        let mut stage = Stage::new(2, policy().limits(limits));
        stage.connect(0);
        stage.lose(RESET);
        assert_eq!(stage.closed(), Some(CloseReason::Elapsed(Duration::ZERO)));
        assert_eq!(stage.dials(), "");
    }

    #[test]
    fn a_route_that_fails_after_the_limit_of_time_is_not_followed_by_another() {
        let limits = Limits::UNLIMITED.elapsed(SECOND);
        let both = traits(0).route(Security::Plain);
        let mut stage = Stage::of(vec![both], policy().start_up_limits(limits));
        stage.start();
        stage.pass(2 * SECOND);
        stage.fail(0, REFUSED);
        assert_eq!(stage.closed(), Some(CloseReason::Elapsed(SECOND)));
        assert_eq!(stage.dials(), "0");
    }

    #[test]
    fn a_forced_reconnect_after_the_limit_of_time_dials_nobody() {
        let limits = Limits::UNLIMITED.elapsed(SECOND / 2);
        let mut stage = Stage::new(1, policy().limits(limits));
        stage.connect(0);
        stage.lose(RESET);
        stage.pass(2 * SECOND);
        stage.input(Input::Reconnect(Whither::Any));
        assert_eq!(stage.closed(), Some(CloseReason::Elapsed(SECOND / 2)));
        assert_eq!(stage.dials(), "");
    }

    #[test]
    fn leaving_a_connection_is_no_loss_even_where_a_loss_closes() {
        let policy = policy()
            .limits(Limits::UNLIMITED.turns(Limit::AtMost(0)))
            .standing(Standing::default().overlap(Overlap::Forbidden));
        let mut stage = Stage::new(2, policy);
        stage.connect(0);
        stage.input(Input::Reconnect(Whither::Any));
        assert_eq!(stage.closed(), None);
        stage.accept(1);
        stage.pass(20 * SECOND);
        stage.lose(RESET);
        assert_eq!(stage.closed(), Some(CloseReason::Turns(0)));
    }
}

mod starvation {
    use super::*;

    #[test]
    fn it_is_told_once_until_something_is_dialled_again() {
        let mut stage = Stage::new(1, policy());
        stage.start();
        stage.input(change(0, Change::Off));
        stage.input(Input::Pause);
        stage.input(Input::Resume);
        assert_eq!(stage.starved(), 1);
        stage.input(change(0, Change::On));
        stage.until_a_dial();
        stage.input(change(0, Change::Off));
        assert_eq!(stage.starved(), 2);
    }

    #[test]
    fn when_the_first_endpoint_is_removed_before_it_answered_the_next_one_is_the_first() {
        let mut stage = Stage::new(2, policy().start(Start::FirstOnly));
        stage.start();
        stage.input(change(0, Change::Remove));
        assert_eq!((stage.dials().as_str(), stage.starved()), ("0 1", 0));
    }

    #[test]
    fn when_the_first_endpoint_alone_may_be_dialled_its_limit_closes() {
        let policy = policy()
            .start(Start::FirstOnly)
            .start_up_limits(Limits::UNLIMITED.per_endpoint(Limit::AtMost(2)));
        let mut stage = Stage::new(2, policy);
        stage.start();
        assert_eq!(stage.refuse(9), "0 0@1000");
        assert_eq!(stage.closed(), Some(CloseReason::PerEndpoint(2)));
    }

    #[test]
    fn a_connection_to_a_removed_endpoint_is_kept_while_nobody_else_is_there_and_never_redialled() {
        let mut stage = Stage::new(1, policy());
        stage.connect(0);
        stage.input(change(0, Change::Remove));
        for _ in 0..10 {
            stage.pass(SECOND);
            stage.input(Input::Wake);
        }
        assert_eq!(stage.dials(), "");
        stage.lose(RESET);
        assert_eq!((stage.dials().as_str(), stage.starved()), ("", 1));
    }
}

mod the_floor {
    use super::*;

    #[test]
    fn a_server_named_by_the_user_is_not_redialled_within_the_millisecond() {
        let mut stage = Stage::new(2, policy());
        stage.start();
        stage.fail(0, AUTH);
        stage.accept(1);
        stage.input(Input::Reconnect(Whither::This(EndpointId::new(0))));
        assert_eq!(stage.dials(), "0 1");
        stage.input(Input::Reconnect(Whither::Any));
        assert_eq!(stage.dials(), "");
        stage.until_a_dial();
        assert_eq!(stage.dials(), "0@1");
    }

    #[test]
    fn a_wait_that_a_forced_reconnect_cut_short_is_over_for_good() {
        let pace = Pace::new(Backoff::Constant(SECOND))
            .every(Every::Endpoint)
            .custom(CustomDelay::Unbounded);
        let mut stage = Stage::new(1, policy().pace(pace));
        let mut answers = vec![SECOND, 3600 * SECOND];
        stage.hooks = Box::new(DelayHook(move |_: &_| {
            answers
                .pop()
                .map_or(DelayAnswer::AsSuggested, DelayAnswer::Exactly)
        }));
        stage.start();
        stage.fail(0, REFUSED);
        stage.input(Input::Reconnect(Whither::Any));
        assert_eq!(stage.refuse(3), "0 0@1 0@1001");
    }

    #[test]
    fn the_least_bad_of_endpoints_that_rest_is_dialled_at_its_own_pace() {
        let policy = policy()
            .pace(Pace::new(Backoff::Constant(SECOND)).every(Every::Endpoint))
            .nobody_ready(NobodyReady::LeastBad);
        let mut stage = Stage::new(1, policy);
        stage.connect(0);
        stage.lose(AUTH);
        assert_eq!(stage.refuse_with(3, AUTH), "0 0@1000 0@2000");
    }

    #[test]
    fn in_a_race_a_route_that_failed_within_the_millisecond_is_followed_by_the_next() {
        let race = Race::new(2, Stagger::Fixed(10 * MS)).unwrap();
        let both = traits(1).route(Security::Plain);
        let mut stage = Stage::of(vec![traits(0), both], policy().race(race));
        stage.start();
        stage.input(Input::Wake);
        stage.pass(10 * MS);
        stage.input(Input::Wake);
        assert_eq!(stage.dials(), "0 1@10");
        stage.fail(1, REFUSED);
        stage.pass(MS);
        stage.input(Input::Wake);
        assert_eq!(stage.dials(), "1/1@11");
        stage.accept(1);
        assert!(matches!(stage.machine.status(), Status::Connected { .. }));
    }

    #[test]
    fn in_a_race_a_route_that_has_to_wait_is_not_forgotten_when_the_rival_fails() {
        let race = Race::new(2, Stagger::Fixed(10 * MS)).unwrap();
        let limits = Limits::UNLIMITED.turns(Limit::AtMost(2));
        let both = traits(1).route(Security::Plain);
        let policy = policy().race(race).start_up_limits(limits);
        let mut stage = Stage::of(vec![traits(0), both], policy);
        stage.start();
        stage.pass(10 * MS);
        stage.input(Input::Wake);
        stage.fail(1, REFUSED);
        stage.fail(0, REFUSED);
        assert_eq!(stage.closed(), None);
        stage.until_a_dial();
        assert_eq!(stage.dials(), "0 1@10 1/1@11");
        stage.fail(1, REFUSED);
        assert_eq!(stage.closed(), Some(CloseReason::Turns(2)));
    }
}

mod the_resume_window {
    use super::*;

    fn resuming() -> PolicyBuilder {
        policy().resume(Resume::new(12 * SECOND, 5 * SECOND))
    }

    fn gone(stage: &Stage) -> usize {
        let gone = |event: &&Event| matches!(event, Event::SessionGone);
        stage.events.iter().filter(gone).count()
    }

    #[test]
    fn it_does_not_lead_to_a_server_that_is_off() {
        let mut stage = Stage::new(2, resuming());
        stage.connect(0);
        stage.input(change(1, Change::Off));
        stage.input(change(0, Change::Off));
        stage.lose(RESET);
        assert_eq!((stage.dials().as_str(), stage.starved()), ("", 1));
    }

    #[test]
    fn it_ends_in_words_when_its_server_leaves_the_list() {
        let mut stage = Stage::new(2, resuming());
        stage.connect(0);
        stage.lose(RESET);
        stage.input(change(0, Change::Off));
        assert_eq!((stage.dials().as_str(), gone(&stage)), ("0 1", 1));
    }

    #[test]
    fn it_ends_in_words_when_the_user_wants_another_server() {
        let mut stage = Stage::new(2, resuming());
        stage.connect(0);
        stage.lose(RESET);
        stage.fail(0, REFUSED);
        stage.input(Input::Reconnect(Whither::Other));
        stage.until_a_dial();
        assert_eq!((stage.dials().as_str(), gone(&stage)), ("0 1", 1));
    }

    #[test]
    fn in_a_pause_it_runs_on_and_after_it_the_server_comes_first_if_there_is_time() {
        for (pause, dials, told) in [(3, "0", 0), (13, "1", 1)] {
            let mut stage = Stage::new(2, resuming());
            stage.connect(0);
            stage.input(Input::Pause);
            stage.lose(RESET);
            stage.pass(pause * SECOND);
            stage.input(Input::Wake);
            assert_eq!(gone(&stage), 0);
            stage.input(Input::Resume);
            stage.until_a_dial();
            let dialled = stage.dials();
            assert_eq!(
                (dialled.split('@').next(), gone(&stage)),
                (Some(dials), told)
            );
        }
    }
}

mod time_with_a_connection {
    use super::*;

    #[test]
    fn does_not_count_as_time_without_one_after_a_move_either() {
        let limits = Limits::UNLIMITED.elapsed(8 * SECOND);
        let mut stage = Stage::new(2, policy().limits(limits));
        stage.start();
        stage.accept(0);
        stage.pass(9 * SECOND);
        stage.input(Input::Reconnect(Whither::Any));
        stage.accept(1);
        stage.pass(9 * SECOND);
        stage.lose(RESET);
        assert_eq!(stage.closed(), None);
    }
}

mod rests {
    use super::*;

    #[test]
    fn a_forced_reconnect_to_anybody_and_a_resume_do_not_cut_a_suspension_short() {
        let mut stage = Stage::new(1, policy());
        stage.connect(0);
        stage.lose(AUTH);
        stage.input(Input::Reconnect(Whither::Any));
        stage.input(Input::Resume);
        stage.until_a_dial();
        assert_eq!(stage.dials(), "0@30000");
    }

    #[test]
    fn a_forced_reconnect_to_the_one_that_rests_does() {
        let mut stage = Stage::new(1, policy());
        stage.connect(0);
        stage.lose(AUTH);
        stage.input(Input::Reconnect(Whither::This(EndpointId::new(0))));
        assert_eq!(stage.dials(), "0");
    }

    #[test]
    fn the_end_of_a_suspension_that_is_told_is_that_of_the_suspension() {
        let pace = Pace::new(Backoff::Constant(60 * SECOND))
            .every(Every::Endpoint)
            .cap(60 * SECOND);
        let mut stage = Stage::new(2, policy().pace(pace));
        stage.start();
        stage.fail(0, AUTH);
        let until = stage.events.iter().find_map(|event| match event {
            Event::Suspended { until, .. } => Some(*until),
            _ => None,
        });
        assert_eq!(until, Some(Time::ZERO + 30 * SECOND));
    }
}

mod moves {
    use super::*;
    use failover_core::policy::Failback;

    #[test]
    fn a_failback_in_the_middle_of_another_move_is_announced_once() {
        let failback = Failback::default()
            .every(SECOND)
            .good_probes(1)
            .settle(Duration::ZERO);
        let policy = policy().standing(Standing::default().failback(failback));
        let mut stage = Stage::of(
            vec![traits(0), traits(1).tier(1), traits(2).tier(1)],
            policy,
        );
        stage.start();
        stage.fail(0, REFUSED);
        stage.accept(1);
        stage.input(Input::Reconnect(Whither::This(EndpointId::new(2))));
        stage.until_next(0);
        stage.accept(0);
        let told = |event: &&Event| matches!(event, Event::Switching { .. });
        assert_eq!(stage.events.iter().filter(told).count(), 1);
        assert!(matches!(
            stage.machine.status(),
            Status::Connected { link, .. } if link.endpoint.number() == 0
        ));
    }
}

mod the_end_of_the_resume_window {
    use super::*;

    #[test]
    fn starts_no_dial_that_has_no_time() {
        let both = traits(0).route(Security::Plain);
        let policy = policy().resume(Resume::new(SECOND, SECOND));
        let mut stage = Stage::of(vec![both, traits(1)], policy);
        stage.connect(0);
        stage.lose(RESET);
        stage.pass(SECOND);
        stage.input(Input::Wake);
        assert_eq!(stage.dials(), "0 1@1000");
    }
}

mod sweeps {
    use super::*;

    #[test]
    fn nats_dials_the_others_at_once_and_waits_before_the_lost_server() {
        let mut stage = Stage::new(3, policy());
        stage.connect(0);
        stage.lose(RESET);
        assert_eq!(
            stage.refuse(8),
            "1 2 0@1000 1@1000 2@1000 0@2000 1@2000 2@2000"
        );
    }

    #[test]
    fn nats_with_one_server_waits_before_every_attempt() {
        let mut stage = Stage::new(1, policy());
        stage.connect(0);
        stage.lose(RESET);
        assert_eq!(stage.refuse(3), "0@1000 0@2000 0@3000");
    }

    #[test]
    fn nats_retires_a_server_at_its_limit_and_closes_when_all_are_retired() {
        let limits = Limits::UNLIMITED.per_endpoint(Limit::AtMost(2));
        let mut stage = Stage::new(3, policy().limits(limits));
        stage.connect(0);
        stage.lose(RESET);
        assert_eq!(stage.refuse(99), "1 2 0@1000 1@1000 2@1000 0@2000");
        assert_eq!(stage.closed(), Some(CloseReason::PerEndpoint(2)));
    }

    #[test]
    fn a_server_that_other_servers_outlived_is_back_in_the_next_outage() {
        let limits = Limits::UNLIMITED.per_endpoint(Limit::AtMost(2));
        let mut stage = Stage::new(2, policy().limits(limits));
        stage.connect(0);
        stage.lose(RESET);
        // Server 1 fails twice and is retired; server 0 answers.
        stage.fail(1, REFUSED);
        stage.until_a_dial();
        stage.fail(0, REFUSED);
        stage.fail(1, REFUSED);
        stage.until_a_dial();
        stage.accept(0);
        assert_eq!(stage.dials(), "1 0@1000 1@1000 0@2000");
        stage.pass(20 * SECOND);
        stage.lose(RESET);
        assert_eq!(stage.refuse(1), "1@22000");
    }

    #[test]
    fn activemq_waits_a_little_first_and_tries_the_lost_server_last_in_every_pass() {
        let pace = Pace::new(Backoff::Exponential {
            base: 10 * MS,
            factor: Ratio::TWO,
        })
        .first(10 * MS);
        let order = Order::new(Walk::Listed).lost(Lost::Last);
        let mut stage = Stage::new(3, policy().order(order).pace(pace));
        stage.connect(0);
        stage.lose(RESET);
        assert_eq!(
            stage.refuse(9),
            "1@10 2@10 0@10 1@20 2@20 0@20 1@40 2@40 0@40"
        );
    }

    #[test]
    fn a_limit_of_sweeps_counts_passes_and_the_first_is_one() {
        let limits = Limits::UNLIMITED.sweeps(Limit::AtMost(2));
        let mut stage = Stage::new(2, policy().start_up_limits(limits));
        stage.start();
        assert_eq!(stage.refuse(99), "0 1 0@1000 1@1000");
        assert_eq!(stage.closed(), Some(CloseReason::Sweeps(2)));
    }

    #[test]
    fn stompit_waits_for_each_server_by_its_own_series() {
        let pace = Pace::new(Backoff::Affine {
            initial: 10 * MS,
            factor: Ratio::TWO,
        })
        .every(Every::Endpoint);
        let mut stage = Stage::new(2, policy().pace(pace));
        stage.start();
        assert_eq!(stage.refuse(8), "0 1 0@10 1@10 0@40 1@40 0@110 1@110");
    }

    #[test]
    fn each_endpoint_has_an_exponential_series_of_its_own() {
        let pace = Pace::new(Backoff::Exponential {
            base: SECOND,
            factor: Ratio::TWO,
        })
        .every(Every::Endpoint);
        let mut stage = Stage::new(2, policy().pace(pace));
        stage.connect(0);
        stage.lose(RESET);
        // The one that proved stable begins anew; so does its neighbour.
        assert_eq!(stage.refuse(6), "1 0 1@1000 0@1000 1@3000 0@3000");
    }

    #[test]
    fn the_lost_server_goes_where_the_policy_says() {
        for (lost, dials) in [
            (Lost::First, "1 2 0 1@1000"),
            (Lost::InPlace, "2 0 1 2@1000"),
            (Lost::Last, "2 0 1 2@1000"),
            (Lost::TurnTaken, "2 0 1@1000 2@1000"),
        ] {
            let order = Order::new(Walk::Rotate).lost(lost);
            let mut stage = Stage::new(3, policy().order(order));
            stage.start();
            stage.fail(0, REFUSED);
            stage.accept(1);
            stage.pass(20 * SECOND);
            stage.since = stage.now;
            stage.dials();
            stage.lose(RESET);
            assert_eq!(stage.refuse(4), dials, "{lost:?}");
        }
    }
}

mod the_start {
    use super::*;

    #[test]
    fn the_first_connect_cascades_over_the_list() {
        let mut stage = Stage::new(3, policy().order(Order::new(Walk::Listed)));
        stage.start();
        assert_eq!(stage.refuse(5), "0 1 2 0@1000 1@1000");
    }

    #[test]
    fn without_cascading_only_the_first_is_dialled_until_it_answered() {
        let mut stage = Stage::new(3, policy().start(Start::FirstOnly));
        stage.start();
        assert_eq!(stage.refuse(3), "0 0@1000 0@2000");
        stage.accept(0);
        stage.pass(20 * SECOND);
        stage.lose(RESET);
        assert_eq!(stage.refuse(2), "1@22000 2@22000");
    }

    #[test]
    fn endpoints_that_all_refuse_for_reasons_of_their_own_end_the_start() {
        let mut stage = Stage::new(2, policy());
        stage.start();
        assert_eq!(stage.refuse_with(99, AUTH), "0 1");
        assert_eq!(stage.closed(), Some(CloseReason::AllRefused));
    }

    #[test]
    fn one_that_may_come_back_keeps_the_start_alive() {
        let mut stage = Stage::new(2, policy());
        stage.start();
        stage.fail(0, AUTH);
        stage.fail(1, REFUSED);
        stage.until_a_dial();
        assert_eq!(stage.dials(), "0 1 1@1000");
    }
}

mod losses {
    use super::*;

    #[test]
    fn a_limit_of_no_turns_closes_on_the_loss() {
        let limits = Limits::UNLIMITED.turns(Limit::AtMost(0));
        let mut stage = Stage::new(2, policy().limits(limits));
        stage.connect(0);
        stage.lose(RESET);
        assert_eq!(stage.dials(), "");
        assert_eq!(stage.closed(), Some(CloseReason::Turns(0)));
    }

    #[test]
    fn a_server_that_accepts_and_drops_is_waited_for_longer_and_longer() {
        let pace = Pace::new(Backoff::Exponential {
            base: 100 * MS,
            factor: Ratio::TWO,
        });
        for every in [Every::Attempt, Every::Endpoint, Every::Sweep] {
            let mut stage = Stage::new(1, policy().pace(pace.every(every)));
            stage.connect(0);
            stage.lose(RESET);
            for _ in 0..6 {
                stage.until_a_dial();
                stage.accept(0);
                stage.lose(RESET);
            }
            stage.until_a_dial();
            let dials = match every {
                Every::Sweep => "0@100 0@300 0@700 0@1500 0@3100 0@6300 0@12700",
                _ => "0 0@100 0@300 0@700 0@1500 0@3100 0@6300",
            };
            assert_eq!(stage.dials(), dials, "{every:?}");
        }
    }

    #[test]
    fn a_flapping_server_counts_as_failing_turns() {
        let limits = Limits::UNLIMITED.turns(Limit::AtMost(3));
        let mut stage = Stage::new(1, policy().limits(limits));
        stage.connect(0);
        for _ in 0..4 {
            stage.lose(RESET);
            stage.until_a_dial();
            if stage.closed().is_none() {
                stage.accept(0);
            }
        }
        assert_eq!(stage.dials(), "0@1000 0@2000 0@3000");
        assert_eq!(stage.closed(), Some(CloseReason::Turns(3)));
    }

    #[test]
    fn a_connection_that_proved_stable_resets_the_count() {
        let limits = Limits::UNLIMITED.turns(Limit::AtMost(3));
        let mut stage = Stage::new(1, policy().limits(limits));
        stage.connect(0);
        for _ in 0..10 {
            stage.lose(RESET);
            stage.until_a_dial();
            stage.fail(0, REFUSED);
            stage.until_a_dial();
            stage.accept(0);
            stage.pass(20 * SECOND);
        }
        assert_eq!(stage.closed(), None);
    }

    #[test]
    fn a_server_that_says_when_to_come_back_is_benched_until_then_and_no_longer_than_the_maximum() {
        let busy = |seconds| Failure::new(Kind::Upgrade).retry_after(seconds * SECOND);
        let mut stage = Stage::new(2, policy());
        stage.start();
        stage.fail(0, busy(5));
        assert_eq!(
            stage.refuse(8),
            "0 1 1@1000 1@2000 1@3000 1@4000 1@5000 0@5000",
            "the hint is a floor for its endpoint alone"
        );
        let mut alone = Stage::new(1, policy());
        alone.connect(0);
        alone.lose(busy(100_000));
        assert_eq!(alone.refuse(1), "0@600000");
    }

    #[test]
    fn a_failure_of_the_endpoints_own_benches_it_for_30_s_doubled_up_to_10_min() {
        let mut stage = Stage::new(1, policy());
        stage.connect(0);
        stage.lose(AUTH);
        assert_eq!(
            stage.refuse_with(7, AUTH),
            "0@30000 0@90000 0@210000 0@450000 0@930000 0@1530000 0@2130000"
        );
    }

    #[test]
    fn a_fatal_failure_closes() {
        let fatal = RESET.scope(Scope::Fatal);
        let mut stage = Stage::new(2, policy());
        stage.connect(0);
        stage.lose(fatal);
        assert_eq!(stage.closed(), Some(CloseReason::Fatal(fatal)));
    }

    #[test]
    fn the_verdict_of_the_application_comes_before_the_policy() {
        for (verdict, dials) in [
            (Verdict::AsPolicy, "1 2 0@1000"),
            (Verdict::Retry, "0 1 2"),
            (Verdict::Next, "1 2 0@1000"),
            (Verdict::Suspend, "1 2 1@1000"),
            (Verdict::Remove, "1 2 1@1000"),
        ] {
            let mut stage = Stage::new(3, policy());
            stage.connect(0);
            stage.lose_with(RESET, verdict);
            assert_eq!(stage.refuse(3), dials, "{verdict:?}");
        }
        let mut stage = Stage::new(3, policy());
        stage.connect(0);
        stage.lose_with(RESET, Verdict::Stop);
        assert_eq!(stage.closed(), Some(CloseReason::Fatal(RESET)));
    }

    #[test]
    fn a_reaction_may_be_written_for_a_kind_of_failure() {
        let reactions = Reactions::default().on(On::kind(Kind::Reset), Reaction::Suspend);
        let health = Health::default().initial(5 * SECOND);
        let mut stage = Stage::new(1, policy().reactions(reactions).health(health));
        stage.connect(0);
        stage.lose(RESET);
        assert_eq!(stage.refuse_with(3, RESET), "0@5000 0@15000 0@35000");
    }
}

mod forced_reconnects {
    use super::*;

    #[test]
    fn cut_a_wait_short_once() {
        let mut stage = Stage::new(1, policy());
        stage.connect(0);
        stage.lose(RESET);
        stage.pass(SECOND / 4);
        stage.input(Input::Reconnect(Whither::Any));
        assert_eq!(stage.refuse(3), "0@250 0@1250 0@2250");
    }

    #[test]
    fn a_thousand_of_them_in_a_wait_are_one_dial_and_book_nothing() {
        let limits = Limits::UNLIMITED.turns(Limit::AtMost(2));
        let mut stage = Stage::new(1, policy().limits(limits));
        stage.connect(0);
        stage.lose(RESET);
        for _ in 0..1000 {
            stage.input(Input::Reconnect(Whither::Any));
        }
        assert_eq!(stage.refuse(99), "0 0@1000");
        assert_eq!(stage.closed(), Some(CloseReason::Turns(2)));
    }
}

mod routes {
    use super::*;

    fn wss_tls_tcp() -> Traits {
        Traits::new(EndpointId::new(0))
            .route(Security::Tls)
            .route(Security::Tls)
            .route(Security::Plain)
    }

    #[test]
    fn a_turn_tries_each_route_but_never_plain_after_tls() {
        let mut stage = Stage::of(vec![wss_tls_tcp(), traits(1)], policy());
        stage.start();
        assert_eq!(stage.refuse(5), "0 0/1@1 1@1 0@1001 0/1@1002");
    }

    #[test]
    fn plain_may_follow_tls_where_the_policy_allows_it() {
        let policy = policy().plain_fallback(PlainFallback::Allow);
        let mut stage = Stage::of(vec![wss_tls_tcp(), traits(1)], policy);
        stage.start();
        assert_eq!(stage.refuse(4), "0 0/1@1 0/2@2 1@2");
    }

    #[test]
    fn what_the_server_said_ends_the_turn() {
        let mut stage = Stage::of(vec![wss_tls_tcp(), traits(1)], policy());
        stage.start();
        assert_eq!(stage.refuse_with(2, Failure::new(Kind::Draining)), "0 1");
    }

    #[test]
    fn the_route_that_worked_goes_first_next_time_and_the_turn_counts_once() {
        let limits = Limits::UNLIMITED.turns(Limit::AtMost(2));
        let policy = policy().limits(limits).plain_fallback(PlainFallback::Allow);
        let mut stage = Stage::of(vec![wss_tls_tcp()], policy);
        stage.start();
        stage.pass(MS);
        stage.fail(0, REFUSED);
        stage.accept(0);
        assert_eq!(stage.dials(), "0 0/1@1");
        stage.pass(20 * SECOND);
        stage.since = stage.now;
        stage.lose(RESET);
        assert_eq!(
            stage.refuse(99),
            "0/1@1000 0@1001 0/2@1002 0/1@2002 0@2003 0/2@2004"
        );
        assert_eq!(stage.closed(), Some(CloseReason::Turns(2)));
    }

    #[test]
    fn a_route_that_turned_out_to_be_tls_is_not_followed_by_plain() {
        let endpoint = Traits::new(EndpointId::new(0))
            .route(Security::Plain)
            .route(Security::Plain);
        let mut stage = Stage::of(vec![endpoint, traits(1)], policy());
        stage.start();
        let attempt = *stage.in_flight.first_key_value().unwrap().0;
        let security = Security::Tls;
        stage.input(Input::Learned { attempt, security });
        assert_eq!(stage.refuse(2), "0 1");
    }
}

mod news_that_is_older {
    use super::*;

    #[test]
    fn a_connection_from_before_a_suspension_does_not_end_it_when_it_is_lost() {
        let mut stage = Stage::new(1, policy());
        stage.connect(0);
        stage.input(Input::Reconnect(Whither::Any));
        stage.fail(0, AUTH);
        stage.pass(10 * SECOND);
        stage.lose(RESET);
        stage.until_a_dial();
        assert_eq!(stage.dials(), "0 0@30000");
    }
}

mod pauses {
    use super::*;

    #[test]
    fn do_not_lift_the_floor_of_a_move_to_a_named_server() {
        let standing = Standing::default().wake_spread(Duration::ZERO);
        let mut stage = Stage::new(2, policy().standing(standing));
        stage.connect(0);
        stage.input(Input::Reconnect(Whither::This(EndpointId::new(1))));
        stage.input(Input::Pause);
        stage.input(Input::Resume);
        assert_eq!(stage.dials(), "1");
        stage.until_a_dial();
        assert_eq!(stage.dials(), "1@1");
    }
}

/// A machine on a stage: who is dialled, and when.
struct Stage {
    machine: Machine,
    hooks: Box<dyn Hooks>,
    out: Outbox,
    now: Time,
    since: Time,
    in_flight: BTreeMap<AttemptId, (u32, u8)>,
    dialled: Vec<String>,
    events: Vec<Event>,
}

impl Stage {
    fn new(endpoints: u32, policy: PolicyBuilder) -> Self {
        Self::of((0..endpoints).map(traits).collect(), policy)
    }

    fn of(endpoints: Vec<Traits>, policy: PolicyBuilder) -> Self {
        let policy = Arc::new(policy.build().unwrap());
        Self {
            machine: Machine::new(policy, endpoints, Seed::new(1)),
            hooks: Box::new(NoHooks),
            out: Outbox::default(),
            now: Time::ZERO,
            since: Time::ZERO,
            in_flight: BTreeMap::new(),
            dialled: Vec::new(),
            events: Vec::new(),
        }
    }

    fn start(&mut self) {
        self.input(Input::Start);
    }

    /// Connects to this endpoint first, and lets the connection prove stable.
    fn connect(&mut self, endpoint: u32) {
        self.start();
        self.accept(endpoint);
        self.pass(20 * SECOND);
        self.since = self.now;
        self.dialled.clear();
        self.events.clear();
    }

    fn input(&mut self, input: Input) -> Answer {
        let answer = self
            .machine
            .handle(input, &mut *self.hooks, &mut self.out, self.now);
        for output in self.out.drain() {
            match output {
                Output::Dial(order) => {
                    let (id, route) = (order.endpoint.number(), order.route);
                    let at = self.now.since(self.since).as_millis();
                    let mut words = id.to_string();
                    if route > 0 {
                        words += &format!("/{route}");
                    }
                    if at > 0 {
                        words += &format!("@{at}");
                    }
                    self.dialled.push(words);
                    self.in_flight.insert(order.attempt, (id, route));
                }
                Output::Cancel(attempt) => drop(self.in_flight.remove(&attempt)),
                Output::Event(event) => self.events.push(event),
                _ => {}
            }
        }
        answer
    }

    fn accept(&mut self, endpoint: u32) {
        let attempt = self.take(endpoint);
        assert_eq!(self.input(Input::Connected { attempt }), Answer::Taken);
    }

    fn fail(&mut self, endpoint: u32, failure: Failure) {
        let attempt = self.take(endpoint);
        assert_eq!(
            self.input(Input::Failed { attempt, failure }),
            Answer::Taken
        );
    }

    fn lose(&mut self, failure: Failure) {
        self.lose_with(failure, Verdict::AsPolicy);
    }

    fn lose_with(&mut self, failure: Failure, verdict: Verdict) {
        let Status::Connected { link, .. } = self.machine.status() else {
            panic!("not connected: {:?}", self.machine.status());
        };
        let attempt = link.attempt;
        let lost = Input::Lost {
            attempt,
            failure,
            verdict,
        };
        assert_eq!(self.input(lost), Answer::Taken);
    }

    fn take(&mut self, endpoint: u32) -> AttemptId {
        let found = self.in_flight.iter().find(|(_, (id, _))| *id == endpoint);
        let attempt = *found.unwrap_or_else(|| panic!("no dial of {endpoint}")).0;
        self.in_flight.remove(&attempt);
        attempt
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Time passes until the next dial, or until nothing more is due.
    fn until_a_dial(&mut self) {
        while self.in_flight.is_empty()
            && let Some(wake) = self.machine.next_wake()
        {
            self.now = self.now.max(wake);
            self.input(Input::Wake);
        }
    }

    /// Time passes until this endpoint is dialled.
    fn until_next(&mut self, endpoint: u32) {
        while !self.in_flight.values().any(|(id, _)| *id == endpoint) {
            self.now = self.machine.next_wake().expect("a wake-up is due");
            self.input(Input::Wake);
        }
    }

    /// Every dial fails at once, until there were so many, or it closed.
    fn refuse(&mut self, dials: usize) -> String {
        self.refuse_with(dials, REFUSED)
    }

    fn refuse_with(&mut self, dials: usize, failure: Failure) -> String {
        self.until_a_dial();
        while self.dialled.len() < dials
            && let Some((attempt, _)) = self.in_flight.pop_first()
        {
            self.input(Input::Failed { attempt, failure });
            self.until_a_dial();
        }
        self.dials()
    }

    /// Whom it dialled, over which route but the first, and after how many milliseconds.
    fn dials(&mut self) -> String {
        std::mem::take(&mut self.dialled).join(" ")
    }

    fn closed(&self) -> Option<CloseReason> {
        match self.machine.status() {
            Status::Closed(reason) => Some(reason),
            _ => None,
        }
    }

    fn starved(&self) -> usize {
        let starved = |event: &&Event| matches!(event, Event::Starved);
        self.events.iter().filter(starved).count()
    }
}

fn traits(n: u32) -> Traits {
    Traits::new(EndpointId::new(n)).route(Security::Plain)
}

fn change(id: u32, change: fn(EndpointId) -> Change) -> Input {
    Input::Change(change(EndpointId::new(id)))
}

/// Rotates from the top, waits a second before each sweep, without jitter.
fn policy() -> PolicyBuilder {
    Policy::builder()
        .order(Order::new(Walk::Rotate))
        .pace(Pace::new(Backoff::Constant(SECOND)))
        .jitter(Jitter::None)
        .tls_jitter(Jitter::None)
}
