//! One connection at work.

mod write;

use std::collections::VecDeque;
use std::string::String;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::vec::Vec;

use crate::attempt::AttemptId;
use crate::drive::Handle;
use crate::heartbeat::{Action, Heartbeat, Monitor};
use crate::link::{Entry, Flight, Handed, LinkPolicy};
use crate::messaging::book::NoAnswer;
use crate::messaging::desk::{Desk, Parcel};
use crate::messaging::error::LinkError;
use crate::messaging::line::{Filled, Line};
use crate::messaging::login::LoggedIn;
use crate::messaging::protocol::{Decoded, Echo, Heard, Protocol, Pulse, Said, Session, Welcome};
use crate::messaging::wire::Wire;
use crate::time::Time;

/// As much is encoded ahead of the transport.
const AHEAD: usize = 64 * 1024;
/// So many reads, or rounds of writing, in one poll: then others have their turn.
const ROUNDS: u32 = 16;

/// One connection at work: what was read and not decoded, what was encoded and not written.
pub(super) struct Active<P: Protocol, W> {
    pub(super) id: AttemptId,
    line: Line<W>,
    session: P::Session,
    monitor: Option<Monitor>,
    heard: Heard<P::Reply, P::Error>,
    reading: Reading,
    /// It has ended, and what it said before waits for room in a reader's queue.
    end: Option<End<P::Error>>,
    /// Encoded; what lies before `out_at` is written.
    out: Vec<u8>,
    out_at: usize,
    /// How much of it answers the peer: a peer that asks and does not read must not fill our memory.
    owed: usize,
    /// The bytes that the transport has taken of this connection.
    written: u64,
    flushed: Flushed,
    /// Pings that were not answered.
    pings: VecDeque<Ping>,
    batch: Vec<Entry<Parcel<P::Message>>>,
    ending: Ending,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// There may be something to decode that was read already, or to tell that the login heard.
    Undecoded,
    Open,
    /// A subscriber's queue is full.
    Blocked,
}

struct End<E> {
    why: LinkError<E>,
    /// No longer is waited for the reader.
    until: Time,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flushed {
    Yes,
    No,
}

/// Whether the peer was told that nothing more comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    Said,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ping {
    Heartbeat,
    /// For the flushes up to this number.
    Flush(u64),
}

/// What a connection may do now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// Everything.
    Carry,
    /// Finish what is on its way; take no new messages.
    Finish,
}

/// How a turn ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing more to do before it is woken.
    Idle,
    /// More could be done at once.
    More,
}

/// What a connection works with beside itself.
pub(super) struct Desks<'a, P: Protocol> {
    pub(super) desk: &'a Desk<P>,
    pub(super) flight: &'a mut Flight<Parcel<P::Message>>,
    pub(super) handle: &'a Handle,
    pub(super) duty: Duty,
    /// How long a connection that has ended waits for a full reader.
    pub(super) grace: Duration,
    pub(super) now: Time,
}

impl<P: Protocol, W: Wire> Active<P, W> {
    pub(super) fn new(
        id: AttemptId,
        logged_in: LoggedIn<W, P::Session>,
        policy: &LinkPolicy,
        now: Time,
    ) -> Self {
        let LoggedIn { line, welcome } = logged_in;
        let Welcome { session, pulse, .. } = welcome;
        let heartbeat = heartbeat(pulse, policy);
        Self {
            id,
            line,
            session,
            monitor: heartbeat.map(|heartbeat| Monitor::new(&heartbeat, now)),
            heard: Heard::new(),
            reading: Reading::Undecoded,
            end: None,
            out: Vec::new(),
            out_at: 0,
            owed: 0,
            written: 0,
            flushed: Flushed::Yes,
            pings: VecDeque::new(),
            batch: Vec::new(),
            ending: Ending::No,
        }
    }

    /// When it wants to be polled, if nothing else happens before.
    pub(super) fn next_wake(&self) -> Option<Time> {
        match &self.end {
            Some(end) => Some(end.until),
            None => self.monitor.as_ref()?.next_wake(),
        }
    }

    /// Whether all that was encoded is on its way.
    pub(super) fn is_flushed(&self) -> bool {
        self.out.is_empty() && self.flushed == Flushed::Yes
    }

    /// Whether a subscriber's full queue keeps it from reading.
    pub(super) fn is_blocked(&self) -> bool {
        self.reading == Reading::Blocked
    }

    /// Does what can be done at once.
    pub(super) fn turn(
        &mut self,
        cx: &mut Context<'_>,
        desks: &mut Desks<'_, P>,
    ) -> Result<Turn, LinkError<P::Error>> {
        let was_deaf = self.owed > AHEAD;
        let mut turn = self.read(cx, desks)?;
        if self.end.is_some() {
            return Ok(turn);
        }
        self.beat(desks.now)?;
        let mut rounds = 0;
        loop {
            self.pay();
            if desks.duty == Duty::Carry {
                self.load(desks);
            }
            if self.is_flushed() {
                break;
            }
            if self.write(cx, desks)?.is_pending() {
                // It is polled again when the transport takes more.
                self.answer_flushes(cx, desks)?;
                return Ok(turn);
            }
            rounds += 1;
            if rounds == ROUNDS {
                turn = Turn::More;
                break;
            }
        }
        if self.answer_flushes(cx, desks)? == Turn::More || was_deaf {
            turn = Turn::More;
        }
        Ok(turn)
    }

