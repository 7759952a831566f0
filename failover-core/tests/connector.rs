//! The connector against a scripted dialer, on tokio's paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod support;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use failover_core::drive::{BuildError, Clock, Events, Loss, Status, What};
use failover_core::endpoint::EndpointId;
use failover_core::failure::{Failure, Kind, Phase, Scope};
use failover_core::machine::{Answer, CloseReason, Verdict};
use failover_core::policy::{
    Backoff, Choice, ChoiceAsked, CustomDelay, DelayAnswer, DelayAsked, DelayHook, Hooks,
    JudgeAsked, Limit, Limits, Pace, Reaction, Standing,
};
use failover_core::race::{Race, Stagger};
use failover_core::testing::{Script, ScriptedConn, Step};
use failover_core::time::Time;

use self::support::{SECOND, connector, hosts, listed, script, told, words};

const LOST: Failure = Failure::new(Kind::Reset);

#[tokio::test(start_paused = true)]
async fn the_first_connect_walks_over_the_list() {
    let script = script().host("c", [Step::Accept]);
    let mut connector = connector(&script, "a b c").build().unwrap();
    let link = connector.connect().await.unwrap();
    assert_eq!(link.conn.host(), "c");
    assert_eq!(hosts(&script), "a b c");
}

#[tokio::test(start_paused = true)]
async fn a_loss_fails_over_to_the_next_server_at_once_and_says_so() {
    let script = script().host("a", [Step::Accept]).host("b", [Step::Accept]);
    let mut connector = connector(&script, "a b").build().unwrap();
    let mut events = connector.events();
    let first = connector.connect().await.unwrap();
    assert_eq!(connector.lost(first.id(), LOST), Answer::Taken);
    let second = connector.connect().await.unwrap();
    assert_eq!(second.conn.host(), "b");
    assert_eq!(script.clock().elapsed(), Duration::ZERO);
    assert_eq!(
        told(&mut events),
        "attempt a ok; connected a; disconnected a; attempt b ok; failed over a to b"
    );
}

