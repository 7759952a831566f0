//! The input on its way out: what waits, what was handed over.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::cat::Unconfirmed;

/// The most input, in bytes, that is remembered to be sent again after a loss: 1 MiB.
pub const RESEND_BOUND: usize = 1024 * 1024;

/// Input is read in pieces of at most this size, the next one when the last was handed over.
const PIECE: usize = 64 * 1024;

/// Input that is read, handed over, and perhaps remembered. It holds at most one piece and
/// [`RESEND_BOUND`] bytes twice (remembered, and about to be sent again).
#[derive(Debug)]
pub(crate) struct Supply<I> {
    input: I,
    /// Read and never handed to a transport, or to be sent again.
    kept: BytesMut,
    ended: bool,
    /// Handed over on this connection.
    handed: u64,
    /// Handed over in all.
    sent: u64,
    last_byte: Option<u8>,
    memory: Memory,
}

/// What a loss leaves unsettled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsettled {
    /// Bytes read and never handed over.
    pub(crate) kept: u64,
    /// Bytes handed over on this connection.
    pub(crate) handed: u64,
    /// How many of those are sent again.
    pub(crate) again: u64,
    /// Whether what was handed over ends within a line, and the next connection begins there.
    pub(crate) mid_line: bool,
}

/// Why nothing more can be sent.
#[derive(Debug)]
pub(crate) enum Stuck {
    Input(io::Error),
    Connection(io::Error),
}

impl<I: AsyncRead + Unpin> Supply<I> {
    pub(crate) fn new(input: I, unconfirmed: Unconfirmed) -> Self {
        Self {
            input,
            kept: BytesMut::new(),
            ended: false,
            handed: 0,
            sent: 0,
            last_byte: None,
            memory: match unconfirmed {
                Unconfirmed::Counted => Memory::None,
                Unconfirmed::SentAgain => Memory::Last {
                    bytes: VecDeque::new(),
                    forgot: Forgot::Nothing,
                },
            },
        }
    }

    /// Whether the input has ended and all of it was handed over.
    pub(crate) fn is_done(&self) -> bool {
        self.ended && self.kept.is_empty()
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends until the input ends.
    ///
    /// # Cancel safety
    /// Nothing is lost or sent twice when the future is dropped.
    pub(crate) async fn send(&mut self, mut to: impl AsyncWrite + Unpin) -> Result<(), Stuck> {
        loop {
            self.fill().await.map_err(Stuck::Input)?;
            if self.is_done() {
                return Ok(());
            }
            let n = to.write(&self.kept).await.map_err(Stuck::Connection)?;
            if n == 0 {
                return Err(Stuck::Connection(io::ErrorKind::WriteZero.into()));
            }
            self.handed_over(n);
            if self.kept.is_empty() {
                to.flush().await.map_err(Stuck::Connection)?;
            }
        }
    }

    /// Sees whether the input ends within this time, where nothing else waits: input and
    /// connection often end together, and which is seen first is luck.
    pub(crate) async fn look_for_end(&mut self, within: Duration) -> io::Result<()> {
        timeout(within, self.fill()).await.unwrap_or(Ok(()))
    }

    /// What a loss of the connection leaves unsettled now.
    pub(crate) fn unsettled(&self) -> Unsettled {
        let again = self.memory.replay().len() as u64;
        Unsettled {
            kept: self.kept.len() as u64,
            handed: self.handed,
            again,
            mid_line: again == 0 && self.last_byte.is_some_and(|byte| byte != b'\n'),
        }
    }

    /// Makes ready for the next connection: what is to be sent again stands first.
    pub(crate) fn begin_again(&mut self) {
        let replay = self.memory.replay();
        if !replay.is_empty() {
            let mut first = BytesMut::with_capacity(replay.len() + self.kept.len());
            first.extend_from_slice(&replay);
            first.extend_from_slice(&self.kept);
            self.kept = first;
        }
        self.memory.clear();
        self.handed = 0;
        self.last_byte = None;
    }

    /// Reads a piece, if nothing waits.
    async fn fill(&mut self) -> io::Result<()> {
        if self.kept.is_empty() && !self.ended {
            self.kept.reserve(PIECE);
            let mut piece = (&mut self.kept).limit(PIECE);
            self.ended = self.input.read_buf(&mut piece).await? == 0;
        }
        Ok(())
    }

    fn handed_over(&mut self, n: usize) {
        let bytes = &self.kept[..n];
        self.last_byte = bytes.last().copied();
        self.memory.remember(bytes);
        self.kept.advance(n);
        self.handed += n as u64;
        self.sent += n as u64;
    }
}

/// What was handed over on this connection, as far as it is remembered.
#[derive(Debug)]
enum Memory {
    None,
    Last { bytes: VecDeque<u8>, forgot: Forgot },
}

/// Whether something before the remembered bytes was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forgot {
    Nothing,
    Some,
}

