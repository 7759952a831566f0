//! The TLS layer.

use std::fmt;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::endpoint::Security;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::{TlsClient, server_name};
use crate::error::TlsError;
use crate::stream::TlsStream;

/// Any other dialer, with TLS over its connections: `Tls<Tcp>` is `tls`.
///
/// The certificate must be valid for the endpoint's [`ServerName`](crate::ServerName) option, or else
/// for the name that a learned endpoint inherited
/// ([`CertificateName`](failover_core::directory::CertificateName)), or else for the URL's host. An
/// endpoint may also have an [`Alpn`](crate::Alpn) or a whole [`TlsClient`] of its own.
/// There is no deadline here and no fallback to plain text. Clones share the client and so the
/// sessions that a reconnect resumes.
///
/// A protocol that begins in plain text is an [`Upgrade`](crate::Upgrade).
///
/// # Cancel safety
/// Dropping the dial closes the connection, wherever the handshake stands.
///
/// ```no_run
/// use failover_core::dial::{Dial, DialContext};
/// use failover_core::directory::Target;
/// use transport_tcp::Tcp;
/// use transport_tls::{Tls, TlsConfig};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let dialer = Tls::new(Tcp::new(), TlsConfig::new().client()?);
/// let target = Target::parse("tls://broker.example:7443")?;
/// let stream = dialer.dial(&target, &DialContext::unbounded()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls<D> {
    inner: D,
    client: TlsClient,
}

impl<D> Tls<D> {
    /// TLS over the connections of `inner`, with this client, or with a rustls configuration as it
    /// is (`Arc<ClientConfig>`). Make the client with [`TlsConfig`](crate::TlsConfig), once for all
    /// dialers of a kind.
    #[must_use]
    pub fn new(inner: D, client: impl Into<TlsClient>) -> Self {
        Self {
            inner,
            client: client.into(),
        }
    }
}

impl<D: fmt::Debug> fmt::Debug for Tls<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.inner).finish()
    }
}

impl<D> Dial for Tls<D>
where
    D: Dial,
    D::Conn: AsyncRead + AsyncWrite + Unpin,
{
    type Conn = TlsStream<D::Conn>;
    type Error = TlsError<D::Error>;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<Self::Conn, Self::Error> {
        server_name(to)?;
        let stream = self.inner.dial(to, cx).await.map_err(TlsError::Inner)?;
        self.client.handshake(stream, to, cx).await
    }

    fn security(&self, _to: &Target) -> Security {
        Security::Tls
    }

    fn check(&self, to: &Target) -> Result<(), Self::Error> {
        self.inner.check(to).map_err(TlsError::Inner)?;
        server_name(to).map(|_| ())
    }
}
