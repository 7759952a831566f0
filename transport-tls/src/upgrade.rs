//! TLS that begins later: after words in clear text.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::endpoint::Security;
use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::client::{TlsClient, server_name};
use crate::error::TlsError;
use crate::stream::TlsStream;

/// What a protocol says in clear text before TLS begins (the `INFO` of NATS, `STARTTLS` and its
/// answer), and what it learns there.
///
/// Nothing that is heard before TLS is protected: hear the same again afterwards where it matters.
pub trait Prelude: Send + Sync {
    /// What was learned, handed on with the connection.
    type Learned: Send + 'static;
    /// Why the prelude failed. [`PreludeError`] does where a protocol has nothing to add.
    type Error: std::error::Error + Classify + Send + Sync + 'static;

    /// What the client waits for while it speaks: in the error of a server that says nothing.
    fn awaited(&self) -> &'static str {
        "the server's word on TLS"
    }

    /// Speaks up to the point at which the TLS handshake begins, and reads not a byte beyond it:
    /// [`read_line`] does so.
    fn speak<S: AsyncRead + AsyncWrite + Unpin + Send>(
        &self,
        stream: &mut S,
        to: &Target,
    ) -> impl Future<Output = Result<Offer<Self::Learned>, Self::Error>> + Send;
}

/// How a prelude ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer<L> {
    /// TLS begins now.
    Tls(L),
    /// The server has no TLS, or does not want it.
    Plain(L),
}

/// Any other dialer, with a prelude in clear text and then TLS over its connections.
///
/// TLS is required, unless [`or_plain`](Self::or_plain) says otherwise: a server that offers none is
/// refused, because the offer itself is not protected. And once a server has been reached over TLS it
/// must be so ever after (told by host and port, for as long as this dialer or a clone lives; of more than 4096
/// such servers the one is forgotten that was reached longest ago).
///
/// # Cancel safety
/// Dropping the dial closes the connection, in the prelude and in the handshake.
///
/// ```
/// use failover_core::directory::Target;
/// use tokio::io::{AsyncRead, AsyncWrite};
/// use transport_tls::{Offer, Prelude, PreludeError, read_line};
///
/// /// The server greets with a line; TLS follows if the line says so.
/// struct Info;
///
/// impl Prelude for Info {
///     type Learned = String;
///     type Error = PreludeError;
///
///     async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send>(
///         &self,
///         stream: &mut S,
///         _to: &Target,
///     ) -> Result<Offer<String>, PreludeError> {
///         let info = read_line(stream, 4096).await?;
///         Ok(if info.contains("\"tls_required\":true") {
///             Offer::Tls(info)
///         } else {
///             Offer::Plain(info)
///         })
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Upgrade<D, P> {
    inner: D,
    prelude: P,
    client: TlsClient,
    plain: Plain,
    protected: Arc<Mutex<Protected>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    Refused,
    Accepted,
}

impl<D, P> Upgrade<D, P> {
    /// TLS after this prelude over the connections of `inner`.
    #[must_use]
    pub fn new(inner: D, prelude: P, client: impl Into<TlsClient>) -> Self {
        Self {
            inner,
            prelude,
            client: client.into(),
            plain: Plain::Refused,
            protected: Arc::default(),
        }
    }

    /// The same, staying in plain text with servers that offer no TLS and never have. Whoever can
    /// change what goes over the wire can make any server look like that.
    #[must_use]
    pub fn or_plain(mut self) -> Self {
        self.plain = Plain::Accepted;
        self
    }

    fn is_protected(&self, to: &Target) -> bool {
        self.protected().holds(&to.url().authority())
    }

    fn protected(&self) -> MutexGuard<'_, Protected> {
        // The list is always whole.
        self.protected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Host and port of servers that were reached over TLS, the latest last.
#[derive(Default)]
struct Protected(Vec<String>);

/// So many are remembered.
const MOST: usize = 4096;

impl Protected {
    #[inline]
    fn holds(&self, server: &str) -> bool {
        self.0.iter().any(|known| known == server)
    }

    fn add(&mut self, server: String) {
        if let Some(at) = self.0.iter().position(|known| *known == server) {
            self.0[at..].rotate_left(1);
            return;
        }
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push(server);
    }
}

impl<D: fmt::Debug, P> fmt::Debug for Upgrade<D, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = f.debug_struct("Upgrade");
        told.field("inner", &self.inner).field("plain", &self.plain);
        told.finish_non_exhaustive()
    }
}

impl<D, P> Dial for Upgrade<D, P>
where
    D: Dial,
    D::Conn: AsyncRead + AsyncWrite + Unpin,
    P: Prelude,
{
    type Conn = Upgraded<D::Conn, P::Learned>;
    type Error = UpgradeError<D::Error, P::Error>;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<Self::Conn, Self::Error> {
        server_name(to)?;
        let mut stream = self.inner.dial(to, cx).await.map_err(TlsError::Inner)?;
        cx.enter(Phase::Upgrade);
        cx.awaits(self.prelude.awaited());
        let offer = self.prelude.speak(&mut stream, to).await;
        match offer.map_err(UpgradeError::Prelude)? {
            Offer::Tls(learned) => {
                let stream = self.client.handshake(stream, to, cx).await?;
                self.protected().add(to.url().authority());
                cx.learn(Security::Tls);
                Ok(Upgraded {
                    stream: MaybeTls::Tls(Box::new(stream)),
                    learned,
                })
            }
            Offer::Plain(_) if self.is_protected(to) => Err(UpgradeError::Downgrade {
                server: to.url().authority(),
            }),
            Offer::Plain(_) if self.plain == Plain::Refused => Err(UpgradeError::NoTls {
                server: to.url().authority(),
            }),
            Offer::Plain(learned) => {
                cx.learn(Security::Plain);
                Ok(Upgraded {
                    stream: MaybeTls::Plain(stream),
                    learned,
                })
            }
        }
    }

    fn security(&self, to: &Target) -> Security {
        if self.plain == Plain::Refused || self.is_protected(to) {
            Security::Tls
        } else {
            Security::Plain
        }
    }

    fn check(&self, to: &Target) -> Result<(), Self::Error> {
        self.inner.check(to).map_err(TlsError::Inner)?;
        server_name(to)?;
        Ok(())
    }
}

