//! The user's half of a link.

use std::boxed::Box;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker, ready};

use crate::drive::Handle;
use crate::link::{Bounds, LinkPolicy, MessageId, Refused, Reply};
use crate::messaging::book::NoAnswer;
use crate::messaging::desk::{Desk, Follow, Hours, Parcel, Wanted};
use crate::messaging::error::{Ended, FlushError, RequestError};
use crate::messaging::inbox::{Inbox, Room};
use crate::messaging::news::{LinkCounters, News};
use crate::messaging::protocol::Protocol;
use crate::messaging::waiters::{Asked, AtEnd, Flush, Row, RowAnswer, Ticket};
use crate::time::Time;

/// The user's half of a link: sends, asks, flushes. Clones share the link; when the last one is dropped
/// it closes.
///
/// **No call waits for a dial**, unless the policy says that a sender waits
/// ([`Outbox::Wait`](crate::link::Outbox), [`Overflow::Wait`](crate::link::Overflow)) or the call is there for it ([`flush`](Self::flush),
/// [`request`](Self::request), [`drain`](Self::drain)). Made by [`open`](crate::messaging::open).
pub struct Link<P: Protocol> {
    owner: Arc<Owner<P>>,
}

/// Its end closes the link.
struct Owner<P: Protocol> {
    desk: Arc<Desk<P>>,
    protocol: Arc<P>,
    hours: Arc<dyn Hours>,
    handle: Handle,
    policy: LinkPolicy,
}

/// A message, and its size.
type Measured<M> = (Parcel<M>, u64);

impl<P: Protocol> Link<P> {
    pub(super) fn new(
        desk: Arc<Desk<P>>,
        protocol: Arc<P>,
        hours: Arc<dyn Hours>,
        handle: Handle,
        policy: LinkPolicy,
    ) -> Self {
        let owner = Owner {
            desk,
            protocol,
            hours,
            handle,
            policy,
        };
        Self {
            owner: Arc::new(owner),
        }
    }

    /// Accepts a message, or refuses it: at once. Its number is told in [`News`] if it is lost.
    ///
    /// # Errors
    /// Why it was not accepted, with the message.
    pub fn try_send(&self, message: P::Message) -> Result<MessageId, Refused<P::Message>> {
        self.push(message, Follow::Nobody)
    }

    /// Accepts a message. Waits for room or for a connection where the policy says so
    /// ([`Overflow::Wait`](crate::link::Overflow), [`Outbox::Wait`](crate::link::Outbox)): this is the back-pressure. Those who wait are served in the
    /// order in which they came.
    ///
    /// # Cancel safety
    /// A dropped future has not sent its message.
    ///
    /// # Errors
    /// Why it was not accepted, with the message.
    pub async fn send(&self, message: P::Message) -> Result<MessageId, Refused<P::Message>> {
        self.wait_and_push(message, Follow::Nobody).await
    }

    /// The same as [`try_send`](Self::try_send), with a ticket to follow the message.
    ///
    /// # Errors
    /// Why it was not accepted, with the message.
    pub fn try_send_tracked(&self, message: P::Message) -> Result<Ticket<P>, Refused<P::Message>> {
        let id = self.push(message, Follow::Ticket)?;
        Ok(self.ticket(id))
    }

    /// The same as [`send`](Self::send), with a ticket to follow the message.
    ///
    /// # Cancel safety
    /// A dropped future has not sent its message.
    ///
    /// # Errors
    /// Why it was not accepted, with the message.
    pub async fn send_tracked(
        &self,
        message: P::Message,
    ) -> Result<Ticket<P>, Refused<P::Message>> {
        let id = self.wait_and_push(message, Follow::Ticket).await?;
        Ok(self.ticket(id))
    }

    /// Sends a message and waits for its answer: as long as the policy says ([`Reply`], counted from
    /// its acceptance; for ever by default). A loss of the connection that it was sent over ends the wait
    /// at once unless the policy lets it go on ([`AtLoss`](crate::link::AtLoss)). No more requests await their
    /// answers at a time than [`Bounds::messages`](crate::link::Bounds::messages) says; one more is refused, or
    /// waits for its turn, like a message for which the outbox has no room.
    ///
    /// # Cancel safety
    /// A dropped future awaits the answer no more, and a message that still waits in the outbox is not sent any
    /// more; one that was handed to the transport may be answered, which is told as
    /// [`News::Unexpected`](crate::messaging::News::Unexpected).
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn request(&self, message: P::Message) -> Result<P::Reply, RequestError<P::Message>> {
        let id = self
            .wait_and_push(message, Follow::Answer)
            .await
            .map_err(RequestError::Refused)?;
        let asked = Asked::new(&self.owner.desk, id);
        let outcome = poll_fn(|cx| asked.poll(cx)).await;
        outcome.map_err(|why| match why {
            NoAnswer::Dropped(why) => RequestError::Dropped(why),
            NoAnswer::Unsendable(why) => RequestError::Unsendable(why),
            NoAnswer::Refused => RequestError::RefusedByPeer,
            NoAnswer::Lost(failure) => RequestError::Lost(failure),
            NoAnswer::Late => RequestError::Late,
            NoAnswer::Ended(ended) => RequestError::Ended(ended),
        })
    }

