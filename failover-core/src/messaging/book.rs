//! Who is to be told what became of a message.

use std::sync::Arc;
use std::task::Waker;
use std::vec::Vec;

use crate::failure::Failure;
use crate::link::{Dropped, Fate, MessageId, Requests};
use crate::living;
use crate::messaging::error::Ended;
use crate::messaging::inbox::{Feed, Inbox, Room, inbox};
use crate::messaging::news::{Gone, LinkCounters, News};
use crate::messaging::protocol::Protocol;
use crate::numbered::Numbered;

/// Tickets, requests, counters and readers of news: all that hears of a message's fate.
pub(super) struct Book<P: Protocol> {
    pub(super) counters: LinkCounters,
    pub(super) requests: Requests,
    pub(super) answers: Numbered<MessageId, Answer<P::Reply>>,
    pub(super) tickets: Numbered<MessageId, Followed>,
    readers: Vec<Feed<News<P::Error>>>,
    gone: Option<Gone>,
    /// Woken after the lock is released.
    pub(super) wakes: Vec<Waker>,
}

/// What is known of the answer to a request.
pub(super) struct Answer<R> {
    pub(super) outcome: Option<Result<R, NoAnswer>>,
    pub(super) waker: Option<Waker>,
}

/// Why there is none.
#[derive(Clone, Debug)]
pub(super) enum NoAnswer {
    Dropped(Dropped),
    Unsendable(Arc<dyn core::error::Error + Send + Sync>),
    Refused,
    Lost(Failure),
    Late,
    Ended(Ended),
}

/// A message that somebody follows.
pub(super) struct Followed {
    pub(super) fate: Fate,
    pub(super) waker: Option<Waker>,
}

impl<P: Protocol> Book<P> {
    pub(super) fn new(requests: Requests) -> Self {
        Self {
            counters: LinkCounters::default(),
            requests,
            answers: Numbered::new(),
            tickets: Numbered::new(),
            readers: Vec::new(),
            gone: None,
            wakes: Vec::new(),
        }
    }

    /// Another reader of news, with room for so many.
    pub(super) fn reader(&mut self, room: Room) -> Inbox<News<P::Error>> {
        let (feed, reader) = inbox(room, Waker::noop().clone());
        living::push(&mut self.readers, feed, |reader| !reader.is_ended());
        reader
    }

    /// There will be no more news.
    pub(super) fn end(&mut self) {
        self.publish_gone();
        self.readers.clear();
    }

    /// This became of this message.
    pub(super) fn tell(&mut self, id: MessageId, fate: Fate) {
        self.count(fate);
        if let Some(followed) = self.tickets.get_mut(id) {
            followed.fate = fate;
            self.wakes.extend(followed.waker.take());
        }
        if let Fate::Dropped(why) = fate {
            self.fail(id, NoAnswer::Dropped(why));
        }
        if fate == Fate::Refused {
            self.fail(id, NoAnswer::Refused);
        }
        if matches!(fate, Fate::Dropped(_) | Fate::Refused | Fate::Unconfirmed) {
            let extended = self.gone.as_mut().and_then(|gone| gone.extend(id, fate));
            if extended.is_none() {
                self.publish_gone();
                self.gone = Some(Gone::new(id, fate));
            }
        }
    }

    /// The answer to this message has come.
    pub(super) fn answer(&mut self, id: MessageId, reply: P::Reply) {
        if self.requests.remove(id) {
            self.settle(id, Ok(reply));
        } else {
            self.publish(News::Unexpected { id });
        }
    }

    /// There will be none.
    pub(super) fn fail(&mut self, id: MessageId, why: NoAnswer) {
        self.requests.remove(id);
        self.settle(id, Err(why));
    }

    pub(super) fn publish(&mut self, news: News<P::Error>) {
        self.publish_gone();
        self.give(&news);
    }

    pub(super) fn error(&mut self, error: P::Error) {
        self.publish(News::Error(Arc::new(error)));
    }

    /// The protocol could not write this message, for this reason.
    pub(super) fn unsendable(&mut self, id: MessageId, fate: Fate, reason: P::Error) {
        let reason = Arc::new(reason);
        // First, so that who asked hears the reason rather than the fate.
        if self.requests.remove(id) {
            self.fail(id, NoAnswer::Unsendable(Arc::clone(&reason) as _));
        }
        self.tell(id, fate);
        self.publish(News::Error(reason));
    }

    /// Tells the readers of the messages that were gathered.
    pub(super) fn publish_gone(&mut self) {
        if let Some(news) = self.gone.take().and_then(Gone::news) {
            self.give(&news);
        }
    }

    fn give(&mut self, news: &News<P::Error>) {
        self.readers.retain(|reader| !reader.is_ended());
        for reader in &self.readers {
            reader.push_over(news.clone(), 0);
        }
    }

    fn settle(&mut self, id: MessageId, outcome: Result<P::Reply, NoAnswer>) {
        if let Some(answer) = self.answers.get_mut(id) {
            answer.outcome.get_or_insert(outcome);
            self.wakes.extend(answer.waker.take());
        }
    }

    fn count(&mut self, fate: Fate) {
        let counters = &mut self.counters;
        match fate {
            Fate::Queued => {}
            Fate::Handed => counters.handed += 1,
            Fate::Awaiting { sent: 1 } => {
                counters.handed += 1;
                counters.awaiting += 1;
            }
            Fate::Awaiting { .. } => counters.replayed += 1,
            Fate::Confirmed => {
                counters.confirmed += 1;
                counters.awaiting -= 1;
            }
            Fate::Unconfirmed => {
                counters.unconfirmed += 1;
                counters.awaiting -= 1;
            }
            Fate::Refused => {
                counters.refused += 1;
                counters.awaiting -= 1;
            }
            Fate::Released => counters.awaiting -= 1,
            Fate::Dropped(_) => counters.dropped += 1,
        }
    }
}
