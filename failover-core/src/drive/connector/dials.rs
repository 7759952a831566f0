//! Dials in flight: begun, polled, ended by their deadline, answered to the machine.

use std::boxed::Box;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::attempt::AttemptId;
use crate::dial::{Dial, DialError, Trail};
use crate::directory::Target;
use crate::drive::clock::Clock;
use crate::drive::connector::gate::{Gate, Pass};
use crate::drive::connector::kept::Kept;
use crate::drive::connector::{Arrival, Connector, Established, Remains};
use crate::drive::error::DeadlinePassed;
use crate::drive::event::Link;
use crate::drive::leave::Leave;
use crate::drive::spans::DialSpan;
use crate::failure::Classify;
use crate::machine::{Answer, DialOrder, Input};
use crate::time::Time;

/// A dial that was ordered and has not ended.
pub(super) struct InFlight<D: Dial> {
    pub(super) order: DialOrder,
    pub(super) target: Target,
    pub(super) trail: Trail,
    pub(super) ordered: Time,
    pub(super) began: Time,
    pub(super) span: DialSpan,
    /// None until nothing holds it any more.
    pub(super) future: Option<DialFuture<D>>,
    /// Given back when the dial ends.
    pub(super) pass: Pass,
}

/// How many dials may end before other tasks of the runtime have their turn: a list of a million
/// servers, all of which refuse at once, must not keep them waiting.
const MOST_AT_ONCE: u32 = 32;

type DialFuture<D> =
    Pin<Box<dyn Future<Output = Result<<D as Dial>::Conn, <D as Dial>::Error>> + Send>>;

impl<D: Dial + 'static, C: Clock> Connector<D, C> {
    /// Polls every dial. News may start and cancel others, so that all are polled again after it: so
    /// often at most, where dials end at once, and then other tasks have their turn.
    pub(super) fn poll_dials(&mut self, cx: &mut Context<'_>) {
        let (mut at, mut ended) = (0, 0);
        while let Some(dial) = self.in_flight.get_mut(at) {
            let Some(future) = &mut dial.future else {
                match self.poll_gate(at, cx) {
                    Gate::Open => {}
                    Gate::Held => at += 1,
                    Gate::Gone => at = 0,
                }
                continue;
            };
            match dial.span.in_scope(|| future.as_mut().poll(cx)) {
                Poll::Pending => at += 1,
                Poll::Ready(outcome) => {
                    let dial = self.in_flight.remove(at);
                    self.dial_ended(dial, outcome);
                    at = 0;
                    ended += 1;
                    if ended == MOST_AT_ONCE {
                        cx.waker().wake_by_ref();
                        return;
                    }
                }
            }
        }
    }

    /// Drops the dials whose deadline has passed, and says in which phase they were.
    pub(super) fn end_late_dials(&mut self, now: Time) {
        while let Some(at) = self
            .in_flight
            .iter()
            .position(|dial| dial.future.is_some() && dial.order.deadline <= now)
        {
            let mut dial = self.in_flight.remove(at);
            let late = DeadlinePassed {
                after: dial.order.deadline.since(dial.began),
                phase: dial.trail.phase(),
                awaited: dial.trail.awaited(),
            };
            dial.future = None;
            let error = DialError::new(late);
            self.dial_failed(dial.order, dial.target, dial.trail, error);
        }
    }

    pub(super) fn dial_ended(&mut self, dial: InFlight<D>, outcome: Result<D::Conn, D::Error>) {
        let InFlight {
            order,
            target,
            trail,
            ..
        } = dial;
        match outcome {
            Err(error) => self.dial_failed(order, target, trail, DialError::new(error)),
            Ok(conn) => {
                self.learn(order.attempt, &trail);
                self.sharing.on_connection(target.endpoint().name());
                let link = Link {
                    id: order.attempt,
                    target: target.clone(),
                };
                if self.kept.capacity() == 0 {
                    self.kept.reserve_exact(1);
                }
                let established = Established {
                    conn,
                    link,
                    arrival: Arrival::First,
                    leave: Leave::default(),
                };
                self.kept.push(Kept::new(order.endpoint, established));
                let remains = Remains {
                    target,
                    trail,
                    failure: None,
                    error: None,
                };
                let input = Input::Connected {
                    attempt: order.attempt,
                };
                if self.feed(input, Some(remains)) != Answer::Taken {
                    self.drop_connection(order.attempt, None);
                }
            }
        }
    }

    pub(super) fn dial_failed(
        &mut self,
        order: DialOrder,
        target: Target,
        trail: Trail,
        error: DialError,
    ) {
        self.learn(order.attempt, &trail);
        let mut failure = error.failure();
        failure.phase = failure.phase.or(trail.phase());
        let input = Input::Failed {
            attempt: order.attempt,
            failure,
        };
        let remains = Remains {
            target,
            trail,
            failure: Some(failure),
            error: Some(error),
        };
        self.feed(input, Some(remains));
    }

    pub(super) fn learn(&mut self, attempt: AttemptId, trail: &Trail) {
        if let Some(security) = trail.security() {
            self.feed(Input::Learned { attempt, security }, None);
        }
    }

    pub(super) fn start_dial(&mut self, order: DialOrder, now: Time) {
        let Some(target) = self.target(order.endpoint, order.route) else {
            return;
        };
        if self.in_flight.capacity() == 0 {
            // Mostly it stays the only one.
            self.in_flight.reserve_exact(1);
        }
        self.in_flight.push(InFlight {
            ordered: now,
            began: now,
            span: self.spans.dial(&order, &target),
            order,
            target,
            trail: Trail::default(),
            future: None,
            pass: Pass::default(),
        });
        // It begins at once, or at its next poll asks who must be asked.
        if !self.sharing.has_gate() {
            self.begin_dial(self.in_flight.len() - 1, now);
        }
    }
}
