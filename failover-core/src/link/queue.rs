//! Messages that were accepted and not yet handed to a transport.

use alloc::collections::VecDeque;
use core::fmt;

use thiserror::Error;

use crate::link::message::{Dropped, Entry, Fate, MessageId};
use crate::link::policy::{LinkPolicy, Outbox, Overflow};
use crate::link::shrink;
use crate::time::{Time, nanos};

/// The outbox: messages that were accepted and not yet handed to a transport.
///
/// # The bound
/// Sizes are counted before a message is accepted. Messages that were [taken](Self::take) go on to
/// count until they are [released](Self::release): the bound covers what is accepted and not handed
/// over, wherever it lies, and is never overshot.
///
/// ```
/// use failover_core::link::{LinkPolicy, Outbox, Queue, Refusal};
/// use failover_core::time::Time;
///
/// let policy = LinkPolicy::OFF.outbox(Outbox::Keep { bytes: 10 });
/// let mut queue = Queue::new(&policy);
/// let mut told = |_, _| {};
/// let first = queue.push("six...", 6, Time::ZERO, &mut told).unwrap();
/// let refused = queue.push("five.", 5, Time::ZERO, &mut told).unwrap_err();
/// assert_eq!((refused.message, refused.refusal), ("five.", Refusal::Full));
///
/// queue.handle_connected();
/// let entry = queue.take().unwrap();
/// assert_eq!((entry.id, entry.message, queue.bytes()), (first, "six...", 6));
/// queue.release(1, entry.size);
/// assert_eq!(queue.bytes(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct Queue<M> {
    outbox: Outbox,
    overflow: Overflow,
    most_bytes: u64,
    most_messages: u32,
    /// Nanoseconds; `u64::MAX` is any.
    age: u64,
    state: State,
    waiting: VecDeque<Entry<M>>,
    /// Of those that wait.
    waiting_bytes: u64,
    /// Accepted and not released: those that wait, and those that were taken.
    bytes: u64,
    messages: u32,
    accepted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Up,
    /// Nothing more is accepted; what is there goes out. `Up` beside it.
    Closing,
    ClosingUp,
}

/// A message that was not accepted, and why.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[error("{refusal}")]
#[non_exhaustive]
pub struct Refused<M> {
    /// The message, handed back.
    pub message: M,
    /// Why.
    pub refusal: Refusal,
}

impl<M> Refused<M> {
    /// This message, refused for this reason.
    #[must_use]
    pub const fn new(message: M, refusal: Refusal) -> Self {
        Self { message, refusal }
    }
}

impl<M> fmt::Debug for Refused<M> {
    /// Without the message: it may hold what belongs in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It would not even fit into the empty outbox.
    #[error("the message has {size} bytes, the outbox holds {most}: it can never be sent")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The most that could be.
        most: u64,
    },
    /// There is no room for it now.
    #[error("the outbox is full: wait until messages have gone out, or give it more room")]
    Full,
    /// As many requests await their answers as may.
    #[error(
        "too many requests await their answers: wait for some, or allow more (`Bounds::messages`)"
    )]
    Unanswered,
    /// There is no connection, and without one nothing is kept.
    #[error("there is no connection, and the outbox keeps nothing without one")]
    NoConnection,
    /// The link drains or is closed.
    #[error("the link is closed")]
    Closed,
    /// The protocol cannot send it.
    #[error("the protocol cannot send this message: {why}")]
    Invalid {
        /// What is wrong with it.
        why: &'static str,
    },
}

impl<M> Queue<M> {
    /// An empty one, without a connection.
    #[must_use]
    pub fn new(policy: &LinkPolicy) -> Self {
        Self {
            outbox: policy.outbox,
            overflow: policy.bounds.overflow,
            most_bytes: policy.bytes(),
            most_messages: policy.bounds.messages,
            age: policy.bounds.age.map_or(u64::MAX, nanos),
            state: State::Down,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            bytes: 0,
            messages: 0,
            accepted: 0,
        }
    }