/// Why a dial with an upgrade failed; `E` is the error of the layer below, `P` the prelude's.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UpgradeError<E, P> {
    /// The layer below, or TLS.
    #[error(transparent)]
    Tls(#[from] TlsError<E>),
    /// What was said in clear text.
    #[error("no agreement on TLS")]
    Prelude(#[source] P),
    /// The server offers no TLS.
    #[error("`{server}` offers no TLS, and TLS is required")]
    NoTls {
        /// The server's host and port.
        server: String,
    },
    /// The server has been reached over TLS before and offers none now.
    #[error("`{server}` offers no TLS any more: refused, because it was reached over TLS before")]
    Downgrade {
        /// The server's host and port.
        server: String,
    },
}

impl<E: Classify, P: Classify> Classify for UpgradeError<E, P> {
    fn failure(&self) -> Failure {
        match self {
            Self::Tls(error) => error.failure(),
            Self::Prelude(error) => {
                let failure = error.failure();
                failure.at(failure.phase.unwrap_or(Phase::Upgrade))
            }
            Self::NoTls { .. } | Self::Downgrade { .. } => Failure::new(Kind::Tls)
                .scope(Scope::Endpoint)
                .at(Phase::Upgrade),
        }
    }
}

/// One line of text, without its end (`\n` or `\r\n`), and not a byte beyond it; at most `longest`
/// bytes.
///
/// # Errors
/// When the connection ends, the line is longer or no UTF-8, or the server begins with TLS at once.
///
/// # Cancel safety
/// None: what was read of the line is lost.
pub async fn read_line(
    stream: &mut (impl AsyncRead + Unpin),
    longest: usize,
) -> Result<String, PreludeError> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match byte {
            [b'\n'] => break,
            [byte] => line.push(byte),
        }
        if is_tls(&line) {
            return Err(PreludeError::Tls);
        }
        if line.len() > longest {
            return Err(PreludeError::TooLong { longest });
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| PreludeError::NotText)
}

/// Whether this is the beginning of a TLS record with an alert or a handshake message.
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 0x03, ..])
}

/// Why a prelude failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PreludeError {
    /// The connection ended.
    #[error("the connection ended before TLS could begin")]
    Io(#[from] io::Error),
    /// The line is too long.
    #[error("a line is longer than {longest} bytes")]
    TooLong {
        /// The longest that is read.
        longest: usize,
    },
    /// The line is not text.
    #[error("a line is not UTF-8")]
    NotText,
    /// The server speaks TLS from the beginning.
    #[error("the server speaks TLS from the first byte: is it a TLS port?")]
    Tls,
    /// The server refuses TLS, in these words.
    #[error("the server refuses: {0}")]
    Refused(String),
}

impl Classify for PreludeError {
    fn failure(&self) -> Failure {
        match self {
            Self::Io(error) => Failure::from_io(error),
            Self::TooLong { .. } | Self::NotText => {
                Failure::new(Kind::Protocol).scope(Scope::Endpoint)
            }
            Self::Tls => Failure::new(Kind::Tls).scope(Scope::Endpoint),
            Self::Refused(_) => Failure::new(Kind::Upgrade).scope(Scope::Endpoint),
        }
        .at(Phase::Upgrade)
    }
}

/// A connection that began in clear text, with what was learned there.
#[derive(Debug)]
pub struct Upgraded<S, L> {
    stream: MaybeTls<S>,
    learned: L,
}

impl<S, L> Upgraded<S, L> {
    /// What the prelude learned.
    #[must_use]
    pub fn learned(&self) -> &L {
        &self.learned
    }

    /// The stream alone, and what the prelude learned.
    #[must_use]
    pub fn into_parts(self) -> (MaybeTls<S>, L) {
        (self.stream, self.learned)
    }
}

/// A stream with TLS or without.
#[derive(Debug)]
#[non_exhaustive]
pub enum MaybeTls<S> {
    /// In plain text.
    Plain(S),
    /// With TLS.
    Tls(Box<TlsStream<S>>),
}

macro_rules! forward {
    ($self:ident, $io:ident => $call:expr) => {
        match $self.get_mut() {
            MaybeTls::Plain(stream) => {
                let $io = Pin::new(stream);
                $call
            }
            MaybeTls::Tls(stream) => {
                let $io = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for MaybeTls<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        forward!(self, io => io.poll_read(cx, buf))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for MaybeTls<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        forward!(self, io => io.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, io => io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, io => io.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self, io => io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, L: Unpin> AsyncRead for Upgraded<S, L> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, L: Unpin> AsyncWrite for Upgraded<S, L> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_protected_servers_the_one_reached_longest_ago_is_forgotten() {
        let mut protected = Protected::default();
        for server in 0..MOST {
            protected.add(server.to_string());
        }
        protected.add("0".to_string());
        protected.add("one more".to_string());
        assert!(protected.holds("0") && protected.holds("2") && protected.holds("one more"));
        assert!(!protected.holds("1"));
        assert_eq!(protected.0.len(), MOST);
    }
}
