//! The TLS layer.

use std::fmt;
use std::sync::Arc;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{CertificateName, Target};
use failover_core::endpoint::Security;
use failover_core::failure::Phase;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::TlsError;
use crate::name::ServerName;

/// Any other dialer, with TLS over its connections: `Tls<Tcp>` is `tls`.
///
/// The certificate must be valid for the endpoint's [`ServerName`] option, or else for the name that a
/// learned endpoint inherited ([`CertificateName`]), or else for the URL's host.
/// There is no deadline here and no fallback to plain text. Clones share the configuration and so
/// the sessions that a reconnect resumes.
///
/// With TLS 1.3 a server refuses a client's certificate only after the client's handshake is done:
/// such a refusal is an error of the first read.
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
/// let dialer = Tls::new(Tcp::new(), TlsConfig::new().build()?);
/// let target = Target::parse("tls://broker.example:7443")?;
/// let stream = dialer.dial(&target, &DialContext::unbounded()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tls<D> {
    inner: D,
    config: Arc<ClientConfig>,
}

impl<D> Tls<D> {
    /// TLS over the connections of `inner`, as this configuration says. Make it with
    /// [`TlsConfig`](crate::TlsConfig), once for all dialers of a kind.
    #[must_use]
    pub fn new(inner: D, config: Arc<ClientConfig>) -> Self {
        Self { inner, config }
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
        let name = server_name(to)?;
        let stream = self.inner.dial(to, cx).await.map_err(TlsError::Inner)?;
        cx.enter(Phase::Tls);
        TlsConnector::from(Arc::clone(&self.config))
            .connect(name.to_rustls(), stream)
            .await
            .map_err(|error| TlsError::handshake(to.url().authority(), error))
    }

    fn security(&self, _to: &Target) -> Security {
        Security::Tls
    }

    fn check(&self, to: &Target) -> Result<(), Self::Error> {
        self.inner.check(to).map_err(TlsError::Inner)?;
        server_name(to).map(|_| ())
    }
}

fn server_name<E>(to: &Target) -> Result<ServerName, TlsError<E>> {
    if let Some(name) = to.option::<ServerName>() {
        return Ok(name.clone());
    }
    let host = match to.option::<CertificateName>() {
        Some(CertificateName(inherited)) => inherited,
        None => to.url().host(),
    };
    ServerName::of_host(host).map_err(TlsError::Name)
}