    /// Accepts a message, or says why not and hands it back. Older ones that leave for it are told.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn push(
        &mut self,
        message: M,
        size: u64,
        now: Time,
        tell: &mut impl FnMut(MessageId, Fate),
    ) -> Result<MessageId, Refused<M>> {
        if let Err(refusal) = self.admit(size, tell) {
            return Err(Refused { message, refusal });
        }
        self.accepted += 1;
        self.waiting_bytes += size;
        self.bytes += size;
        self.messages += 1;
        let id = MessageId::new(self.accepted);
        self.waiting.push_back(Entry {
            id,
            size,
            at: now,
            message,
        });
        Ok(id)
    }

    /// The oldest message, for the connection that stands. It counts until it is
    /// [released](Self::release).
    pub fn take(&mut self) -> Option<Entry<M>> {
        match self.state {
            State::Up | State::ClosingUp => self.pop(),
            State::Down | State::Closing => None,
        }
    }

    /// Messages that were taken, so many with so many bytes, were handed over or dropped.
    pub fn release(&mut self, messages: u32, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.messages = self.messages.saturating_sub(messages);
    }

    /// These messages were taken and not handed over: they come first again, in this order.
    pub fn put_back(&mut self, entries: impl DoubleEndedIterator<Item = Entry<M>>) {
        for entry in entries.rev() {
            self.waiting_bytes += entry.size;
            self.waiting.push_front(entry);
        }
    }

    /// A connection stands: messages may be taken.
    pub fn handle_connected(&mut self) {
        self.state = match self.state {
            State::Down | State::Up => State::Up,
            State::Closing | State::ClosingUp => State::ClosingUp,
        };
    }

    /// It is no more. [Put back](Self::put_back) first what was taken and not handed over. If nothing is
    /// kept without a connection, what waits is dropped and told.
    pub fn handle_lost(&mut self, tell: &mut impl FnMut(MessageId, Fate)) {
        self.state = match self.state {
            State::Down | State::Up => State::Down,
            State::Closing | State::ClosingUp => State::Closing,
        };
        if self.outbox == Outbox::Off {
            self.drop_all(Dropped::NoConnection, tell);
        }
    }

    /// Accepts nothing more; what waits may still go out.
    pub fn close(&mut self) {
        self.state = match self.state {
            State::Down | State::Closing => State::Closing,
            State::Up | State::ClosingUp => State::ClosingUp,
        };
    }

    /// Drops and tells this message, if it still waits: nobody wants it sent any more.
    pub fn withdraw(&mut self, id: MessageId, tell: &mut impl FnMut(MessageId, Fate)) {
        let at = self.waiting.binary_search_by_key(&id, |entry| entry.id);
        if let Some(entry) = at.ok().and_then(|at| self.waiting.remove(at)) {
            self.waiting_bytes -= entry.size;
            self.release(1, entry.size);
            tell(id, Fate::Dropped(Dropped::Withdrawn));
        }
    }

    /// Drops all that waits, and tells it.
    pub fn drop_all(&mut self, why: Dropped, tell: &mut impl FnMut(MessageId, Fate)) {
        while self.drop_first(why, tell) {}
    }

    /// Drops and tells what is too old.
    pub fn expire(&mut self, now: Time, tell: &mut impl FnMut(MessageId, Fate)) {
        while self.next_wake().is_some_and(|at| at <= now) {
            self.drop_first(Dropped::Age, tell);
        }
    }

    /// When the oldest message that waits will be too old.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        let at = self.waiting.front()?.at.after(self.age);
        (at != Time::MAX).then_some(at)
    }

    /// The oldest message that waits.
    #[must_use]
    pub fn front(&self) -> Option<&Entry<M>> {
        self.waiting.front()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The bytes of all that was accepted and neither handed over nor dropped.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many these are.
    #[must_use]
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// How many messages were ever accepted: the number of the latest.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    fn admit(&mut self, size: u64, tell: &mut impl FnMut(MessageId, Fate)) -> Result<(), Refusal> {
        let most = self.most_bytes;
        if size > most {
            return Err(Refusal::TooLarge { size, most });
        }
        match (self.state, self.outbox) {
            (State::Closing | State::ClosingUp, _) => return Err(Refusal::Closed),
            (State::Down, Outbox::Off | Outbox::Wait { .. }) => return Err(Refusal::NoConnection),
            (State::Down, Outbox::Keep { .. }) | (State::Up, _) => {}
        }
        if self.has_room(size) {
            return Ok(());
        }
        match self.overflow {
            Overflow::DropOldest if self.would_have_room(size) => {
                while !self.has_room(size) {
                    self.drop_first(Dropped::Overflow, tell);
                }
                Ok(())
            }
            Overflow::DropOldest | Overflow::Reject | Overflow::Wait { .. } => Err(Refusal::Full),
        }
    }

    fn has_room(&self, size: u64) -> bool {
        self.messages < self.most_messages && size <= self.most_bytes - self.bytes
    }

    /// If all that waits were dropped. What was taken stays: part of it may be on the wire.
    fn would_have_room(&self, size: u64) -> bool {
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        size <= self.most_bytes - (self.bytes - self.waiting_bytes)
            && self.messages.saturating_sub(waiting) < self.most_messages
    }

    fn pop(&mut self) -> Option<Entry<M>> {
        let entry = self.waiting.pop_front()?;
        self.waiting_bytes -= entry.size;
        shrink(&mut self.waiting);
        Some(entry)
    }

    /// Whether there was one.
    fn drop_first(&mut self, why: Dropped, tell: &mut impl FnMut(MessageId, Fate)) -> bool {
        let Some(entry) = self.pop() else {
            return false;
        };
        self.release(1, entry.size);
        tell(entry.id, Fate::Dropped(why));
        true
    }
}
