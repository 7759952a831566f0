//! The conformance kit finds the dialer that breaks a promise, and passes the one that keeps all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code outside of the test functions"
)]

use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::drive::Clock;
use failover_core::failure::{Classify, Failure, Kind, Phase};
use failover_core::testing::conformance::{
    PeerLog, Promise, Seen, Violation, a_reconnect_sees_a_moved_server,
    concurrent_dials_are_independent, does_nothing_before_it_is_polled, errors_hold_no_secrets,
    errors_tell_their_causes, fails_as, leaves_no_more_than_before, leaves_nothing_when_cancelled,
    waits_for_a_mute_peer_until_the_deadline,
};
use failover_core::time::Time;

const STILL: Duration = Duration::from_millis(50);

#[tokio::test(start_paused = true)]
async fn an_honest_dialer_keeps_every_promise() {
    let peer = PeerLog::default();
    let (honest, clock) = (Honest::at(&peer), Paused::new());

    let checked = does_nothing_before_it_is_polled(&honest, &target("ready"), &peer, &clock).await;
    assert_eq!(checked, Ok(()));
    let checked = fails_as(&[Kind::Refused], &honest, &target("refused"), &clock).await;
    assert_eq!(checked, Ok(()));
    let checked = mute(&honest, Phase::Connect).await;
    assert_eq!(checked, Ok(()));
    for host in ["ready", "mute"] {
        let checked = cancelled(&honest, host, &peer).await;
        assert_eq!(checked, Ok(()));
    }
    let checked = discreet(&honest).await;
    assert_eq!(checked, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_dialer_that_begins_without_a_poll_is_caught() {
    let (peer, clock) = (PeerLog::default(), Paused::new());
    let ready = target("ready");

    let eager = Eager(peer.clone(), Haste::Connects);
    let caught = does_nothing_before_it_is_polled(&eager, &ready, &peer, &clock).await;
    assert_broken(caught, Promise::Lazy, "the peer saw 1 connections");

    let eager = Eager(peer.clone(), Haste::LeavesACrumb);
    let caught = does_nothing_before_it_is_polled(&eager, &ready, &peer, &clock).await;
    assert_broken(caught, Promise::Lazy, "it entered phase connect");
}

#[tokio::test(start_paused = true)]
async fn a_dialer_that_fails_otherwise_than_expected_is_caught() {
    let (peer, clock) = (PeerLog::default(), Paused::new());
    let honest = Honest::at(&peer);

    let caught = fails_as(
        &[Kind::Reset, Kind::Closed],
        &honest,
        &target("refused"),
        &clock,
    )
    .await;
    assert_broken(caught, Promise::FailsAs, "got `refused`");
    let caught = fails_as(&[Kind::Refused], &honest, &target("ready"), &clock).await;
    assert_broken(caught, Promise::FailsAs, "the dial succeeded");
    let caught = fails_as(&[Kind::Refused], &honest, &target("mute"), &clock).await;
    assert_broken(caught, Promise::FailsAs, "did not end within 30s");
}

#[tokio::test(start_paused = true)]
async fn a_dialer_with_a_deadline_of_its_own_is_caught() {
    let caught = mute(&Hasty, Phase::Connect).await;
    assert_broken(caught, Promise::Patient, "the dial ended itself");
}

#[tokio::test(start_paused = true)]
async fn a_dialer_that_names_the_wrong_phase_is_caught() {
    let honest = Honest::at(&PeerLog::default());
    let caught = mute(&honest, Phase::Tls).await;
    assert_broken(caught, Promise::Patient, "the trail says connect");
}

#[tokio::test(start_paused = true)]
async fn a_dialer_that_keeps_a_connection_after_a_cancel_is_caught() {
    let peer = PeerLog::default();
    let hoarder = Hoarder(Honest::at(&peer), Mutex::default());
    let caught = cancelled(&hoarder, "ready", &peer).await;
    assert_broken(caught, Promise::CancelSafe, "1 connections are open");
}

#[tokio::test(start_paused = true)]
async fn a_dialer_that_leaves_more_after_a_cancel_is_caught_by_any_count() {
    let (peer, clock, ready) = (PeerLog::default(), Paused::new(), target("ready"));
    let count = || peer.open();
    let honest = Honest::at(&peer);
    let cuts = leaves_no_more_than_before(STILL, &honest, &ready, count, &clock).await;
    assert_eq!(cuts, Ok(3));
    let hoarder = Hoarder(Honest::at(&peer), Mutex::default());
    let caught = leaves_no_more_than_before(STILL, &hoarder, &ready, count, &clock).await;
    let found = "0 before, 1 after a cut at pending 2";
    assert_broken(caught.map(drop), Promise::CancelSafe, found);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_test_that_reaches_nobody_is_no_proof() {
    let elsewhere = Honest::at(&PeerLog::default());
    let caught = cancelled(&elsewhere, "ready", &PeerLog::default()).await;
    assert_broken(caught, Promise::CancelSafe, "nothing was tested");
}

#[tokio::test(start_paused = true)]
async fn a_dialer_that_tells_a_secret_is_caught_wherever_it_hides() {
    for place in [Place::Display, Place::Debug, Place::Source] {
        let caught = discreet(&Gossip(place)).await;
        assert_broken(caught.clone(), Promise::Discreet, "<SECRET>");
        assert!(!caught.unwrap_err().to_string().contains("hunter2"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_without_a_cause_or_with_the_same_words_again_is_caught() {
    let (to, clock) = (target("refused"), Paused::new());
    assert_eq!(
        errors_tell_their_causes(&Gossip(Place::Source), &to, &clock).await,
        Ok(())
    );
    let caught = errors_tell_their_causes(&Gossip(Place::Debug), &to, &clock).await;
    assert_broken(caught, Promise::Traceable, "`refused` has no source");
    let caught = errors_tell_their_causes(&Gossip(Place::Echo), &to, &clock).await;
    assert_broken(caught, Promise::Traceable, "because of `tcp://refused:1`");
}

#[tokio::test(start_paused = true)]
async fn a_dialer_that_remembers_where_a_server_was_is_caught() {
    let remembers = Moving::new(Memory::Keeps);
    let caught = remembers.check().await;
    assert_broken(caught, Promise::Fresh, "the second dial reached (2, 0)");
    assert_eq!(Moving::new(Memory::None).check().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_dialer_whose_dials_wait_for_each_other_is_caught() {
    let (ready, mute, clock) = (target("ready"), target("mute"), Paused::new());
    let honest = Honest::at(&PeerLog::default());
    let checked = concurrent_dials_are_independent(&honest, &ready, &mute, &clock).await;
    assert_eq!(checked, Ok(()));
    let one_by_one = OneByOne(honest, tokio::sync::Mutex::default());
    let caught = concurrent_dials_are_independent(&one_by_one, &ready, &mute, &clock).await;
    assert_broken(caught, Promise::Independent, "it waits for another");
}

async fn mute(dialer: &impl Dial, phase: Phase) -> Result<(), Violation> {
    let mute = target("mute");
    waits_for_a_mute_peer_until_the_deadline(phase, STILL, dialer, &mute, &Paused::new()).await
}

async fn cancelled(dialer: &impl Dial, host: &str, peer: &PeerLog) -> Result<(), Violation> {
    leaves_nothing_when_cancelled(STILL, dialer, &target(host), peer, &Paused::new()).await
}

async fn discreet(dialer: &impl Dial) -> Result<(), Violation> {
    let to = Target::parse("tcp://joe:hunter2@refused:1/?token=hunter3").unwrap();
    errors_hold_no_secrets(&["hunter2", "hunter3"], dialer, &to, &Paused::new()).await
}

#[track_caller]
fn assert_broken(caught: Result<(), Violation>, promise: Promise, found: &str) {
    let violation = caught.expect_err("the violator was not caught");
    assert_eq!(violation.promise, promise);
    assert!(violation.found.contains(found), "{violation}");
}

fn target(host: &str) -> Target {
    Target::parse(&format!("tcp://{host}:1")).unwrap()
}

/// Connects to `ready` in three steps, is refused by `refused`, waits for ever on others.
struct Honest(PeerLog);

impl Honest {
    fn at(peer: &PeerLog) -> Self {
        Self(peer.clone())
    }
}

impl Dial for Honest {
    type Conn = Seen;
    type Error = Failure;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<Seen, Failure> {
        cx.enter(Phase::Connect);
        tokio::task::yield_now().await;
        if to.url().host() == "refused" {
            return Err(Failure::new(Kind::Refused));
        }
        let conn = self.0.accept();
        tokio::task::yield_now().await;
        if to.url().host() != "ready" {
            pending::<()>().await;
        }
        Ok(conn)
    }
}

struct Eager(PeerLog, Haste);

enum Haste {
    Connects,
    LeavesACrumb,
}

impl Dial for Eager {
    type Conn = Seen;
    type Error = Failure;

    fn dial(
        &self,
        _to: &Target,
        cx: &DialContext,
    ) -> impl Future<Output = Result<Seen, Failure>> + Send {
        let early = match self.1 {
            Haste::Connects => Some(self.0.accept()),
            Haste::LeavesACrumb => {
                cx.enter(Phase::Connect);
                None
            }
        };
        async move { early.ok_or(Failure::new(Kind::Other)) }
    }
}

/// Gives up by itself.
struct Hasty;

impl Dial for Hasty {
    type Conn = ();
    type Error = Failure;

    async fn dial(&self, _to: &Target, cx: &DialContext) -> Result<(), Failure> {
        cx.enter(Phase::Connect);
        tokio::time::sleep(STILL / 2).await;
        Err(Failure::new(Kind::Timeout))
    }
}

/// Keeps what it opened when its future is dropped.
struct Hoarder(Honest, Mutex<Vec<Seen>>);

impl Dial for Hoarder {
    type Conn = ();
    type Error = Failure;

    async fn dial(&self, _to: &Target, cx: &DialContext) -> Result<(), Failure> {
        cx.enter(Phase::Connect);
        tokio::task::yield_now().await;
        self.1.lock().unwrap().push(self.0.0.accept());
        tokio::task::yield_now().await;
        self.1.lock().unwrap().clear();
        Ok(())
    }
}

/// Dials one at a time.
struct OneByOne(Honest, tokio::sync::Mutex<()>);

impl Dial for OneByOne {
    type Conn = Seen;
    type Error = Failure;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<Seen, Failure> {
        let _turn = self.1.lock().await;
        self.0.dial(to, cx).await
    }
}

/// Knows where a server is, and may keep what it knew.
struct Moving {
    peers: [PeerLog; 2],
    moved: AtomicBool,
    known: Mutex<Option<usize>>,
    memory: Memory,
}

#[derive(PartialEq)]
enum Memory {
    None,
    Keeps,
}

impl Moving {
    fn new(memory: Memory) -> Self {
        Self {
            peers: Default::default(),
            moved: AtomicBool::new(false),
            known: Mutex::default(),
            memory,
        }
    }

    async fn check(&self) -> Result<(), Violation> {
        let [before, after] = &self.peers;
        let moves = || self.moved.store(true, Ordering::SeqCst);
        let (to, clock) = (target("ready"), Paused::new());
        a_reconnect_sees_a_moved_server(self, &to, (before, after), moves, &clock).await
    }
}

impl Dial for Moving {
    type Conn = Seen;
    type Error = Failure;

    async fn dial(&self, _to: &Target, _cx: &DialContext) -> Result<Seen, Failure> {
        let now = usize::from(self.moved.load(Ordering::SeqCst));
        let mut known = self.known.lock().unwrap();
        let at = match self.memory {
            Memory::Keeps => *known.get_or_insert(now),
            Memory::None => now,
        };
        Ok(self.peers[at].accept())
    }
}

struct Gossip(Place);

#[derive(Clone, Copy)]
enum Place {
    Display,
    Debug,
    Source,
    /// In the error and, the same, in its source.
    Echo,
}

impl Dial for Gossip {
    type Conn = ();
    type Error = GossipError;

    async fn dial(&self, to: &Target, _cx: &DialContext) -> Result<(), GossipError> {
        Err(GossipError {
            place: self.0,
            url: to.url().expose(),
            source: std::io::Error::other(to.url().expose()),
        })
    }
}

struct GossipError {
    place: Place,
    url: String,
    source: std::io::Error,
}

impl std::fmt::Display for GossipError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.place {
            Place::Display | Place::Echo => f.write_str(&self.url),
            Place::Debug | Place::Source => f.write_str("refused"),
        }
    }
}

impl std::fmt::Debug for GossipError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.place {
            Place::Debug => f.write_str(&self.url),
            Place::Display | Place::Source | Place::Echo => f.write_str("refused"),
        }
    }
}

impl std::error::Error for GossipError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.place {
            Place::Source | Place::Echo => Some(&self.source),
            Place::Display | Place::Debug => None,
        }
    }
}

impl Classify for GossipError {
    fn failure(&self) -> Failure {
        Failure::new(Kind::Refused)
    }
}

/// The runtime's clock, which jumps when everybody waits.
#[derive(Clone)]
struct Paused(tokio::time::Instant);

impl Paused {
    fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for Paused {
    type Sleep = tokio::time::Sleep;

    fn now(&self) -> Time {
        Time::ZERO + self.0.elapsed()
    }

    fn sleep_until(&self, at: Time) -> tokio::time::Sleep {
        tokio::time::sleep_until(self.0 + at.since(Time::ZERO))
    }
}
