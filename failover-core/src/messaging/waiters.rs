//! Who waits for something of the driver: for room, an answer, a flush, the end, a fate.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::link::{Fate, LinkPolicy, MessageId, Outbox, Overflow, Refusal, Refused};
use crate::messaging::book::NoAnswer;
use crate::messaging::desk::{Desk, Follow, Inside, Parcel};
use crate::messaging::error::{Ended, FlushError};
use crate::messaging::protocol::Protocol;
use crate::time::Time;

/// Follows one message.
///
/// ```
/// # use failover_core::link::Fate;
/// # use failover_core::messaging::{Protocol, Ticket};
/// async fn is_confirmed<P: Protocol>(ticket: Ticket<P>) -> bool {
///     ticket.settled().await == Fate::Confirmed
/// }
/// ```
pub struct Ticket<P: Protocol> {
    desk: Arc<Desk<P>>,
    id: MessageId,
}

impl<P: Protocol> Ticket<P> {
    pub(super) fn new(desk: Arc<Desk<P>>, id: MessageId) -> Self {
        Self { desk, id }
    }

    /// The message's number.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// What became of it so far.
    #[must_use]
    pub fn fate(&self) -> Fate {
        let fate = self.desk.with(|inside| {
            let followed = inside.book.tickets.get(self.id);
            followed.map(|followed| followed.fate)
        });
        fate.unwrap_or(Fate::Queued)
    }

    /// What became of it, once that is [settled](Fate::is_settled).
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn settled(&self) -> Fate {
        poll_fn(|cx| {
            self.desk.with(|inside| {
                let Some(followed) = inside.book.tickets.get_mut(self.id) else {
                    return Poll::Ready(Fate::Queued);
                };
                if followed.fate.is_settled() {
                    return Poll::Ready(followed.fate);
                }
                followed.waker = Some(cx.waker().clone());
                Poll::Pending
            })
        })
        .await
    }
}

impl<P: Protocol> Drop for Ticket<P> {
    fn drop(&mut self) {
        self.desk.with(|inside| inside.book.tickets.remove(self.id));
    }
}

impl<P: Protocol> fmt::Debug for Ticket<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("id", &self.id)
            .field("fate", &self.fate())
            .finish()
    }
}

/// Somebody with a message for which there is no room yet.
pub(super) struct Row<'a, P: Protocol> {
    desk: &'a Desk<P>,
    policy: &'a LinkPolicy,
    parcel: Option<Parcel<P::Message>>,
    size: u64,
    follow: Follow,
    /// The place in the row, and why it stands there.
    place: Option<u64>,
    refusal: Refusal,
}

/// What became of the message at the head of a row.
pub(super) enum RowAnswer<M> {
    Done(Result<MessageId, Refused<M>>),
    /// It waits, this long at most.
    Wait {
        most: Option<Duration>,
    },
}

impl<'a, P: Protocol> Row<'a, P> {
    pub(super) fn new(
        desk: &'a Desk<P>,
        policy: &'a LinkPolicy,
        parcel: Parcel<P::Message>,
        size: u64,
        follow: Follow,
    ) -> Self {
        Self {
            desk,
            policy,
            parcel: Some(parcel),
            size,
            follow,
            place: None,
            refusal: match policy.bounds.overflow {
                Overflow::Wait { .. } => Refusal::Full,
                Overflow::Reject | Overflow::DropOldest => Refusal::NoConnection,
            },
        }
    }

    pub(super) fn poll(&mut self, now: Time, cx: &mut Context<'_>) -> RowAnswer<P::Message> {
        let desk = self.desk;
        desk.with(|inside| self.poll_inside(inside, now, cx))
    }

    fn poll_inside(
        &mut self,
        inside: &mut Inside<P>,
        now: Time,
        cx: &mut Context<'_>,
    ) -> RowAnswer<P::Message> {
        let is_turn = match self.place {
            Some(place) => inside.is_first(place),
            None => !inside.someone_waits(),
        };
        if let Some(parcel) = self.parcel.take_if(|_| is_turn || inside.is_closing()) {
            match inside.push(parcel, self.size, self.follow, now) {
                Ok(id) => return RowAnswer::Done(Ok(id)),
                Err(refused) if self.patience(refused.refusal).is_some() => {
                    self.refusal = refused.refusal;
                    self.parcel = Some(refused.message);
                }
                Err(refused) => return RowAnswer::Done(Err(Parcel::unpack(refused))),
            }
        }
        self.place = Some(inside.wait_in_row(self.place, cx.waker()));
        RowAnswer::Wait {
            most: self.patience(self.refusal).flatten(),
        }
    }

