//! What is said about a socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

/// What a dialer says about its sockets; also an option of an endpoint, which then beats the
/// dialer's.
///
/// | part | default | what it trades |
/// |---|---|---|
/// | Nagle's algorithm | off | on: fewer packets for many tiny writes, up to 40 ms and more of delay |
/// | keepalive | [`KeepAlive::DEFAULT`]: a silent peer is noticed after 60 s | shorter: sooner; costs packets and battery |
/// | user timeout | the system's (about 15 minutes on Linux) | shorter: unacknowledged data ends the connection sooner; so does a peer that reads nothing for that long |
/// | local address, interface | the system's choice | |
/// | buffers | the system's, which adapt | a size set is fixed: bounded memory, bounded throughput |
///
/// ```
/// use std::time::Duration;
/// use transport_tcp::{KeepAlive, Tcp, TcpOptions};
///
/// let options = TcpOptions::new()
///     .keepalive(KeepAlive::after(Duration::from_secs(10)))
///     .local_address("127.0.0.1".parse()?);
/// let dialer = Tcp::new().options(options);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    nagle: Nagle,
    keepalive: Option<KeepAlive>,
    user_timeout: Option<Duration>,
    local_address: Option<IpAddr>,
    interface: Option<String>,
    receive_buffer: Option<usize>,
    send_buffer: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nagle {
    Off,
    On,
}

