//! An established connection as a stream of messages.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use failover_core::heartbeat::{Action, Heartbeat, Monitor};
use futures_core::Stream;
use futures_core::stream::FusedStream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as Tungstenite, Message, Utf8Bytes};

use crate::metered::Metered;
use crate::session::SessionError;
use crate::watch::{Due, Watches};

/// A WebSocket connection: a `Stream` of what the server sends, a `Sink` for what it is sent.
///
/// * Pings are answered while the stream is polled; they are given out too, as a sign of life. So
///   are pongs: send a `Message::Ping` and see its `Message::Pong` come back, or let
///   [`keepalive`](crate::WsConfig::keepalive) do both.
/// * What was sent goes out with a flush, when the write buffer is full, or when the stream is read.
/// * A close frame is given out as the last message ([`SessionError::from_close`] judges it), and
///   answered without waiting for the server to hang up; then the stream ends.
/// * After an error the stream ends. A server that broke the protocol is told the reason with a
///   close frame, as far as that can be sent at once.
/// * [`poll_close`](Sink::poll_close) says goodbye with code 1000; what the server still sends can
///   be read within the [grace](crate::WsConfig::close_grace). [`hang_up`](Self::hang_up) does all
///   of it. Merely dropping the connection cuts it off.
///
/// # Cancel safety
///
/// No message is lost when a `next()` is dropped. A dropped `send()` has sent its message or not;
/// what was taken is written by the next flush, and never in part.
pub struct MessageStream<S> {
    ws: WebSocketStream<Metered<S>>,
    subprotocol: Option<String>,
    /// The largest message that may be sent, in bytes.
    max_send: usize,
    close_grace: Duration,
    watches: Watches,
    /// How much was received when the watch was told last.
    received: u64,
    reading: Reading,
    writing: Writing,
    written: Written,
    /// Whoever waits for something to come.
    reader: Option<Waker>,
    /// Whoever waits for room to write.
    writer: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Open,
    /// Given up by the writer: the reader has not been told.
    Untold,
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    Open,
    /// A close frame is on its way: ours, or the answer to the server's.
    Closing,
    /// Given up.
    Over,
}

/// What was handed over to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Flushed,
    Unflushed,
}

impl<S> MessageStream<S> {
    pub(crate) fn new(
        ws: WebSocketStream<Metered<S>>,
        subprotocol: Option<String>,
        max_send: usize,
        close_grace: Duration,
        keepalive: Option<&Heartbeat>,
    ) -> Self {
        Self {
            ws,
            subprotocol,
            max_send,
            close_grace,
            watches: Watches::new(keepalive),
            received: 0,
            reading: Reading::Open,
            writing: Writing::Open,
            written: Written::Flushed,
            reader: None,
            writer: None,
        }
    }

