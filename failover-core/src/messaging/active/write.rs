//! What goes out: replays, messages, and what the session owes.

use std::io;
use std::task::{Context, Poll, ready};

use crate::link::{Assurance, Dropped, Entry, Fate};
use crate::messaging::active::{AHEAD, Active, Desks, Flushed};
use crate::messaging::desk::Parcel;
use crate::messaging::error::LinkError;
use crate::messaging::protocol::{Passage, Protocol, Session};
use crate::messaging::wire::Wire;

/// So many messages are taken from the outbox at once.
const BATCH: usize = 256;

impl<P: Protocol, W: Wire> Active<P, W> {
    /// Encodes what is to be replayed, then what waits in the outbox.
    pub(super) fn load(&mut self, desks: &mut Desks<'_, P>) {
        while self.out.len() - self.out_at < AHEAD {
            if desks.flight.next_again().is_some() {
                self.encode_again(desks);
                continue;
            }
            self.take_batch(desks);
            if self.batch.is_empty() {
                return;
            }
            let mut batch = core::mem::take(&mut self.batch);
            for entry in batch.drain(..) {
                self.encode(entry, desks);
            }
            self.batch = batch;
        }
    }

    /// Messages for about one filling of the buffer. One that is to be confirmed goes alone: whether the
    /// next has room depends on it.
    fn take_batch(&mut self, desks: &mut Desks<'_, P>) {
        let (batch, flight) = (&mut self.batch, &*desks.flight);
        let mut bytes = 0;
        desks.desk.with(|inside| {
            while let Some(next) = inside.queue.front() {
                let assurance = next.message.assurance;
                if !flight.has_room(next.size, assurance) {
                    return;
                }
                let Some(entry) = inside.queue.take() else {
                    return;
                };
                bytes += entry.size;
                batch.push(entry);
                let full = batch.len() == BATCH || bytes >= AHEAD as u64;
                if full || assurance == Assurance::Confirmed {
                    return;
                }
            }
        });
    }

    fn encode(&mut self, entry: Entry<Parcel<P::Message>>, desks: &mut Desks<'_, P>) {
        let before = self.out.len();
        let message = &entry.message.message;
        let encoded = self
            .session
            .encode(entry.id, message, Passage::First, &mut self.out);
        match encoded {
            Ok(()) => {
                let assurance = entry.message.assurance;
                desks.flight.push(entry, assurance, self.end());
            }
            Err(error) => {
                self.out.truncate(before);
                desks.desk.with(|inside| {
                    inside.queue.release(1, entry.size);
                    let fate = Fate::Dropped(Dropped::Refused);
                    inside.book.unsendable(entry.id, fate, error);
                    inside.wake_sender();
                });
            }
        }
    }

    fn encode_again(&mut self, desks: &mut Desks<'_, P>) {
        let before = self.out.len();
        let Some((id, parcel)) = desks.flight.next_again() else {
            return;
        };
        let message = &parcel.message;
        let encoded = self
            .session
            .encode(id, message, Passage::Again, &mut self.out);
        match encoded {
            Ok(()) => desks.flight.push_again(self.end()),
            Err(error) => {
                self.out.truncate(before);
                desks.flight.refuse_again(&mut |_, _| {});
                let desk = desks.desk;
                desk.with(|inside| inside.book.unsendable(id, Fate::Refused, error));
            }
        }
    }

    /// At which byte of the connection the buffer ends.
    fn end(&self) -> u64 {
        self.written + (self.out.len() - self.out_at) as u64
    }

    /// Writes all that is encoded and sends it on its way.
    pub(super) fn write(
        &mut self,
        cx: &mut Context<'_>,
        desks: &mut Desks<'_, P>,
    ) -> Result<Poll<()>, LinkError<P::Error>> {
        if let Some(monitor) = &mut self.monitor {
            monitor.handle_writing(desks.now);
        }
        match self.poll_write_all(cx, desks) {
            Poll::Pending => {
                self.forget_written();
                Ok(Poll::Pending)
            }
            Poll::Ready(written) => {
                written?;
                if let Some(monitor) = &mut self.monitor {
                    monitor.handle_written(desks.now);
                }
                Ok(Poll::Ready(()))
            }
        }
    }

    fn poll_write_all(
        &mut self,
        cx: &mut Context<'_>,
        desks: &mut Desks<'_, P>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.out_at..).filter(|rest| !rest.is_empty()) {
            let count = ready!(self.line.wire().poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out_at = (self.out_at + count).min(self.out.len());
            self.written += count as u64;
            self.flushed = Flushed::No;
            // No more than what is not written is owed.
            self.owed = self.owed.min(self.out.len() - self.out_at);
            self.on_taken(desks);
        }
        self.out.clear();
        self.out.shrink_to(AHEAD);
        self.out_at = 0;
        self.owed = 0;
        self.poll_flush(cx)
    }

    /// Sends on its way what the transport has taken.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.flushed == Flushed::No {
            ready!(self.line.wire().poll_flush(cx))?;
            self.flushed = Flushed::Yes;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives up what is written of a buffer that is never empty. No more bytes are moved than were written.
    fn forget_written(&mut self) {
        let rest = self.out.len() - self.out_at;
        if self.out_at >= AHEAD && self.out_at >= rest {
            self.out.drain(..self.out_at);
            self.out.shrink_to(4 * AHEAD);
            self.out_at = 0;
        }
    }

    /// The transport has taken more bytes.
    fn on_taken(&mut self, desks: &mut Desks<'_, P>) {
        let (written, now, flight) = (self.written, desks.now, &mut *desks.flight);
        let messages = desks.desk.with(|inside| {
            let book = &mut inside.book;
            let handed = flight.handle_written(written, now, &mut |id, fate| book.tell(id, fate));
            inside.release(handed);
            handed.messages
        });
        // The write deadline is that of one message, not that of a buffer which is never empty.
        if let (Some(monitor), 1..) = (&mut self.monitor, messages) {
            monitor.handle_written(now);
            monitor.handle_writing(now);
        }
    }
}
