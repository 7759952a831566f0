//! What the user's half and the driver share.

use std::boxed::Box;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::vec::Vec;

use crate::drive::Clock;
use crate::failure::Failure;
use crate::link::{
    Assurance, AtLoss, Dropped, Fate, Handed, LinkPolicy, MessageId, Queue, Refusal, Refused,
    Requests,
};
use crate::messaging::book::{Answer, Book, Followed, NoAnswer};
use crate::messaging::error::{Ended, FlushError};
use crate::messaging::protocol::Protocol;
use crate::numbered::Numbered;
use crate::time::Time;

/// Shared by both halves; locked only to push or take, never across a protocol's code.
pub(super) struct Desk<P: Protocol>(Mutex<Inside<P>>);

pub(super) struct Inside<P: Protocol> {
    pub(super) queue: Queue<Parcel<P::Message>>,
    pub(super) book: Book<P>,
    /// Who flushes, in the order of their numbers.
    pub(super) flushes: Numbered<u64, Flushing>,
    /// Who waits for room, in the order of arrival.
    senders: Numbered<u64, Option<Waker>>,
    /// The last number given to a flush or a waiting sender.
    numbers: u64,
    /// So many requests may await their answers.
    most_requests: usize,
    driver: Option<Waker>,
    pub(super) wanted: Wanted,
    ended: Option<Ended>,
    /// Who waits for the end.
    at_end: Numbered<u64, Waker>,
}

/// A message, and whether its confirmation is wanted.
pub(super) struct Parcel<M> {
    pub(super) message: M,
    pub(super) assurance: Assurance,
}

impl<M> Parcel<M> {
    pub(super) fn unpack(refused: Refused<Self>) -> Refused<M> {
        Refused::new(refused.message.message, refused.refusal)
    }
}

/// What the user wants of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    Open,
    /// Finish what is queued, then close.
    Drained,
    Closed,
}

/// A flush of all messages up to a mark.
pub(super) struct Flushing {
    pub(super) mark: MessageId,
    pub(super) outcome: Option<Result<(), FlushError>>,
    pub(super) waker: Option<Waker>,
}

/// Who follows a message that is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Nobody,
    Ticket,
    Answer,
}

impl<P: Protocol> Desk<P> {
    pub(super) fn new(policy: &LinkPolicy) -> Self {
        Self(Mutex::new(Inside {
            queue: Queue::new(policy),
            book: Book::new(Requests::new(policy)),
            flushes: Numbered::new(),
            senders: Numbered::new(),
            numbers: 0,
            most_requests: usize::try_from(policy.bounds.messages).unwrap_or(usize::MAX),
            driver: None,
            wanted: Wanted::Open,
            ended: None,
            at_end: Numbered::new(),
        }))
    }

    /// Does something under the lock, then wakes whom it concerns.
    pub(super) fn with<R>(&self, then: impl FnOnce(&mut Inside<P>) -> R) -> R {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = then(&mut inside);
        Self::leave(inside);
        result
    }

    fn leave(mut inside: MutexGuard<'_, Inside<P>>) {
        inside.book.publish_gone();
        let wakes = core::mem::take(&mut inside.book.wakes);
        drop(inside);
        for waker in wakes {
            waker.wake();
        }
    }

    /// Has it drained or closed.
    pub(super) fn want(&self, wanted: Wanted) {
        self.with(|inside| {
            inside.wanted = inside.wanted.max(wanted);
            inside.queue.close();
            inside.wake_senders();
            if wanted == Wanted::Closed {
                let book = &mut inside.book;
                inside
                    .queue
                    .drop_all(Dropped::Closed, &mut |id, fate| book.tell(id, fate));
            }
            inside.wake_driver();
        });
    }
}

impl<P: Protocol> Wake for Desk<P> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.with(Inside::wake_driver);
    }
}

impl<P: Protocol> Inside<P> {
    /// Leaves a waker for the driver.
    pub(super) fn listen(&mut self, driver: &Waker) {
        match &mut self.driver {
            Some(present) => present.clone_from(driver),
            absent => *absent = Some(driver.clone()),
        }
    }

    pub(super) fn wake_driver(&mut self) {
        self.book.wakes.extend(self.driver.take());
    }

    /// Accepts a message.
    pub(super) fn push(
        &mut self,
        parcel: Parcel<P::Message>,
        size: u64,
        follow: Follow,
        now: Time,
    ) -> Result<MessageId, Refused<Parcel<P::Message>>> {
        if follow == Follow::Answer && !self.is_closing() && !self.has_room_for_request() {
            return Err(Refused::new(parcel, Refusal::Unanswered));
        }
        let book = &mut self.book;
        let id = self
            .queue
            .push(parcel, size, now, &mut |id, fate| book.tell(id, fate))?;
        self.book.counters.accepted += 1;
        match follow {
            Follow::Nobody => {}
            Follow::Ticket => {
                let followed = Followed {
                    fate: Fate::Queued,
                    waker: None,
                };
                self.book.tickets.insert(id, followed);
            }
            Follow::Answer => {
                let answer = Answer {
                    outcome: None,
                    waker: None,
                };
                self.book.answers.insert(id, answer);
                self.book.requests.insert(id, now);
            }
        }
        self.wake_driver();
        Ok(id)
    }

