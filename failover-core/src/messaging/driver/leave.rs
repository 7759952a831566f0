//! Leaving a connection for a better one.

use std::task::Context;

use crate::dial::Dial;
use crate::drive::Clock;
use crate::failure::Classify;
use crate::link::{Flight, LinkPolicy, MessageId};
use crate::messaging::active::{Active, Desks, Duty, Turn};
use crate::messaging::book::NoAnswer;
use crate::messaging::desk::Parcel;
use crate::messaging::driver::{LINGER, LinkDriver, State, Step, earlier};
use crate::messaging::error::LEFT;
use crate::messaging::protocol::Protocol;
use crate::messaging::wire::Wire;
use crate::time::Time;

/// So many connections that were left are listened to at once.
const PARTINGS: usize = 4;

/// A connection that was left.
pub(super) struct Parting<A> {
    active: A,
    until: Time,
    /// The last message that may have gone over it.
    last: MessageId,
    stage: Stage,
}

impl<P: Protocol, W: Wire> Parting<Active<P, W>> {
    pub(super) fn next_wake(&self) -> Option<Time> {
        let until = Some(self.until);
        match self.stage {
            Stage::Listens => earlier(self.active.next_wake(), until),
            Stage::Ends => until,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// For the answers to what was asked over it.
    Listens,
    /// It says goodbye.
    Ends,
}

impl<D, P, C> LinkDriver<D, P, C>
where
    D: Dial + 'static,
    D::Conn: Wire,
    P: Protocol,
    C: Clock,
{
    /// The connection is to be left: nothing new goes out over it, what is on its way is finished.
    pub(super) fn leave(
        &mut self,
        mut active: Active<P, D::Conn>,
        until: Time,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Step {
        let is_closed = self.connector.poll_beside(cx);
        let turn = self.turn(&mut active, Duty::Finish, now, cx);
        let done = is_closed || (active.is_flushed() && self.flight.oldest().is_none());
        match turn {
            Ok(turn) if !done && now < until => {
                self.state = State::Leaving(active, until);
                match turn {
                    Turn::More => Step::Yield,
                    Turn::Idle => Step::Wait,
                }
            }
            Ok(_) => {
                let until = match is_closed {
                    true => now,
                    false => until,
                };
                self.begin_parting(active, until, now);
                Step::Again
            }
            Err(error) => {
                self.on_lost(error.failure());
                Step::Again
            }
        }
    }

    fn begin_parting(&mut self, mut active: Active<P, D::Conn>, until: Time, now: Time) {
        let is_written = self.flight.is_written();
        self.put_back();
        let last = self.last_sent();
        if is_written {
            active.leave();
            self.push_parting(active, until, last, Stage::Listens);
        } else {
            // Of a message that goes out anew, not even the rest may reach this server.
            active.stop_writing();
            self.give_up_answers(self.still_heard(), last);
            self.push_parting(active, now + LINGER, last, Stage::Ends);
        }
    }

    fn push_parting(
        &mut self,
        active: Active<P, D::Conn>,
        until: Time,
        last: MessageId,
        stage: Stage,
    ) {
        if self.partings.len() == PARTINGS {
            let mut partings = self.partings.iter();
            match partings.position(|parting| parting.stage == Stage::Ends) {
                Some(at) => drop(self.partings.remove(at)),
                None => {
                    let oldest = self.partings.remove(0);
                    self.give_up_answers(None, oldest.last);
                }
            }
        }
        self.partings.push(Parting {
            active,
            until,
            last,
            stage,
        });
    }

    /// The connections that were left go on by themselves.
    pub(super) fn poll_partings(&mut self, cx: &mut Context<'_>, now: Time) {
        let partings = core::mem::take(&mut self.partings);
        for parting in partings {
            let goes_on = self.poll_parting(parting, cx, now);
            self.partings.extend(goes_on);
        }
    }

    /// The same, if it goes on: first until all is answered or its time is over, then until the peer has
    /// heard the goodbye.
    fn poll_parting(
        &mut self,
        mut parting: Parting<Active<P, D::Conn>>,
        cx: &mut Context<'_>,
        now: Time,
    ) -> Option<Parting<Active<P, D::Conn>>> {
        if parting.stage == Stage::Listens {
            let mut flight = Flight::new(&LinkPolicy::OFF);
            let mut desks = self.desks_of_left(&mut flight, now);
            let turn = parting.active.turn(cx, &mut desks);
            if let Ok(Turn::More) = turn {
                cx.waker().wake_by_ref();
            }
            if turn.is_ok() && now < parting.until && self.is_asked_through(parting.last) {
                return Some(parting);
            }
            self.give_up_answers(self.still_heard(), parting.last);
            turn.ok()?;
            parting.active.say_goodbye();
            parting.stage = Stage::Ends;
            parting.until = now + LINGER;
        }
        let mut flight = Flight::new(&LinkPolicy::OFF);
        let mut desks = self.desks_of_left(&mut flight, now);
        let gone = parting.active.poll_farewell(cx, &mut desks);
        (gone.is_pending() && now < parting.until).then_some(parting)
    }

    /// Nothing of the present flight goes over a connection that was left.
    fn desks_of_left<'a>(
        &'a self,
        flight: &'a mut Flight<Parcel<P::Message>>,
        now: Time,
    ) -> Desks<'a, P> {
        Desks {
            desk: &self.desk,
            flight,
            handle: &self.handle,
            duty: Duty::Finish,
            grace: self.connector.grace(),
            now,
        }
    }

    /// The last message to which an answer may still come over a connection that was left. (Of a parting that
    /// is being polled, those before it.)
    pub(super) fn still_heard(&self) -> Option<MessageId> {
        let partings = self.partings.iter();
        let mut heard = partings.filter(|parting| parting.stage != Stage::Ends);
        heard.next_back().map(|parting| parting.last)
    }

    /// What was asked over a connection that was left, above the one message and up to the other, is answered
    /// no more.
    fn give_up_answers(&mut self, heard: Option<MessageId>, last: MessageId) {
        let next = MessageId::new(last.number().saturating_add(1));
        self.desk.with(|inside| {
            for id in inside.book.requests.handle_lost(heard, Some(next)) {
                inside.book.fail(id, NoAnswer::Lost(LEFT));
            }
        });
    }

    /// Whether an answer is awaited to a message up to this one.
    pub(super) fn is_asked_through(&self, last: MessageId) -> bool {
        self.desk
            .with(|inside| inside.book.requests.oldest().is_some_and(|id| id <= last))
    }

    /// The last message that was handed over, when what was not is put back.
    fn last_sent(&self) -> MessageId {
        self.desk.with(|inside| {
            let unsent = inside.queue.front().map(|entry| entry.id.number() - 1);
            MessageId::new(unsent.unwrap_or(inside.queue.accepted()))
        })
    }
}
