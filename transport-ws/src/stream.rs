//! An established connection as a stream of bytes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

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
/// of file, within the [grace](crate::WsConfig::close_grace); after that, another `shutdown` also
/// closes the connection below. [`hang_up`](Self::hang_up) does all of it. Merely dropping the
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
}

#[derive(Clone, Copy)]
enum Reading {
    Open,
    EndOfFile,
    Failed,
}

impl<S> WsStream<S> {
    pub(crate) fn new(messages: MessageStream<S>, max_write_size: usize) -> Self {
        Self {
            messages,
            rest: Bytes::new(),
            reading: Reading::Open,
            max_write_size,
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

    /// Says goodbye with code 1000, waits until the server has answered it, and closes the
    /// connection below. What the server sends meanwhile is thrown away.
    ///
    /// # Errors
    ///
    /// [`SessionError::Unanswered`] if that takes longer than the
    /// [grace](crate::WsConfig::close_grace). Whatever the error is, the connection is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropping it cuts the connection off.
    pub async fn hang_up(self) -> Result<(), SessionError> {
        self.messages.hang_up().await
    }

    /// Waits until `rest` holds something, or the end of file.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match self.reading {
                Reading::Open => {}
                Reading::EndOfFile => break,
                Reading::Failed => return Poll::Ready(Err(SessionError::Ended.into())),
            }
            // Even an empty rest shares the read buffer, which is then not used again but replaced
            // by a tiny one: more reads for each message.
            self.rest = Bytes::new();
            match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
                Some(Ok(message)) => self.on_message(message)?,
                Some(Err(error)) => return Poll::Ready(Err(self.fail(error))),
                // Only a close frame is the end of file.
                None => return Poll::Ready(Err(self.fail(SessionError::Ended))),
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
            ready!(Pin::new(&mut self.messages).poll_ready(cx))?;
            let message = Message::Binary(Bytes::copy_from_slice(&buf[..amount]));
            match Pin::new(&mut self.messages).start_send(message) {
                Ok(()) => return Poll::Ready(Ok(amount)),
                // Pongs took the room: an empty buffer holds one message for certain.
                Err(SessionError::Unsent(_)) => {
                    ready!(Pin::new(&mut self.messages).poll_flush(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.messages)
            .poll_flush(cx)
            .map_err(Into::into)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.messages)
            .poll_close(cx)
            .map_err(Into::into)
    }
}

impl<S> fmt::Debug for WsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsStream")
            .field("subprotocol", &self.subprotocol())
            .finish_non_exhaustive()
    }
}