    /// Answers that came and were not fetched count, too.
    fn has_room_for_request(&self) -> bool {
        self.book.answers.len() < self.most_requests
    }

    /// Nobody wants the answer to this message any more: if it was not sent, it is not.
    pub(super) fn withdraw(&mut self, id: MessageId) {
        let before = self.queue.messages();
        let book = &mut self.book;
        self.queue.withdraw(id, &mut |id, fate| book.tell(id, fate));
        if self.queue.messages() < before {
            self.wake_sender();
        }
    }

    /// These messages were handed over: others have their room.
    pub(super) fn release(&mut self, handed: Handed) {
        if handed.messages > 0 {
            self.queue.release(handed.messages, handed.bytes);
            self.wake_sender();
        }
    }

    /// There may be room now, or a connection: the first who waits tries.
    pub(super) fn wake_sender(&mut self) {
        if self.senders.is_empty() {
            return;
        }
        if let Some((_, sender)) = self.senders.iter_mut().next() {
            self.book.wakes.extend(sender.take());
        }
    }

    /// Nothing more will be accepted: all who wait are to go.
    fn wake_senders(&mut self) {
        for (_, sender) in self.senders.iter_mut() {
            self.book.wakes.extend(sender.take());
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.wanted != Wanted::Open || self.ended.is_some()
    }

    pub(super) fn is_first(&self, number: u64) -> bool {
        self.senders.first().map(|(first, _)| first) == Some(number)
    }

    pub(super) fn someone_waits(&self) -> bool {
        !self.senders.is_empty()
    }

    /// Waits in the row, at its place or at the end. Which place that is.
    pub(super) fn wait_in_row(&mut self, place: Option<u64>, waker: &Waker) -> u64 {
        let place = place.unwrap_or_else(|| self.number());
        self.senders.insert(place, Some(waker.clone()));
        place
    }

    pub(super) fn leave_row(&mut self, number: u64) {
        self.senders.remove(number);
        self.wake_sender();
    }

    /// Asks for a flush of all that was accepted.
    pub(super) fn flush(&mut self) -> u64 {
        let number = self.number();
        let flushing = Flushing {
            mark: MessageId::new(self.queue.accepted()),
            outcome: self.ended.clone().map(|ended| Err(ended.into())),
            waker: None,
        };
        self.flushes.insert(number, flushing);
        self.wake_driver();
        number
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// These flushes are done.
    pub(super) fn flushed(&mut self, which: impl Fn(u64) -> bool) {
        for (number, flushing) in self.flushes.iter_mut() {
            if flushing.outcome.is_none() && which(number) {
                flushing.outcome = Some(Ok(()));
                self.book.wakes.extend(flushing.waker.take());
            }
        }
    }

    /// A connection was lost: what is in flight fails with it, if it is to. What was asked up to `heard` an
    /// earlier one may still answer.
    pub(super) fn fail_at_loss(
        &mut self,
        at_loss: AtLoss,
        heard: Option<MessageId>,
        failure: Failure,
    ) {
        let first_unsent = self.queue.front().map(|entry| entry.id);
        for id in self.book.requests.handle_lost(heard, first_unsent) {
            self.book.fail(id, NoAnswer::Lost(failure));
        }
        if at_loss == AtLoss::Fail {
            self.fail_flushes(&FlushError::Lost(failure));
        }
    }

    fn fail_flushes(&mut self, error: &FlushError) {
        for (_, flushing) in self.flushes.iter_mut() {
            if flushing.outcome.is_none() {
                flushing.outcome = Some(Err(error.clone()));
                self.book.wakes.extend(flushing.waker.take());
            }
        }
    }

    /// It is over: all who wait are told, and what waits is dropped.
    pub(super) fn end(&mut self, ended: &Ended) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(ended.clone());
        self.queue.close();
        let book = &mut self.book;
        self.queue
            .drop_all(Dropped::Closed, &mut |id, fate| book.tell(id, fate));
        let open: Vec<MessageId> = self.book.answers.iter().map(|(id, _)| id).collect();
        for id in open {
            self.book.fail(id, NoAnswer::Ended(ended.clone()));
        }
        self.fail_flushes(&ended.clone().into());
        self.wake_senders();
        self.book.wakes.extend(self.at_end.take_all());
        self.book.end();
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.ended.clone()
    }

    pub(super) fn wait_for_end(&mut self, number: u64, waker: &Waker) {
        self.at_end.insert(number, waker.clone());
    }

    pub(super) fn stop_waiting_for_end(&mut self, number: u64) {
        self.at_end.remove(number);
    }
}

/// The clock, whatever its type.
pub(super) trait Hours: Send + Sync {
    fn now(&self) -> Time;
    fn sleep_until(&self, at: Time) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl<C: Clock> Hours for C {
    fn now(&self) -> Time {
        Clock::now(self)
    }

    fn sleep_until(&self, at: Time) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(Clock::sleep_until(self, at))
    }
}
