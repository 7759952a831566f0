//! Who looks after a spare TCP connection.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use failover_core::drive::{Keep, Loss};
use failover_core::failure::{Failure, Kind};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// A keeper of spares for TCP: notices that the peer ended or reset an idle connection, and takes no byte
/// from it.
///
/// A peer that vanishes without a word is noticed by the probes of
/// [`KeepAlive`](crate::KeepAlive). Where the peer has sent something that nobody reads yet (a greeting),
/// its end is looked for every second; otherwise at once, and nothing wakes up before.
///
/// For layers over TCP: `get_mut().0` of a `TlsStream<TcpStream>` is the stream to watch. For a
/// [`ByteStream`](crate::ByteStream), [`poll_ended`](crate::ByteStream::poll_ended) is the keeper.
///
/// ```
/// # use failover_core::directory::Endpoint;
/// use failover_core::drive::Connector;
/// use failover_core::policy::{Policy, Standing};
/// use transport_tcp::{KeepTcp, Tcp, TokioClock};
///
/// let standby = Policy::builder().standing(Standing::default().spares(1)).build()?;
/// let connector = Connector::builder(Tcp::new(), TokioClock::new())
///     .endpoint(Endpoint::parse("tcp://a.example:7000")?)
///     .endpoint(Endpoint::parse("tcp://b.example:7000")?)
///     .policy(standby)
///     .keeper(|_| KeepTcp::new())
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct KeepTcp {
    /// When to look again behind what nobody reads yet.
    again: Option<Pin<Box<Sleep>>>,
}

/// How often the end is looked for behind bytes that nobody reads yet.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl KeepTcp {
    /// A keeper for one connection.
    #[must_use]
    pub const fn new() -> Self {
        Self { again: None }
    }

    /// Something waits to be read, and what comes behind it cannot be seen: whether the peer has ended
    /// is asked of the system's flags.
    fn poll_behind(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<Loss> {
        loop {
            if is_ended(stream) {
                return Poll::Ready(Failure::new(Kind::Closed).into());
            }
            let again = || Box::pin(sleep_until(Instant::now() + LOOK_AGAIN));
            let alarm = self.again.get_or_insert_with(again);
            ready!(alarm.as_mut().poll(cx));
            self.again = None;
        }
    }
}

impl Keep<TcpStream> for KeepTcp {
    fn poll_lost(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<Loss> {
        loop {
            // The system's word, not the runtime's, which may not have heard of the end yet.
            match peek(stream) {
                Ok(0) => return Poll::Ready(Failure::new(Kind::Closed).into()),
                Ok(_) => return self.poll_behind(stream, cx),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(error.into()),
            }
            if let Err(error) = ready!(stream.poll_read_ready(cx)) {
                return Poll::Ready(error.into());
            }
            // Stale readiness is taken back, so that the next news wakes us.
            let _ = stream.try_io(Interest::READABLE, || peek(stream));
        }
    }
}

/// How much waits to be read, one byte at most; nothing at the end.
fn peek(stream: &TcpStream) -> io::Result<usize> {
    SockRef::from(stream).peek(&mut [MaybeUninit::uninit()])
}

/// Whether the runtime knows that the peer will send no more.
fn is_ended(stream: &TcpStream) -> bool {
    let readiness = pin!(stream.ready(Interest::READABLE));
    let polled = readiness.poll(&mut Context::from_waker(Waker::noop()));
    matches!(polled, Poll::Ready(Ok(ready)) if ready.is_read_closed())
}