    /// Waits until all that was accepted so far was handed over, confirmed where that was asked for, and
    /// the peer has answered a ping sent after it, where the protocol has one. A loss meanwhile ends the
    /// wait at once, unless the policy lets it go on ([`AtLoss`](crate::link::AtLoss)).
    ///
    /// Without a connection it waits for one. What was handed to a connection that was left or lost before counts
    /// as handed over: that the peer read it only an [`Assurance`](crate::link::Assurance) or an answer proves.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    ///
    /// # Errors
    /// When the connection was lost meanwhile, or the link is over.
    pub async fn flush(&self) -> Result<(), FlushError> {
        let flushing = Flush::new(&self.owner.desk);
        poll_fn(|cx| flushing.poll(cx)).await
    }

    /// Accepts nothing more, finishes what is queued, awaited, asked and flushed, says goodbye and closes: it
    /// reads on until the peer ends the connection, too, for up to 5 s, so that nothing written last is lost on
    /// its way. Without a connection, what is kept waits for one: bound it with a timeout, and
    /// [`close`](Self::close).
    ///
    /// # Cancel safety
    /// It goes on draining when the future is dropped.
    ///
    /// # Errors
    /// When it ended otherwise than by being closed; what was not sent is told as dropped.
    pub async fn drain(&self) -> Result<(), Ended> {
        self.owner.desk.want(Wanted::Drained);
        match self.ended().await {
            Ended::Closed => Ok(()),
            ended @ (Ended::GaveUp(_) | Ended::NoDriver) => Err(ended),
        }
    }

    /// Drops what is queued, says goodbye as far as that can be written at once, and closes.
    pub fn close(&self) {
        self.owner.desk.want(Wanted::Closed);
    }

    /// Why the link is over, once it is.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn ended(&self) -> Ended {
        let waiting = AtEnd::new(&self.owner.desk);
        poll_fn(|cx| waiting.poll(cx)).await
    }

    /// A reader of what becomes of messages from now on. It keeps the latest 1024 and counts what it
    /// dropped.
    #[must_use]
    pub fn news(&self) -> Inbox<News<P::Error>> {
        let room = Room {
            items: 1024,
            bytes: usize::MAX,
        };
        self.owner.desk.with(|inside| inside.book.reader(room))
    }

    /// What it has done.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        self.owner.desk.with(|inside| LinkCounters {
            queued: u64::from(inside.queue.messages()),
            queued_bytes: inside.queue.bytes(),
            ..inside.book.counters
        })
    }

    /// Has the session asked what it owes ([`Session::control`](crate::messaging::Session::control)): call
    /// it after a change of the subscriptions.
    pub fn nudge(&self) {
        self.owner.desk.with(|inside| inside.wake_driver());
    }

    /// A waker that does the same, for an [`inbox`](crate::messaging::inbox). It does not keep the link
    /// open.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.owner.desk))
    }

    /// The protocol, with what it keeps.
    #[must_use]
    pub fn protocol(&self) -> &P {
        &self.owner.protocol
    }

    /// Controls the connector below: reconnect, pause, the list of servers. (Its `close` closes without a
    /// goodbye.)
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.owner.handle.clone()
    }

    fn ticket(&self, id: MessageId) -> Ticket<P> {
        Ticket::new(Arc::clone(&self.owner.desk), id)
    }

    fn push(&self, message: P::Message, follow: Follow) -> Result<MessageId, Refused<P::Message>> {
        let (parcel, size) = self.parcel(message)?;
        let now = self.now(follow);
        let desk = &self.owner.desk;
        desk.with(|inside| inside.push(parcel, size, follow, now))
            .map_err(Parcel::unpack)
    }

    fn parcel(&self, message: P::Message) -> Result<Measured<P::Message>, Refused<P::Message>> {
        let protocol = &self.owner.protocol;
        if let Err(refusal) = protocol.check(&message) {
            return Err(Refused::new(message, refusal));
        }
        let size = u64::try_from(protocol.size(&message)).unwrap_or(u64::MAX);
        let assurance = protocol.assurance(&message);
        Ok((Parcel { message, assurance }, size))
    }

    /// The time, where something is measured from it.
    fn now(&self, follow: Follow) -> Time {
        let Bounds { age, .. } = self.owner.policy.bounds;
        let matters =
            age.is_some() || (follow == Follow::Answer && self.owner.policy.reply != Reply::Off);
        match matters {
            true => self.owner.hours.now(),
            false => Time::ZERO,
        }
    }

    async fn wait_and_push(
        &self,
        message: P::Message,
        follow: Follow,
    ) -> Result<MessageId, Refused<P::Message>> {
        let (parcel, size) = self.parcel(message)?;
        let mut row = Row::new(&self.owner.desk, &self.owner.policy, parcel, size, follow);
        let hours = &self.owner.hours;
        let mut patience: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
        poll_fn(|cx| {
            let most = match row.poll(self.now(follow), cx) {
                RowAnswer::Done(outcome) => return Poll::Ready(outcome),
                RowAnswer::Wait { most: None } => return Poll::Pending,
                RowAnswer::Wait { most: Some(most) } => most,
            };
            let patience = patience.get_or_insert_with(|| hours.sleep_until(hours.now() + most));
            ready!(patience.as_mut().poll(cx));
            match row.give_up() {
                Some(refused) => Poll::Ready(Err(refused)),
                None => Poll::Pending,
            }
        })
        .await
    }
}

impl<P: Protocol> Clone for Link<P> {
    fn clone(&self) -> Self {
        Self {
            owner: Arc::clone(&self.owner),
        }
    }
}

impl<P: Protocol> Drop for Owner<P> {
    fn drop(&mut self) {
        self.desk.want(Wanted::Closed);
    }
}

impl<P: Protocol> fmt::Debug for Link<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("handle", &self.owner.handle)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}
