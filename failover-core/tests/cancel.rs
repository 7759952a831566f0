//! Every future of the connector dropped at every await point, and everything that can be said or
//! dropped done there: nothing is left, nothing is lost, nothing is dialled twice.
//!
//! Polls are counted by hand on a clock that stands still between them. A first run, undisturbed,
//! says how many there are and what happens; then it is cut after each.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use failover_core::attempt::AttemptId;
use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::{
    Clock, Connector, Established, Events, GiveUp, Handle, Loss, NoConnection, Status, What,
};
use failover_core::failure::{Failure, Kind, Phase};
use failover_core::machine::{Answer, CloseReason};
use failover_core::policy::{Limit, Limits, PolicyBuilder, Standing};
use failover_core::testing::{ManualClock, Script, ScriptedConn, Step};
use failover_core::time::Time;

use self::support::{SECOND, listed, told};

const LOST: Failure = Failure::new(Kind::Reset);
const LAYER: Duration = Duration::from_millis(10);

/// More polls than any of these runs takes.
const ENDLESS: usize = 10_000;

// `connect`.

#[test]
fn a_connect_that_is_dropped_at_any_await_goes_on_where_it_was() {
    let (whole, polls) = Stage::uneasy().run_to_the_end(ENDLESS);
    assert!(polls > 20, "{polls} polls");
    for cut in 1..polls {
        let mut stage = Stage::uneasy();
        stage.connect_for(cut);
        let (again, _) = stage.run_to_the_end(ENDLESS);
        assert_eq!(again, whole, "cut after {cut} polls");
    }
    for each in 1..4 {
        let (again, _) = Stage::uneasy().run_to_the_end(each);
        assert_eq!(again, whole, "dropped after every {each} polls");
    }
}

#[test]
fn a_dropped_connect_spends_of_the_same_budget() {
    let refused = || {
        let budget = Limits::UNLIMITED.turns(Limit::AtMost(7));
        Stage::new("a b c", listed().start_up_limits(budget), |script| script)
    };
    let mut undisturbed = refused();
    let (gave_up, polls) = undisturbed.drive(Connector::connect, ENDLESS);
    assert_eq!(gave_up.unwrap().unwrap_err().reason, CloseReason::Turns(7));
    for cut in 1..polls {
        let mut stage = refused();
        stage.connect_for(cut);
        let (gave_up, _) = stage.drive(Connector::connect, ENDLESS);
        assert_eq!(gave_up.unwrap().unwrap_err().reason, CloseReason::Turns(7));
        assert_eq!(
            stage.script.dials(),
            undisturbed.script.dials(),
            "cut after {cut}"
        );
        assert_eq!(stage.left(), NOTHING);
    }
}

#[test]
fn a_dial_that_nobody_polls_does_not_outlive_its_deadline() {
    let (_, polls) = Stage::uneasy().run_to_the_end(ENDLESS);
    for cut in 1..polls {
        let mut stage = Stage::uneasy();
        stage.connect_for(cut);
        let in_flight = stage.left().dials;
        let before = stage.script.dials().len();
        // Nobody polls for a minute: what was in flight is over, and one dial follows.
        stage.clock.advance_to(stage.clock.now() + 60 * SECOND);
        stage.connect_for(1);
        assert!(stage.left().dials <= 1, "cut after {cut} polls");
        assert!(
            stage.script.dials().len() <= before + 3,
            "cut after {cut} polls"
        );
        let (link, _) = stage.drive(Connector::connect, ENDLESS);
        assert!(
            link.unwrap().is_ok(),
            "cut after {cut} polls, {in_flight} in flight"
        );
    }
}

// What can be done between two polls.

