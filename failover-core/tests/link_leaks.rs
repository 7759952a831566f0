//! A link holds no more memory for readers of news that came and went, nor when an outage is over that
//! filled the outbox, nor behind a wire that is slower than its sender: every byte is counted.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "the figures are for people"
)]

#[path = "support/held.rs"]
mod held;

use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Endpoint, Target};
use failover_core::drive::Connector;
use failover_core::failure::Failure;
use failover_core::link::{
    Assurance, Bounds, Continuity, Flight, LinkPolicy, MessageId, Outbox, Queue, Replay,
};
use failover_core::messaging::{
    Decoded, Heard, Line, Login, Passage, Protocol, Session, Welcome, Wire, open,
};
use failover_core::testing::ManualClock;
use failover_core::time::Time;

use self::held::held;

#[test]
fn ten_thousand_readers_of_news_that_are_gone_hold_no_more_than_a_hundred() {
    let connector = Connector::builder(Login::new(Nowhere, Bytes), ManualClock::default())
        .endpoint(Endpoint::parse("tcp://a:1").unwrap())
        .build()
        .unwrap();
    let (link, _driver) = open(connector, LinkPolicy::OFF);
    let read = |times| (0..times).for_each(|_| drop(link.news()));
    read(100);
    let then = held();
    read(10_000);
    expect(then, "10000 readers of news that are gone");
}

#[test]
fn an_outage_that_filled_the_outbox_holds_nothing_when_it_is_over() {
    for replay in [Replay::Off, Replay::Bytes(u64::MAX)] {
        let bounds = Bounds::DEFAULT.messages(MANY);
        let policy = LinkPolicy::OFF
            .outbox(Outbox::Keep { bytes: u64::MAX })
            .bounds(bounds)
            .replay(replay);
        let (mut queue, mut flight) = (Queue::new(&policy), Flight::new(&policy));
        carry(&mut queue, &mut flight, 10);
        let then = held();
        carry(&mut queue, &mut flight, MANY);
        expect(then, &format!("an outage of {MANY} messages, {replay:?}"));
    }
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

const MANY: u32 = 65_536;

/// An outage of so many messages; then all go out and are confirmed, the latest first.
fn carry(queue: &mut Queue<u64>, flight: &mut Flight<u64>, messages: u32) {
    let tell = &mut |_, _| {};
    let unsent = flight.handle_lost(tell);
    queue.put_back(unsent.into_iter());
    queue.handle_lost(tell);
    for _ in 0..messages {
        queue.push(0, 1, Time::ZERO, tell).unwrap();
    }
    queue.handle_connected();
    flight.handle_connected(Continuity::Stateless, tell);
    let mut written = 0;
    while let Some(entry) = queue.take() {
        written += entry.size;
        flight.push(entry, Assurance::Confirmed, written);
    }
    let handed = flight.handle_written(written, Time::ZERO, tell);
    queue.release(handed.messages, handed.bytes);
    for number in (0..=queue.accepted()).rev() {
        let _ = flight.handle_confirmed(MessageId::new(number), tell);
    }
    assert_eq!((queue.messages(), flight.unconfirmed()), (0, 0));
}

/// By how many bytes two moments of one link may differ: what is kept for the next messages.
const KEPT: isize = 32 * 1024;

/// The memory that is held now is what was held then.
fn expect(then: isize, what: &str) {
    let now = held();
    println!("{what}: {then} bytes before, {now} after");
    assert!(
        now <= then + KEPT,
        "{what}: {then} bytes before, {now} after"
    );
}

struct Nowhere;

impl Dial for Nowhere {
    type Conn = Box<dyn Wire>;
    type Error = Failure;

    async fn dial(&self, _: &Target, _: &DialContext) -> Result<Self::Conn, Failure> {
        pending().await
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
