//! Draining, closing, giving up.

use std::task::Context;

use crate::dial::Dial;
use crate::drive::{Clock, GiveUp};
use crate::machine::CloseReason;
use crate::messaging::active::{Active, Desks, Duty};
use crate::messaging::desk::Wanted;
use crate::messaging::driver::{LinkDriver, State, Step};
use crate::messaging::error::Ended;
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
    /// Whether nothing is left to do but to say goodbye.
    pub(super) fn is_over(&self, wanted: Wanted) -> bool {
        if let State::Farewell(..) = self.state {
            return false;
        }
        let written = match &self.state {
            State::Carrying(active) => active.is_flushed(),
            State::Begin | State::Connecting | State::Leaving(..) | State::Farewell(..) => true,
        };
        match wanted {
            Wanted::Open => false,
            Wanted::Closed => true,
            Wanted::Drained => {
                let empty = self.desk.with(|inside| {
                    let mut flushes = inside.flushes.iter();
                    inside.queue.messages() == 0
                        && inside.book.requests.is_empty()
                        && flushes.all(|(_, flush)| flush.outcome.is_some())
                });
                empty && written && self.flight.oldest().is_none() && self.partings.is_empty()
            }
        }
    }

    pub(super) fn finish(&mut self, until: Time, now: Time, cx: &mut Context<'_>) -> Step {
        match core::mem::replace(&mut self.state, State::Begin) {
            State::Carrying(mut active) | State::Leaving(mut active, _) => {
                active.say_goodbye();
                self.part(active, until, now, cx)
            }
            State::Begin | State::Connecting | State::Farewell(..) => self.over(),
        }
    }

    /// Writes the farewell, and waits for the peer's end.
    pub(super) fn part(
        &mut self,
        mut active: Active<P, D::Conn>,
        until: Time,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Step {
        let is_closed = self.connector.poll_beside(cx);
        let mut desks = Desks {
            desk: &self.desk,
            flight: &mut self.flight,
            handle: &self.handle,
            duty: Duty::Finish,
            grace: self.connector.grace(),
            now,
        };
        let parted = active.poll_farewell(cx, &mut desks);
        if parted.is_ready() || is_closed || now >= until {
            return self.over();
        }
        self.state = State::Farewell(active, until);
        Step::Wait
    }

    /// All is done, as the user wanted.
    pub(super) fn over(&mut self) -> Step {
        self.connector.close();
        self.end(&Ended::Closed);
        Step::Over(Ok(()))
    }

    pub(super) fn give_up(&mut self, gave_up: GiveUp) -> Step {
        if gave_up.reason == CloseReason::ByUser {
            return self.over();
        }
        self.end(&Ended::GaveUp(gave_up.clone()));
        Step::Over(Err(gave_up))
    }

    pub(super) fn end(&mut self, ended: &Ended) {
        self.put_back();
        let flight = &mut self.flight;
        self.desk.with(|inside| {
            let book = &mut inside.book;
            flight.forget_all(&mut |id, fate| book.tell(id, fate));
            inside.end(ended);
        });
    }
}