impl TcpOptions {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            nagle: Nagle::Off,
            keepalive: Some(KeepAlive::DEFAULT),
            user_timeout: None,
            local_address: None,
            interface: None,
            receive_buffer: None,
            send_buffer: None,
        }
    }

    /// The same with Nagle's algorithm: small writes wait for each other.
    #[must_use]
    pub const fn with_nagle(mut self) -> Self {
        self.nagle = Nagle::On;
        self
    }

    /// The same without Nagle's algorithm, which is the default: small writes go out at once.
    #[must_use]
    pub const fn without_nagle(mut self) -> Self {
        self.nagle = Nagle::Off;
        self
    }

    /// The same with these probes of an idle connection.
    #[must_use]
    pub const fn keepalive(mut self, keepalive: KeepAlive) -> Self {
        self.keepalive = Some(keepalive);
        self
    }

    /// The same without probes: a peer that vanishes while nothing is sent is never noticed.
    #[must_use]
    pub const fn without_keepalive(mut self) -> Self {
        self.keepalive = None;
        self
    }

    /// The same with `TCP_USER_TIMEOUT`: the connection ends when what was sent stays
    /// unacknowledged for so long, and then keepalive ends it after this time, too.
    ///
    /// Linux counts a peer that lives and reads nothing (a closed window) as well: choose it above
    /// the longest pause of a slow reader.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "fuchsia"))]
    #[must_use]
    pub const fn user_timeout(mut self, after: Duration) -> Self {
        self.user_timeout = Some(after);
        self
    }

    /// The same from this local address. Addresses of the other family are then not tried, if there
    /// are others. (The port is the system's choice: a fixed one would be taken at the next
    /// reconnect. It is this connection's alone, wherever that leads: all that have this local address
    /// share the range of ports, about 28 000 on Linux, which is otherwise there for each server.)
    #[must_use]
    pub const fn local_address(mut self, address: IpAddr) -> Self {
        self.local_address = Some(address);
        self
    }

    /// The same over this network interface and no other (`SO_BINDTODEVICE`).
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "fuchsia"))]
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// The same with a receive buffer of this many bytes. (Linux doubles it.)
    #[must_use]
    pub const fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// The same with a send buffer of this many bytes. (Linux doubles it.)
    #[must_use]
    pub const fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// Those of these addresses that the local address can reach, or all if it can reach none: then
    /// the error says so.
    pub(crate) fn keep_family(&self, addresses: &mut Vec<SocketAddr>) {
        if let Some(local) = self.local_address {
            let fits = |address: &SocketAddr| address.is_ipv4() == local.is_ipv4();
            if addresses.iter().any(fits) {
                addresses.retain(fits);
            }
        }
    }

    /// A connection to this address.
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let connected = connected(self.socket(address)?, address).await;
        let stream = connected.map_err(|error| out_of_reach(error, address))?;
        self.set_up(&stream)?;
        Ok(stream)
    }

    /// What needs no connect: said before any layer above writes, and not to a peer that refuses.
    #[inline]
    fn set_up(&self, stream: &TcpStream) -> io::Result<()> {
        if self.nagle == Nagle::Off {
            stream.set_nodelay(true)?;
        }
        if let Some(keepalive) = self.keepalive {
            SockRef::from(stream).set_tcp_keepalive(&keepalive.to_socket2())?;
        }
        // Before the connect it would bound that, too, which is the deadline's work.
        self.bound_silence(stream)
    }

    #[inline]
    fn socket(&self, address: SocketAddr) -> io::Result<Socket> {
        let socket = non_blocking(Domain::for_address(address));
        let socket = socket.map_err(|error| out_of_reach(error, address))?;
        // Before the connect: the window scale is agreed there.
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        self.bind_interface(&socket)?;
        if let Some(local) = self.local_address {
            bind(&socket, local, address)?;
        }
        Ok(socket)
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "fuchsia"))]
    #[inline]
    fn bind_interface(&self, socket: &Socket) -> io::Result<()> {
        let Some(name) = &self.interface else {
            return Ok(());
        };
        socket.bind_device(Some(name.as_bytes())).map_err(|error| {
            let told = format!("cannot use the interface `{name}`: {error}");
            io::Error::new(error.kind(), told)
        })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "fuchsia")))]
    fn bind_interface(&self, _socket: &Socket) -> io::Result<()> {
        Ok(())
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "fuchsia"))]
    #[inline]
    fn bound_silence(&self, stream: &TcpStream) -> io::Result<()> {
        match self.user_timeout {
            Some(after) => SockRef::from(stream).set_tcp_user_timeout(Some(after)),
            None => Ok(()),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "fuchsia")))]
    fn bound_silence(&self, _stream: &TcpStream) -> io::Result<()> {
        Ok(())
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// A socket that blocks nobody, in one call where the system has one.
#[inline]
fn non_blocking(domain: Domain) -> io::Result<Socket> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// Connects it.
///
/// Whom this host itself refuses knows it when the call returns: asked at once, that costs neither an
/// entry in the runtime's watch over sockets nor a turn of its loop, which are a good part of such a dial.
async fn connected(socket: Socket, address: SocketAddr) -> io::Result<TcpStream> {
    match socket.connect(&address.into()) {
        Err(error) if !is_under_way(&error) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    if let Some(refused) = socket.take_error()? {
        return Err(refused);
    }
    let stream = TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None if leads_to_itself(&stream) => Err(nobody_listens(&stream)),
        None => Ok(stream),
    }
}

/// Where nobody listens, and the system gives the connect the very port that it dials, TCP opens the
/// connection from both ends at once (RFC 9293, section 3.5): they are one.
#[inline]
fn leads_to_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(local), Ok(peer)) if local == peer)
}

/// The port is free at once for the server that is away, and does not linger.
#[cold]
fn nobody_listens(stream: &TcpStream) -> io::Error {
    let told = "nobody listens: the connection led to its own end";
    let refused = io::Error::new(io::ErrorKind::ConnectionRefused, told);
    stream.set_zero_linger().err().unwrap_or(refused)
}

/// Whether a connect goes on, and the socket tells its end.
#[inline]
fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(libc::EINPROGRESS);
    #[cfg(not(unix))]
    return error.kind() == io::ErrorKind::WouldBlock;
}

/// The same error, as one of reach if it is that: a firewall or a route here forbids the address, or
/// this host has no address that it could be reached from (IPv6 is off). The system says the latter in
/// the words for "no port is left".
#[cold]
fn out_of_reach(error: io::Error, address: SocketAddr) -> io::Error {
    if lacks_zone(address) && error.kind() == io::ErrorKind::InvalidInput {
        let told = "a link-local address needs its zone, as in `[fe80::1%eth0]`";
        return io::Error::new(io::ErrorKind::NetworkUnreachable, told);
    }
    let kind = error.kind();
    let is_far = kind == io::ErrorKind::PermissionDenied
        || kind == io::ErrorKind::AddrNotAvailable && has_no_source_for(address)
        || has_no_such_family(&error);
    match is_far {
        true => io::Error::new(io::ErrorKind::NetworkUnreachable, error),
        false => error,
    }
}

