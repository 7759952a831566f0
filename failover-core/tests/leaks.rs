//! A connector holds no more memory after 100 000 failed dials than after 1 000, nor after 10 000
//! reconnects, nor a link after what it wrote: every byte is counted, and a byte for each of them would be found.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "the figures are for people"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::{Clock, Connector, Established, Handle};
use failover_core::failure::{Failure, Kind, Phase};
use failover_core::link::{LinkPolicy, MessageId, Outbox};
use failover_core::messaging::{
    Decoded, Heard, Line, Login, Passage, Protocol, Session, Welcome, Wire, open,
};
use failover_core::policy::{Backoff, Pace, Policy, Standing};
use failover_core::testing::ManualClock;

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
fn a_link_whose_sender_is_faster_than_its_wire_holds_no_more_after_50_mb_than_after_one() {
    let clock = ManualClock::default();
    let taken = Arc::new(AtomicU64::new(0));
    let login = Login::new(Slowly(Arc::clone(&taken)), Bytes);
    let connector = Connector::builder(login, clock)
        .endpoint(Endpoint::parse("tcp://a:1").unwrap())
        .build()
        .unwrap();
    let bytes = 100_000;
    let (link, driver) = open(connector, LinkPolicy::OFF.outbox(Outbox::Keep { bytes }));
    let mut driver = pin!(driver.run());
    let mut send = |megabytes: u64| {
        while taken.load(Ordering::Relaxed) < megabytes << 20 {
            while link.try_send(vec![7; 1000]).is_ok() {}
            let mut cx = Context::from_waker(Waker::noop());
            assert!(driver.as_mut().poll(&mut cx).is_pending());
        }
        held()
    };
    let (few, many) = (send(1), send(50));
    println!("50 MB over a slow wire: {few} bytes before, {many} after");
    assert!(many <= few + 300_000, "{few} bytes before, {many} after");
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

/// Takes 16 KiB at a poll, and then none at the next.
struct Slowly(Arc<AtomicU64>);

struct SlowWire {
    taken: Arc<AtomicU64>,
    rests: bool,
}

impl Dial for Slowly {
    type Conn = SlowWire;
    type Error = Failure;

    async fn dial(&self, _: &Target, _: &DialContext) -> Result<SlowWire, Failure> {
        Ok(SlowWire {
            taken: Arc::clone(&self.0),
            rests: false,
        })
    }
}

impl Wire for SlowWire {
    fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.rests = !self.rests;
        if !self.rests {
            return Poll::Pending;
        }
        let count = bytes.len().min(16 * 1024);
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A protocol whose messages stand on the wire as they are.
struct Bytes;

impl Protocol for Bytes {
    type Message = Vec<u8>;
    type Reply = ();
    type Session = Self;
    type Error = io::Error;

    fn size(&self, message: &Vec<u8>) -> usize {
        message.len()
    }

    async fn login<W: Wire>(
        &self,
        _: &mut Line<W>,
        _: &Target,
        _: &DialContext,
    ) -> io::Result<Welcome<Self>> {
        Ok(Welcome::new(Self))
    }
}

impl Session for Bytes {
    type Message = Vec<u8>;
    type Reply = ();
    type Error = io::Error;

    fn encode(
        &mut self,
        _: MessageId,
        message: &Vec<u8>,
        _: Passage,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        out.extend_from_slice(message);
        Ok(())
    }

    fn decode(&mut self, bytes: &[u8], _: &mut Heard<(), io::Error>) -> io::Result<Decoded> {
        Ok(Decoded::All(bytes.len()))
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

fn held() -> isize {
    HELD.with(Cell::get)
}

std::thread_local! {
    /// Bytes in use by this thread.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: everything is the system allocator's; only a number is kept beside it.
#[expect(
    unsafe_code,
    clippy::cast_possible_wrap,
    reason = "an allocator that counts is the measure"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = HELD.try_with(|held| held.set(held.get() + layout.size() as isize));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| held.set(held.get() - layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}
