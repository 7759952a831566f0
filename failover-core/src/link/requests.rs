//! Which answers are awaited, and until when.

use alloc::vec::Vec;

use crate::link::message::MessageId;
use crate::link::policy::{AtLoss, Late, LinkPolicy, Reply};
use crate::numbered::Numbered;
use crate::time::{Time, nanos};

/// Which answers are awaited, and until when. A request is known by the number of its message.
///
/// ```
/// use core::time::Duration;
/// use failover_core::link::{Late, LinkPolicy, MessageId, Reply, Requests};
/// use failover_core::time::Time;
///
/// let deadline = Duration::from_secs(3);
/// let policy = LinkPolicy::OFF.reply(Reply::Within { deadline, then: Late::Fault });
/// let mut requests = Requests::new(&policy);
/// let (first, second) = (MessageId::new(1), MessageId::new(2));
/// requests.insert(first, Time::ZERO);
/// requests.insert(second, Time::ZERO);
/// assert!(requests.remove(first)); // answered
///
/// assert_eq!(requests.next_wake(), Some(Time::ZERO + deadline));
/// assert_eq!(requests.poll_late(Time::ZERO + deadline), Some((second, Late::Fault)));
/// assert!(!requests.remove(second)); // its answer comes too late
/// ```
#[derive(Clone, Debug)]
pub struct Requests {
    within: Option<(u64, Late)>,
    at_loss: AtLoss,
    /// When each is overdue.
    open: Numbered<MessageId, Time>,
}

impl Requests {
    /// None yet.
    #[must_use]
    pub fn new(policy: &LinkPolicy) -> Self {
        Self {
            within: match policy.reply {
                Reply::Off => None,
                Reply::Within { deadline, then } => Some((nanos(deadline), then)),
            },
            at_loss: policy.at_loss,
            open: Numbered::new(),
        }
    }

    /// The answer to this message is awaited from now on. Messages come in the order of their numbers.
    pub fn insert(&mut self, id: MessageId, now: Time) {
        let due = self
            .within
            .map_or(Time::MAX, |(deadline, _)| now.after(deadline));
        self.open.insert(id, due);
    }

    /// It was answered, or nobody awaits it any more. Whether somebody did.
    pub fn remove(&mut self, id: MessageId) -> bool {
        self.open.remove(id).is_some()
    }

    /// A request whose answer is overdue, and what that means. Ask until there is none.
    #[must_use = "it is awaited no longer"]
    pub fn poll_late(&mut self, now: Time) -> Option<(MessageId, Late)> {
        let (_, late) = self.within?;
        let (id, _) = self.open.first().filter(|(_, due)| **due <= now)?;
        self.open.remove(id);
        Some((id, late))
    }

    /// When the oldest request will be overdue.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        let (_, &due) = self.open.first()?;
        (due != Time::MAX).then_some(due)
    }

    /// The connection is no more. Gives the requests that fail with it, unless the policy lets them wait:
    /// those that were handed to it, all above `heard` and before `first_unsent`. Up to `heard` they were
    /// handed to an earlier connection that was left and is still listened to; nothing if there is none.
    #[must_use = "they are awaited no longer"]
    pub fn handle_lost(
        &mut self,
        heard: Option<MessageId>,
        first_unsent: Option<MessageId>,
    ) -> Vec<MessageId> {
        if self.at_loss == AtLoss::Wait {
            return Vec::new();
        }
        self.open.take_between(heard, first_unsent)
    }

    /// The oldest that is open.
    #[must_use]
    pub fn oldest(&self) -> Option<MessageId> {
        self.open.first().map(|(id, _)| id)
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
