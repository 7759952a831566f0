//! Answers and confirmations that are overdue.

use crate::dial::Dial;
use crate::drive::Clock;
use crate::link::Late;
use crate::messaging::book::NoAnswer;
use crate::messaging::driver::LinkDriver;
use crate::messaging::error::LinkError;
use crate::messaging::news::News;
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
    /// What was handed over and is overdue, if that is a fault of the connection. A request is judged first,
    /// and its message with it: both are one report.
    pub(super) fn judge_late(&mut self, now: Time) -> Result<(), LinkError<P::Error>> {
        self.judge_late_requests(now)?;
        let flight = &mut self.flight;
        let late = self.desk.with(|inside| {
            let book = &mut inside.book;
            while let Some((id, late)) = flight.poll_late(now, &mut |id, fate| book.tell(id, fate))
            {
                book.counters.late += 1;
                match late {
                    Late::Fault => return Some(id),
                    Late::Report => book.publish(News::Late { id }),
                    Late::Discard => {}
                }
            }
            None
        });
        match late {
            Some(id) => Err(LinkError::Late { id }),
            None => Ok(()),
        }
    }

    /// The same of requests.
    pub(super) fn judge_late_requests(&mut self, now: Time) -> Result<(), LinkError<P::Error>> {
        let heard = self.still_heard();
        let flight = &mut self.flight;
        let fault = self.desk.with(|inside| {
            let unsent = inside.queue.front().map(|entry| entry.id);
            // One that was not even sent, or went over an earlier connection, is no fault of this one.
            let is_of_this_one = |id| {
                unsent.is_none_or(|unsent| id < unsent) && heard.is_none_or(|heard| id > heard)
            };
            let mut fault = None;
            while let Some((id, late)) = inside.book.requests.poll_late(now) {
                inside.book.fail(id, NoAnswer::Late);
                inside.withdraw(id);
                let book = &mut inside.book;
                flight.handle_late(id, now, &mut |id, fate| book.tell(id, fate));
                book.counters.late += 1;
                match late {
                    Late::Fault if is_of_this_one(id) => fault = Some(id),
                    Late::Fault | Late::Report => book.publish(News::Late { id }),
                    Late::Discard => {}
                }
            }
            fault
        });
        match fault {
            Some(id) => Err(LinkError::Late { id }),
            None => Ok(()),
        }
    }
}