#[test]
fn dropping_the_connector_at_any_await_leaves_nothing_and_ends_all_who_listen() {
    let (_, polls) = Stage::uneasy().run_to_the_end(ENDLESS);
    for cut in 0..=polls {
        let mut stage = Stage::uneasy();
        let link = stage.connect_for(cut);
        let (handle, mut watch) = (stage.handle.clone(), stage.handle.watch());
        let left = stage.drop_connector();
        assert_eq!(
            left,
            Left {
                open: usize::from(link.is_some()),
                ..NOTHING
            }
        );
        assert!(
            matches!(handle.status(), Status::Dropped),
            "cut after {cut}"
        );
        assert!(matches!(now(watch.next()), Some(Some(Status::Dropped))));
        assert!(matches!(now(watch.next()), Some(None)));
        let last = std::iter::from_fn(|| stage.events.try_next()).last();
        assert!(!last.is_some_and(|event| matches!(event.what, What::Closed(_))));
        assert!(matches!(now(stage.events.next()), Some(None)));
        handle.close();
        handle.reconnect();
    }
}

#[test]
fn close_at_any_await_leaves_nothing_at_once_and_is_told_once_and_last() {
    let (_, polls) = Stage::uneasy().run_to_the_end(ENDLESS);
    for cut in 0..=polls {
        for through_handle in [Through::Connector, Through::Handle] {
            let mut stage = Stage::uneasy();
            let link = stage.connect_for(cut);
            let before = stage.clock.now();
            match through_handle {
                Through::Connector => stage.connector.close(),
                Through::Handle => stage.handle.close(),
            }
            // What is out is asked to leave, and the session's to drop.
            assert!(now(stage.connector.hung_up()).is_some());
            assert!(link.as_ref().is_none_or(|link| link.leave().is_asked()));
            drop(link);
            assert_eq!(stage.left(), NOTHING, "cut after {cut}");
            let gave_up = now(stage.connector.connect()).unwrap().unwrap_err();
            assert_eq!(gave_up.reason, CloseReason::ByUser);
            assert_eq!(stage.clock.now(), before);
            let told = told(&mut stage.events);
            assert!(told.ends_with("closed: closed by the user"), "{told}");
            assert_eq!(told.matches("closed:").count(), 1, "{told}");
        }
    }
}

#[test]
fn a_report_that_is_not_of_the_present_connection_changes_nothing_at_any_await() {
    let (whole, polls) = Stage::uneasy().run_to_the_end(ENDLESS);
    for cut in 0..polls {
        let mut stage = Stage::uneasy();
        stage.connect_for(cut);
        for number in [0, 1, 2, 3, 4, u64::MAX] {
            let answer = stage.connector.lost(AttemptId::new(number), LOST);
            assert_eq!(answer, Answer::Stale, "{number}, cut after {cut}");
        }
        let (mut again, _) = stage.run_to_the_end(ENDLESS);
        again.told = again.told.replace("late report; ", "");
        assert_eq!(again, whole, "cut after {cut} polls");
    }
}

#[test]
fn dropping_handles_watches_and_event_streams_at_any_await_changes_nothing() {
    let (whole, polls) = Stage::uneasy().run_to_the_end(ENDLESS);
    for cut in 0..polls {
        let mut stage = Stage::uneasy();
        let (handle, mut watch) = (stage.handle.clone(), stage.handle.watch());
        let events = stage.connector.events();
        let _ = now(watch.next());
        let _ = now(watch.next());
        stage.connect_for(cut);
        drop((handle, watch, events));
        let (again, _) = stage.run_to_the_end(ENDLESS);
        assert_eq!(again, whole, "cut after {cut} polls");
    }
}

#[test]
fn a_word_at_any_await_makes_no_second_dial_beside_the_first() {
    let (_, polls) = Stage::uneasy().run_to_the_end(ENDLESS);
    let words: [fn(&Handle); 5] = [
        Handle::reconnect,
        Handle::reconnect_other,
        |handle| handle.reconnect_to("c:1"),
        Handle::drain,
        |handle| {
            handle.pause();
            handle.resume();
        },
    ];
    for cut in 0..polls {
        for (n, say) in words.iter().enumerate() {
            let mut stage = Stage::uneasy();
            stage.connect_for(cut);
            say(&stage.handle);
            let (link, _) = stage.drive(Connector::connect, ENDLESS);
            assert!(link.unwrap().is_ok(), "word {n}, cut after {cut}");
            assert_eq!(stage.most_at_once(), 1, "word {n}, cut after {cut}");
            assert_eq!(stage.left(), NOTHING);
        }
    }
}

// Beside a connection.

