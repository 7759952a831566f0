//! Spares that are looked after: a dead one is replaced before it is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use failover_core::directory::{Endpoint, Target};
use failover_core::drive::{Clock, Connector, ConnectorBuilder, Events, Loss, What};
use failover_core::failure::{Failure, Kind};
use failover_core::policy::{Backoff, Failback, Pace, Ratio, Standing};
use failover_core::testing::conformance::a_keeper_notices_the_end;
use failover_core::testing::{Script, ScriptedConn, Step};
use support::{Paused, SECOND, connector, listed, script};
use tokio::time::timeout;

#[tokio::test(start_paused = true)]
async fn a_spare_that_its_server_ends_is_replaced_before_any_loss() {
    let script = accepting("a b c");
    let mut connector = watched(&script).build().unwrap();
    let mut events = connector.events();
    let link = connector.connect().await.unwrap();
    pass(&mut connector, SECOND).await;
    assert_eq!(
        (spare(&mut events).as_deref(), script.open()),
        (Some("b"), 2)
    );
    let said = |connector: &Connector<_, _>| connector.handle().explain()[1].clone();
    assert_eq!(
        said(&connector),
        "b:1: a spare stands for 1s, and takes over at once if a:1 is lost"
    );

    script.change("b", [Step::REFUSE]);
    script.cut("b");
    pass(&mut connector, 10 * SECOND).await;
    assert_eq!(spare(&mut events).as_deref(), Some("c"));
    assert_eq!(script.open(), 2);
    assert!(said(&connector).starts_with("b:1: ready, and not needed"));
    assert!(!link.leave().is_asked(), "the connection in use never knew");

    connector.lost(link.id(), Failure::new(Kind::Reset));
    let before = script.dials().len();
    let next = connector.connect().await.unwrap();
    assert_eq!((next.conn.host(), script.dials().len()), ("c", before));
}