    /// It has waited long enough.
    pub(super) fn give_up(&mut self) -> Option<Refused<P::Message>> {
        let parcel = self.parcel.take()?;
        Some(Refused::new(parcel.message, self.refusal))
    }

    /// Whether a sender waits when it is refused for this reason, and how long.
    fn patience(&self, refusal: Refusal) -> Option<Option<Duration>> {
        match refusal {
            Refusal::Full => match self.policy.bounds.overflow {
                Overflow::Wait { most } => Some(most),
                Overflow::Reject | Overflow::DropOldest => None,
            },
            Refusal::NoConnection => match self.policy.outbox {
                Outbox::Wait { most } => Some(most),
                Outbox::Off | Outbox::Keep { .. } => None,
            },
            // Room for it is nothing that a sender behind it could make by waiting.
            Refusal::Unanswered
            | Refusal::TooLarge { .. }
            | Refusal::Closed
            | Refusal::Invalid { .. } => None,
        }
    }
}

impl<P: Protocol> Drop for Row<'_, P> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.desk.with(|inside| inside.leave_row(place));
        }
    }
}

/// Somebody who awaits an answer.
pub(super) struct Asked<'a, P: Protocol> {
    desk: &'a Desk<P>,
    id: MessageId,
}

impl<'a, P: Protocol> Asked<'a, P> {
    pub(super) fn new(desk: &'a Desk<P>, id: MessageId) -> Self {
        Self { desk, id }
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<P::Reply, NoAnswer>> {
        self.desk.with(|inside| {
            let Some(answer) = inside.book.answers.get_mut(self.id) else {
                return Poll::Ready(Err(NoAnswer::Late));
            };
            match answer.outcome.take() {
                Some(outcome) => Poll::Ready(outcome),
                None => {
                    answer.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }
}

impl<P: Protocol> Drop for Asked<'_, P> {
    fn drop(&mut self) {
        let unread = self.desk.with(|inside| {
            if inside.book.requests.remove(self.id) {
                inside.withdraw(self.id);
            }
            // A drain may have waited for it.
            inside.wake_driver();
            inside.book.answers.remove(self.id)
        });
        drop(unread);
    }
}

/// Somebody who flushes.
pub(super) struct Flush<'a, P: Protocol> {
    desk: &'a Desk<P>,
    number: u64,
}

impl<'a, P: Protocol> Flush<'a, P> {
    pub(super) fn new(desk: &'a Desk<P>) -> Self {
        let number = desk.with(Inside::flush);
        Self { desk, number }
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<(), FlushError>> {
        self.desk.with(|inside| {
            let Some(flushing) = inside.flushes.get_mut(self.number) else {
                return Poll::Ready(Err(Ended::Closed.into()));
            };
            match flushing.outcome.take() {
                Some(outcome) => Poll::Ready(outcome),
                None => {
                    flushing.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }
}

impl<P: Protocol> Drop for Flush<'_, P> {
    fn drop(&mut self) {
        self.desk.with(|inside| inside.flushes.remove(self.number));
    }
}

/// Somebody who waits for the end of the link.
pub(super) struct AtEnd<'a, P: Protocol> {
    desk: &'a Desk<P>,
    number: u64,
}

impl<'a, P: Protocol> AtEnd<'a, P> {
    pub(super) fn new(desk: &'a Desk<P>) -> Self {
        let number = desk.with(Inside::number);
        Self { desk, number }
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.desk.with(|inside| match inside.ended() {
            Some(ended) => Poll::Ready(ended),
            None => {
                inside.wait_for_end(self.number, cx.waker());
                Poll::Pending
            }
        })
    }
}

impl<P: Protocol> Drop for AtEnd<'_, P> {
    fn drop(&mut self) {
        self.desk
            .with(|inside| inside.stop_waiting_for_end(self.number));
    }
}