#[test]
fn work_beside_a_connection_that_is_dropped_at_any_await_goes_on_where_it_was() {
    let beside = || {
        let policy = listed().standing(Standing::default().spares(1));
        let mut stage = Stage::new("a b c", policy, |script| {
            script
                .host("a", [Step::Accept])
                .host("b", [Step::Accept])
                .host("c", [Step::Accept])
        });
        let link = stage.connect_for(ENDLESS).unwrap();
        (stage, link)
    };
    let run = |cut: usize| {
        let (mut stage, link) = beside();
        stage.drive(Connector::hung_up, cut);
        if cut < ENDLESS {
            stage.drive(Connector::hung_up, ENDLESS);
        }
        stage.handle.drain();
        let (_, polls) = stage.drive(Connector::hung_up, cut);
        if cut < ENDLESS {
            stage.drive(Connector::hung_up, ENDLESS);
        }
        drop(link);
        let next = stage.connect_for(ENDLESS).unwrap();
        let hosts = (next.conn.host().to_string(), told(&mut stage.events));
        drop(next);
        (hosts, stage.drop_connector(), polls)
    };
    let (whole, left, polls) = run(ENDLESS);
    assert_eq!(left, NOTHING);
    assert!(
        whole.1.contains("spare b") && whole.1.contains("moved to c"),
        "{whole:?}"
    );
    for cut in 1..=polls + 6 {
        let (again, left, _) = run(cut);
        assert_eq!(
            (again, left),
            (whole.clone(), NOTHING),
            "cut after {cut} polls"
        );
    }
}

#[test]
fn a_run_that_is_dropped_at_any_await_drops_its_session_and_the_next_one_goes_on() {
    let sessions = |stage: &mut Stage, most: usize| {
        let clock = stage.clock.clone();
        let numbered = Arc::clone(&stage.sessions);
        let session = move |link: Link| {
            let (clock, n) = (clock.clone(), numbered.fetch_add(1, Ordering::Relaxed));
            async move {
                clock.sleep_until(clock.now() + 5 * SECOND).await;
                drop(link);
                if n < 2 { Err(LOST) } else { Ok(()) }
            }
        };
        stage.drive_run(session, most)
    };
    let (ended, polls) = sessions(&mut Stage::uneasy(), ENDLESS);
    ended.unwrap().unwrap();
    for cut in 1..polls {
        let mut stage = Stage::uneasy();
        let (ended, _) = sessions(&mut stage, cut);
        assert!(ended.is_none());
        assert_eq!(stage.script.open(), 0, "cut after {cut} polls");
        let (ended, _) = sessions(&mut stage, ENDLESS);
        ended.unwrap().unwrap();
        assert_eq!(stage.most_at_once(), 1, "cut after {cut} polls");
        assert_eq!(stage.left(), NOTHING, "cut after {cut} polls");

        let mut stage = Stage::uneasy();
        let _ = sessions(&mut stage, cut);
        assert_eq!(stage.drop_connector(), NOTHING, "cut after {cut} polls");
    }
}

#[test]
fn a_run_that_is_dropped_while_a_session_leaves_drops_both() {
    let polls = 40;
    let mut seen_two = false;
    for cut in 1..polls {
        let mut stage = Stage::new("a b", listed(), |script| {
            script.host("a", [Step::Accept]).host("b", [Step::Accept])
        });
        let handle = stage.handle.clone();
        let script = stage.script.clone();
        let session = move |link: Link| {
            let handle = handle.clone();
            async move {
                // Asks for another server at once, and does not leave when it is asked to.
                handle.reconnect_other();
                pending::<()>().await;
                drop(link);
                Ok::<(), Loss>(())
            }
        };
        let most = Arc::new(AtomicUsize::new(0));
        let noted = Arc::clone(&most);
        let watch = move || {
            noted.fetch_max(script.open(), Ordering::Relaxed);
        };
        stage.drive_run_watched(session, cut, watch);
        seen_two |= most.load(Ordering::Relaxed) == 2;
        assert_eq!(stage.script.open(), 0, "cut after {cut} polls");
        assert_eq!(stage.drop_connector(), NOTHING, "cut after {cut} polls");
    }
    assert!(seen_two);
}

