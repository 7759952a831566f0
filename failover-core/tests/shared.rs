//! What connectors of one process share: permits to dial, a budget of retries, what they know of
//! endpoints, and who counts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod support;

use std::collections::BTreeMap;
use std::future::pending;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover_core::drive::{
    BudgetRules, ConnectorBuilder, DialLimiter, Established, Loss, Metrics, RetryBudget,
    SharedHealth, Status,
};
use failover_core::failure::{Failure, Kind, Phase};
use failover_core::machine::Condition;
use failover_core::policy::{
    Health, Limit, Limits, On, PolicyBuilder, Ratio, Reaction, Reactions, Start,
};
use failover_core::race::{Race, Stagger};
use failover_core::testing::{Script, ScriptedConn, Step};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::support::{Paused, SECOND, connector, listed, script, told};

type Builder = ConnectorBuilder<Script<Paused>, Arc<Paused>>;

fn limiter(script: &Script<Paused>, most: usize) -> DialLimiter {
    DialLimiter::new(NonZeroUsize::new(most).unwrap(), script.clock())
}

/// Connects, and holds the connection for ever.
fn connecting(builder: Builder) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut connector = builder.build().unwrap();
        let session = |link: Established<ScriptedConn>| async move {
            pending::<()>().await;
            drop(link);
            Ok::<(), Loss>(())
        };
        connector.run(session).await.unwrap();
    })
}

/// Follows the most dials that were ever in flight at once.
async fn most_in_flight(script: &Script<Paused>, steps: u32, step: Duration) -> usize {
    let mut most = 0;
    for _ in 0..steps {
        sleep(step).await;
        most = most.max(script.half_open());
    }
    most
}

