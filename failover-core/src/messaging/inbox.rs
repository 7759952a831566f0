//! A bounded queue of what comes in for one reader.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// A bounded queue for one subscriber: the protocol's side and the reader's.
///
/// `nudge` is woken when the reader takes something out after the queue was full:
/// [`Link::waker`](crate::messaging::Link::waker), so that a session that is
/// [`Blocked`](crate::messaging::Decoded::Blocked) goes on. What a full queue means (drop the newest, the
/// oldest, block) the session decides.
///
/// ```
/// use std::task::Waker;
/// use failover_core::messaging::{Room, inbox};
///
/// let (feed, mut reader) = inbox(Room { items: 2, bytes: 100 }, Waker::noop().clone());
/// feed.push("one", 3).unwrap();
/// feed.push("two", 3).unwrap();
/// assert_eq!(feed.push("three", 5), Err("three")); // no room
/// assert_eq!(feed.push_over("three", 5), 1); // the oldest makes room
/// assert_eq!((reader.try_next(), reader.dropped()), (Some("two"), 1));
/// ```
#[must_use]
pub fn inbox<T>(room: Room, nudge: Waker) -> (Feed<T>, Inbox<T>) {
    let shared = Arc::new(Mutex::new(Inside {
        room,
        items: VecDeque::new(),
        bytes: 0,
        dropped: 0,
        reader: None,
        blocked: Blocked::No,
        ended: Ended::No,
        nudge,
    }));
    let feed = Feed(Arc::clone(&shared));
    (feed, Inbox(shared))
}

/// How much a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Room {
    /// How many items; 0 counts as 1.
    pub items: usize,
    /// How many bytes, as counted by who pushes. One item always has room in an empty queue.
    pub bytes: usize,
}

/// The side of an [`inbox`] that fills it. Dropping it ends the reader, after what is there.
pub struct Feed<T>(Arc<Mutex<Inside<T>>>);

/// The side of an [`inbox`] that reads it.
pub struct Inbox<T>(Arc<Mutex<Inside<T>>>);

struct Inside<T> {
    room: Room,
    items: VecDeque<(T, usize)>,
    bytes: usize,
    dropped: u64,
    reader: Option<Waker>,
    blocked: Blocked,
    ended: Ended,
    nudge: Waker,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocked {
    No,
    /// Something found no room since the reader last took something out.
    Yes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    No,
    /// One side is gone.
    Yes,
}

impl<T> Feed<T> {
    /// Puts an item of so many bytes into the queue. For a reader who is gone it vanishes.
    ///
    /// # Errors
    /// When there is no room: the item.
    pub fn push(&self, item: T, bytes: usize) -> Result<(), T> {
        let reader = with(&self.0, |inside| {
            if inside.ended == Ended::Yes {
                return Ok(None);
            }
            if !inside.has_room(bytes) {
                inside.blocked = Blocked::Yes;
                return Err(item);
            }
            inside.put(item, bytes);
            Ok(inside.reader.take())
        })?;
        wake(reader);
        Ok(())
    }

    /// Puts an item in and drops the oldest ones for it, as far as needed. How many were dropped.
    pub fn push_over(&self, item: T, bytes: usize) -> u64 {
        let (reader, dropped) = with(&self.0, |inside| {
            if inside.ended == Ended::Yes {
                return (None, 0);
            }
            let before = inside.dropped;
            while !inside.has_room(bytes) {
                inside.take();
                inside.dropped += 1;
            }
            inside.put(item, bytes);
            (inside.reader.take(), inside.dropped - before)
        });
        wake(reader);
        dropped
    }

    /// Counts items that the session dropped for this reader.
    pub fn count_dropped(&self, items: u64) {
        with(&self.0, |inside| inside.dropped += items);
    }

    /// Whether the reader is gone.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        with(&self.0, |inside| inside.ended == Ended::Yes)
    }
}

impl<T> Inbox<T> {
    /// The next item; `None` when there will be no more.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| {
            let (next, nudge) = with(&self.0, |inside| match inside.take() {
                Some(item) => (Poll::Ready(Some(item)), inside.unblock()),
                None if inside.ended == Ended::Yes => (Poll::Ready(None), None),
                None => {
                    inside.reader = Some(cx.waker().clone());
                    (Poll::Pending, None)
                }
            });
            wake(nudge);
            next
        })
        .await
    }

    /// The next item, if one is there.
    pub fn try_next(&mut self) -> Option<T> {
        let (item, nudge) = with(&self.0, |inside| (inside.take(), inside.unblock()));
        wake(nudge);
        item
    }

    /// How many items this reader has lost because it was too slow.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        with(&self.0, |inside| inside.dropped)
    }
}

impl<T> Inside<T> {
    fn has_room(&self, bytes: usize) -> bool {
        let fits = self.bytes.saturating_add(bytes) <= self.room.bytes;
        self.items.is_empty() || (fits && self.items.len() < self.room.items)
    }

    fn put(&mut self, item: T, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.items.push_back((item, bytes));
    }

    fn take(&mut self) -> Option<T> {
        let (item, bytes) = self.items.pop_front()?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(item)
    }

    fn unblock(&mut self) -> Option<Waker> {
        (core::mem::replace(&mut self.blocked, Blocked::No) == Blocked::Yes)
            .then(|| self.nudge.clone())
    }

    fn end(&mut self) -> Option<Waker> {
        self.ended = Ended::Yes;
        self.reader.take()
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        wake(with(&self.0, Inside::end));
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        let (items, nudge) = with(&self.0, |inside| {
            inside.end();
            inside.bytes = 0;
            (core::mem::take(&mut inside.items), inside.nudge.clone())
        });
        drop(items);
        // The session may unsubscribe.
        nudge.wake();
    }
}

impl<T> fmt::Debug for Feed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

fn with<T, R>(inside: &Mutex<Inside<T>>, then: impl FnOnce(&mut Inside<T>) -> R) -> R {
    then(&mut inside.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Woken after the lock is released.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
