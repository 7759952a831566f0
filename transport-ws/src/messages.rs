//! An established connection as a stream of messages.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::session::SessionError;

/// A WebSocket connection: a `Stream` of what the server sends, a `Sink` for what it is sent.
///
/// * Pings are answered while the stream is polled; they are given out too, as a sign of life.
/// * A close frame is given out as the last message ([`SessionError::from_close`] judges it), and
///   answered without waiting for the server to hang up; then the stream ends.
/// * After an error the stream ends. A server that broke the protocol is told the reason with a
///   close frame, as far as that can be sent at once.
/// * [`poll_close`](Sink::poll_close) says goodbye with code 1000; what the server still sends can
///   be read. Merely dropping the connection cuts it off.
///
/// # Cancel safety
///
/// No message is lost when a `next()` is dropped. A dropped `send()` has sent its message or not;
/// what was taken is written by the next flush, and never in part.
pub struct MessageStream<S> {
    ws: WebSocketStream<S>,
    subprotocol: Option<String>,
    /// The largest message that may be sent, in bytes.
    max_send: usize,
    reading: Reading,
    writing: Writing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Open,
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    Open,
    /// A close frame is on its way: ours, or the answer to the server's.
    Closing,
}

impl<S> MessageStream<S> {
    pub(crate) fn new(
        ws: WebSocketStream<S>,
        subprotocol: Option<String>,
        max_send: usize,
    ) -> Self {
        Self {
            ws,
            subprotocol,
            max_send,
            reading: Reading::Open,
            writing: Writing::Open,
        }
    }

    /// The subprotocol that the server chose.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// tungstenite's own stream, for what is not offered here.
    #[must_use]
    pub fn into_inner(self) -> WebSocketStream<S> {
        self.ws
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> MessageStream<S> {
    /// The connection below.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        self.ws.get_ref()
    }

    fn on_close(&mut self, cx: &mut Context<'_>) {
        self.reading = Reading::Ended;
        self.writing = Writing::Closing;
        // The answer waits inside and goes out with the next read. Not `poll_flush`: that would
        // take the place of the waker of a writer in another task.
        let _ = Pin::new(&mut self.ws).poll_next(cx);
    }

    fn on_error(&mut self, error: &SessionError) {
        self.reading = Reading::Ended;
        if let (Some(code), Writing::Open) = (error.reply(), self.writing) {
            self.writing = Writing::Closing;
            // As far as it can be written at once; it wakes and waits for nobody.
            let _ = Pin::new(&mut self.ws).start_send(goodbye(code));
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for MessageStream<S> {
    type Item = Result<Message, SessionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.reading == Reading::Ended {
            return Poll::Ready(None);
        }
        match ready!(Pin::new(&mut this.ws).poll_next(cx)) {
            Some(Ok(message)) => {
                if message.is_close() {
                    this.on_close(cx);
                }
                Poll::Ready(Some(Ok(message)))
            }
            Some(Err(error)) => {
                let error = error.into();
                this.on_error(&error);
                Poll::Ready(Some(Err(error)))
            }
            None => {
                this.reading = Reading::Ended;
                Poll::Ready(None)
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> FusedStream for MessageStream<S> {
    fn is_terminated(&self) -> bool {
        self.reading == Reading::Ended
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Message> for MessageStream<S> {
    type Error = SessionError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SessionError>> {
        Pin::new(&mut self.ws).poll_ready(cx).map_err(Into::into)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SessionError> {
        if self.writing == Writing::Closing {
            return Err(SessionError::Ended);
        }
        if size(&message) > self.max_send {
            return Err(SessionError::Unsent(Box::new(message)));
        }
        if message.is_close() {
            self.writing = Writing::Closing;
        }
        Ok(Pin::new(&mut self.ws).start_send(message)?)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SessionError>> {
        Pin::new(&mut self.ws).poll_flush(cx).map_err(Into::into)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SessionError>> {
        // First an empty buffer: a close frame that finds no room in it would be lost.
        ready!(self.as_mut().poll_flush(cx))?;
        if self.writing == Writing::Open {
            self.as_mut().start_send(goodbye(CloseCode::Normal))?;
            ready!(self.as_mut().poll_flush(cx))?;
        }
        match self.reading {
            Reading::Open => Poll::Ready(Ok(())),
            Reading::Ended => Pin::new(self.ws.get_mut())
                .poll_shutdown(cx)
                .map_err(SessionError::Io),
        }
    }
}

impl<S> fmt::Debug for MessageStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageStream")
            .field("subprotocol", &self.subprotocol)
            .finish_non_exhaustive()
    }
}

/// The size without the head, which a message that was handed back has already got.
fn size(message: &Message) -> usize {
    if let Message::Frame(frame) = message {
        return frame.payload().len();
    }
    message.len()
}

fn goodbye(code: CloseCode) -> Message {
    Message::Close(Some(CloseFrame {
        code,
        reason: Utf8Bytes::default(),
    }))
}