#[tokio::test(start_paused = true)]
async fn a_mute_server_costs_its_deadline_and_the_phase_is_known() {
    let script = script()
        .host("a", [Step::Mute(Phase::Tls)])
        .host("b", [Step::Accept]);
    let mut connector = connector(&script, "a b").build().unwrap();
    let mut events = connector.events();
    let link = connector.connect().await.unwrap();
    assert_eq!(link.conn.host(), "b");
    assert_eq!(script.clock().elapsed(), SECOND);
    let What::Attempt(attempt) = events.try_next().unwrap().what else {
        panic!("an attempt comes first");
    };
    let error = attempt.outcome.unwrap_err();
    assert_eq!(
        (error.failure.kind, error.failure.phase),
        (Kind::Timeout, Some(Phase::Tls))
    );
    assert_eq!(
        error.to_string(),
        "not done after 1s, while waiting for the TLS handshake"
    );
    assert_eq!(script.half_open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_lost_its_race_is_told_as_cancelled_with_its_phase() {
    let script = script()
        .host("a", [Step::Mute(Phase::Tls)])
        .host("b", [Step::Accept]);
    let race = Race::new(2, Stagger::Fixed(SECOND / 10)).unwrap();
    let mut connector = connector(&script, "a b")
        .policy(listed().race(race).build().unwrap())
        .build()
        .unwrap();
    let mut events = connector.events();
    assert_eq!(connector.connect().await.unwrap().conn.host(), "b");
    let mut told = std::iter::from_fn(|| events.try_next());
    let error = told.find_map(|event| match event.what {
        What::Attempt(attempt) => attempt.outcome.err(),
        _ => None,
    });
    let failure = error.unwrap().failure;
    assert_eq!(
        (failure.kind, failure.phase),
        (Kind::Cancelled, Some(Phase::Tls))
    );
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_gives_up_names_the_last_error_of_every_endpoint() {
    let auth = Failure::new(Kind::Auth).scope(Scope::Endpoint);
    let script = script()
        .host("a", [Step::Fail(auth)])
        .host("b", [Step::REFUSE]);
    let policy = listed().start_up_limits(Limits::UNLIMITED.sweeps(Limit::AtMost(1)));
    let mut connector = connector(&script, "a b")
        .policy(policy.build().unwrap())
        .build()
        .unwrap();
    let gave_up = connector.connect().await.unwrap_err();
    assert_eq!(gave_up.reason, CloseReason::Sweeps(1));
    assert_eq!(
        gave_up.to_string(),
        "every endpoint failed: a:1: auth; b:1: refused"
    );
    let again = connector.connect().await.unwrap_err();
    assert_eq!(again.to_string(), gave_up.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connect_goes_on_where_it_was() {
    let script = script().host("a", [Step::AcceptAfter(SECOND / 2)]);
    let mut connector = connector(&script, "a").build().unwrap();
    for _ in 0..4 {
        let patience = tokio::time::timeout(SECOND / 10, connector.connect());
        assert!(patience.await.is_err());
    }
    connector.connect().await.unwrap();
    assert_eq!(script.clock().elapsed(), SECOND / 2);
    assert_eq!(script.dials().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_connector_at_any_await_leaves_nothing() {
    let slow = |host| script().host(host, [Step::AcceptAfter(SECOND / 4)]);
    for polls in 0..20 {
        let script = slow("b").host("a", [Step::FailAfter(SECOND / 4, LOST)]);
        let mut connector = connector(&script, "a b").build().unwrap();
        {
            let mut connecting = pin!(connector.connect());
            for _ in 0..polls {
                let mut cx = Context::from_waker(Waker::noop());
                if let Poll::Ready(link) = connecting.as_mut().poll(&mut cx) {
                    drop(link);
                    break;
                }
                tokio::time::advance(SECOND / 16).await;
            }
        }
        drop(connector);
        assert_eq!(
            (script.half_open(), script.open()),
            (0, 0),
            "after {polls} polls"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn close_is_prompt_and_final_in_every_state() {
    // Before the start, while dialling, while waiting, while connected.
    for (steps, dials) in [
        (Step::Mute(Phase::Connect), 1),
        (Step::REFUSE, 1),
        (Step::Accept, 1),
    ] {
        let script = script().host("a", [steps]);
        let mut connector = connector(&script, "a").build().unwrap();
        let mut events = connector.events();
        let handle = connector.handle();
        let link = tokio::time::timeout(SECOND / 10, connector.connect()).await;
        let before = script.clock().elapsed();
        handle.close();
        let closed = connector.connect().await.unwrap_err();
        assert_eq!(closed.reason, CloseReason::ByUser);
        assert_eq!(script.clock().elapsed(), before);
        drop(link);
        assert_eq!((script.half_open(), script.open()), (0, 0));
        assert_eq!(script.dials().len(), dials);
        let last = std::iter::from_fn(|| events.try_next()).last().unwrap();
        assert!(matches!(last.what, What::Closed(CloseReason::ByUser)));
        assert!(events.next().await.is_none());
        assert!(matches!(
            handle.status(),
            Status::Closed(CloseReason::ByUser)
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_runs_on_each_connection_until_it_is_done() {
    let script = script().host("a", [Step::Accept]).host("b", [Step::Accept]);
    let mut connector = connector(&script, "a b").build().unwrap();
    let mut seen = Vec::new();
    let done = connector.run(|link| {
        seen.push(link.conn.host().to_string());
        let n = seen.len();
        async move {
            tokio::time::sleep(20 * SECOND).await;
            drop(link);
            if n < 3 { Err(LOST) } else { Ok(()) }
        }
    });
    done.await.unwrap();
    assert_eq!(seen, ["a", "b", "a"]);
    assert_eq!(script.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_forced_reconnect_moves_a_running_session_and_a_thousand_are_one() {
    let script = script().host("a", [Step::Accept]).host("b", [Step::Accept]);
    let mut connector = connector(&script, "a b").build().unwrap();
    let mut events = connector.events();
    let handle = connector.handle();
    let running = tokio::spawn(async move {
        let hold = |link| async move {
            std::future::pending::<()>().await;
            drop::<failover_core::drive::Established<ScriptedConn>>(link);
            Ok::<(), Loss>(())
        };
        connector.run(hold).await
    });
    let reached = |events: &mut Events, host: &str| {
        let mut told = Vec::new();
        while let Some(event) = events.try_next() {
            told.push(words(&event));
        }
        told.last().is_some_and(|last| last.ends_with(host))
    };
    tokio::time::sleep(20 * SECOND).await;
    assert!(reached(&mut events, "a"));
    for _ in 0..1000 {
        handle.reconnect();
    }
    // The first session has its grace of a second.
    tokio::time::sleep(2 * SECOND).await;
    assert!(reached(&mut events, "b"));
    assert_eq!(hosts(&script), "a b");
    assert_eq!(script.open(), 1);
    handle.close();
    running.await.unwrap().unwrap();
    assert_eq!(script.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_or_late_report_of_a_loss_changes_nothing() {
    let script = script().host("a", [Step::Accept]).host("b", [Step::Accept]);
    let mut connector = connector(&script, "a b").build().unwrap();
    let first = connector.connect().await.unwrap().id();
    assert_eq!(connector.lost(first, LOST), Answer::Taken);
    assert_eq!(connector.lost(first, LOST), Answer::Stale);
    let second = connector.connect().await.unwrap();
    assert_eq!(connector.lost(first, LOST), Answer::Stale);
    assert!(matches!(
        connector.handle().status(),
        Status::Connected { .. }
    ));
    connector.close();
    assert_eq!(connector.lost(second.id(), LOST), Answer::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_spare_that_nobody_was_given_cannot_be_reported_as_lost() {
    let script = script().host("a", [Step::Accept]).host("b", [Step::Accept]);
    let standing = Standing::default().spares(1);
    let policy = listed().standing(standing).build().unwrap();
    let mut connector = connector(&script, "a b").policy(policy).build().unwrap();
    let mut events = connector.events();
    let link = connector.connect().await.unwrap();
    let stood = tokio::time::timeout(SECOND, connector.hung_up()).await;
    assert!(stood.is_err());
    let spare = std::iter::from_fn(|| events.try_next())
        .find_map(|event| match event.what {
            What::SpareReady(spare) => Some(spare.id),
            _ => None,
        })
        .unwrap();
    assert_eq!(connector.lost(spare, LOST), Answer::Stale);
    assert_eq!(connector.lost(link.id(), LOST), Answer::Taken);
    assert_eq!(connector.connect().await.unwrap().id(), spare);
    // The next spare is dialled once somebody polls beside the session: nobody waits for it.
    assert_eq!(hosts(&script), "a b");
    let stood = tokio::time::timeout(SECOND, connector.hung_up()).await;
    assert!(stood.is_err());
    assert_eq!(hosts(&script), "a b a");
}

#[tokio::test(start_paused = true)]
async fn a_verdict_of_the_application_is_obeyed() {
    let script = script().host("a", [Step::Accept]).host("b", [Step::Accept]);
    let mut connector = connector(&script, "a b").build().unwrap();
    let link = connector.connect().await.unwrap();
    tokio::time::sleep(20 * SECOND).await;
    connector.lost(link.id(), Loss::from(LOST).verdict(Verdict::Retry));
    let link = connector.connect().await.unwrap();
    assert_eq!(link.conn.host(), "a");
    connector.lost(link.id(), Loss::from(LOST).verdict(Verdict::Stop));
    let gave_up = connector.connect().await.unwrap_err();
    assert!(matches!(gave_up.reason, CloseReason::Fatal(failure) if failure.kind == Kind::Reset));
}

#[tokio::test(start_paused = true)]
async fn accept_then_drop_is_not_a_hot_loop() {
    let script = script().host("a", [Step::Accept]).host("b", [Step::Accept]);
    let mut connector = connector(&script, "a b").build().unwrap();
    let minute = tokio::time::timeout(60 * SECOND, async {
        while let Ok(link) = connector.connect().await {
            drop(link);
        }
    });
    assert!(minute.await.is_err());
    // Constant waits of one second, once per sweep over two servers.
    assert!(
        script.dials().len() <= 2 * 61,
        "{} dials in a minute",
        script.dials().len()
    );
    assert!(
        script.dials().len() >= 2 * 59,
        "{} dials in a minute",
        script.dials().len()
    );
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_is_told_and_the_policy_goes_on() {
    let script = script().host("a", [Step::REFUSE, Step::Accept]);
    let pace = Pace::new(Backoff::Constant(SECOND)).custom(CustomDelay::Bounded);
    let policy = || listed().pace(pace).build().unwrap();
    assert!(matches!(
        connector(&script, "a").policy(policy()).build(),
        Err(BuildError::MissingDelayHook)
    ));
    let hook = DelayHook(|asked: &DelayAsked| -> DelayAnswer { panic!("wait {}", asked.waits) });
    let mut connector = connector(&script, "a")
        .policy(policy())
        .hooks(hook)
        .build()
        .unwrap();
    let mut events = connector.events();
    connector.connect().await.unwrap();
    assert_eq!(script.clock().elapsed(), SECOND);
    assert_eq!(
        told(&mut events),
        "hook panicked: wait 1; attempt a failed; attempt a ok; connected a"
    );
}

#[tokio::test(start_paused = true)]
async fn the_users_choice_and_judgement_are_asked_and_obeyed() {
    struct LastAndNever;
    impl Hooks for LastAndNever {
        fn choose(&mut self, _: &ChoiceAsked) -> Choice {
            Choice::Endpoint(EndpointId::new(2))
        }
        fn judge(&mut self, asked: &JudgeAsked) -> Reaction {
            assert_eq!(asked.suggested, Reaction::Next);
            Reaction::Stop
        }
    }
    let script = script().host("c", [Step::REFUSE]);
    let builder = connector(&script, "a b c").hooks(LastAndNever);
    let mut connector = builder.build().unwrap();
    assert!(connector.connect().await.is_err());
    assert_eq!(hosts(&script), "c");
}

#[tokio::test(start_paused = true)]
async fn a_choice_or_judgement_that_panics_leaves_the_policys() {
    struct Panics;
    impl Hooks for Panics {
        fn choose(&mut self, _: &ChoiceAsked) -> Choice {
            panic!("choice")
        }
        fn judge(&mut self, _: &JudgeAsked) -> Reaction {
            panic!("judgement")
        }
    }
    let script = script().host("b", [Step::Accept]);
    let builder = connector(&script, "a b").hooks(Panics);
    let mut connector = builder.build().unwrap();
    let mut events = connector.events();
    connector.connect().await.unwrap();
    assert_eq!(hosts(&script), "a b");
    assert!(told(&mut events).starts_with("hook panicked: choice; hook panicked"));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_sleeps_loses_the_oldest_events_and_knows_how_many() {
    let script = script().host("a", [Step::REFUSE]);
    let policy = listed()
        .limits(Limits::UNLIMITED)
        .start_up_limits(Limits::UNLIMITED.turns(Limit::AtMost(2000)));
    let mut connector = connector(&script, "a")
        .policy(policy.build().unwrap())
        .build()
        .unwrap();
    let mut events = connector.events();
    connector.connect().await.unwrap_err();
    assert_eq!(events.dropped(), 2001 - Events::KEPT as u64);
    assert_eq!(
        std::iter::from_fn(|| events.try_next()).count(),
        Events::KEPT
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_the_connector_ends_the_events_without_closed() {
    let script = script().host("a", [Step::Accept]);
    let mut connector = connector(&script, "a").build().unwrap();
    let mut events = connector.events();
    let handle = connector.handle();
    connector.connect().await.unwrap();
    drop(connector);
    assert_eq!(told(&mut events), "attempt a ok; connected a");
    assert!(events.next().await.is_none());
    assert!(matches!(handle.status(), Status::Dropped));
    handle.reconnect();
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_failed_dials_leave_no_trace() {
    let script = script();
    let mut connector = connector(&script, "a b c").build().unwrap();
    let patience = tokio::time::timeout(3334 * SECOND, connector.connect());
    assert!(patience.await.is_err());
    assert!(script.dials().len() >= 10_000);
    assert_eq!((script.half_open(), script.open()), (0, 0));
}

#[test]
fn bad_input_is_refused_when_the_connector_is_built() {
    let refused = |list: &str| {
        connector(&Script::new(Still), list)
            .build()
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(""),
        "the list of endpoints is empty: give at least one, such as `tcp://host:port`"
    );
    assert_eq!(
        refused("a a"),
        "`tcp://a:1` is in the list twice: remove one of the two"
    );
}

/// Time stands still.
#[derive(Clone)]
struct Still;

impl Clock for Still {
    type Sleep = std::future::Pending<()>;

    fn now(&self) -> Time {
        Time::ZERO
    }

    fn sleep_until(&self, _: Time) -> Self::Sleep {
        std::future::pending()
    }
}