fn lacks_zone(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.scope_id() == 0 && v6.ip().is_unicast_link_local())
}

/// UDP has ports of its own, and sends nothing for a connect.
fn has_no_source_for(address: SocketAddr) -> bool {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let tried = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(address));
    tried.is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

fn has_no_such_family(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(libc::EAFNOSUPPORT);
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}

fn bind(socket: &Socket, local: IpAddr, to: SocketAddr) -> io::Result<()> {
    if local.is_ipv4() != to.is_ipv4() {
        let told = format!("the local address {local} is of another family");
        return Err(io::Error::new(io::ErrorKind::Unsupported, told));
    }
    let local_port = SocketAddr::new(local, 0).into();
    socket.bind(&local_port).map_err(|error| {
        let told = format!("cannot use the local address {local}: {error}");
        // Any port would have done.
        let no_port_is_left = error.kind() == io::ErrorKind::AddrInUse;
        let kind = match no_port_is_left {
            true => io::ErrorKind::AddrNotAvailable,
            false => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, told)
    })
}

/// When a silent connection is probed, and given up: after `idle`, then every `interval`, until
/// `probes` stay unanswered.
///
/// Only a connection on which *nothing* is under way is probed: unacknowledged data waits for the
/// user timeout. Through a proxy it is the proxy that answers.
///
/// Times are whole seconds, from 1 to 32 767 of them; at most 127 probes. Less or more counts as the
/// nearest of these, the bounds of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    idle: Duration,
    interval: Duration,
    probes: u32,
}

impl KeepAlive {
    /// After 30 s, three probes 10 s apart: a vanished peer is noticed after 60 s.
    pub const DEFAULT: Self = Self {
        idle: Duration::from_secs(30),
        interval: Duration::from_secs(10),
        probes: 3,
    };

    /// The first probe after so much silence, then as in the default.
    #[must_use]
    pub const fn after(idle: Duration) -> Self {
        Self {
            idle: counted(idle),
            ..Self::DEFAULT
        }
    }

    /// The same with so much time between two probes.
    #[must_use]
    pub const fn every(mut self, interval: Duration) -> Self {
        self.interval = counted(interval);
        self
    }

    /// The same, given up after so many unanswered probes.
    #[must_use]
    pub const fn probes(mut self, probes: u32) -> Self {
        self.probes = match probes {
            0 => 1,
            1..MOST_PROBES => probes,
            MOST_PROBES.. => MOST_PROBES,
        };
        self
    }

    /// After how much silence a vanished peer is noticed.
    #[must_use]
    pub const fn bound(&self) -> Duration {
        self.idle
            .saturating_add(self.interval.saturating_mul(self.probes))
    }

    #[inline]
    fn to_socket2(self) -> TcpKeepalive {
        let keepalive = TcpKeepalive::new()
            .with_time(self.idle)
            .with_interval(self.interval);
        #[cfg(not(windows))]
        let keepalive = keepalive.with_retries(self.probes);
        keepalive
    }
}

/// What Linux takes; beyond it, it refuses.
const LONGEST_SECONDS: u64 = 32_767;
const MOST_PROBES: u32 = 127;

const fn counted(time: Duration) -> Duration {
    Duration::from_secs(match time.as_secs() {
        0 => 1,
        seconds @ 1..LONGEST_SECONDS => seconds,
        LONGEST_SECONDS.. => LONGEST_SECONDS,
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_forbids_an_address_is_an_error_of_reach_and_says_why() {
        let address = SocketAddr::from((Ipv6Addr::LOCALHOST, 1));
        for number in [libc::EACCES, libc::EPERM, libc::EAFNOSUPPORT] {
            let error = io::Error::from_raw_os_error(number);
            let (told, far) = (error.to_string(), out_of_reach(error, address));
            assert_eq!(far.kind(), io::ErrorKind::NetworkUnreachable);
            assert_eq!(far.to_string(), told);
        }
    }
}
