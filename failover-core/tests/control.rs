//! Control of a connector through its handle, in every state, and what a session notices of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    missing_docs
)]

mod support;

use std::future::pending;
use std::sync::{Arc, Mutex};

use failover_core::directory::{Endpoint, Learner};
use failover_core::drive::{
    Arrival, Callbacks, Connector, Established, Events, GiveUp, Handle, Loss, NoConnection, Status,
    Watch, What,
};
use failover_core::failure::{Failure, Kind, Phase};
use failover_core::machine::{Answer, CloseReason, Condition, Move};
use failover_core::policy::{
    Failback, Limit, Limits, MaxAge, On, Overlap, Reaction, Reactions, Standing,
};
use failover_core::testing::{Script, ScriptedConn, Step};
use failover_core::time::Time;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::support::{Paused, SECOND, connector, hosts, listed, script, told};

type Running = JoinHandle<Result<(), GiveUp>>;
type Link = Established<ScriptedConn>;

/// What sessions did, in words.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, words: String) {
        self.0.lock().unwrap().push(words);
    }

    fn take(&self) -> String {
        self.0
            .lock()
            .unwrap()
            .drain(..)
            .collect::<Vec<_>>()
            .join("; ")
    }
}

/// Sessions that never end by themselves.
fn hold(mut connector: Connector<Script<Paused>, Arc<Paused>>) -> Running {
    tokio::spawn(async move {
        let session = |link: Link| async move {
            pending::<()>().await;
            drop(link);
            Ok::<(), Loss>(())
        };
        connector.run(session).await
    })
}

/// Sessions that say how they came about, and finish `SECOND / 2` after they are asked to leave.
fn polite(mut connector: Connector<Script<Paused>, Arc<Paused>>, log: &Log) -> Running {
    let log = log.clone();
    tokio::spawn(async move {
        let session = |link: Link| {
            let log = log.clone();
            async move {
                let host = link.conn.host().to_string();
                let arrival = match link.arrival() {
                    Arrival::First => "first".to_string(),
                    Arrival::Reconnected => "again".to_string(),
                    Arrival::FailedOver { from } => format!("over from {}", from.name()),
                    Arrival::Moved { from, why } => {
                        format!("{} from {}", why.as_str(), from.name())
                    }
                    other => panic!("{other:?}"),
                };
                log.note(format!("{host} {arrival}"));
                link.leave().asked().await;
                sleep(SECOND / 2).await;
                log.note(format!("{host} finished"));
                Ok::<(), Loss>(())
            }
        };
        connector.run(session).await
    })
}