#[tokio::test(start_paused = true)]
async fn a_good_probe_of_a_server_leaves_the_spare_there_in_the_report() {
    let script = accepting("near far");
    script.change("near", [Step::REFUSE, Step::Accept]);
    let failback = Failback::default().every(5 * SECOND).good_probes(3);
    let standing = Standing::default().spares(1).failback(failback);
    let mut connector = Connector::builder(script.clone(), script.clock())
        .endpoint(Endpoint::parse("tcp://near:1").unwrap())
        .endpoint(Endpoint::parse("tcp://far:1").unwrap().tier(1))
        .policy(listed().standing(standing).build().unwrap())
        .keeper(|_: &Target| ScriptedConn::poll_cut)
        .build()
        .unwrap();
    let mut events = connector.events();
    assert_eq!(connector.connect().await.unwrap().conn.host(), "far");
    pass(&mut connector, 2 * SECOND).await;
    assert_eq!(spare(&mut events).as_deref(), Some("near"));
    let dials = script.dials().len();
    pass(&mut connector, 6 * SECOND).await;
    assert!(script.dials().len() > dials, "it was probed");
    let said = connector.handle().explain().swap_remove(0);
    assert!(said.starts_with("near:1: a spare stands"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_spare_that_died_with_the_connection_does_not_take_its_place() {
    let script = accepting("a b c");
    let mut connector = watched(&script).build().unwrap();
    let mut events = connector.events();
    let link = connector.connect().await.unwrap();
    pass(&mut connector, SECOND).await;
    assert_eq!(spare(&mut events).as_deref(), Some("b"));

    // Both at the same moment: nobody has polled the connector since.
    script.cut("b");
    script.change("b", [Step::REFUSE]);
    connector.lost(link.id(), Failure::new(Kind::Reset));
    let next = connector.connect().await.unwrap();
    assert_eq!(next.conn.host(), "c");
    let failed = connector.handle().snapshot();
    let of_b = failed
        .endpoints
        .iter()
        .find(|report| report.endpoint.name() == "b:1");
    assert_eq!(of_b.unwrap().failure.unwrap().kind, Kind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_keeper_is_polled_for_a_spare_and_never_for_the_connection_in_use() {
    let script = accepting("a b");
    let polled = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&polled);
    let mut connector = connector(&script, "a b")
        .policy(with_a_spare())
        .keeper(move |_: &Target| {
            let counts = Arc::clone(&counts);
            move |conn: &mut ScriptedConn, cx: &mut Context<'_>| {
                assert_eq!(conn.host(), "b");
                counts.fetch_add(1, Ordering::Relaxed);
                conn.poll_cut(cx)
            }
        })
        .build()
        .unwrap();
    let mut events = connector.events();
    let _link = connector.connect().await.unwrap();
    pass(&mut connector, SECOND).await;
    assert!(polled.load(Ordering::Relaxed) > 0);
    let panics = std::iter::from_fn(|| events.try_next())
        .filter(|event| matches!(event.what, What::HookPanicked { .. }));
    assert_eq!(panics.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_panics_is_told_once_and_its_spare_stays() {
    let script = accepting("a b");
    let mut connector = connector(&script, "a b")
        .policy(with_a_spare())
        .keeper(|_: &Target| {
            |_: &mut ScriptedConn, _: &mut Context<'_>| -> Poll<Loss> { panic!("a broken ping") }
        })
        .build()
        .unwrap();
    let mut events = connector.events();
    let link = connector.connect().await.unwrap();
    pass(&mut connector, SECOND).await;
    pass(&mut connector, SECOND).await;
    let told: Vec<String> = std::iter::from_fn(|| events.try_next())
        .filter_map(|event| match event.what {
            What::HookPanicked { message } => message,
            _ => None,
        })
        .collect();
    assert_eq!(told, ["a broken ping"]);
    connector.lost(link.id(), Failure::new(Kind::Reset));
    assert_eq!(connector.connect().await.unwrap().conn.host(), "b");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drops_each_spare_is_not_dialled_in_a_hot_loop() {
    let script = accepting("a b");
    let mut connector = connector(&script, "a b")
        .policy(with_a_spare())
        .keeper(|_: &Target| {
            |_: &mut ScriptedConn, _: &mut Context<'_>| -> Poll<Loss> {
                Poll::Ready(Failure::new(Kind::Closed).into())
            }
        })
        .build()
        .unwrap();
    let _link = connector.connect().await.unwrap();
    pass(&mut connector, 60 * SECOND).await;
    let of_b = script
        .dials()
        .iter()
        .filter(|(_, host)| host == "b")
        .count();
    assert!(
        (2..=61).contains(&of_b),
        "{of_b} dials in a minute, with a second between sweeps"
    );
    assert!(script.open() <= 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drops_each_spare_is_dialled_ever_more_slowly_until_one_lives() {
    let script = accepting("a b");
    let lives = Arc::new(AtomicBool::new(false));
    let doubling = Backoff::Exponential {
        base: SECOND,
        factor: Ratio::TWO,
    };
    let policy = listed()
        .pace(Pace::new(doubling).cap(60 * SECOND))
        .stable_after(10 * SECOND)
        .standing(Standing::default().spares(1));
    let told = Arc::clone(&lives);
    let mut connector = connector(&script, "a b")
        .policy(policy.build().unwrap())
        .keeper(move |_: &Target| {
            let lives = Arc::clone(&told);
            move |conn: &mut ScriptedConn, cx: &mut Context<'_>| -> Poll<Loss> {
                match lives.load(Ordering::Relaxed) {
                    true => conn.poll_cut(cx),
                    false => Poll::Ready(Failure::new(Kind::Closed).into()),
                }
            }
        })
        .build()
        .unwrap();
    let _link = connector.connect().await.unwrap();
    let of_b = || {
        script
            .dials()
            .iter()
            .filter(|(_, host)| host == "b")
            .count()
    };
    // After 1, 2, 4, ... 32 s, then once a minute.
    pass(&mut connector, 600 * SECOND).await;
    assert_eq!(of_b(), 1 + 6 + 8);

    lives.store(true, Ordering::Relaxed);
    pass(&mut connector, 120 * SECOND).await;
    assert_eq!(of_b(), 16);
    lives.store(false, Ordering::Relaxed);
    script.cut("b");
    pass(&mut connector, 10 * SECOND).await;
    assert_eq!(of_b(), 16 + 3, "one that lived has the first wait again");
}

#[tokio::test(start_paused = true)]
async fn the_scripted_dialers_keeper_keeps_the_promise() {
    let script = accepting("a");
    let to = Target::parse("tcp://a:1").unwrap();
    let keeper = || ScriptedConn::poll_cut;
    let clock = script.clock();
    a_keeper_notices_the_end(&script, &to, keeper, || script.cut("a"), &clock)
        .await
        .unwrap();
    // One that notices nothing, and one that gives up a connection that stands, are caught.
    let blind = || |_: &mut ScriptedConn, _: &mut Context<'_>| -> Poll<Loss> { Poll::Pending };
    let caught = a_keeper_notices_the_end(&script, &to, blind, || script.cut("a"), &clock).await;
    assert!(caught.unwrap_err().found.contains("nothing noticed"));
    let jumpy = || {
        |_: &mut ScriptedConn, _: &mut Context<'_>| -> Poll<Loss> {
            Poll::Ready(Failure::new(Kind::Closed).into())
        }
    };
    let caught = a_keeper_notices_the_end(&script, &to, jumpy, || {}, &clock).await;
    assert!(caught.unwrap_err().found.contains("one that stands"));
}

fn accepting(names: &str) -> Script<Paused> {
    names
        .split_whitespace()
        .fold(script(), |script, name| script.host(name, [Step::Accept]))
}

fn with_a_spare() -> failover_core::policy::Policy {
    let standing = Standing::default().spares(1);
    listed().standing(standing).build().unwrap()
}

fn watched(script: &Script<Paused>) -> ConnectorBuilder<Script<Paused>, Arc<Paused>> {
    connector(script, "a b c")
        .policy(with_a_spare())
        .keeper(|_: &Target| ScriptedConn::poll_cut)
}

/// So much time beside the connection in use.
async fn pass<C: Clock>(connector: &mut Connector<Script<Paused>, C>, time: Duration) {
    let left = timeout(time, connector.hung_up()).await;
    assert!(left.is_err(), "the connection was given up");
}

/// The host of the spare that came last.
fn spare(events: &mut Events) -> Option<String> {
    let told = std::iter::from_fn(|| events.try_next());
    let ready = told.filter_map(|event| match event.what {
        What::SpareReady(link) => Some(link.target.url().host().to_string()),
        _ => None,
    });
    ready.last()
}