// `behind`.

#[test]
fn either_half_of_behind_dropped_at_any_await_ends_the_other_and_leaves_nothing() {
    let (_, polls) = Stage::uneasy().run_to_the_end(ENDLESS);
    for cut in 0..polls + 3 {
        let (left, client) = {
            let stage = Stage::uneasy();
            let (client, driver) = stage.connector.behind();
            let mut driving = Box::pin(driver.run());
            poll_for(&stage.clock, driving.as_mut(), cut);
            drop(driving);
            let left = Left::of(&stage.script, &stage.clock, &stage.onion);
            (left, client)
        };
        assert_eq!(left, NOTHING, "cut after {cut} polls");
        let ended = now(client.connection()).unwrap();
        assert!(
            matches!(ended, Err(NoConnection::NoDriver)),
            "cut after {cut} polls"
        );

        let stage = Stage::uneasy();
        let (client, driver) = stage.connector.behind();
        let mut driving = Box::pin(driver.run());
        poll_for(&stage.clock, driving.as_mut(), cut);
        drop(client);
        assert!(
            poll_for(&stage.clock, driving.as_mut(), 1).0.is_some(),
            "cut after {cut}"
        );
        drop(driving);
        assert_eq!(Left::of(&stage.script, &stage.clock, &stage.onion), NOTHING);
    }
}

#[test]
fn a_client_that_stops_waiting_at_any_await_loses_no_connection() {
    let (_, polls) = Stage::uneasy().run_to_the_end(ENDLESS);
    for cut in 0..polls + 3 {
        let stage = Stage::uneasy();
        let (client, driver) = stage.connector.behind();
        let mut driving = Box::pin(driver.run());
        for _ in 0..cut {
            if let Some(link) = now(client.connection()) {
                assert!(link.is_ok());
                break;
            }
            poll_for(&stage.clock, driving.as_mut(), 1);
        }
        assert!(stage.script.open() <= 1);
        poll_for(&stage.clock, driving.as_mut(), polls);
        client.handle().close();
        assert!(poll_for(&stage.clock, driving.as_mut(), 2).0.is_some());
        drop((driving, client));
        assert_eq!(Left::of(&stage.script, &stage.clock, &stage.onion), NOTHING);
    }
}

// The stage.

type Link = Established<ScriptedConn>;
type OnionConnector = Connector<Onion, ManualClock>;

enum Through {
    Connector,
    Handle,
}

/// A dialer of several layers: each takes its time, then the script says how it ends.
#[derive(Clone)]
struct Onion {
    script: Script<ManualClock>,
    clock: ManualClock,
    at_once: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Layers<'a>(&'a Onion);

impl Drop for Layers<'_> {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Dial for Onion {
    type Conn = ScriptedConn;
    type Error = Failure;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<ScriptedConn, Failure> {
        let now = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        let _layers = Layers(self);
        for phase in [Phase::Resolve, Phase::Connect, Phase::Tls] {
            cx.enter(phase);
            self.clock.sleep_until(self.clock.now() + LAYER).await;
        }
        self.script.dial(to, cx).await
    }
}

/// What is left: dials in flight, connections, timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    dials: usize,
    open: usize,
    timer: Option<Time>,
}

const NOTHING: Left = Left {
    dials: 0,
    open: 0,
    timer: None,
};

