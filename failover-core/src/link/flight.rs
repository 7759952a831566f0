//! Messages on their way: being written, or handed over and not confirmed.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::link::message::{Entry, Fate, MessageId};
use crate::link::policy::{Late, LinkPolicy, Replay, Reply};
use crate::link::shrink;
use crate::numbered::Numbered;
use crate::time::{Time, nanos};

/// Messages on their way over one connection after the other.
///
/// It knows them by where their last byte stands in what is written to the connection: the caller
/// encodes a message, says at which byte of the connection it [ends](Self::push), and how many bytes
/// the transport has [taken](Self::handle_written). A message of which the transport has taken
/// everything is handed over; any other goes out whole again after a loss, so that nothing partial
/// crosses to the next connection.
///
/// ```
/// use failover_core::link::{Assurance, Continuity, Fate, Flight, LinkPolicy, Outbox, Queue};
/// use failover_core::time::Time;
///
/// let policy = LinkPolicy::OFF.outbox(Outbox::Keep { bytes: 100 });
/// let (mut queue, mut flight) = (Queue::new(&policy), Flight::new(&policy));
/// let mut fates = Vec::new();
/// let mut tell = |id, fate| fates.push((id, fate));
/// let first = queue.push("0123456789", 10, Time::ZERO, &mut tell).unwrap();
/// let second = queue.push("0123456789", 10, Time::ZERO, &mut tell).unwrap();
///
/// // Both are encoded; the connection breaks after 15 of their 20 bytes.
/// queue.handle_connected();
/// flight.handle_connected(Continuity::Stateless, &mut tell);
/// flight.push(queue.take().unwrap(), Assurance::None, 10);
/// flight.push(queue.take().unwrap(), Assurance::None, 20);
/// let handed = flight.handle_written(15, Time::ZERO, &mut tell);
/// queue.release(handed.messages, handed.bytes);
/// queue.put_back(flight.handle_lost(&mut tell).into_iter());
/// queue.handle_lost(&mut tell);
///
/// assert_eq!(queue.front().unwrap().id, second);
/// assert_eq!(fates, [(first, Fate::Handed)]);
/// ```
#[derive(Clone, Debug)]
pub struct Flight<M> {
    replay: Replay,
    /// How long a confirmation may take, and what then. Nanoseconds.
    within: Option<(u64, Late)>,
    most_messages: usize,
    /// Encoded, not wholly taken by the transport: in the order of their ends.
    writing: VecDeque<Writing<M>>,
    /// Handed over, their confirmation awaited.
    sent: Numbered<MessageId, Sent<M>>,
    /// The bytes of what was pushed with an assurance and is not settled.
    assured_bytes: u64,
    /// How many of those are in `writing`.
    assured_writing: usize,
    /// The first of `sent` that is still to be written on this connection, with all after it.
    again: Option<MessageId>,
    /// The latest message that can be replayed no more and was not confirmed.
    forgotten: Option<MessageId>,
}

/// What is expected after a message was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Assurance {
    /// Nothing: it is done. The default.
    #[default]
    None,
    /// The peer confirms it.
    Confirmed,
}

/// Whether the session of the last connection goes on in a new one. The login knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Continuity {
    /// The protocol has no sessions: what is unconfirmed is replayed, if anything is. The default.
    #[default]
    Stateless,
    /// The peer goes on with the session.
    Resumed {
        /// The last message that it received; nothing if none.
        received: Option<MessageId>,
    },
    /// The peer does not know the session any more; a fresh one begins. What is unconfirmed belonged to
    /// the old one: it is told, and not replayed.
    Lost,
}

/// What a new connection means for the messages of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resumption {
    /// There was no session to resume.
    Fresh,
    /// It is resumed; what the peer lacks is replayed.
    Resumed,
    /// It is resumed, but the peer lacks messages that cannot be replayed any more: those above
    /// `after`, up to `through`, as far as they were to be confirmed.
    ResumedWithLoss {
        /// The last message that the peer received.
        after: Option<MessageId>,
        /// The last one that is not there any more.
        through: MessageId,
    },
    /// The session is gone.
    SessionLost,
}

/// What was handed over since the last call, to be [released](crate::link::Queue::release).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
#[must_use = "it counts in the outbox until it is released"]
pub struct Handed {
    /// How many messages, replays not counted.
    pub messages: u32,
    /// Their bytes.
    pub bytes: u64,
}

impl Handed {
    const fn count(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes += bytes;
    }
}

#[derive(Clone, Debug)]
struct Writing<M> {
    end: u64,
    what: What<M>,
}

