//! A connection as a stream of bytes, without a runtime.

use std::boxed::Box;
use std::io;
use std::task::{Context, Poll};
use std::vec::Vec;

/// A connection as a stream of bytes: what the link reads and writes.
///
/// The core knows no runtime, so that it has a trait of its own; `transport-tcp` implements it for its
/// `ByteStream`, which holds any stream of tokio's. The methods do what those of the same names do
/// there: `Pending` means that the task is woken when it is worth asking again, and the two
/// directions do not wake each other's waiter.
///
/// Dropping it closes it.
pub trait Wire: Send + 'static {
    /// Reads what is there into `into`, which is not empty; 0 bytes mean the end.
    ///
    /// # Errors
    /// When the connection failed. One that carries a [`Failure`](crate::failure::Failure) is judged by
    /// it.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Takes some of these bytes, and says how many. They may lie in a buffer until the flush.
    ///
    /// # Errors
    /// When the connection failed.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Sends all that was taken on its way.
    ///
    /// # Errors
    /// When the connection failed.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Says that nothing more will be written, after all that was taken is sent on its way.
    ///
    /// # Errors
    /// When the connection failed.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl<W: Wire + ?Sized> Wire for Box<W> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        W::poll_read(self, cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        W::poll_write(self, cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        W::poll_flush(self, cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        W::poll_close(self, cx)
    }
}

/// A wire of which the first bytes were read already: by a layer below the login that had to hear
/// them (NATS says `INFO` in clear text before TLS). The login hears them again, so that it is the
/// same with that layer and without.
#[derive(Debug)]
pub struct Prefixed<W> {
    prefix: Vec<u8>,
    at: usize,
    wire: W,
}

impl<W> Prefixed<W> {
    /// First these bytes, then what the wire brings.
    #[must_use]
    pub fn new(prefix: impl Into<Vec<u8>>, wire: W) -> Self {
        Self {
            prefix: prefix.into(),
            at: 0,
            wire,
        }
    }
}

impl<W: Wire> Wire for Prefixed<W> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let rest = self.prefix.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return self.wire.poll_read(cx, into);
        }
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        if self.at == self.prefix.len() {
            self.prefix = Vec::new();
            self.at = 0;
        }
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.wire.poll_write(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_close(cx)
    }
}
