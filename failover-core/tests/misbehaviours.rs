//! What other clients do wrong in connecting, published or found by running them: a test each that
//! this one, with that client's own preset where it matters, does not.
//!
//! Shown elsewhere, because it is not the connector's:
//!
//! * unknown options of a URI that are kept silently (stompit): `config.rs`, where they are refused;
//! * a server's own options beaten by the defaults (stompit: credentials): the options of an endpoint
//!   are found first, `transport-tcp/tests/faults.rs`;
//! * liveness that takes minutes (NATS): `heartbeat.rs`, where it has a stated bound;
//! * shuffles that are biased (stompit, ActiveMQ): here for two and three servers, all else in
//!   `statistics.rs`;
//! * a jitter chosen by the server lost (NATS): L6, in `laws.rs` and `dialled.rs`, also where the
//!   dial itself learns that the server demands TLS;
//! * a dead spare that blocks its replacement (ActiveMQ): `spares.rs`, where its keeper notices; many
//!   clients on the endpoint whose rest is over (Synapse): one probe at a time, `standing/health.rs`.
//!
//! Not here, because they are about messages: buffered publishes beyond their bound, bytes lost in a
//! write buffer (NATS), a call that loops over ignored codes while it holds its message (Synapse; its
//! dials are bounded here).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use failover_core::dial::{Dial, Registry};
use failover_core::directory::Endpoint;
use failover_core::drive::{Connector, Loss, Status, What};
use failover_core::failure::{Failure, Kind, Phase, Scope};
use failover_core::machine::{Answer, CloseReason, Condition, Verdict};
use failover_core::policy::{
    Health, Limit, Limits, On, Order, Overlap, Policy, Ratio, Reaction, Reactions, Seed, Shuffle,
    Standing, Start, Walk,
};
use failover_core::preset::{
    ActiveMq, DiffusionFailover, DiffusionReconnect, Nats, PresetName, Stompit, Synapse,
};
use failover_core::testing::{Script, Step};
use failover_core::time::Time;
use tokio::time::{sleep, timeout};

use self::support::{Paused, SECOND, connector, hosts, listed, script, told};

const LOST: Failure = Failure::new(Kind::Reset);
const HOUR: Duration = Duration::from_secs(3600);