#[derive(Clone, Debug)]
enum What<M> {
    First(Entry<M>, Assurance),
    Again(MessageId),
}

#[derive(Clone, Debug)]
struct Sent<M> {
    size: u64,
    /// Kept only if it may be replayed.
    message: Option<M>,
    /// When it was handed over last.
    handed: Time,
    times: u32,
}

impl<M> Writing<M> {
    const fn id(&self) -> MessageId {
        match &self.what {
            What::First(entry, _) => entry.id,
            What::Again(id) => *id,
        }
    }
}

impl<M> Flight<M> {
    /// Nothing on its way.
    #[must_use]
    pub fn new(policy: &LinkPolicy) -> Self {
        Self {
            replay: policy.replay,
            within: match policy.reply {
                Reply::Off => None,
                Reply::Within { deadline, then } => Some((nanos(deadline), then)),
            },
            most_messages: usize::try_from(policy.bounds.messages).unwrap_or(usize::MAX),
            writing: VecDeque::new(),
            sent: Numbered::new(),
            assured_bytes: 0,
            assured_writing: 0,
            again: None,
            forgotten: None,
        }
    }

    /// A connection stands, after [`handle_lost`](Self::handle_lost) of the last one. What is to be
    /// replayed comes from [`next_again`](Self::next_again), before new messages.
    pub fn handle_connected(
        &mut self,
        continuity: Continuity,
        tell: &mut impl FnMut(MessageId, Fate),
    ) -> Resumption {
        self.again = self.first_sent();
        match continuity {
            Continuity::Stateless => {
                self.forgotten = None;
                Resumption::Fresh
            }
            Continuity::Resumed { received } => {
                if let Some(received) = received {
                    self.settle_through(received, tell);
                }
                match self.forgotten.take() {
                    Some(through) if Some(through) > received => Resumption::ResumedWithLoss {
                        after: received,
                        through,
                    },
                    Some(_) | None => Resumption::Resumed,
                }
            }
            Continuity::Lost => {
                self.forgotten = None;
                self.forget_all(tell);
                Resumption::SessionLost
            }
        }
    }

    /// The next message to be written again on this connection. It is the next until
    /// [`push_again`](Self::push_again) or [`refuse_again`](Self::refuse_again).
    #[must_use]
    pub fn next_again(&self) -> Option<(MessageId, &M)> {
        let id = self.again?;
        Some((id, self.sent.get(id)?.message.as_ref()?))
    }

    /// It is encoded, up to this byte of the connection.
    pub fn push_again(&mut self, end: u64) {
        if let Some(id) = self.again {
            let what = What::Again(id);
            self.writing.push_back(Writing { end, what });
            self.again = self.next_sent(id);
        }
    }

    /// It cannot be written on this connection: refused, and told.
    pub fn refuse_again(&mut self, tell: &mut impl FnMut(MessageId, Fate)) {
        if let Some(id) = self.again {
            self.settle(id, Fate::Refused, tell);
        }
    }

    /// Whether a new message of this size may be written now: everything was replayed, and what
    /// awaits confirmation stays within its bound. One message may always be on its way.
    #[must_use]
    pub fn has_room(&self, size: u64, assurance: Assurance) -> bool {
        if self.again.is_some() {
            return false;
        }
        let assured = self.sent.len() + self.assured_writing;
        match (assurance, self.replay) {
            (Assurance::None, _) | (Assurance::Confirmed, Replay::Messages(_)) => true,
            (Assurance::Confirmed, Replay::Off) => assured < self.most_messages,
            (Assurance::Confirmed, Replay::Bytes(most)) => {
                let fits = self.assured_bytes.saturating_add(size) <= most;
                assured == 0 || (fits && assured < self.most_messages)
            }
        }
    }

    /// This message is encoded, up to this byte of the connection. They come in the order of their numbers.
    pub fn push(&mut self, entry: Entry<M>, assurance: Assurance, end: u64) {
        if assurance == Assurance::Confirmed {
            self.assured_bytes = self.assured_bytes.saturating_add(entry.size);
            self.assured_writing += 1;
        }
        let what = What::First(entry, assurance);
        self.writing.push_back(Writing { end, what });
    }

