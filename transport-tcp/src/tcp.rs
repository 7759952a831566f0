//! The TCP dialer.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Target, Url};
use failover_core::failure::Phase;
use failover_core::race::Race;
use tokio::net::TcpStream;

use crate::connect::Racing;
use crate::error::TcpError;
use crate::options::TcpOptions;
use crate::proxy::{Proxies, Proxy};
use crate::resolve::Resolve;
use crate::system::SystemResolver;

/// Dials host and port of a target's URL over TCP, whatever its scheme: the innermost layer of
/// `tcp`, `tls`, `ws` and `wss` alike.
///
/// * The port is the URL's; without one, 80 for `ws` and 443 for `wss`; otherwise the
///   [`default_port`](Self::default_port). There is no default for it: a URL without a port is then
///   refused by [`check`](Dial::check).
/// * A name is resolved at every dial, so that a reconnect sees a server that moved. Who resolves
///   it is a [`Resolve`].
/// * All addresses of a name are raced (RFC 8305): families interleaved, at most four at once, each
///   250 ms after the one before or at once when that has failed; the first that connects wins, the
///   others are closed. Where there are more than run at once, each has its share of the time that
///   is left; the last ones have all of it. A dial without a deadline leaves each to the system's
///   own limit (about two minutes on Linux).
/// * An address that gave a connection of which nothing came (its TLS handshake failed, say, or it was
///   lost before it was stable) goes last at the next dial, and those behind it first: a race looks at
///   the connect alone (RFC 8305, section 9).
/// * A connection to itself is refused: where nobody listens, the system may give a connect the very
///   port that it dials, if that is one of those for outgoing connections.
/// * Nagle's algorithm is off (`TCP_NODELAY`) before any layer above sends its first byte; a vanished
///   peer is noticed by keepalive. See [`TcpOptions`], which an endpoint may have of its own.
/// * Targets are reached directly unless [`proxies`](Self::proxies) says otherwise.
///
/// Clones share what their races taught.
///
/// # Cancel safety
/// Dropping the dial closes the half-open sockets at once. A look-up that is under way cannot be
/// taken back: it ends by itself on a thread that nobody waits for ([`SystemResolver`]).
///
/// ```
/// use failover_core::dial::{Dial, DialContext};
/// use failover_core::directory::Target;
/// use transport_tcp::Tcp;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let target = Target::parse(&format!("tcp://{}", listener.local_addr()?))?;
///
/// let stream = Tcp::new().dial(&target, &DialContext::unbounded()).await?;
/// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Tcp {
    default_port: Option<u16>,
    /// The system's, if none.
    resolver: Option<Arc<dyn Resolve>>,
    /// The default race, if none.
    racing: Option<Arc<Racing>>,
    options: TcpOptions,
    /// None, if none: they are large, and most dialers have none.
    proxies: Option<Arc<Proxies>>,
}

