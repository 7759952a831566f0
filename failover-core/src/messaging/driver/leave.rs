//! Leaving a connection for a better one.

use std::task::Context;

use crate::dial::Dial;
use crate::drive::Clock;
use crate::failure::Classify;
use crate::link::{Flight, LinkPolicy, MessageId};
use crate::messaging::active::{Active, Desks, Duty, Turn};
use crate::messaging::book::NoAnswer;
use crate::messaging::driver::{LinkDriver, Parting, State, Step};
use crate::messaging::error::LEFT;
use crate::messaging::protocol::Protocol;
use crate::messaging::wire::Wire;
use crate::time::Time;

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
                let last = self.on_left();
                if !is_closed && now < until && self.is_asked_through(last) {
                    self.parting = Some(Parting {
                        active,
                        until,
                        last,
                    });
                } else {
                    self.end_parting(active, last, cx);
                }
                Step::Again
            }
            Err(error) => {
                self.on_lost(error.failure());
                Step::Again
            }
        }
    }

    pub(super) fn poll_parting(&mut self, cx: &mut Context<'_>, now: Time) {
        let Some(mut parting) = self.parting.take() else {
            return;
        };
        // Nothing of the present flight went over it.
        let mut flight = Flight::new(&LinkPolicy::OFF);
        let mut desks = Desks {
            desk: &self.desk,
            flight: &mut flight,
            handle: &self.handle,
            duty: Duty::Finish,
            now,
        };
        let turn = parting.active.turn(cx, &mut desks);
        if turn.is_ok() && now < parting.until && self.is_asked_through(parting.last) {
            if let Ok(Turn::More) = turn {
                cx.waker().wake_by_ref();
            }
            self.parting = Some(parting);
        } else {
            self.end_parting(parting.active, parting.last, cx);
        }
    }

    /// A connection that was left says goodbye, as far as that can be written at once.
    pub(super) fn end_parting(
        &mut self,
        mut active: Active<P, D::Conn>,
        last: MessageId,
        cx: &mut Context<'_>,
    ) {
        let mut flight = Flight::new(&LinkPolicy::OFF);
        let mut desks = Desks {
            desk: &self.desk,
            flight: &mut flight,
            handle: &self.handle,
            duty: Duty::Finish,
            now: self.connector.clock().now(),
        };
        active.say_goodbye();
        if active.turn(cx, &mut desks).is_ok() {
            active.close(cx);
        }
        let next = MessageId::new(last.number().saturating_add(1));
        self.desk.with(|inside| {
            for id in inside.book.requests.handle_lost(Some(next)) {
                inside.book.fail(id, NoAnswer::Lost(LEFT));
            }
        });
    }

    /// Whether an answer is awaited to a message up to this one.
    pub(super) fn is_asked_through(&self, last: MessageId) -> bool {
        self.desk
            .with(|inside| inside.book.requests.oldest().is_some_and(|id| id <= last))
    }

    /// A connection was left. The last message that may have gone over it.
    pub(super) fn on_left(&mut self) -> MessageId {
        self.put_back();
        self.desk.with(|inside| {
            let unsent = inside.queue.front().map(|entry| entry.id.number() - 1);
            MessageId::new(unsent.unwrap_or(inside.queue.accepted()))
        })
    }
}
