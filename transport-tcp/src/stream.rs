//! A byte stream whose type is not known until run time.

use std::any::{Any, type_name};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use failover_core::drive::Loss;
use failover_core::failure::{Failure, Kind};
use failover_core::messaging::Wire;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Any stream of bytes: plain TCP here, TLS or WebSocket there.
///
/// It unites transports of different connection types in one registry.
///
/// ```
/// use failover_core::dial::{Dial, Registry};
/// use transport_tcp::{ByteStream, Tcp};
///
/// let registry = Registry::default()
///     .with("tcp", Tcp::new().map(ByteStream::new))
///     .with("nats", Tcp::new().default_port(4222).map(ByteStream::new));
/// assert_eq!(registry.schemes().collect::<Vec<_>>(), ["nats", "tcp"]);
/// ```
pub struct ByteStream {
    io: Box<dyn Io>,
    kind: &'static str,
    /// What a keeper has read, for the session to read first.
    ahead: VecDeque<u8>,
}

/// How much a keeper reads ahead.
const READ_AHEAD: usize = 4 * 1024;

impl ByteStream {
    /// Erases the type of this stream.
    #[must_use]
    pub fn new<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(io: T) -> Self {
        Self {
            io: Box::new(io),
            kind: type_name::<T>(),
            ahead: VecDeque::new(),
        }
    }

    /// The stream inside, if it is one of this type: for what only that type can do, such as to
    /// answer for its address or to end a TCP connection by a reset.
    ///
    /// ```
    /// use tokio::net::TcpStream;
    /// use transport_tcp::ByteStream;
    ///
    /// fn end_by_reset(stream: ByteStream) -> std::io::Result<()> {
    ///     match stream.get_ref::<TcpStream>() {
    ///         Some(tcp) => tcp.set_zero_linger(), // and dropped
    ///         None => Ok(()),                     // TLS and WebSocket miss the goodbye instead
    ///     }
    /// }
    ///
    /// let (pipe, _) = tokio::io::duplex(1);
    /// let stream = ByteStream::new(pipe);
    /// assert!(stream.get_ref::<tokio::io::DuplexStream>().is_some());
    /// assert!(end_by_reset(stream).is_ok());
    /// ```
    #[must_use]
    pub fn get_ref<T: 'static>(&self) -> Option<&T> {
        let io: &dyn Any = &*self.io;
        io.downcast_ref()
    }

    /// Ready when the stream has ended or failed: a keeper of spares, for
    /// [`ConnectorBuilder::keeper`](failover_core::drive::ConnectorBuilder::keeper), whatever the
    /// transport (over WebSocket it answers pings and sends its own, over TLS it takes tickets in).
    ///
    /// It reads ahead, up to 4 KiB, which the session then reads first. A peer that has sent more to a
    /// connection that nobody uses is not looked after any more.
    ///
    /// ```
    /// # use failover_core::dial::{Dial, Registry};
    /// # use failover_core::directory::Endpoint;
    /// use failover_core::drive::Connector;
    /// use transport_tcp::{ByteStream, Tcp, TokioClock};
    ///
    /// # let registry = Registry::default().with("tcp", Tcp::new().map(ByteStream::new));
    /// let connector = Connector::builder(registry, TokioClock::new())
    ///     .endpoint(Endpoint::parse("tcp://a.example:7000")?)
    ///     .keeper(|_| ByteStream::poll_ended)
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Loss> {
        let mut piece = [0; 512];
        while self.ahead.len() < READ_AHEAD {
            let mut read = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut self.io).poll_read(cx, &mut read)) {
                Ok(()) if read.filled().is_empty() => {
                    return Poll::Ready(Failure::new(Kind::Closed).into());
                }
                Ok(()) => self.ahead.extend(read.filled()),
                Err(error) => return Poll::Ready(error.into()),
            }
        }
        Poll::Pending
    }

    /// What was read ahead, as much as there is room for. Whether there was any.
    #[inline]
    fn read_ahead(&mut self, into: &mut ReadBuf<'_>) -> bool {
        if self.ahead.is_empty() {
            return false;
        }
        let (first, _) = self.ahead.as_slices();
        let room = first.len().min(into.remaining());
        into.put_slice(&first[..room]);
        self.ahead.drain(..room);
        if self.ahead.is_empty() {
            self.ahead = VecDeque::new();
        }
        true
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin + Any {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ByteStream({})", self.kind)
    }
}

impl AsyncRead for ByteStream {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_ahead(buf) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for ByteStream {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// What a link carries messages over.
impl Wire for ByteStream {
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut into = ReadBuf::new(into);
        if !self.read_ahead(&mut into) {
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut into))?;
        }
        Poll::Ready(Ok(into.filled().len()))
    }

    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
