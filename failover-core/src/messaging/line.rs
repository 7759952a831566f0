//! A wire with what was read from it and is not used yet.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::vec::Vec;

use crate::messaging::wire::Wire;

/// A wire with what was read from it and is not used yet: what a login speaks over.
///
/// A login reads until its frame is whole: look at [`unread`](Self::unread), [`fill`](Self::fill) while
/// it is not, [`consume`](Self::consume) when it is. What it leaves unread is decoded by the session.
///
/// ```
/// # use failover_core::messaging::{Line, Wire};
/// async fn greeting<W: Wire>(line: &mut Line<W>) -> std::io::Result<Vec<u8>> {
///     let greeting = line.read_until(b"\r\n", 4096).await?;
///     line.write(b"HELLO\r\n").await?;
///     Ok(greeting)
/// }
/// ```
pub struct Line<W> {
    wire: W,
    input: Input,
}

impl<W: Wire> Line<W> {
    /// This wire; no frame that comes over it has more than `most_frame` bytes.
    #[must_use]
    pub fn new(wire: W, most_frame: usize) -> Self {
        Self {
            wire,
            input: Input::new(most_frame),
        }
    }

    /// What was read and not consumed.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        self.input.unread()
    }

    /// So many of the unread bytes are done with.
    pub fn consume(&mut self, count: usize) {
        self.input.consume(count);
    }

    /// Reads at least one byte more.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection failed or ended, or when the unread bytes are as many as a frame may have.
    pub async fn fill(&mut self) -> io::Result<()> {
        match poll_fn(|cx| self.poll_fill(cx)).await? {
            Filled::Some => Ok(()),
            Filled::Ended => Err(io::ErrorKind::UnexpectedEof.into()),
            Filled::NoRoom => Err(too_long(self.input.most)),
        }
    }

    /// Reads and consumes all up to and including this mark; gives it without the mark.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`fill`](Self::fill), and when there is no mark within `most` bytes.
    pub async fn read_until(&mut self, mark: &[u8], most: usize) -> io::Result<Vec<u8>> {
        let mut looked = 0;
        loop {
            let unread = self.unread();
            let from = looked.min(unread.len());
            let found = unread[from..]
                .windows(mark.len().max(1))
                .position(|window| window == mark);
            match found {
                Some(at) if from + at <= most => {
                    let read = unread[..from + at].to_vec();
                    self.consume(from + at + mark.len());
                    return Ok(read);
                }
                Some(_) => return Err(too_long(most)),
                None if unread.len() >= most + mark.len() => return Err(too_long(most)),
                None => looked = (unread.len() + 1).saturating_sub(mark.len()),
            }
            self.fill().await?;
        }
    }

    /// Writes all of these bytes, and sends them on their way.
    ///
    /// # Cancel safety
    /// None: a dropped future may have written a part. A login that is dropped drops its wire.
    ///
    /// # Errors
    /// When the connection failed.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = poll_fn(|cx| self.wire.poll_write(cx, rest)).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(count..).unwrap_or_default();
        }
        poll_fn(|cx| self.wire.poll_flush(cx)).await
    }

    /// The wire below.
    #[must_use]
    pub fn get_ref(&self) -> &W {
        &self.wire
    }

    pub(super) fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    /// The most bytes that a frame may have.
    pub(super) fn most_frame(&self) -> usize {
        self.input.most
    }

    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        let Some(space) = self.input.space() else {
            return Poll::Ready(Ok(Filled::NoRoom));
        };
        let count = ready!(self.wire.poll_read(cx, space))?;
        self.input.filled(count);
        Poll::Ready(Ok(match count {
            0 => Filled::Ended,
            _ => Filled::Some,
        }))
    }
}

impl<W> fmt::Debug for Line<W> {
    /// Without what was read: it may hold what belongs in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("unread", &self.input.unread().len())
            .field("most_frame", &self.input.most)
            .finish_non_exhaustive()
    }
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    Some,
    Ended,
    /// Nothing was read: the unread bytes are as many as may be.
    NoRoom,
}

fn too_long(most: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        std::format!("the peer sent more than {most} bytes without coming to an end"),
    )
}

/// The bytes that were read and not consumed, up to a bound. It takes no memory before the first read.
struct Input {
    /// All of it may be written to; what counts is between `start` and `end`.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    most: usize,
    /// The last read filled all the space there was.
    growing: Growing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Growing {
    No,
    Yes,
}

/// How much is read at first, and at most while small frames come.
const FIRST: usize = 2 * 1024;
const USUAL: usize = 64 * 1024;

impl Input {
    fn new(most: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            end: 0,
            most: most.max(1),
            growing: Growing::No,
        }
    }

    fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start < self.end {
            return;
        }
        (self.start, self.end) = (0, 0);
        if self.bytes.len() > USUAL {
            // A large frame has passed.
            self.bytes = Vec::new();
        }
    }

    /// Where to read to, if there may be more.
    fn space(&mut self) -> Option<&mut [u8]> {
        let unread = self.end - self.start;
        if unread >= self.most {
            return None;
        }
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, unread);
        }
        let len = self.bytes.len();
        let roomy = self.growing == Growing::Yes && len < USUAL;
        if self.end == len || roomy {
            let doubled = len.saturating_mul(2).max(FIRST);
            self.bytes
                .resize(doubled.min(self.most.max(self.end + 1)), 0);
        }
        let until = (self.start + self.most).min(self.bytes.len());
        self.bytes.get_mut(self.end..until)
    }

    fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
        self.growing = match self.end == self.bytes.len() {
            true => Growing::Yes,
            false => Growing::No,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_no_memory_before_the_first_read_and_gives_back_what_a_large_frame_took() {
        let mut input = Input::new(1 << 20);
        assert_eq!(input.bytes.capacity(), 0);
        while input.unread().len() < 500_000 {
            let count = input.space().unwrap().len();
            input.filled(count);
        }
        input.consume(input.unread().len());
        assert_eq!(input.bytes.capacity(), 0);
    }

    #[test]
    fn it_never_holds_more_than_its_bound() {
        for most in [1, 2, 1000, FIRST, FIRST + 1, USUAL + 7] {
            let mut input = Input::new(most);
            let mut read = 0;
            while let Some(space) = input.space() {
                assert!(!space.is_empty());
                // Two by two, with one consumed at the beginning.
                let count = space.len().min(2);
                input.filled(count);
                if read == 0 {
                    input.consume(1);
                    read = 1;
                }
                assert!(input.unread().len() <= most);
            }
            assert_eq!(input.unread().len(), most);
        }
    }
}