#[tokio::test(start_paused = true)]
async fn a_thousand_connectors_never_have_more_dials_in_flight_than_the_limiter_allows() {
    let slow = Step::AcceptAfter(SECOND / 10);
    let script = script().host("a", [slow]);
    let limiter = limiter(&script, 7);
    for _ in 0..1000 {
        connecting(connector(&script, "a").limiter(&limiter));
    }
    let most = most_in_flight(&script, 2000, SECOND / 100).await;
    assert_eq!(most, 7);
    // 1000 dials of 100 ms, 7 at a time: 14.3 s. Nobody waited for ever, nobody dialled twice.
    assert_eq!((script.open(), script.dials().len()), (1000, 1000));
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_permit_is_told_and_does_not_run_on_the_deadline() {
    let script = script()
        .host("mute", [Step::Mute(Phase::Tls)])
        .host("a", [Step::AcceptAfter(SECOND * 9 / 10)]);
    let limiter = limiter(&script, 1);
    // Takes the permit for its whole deadline of a second, again and again.
    let busy = connecting(connector(&script, "mute").limiter(&limiter));
    sleep(SECOND / 2).await;
    let mut late = connector(&script, "a").limiter(&limiter).build().unwrap();
    let (handle, mut events) = (late.handle(), late.events());
    let connecting = tokio::spawn(async move { (late.connect().await.unwrap(), late) });
    sleep(SECOND / 4).await;
    assert!(matches!(handle.status(), Status::Held { .. }), "{handle:?}");
    assert_eq!(
        handle.snapshot().explain()[0],
        "a:1: its turn: has waited for 250ms for a permit of the dial limiter, until another dial ends"
    );
    assert_eq!(told(&mut events), "held a by limiter");
    let (link, _late) = connecting.await.unwrap();
    // Half a second in line and 0.9 s of dial: its deadline of a second did not pass.
    assert_eq!(script.clock().elapsed(), SECOND * 19 / 10);
    assert_eq!(told(&mut events), "attempt a ok; connected a");
    busy.abort();
    drop(link);
}

/// Two dials may race, a quarter of a second apart.
fn racing() -> failover_core::policy::Policy {
    let stagger = Stagger::Fixed(SECOND / 4);
    listed()
        .race(Race::new(2, stagger).unwrap())
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_races_needs_a_permit_of_its_own_and_gives_it_back_when_it_loses() {
    let script = script()
        .host("mute", [Step::Mute(Phase::Tls)])
        .host("b", [Step::AcceptAfter(SECOND / 10)]);
    let limiter = limiter(&script, 2);
    let mut racer = connector(&script, "mute b")
        .policy(racing())
        .limiter(&limiter)
        .build()
        .unwrap();
    let link = racer.connect().await.unwrap();
    assert_eq!(link.conn.host(), "b");
    assert_eq!(script.clock().elapsed(), SECOND * 35 / 100);
    assert_eq!((script.half_open(), limiter.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_race_without_a_second_permit_waits_for_the_first_to_come_back() {
    let script = script()
        .host("mute", [Step::Mute(Phase::Tls)])
        .host("b", [Step::AcceptAfter(SECOND / 10)]);
    let limiter = limiter(&script, 1);
    let mut racer = connector(&script, "mute b")
        .policy(racing())
        .limiter(&limiter)
        .build()
        .unwrap();
    let mut events = racer.events();
    let link = racer.connect().await.unwrap();
    assert_eq!(link.conn.host(), "b");
    // The mute one has its whole deadline, then the other begins, with the whole of its own.
    assert_eq!(script.clock().elapsed(), SECOND * 11 / 10);
    assert_eq!(
        told(&mut events),
        "held b by limiter; attempt mute failed; attempt b ok; connected b"
    );
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn racing_connectors_stay_within_the_limiter_and_all_connect() {
    let script = script()
        .host("mute", [Step::Mute(Phase::Tls)])
        .host("b", [Step::AcceptAfter(SECOND / 10)]);
    let limiter = limiter(&script, 3);
    for _ in 0..50 {
        let racer = connector(&script, "mute b").policy(racing());
        connecting(racer.limiter(&limiter));
    }
    let most = most_in_flight(&script, 6000, SECOND / 100).await;
    assert_eq!((most, script.open()), (3, 50));
    assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_permit_comes_back_however_its_owner_goes() {
    let script = script().host("a", [Step::Mute(Phase::Tls)]);
    let limiter = limiter(&script, 1);
    for _ in 0..10 {
        let first = connecting(connector(&script, "a").limiter(&limiter));
        let second = connecting(connector(&script, "a").limiter(&limiter));
        sleep(SECOND / 10).await;
        assert_eq!((limiter.in_flight(), limiter.waiting()), (1, 1));
        // The one in line goes, then the one with the permit.
        second.abort();
        let _ = second.await;
        assert_eq!((limiter.in_flight(), limiter.waiting()), (1, 0));
        first.abort();
        let _ = first.await;
        assert_eq!((limiter.in_flight(), limiter.waiting()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_nobody_polls_does_not_hold_the_others_up() {
    let script = script()
        .host("mute", [Step::Mute(Phase::Tls)])
        .host("a", [Step::Accept]);
    let limiter = limiter(&script, 1);
    let mut lying = connector(&script, "mute")
        .limiter(&limiter)
        .build()
        .unwrap();
    assert!(timeout(SECOND / 10, lying.connect()).await.is_err());
    let mut in_line = connector(&script, "mute")
        .limiter(&limiter)
        .build()
        .unwrap();
    assert!(timeout(SECOND / 10, in_line.connect()).await.is_err());
    assert_eq!((limiter.in_flight(), limiter.waiting()), (1, 1));
    let mut waiting = connector(&script, "a").limiter(&limiter).build().unwrap();
    waiting.connect().await.unwrap();
    // The deadline of the first, and the second in which the other did not take its permit up.
    let after = script.clock().elapsed();
    assert!(after >= SECOND && after <= 3 * SECOND, "{after:?}");
    // Who let it lie goes on where it was when it is polled again.
    assert!(timeout(SECOND, lying.connect()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn close_is_prompt_while_a_dial_waits_for_its_permit() {
    let script = script().host("a", [Step::Mute(Phase::Tls)]);
    let limiter = limiter(&script, 1);
    let busy = connecting(connector(&script, "a").limiter(&limiter));
    sleep(SECOND / 10).await;
    let mut held = connector(&script, "a").limiter(&limiter).build().unwrap();
    let handle = held.handle();
    let connecting = tokio::spawn(async move { held.connect().await.map(|link| link.conn) });
    sleep(SECOND / 10).await;
    let before = script.clock().elapsed();
    handle.close();
    assert!(connecting.await.unwrap().is_err());
    assert_eq!(script.clock().elapsed(), before);
    assert_eq!(limiter.waiting(), 0);
    busy.abort();
}

#[tokio::test(start_paused = true)]
async fn retries_of_all_connectors_together_stay_within_the_budget() {
    let script = script();
    let rules = BudgetRules::default().reserve(NonZeroU32::new(20).unwrap());
    let budget = RetryBudget::new(rules, script.clock());
    let mut running = Vec::new();
    for _ in 0..100 {
        running.push(connecting(connector(&script, "a").retry_budget(&budget)));
    }
    sleep(100 * SECOND).await;
    // Each connector's first dial is free. No window of 10 s holds more than 20 retries; without a
    // budget there would be 100 each second.
    let times: Vec<_> = script.dials().into_iter().map(|(at, _)| at).collect();
    let retries = &times[100..];
    assert!(retries.len() >= 180, "{}", retries.len());
    for (at, first) in retries.iter().enumerate() {
        let within = retries[at..]
            .iter()
            .filter(|at| at.since(*first) < 9 * SECOND);
        assert!(within.count() <= 20);
    }
    running.iter().for_each(JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn connections_pay_for_retries_and_the_wait_is_told() {
    let script = script().host("good", [Step::Accept]);
    let rules = BudgetRules::default()
        .reserve(NonZeroU32::MIN)
        .share(Ratio::from_ppm(500_000));
    let budget = RetryBudget::new(rules, script.clock());
    assert_eq!(budget.left(), 1);
    for _ in 0..10 {
        let builder = connector(&script, "good").retry_budget(&budget);
        builder.build().unwrap().connect().await.unwrap();
    }
    assert_eq!(budget.left(), 6);
    let mut failing = connector(&script, "bad")
        .retry_budget(&budget)
        .build()
        .unwrap();
    let (handle, mut events) = (failing.handle(), failing.events());
    // One first dial and six retries, a second apart: the next is not paid for.
    assert!(timeout(SECOND * 15 / 2, failing.connect()).await.is_err());
    assert_eq!(script.dials().len(), 10 + 7);
    assert!(told(&mut events).ends_with("held bad by budget"));
    assert!(handle.snapshot().explain()[0].contains("the retry budget, until older retries"));
    // What is spent comes back with time.
    assert!(timeout(10 * SECOND, failing.connect()).await.is_err());
    assert!(script.dials().len() > 17);
}

/// Every failure suspends, for 5 s, then twice as long each time.
fn suspending() -> PolicyBuilder {
    let health = Health::default().initial(5 * SECOND).maximum(40 * SECOND);
    listed()
        .health(health)
        .reactions(Reactions::default().on(On::kind(Kind::Refused), Reaction::Suspend))
        .start(Start::Persevere)
}

fn sharing(script: &Script<Paused>, hosts: &str, health: &SharedHealth) -> Builder {
    let policy = suspending().build().unwrap();
    connector(script, hosts)
        .policy(policy)
        .shared_health(health)
}

#[tokio::test(start_paused = true)]
async fn what_one_connector_finds_out_of_an_endpoint_all_know() {
    let script = script().host("b", [Step::Accept]);
    let health = SharedHealth::new(script.clock());
    connecting(sharing(&script, "a b", &health));
    sleep(SECOND / 10).await;
    assert_eq!(health.resting().len(), 1);
    // A hundred that come later never dial it.
    for _ in 0..100 {
        connecting(sharing(&script, "a b", &health));
    }
    sleep(SECOND).await;
    let of_a = script
        .dials()
        .iter()
        .filter(|(_, host)| host == "a")
        .count();
    assert_eq!((of_a, script.open()), (1, 101));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_connectors_send_one_probe_and_its_success_clears_the_endpoint_for_all() {
    let script = script();
    let health = SharedHealth::new(script.clock());
    // The first one finds out; the others come while the server rests.
    connecting(sharing(&script, "a", &health));
    sleep(SECOND / 10).await;
    let mut handles = Vec::new();
    for _ in 0..999 {
        let mut connector = sharing(&script, "a", &health).build().unwrap();
        handles.push(connector.handle());
        tokio::spawn(async move {
            let link = connector.connect().await.unwrap();
            connector.hung_up().await;
            drop(link);
        });
    }
    sleep(SECOND).await;
    let condition = |at: usize| handles[at].snapshot().endpoints[0].condition;
    assert_eq!(
        (condition(0), condition(998)),
        (Condition::Marked, Condition::Marked)
    );
    // The server stays away for three probes: of a thousand, one each time. Then it is back.
    sleep(60 * SECOND).await;
    let probes = script.dials().len();
    assert!((3..=6).contains(&probes), "{probes} dials in a minute");
    script.change("a", [Step::AcceptAfter(SECOND / 10)]);
    let mut most = 0;
    for _ in 0..6000 {
        sleep(SECOND / 100).await;
        if script.open() == 0 {
            most = most.max(script.half_open());
        }
    }
    // One probe while nobody was connected, then everybody.
    assert_eq!((most, script.open()), (1, 1000));
    assert_eq!(script.dials().len(), probes + 1000);
    assert!(health.resting().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_prober_that_is_dropped_leaves_the_probe_to_another() {
    let script = script().host("a", [Step::REFUSE, Step::Mute(Phase::Tls), Step::Accept]);
    let health = SharedHealth::new(script.clock());
    let first = connecting(sharing(&script, "a", &health));
    sleep(SECOND * 11 / 2).await;
    assert_eq!(script.half_open(), 1);
    let second = connecting(sharing(&script, "a", &health));
    sleep(SECOND / 4).await;
    // One probe at a time.
    assert_eq!(script.half_open(), 1);
    first.abort();
    sleep(3 * SECOND).await;
    assert_eq!(script.open(), 1);
    second.abort();
}

#[tokio::test(start_paused = true)]
async fn a_reconnect_by_name_dials_an_endpoint_that_others_found_to_be_bad() {
    let script = script().host("b", [Step::Accept]);
    let health = SharedHealth::new(script.clock());
    connecting(sharing(&script, "a b", &health));
    sleep(SECOND / 10).await;
    let mut connector = sharing(&script, "a b", &health).build().unwrap();
    let handle = connector.handle();
    tokio::spawn(async move {
        let link = connector.connect().await.unwrap();
        connector.hung_up().await;
        drop(link);
    });
    sleep(SECOND / 10).await;
    handle.reconnect_to("a:1");
    sleep(SECOND / 10).await;
    let of_a = script
        .dials()
        .iter()
        .filter(|(_, host)| host == "a")
        .count();
    assert_eq!(of_a, 2);
}

/// Counts by method and endpoint; one method panics.
#[derive(Default)]
struct Counts(Mutex<BTreeMap<String, u64>>);

impl Counts {
    fn add(&self, what: &str, endpoint: &str) {
        *self
            .0
            .lock()
            .unwrap()
            .entry(format!("{what} {endpoint}"))
            .or_default() += 1;
    }
}

impl Metrics for Counts {
    fn dial_began(&self, endpoint: &str) {
        self.add("began", endpoint);
    }
    fn dial_done(&self, endpoint: &str, _: Duration) {
        self.add("done", endpoint);
    }
    fn dial_failed(&self, endpoint: &str, kind: Kind, _: Duration) {
        self.add(kind.as_str(), endpoint);
    }
    fn connected(&self, endpoint: &str) {
        self.add("connected", endpoint);
    }
    fn lost(&self, endpoint: &str, _: Kind, _: Duration) {
        self.add("lost", endpoint);
    }
    fn waits(&self, endpoint: &str, _: Duration) {
        self.add("waits", endpoint);
    }
    fn closed(&self) {
        panic!("not this one");
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_counted_by_endpoint_and_a_counter_that_panics_harms_nothing() {
    let script = script().host("b", [Step::Accept, Step::REFUSE, Step::Accept]);
    let counts = Arc::new(Counts::default());
    let mut connector = connector(&script, "a b")
        .metrics(counts.clone())
        .build()
        .unwrap();
    let link = connector.connect().await.unwrap();
    connector.lost(link.id(), Failure::new(Kind::Reset));
    connector.connect().await.unwrap();
    connector.close();
    let counts = counts.0.lock().unwrap();
    let of = |what: &str| counts.get(what).copied().unwrap_or(0);
    let dials = script.dials().len() as u64;
    assert_eq!(of("began a:1") + of("began b:1"), dials);
    assert_eq!(
        (of("done b:1"), of("connected b:1"), of("lost b:1")),
        (2, 2, 1)
    );
    assert_eq!(of("refused a:1") + of("refused b:1"), dials - 2);
    assert!(of("waits a:1") + of("waits b:1") >= 1);
    assert_eq!(connector.handle().snapshot().counters.hook_panics, 1);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_time_strikes_a_dial_that_waits_for_its_permit() {
    let script = script().host("a", [Step::Mute(Phase::Tls)]);
    let limiter = limiter(&script, 1);
    let busy = connecting(connector(&script, "a").limiter(&limiter));
    let second = connecting(connector(&script, "a").limiter(&limiter));
    sleep(SECOND / 10).await;
    let limits = Limits::UNLIMITED
        .elapsed(SECOND / 2)
        .turns(Limit::Unlimited);
    let policy = listed().start_up_limits(limits).build().unwrap();
    let mut held = connector(&script, "a")
        .policy(policy)
        .limiter(&limiter)
        .build()
        .unwrap();
    let before = script.clock().elapsed();
    assert!(held.connect().await.is_err());
    assert!(script.clock().elapsed() - before <= SECOND * 6 / 10);
    busy.abort();
    second.abort();
}

#[tokio::test(start_paused = true)]
async fn a_client_never_gives_up_for_a_refusal_that_it_did_not_meet_itself() {
    let script = script();
    let (health, limiter) = (SharedHealth::new(script.clock()), limiter(&script, 1));
    let policy = || suspending().start(Start::Cascade).build().unwrap();
    let builder = || connector(&script, "a").policy(policy()).limiter(&limiter);
    // The permit is taken, so that the other two stand in line for the same server.
    script.change("mute", [Step::Mute(Phase::Tls)]);
    let busy = connecting(connector(&script, "mute").limiter(&limiter));
    sleep(SECOND / 10).await;
    let mut first = builder().shared_health(&health).build().unwrap();
    let first = tokio::spawn(async move { first.connect().await.map(|link| link.conn) });
    let mut second = builder().shared_health(&health).build().unwrap();
    let status = second.handle();
    let second = tokio::spawn(async move { second.connect().await.map(|link| link.conn) });
    sleep(SECOND / 10).await;
    busy.abort();
    sleep(SECOND).await;
    // Refused by its only server, the first gives up at start-up. The other has not dialled yet.
    assert!(first.await.unwrap().is_err());
    assert!(
        matches!(status.status(), Status::Waiting { .. }),
        "{status:?}"
    );
    script.change("a", [Step::Accept]);
    second.await.unwrap().unwrap();
}
