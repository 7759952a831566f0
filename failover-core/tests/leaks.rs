//! A connector holds no more memory after 100 000 failed dials than after 1 000, nor after 10 000
//! reconnects: every byte is counted, and a byte for each of them would be found.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "the figures are for people"
)]

#[path = "support/held.rs"]
mod held;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::{Clock, Connector, Established, Handle};
use failover_core::failure::{Failure, Kind, Phase};
use failover_core::policy::{Backoff, Pace, Policy, Standing};
use failover_core::testing::ManualClock;

use self::held::held;

#[test]
fn a_hundred_thousand_failed_dials_hold_no_more_than_a_thousand() {
    let mut stage = Stage::new(Peer::Refuses, Standing::default());
    stage.dial(1_000);
    let held = held();
    let events = stage.connector.events();
    stage.dial(100_000);
    drop(events);
    // Streams that ended are forgotten at the next event.
    stage.dial(1);
    stage.expect(held, "100000 refused dials");
}

#[test]
fn a_hundred_thousand_mute_dials_hold_no_more_than_a_thousand() {
    let mut stage = Stage::new(Peer::Mute, Standing::default());
    stage.dial(1_000);
    let held = held();
    stage.dial(100_000);
    stage.expect(held, "100000 mute dials");
}

#[test]
fn ten_thousand_reconnects_hold_no_more_than_a_hundred() {
    for (spares, standing) in [0, 1].map(|n| (n, Standing::default().spares(n))) {
        let mut stage = Stage::new(Peer::Accepts, standing);
        let mut link = stage.reconnect(None, 100);
        let held = held();
        link = stage.reconnect(link, 10_000);
        stage.expect(held, &format!("10000 reconnects, spares: {spares}"));
        drop(link);
    }
}

#[test]
fn ten_thousand_cancelled_connects_and_words_hold_no_more_than_a_hundred() {
    let mut stage = Stage::new(Peer::Mute, Standing::default());
    stage.cancel(100);
    let held = held();
    stage.cancel(10_000);
    stage.expect(held, "10000 cancelled connects");
}

#[test]
fn ten_thousand_tasks_that_looked_whether_to_leave_hold_no_more_than_a_hundred() {
    let mut stage = Stage::new(Peer::Accepts, Standing::default());
    let link = stage.reconnect(None, 1).unwrap();
    let leave = link.leave();
    let look = |times| {
        for _ in 0..times {
            // Each task looks twice, and gives it up.
            let task = Arc::new(Task);
            let waker = Waker::from(Arc::clone(&task));
            let mut asked = pin!(leave.asked());
            for _ in 0..2 {
                let looked = asked.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(looked.is_pending());
            }
        }
    };
    look(100);
    let held = held();
    look(10_000);
    stage.expect(held, "10000 tasks that looked whether to leave");
}

struct Task;

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

/// By how many bytes two moments of one connector may differ: whether a dial is in flight, or a
/// timer is armed.
const STATES: isize = 1024;

#[derive(Clone, Copy)]
enum Peer {
    Refuses,
    Mute,
    Accepts,
}

impl Dial for Peer {
    type Conn = Box<[u8; 1024]>;
    type Error = Failure;

    async fn dial(&self, _: &Target, cx: &DialContext) -> Result<Self::Conn, Failure> {
        cx.enter(Phase::Connect);
        let conn = Box::new([0; 1024]);
        match self {
            Self::Refuses => Err(Failure::new(Kind::Refused)),
            Self::Mute => std::future::pending().await,
            Self::Accepts => Ok(conn),
        }
    }
}

type Link = Established<<Peer as Dial>::Conn>;

struct Stage {
    clock: ManualClock,
    connector: Connector<Peer, ManualClock>,
    handle: Handle,
}

impl Stage {
    fn new(peer: Peer, standing: Standing) -> Self {
        let clock = ManualClock::default();
        let policy = Policy::builder()
            .pace(Pace::new(Backoff::Constant(Duration::from_millis(10))))
            .standing(standing)
            .deadline(Duration::from_secs(1));
        let connector = Connector::builder(peer, clock.clone())
            .endpoints(
                ["a", "b", "c"].map(|host| Endpoint::parse(&format!("tcp://{host}:1")).unwrap()),
            )
            .policy(policy.build().unwrap())
            .build()
            .unwrap();
        Self {
            handle: connector.handle(),
            clock,
            connector,
        }
    }

    /// Lets the connector fail so often.
    fn dial(&mut self, dials: u64) {
        let enough = self.handle.snapshot().counters.dials + dials;
        while self.handle.snapshot().counters.dials < enough {
            assert!(poll(self.connector.connect()).is_pending());
            self.clock.advance_to(self.clock.next().unwrap());
        }
    }

    /// Connects so often, each time after a loss.
    fn reconnect(&mut self, mut link: Option<Link>, times: u32) -> Option<Link> {
        for _ in 0..times {
            if let Some(link) = link.take() {
                self.connector.lost(link.id(), Failure::new(Kind::Reset));
            }
            while link.is_none() {
                match poll(self.connector.connect()) {
                    Poll::Ready(established) => link = Some(established.unwrap()),
                    Poll::Pending => self.clock.advance_to(self.clock.next().unwrap()),
                }
            }
            // Spares are dialled beside it.
            assert!(poll(self.connector.hung_up()).is_pending());
        }
        link
    }

    /// Begins and drops so many connects, with words and readers in between.
    fn cancel(&mut self, times: u32) {
        for _ in 0..times {
            assert!(poll(self.connector.connect()).is_pending());
            self.handle.reconnect_other();
            let (events, watch) = (self.connector.events(), self.handle.watch());
            assert!(poll(self.connector.connect()).is_pending());
            self.clock
                .advance_to(self.clock.now() + Duration::from_millis(7));
            drop((events, watch));
        }
    }

    /// The memory that is held now is what was held then.
    fn expect(self, then: isize, what: &str) {
        let now = held();
        println!("{what}: {then} bytes before, {now} after");
        assert!(
            now <= then + STATES,
            "{what}: {then} bytes before, {now} after"
        );
    }
}

fn poll<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}