impl Memory {
    fn remember(&mut self, more: &[u8]) {
        let Self::Last { bytes, forgot } = self else {
            return;
        };
        bytes.extend(more);
        if bytes.len() > RESEND_BOUND {
            bytes.drain(..bytes.len() - RESEND_BOUND);
            *forgot = Forgot::Some;
        }
    }

    /// What is sent again. It never begins within a line whose beginning was forgotten.
    fn replay(&self) -> Vec<u8> {
        let Self::Last { bytes, forgot } = self else {
            return Vec::new();
        };
        let from = match forgot {
            Forgot::Nothing => 0,
            Forgot::Some => {
                let newline = bytes.iter().position(|&byte| byte == b'\n');
                newline.map_or(bytes.len(), |at| at + 1)
            }
        };
        bytes.range(from..).copied().collect()
    }

    fn clear(&mut self) {
        if let Self::Last { bytes, forgot } = self {
            bytes.clear();
            *forgot = Forgot::Nothing;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(supply: &mut Supply<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        supply.send(&mut out).await.unwrap();
        out
    }

    #[tokio::test]
    async fn what_was_handed_over_is_sent_again_only_on_request() {
        for (unconfirmed, again) in [
            (Unconfirmed::Counted, &b""[..]),
            (Unconfirmed::SentAgain, b"one\ntwo"),
        ] {
            let mut supply = Supply::new(&b"one\ntwo"[..], unconfirmed);
            assert_eq!(sent(&mut supply).await, b"one\ntwo");
            assert!(supply.is_done());
            let left = supply.unsettled();
            assert_eq!((left.kept, left.handed), (0, 7));
            assert_eq!(left.again, again.len() as u64);
            supply.begin_again();
            assert_eq!(sent(&mut supply).await, again);
        }
    }

    #[tokio::test]
    async fn a_write_that_takes_a_part_leaves_the_rest_for_the_next_connection() {
        let mut supply = Supply::new(&b"one\ntwo\n"[..], Unconfirmed::Counted);
        let five = std::io::Cursor::new(vec![0; 5].into_boxed_slice());
        let stuck = supply.send(five).await.unwrap_err();
        assert!(matches!(stuck, Stuck::Connection(_)));
        let left = supply.unsettled();
        assert_eq!((left.kept, left.handed, left.again), (3, 5, 0));
        assert!(left.mid_line);
        supply.begin_again();
        assert_eq!(sent(&mut supply).await, b"wo\n");
    }

    #[tokio::test]
    async fn memory_is_bounded_and_a_replay_begins_with_a_line() {
        let line = [b"x".repeat(99), b"\n".to_vec()].concat();
        let input = line.repeat(RESEND_BOUND / 100 + 50);
        let mut supply = Supply::new(&input[..], Unconfirmed::SentAgain);
        assert_eq!(sent(&mut supply).await.len(), input.len());
        let again = supply.unsettled().again;
        assert!((RESEND_BOUND as u64 - 100..=RESEND_BOUND as u64).contains(&again));
        supply.begin_again();
        let replayed = sent(&mut supply).await;
        assert_eq!(replayed.len() as u64, again);
        assert!(replayed.starts_with(&line));
    }
}
