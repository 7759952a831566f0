//! An established connection as a stream of bytes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::Message;

use crate::messages::MessageStream;
use crate::session::SessionError;

/// A WebSocket connection as a byte stream: message borders mean nothing, binary and text are
/// read alike, and each write becomes a binary message.
///
/// # Reading
///
/// The end of file is a close frame with code 1000 or without a code, and nothing else. Another
/// code, a connection that just ends, and a broken protocol are errors; they hold a
/// [`SessionError`], and `Failure::from_io` classifies them. Pings are answered
/// while the stream is read. [`AsyncBufRead`] reads without copying.
///
/// # Writing
///
/// A write goes out at once. If the peer does not read, one message (`max_write_size`) waits in
/// memory and the next write is pending; what waits goes out when the stream is written to,
/// flushed, *or read*, so that a program which never flushes behaves as over TCP.
///
/// `shutdown` says goodbye with code 1000. What the server still sends can be read until the end
/// of file; after that, another `shutdown` also closes the connection below. Merely dropping the
/// stream cuts it off: the server sees an end without goodbye.
///
/// # Cancel safety
///
/// As for any `AsyncRead` and `AsyncWrite`: a dropped `read` or `write` has read or written
/// nothing, and no frame is ever sent in part.
pub struct WsStream<S> {
    messages: MessageStream<S>,
    /// What is left of the message received last.
    rest: Bytes,
    reading: Reading,
    max_write_size: usize,
    writing: Writing,
    /// Whoever waits for room to write.
    writer: Option<Waker>,
}

#[derive(Clone, Copy)]
enum Reading {
    Open,
    EndOfFile,
    Failed,
}

#[derive(Clone, Copy)]
enum Writing {
    Flushed,
    Unflushed,
}

impl<S> WsStream<S> {
    pub(crate) fn new(messages: MessageStream<S>, max_write_size: usize) -> Self {
        Self {
            messages,
            rest: Bytes::new(),
            reading: Reading::Open,
            max_write_size,
            writing: Writing::Flushed,
            writer: None,
        }
    }

    /// The subprotocol that the server chose.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.messages.subprotocol()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WsStream<S> {
    /// The connection below.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        self.messages.get_ref()
    }

    /// Waits until `rest` holds something, or the end of file.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match self.reading {
                Reading::Open => {}
                Reading::EndOfFile => break,
                Reading::Failed => return Poll::Ready(Err(SessionError::Ended.into())),
            }
            self.push_written(cx);
            match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
                Some(Ok(message)) => self.on_message(message)?,
                Some(Err(error)) => return Poll::Ready(Err(self.fail(error))),
                None => self.reading = Reading::EndOfFile,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn on_message(&mut self, message: Message) -> io::Result<()> {
        match message {
            Message::Binary(data) => self.rest = data,
            Message::Text(text) => self.rest = text.into(),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            Message::Close(frame) => match SessionError::from_close(frame.as_ref()) {
                None => self.reading = Reading::EndOfFile,
                Some(error) => return Err(self.fail(error)),
            },
        }
        Ok(())
    }

    fn fail(&mut self, error: SessionError) -> io::Error {
        self.reading = Reading::Failed;
        error.into()
    }

    /// Pushes on what was written, on behalf of the reader. An error is left to the next write:
    /// what can still be read comes first.
    fn push_written(&mut self, cx: &mut Context<'_>) {
        if matches!(self.writing, Writing::Flushed) {
            return;
        }
        // tungstenite keeps one waker for writing: it must not forget a writer in another task.
        let waker = match &self.writer {
            Some(writer) if !writer.will_wake(cx.waker()) => Waker::from(Arc::new(Both {
                reader: cx.waker().clone(),
                writer: writer.clone(),
            })),
            _ => cx.waker().clone(),
        };
        let flushed = Pin::new(&mut self.messages).poll_flush(&mut Context::from_waker(&waker));
        if flushed.is_ready() {
            self.writing = Writing::Flushed;
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
        }
    }

    /// Remembers who waits for this, as long as it is pending.
    fn poll_as_writer<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut MessageStream<S>>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let result = poll(Pin::new(&mut self.messages), cx);
        self.writer = match result {
            Poll::Pending => Some(cx.waker().clone()),
            Poll::Ready(_) => None,
        };
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncBufRead for WsStream<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_rest(cx))?;
        Poll::Ready(Ok(&this.rest))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        let amount = amount.min(self.rest.len());
        self.rest.advance(amount);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(cx))?;
        let amount = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..amount]);
        self.rest.advance(amount);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let amount = buf.len().min(self.max_write_size);
        loop {
            ready!(self.poll_as_writer(cx, Sink::poll_ready))?;
            let message = Message::Binary(Bytes::copy_from_slice(&buf[..amount]));
            match Pin::new(&mut self.messages).start_send(message) {
                Ok(()) => {
                    self.writing = Writing::Unflushed;
                    return Poll::Ready(Ok(amount));
                }
                // Pongs took the room: an empty buffer holds one message for certain.
                Err(SessionError::Unsent(_)) => {
                    ready!(self.poll_as_writer(cx, Sink::poll_flush))?;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_as_writer(cx, Sink::poll_flush))?;
        self.writing = Writing::Flushed;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_as_writer(cx, Sink::poll_close))?;
        self.writing = Writing::Flushed;
        Poll::Ready(Ok(()))
    }
}

impl<S> fmt::Debug for WsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsStream")
            .field("subprotocol", &self.subprotocol())
            .finish_non_exhaustive()
    }
}

/// Wakes a reader and a writer that may live in two tasks.
struct Both {
    reader: Waker,
    writer: Waker,
}

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.reader.wake_by_ref();
        self.writer.wake_by_ref();
    }
}