    /// The subprotocol that the server chose.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Ends both directions, and wakes whoever waits for one of them.
    fn give_up(&mut self, error: SessionError) -> SessionError {
        self.reading = Reading::Untold;
        self.writing = Writing::Over;
        for waiting in [self.reader.take(), self.writer.take()] {
            waiting.into_iter().for_each(Waker::wake);
        }
        error
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> MessageStream<S> {
    /// The connection below.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.ws.get_ref().inner
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
    pub async fn hang_up(mut self) -> Result<(), SessionError> {
        poll_fn(|cx| Pin::new(&mut self).poll_close(cx)).await?;
        while let Some(message) = poll_fn(|cx| Pin::new(&mut self).poll_next(cx)).await {
            message?;
        }
        poll_fn(|cx| Pin::new(&mut self).poll_close(cx)).await
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

    /// What the watch asks the reader to do.
    fn on_due(&mut self, due: Due) -> Result<(), SessionError> {
        match due {
            Due::Heartbeat(Action::Ping) => self.send_unasked(Message::Ping(Bytes::new())),
            Due::Heartbeat(Action::Beat) => self.send_unasked(Message::Pong(Bytes::new())),
            Due::Heartbeat(Action::Stale(why)) => {
                return Err(self.give_up(SessionError::Stale(why)));
            }
            Due::Heartbeat(_) => {}
            Due::Close => return Err(self.give_up(SessionError::Unanswered)),
        }
        Ok(())
    }

    /// Without room for it, the server takes nothing in: nothing is lost if it stays away.
    fn send_unasked(&mut self, message: Message) {
        if self.writing == Writing::Open && Pin::new(&mut self.ws).start_send(message).is_ok() {
            self.written = Written::Unflushed;
        }
    }

    fn note_received(&mut self) {
        let received = self.ws.get_ref().received();
        if received != self.received {
            self.received = received;
            self.watches.reading.tell(Monitor::handle_received);
        }
    }

    fn note_flushed(&mut self) {
        if self.written == Written::Unflushed {
            self.written = Written::Flushed;
            self.watches.reading.tell(Monitor::handle_written);
        }
        self.watches.writing.tell(Monitor::handle_written);
    }

    /// Pushes on what was written, on behalf of the reader. An error of the connection is left to
    /// the next write: what can still be read comes first.
    fn push_written(&mut self, cx: &mut Context<'_>) -> Result<(), SessionError> {
        if self.written == Written::Flushed {
            return Ok(());
        }
        // tungstenite keeps one waker for writing: it must not forget a writer in another task.
        let waker = match &self.writer {
            Some(writer) if !writer.will_wake(cx.waker()) => Waker::from(Arc::new(Both {
                reader: cx.waker().clone(),
                writer: writer.clone(),
            })),
            _ => cx.waker().clone(),
        };
        let cx = &mut Context::from_waker(&waker);
        if Pin::new(&mut self.ws).poll_flush(cx).is_ready() {
            self.note_flushed();
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
            return Ok(());
        }
        match self.poll_stuck(cx) {
            Poll::Ready(error) => Err(error),
            Poll::Pending => Ok(()),
        }
    }

    /// Remembers who waits for this, as long as it is pending, and for how long.
    fn poll_as_writer(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(
            Pin<&mut WebSocketStream<Metered<S>>>,
            &mut Context<'_>,
        ) -> Poll<Result<(), Tungstenite>>,
    ) -> Poll<Result<(), SessionError>> {
        if self.writing == Writing::Over {
            return Poll::Ready(Err(SessionError::Ended));
        }
        match poll(Pin::new(&mut self.ws), cx) {
            Poll::Ready(result) => {
                self.writer = None;
                Poll::Ready(result.map_err(Into::into))
            }
            Poll::Pending => {
                remember(&mut self.writer, cx);
                self.poll_stuck(cx).map(Err)
            }
        }
    }

    /// A write is pending: for too long?
    fn poll_stuck(&mut self, cx: &mut Context<'_>) -> Poll<SessionError> {
        self.watches.writing.tell(Monitor::handle_writing);
        let error = match ready!(self.watches.writing.poll_due(cx)) {
            Due::Heartbeat(Action::Stale(why)) => SessionError::Stale(why),
            // It knows no other action.
            Due::Heartbeat(_) | Due::Close => SessionError::Unanswered,
        };
        Poll::Ready(self.give_up(error))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for MessageStream<S> {
    type Item = Result<Message, SessionError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match this.reading {
            Reading::Open => {}
            Reading::Untold => {
                this.reading = Reading::Ended;
                return Poll::Ready(Some(Err(SessionError::Ended)));
            }
            Reading::Ended => return Poll::Ready(None),
        }
        loop {
            let mut ended = this.push_written(cx);
            if ended.is_ok() {
                let polled = Pin::new(&mut this.ws).poll_next(cx);
                this.note_received();
                match polled {
                    Poll::Ready(Some(Ok(message))) => {
                        if message.is_close() {
                            this.on_close(cx);
                        }
                        return Poll::Ready(Some(Ok(message)));
                    }
                    Poll::Ready(Some(Err(error))) => {
                        let error = error.into();
                        this.on_error(&error);
                        return Poll::Ready(Some(Err(error)));
                    }
                    Poll::Ready(None) => {
                        this.reading = Reading::Ended;
                        return Poll::Ready(None);
                    }
                    Poll::Pending => {}
                }
                let Poll::Ready(due) = this.watches.reading.poll_due(cx) else {
                    remember(&mut this.reader, cx);
                    return Poll::Pending;
                };
                ended = this.on_due(due);
            }
            if let Err(error) = ended {
                this.reading = Reading::Ended;
                return Poll::Ready(Some(Err(error)));
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
        ready!(self.poll_as_writer(cx, Sink::poll_ready))?;
        self.watches.writing.tell(Monitor::handle_written);
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SessionError> {
        if self.writing != Writing::Open {
            return Err(SessionError::Ended);
        }
        if size(&message) > self.max_send {
            return Err(SessionError::Unsent(Box::new(message)));
        }
        if message.is_close() {
            self.writing = Writing::Closing;
        }
        Pin::new(&mut self.ws).start_send(message)?;
        self.written = Written::Unflushed;
        Ok(())
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SessionError>> {
        ready!(self.poll_as_writer(cx, Sink::poll_flush))?;
        self.note_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SessionError>> {
        let grace = self.close_grace;
        self.watches.reading.close_within(grace);
        self.watches.writing.close_within(grace);
        // First an empty buffer: a close frame that finds no room in it would be lost.
        ready!(self.as_mut().poll_flush(cx))?;
        if self.writing == Writing::Open {
            self.as_mut().start_send(goodbye(CloseCode::Normal))?;
            ready!(self.as_mut().poll_flush(cx))?;
        }
        match self.reading {
            Reading::Open => {
                // Whoever reads already does not know of the grace yet.
                self.reader.take().into_iter().for_each(Waker::wake);
                Poll::Ready(Ok(()))
            }
            Reading::Untold | Reading::Ended => self.poll_as_writer(cx, |ws, cx| {
                let below = &mut ws.get_mut().get_mut().inner;
                Pin::new(below).poll_shutdown(cx).map_err(Tungstenite::Io)
            }),
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

fn remember(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
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
