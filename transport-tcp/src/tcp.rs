//! The TCP dialer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::{Target, Url};
use failover_core::failure::Phase;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::error::{AddressError, TcpError};

/// Dials host and port of a target's URL over TCP, whatever its scheme: the innermost layer of
/// `tcp`, `tls`, `ws` and `wss` alike.
///
/// * The port is the URL's; without one, 80 for `ws` and 443 for `wss`; otherwise the
///   [`default_port`](Self::default_port). There is no default for it: a URL without a port is then
///   refused by [`check`](Dial::check).
/// * A name is resolved at every dial, so that a reconnect sees a server that moved.
/// * All addresses of a name are tried in the resolver's order, each with an equal share of the
///   time that is left; the last one has all of it. A dial without a deadline leaves each to the
///   system's own limit (about two minutes on Linux).
/// * Nagle's algorithm is off (`TCP_NODELAY`) before any layer above sends its first byte.
///
/// # Cancel safety
/// Dropping the dial closes the half-open socket at once. A look-up that is under way cannot be
/// taken back: it ends by itself on one of the runtime's blocking threads.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    default_port: Option<u16>,
}

impl Tcp {
    /// A dialer without a default port.
    #[must_use]
    pub const fn new() -> Self {
        Self { default_port: None }
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
}

impl Dial for Tcp {
    type Conn = TcpStream;
    type Error = TcpError;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<TcpStream, TcpError> {
        let port = self.port(to.url())?;
        let addresses = resolve(to.url().host(), port, cx).await?;
        connect_to_first(to.url().host(), &addresses, cx).await
    }

    fn check(&self, to: &Target) -> Result<(), TcpError> {
        self.port(to.url()).map(|_| ())
    }
}

fn port_of_scheme(scheme: &str) -> Option<u16> {
    match scheme {
        "ws" => Some(80),
        "wss" => Some(443),
        _ => None,
    }
}

async fn resolve(host: &str, port: u16, cx: &DialContext) -> Result<Vec<SocketAddr>, TcpError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    cx.enter(Phase::Resolve);
    let addresses: Vec<SocketAddr> = lookup_host((host, port))
        .await
        .map_err(|source| TcpError::Resolve {
            host: host.to_string(),
            source,
        })?
        .collect();
    if addresses.is_empty() {
        return Err(TcpError::NoAddress {
            host: host.to_string(),
        });
    }
    Ok(addresses)
}

async fn connect_to_first(
    host: &str,
    addresses: &[SocketAddr],
    cx: &DialContext,
) -> Result<TcpStream, TcpError> {
    cx.enter(Phase::Connect);
    let mut failed = Vec::new();
    for (tried, &address) in addresses.iter().enumerate() {
        cx.reached(address);
        let share = share(cx.remaining(), addresses.len() - tried);
        match connect(address, share).await {
            Ok(stream) => return Ok(stream),
            Err(source) => failed.push(AddressError { address, source }),
        }
    }
    Err(TcpError::connect(host, failed))
}

/// What one address may take while `left` of them have not been tried. The last one needs no
/// limit: the dial's own deadline ends it, and then the trail tells the phase.
fn share(remaining: Duration, left: usize) -> Option<Duration> {
    if left <= 1 || remaining == Duration::MAX {
        return None;
    }
    Some(remaining / u32::try_from(left).unwrap_or(u32::MAX))
}

async fn connect(address: SocketAddr, share: Option<Duration>) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect(address);
    let stream = match share {
        None => connecting.await?,
        Some(share) => timeout(share, connecting).await.map_err(|_| {
            let told = format!("no answer within its share of the deadline, {share:?}");
            io::Error::new(io::ErrorKind::TimedOut, told)
        })??,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use failover_core::attempt::{AttemptId, Purpose};
    use failover_core::drive::Clock;
    use failover_core::failure::{Classify, Kind};
    use tokio::net::TcpListener;

    use super::*;
    use crate::TokioClock;

    #[test]
    fn each_address_but_the_last_has_its_share_of_what_is_left() {
        let left = Duration::from_secs(9);
        assert_eq!(share(left, 3), Some(Duration::from_secs(3)));
        assert_eq!(share(left, 1), None);
        assert_eq!(share(Duration::ZERO, 2), Some(Duration::ZERO));
        assert_eq!(share(Duration::MAX, 2), None);
    }

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

    #[tokio::test]
    async fn a_refusing_address_is_passed_over_for_the_next() {
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [refusing().await, live.local_addr().unwrap()];
        let cx = DialContext::unbounded();
        let stream = connect_to_first("db", &addresses, &cx).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
        assert_eq!(cx.trail().address(), Some(addresses[1]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_takes_no_more_than_its_share() {
        let (_full, silent) = silent().await;
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [silent, live.local_addr().unwrap()];
        let clock = TokioClock::new();
        let cx = context(clock, Duration::from_secs(10));
        let stream = connect_to_first("db", &addresses, &cx).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
        assert_eq!(cx.remaining(), Duration::from_secs(5), "of 10");
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_addresses_fail_each_is_in_the_error() {
        let (_full, silent) = silent().await;
        let refusing = refusing().await;
        let cx = context(TokioClock::new(), Duration::from_secs(10));
        let error = connect_to_first("db", &[silent, refusing], &cx)
            .await
            .unwrap_err();
        assert_eq!(error.failure().kind, Kind::Timeout);
        let text = error.to_string();
        assert!(text.starts_with("cannot connect to `db`: "), "{text}");
        let told = format!("{silent}: no answer within its share of the deadline, 5s");
        assert!(text.contains(&told), "{text}");
        assert!(text.ends_with(&refusing.to_string()), "{text}");
    }

    fn context(clock: TokioClock, deadline: Duration) -> DialContext {
        DialContext::new(
            AttemptId::new(0),
            1,
            Purpose::First,
            clock.now() + deadline,
            Arc::new(move || clock.now()),
        )
    }

    async fn refusing() -> SocketAddr {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        gone.local_addr().unwrap()
    }

    /// An address whose accept queue is full, so that it answers no more.
    async fn silent() -> (impl Sized, SocketAddr) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let first = TcpStream::connect(address).await.unwrap();
        ((listener, first), address)
    }
}