    /// Lets the session write what it owes.
    fn pay(&mut self) {
        let before = self.out.len();
        self.session.control(&mut self.out);
        self.owed += self.out.len() - before;
    }

    /// Ends its subscriptions: another connection takes over.
    pub(super) fn leave(&mut self) {
        self.session.leave(&mut self.out);
    }

    /// Gives up what is not written: the next that is written is the end.
    pub(super) fn stop_writing(&mut self) {
        self.out = Vec::new();
        (self.out_at, self.owed, self.flushed) = (0, 0, Flushed::Yes);
    }

    /// Writes a farewell, to be written like anything else.
    pub(super) fn say_goodbye(&mut self) {
        self.session.goodbye(&mut self.out);
    }

    /// Writes what is left to write, says that nothing more comes, and reads to the end what the peer still says:
    /// a connection that is dropped while bytes come in is reset, and what was written last is lost on its way
    /// (RFC 9293, 3.10.4; RFC 9112, 9.6). Nobody hears that any more: another connection may bring it, too. Ready
    /// when nothing is left to wait for.
    pub(super) fn poll_farewell(
        &mut self,
        cx: &mut Context<'_>,
        desks: &mut Desks<'_, P>,
    ) -> Poll<()> {
        if !self.is_flushed() && self.write(cx, desks).is_err() {
            return Poll::Ready(());
        }
        if self.is_flushed() && self.ending == Ending::No {
            match self.line.wire().poll_close(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.ending = Ending::Said,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
            }
        }
        for _ in 0..ROUNDS {
            self.line.consume(usize::MAX);
            match ready!(self.line.poll_fill(cx)) {
                Ok(Filled::Some | Filled::NoRoom) => {}
                Ok(Filled::Ended) | Err(_) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads and decodes what has come.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        desks: &mut Desks<'_, P>,
    ) -> Result<Turn, LinkError<P::Error>> {
        if self.reading != Reading::Open {
            self.decode(desks)?;
        }
        if let Some(end) = self.end.take() {
            return self.wait_for_reader(end, desks.now);
        }
        for _ in 0..ROUNDS {
            if self.is_deaf() {
                return Ok(Turn::Idle);
            }
            match self.line.poll_fill(cx) {
                Poll::Pending => return Ok(Turn::Idle),
                Poll::Ready(Err(error)) => return self.on_end(error.into(), desks),
                Poll::Ready(Ok(filled)) => match filled {
                    Filled::Some => {
                        self.on_received(desks.now);
                        if !self.is_blocked() {
                            self.decode(desks)?;
                        }
                    }
                    Filled::Ended => return self.on_end(LinkError::Ended, desks),
                    Filled::NoRoom => {
                        let most = self.line.most_frame();
                        return Err(LinkError::FrameTooLarge { most });
                    }
                },
            }
        }
        Ok(Turn::More)
    }

    fn on_end(
        &mut self,
        why: LinkError<P::Error>,
        desks: &Desks<'_, P>,
    ) -> Result<Turn, LinkError<P::Error>> {
        let until = desks.now + desks.grace;
        self.wait_for_reader(End { why, until }, desks.now)
    }

    /// What was said before the end is given out as long as the reader makes room in time.
    fn wait_for_reader(
        &mut self,
        end: End<P::Error>,
        now: Time,
    ) -> Result<Turn, LinkError<P::Error>> {
        if !self.is_blocked() || now >= end.until {
            return Err(end.why);
        }
        self.end = Some(end);
        Ok(Turn::Idle)
    }

    fn on_received(&mut self, now: Time) {
        if let Some(monitor) = &mut self.monitor {
            monitor.handle_received(now);
        }
    }

    fn decode(&mut self, desks: &mut Desks<'_, P>) -> Result<(), LinkError<P::Error>> {
        let decoded = self.session.decode(self.line.unread(), &mut self.heard);
        // What was heard before an error was heard.
        self.apply(desks);
        let (count, reading) = match decoded.map_err(LinkError::Protocol)? {
            Decoded::All(count) => (count, Reading::Open),
            Decoded::Blocked(count) => (count, Reading::Blocked),
        };
        self.line.consume(count);
        self.reading = reading;
        self.pay();
        Ok(())
    }

    /// Tells everyone what the session heard.
    fn apply(&mut self, desks: &mut Desks<'_, P>) {
        if self.heard.is_empty() {
            return;
        }
        let (heard, pings, flight) = (&mut self.heard, &mut self.pings, &mut *desks.flight);
        let mut hints = Vec::new();
        desks.desk.with(|inside| {
            for said in heard.drain() {
                let book = &mut inside.book;
                let mut tell = |id, fate| book.tell(id, fate);
                let mut handed = Handed::default();
                match said {
                    Said::Confirmed(id) => handed = flight.handle_confirmed(id, &mut tell),
                    Said::ConfirmedThrough(id) => {
                        handed = flight.handle_confirmed_through(id, &mut tell);
                    }
                    Said::Refused(id) => {
                        handed = flight.handle_refused(id, &mut tell);
                        book.fail(id, NoAnswer::Refused);
                    }
                    Said::Reply(id, reply) => {
                        handed = flight.handle_confirmed(id, &mut tell);
                        book.answer(id, reply);
                    }
                    Said::Pong => {
                        if let Some(Ping::Flush(number)) = pings.pop_front() {
                            inside.flushed(|flush| flush <= number);
                        }
                    }
                    // One that is left already has nothing to say of the next one.
                    Said::Draining if desks.duty == Duty::Finish => {}
                    Said::Draining => hints.push(None),
                    Said::Servers(list) => hints.push(Some(list)),
                    Said::Error(error) => book.error(error),
                }
                inside.release(handed);
            }
        });
        for hint in hints {
            match hint {
                None => desks.handle.drain(),
                Some(list) => desks.handle.learn(self.id, list.iter().map(String::as_str)),
            }
        }
    }

    /// Whether nothing is read: as much as may be waits for a reader's room, or for the peer to read answers.
    fn is_deaf(&self) -> bool {
        let most = AHEAD.min(self.line.most_frame());
        (self.is_blocked() && self.line.unread().len() >= most) || self.owed > AHEAD
    }

    /// Does what the heartbeat asks.
    fn beat(&mut self, now: Time) -> Result<(), LinkError<P::Error>> {
        let is_deaf = self.is_deaf();
        let Some(monitor) = &mut self.monitor else {
            return Ok(());
        };
        if is_deaf {
            monitor.handle_deaf(now);
        }
        while let Some(action) = monitor.poll_action(now) {
            let echo = match action {
                // Whether the connection is broken, the write that is pending tells.
                Action::Ping if is_deaf && !self.out.is_empty() => Echo::None,
                Action::Ping => self.session.ping(&mut self.out),
                Action::Beat => self.session.beat(&mut self.out),
                Action::Stale(stale) => return Err(LinkError::Stale(stale)),
            };
            if echo == Echo::Pong {
                self.pings.push_back(Ping::Heartbeat);
            }
        }
        Ok(())
    }

    /// Tells those who flush, as far as all before them is with the transport: after a ping behind it, or
    /// once it is on its way.
    fn answer_flushes(
        &mut self,
        cx: &mut Context<'_>,
        desks: &mut Desks<'_, P>,
    ) -> Result<Turn, LinkError<P::Error>> {
        let is_asked = self.pings.iter().any(|ping| *ping != Ping::Heartbeat);
        if is_asked || desks.duty == Duty::Finish {
            return Ok(Turn::Idle);
        }
        let oldest = desks.flight.oldest();
        let done = desks.desk.with(|inside| {
            let waiting = inside.queue.front().map(|entry| entry.id);
            let oldest = [oldest, waiting].into_iter().flatten().min();
            // Marks rise with the numbers: after the first one that is not done, none is.
            let flushes = inside.flushes.iter();
            let done = flushes
                .take_while(|(_, flush)| oldest.is_none_or(|oldest| oldest > flush.mark))
                .filter(|(_, flush)| flush.outcome.is_none());
            done.last().map(|(number, _)| number)
        });
        let Some(number) = done else {
            return Ok(Turn::Idle);
        };
        if self.session.ping(&mut self.out) == Echo::Pong {
            self.pings.push_back(Ping::Flush(number));
            return Ok(Turn::More);
        }
        if let Poll::Ready(flushed) = self.poll_flush(cx) {
            flushed?;
            let desk = desks.desk;
            desk.with(|inside| inside.flushed(|flush| flush <= number));
        }
        Ok(Turn::Idle)
    }
}

/// How a connection is watched. The policy's write deadline holds also where both sides agreed on the
/// rest.
fn heartbeat(pulse: Pulse, policy: &LinkPolicy) -> Option<Heartbeat> {
    let Pulse::Agreed(agreed) = pulse else {
        return policy.heartbeat;
    };
    let deadline = policy.heartbeat.and_then(|policy| policy.write_deadline());
    let mut builder = Heartbeat::builder();
    if let Some(watch) = agreed.and_then(|agreed| agreed.watch()) {
        builder = builder.watch(watch.interval, watch.max_outstanding);
    }
    if let Some(period) = agreed.and_then(|agreed| agreed.beat()) {
        builder = builder.beat(period);
    }
    let own = agreed.and_then(|agreed| agreed.write_deadline());
    if let Some(deadline) = own.or(deadline) {
        builder = builder.write_deadline(deadline);
    }
    // Refused only if nothing at all is set.
    builder.build().ok()
}