mod stompit {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_server_of_two_is_dialled_first_as_often_as_the_other() {
        let first = orders(&Stompit::default().preset().unwrap().policy, "a b", 400).await;
        assert_eq!(first.len(), 2, "{first:?}");
        assert!(first.values().all(|n| (150..250).contains(n)), "{first:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn each_order_of_three_is_as_likely_as_any_other() {
        let orders = orders(&Stompit::default().preset().unwrap().policy, "a b c", 1200).await;
        assert_eq!(orders.len(), 6, "{orders:?}");
        assert!(
            orders.values().all(|n| (140..260).contains(n)),
            "{orders:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_mute_at_the_login_costs_one_deadline() {
        let script = script()
            .host("a", [Step::Mute(Phase::Login)])
            .host("b", [Step::Accept]);
        let policy = listed().deadline(Stompit::default().timeout);
        let mut connector = connector(&script, "a b")
            .policy(policy.build().unwrap())
            .build()
            .unwrap();
        let mut events = connector.events();
        assert_eq!(connector.connect().await.unwrap().conn.host(), "b");
        assert_eq!(script.clock().elapsed(), Stompit::default().timeout);
        let What::Attempt(attempt) = events.try_next().unwrap().what else {
            panic!("an attempt comes first");
        };
        assert_eq!(
            attempt.outcome.unwrap_err().failure.phase,
            Some(Phase::Login)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_accepts_and_drops_is_dialled_ever_more_slowly() {
        // The preset counts from the last success, as stompit does, and leaves the rest to the floor.
        let policy = Stompit::default().preset().unwrap().policy;
        let stable = policy
            .to_builder()
            .stable_after(10 * SECOND)
            .build()
            .unwrap();
        let script = script().host("a", [Step::Accept]);
        let mut connector = connector(&script, "a").policy(stable).build().unwrap();
        let hour = timeout(HOUR, async {
            while let Ok(link) = connector.connect().await {
                connector.lost(link.id(), LOST);
            }
        });
        assert!(hour.await.is_err());
        // 10, 30, 70 … ms, and then every 30 s.
        let dials = script.dials().len();
        assert!((100..140).contains(&dials), "{dials} dials in an hour");
    }

    #[tokio::test(start_paused = true)]
    async fn asking_again_to_reconnect_starts_no_second_loop() {
        let script = script().host("a", [Step::REFUSE, Step::AcceptAfter(SECOND / 2)]);
        let mut connector = connector(&script, "a").build().unwrap();
        let handle = connector.handle();
        for _ in 0..4 {
            handle.reconnect();
            assert!(timeout(SECOND / 10, connector.connect()).await.is_err());
            assert!(script.half_open() <= 1);
        }
        let link = connector.connect().await.unwrap();
        assert_eq!((script.dials().len(), script.open()), (2, 1));
        drop(link);
    }

    #[tokio::test(start_paused = true)]
    async fn asking_to_reconnect_after_the_end_changes_nothing() {
        let script = script();
        let policy = listed().start_up_limits(Limits::UNLIMITED.turns(Limit::AtMost(2)));
        let mut connector = connector(&script, "a")
            .policy(policy.build().unwrap())
            .build()
            .unwrap();
        let reason = connector.connect().await.unwrap_err().reason;
        connector.handle().reconnect();
        assert_eq!(connector.connect().await.unwrap_err().reason, reason);
        assert_eq!(script.dials().len(), 2);
    }

    #[test]
    fn an_exponent_below_one_is_refused() {
        let shrinks = Stompit {
            reconnect_delay_exponent: Ratio::from_ppm(500_000),
            ..Stompit::default()
        };
        let refused = shrinks.preset().unwrap_err().to_string();
        assert!(refused.contains("the factor is 0.5"), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_running_loop_dials_a_server_that_is_added() {
        let script = script().host("b", [Step::Accept]);
        let policy = Stompit::default().preset().unwrap().policy;
        let mut connector = connector(&script, "a").policy(policy).build().unwrap();
        let handle = connector.handle();
        assert!(timeout(60 * SECOND, connector.connect()).await.is_err());
        handle.add(Endpoint::parse("tcp://b:1").unwrap()).unwrap();
        let link = timeout(31 * SECOND, connector.connect())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(link.conn.host(), "b");
    }
}

mod activemq {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_cap_bounds_the_first_wait_and_the_flat_ones() {
        for use_exponential_back_off in [false, true] {
            let options = ActiveMq {
                initial_reconnect_delay: 60 * SECOND,
                max_reconnect_delay: 5 * SECOND,
                use_exponential_back_off,
                ..ActiveMq::default()
            };
            let waits = waits(options.preset().unwrap().policy, 6).await;
            assert!(waits.iter().all(|wait| *wait == 5 * SECOND), "{waits:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_wait_of_five_milliseconds_grows_too() {
        let options = ActiveMq {
            initial_reconnect_delay: Duration::from_millis(5),
            ..ActiveMq::default()
        };
        let waits = waits(options.preset().unwrap().policy, 5).await;
        assert_eq!(waits, [5, 10, 20, 40, 80].map(Duration::from_millis));
    }

    #[tokio::test(start_paused = true)]
    async fn a_millisecond_grows_by_half() {
        let options = ActiveMq {
            initial_reconnect_delay: Duration::from_millis(1),
            back_off_multiplier: Ratio::from_ppm(1_500_000),
            ..ActiveMq::default()
        };
        let waits = waits(options.preset().unwrap().policy, 12).await;
        assert!(waits[11] > Duration::from_millis(80), "{waits:?}");
        assert!(waits.is_sorted(), "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_spare_that_was_refused_once_is_dialled_again() {
        let refused = [Step::REFUSE, Step::REFUSE, Step::Accept];
        let script = script().host("a", [Step::Accept]).host("b", refused);
        let policy = listed()
            .standing(Standing::default().spares(1))
            .build()
            .unwrap();
        let mut connector = connector(&script, "a b").policy(policy).build().unwrap();
        let _link = connector.connect().await.unwrap();
        assert!(timeout(60 * SECOND, connector.hung_up()).await.is_err());
        assert_eq!(script.open(), 2);
        assert_eq!(hosts(&script), "a b b b");
    }

    #[tokio::test(start_paused = true)]
    async fn a_spare_that_takes_over_is_told_after_the_interruption() {
        let script = script().host("a", [Step::Accept]).host("b", [Step::Accept]);
        let policy = listed()
            .standing(Standing::default().spares(1))
            .build()
            .unwrap();
        let mut connector = connector(&script, "a b").policy(policy).build().unwrap();
        let link = connector.connect().await.unwrap();
        assert!(timeout(SECOND, connector.hung_up()).await.is_err());
        let mut events = connector.events();
        connector.lost(link.id(), LOST);
        drop(link);
        let _next = connector.connect().await.unwrap();
        let told = told(&mut events);
        assert!(
            told.starts_with("disconnected a; failed over a to b"),
            "{told}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_rebalance_dials_before_it_drops_the_connection() {
        let script = script()
            .host("a", [Step::Accept])
            .host("b", [Step::AcceptAfter(SECOND)]);
        let policy = listed().deadline(5 * SECOND).build().unwrap();
        let mut connector = connector(&script, "a").policy(policy).build().unwrap();
        let handle = connector.handle();
        let link = connector.connect().await.unwrap();
        handle.replace([Endpoint::parse("tcp://b:1").unwrap()]);
        connector.hung_up().await;
        // The new one stands when the old one is asked to leave.
        assert!(link.leave().is_asked());
        assert_eq!(script.open(), 2);
        drop(link);
        assert_eq!(connector.connect().await.unwrap().conn.host(), "b");
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_does_not_wait_for_a_dial() {
        let script = script().host("a", [Step::Mute(Phase::Connect)]);
        let mut connector = connector(&script, "a").build().unwrap();
        assert!(timeout(SECOND / 2, connector.connect()).await.is_err());
        let before = script.clock().elapsed();
        connector.close();
        assert!(connector.connect().await.is_err());
        assert_eq!((script.clock().elapsed(), script.half_open()), (before, 0));
    }
}

mod diffusion {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_strikes_during_a_wait_settles_who_waits() {
        let script = script();
        let limits = Limits::UNLIMITED.elapsed(5 * SECOND / 2);
        let policy = listed().start_up_limits(limits).build().unwrap();
        let mut connector = connector(&script, "a").policy(policy).build().unwrap();
        let ended = timeout(10 * SECOND, connector.connect()).await.unwrap();
        assert!(matches!(ended.unwrap_err().reason, CloseReason::Elapsed(_)));
        // It ends when the wait that would reach beyond the limit would begin, or at the limit.
        assert!(script.clock().elapsed() <= 5 * SECOND / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_attempt_that_hangs_does_not_eat_the_whole_window() {
        let steps = [Step::Accept, Step::Mute(Phase::Connect), Step::Accept];
        let script = script().host("a", steps);
        let options = DiffusionReconnect::default();
        let policy = options.preset().unwrap().policy;
        assert!(policy.deadline() < options.timeout);
        let mut connector = connector(&script, "a").policy(policy).build().unwrap();
        let link = connector.connect().await.unwrap();
        sleep(HOUR).await;
        connector.lost(link.id(), LOST);
        let began = script.clock().elapsed();
        connector.connect().await.unwrap();
        assert!(script.clock().elapsed() - began < options.timeout);
        assert_eq!(script.dials().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_dialled_after_close() {
        let script = script();
        let policy = DiffusionFailover {
            autofailover: true,
            cascading: true,
            ..DiffusionFailover::default()
        };
        let policy = policy.preset().unwrap().policy;
        let mut connector = connector(&script, "a b c").policy(policy).build().unwrap();
        let _ = timeout(SECOND / 2, connector.connect()).await;
        connector.handle().close();
        assert!(connector.connect().await.is_err());
        let dials = script.dials().len();
        assert!(timeout(HOUR, connector.hung_up()).await.is_ok());
        sleep(HOUR).await;
        assert!(connector.connect().await.is_err());
        assert_eq!(script.dials().len(), dials);
    }
}

mod nats {
    use super::*;

    fn preset() -> Policy {
        let options = Nats {
            retry_on_failed_connect: true,
            ..Nats::default()
        };
        options.preset().unwrap().policy
    }

    #[tokio::test(start_paused = true)]
    async fn clients_do_not_hit_the_servers_of_a_sweep_in_step() {
        let mut firsts = BTreeMap::<(u128, String), u32>::new();
        for seed in 0..60 {
            let script = script();
            let mut connector = connector(&script, "a b c")
                .policy(preset())
                .seed(Seed::new(seed))
                .build()
                .unwrap();
            assert!(timeout(3 * SECOND, connector.connect()).await.is_err());
            // The first dial after the first wait.
            let later = script
                .dials()
                .into_iter()
                .find(|(at, _)| at.since(Time::ZERO) > SECOND);
            let (at, host) = later.unwrap();
            *firsts
                .entry((at.since(Time::ZERO).as_millis() / 20, host))
                .or_default() += 1;
        }
        // 5 slots of 20 ms times 3 servers: nobody meets more than a few others.
        assert!(firsts.len() >= 12, "{firsts:?}");
        assert!(firsts.values().all(|n| *n <= 12), "{firsts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_refused_by_one_server_leaves_the_others() {
        let refused = Step::Fail(Failure::new(Kind::Auth).scope(Scope::Endpoint));
        let script = script().host("a", [refused]).host("b", [Step::Accept]);
        let mut connector = connector(&script, "a b").policy(preset()).build().unwrap();
        for _ in 0..20 {
            let link = connector.connect().await.unwrap();
            assert_eq!(link.conn.host(), "b");
            sleep(SECOND).await;
            connector.lost(link.id(), LOST);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_forced_reconnect_during_an_outage_does_not_spin() {
        let script = script();
        let mut connector = connector(&script, "a b").policy(preset()).build().unwrap();
        let handle = connector.handle();
        for _ in 0..1000 {
            handle.reconnect();
            let _ = timeout(Duration::from_millis(10), connector.connect()).await;
        }
        // Ten seconds: each word cuts one wait short, and none is more than one dial.
        let dials = script.dials();
        assert!(dials.len() <= 1100, "{} dials", dials.len());
        for host in ["a", "b"] {
            let times: Vec<Time> = dials
                .iter()
                .filter(|(_, to)| to == host)
                .map(|(at, _)| *at)
                .collect();
            let close = times
                .windows(2)
                .filter(|two| two[1].since(two[0]) < Duration::from_millis(1));
            assert_eq!(close.count(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_over_websocket_has_the_same_deadline() {
        let script = script()
            .host("a", [Step::Mute(Phase::Upgrade)])
            .host("b", [Step::Accept]);
        let mut connector = connector(&script, "a b")
            .policy(preset())
            .seed(Seed::new(3))
            .build()
            .unwrap();
        let link = connector.connect().await.unwrap();
        assert_eq!(link.conn.host(), "b");
        assert!(script.clock().elapsed() <= Nats::default().timeout);
        assert_eq!(script.half_open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_who_asks_waits_for_a_dial() {
        let script = script().host("a", [Step::Mute(Phase::Connect)]);
        let mut connector = connector(&script, "a").policy(preset()).build().unwrap();
        let (handle, mut watch) = (connector.handle(), connector.handle().watch());
        assert!(timeout(SECOND / 2, connector.connect()).await.is_err());
        let before = script.clock().elapsed();
        assert!(matches!(handle.status(), Status::Dialing { .. }));
        assert_eq!(handle.snapshot().counters.dials, 1);
        assert!(watch.next().await.is_some());
        handle.add(Endpoint::parse("tcp://b:1").unwrap()).unwrap();
        handle.reconnect();
        assert_eq!(script.clock().elapsed(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_handshake_is_told_like_any_failed_dial() {
        let handshake = Failure::new(Kind::Tls).at(Phase::Tls);
        let script = script().host("a", [Step::Fail(handshake), Step::Accept]);
        let mut connector = connector(&script, "a").policy(preset()).build().unwrap();
        let mut events = connector.events();
        connector.connect().await.unwrap();
        let What::Attempt(attempt) = events.try_next().unwrap().what else {
            panic!("an attempt comes first");
        };
        assert_eq!(attempt.outcome.unwrap_err().failure, handshake);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_reader_sees_the_latest_status_and_how_many_events_it_missed() {
        let script = script();
        let policy = listed().start_up_limits(Limits::UNLIMITED.turns(Limit::AtMost(3000)));
        let mut connector = connector(&script, "a")
            .policy(policy.build().unwrap())
            .build()
            .unwrap();
        let (mut events, mut watch) = (connector.events(), connector.handle().watch());
        connector.connect().await.unwrap_err();
        assert!(matches!(watch.next().await, Some(Status::Closed(_))));
        let read = std::iter::from_fn(|| events.try_next()).count() as u64;
        assert_eq!(read + events.dropped(), 3001);
    }

    #[tokio::test(start_paused = true)]
    async fn servers_of_several_transports_stand_in_one_list() {
        let (tcp, ws) = (script(), script().host("b", [Step::Accept]));
        let registry = Registry::default()
            .with("tcp", tcp.clone().boxed())
            .with("ws", ws.clone().boxed());
        let mut connector = Connector::builder(registry, ws.clock())
            .endpoints(["tcp://a:1", "ws://b:1"].map(|url| Endpoint::parse(url).unwrap()))
            .policy(listed().build().unwrap())
            .build()
            .unwrap();
        assert_eq!(connector.connect().await.unwrap().conn.host(), "b");
        assert_eq!((tcp.dials().len(), ws.dials().len()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn no_connection_that_was_lost_or_refused_stays_open() {
        let flaky = [Step::Accept, Step::FailAfter(SECOND / 10, LOST)].repeat(100);
        let script = script().host("a", flaky.clone()).host("b", flaky);
        let mut connector = connector(&script, "a b").policy(preset()).build().unwrap();
        for _ in 0..100 {
            let link = connector.connect().await.unwrap();
            assert_eq!((script.open(), script.half_open()), (1, 0));
            let id = link.id();
            drop(link);
            connector.lost(id, LOST);
        }
        assert_eq!((script.open(), script.half_open()), (0, 0));
    }
}

mod synapse {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_that_suspend_nobody_do_not_loop() {
        let ignored = Synapse {
            suspend_codes: Some(Vec::new()),
            mark_codes: Vec::new(),
            ..Synapse::default()
        };
        let script = script();
        let policy = ignored.preset().unwrap().policy;
        let mut connector = connector(&script, "a b").policy(policy).build().unwrap();
        assert!(timeout(SECOND, connector.connect()).await.is_err());
        // The hard floor holds even where the policy waits for nothing.
        assert!(
            script.dials().len() <= 2 * 1001,
            "{} dials",
            script.dials().len()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_loss_that_is_reported_often_suspends_once() {
        let (script, policy) = (
            script().host("a", [Step::Accept]),
            suspending(Health::default()),
        );
        let mut connector = connector(&script, "a b").policy(policy).build().unwrap();
        let link = connector.connect().await.unwrap();
        sleep(HOUR).await;
        assert_eq!(connector.lost(link.id(), LOST), Answer::Taken);
        let rest = rests(&connector.handle().snapshot());
        for _ in 0..10 {
            let worse = Loss::from(LOST).verdict(Verdict::Suspend);
            assert_eq!(connector.lost(link.id(), worse), Answer::Stale);
        }
        assert_eq!(rests(&connector.handle().snapshot()), rest);
        assert_eq!(rest, Health::default().initial);
    }

    #[tokio::test(start_paused = true)]
    async fn news_of_an_older_connection_neither_ends_nor_shortens_a_suspension() {
        let script = script().host("a", [Step::Accept]).host("b", [Step::Accept]);
        let policy = suspending(Health::default());
        let mut connector = connector(&script, "a b").policy(policy).build().unwrap();
        let first = connector.connect().await.unwrap();
        sleep(HOUR).await;
        connector.lost(first.id(), LOST);
        let _second = connector.connect().await.unwrap();
        for verdict in [Verdict::Retry, Verdict::AsPolicy, Verdict::Remove] {
            let late = Loss::from(Failure::new(Kind::Closed)).verdict(verdict);
            assert_eq!(connector.lost(first.id(), late), Answer::Stale);
        }
        let snapshot = connector.handle().snapshot();
        assert_eq!(snapshot.endpoints[0].condition, Condition::Suspended);
        assert_eq!(rests(&snapshot), Health::default().initial);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_after_off_does_not_bring_a_server_back() {
        let script = script().host("a", [Step::FailAfter(SECOND / 2, LOST)]);
        let mut connector = connector(&script, "a b").build().unwrap();
        let handle = connector.handle();
        assert!(timeout(SECOND / 4, connector.connect()).await.is_err());
        handle.switch_off("a:1").unwrap();
        assert!(timeout(HOUR, connector.connect()).await.is_err());
        assert_eq!(hosts(&script).matches('a').count(), 1);
        assert_eq!(handle.snapshot().endpoints[0].condition, Condition::Off);
    }

    #[tokio::test(start_paused = true)]
    async fn the_maximum_bounds_the_first_suspension_too() {
        let health = Health::default().initial(HOUR).maximum(10 * SECOND);
        let script = script().host("a", [Step::Accept]);
        let mut connector = connector(&script, "a b")
            .policy(suspending(health))
            .build()
            .unwrap();
        let link = connector.connect().await.unwrap();
        sleep(HOUR).await;
        connector.lost(link.id(), LOST);
        assert_eq!(rests(&connector.handle().snapshot()), 10 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn weights_do_not_outweigh_a_suspension() {
        let script = script().host("light", [Step::Accept]);
        let policy = Policy::builder()
            .order(Order::new(Walk::Weighted))
            .reactions(Reactions::default().on(On::ANY, Reaction::Suspend))
            .build()
            .unwrap();
        let heavy = Endpoint::parse("tcp://heavy:1").unwrap().weight(1000);
        let mut connector = Connector::builder(script.clone(), script.clock())
            .endpoints([heavy, Endpoint::parse("tcp://light:1").unwrap()])
            .policy(policy)
            .seed(Seed::new(1))
            .build()
            .unwrap();
        assert_eq!(connector.connect().await.unwrap().conn.host(), "light");
        assert_eq!(hosts(&script), "heavy light");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_whose_rest_is_over_gets_one_probe_and_rests_again() {
        let policy = suspending(Health::default().initial(10 * SECOND));
        let policy = policy.to_builder().start(Start::Persevere).build().unwrap();
        let script = script();
        let mut connector = connector(&script, "a").policy(policy).build().unwrap();
        assert!(timeout(75 * SECOND, connector.connect()).await.is_err());
        // 0, 10, 30, 70 s.
        assert_eq!(script.dials().len(), 4);
    }

    /// Every failure suspends.
    fn suspending(health: Health) -> Policy {
        let all = Reactions::default().on(On::ANY, Reaction::Suspend);
        listed().health(health).reactions(all).build().unwrap()
    }

    /// How long the first endpoint rests from now on.
    fn rests(snapshot: &failover_core::drive::Snapshot) -> Duration {
        snapshot.endpoints[0].rests_until.since(snapshot.at)
    }
}

mod all {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_preset_hammers_a_server_that_refuses() {
        for name in PresetName::ALL {
            let script = script();
            let policy = name.preset().unwrap().policy;
            let mut connector = connector(&script, "a b").policy(policy).build().unwrap();
            let _ = timeout(60 * SECOND, connector.connect()).await;
            let dials = script.dials().len();
            assert!(dials <= 100, "{name}: {dials} dials in a minute");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_preset_dials_a_server_that_accepts_and_drops_faster_than_the_floor() {
        for name in PresetName::ALL {
            let script = script().host("a", [Step::Accept]).host("b", [Step::Accept]);
            let policy = name.preset().unwrap().policy;
            let mut connector = connector(&script, "a b").policy(policy).build().unwrap();
            let second = timeout(SECOND, async {
                while let Ok(link) = connector.connect().await {
                    connector.lost(link.id(), LOST);
                }
            });
            let _ = second.await;
            let dials = script.dials().len();
            assert!(dials <= 2 * 1001, "{name}: {dials} dials in a second");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_logins_at_once_are_never_made_where_they_are_forbidden() {
        let script = script()
            .host("a", [Step::Accept])
            .host("b", [Step::AcceptAfter(SECOND / 2)]);
        let standing = Standing::default().overlap(Overlap::Forbidden);
        let policy = listed().standing(standing).build().unwrap();
        let mut connector = connector(&script, "a b").policy(policy).build().unwrap();
        let handle = connector.handle();
        let running = tokio::spawn(async move {
            let stay = |link: failover_core::drive::Established<_>| async move {
                link.leave().asked().await;
                drop(link);
                Ok::<(), Loss>(())
            };
            connector.run(stay).await
        });
        for _ in 0..40 {
            handle.reconnect_other();
            sleep(SECOND / 20).await;
            assert!(script.open() + script.half_open() <= 1);
        }
        handle.close();
        running.await.unwrap().unwrap();
    }
}

/// How often each order of the first dials came, over so many seeds.
async fn orders(policy: &Policy, list: &str, seeds: u64) -> BTreeMap<String, u32> {
    assert!(matches!(policy.order().walk, Walk::Shuffled(Shuffle::Once)));
    let servers = list.split(' ').count();
    let mut orders = BTreeMap::new();
    for seed in 0..seeds {
        let script = script();
        let mut connector = connector(&script, list)
            .policy(policy.clone())
            .seed(Seed::new(seed))
            .build()
            .unwrap();
        let _ = timeout(Duration::from_millis(5), connector.connect()).await;
        let order: Vec<String> = script.dials().into_iter().map(|(_, host)| host).collect();
        *orders.entry(order[..servers].concat()).or_default() += 1;
    }
    orders
}

/// The first waits between dials of one server that refuses, to the millisecond.
async fn waits(policy: Policy, count: usize) -> Vec<Duration> {
    let script: Script<Paused> = script();
    let mut connector = connector(&script, "a").policy(policy).build().unwrap();
    let _ = timeout(HOUR, connector.connect()).await;
    let dials = script.dials();
    let between = dials.windows(2).map(|two| two[1].0.since(two[0].0));
    let whole = |wait: Duration| Duration::from_millis(u64::try_from(wait.as_millis()).unwrap());
    between.map(whole).take(count).collect()
}