    /// The transport has taken this many bytes of this connection in all.
    pub fn handle_written(
        &mut self,
        total: u64,
        now: Time,
        tell: &mut impl FnMut(MessageId, Fate),
    ) -> Handed {
        let mut handed = Handed::default();
        while self.writing.front().is_some_and(|next| next.end <= total) {
            let Some(written) = self.writing.pop_front() else {
                break;
            };
            match written.what {
                What::First(entry, assurance) => {
                    handed.count(entry.size);
                    match assurance {
                        Assurance::None => tell(entry.id, Fate::Handed),
                        Assurance::Confirmed => self.await_confirmation(entry, now, tell),
                    }
                }
                What::Again(id) => {
                    if let Some(sent) = self.sent.get_mut(id) {
                        sent.times = sent.times.saturating_add(1);
                        sent.handed = now;
                        tell(id, Fate::Awaiting { sent: sent.times });
                    }
                }
            }
        }
        shrink(&mut self.writing);
        handed
    }

    /// The peer has confirmed this message. One that nobody awaits changes nothing; one of which the transport
    /// has not taken everything counts as handed over, for the peer has read enough of it.
    pub fn handle_confirmed(
        &mut self,
        id: MessageId,
        tell: &mut impl FnMut(MessageId, Fate),
    ) -> Handed {
        self.settle_either(id, Fate::Confirmed, tell)
    }

    /// The peer has confirmed this message and all before it, as [one](Self::handle_confirmed).
    pub fn handle_confirmed_through(
        &mut self,
        id: MessageId,
        tell: &mut impl FnMut(MessageId, Fate),
    ) -> Handed {
        self.settle_through(id, tell);
        let mut handed = Handed::default();
        while self.writing.front().is_some_and(|first| first.id() <= id) {
            let Some(first) = self.writing.pop_front() else {
                break;
            };
            self.settle_writing(first, Fate::Confirmed, &mut handed, tell);
        }
        handed
    }

    /// The peer has refused this message: it has not taken it over, and never will. Of one that is still being
    /// written as [`handle_confirmed`](Self::handle_confirmed).
    pub fn handle_refused(
        &mut self,
        id: MessageId,
        tell: &mut impl FnMut(MessageId, Fate),
    ) -> Handed {
        self.settle_either(id, Fate::Refused, tell)
    }

    /// The connection is no more. Gives what was not handed over, in its order, to be
    /// [put back](crate::link::Queue::put_back); what awaits confirmation is kept for a replay, or told
    /// as unconfirmed.
    pub fn handle_lost(&mut self, tell: &mut impl FnMut(MessageId, Fate)) -> Vec<Entry<M>> {
        let mut unsent = Vec::new();
        for writing in core::mem::take(&mut self.writing) {
            if let What::First(entry, assurance) = writing.what {
                if assurance == Assurance::Confirmed {
                    self.on_unassured(entry.size);
                }
                unsent.push(entry);
            }
        }
        self.again = self.first_sent();
        if self.replay == Replay::Off {
            let last = self.sent.iter().next_back();
            self.forgotten = last.map(|(id, _)| id).or(self.forgotten);
            self.forget_all(tell);
        }
        unsent
    }

    /// A message whose confirmation is overdue, and what that means. Ask until there is none. It is
    /// told as unconfirmed, unless it is to be replayed after the fault.
    pub fn poll_late(
        &mut self,
        now: Time,
        tell: &mut impl FnMut(MessageId, Fate),
    ) -> Option<(MessageId, Late)> {
        if self.next_wake().is_none_or(|due| due > now) {
            return None;
        }
        let (_, late) = self.within?;
        let id = self.first_sent()?;
        self.handle_late(id, now, tell);
        Some((id, late))
    }

    /// The answer to the request that is this message is overdue, and with it its confirmation: as
    /// [`poll_late`](Self::poll_late), which does not report it besides.
    pub fn handle_late(
        &mut self,
        id: MessageId,
        now: Time,
        tell: &mut impl FnMut(MessageId, Fate),
    ) {
        let is_fault = self.within.is_some_and(|(_, late)| late == Late::Fault);
        if is_fault && self.replay != Replay::Off {
            if let Some(sent) = self.sent.get_mut(id) {
                sent.handed = now;
            }
            return;
        }
        self.settle(id, Fate::Unconfirmed, tell);
        let writing = self
            .find_writing(id)
            .and_then(|at| self.writing.get_mut(at));
        if let Some(What::First(entry, assurance)) = writing.map(|writing| &mut writing.what)
            && core::mem::take(assurance) == Assurance::Confirmed
        {
            let size = entry.size;
            self.on_unassured(size);
        }
    }