fn accepting(names: &[&str]) -> Script<Paused> {
    names
        .iter()
        .fold(script(), |script, name| script.host(name, [Step::Accept]))
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_to_leave_finishes_beside_the_next_one() {
    let script = accepting(&["a", "b"]);
    let connector = connector(&script, "a b").build().unwrap();
    let (handle, log) = (connector.handle(), Log::default());
    let running = polite(connector, &log);
    sleep(20 * SECOND).await;
    handle.reconnect_other();
    sleep(SECOND / 4).await;
    assert_eq!(log.take(), "a first; b forced from a:1");
    assert_eq!(script.open(), 2);
    sleep(SECOND / 2).await;
    assert_eq!(log.take(), "a finished");
    assert_eq!(script.open(), 1);
    handle.close();
    running.await.unwrap().unwrap();
    assert_eq!(log.take(), "b finished");
    assert_eq!(script.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_does_not_leave_is_dropped_when_its_grace_is_over() {
    let script = accepting(&["a", "b"]);
    let connector = connector(&script, "a b").build().unwrap();
    let handle = connector.handle();
    let running = hold(connector);
    sleep(20 * SECOND).await;
    handle.reconnect_other();
    sleep(SECOND / 2).await;
    assert_eq!(script.open(), 2);
    sleep(SECOND).await;
    assert_eq!(script.open(), 1);
    let before = script.clock().elapsed();
    handle.close();
    running.await.unwrap().unwrap();
    assert_eq!(script.clock().elapsed(), before + SECOND);
    assert_eq!(script.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_overlap_the_old_connection_is_gone_before_the_new_dial() {
    let script = accepting(&["a", "b"]);
    let standing = Standing::default().overlap(Overlap::Forbidden);
    let policy = listed().standing(standing).build().unwrap();
    let connector = connector(&script, "a b").policy(policy).build().unwrap();
    let (handle, log) = (connector.handle(), Log::default());
    let _running = polite(connector, &log);
    sleep(20 * SECOND).await;
    handle.reconnect_other();
    sleep(SECOND / 4).await;
    assert_eq!(script.open(), 1);
    assert!(log.take().starts_with("a first; b "));
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_goes_to_the_server_that_is_named() {
    let script = accepting(&["a", "b", "c"]);
    let mut connector = connector(&script, "a b c").build().unwrap();
    let mut events = connector.events();
    let handle = connector.handle();
    let _running = hold(connector);
    sleep(20 * SECOND).await;
    handle.reconnect_to("c:1");
    sleep(20 * SECOND).await;
    assert_eq!(hosts(&script), "a c");
    handle.reconnect_to("nobody:1");
    sleep(SECOND).await;
    assert_eq!(hosts(&script), "a c");
    assert!(told(&mut events).ends_with("list refused: no endpoint is named `nobody:1`"));
}

#[tokio::test(start_paused = true)]
async fn a_pause_starts_no_dials_and_its_end_cuts_waits_short() {
    let script = script();
    let mut connector = connector(&script, "a").build().unwrap();
    let handle = connector.handle();
    let connecting = tokio::spawn(async move { connector.connect().await.map(|link| link.conn) });
    sleep(5 * SECOND / 2).await;
    handle.pause();
    sleep(SECOND).await;
    assert!(matches!(handle.status(), Status::Paused));
    let dials = script.dials().len();
    sleep(3600 * SECOND).await;
    assert_eq!(script.dials().len(), dials);
    script.change("a", [Step::Accept]);
    handle.resume();
    let before = script.clock().elapsed();
    connecting.await.unwrap().unwrap();
    assert!(script.clock().elapsed() - before <= SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn a_lame_duck_is_left_before_it_closes() {
    let script = accepting(&["a", "b"]);
    let connector = connector(&script, "a b").build().unwrap();
    let (handle, log) = (connector.handle(), Log::default());
    let _running = polite(connector, &log);
    sleep(20 * SECOND).await;
    handle.drain();
    sleep(6 * SECOND).await;
    assert_eq!(log.take(), "a first; b drain from a:1; a finished");
}

#[tokio::test(start_paused = true)]
async fn the_list_changes_under_a_running_connector() {
    let script = accepting(&["a", "b", "c"]);
    let mut connector = connector(&script, "a b").build().unwrap();
    let mut events = connector.events();
    let handle = connector.handle();
    let _running = hold(connector);
    sleep(20 * SECOND).await;
    handle.add(endpoint("c")).unwrap();
    handle.switch_off("b:1").unwrap();
    handle.remove("a:1").unwrap();
    sleep(20 * SECOND).await;
    assert_eq!(hosts(&script), "a c");
    assert_eq!(
        told(&mut events),
        "attempt a ok; connected a; list changed +c -; list changed + -a; \
         switching from a; attempt c ok; moved to c"
    );
    handle.replace([endpoint("b"), endpoint("d"), endpoint("b")]);
    sleep(SECOND).await;
    assert_eq!(
        told(&mut events),
        "list refused: `tcp://b:1` is in the list twice: remove one of the two"
    );
    let names = |handle: &Handle| -> Vec<String> {
        let endpoints = handle.snapshot().endpoints;
        let name = |report: &failover_core::drive::EndpointReport| report.endpoint.name().into();
        endpoints.iter().map(name).collect()
    };
    assert_eq!(names(&handle), ["b:1", "c:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_a_server_pushes_is_merged_and_a_stale_one_is_not() {
    let script = accepting(&["a", "b"]);
    let mut connector = connector(&script, "a").build().unwrap();
    let mut events = connector.events();
    let handle = connector.handle();
    let link = connector.connect().await.unwrap();
    handle.learn(link.id(), ["b:1", "b:1", "tcp://user:secret@c:1"]);
    let patience = tokio::time::timeout(SECOND, connector.run(|_| pending::<Result<(), Loss>>()));
    assert!(patience.await.is_err());
    // The first connection was not reported, counts as lost, and its list comes too late.
    assert!(!told(&mut events).contains("discovered"));

    let learn = |link: Link| {
        handle.learn(link.id(), ["b:1", "b:1", "tcp://user:secret@c:1"]);
        async move {
            pending::<()>().await;
            drop(link);
            Ok::<(), Loss>(())
        }
    };
    let patience = tokio::time::timeout(5 * SECOND, connector.run(learn));
    assert!(patience.await.is_err());
    assert!(told(&mut events).contains("discovered +b - !2"));
    assert_eq!(connector.handle().snapshot().endpoints.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_list_may_begin_empty_where_endpoints_come_later() {
    let script = accepting(&["a"]);
    let connector = connector(&script, "").learner(Learner::default());
    let mut connector = connector.build().unwrap();
    let mut events = connector.events();
    let handle = connector.handle();
    let _running = hold(connector);
    sleep(SECOND).await;
    assert!(matches!(handle.status(), Status::Starved));
    handle.add(endpoint("a")).unwrap();
    sleep(SECOND).await;
    assert_eq!(
        told(&mut events),
        "starved; list changed +a -; attempt a ok; connected a"
    );
}

#[tokio::test(start_paused = true)]
async fn changes_that_nobody_takes_are_bounded() {
    let connector = connector(&script(), "a").build().unwrap();
    let handle = connector.handle();
    let taken = (0..2000).filter(|_| handle.remove("x").is_ok()).count();
    assert_eq!(taken, 1024);
    handle.replace([endpoint("b")]);
    handle.remove("b:1").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watch_gives_the_latest_status_and_ends_with_the_connector() {
    let script = accepting(&["a"]);
    let connector = connector(&script, "a").build().unwrap();
    let handle = connector.handle();
    let mut watch = handle.watch();
    assert!(matches!(watch.next().await, Some(Status::Idle)));
    let running = hold(connector);
    assert!(matches!(
        until_settled(&mut watch).await,
        Status::Connected { .. }
    ));
    handle.close();
    running.await.unwrap().unwrap();
    assert!(matches!(
        watch.next().await,
        Some(Status::Closed(CloseReason::ByUser))
    ));
    assert!(watch.next().await.is_none());
}

async fn until_settled(watch: &mut Watch) -> Status {
    loop {
        match watch.next().await.unwrap() {
            Status::Dialing { .. } => {}
            status => return status,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_tells_each_endpoint_and_explains_it() {
    let reset = Step::Fail(Failure::new(Kind::Reset));
    let script = script()
        .host("a", [reset])
        .host("b", [Step::Accept])
        .host("c", [Step::Mute(Phase::Tls)]);
    let connector = connector(&script, "a c b d").build().unwrap();
    let handle = connector.handle();
    let _running = hold(connector);
    sleep(10 * SECOND).await;
    handle.switch_off("d:1").unwrap();
    sleep(SECOND).await;
    let snapshot = handle.snapshot();
    let said: Vec<String> = snapshot.explain();
    assert_eq!(
        said[0],
        "a:1: ready, and not needed while b:1 stands; it failed once (reset)"
    );
    assert_eq!(
        said[1],
        "c:1: ready, and not needed while b:1 stands; it failed once (not done after 1s, while waiting for the TLS handshake)"
    );
    assert!(said[2].starts_with("b:1: connected for 10"), "{}", said[2]);
    assert_eq!(said[3], "d:1: switched off, until it is switched on");
    let [a, _, b, d] = &snapshot.endpoints[..] else {
        panic!("four endpoints")
    };
    assert_eq!((a.dials, a.connections, a.failures_in_a_row), (1, 0, 1));
    assert_eq!((b.dials, b.connections, b.failures_in_a_row), (1, 1, 0));
    assert_eq!((d.dials, d.condition), (0, Condition::Off));
    let counters = snapshot.counters;
    assert_eq!(
        (counters.dials, counters.failed_dials, counters.connections),
        (3, 2, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn work_beside_a_connection_that_nobody_polls_for_is_told_once() {
    let script = accepting(&["a", "b"]);
    for standing in [
        Standing::default().spares(1),
        Standing::default().failback(Failback::default()),
    ] {
        let policy = listed().standing(standing).build().unwrap();
        let mut connector = connector(&script, "a b").policy(policy).build().unwrap();
        let mut events = connector.events();
        for _ in 0..3 {
            let link = connector.connect().await.unwrap();
            connector.lost(link.id(), Failure::new(Kind::Reset));
        }
        assert_eq!(told(&mut events).matches("not driven").count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn close_wins_over_everything_said_before_it() {
    let script = accepting(&["a", "b"]);
    let mut connector = connector(&script, "a b").build().unwrap();
    let mut events: Events = connector.events();
    let handle = connector.handle();
    let running = hold(connector);
    sleep(SECOND).await;
    handle.reconnect_other();
    handle.add(endpoint("c")).unwrap();
    handle.pause();
    handle.drain();
    handle.close();
    running.await.unwrap().unwrap();
    assert_eq!(
        told(&mut events),
        "attempt a ok; connected a; disconnected a by user; closed: closed by the user"
    );
    assert_eq!(hosts(&script), "a");
}

#[tokio::test(start_paused = true)]
async fn control_is_handed_out_at_once_and_the_driver_connects_behind() {
    let script = script()
        .host("a", [Step::REFUSE, Step::REFUSE, Step::Accept])
        .host("b", [Step::REFUSE, Step::REFUSE, Step::Accept]);
    let connector = connector(&script, "a b").build().unwrap();
    let (client, driver) = connector.behind();
    assert_eq!(script.dials().len(), 0);
    let driving = tokio::spawn(driver.run());
    let link = client.connection().await.unwrap();
    assert_eq!(link.conn.host(), "a");
    client.lost(link.id(), Failure::new(Kind::Reset));
    client.lost(link.id(), Failure::new(Kind::Reset));
    drop(link);
    let link = client.connection().await.unwrap();
    assert_eq!(link.conn.host(), "b");

    // A move reaches the client as the next connection.
    sleep(20 * SECOND).await;
    client.handle().reconnect_other();
    let next = client.connection().await.unwrap();
    assert!(link.leave().is_asked());
    assert_eq!(next.conn.host(), "a");
    drop((link, next));

    client.handle().close();
    let NoConnection::GaveUp(gave_up) = client.connection().await.unwrap_err() else {
        panic!("it was closed")
    };
    assert_eq!(gave_up.reason, CloseReason::ByUser);
    driving.await.unwrap();
    assert_eq!(script.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_either_half_ends_the_other() {
    for _ in 0..2 {
        let script = accepting(&["a"]);
        let (client, driver) = connector(&script, "a").build().unwrap().behind();
        let driving = tokio::spawn(driver.run());
        sleep(SECOND).await;
        assert_eq!(script.open(), 1);
        drop(client);
        driving.await.unwrap();
        assert_eq!((script.half_open(), script.open()), (0, 0));
    }
    let script = script().host("a", [Step::Mute(Phase::Connect)]);
    let (client, driver) = connector(&script, "a").build().unwrap().behind();
    let driving = tokio::spawn(driver.run());
    sleep(SECOND / 2).await;
    driving.abort();
    assert!(matches!(
        client.connection().await,
        Err(NoConnection::NoDriver)
    ));
    assert_eq!(script.half_open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_loses_its_call_and_delays_nothing() {
    let script = accepting(&["a", "b"]);
    let mut connector = connector(&script, "a b").build().unwrap();
    let events = connector.events();
    let log = Log::default();
    let note = |words: &'static str| {
        let log = log.clone();
        move |_: &failover_core::drive::Event| log.note(words.to_string())
    };
    let callbacks = Callbacks::new()
        .connected(|_| panic!("a user's mistake"))
        .disconnected(note("disconnected"))
        .reconnected(note("reconnected"))
        .async_error(note("async error"))
        .closed(note("closed"));
    let listening = tokio::spawn(callbacks.listen(events));
    let link = connector.connect().await.unwrap();
    connector.lost(link.id(), Failure::new(Kind::Reset));
    connector.lost(link.id(), Failure::new(Kind::Reset));
    connector.connect().await.unwrap();
    connector.close();
    assert_eq!(listening.await.unwrap(), 1);
    assert_eq!(
        log.take(),
        "disconnected; async error; reconnected; disconnected; closed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_of_ones_own_hears_of_the_end_of_its_connection() {
    let script = accepting(&["a", "b"]);
    let mut connector = connector(&script, "a b").build().unwrap();
    let handle = connector.handle();
    let link = connector.connect().await.unwrap();
    let patience = tokio::time::timeout(20 * SECOND, connector.hung_up());
    assert!(patience.await.is_err());
    handle.reconnect_other();
    connector.hung_up().await;
    assert!(link.leave().is_asked());
    drop(link);
    let link = connector.connect().await.unwrap();
    assert_eq!(link.conn.host(), "b");
    handle.close();
    connector.hung_up().await;
    drop(link);
    let gave_up = connector.connect().await.unwrap_err();
    assert_eq!(gave_up.reason, CloseReason::ByUser);
}

#[tokio::test(start_paused = true)]
async fn a_loss_after_close_was_said_plans_no_dial() {
    let script = accepting(&["a"]);
    let mut connector = connector(&script, "a").build().unwrap();
    let link = connector.connect().await.unwrap();
    connector.handle().close();
    let answer = connector.lost(link.id(), Failure::new(Kind::Reset));
    assert_eq!(answer, Answer::Closed);
    assert!(matches!(connector.handle().status(), Status::Closed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_starved_connector_ends_at_its_limit_of_time() {
    let auth = Failure::new(Kind::Auth);
    let script = script().host("a", [Step::Fail(auth)]);
    let policy = listed()
        .reactions(Reactions::default().on(On::kind(Kind::Auth), Reaction::Remove))
        .start_up_limits(Limits::UNLIMITED.elapsed(2 * SECOND))
        .build()
        .unwrap();
    let mut connector = connector(&script, "a").policy(policy).build().unwrap();
    let gave_up = connector.connect().await.unwrap_err();
    assert_eq!(gave_up.reason, CloseReason::Elapsed(2 * SECOND));
    assert!(gave_up.to_string().ends_with("a:1: auth"), "{gave_up}");
    assert_eq!(script.clock().elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_endpoints_own_deadline_is_the_one_that_is_told_and_zero_is_refused() {
    let script = script().host("a", [Step::Mute(Phase::Tls)]);
    let build = |deadline| {
        Connector::builder(script.clone(), script.clock())
            .endpoint(endpoint("a").deadline(deadline))
            .policy(
                listed()
                    .start_up_limits(Limits::UNLIMITED.turns(Limit::AtMost(1)))
                    .build()
                    .unwrap(),
            )
            .build()
    };
    let gave_up = build(SECOND / 4).unwrap().connect().await.unwrap_err();
    assert!(
        gave_up.to_string().contains("not done after 250"),
        "{gave_up}"
    );
    assert_eq!(
        build(std::time::Duration::ZERO).unwrap_err().to_string(),
        "endpoint `a:1`: its deadline is 0s; give a dial at least a millisecond"
    );
}

#[tokio::test(start_paused = true)]
async fn event_streams_that_are_dropped_are_forgotten() {
    let script = accepting(&["a"]);
    let mut connector = connector(&script, "a").build().unwrap();
    for _ in 0..1000 {
        drop(connector.events());
    }
    let _kept = connector.events();
    assert!(format!("{connector:?}").contains("event_streams: 1"));
}

fn tiered(host: &str, tier: u8) -> Endpoint {
    endpoint(host).tier(tier)
}

#[tokio::test(start_paused = true)]
async fn failback_moves_a_running_session_when_the_preferred_server_has_proved_itself() {
    let script = script().host("b", [Step::Accept]);
    let failback = Failback::default()
        .every(SECOND)
        .good_probes(2)
        .settle(SECOND);
    let standing = Standing::default().failback(failback);
    let policy = listed().standing(standing).build().unwrap();
    let connector = Connector::builder(script.clone(), script.clock())
        .endpoints([tiered("a", 0), tiered("b", 1)])
        .policy(policy)
        .build()
        .unwrap();
    let log = Log::default();
    let _running = polite(connector, &log);
    sleep(20 * SECOND).await;
    assert_eq!(log.take(), "b first");
    script.change("a", [Step::Accept]);
    sleep(60 * SECOND).await;
    assert_eq!(log.take(), "a failback from b:1; b finished");
    assert_eq!(script.open(), 1);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_are_too_old_move_at_times_of_their_own() {
    let script = accepting(&["a", "b"]);
    let max_age = MaxAge::new(100 * SECOND).spread(50 * SECOND);
    let policy = || {
        let standing = Standing::default().max_age(max_age);
        listed().standing(standing).build().unwrap()
    };
    let mut events = Vec::new();
    for _ in 0..20 {
        let mut connector = connector(&script, "a b").policy(policy()).build().unwrap();
        events.push(connector.events());
        let _running = hold(connector);
    }
    sleep(105 * SECOND).await;
    let mut moved: Vec<u64> = Vec::new();
    for events in &mut events {
        while let Some(event) = events.try_next() {
            if let What::Moved { why, .. } = event.what {
                assert_eq!(why, Move::Age);
                moved.push(event.at.since(Time::ZERO).as_secs());
            }
        }
    }
    assert!(moved.len() >= 20 && moved.iter().all(|at| (50..105).contains(at)));
    moved.sort_unstable();
    moved.dedup();
    assert!(moved.len() > 10, "{moved:?}");
}

#[tokio::test(start_paused = true)]
async fn without_overlap_a_drain_and_an_age_break_before_they_make() {
    let script = accepting(&["a", "b"]);
    let standing = Standing::default()
        .overlap(Overlap::Forbidden)
        .max_age(MaxAge::new(60 * SECOND));
    let policy = listed().standing(standing).build().unwrap();
    let mut connector = connector(&script, "a b").policy(policy).build().unwrap();
    let (handle, mut events) = (connector.handle(), connector.events());
    let _running = hold(connector);
    sleep(20 * SECOND).await;
    handle.drain();
    let mut most = 0;
    for _ in 0..10_000 {
        sleep(SECOND / 100).await;
        most = most.max(script.open());
    }
    assert_eq!(most, 1);
    let told = told(&mut events);
    assert!(script.dials().len() >= 3, "{told}");
    assert!(
        !told.contains("moved") && !told.contains("switching"),
        "{told}"
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "the slow callback blocks a thread"
)]
#[tokio::test(start_paused = true)]
async fn a_slow_callback_delays_no_reconnect() {
    let script = accepting(&["a", "b"]);
    let mut connector = connector(&script, "a b").build().unwrap();
    let events = connector.events();
    let log = Log::default();
    let note = |words: &'static str| {
        let log = log.clone();
        move |_: &failover_core::drive::Event| log.note(words.to_string())
    };
    // Its first call lasts until the test is done: as slow as it gets.
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let first = note("connected");
    let callbacks = Callbacks::new()
        .connected(move |event| {
            wait.recv().unwrap();
            first(event);
        })
        .reconnected(note("reconnected"))
        .closed(note("closed"));
    let listening = std::thread::spawn(|| smol::block_on(callbacks.listen(events)));
    let before = script.clock().elapsed();
    let mut link = connector.connect().await.unwrap();
    sleep(20 * SECOND).await;
    connector.lost(link.id(), Failure::new(Kind::Reset));
    link = connector.connect().await.unwrap();
    assert_eq!(link.conn.host(), "b");
    assert_eq!(script.clock().elapsed() - before, 20 * SECOND);
    assert_eq!(log.take(), "");
    connector.close();
    done.send(()).unwrap();
    assert_eq!(listening.join().unwrap(), 0);
    assert_eq!(log.take(), "connected; reconnected; closed");
}

#[tokio::test(start_paused = true)]
async fn every_state_is_explained_with_why_until_when_and_what_would_change_it() {
    let script = script().host("b", [Step::AcceptAfter(SECOND / 2)]);
    let mut connector = connector(&script, "a b").build().unwrap();
    let handle = connector.handle();
    let explain = || handle.snapshot().explain().join(" | ");
    assert_eq!(
        explain(),
        "a:1: ready; nothing is dialled before `connect` | b:1: ready; nothing is dialled before `connect`"
    );
    assert!(timeout(SECOND / 4, connector.connect()).await.is_err());
    assert_eq!(
        explain(),
        "a:1: ready, and dialled at its turn: if b:1 fails; it failed once (refused) | b:1: its \
         turn: being dialled for 250ms, until it answers, fails or its deadline passes"
    );
    script.change("b", [Step::REFUSE]);
    handle.pause();
    assert!(timeout(SECOND / 4, connector.connect()).await.is_err());
    assert!(explain().ends_with("b:1: ready; nothing is dialled until the pause ends"));
    handle.resume();
    assert!(timeout(SECOND, connector.connect()).await.is_err());
    let said = explain();
    assert!(said.contains("its turn: is dialled next, in "), "{said}");
    assert!(
        said.contains("a reconnect or resume would cut the wait short"),
        "{said}"
    );
    for name in ["a:1", "b:1"] {
        handle.switch_off(name).unwrap();
    }
    assert!(timeout(SECOND / 4, connector.connect()).await.is_err());
    let off = "switched off, until it is switched on; nobody may be dialled until the list changes";
    assert_eq!(explain(), format!("a:1: {off} | b:1: {off}"));
    connector.close();
    assert!(
        explain().ends_with("switched off, until it is switched on; over: the connector is closed")
    );
}

fn endpoint(host: &str) -> Endpoint {
    Endpoint::parse(&format!("tcp://{host}:1")).unwrap()
}