impl Left {
    fn of(script: &Script<ManualClock>, clock: &ManualClock, onion: &Onion) -> Self {
        Self {
            dials: onion.at_once.load(Ordering::Relaxed) + script.half_open(),
            open: script.open(),
            timer: clock.next(),
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    host: String,
    dials: Vec<(Time, String)>,
    told: String,
    at: Time,
}

struct Stage {
    script: Script<ManualClock>,
    clock: ManualClock,
    onion: Onion,
    connector: OnionConnector,
    handle: Handle,
    events: Events,
    sessions: Arc<AtomicUsize>,
}

impl Stage {
    fn new(
        hosts: &str,
        policy: PolicyBuilder,
        weather: impl FnOnce(Script<ManualClock>) -> Script<ManualClock>,
    ) -> Self {
        let clock = ManualClock::default();
        let script = weather(Script::new(clock.clone()));
        let onion = Onion {
            script: script.clone(),
            clock: clock.clone(),
            at_once: Arc::default(),
            most: Arc::default(),
        };
        let endpoints = hosts.split(' ');
        let endpoints = endpoints.map(|host| Endpoint::parse(&format!("tcp://{host}:1")).unwrap());
        let mut connector = Connector::builder(onion.clone(), clock.clone())
            .endpoints(endpoints)
            .policy(policy.build().unwrap())
            .build()
            .unwrap();
        Self {
            handle: connector.handle(),
            events: connector.events(),
            sessions: Arc::default(),
            script,
            clock,
            onion,
            connector,
        }
    }

    /// Refused, mute, refused late; after a wait refused, mute, and connected.
    fn uneasy() -> Self {
        Self::new("a b c", listed(), |script| {
            let late = Step::FailAfter(SECOND / 4, LOST);
            script
                .host("b", [Step::Mute(Phase::Upgrade)])
                .host("c", [late, Step::AcceptAfter(SECOND / 4)])
        })
    }

    fn drive<'a, F: Future>(
        &'a mut self,
        begin: impl FnOnce(&'a mut OnionConnector) -> F,
        most: usize,
    ) -> (Option<F::Output>, usize) {
        poll_for(&self.clock, pin!(begin(&mut self.connector)), most)
    }

    fn drive_run<S, F, E>(&mut self, session: S, most: usize) -> (Option<Result<(), GiveUp>>, usize)
    where
        S: FnMut(Link) -> F,
        F: Future<Output = Result<(), E>>,
        E: Into<Loss>,
    {
        poll_for(&self.clock, pin!(self.connector.run(session)), most)
    }

    fn drive_run_watched<S, F, E>(&mut self, session: S, most: usize, watch: impl Fn())
    where
        S: FnMut(Link) -> F,
        F: Future<Output = Result<(), E>>,
        E: Into<Loss>,
    {
        let mut running = pin!(self.connector.run(session));
        for _ in 0..most {
            let (ended, _) = poll_for(&self.clock, running.as_mut(), 1);
            watch();
            if ended.is_some() {
                return;
            }
        }
    }

    /// The connection, if there is one within so many polls.
    fn connect_for(&mut self, polls: usize) -> Option<Link> {
        let (link, _) = self.drive(Connector::connect, polls);
        link.map(Result::unwrap)
    }

    /// Connects, giving up and beginning again after every so many polls.
    fn run_to_the_end(&mut self, each: usize) -> (Outcome, usize) {
        for _ in 0..ENDLESS {
            let (link, polls) = self.drive(Connector::connect, each);
            if let Some(link) = link {
                let outcome = Outcome {
                    host: link.unwrap().conn.host().to_string(),
                    dials: self.script.dials(),
                    told: told(&mut self.events),
                    at: self.clock.now(),
                };
                assert_eq!(self.most_at_once(), 1);
                assert_eq!(self.left(), NOTHING);
                return (outcome, polls);
            }
        }
        panic!("never connected");
    }

    fn most_at_once(&self) -> usize {
        self.onion.most.load(Ordering::Relaxed)
    }

    fn left(&self) -> Left {
        Left::of(&self.script, &self.clock, &self.onion)
    }

    /// Drops the connector, and says what is left.
    fn drop_connector(&mut self) -> Left {
        let nobody = Stage::new("a", listed(), |script| script).connector;
        drop(std::mem::replace(&mut self.connector, nobody));
        self.left()
    }
}

/// Polls at most so often, and lets the time pass to the next timer whenever it is pending; also
/// says how often it polled. Without a timer nothing will happen: it stops.
fn poll_for<F: Future>(
    clock: &ManualClock,
    mut future: std::pin::Pin<&mut F>,
    most: usize,
) -> (Option<F::Output>, usize) {
    for poll in 1..=most {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return (Some(output), poll);
        }
        match clock.next() {
            Some(next) => clock.advance_to(next),
            None => return (None, poll),
        }
    }
    (None, most)
}

/// What a future gives at its first poll.
fn now<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