    /// When the confirmation of the oldest message will be overdue.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        let (deadline, _) = self.within?;
        // One that waits to be written again is not asked for its confirmation yet.
        let (_, first) = self
            .sent
            .first()
            .filter(|(id, _)| Some(*id) != self.again)?;
        Some(first.handed.after(deadline))
    }

    /// Tells all that awaits confirmation as unconfirmed, and forgets it.
    pub fn forget_all(&mut self, tell: &mut impl FnMut(MessageId, Fate)) {
        while let Some(first) = self.first_sent() {
            self.settle(first, Fate::Unconfirmed, tell);
        }
    }

    /// Whether all that was pushed was handed over, and nothing is to be written again.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.writing.is_empty() && self.again.is_none()
    }

    /// The oldest message that is being written or awaits its confirmation.
    #[must_use]
    pub fn oldest(&self) -> Option<MessageId> {
        self.first_sent().or_else(|| self.oldest_unwritten())
    }

    /// The oldest message that is being written for the first time.
    #[must_use]
    pub fn oldest_unwritten(&self) -> Option<MessageId> {
        self.writing.iter().find_map(|writing| match &writing.what {
            What::First(entry, _) => Some(entry.id),
            What::Again(_) => None,
        })
    }

    /// How many messages await their confirmation.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.sent.len()
    }

    fn await_confirmation(
        &mut self,
        entry: Entry<M>,
        now: Time,
        tell: &mut impl FnMut(MessageId, Fate),
    ) {
        self.assured_writing -= 1;
        tell(entry.id, Fate::Awaiting { sent: 1 });
        let sent = Sent {
            size: entry.size,
            message: (self.replay != Replay::Off).then_some(entry.message),
            handed: now,
            times: 1,
        };
        self.sent.insert(entry.id, sent);
        self.again = None;
        if let Replay::Messages(most) = self.replay {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            while self.sent.len() > most {
                let Some(oldest) = self.first_sent() else {
                    return;
                };
                self.forgotten = Some(oldest);
                self.settle(oldest, Fate::Released, tell);
            }
        }
    }

    fn settle_through(&mut self, id: MessageId, tell: &mut impl FnMut(MessageId, Fate)) {
        while let Some(first) = self.first_sent().filter(|first| *first <= id) {
            self.settle(first, Fate::Confirmed, tell);
        }
    }

    /// Tells one that awaits its confirmation, or is still being written.
    fn settle_either(
        &mut self,
        id: MessageId,
        fate: Fate,
        tell: &mut impl FnMut(MessageId, Fate),
    ) -> Handed {
        let mut handed = Handed::default();
        if self.settle(id, fate, tell) {
            return handed;
        }
        if let Some(writing) = self.find_writing(id).and_then(|at| self.writing.remove(at)) {
            self.settle_writing(writing, fate, &mut handed, tell);
        }
        handed
    }

    /// The peer has judged one before the transport has taken all of it: nothing of it is awaited any more.
    fn settle_writing(
        &mut self,
        writing: Writing<M>,
        fate: Fate,
        handed: &mut Handed,
        tell: &mut impl FnMut(MessageId, Fate),
    ) {
        let What::First(entry, assurance) = writing.what else {
            return;
        };
        handed.count(entry.size);
        match assurance {
            Assurance::None => tell(entry.id, Fate::Handed),
            Assurance::Confirmed => {
                self.on_unassured(entry.size);
                tell(entry.id, Fate::Awaiting { sent: 1 });
                tell(entry.id, fate);
            }
        }
    }

    /// Where it stands in what is being written. What is written again comes before all that is written for the
    /// first time, and has lower numbers.
    fn find_writing(&self, id: MessageId) -> Option<usize> {
        self.writing.front().filter(|first| first.id() <= id)?;
        self.writing.binary_search_by_key(&id, Writing::id).ok()
    }

    /// One that is being written for the first time is not to be confirmed any more.
    fn on_unassured(&mut self, size: u64) {
        self.assured_bytes = self.assured_bytes.saturating_sub(size);
        self.assured_writing -= 1;
    }

    /// Tells one that awaits its confirmation, and awaits it no more. Whether it did.
    fn settle(
        &mut self,
        id: MessageId,
        fate: Fate,
        tell: &mut impl FnMut(MessageId, Fate),
    ) -> bool {
        let Some(sent) = self.sent.remove(id) else {
            return false;
        };
        self.assured_bytes = self.assured_bytes.saturating_sub(sent.size);
        if self.again == Some(id) {
            self.again = self.next_sent(id);
        }
        tell(id, fate);
        true
    }

    fn first_sent(&self) -> Option<MessageId> {
        self.sent.first().map(|(id, _)| id)
    }

    fn next_sent(&self, before: MessageId) -> Option<MessageId> {
        self.sent.after(before).next().map(|(id, _)| id)
    }
}