impl Tcp {
    /// A dialer without a default port, with the system's resolver and the default race.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            default_port: None,
            resolver: None,
            racing: None,
            options: TcpOptions::new(),
            proxies: None,
        }
    }

    /// The same with a port for URLs that name none and whose scheme has none of its own.
    ///
    /// ```
    /// use failover_core::dial::Dial;
    /// use failover_core::directory::Target;
    /// use transport_tcp::Tcp;
    ///
    /// let nats = Target::parse("nats://a.example")?;
    /// assert_eq!(
    ///     Tcp::new().check(&nats).unwrap_err().to_string(),
    ///     "`nats://a.example` names no port: write `nats://a.example:PORT`",
    /// );
    /// assert!(Tcp::new().default_port(4222).check(&nats).is_ok());
    /// # Ok::<(), failover_core::directory::UrlError>(())
    /// ```
    #[must_use]
    pub const fn default_port(mut self, port: u16) -> Self {
        self.default_port = Some(port);
        self
    }

    /// The same with another resolver than the system's.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// The same with another race of the addresses of a name. [`Race::OFF`] tries one after the
    /// other, each with its share of the deadline.
    #[must_use]
    pub fn race(mut self, race: Race) -> Self {
        self.racing = Some(Arc::new(Racing::new(race)));
        self
    }

    /// The same with these options for its sockets, where an endpoint has none of its own.
    #[must_use]
    pub fn options(mut self, options: TcpOptions) -> Self {
        self.options = options;
        self
    }

    /// The same through these proxies, where an endpoint has none of its own.
    #[must_use]
    pub fn proxies(mut self, proxies: impl Into<Proxies>) -> Self {
        self.proxies = Some(Arc::new(proxies.into()));
        self
    }

    #[inline]
    fn port(&self, url: &Url) -> Result<u16, TcpError> {
        if url.host().is_empty() {
            return Err(TcpError::NoHost {
                url: url.to_string(),
            });
        }
        url.port()
            .or_else(|| port_of_scheme(url.scheme()))
            .or(self.default_port)
            .ok_or_else(|| TcpError::NoPort {
                url: url.to_string(),
                scheme: url.scheme().to_string(),
                host: url.authority(),
            })
    }

    /// A connection to this host: the target's, or its proxy's.
    async fn reach(
        &self,
        host: &str,
        port: u16,
        options: &TcpOptions,
        cx: &DialContext,
    ) -> Result<TcpStream, TcpError> {
        let Ok(address) = host.parse::<IpAddr>() else {
            return Box::pin(self.reach_by_name(host, port, options, cx)).await;
        };
        // It needs no resolver and no race, and whoever is connected holds none of their memory.
        let address = SocketAddr::new(address, port);
        cx.enter(Phase::Connect);
        cx.reached(address);
        let connected = options.connect(address).await;
        connected.map_err(|source| TcpError::Connect {
            host: host.to_string(),
            others: Vec::new(),
            last: address,
            source,
        })
    }

    /// The same through this proxy.
    async fn reach_through(
        &self,
        proxy: &Proxy,
        to: &Target,
        port: u16,
        options: &TcpOptions,
        cx: &DialContext,
    ) -> Result<TcpStream, TcpError> {
        let stream = self
            .reach(proxy.host(), proxy.port(), options, cx)
            .await
            .map_err(|source| TcpError::ProxyAway {
                proxy: proxy.to_string(),
                source: Box::new(source),
            })?;
        cx.enter(Phase::Proxy);
        proxy
            .ask(stream, to.url().host(), port)
            .await
            .map_err(|source| TcpError::Proxy {
                proxy: proxy.to_string(),
                target: to.url().authority(),
                source,
            })
    }

    async fn reach_by_name(
        &self,
        host: &str,
        port: u16,
        options: &TcpOptions,
        cx: &DialContext,
    ) -> Result<TcpStream, TcpError> {
        let mut addresses = self.resolve(host, port, cx).await?;
        options.keep_family(&mut addresses);
        cx.enter(Phase::Connect);
        self.racing()
            .connect(addresses, options, cx)
            .await
            .map_err(|failed| TcpError::connect(host, failed))
    }

    async fn resolve(
        &self,
        host: &str,
        port: u16,
        cx: &DialContext,
    ) -> Result<Vec<SocketAddr>, TcpError> {
        cx.enter(Phase::Resolve);
        let zoned = with_zone(host);
        let resolver: &dyn Resolve = match &self.resolver {
            Some(resolver) if zoned.is_none() => resolver.as_ref(),
            _ => &SystemResolver,
        };
        let asked = zoned.as_deref().unwrap_or(host);
        let host = || host.to_string();
        match resolver.resolve(asked, port).await {
            Ok(found) if found.is_empty() => Err(TcpError::NoAddress { host: host() }),
            Ok(found) => Ok(found),
            Err(source) => Err(TcpError::Resolve {
                host: host(),
                source,
            }),
        }
    }

    fn racing(&self) -> &Racing {
        static DEFAULT: OnceLock<Racing> = OnceLock::new();
        match &self.racing {
            Some(racing) => racing,
            None => DEFAULT.get_or_init(Racing::default),
        }
    }
}

impl Dial for Tcp {
    type Conn = TcpStream;
    type Error = TcpError;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<TcpStream, TcpError> {
        let port = self.port(to.url())?;
        let host = to.url().host();
        let options = to.option().unwrap_or(&self.options);
        let proxies = to.option::<Proxies>().or(self.proxies.as_deref());
        match proxies.and_then(|proxies| proxies.of(to.url(), port)) {
            None => self.reach(host, port, options, cx).await,
            Some(proxy) => Box::pin(self.reach_through(proxy, to, port, options, cx)).await,
        }
    }

    #[inline]
    fn check(&self, to: &Target) -> Result<(), TcpError> {
        self.port(to.url()).map(|_| ())
    }
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp")
            .field("default_port", &self.default_port)
            .field("options", &self.options)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}

/// An IPv6 address with its zone, which is this machine's own affair and no resolver's, as the system
/// reads it. A URL should write `%25eth0` (RFC 6874, section 2), and people write `%eth0`.
fn with_zone(host: &str) -> Option<String> {
    let (address, zone) = host.split_once('%')?;
    address.parse::<Ipv6Addr>().ok()?;
    let encoded = zone.strip_prefix("25").filter(|zone| !zone.is_empty());
    Some(format!("{address}%{}", encoded.unwrap_or(zone)))
}

fn port_of_scheme(scheme: &str) -> Option<u16> {
    match scheme {
        "ws" => Some(80),
        "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_urls_then_the_schemes_then_the_default() {
        let port = |tcp: Tcp, url: &str| tcp.port(&url.parse().unwrap()).ok();
        assert_eq!(port(Tcp::new(), "wss://a:8443"), Some(8443));
        assert_eq!(port(Tcp::new(), "wss://a"), Some(443));
        assert_eq!(port(Tcp::new(), "ws://a"), Some(80));
        assert_eq!(port(Tcp::new().default_port(1), "ws://a"), Some(80));
        assert_eq!(port(Tcp::new().default_port(1), "tls://a"), Some(1));
        assert_eq!(port(Tcp::new(), "tls://a"), None);
        assert_eq!(port(Tcp::new().default_port(1), "unix:/run/a"), None);
    }
}
