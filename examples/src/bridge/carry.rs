//! Bytes from a program to its server and back, as over a wire.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use failover_core::failure::{Classify, Failure, Kind};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, sleep_until, timeout};
use transport_tcp::ByteStream;

/// How carrying ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Both sides have said all they wanted.
    Finished,
    /// The server left before a byte had passed either way, and the program had not ended its side:
    /// another server can take its place, and nobody would know.
    Untouched(ServerLost),
    /// The server's connection broke.
    Server(ServerLost),
    /// The program's connection broke.
    Client(io::Error),
    /// Nothing passed for as long as is allowed.
    Idle,
}

/// Why the server's connection is no more.
#[derive(Debug, Error)]
pub(crate) enum ServerLost {
    #[error("the server closed the connection before it said anything")]
    Closed,
    #[error("the server did not greet within {0:?}")]
    Mute(Duration),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl ServerLost {
    /// The same once more, for those who tell it.
    pub(crate) fn told(&self) -> Self {
        match self {
            Self::Closed => Self::Closed,
            Self::Mute(most) => Self::Mute(*most),
            Self::Io(error) => {
                Self::Io(io::Error::new(error.kind(), crate::timeline::chain(error)))
            }
        }
    }
}

impl Classify for ServerLost {
    fn failure(&self) -> Failure {
        match self {
            Self::Closed => Failure::new(Kind::Closed),
            Self::Mute(_) => Failure::new(Kind::Timeout),
            Self::Io(error) => Failure::from_io(error),
        }
    }
}

/// What silence means; without a bound nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    /// Nothing passes either way.
    pub(crate) idle: Option<Duration>,
    /// The server has not said its first byte.
    pub(crate) greeting: Option<Duration>,
}

/// What has passed; read from elsewhere.
#[derive(Debug)]
pub(crate) struct Meter {
    to_server: AtomicU64,
    to_client: AtomicU64,
    client_ended: AtomicBool,
    began: Instant,
    /// Milliseconds after `began`.
    last: AtomicU64,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            to_server: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
            client_ended: AtomicBool::new(false),
            began: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    /// Bytes from the program to the server, and back.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let bytes = |direction: &AtomicU64| direction.load(Ordering::Relaxed);
        (bytes(&self.to_server), bytes(&self.to_client))
    }

    fn moved(&self, direction: &AtomicU64, bytes: usize) {
        direction.fetch_add(bytes as u64, Ordering::Relaxed);
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn is_untouched(&self) -> bool {
        self.bytes() == (0, 0) && !self.client_ended.load(Ordering::Relaxed)
    }

    /// Ready when the server has said nothing for so long, from now on.
    async fn mute(&self, most: Option<Duration>) -> ServerLost {
        if let Some(most) = most {
            sleep_until(Instant::now() + most).await;
            if self.to_client.load(Ordering::Relaxed) == 0 {
                return ServerLost::Mute(most);
            }
        }
        std::future::pending().await
    }

    /// Ready when nothing has passed for so long, from now on.
    async fn idle(&self, most: Option<Duration>) {
        let Some(most) = most else {
            return std::future::pending().await;
        };
        let mut from = Instant::now();
        loop {
            sleep_until(from + most).await;
            let last = self.began + Duration::from_millis(self.last.load(Ordering::Relaxed));
            if last <= from {
                return;
            }
            from = last;
        }
    }
}

/// Carries until it ends. What is read from one side is written to the other before more is read, so
/// that a slow reader slows its writer down; the end of one direction is passed on, and the other
/// goes on.
///
/// # Cancel safety
/// What was read and not yet written is lost with the future: drop the connections, too.
pub(crate) async fn carry(
    client: &mut ByteStream,
    server: &mut ByteStream,
    meter: &Meter,
    patience: Patience,
) -> End {
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    let mut up = pin!(up(from_client, to_server, meter));
    let mut down = pin!(down(from_server, to_client, meter));
    let mut idle = pin!(meter.idle(patience.idle));
    let mut mute = pin!(meter.mute(patience.greeting));
    let (mut up_done, mut down_done) = (false, false);
    while !(up_done && down_done) {
        // Not biased: a program that never stops writing must not keep its answers waiting.
        tokio::select! {
            sent = &mut up, if !up_done => match sent {
                Ok(()) => up_done = true,
                Err(Stuck::Reading(error)) => return End::Client(error),
                // It had ended its own side before: it was done.
                Err(Stuck::Writing(_)) if down_done => return End::Finished,
                Err(Stuck::Writing(error)) => return last_words(down, error).await,
            },
            received = &mut down, if !down_done => match received {
                Ok(()) if meter.is_untouched() => return End::Untouched(ServerLost::Closed),
                Ok(()) => down_done = true,
                Err(Stuck::Reading(error)) if meter.is_untouched() => {
                    return End::Untouched(error.into());
                }
                Err(Stuck::Reading(error)) => return End::Server(error.into()),
                Err(Stuck::Writing(error)) => return End::Client(error),
            },
            lost = &mut mute => return match meter.is_untouched() {
                true => End::Untouched(lost),
                false => End::Server(lost),
            },
            () = &mut idle => return End::Idle,
        }
    }
    End::Finished
}

/// A server that takes no more may have said why: that still goes to the program.
async fn last_words(down: impl Future<Output = Result<(), Stuck>>, error: io::Error) -> End {
    match timeout(LAST_WORDS, down).await {
        Ok(Err(Stuck::Writing(error))) => End::Client(error),
        Ok(Ok(()) | Err(Stuck::Reading(_))) | Err(_) => End::Server(error.into()),
    }
}

async fn up(
    mut client: ReadHalf<&mut ByteStream>,
    mut server: WriteHalf<&mut ByteStream>,
    meter: &Meter,
) -> Result<(), Stuck> {
    copy(&mut client, &mut server, |n| {
        meter.moved(&meter.to_server, n)
    })
    .await?;
    meter.client_ended.store(true, Ordering::Relaxed);
    // If it fails, reading from the server tells why.
    let _ = server.shutdown().await;
    Ok(())
}

async fn down(
    mut server: ReadHalf<&mut ByteStream>,
    mut client: WriteHalf<&mut ByteStream>,
    meter: &Meter,
) -> Result<(), Stuck> {
    copy(&mut server, &mut client, |n| {
        meter.moved(&meter.to_client, n)
    })
    .await?;
    if !meter.is_untouched() {
        let _ = client.shutdown().await;
    }
    Ok(())
}

/// Which side of a direction broke.
enum Stuck {
    Reading(io::Error),
    Writing(io::Error),
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: impl Fn(usize),
) -> Result<(), Stuck> {
    let mut buffer = vec![0; PIECE];
    loop {
        let n = from.read(&mut buffer).await.map_err(Stuck::Reading)?;
        if n == 0 {
            return Ok(());
        }
        moved(n);
        to.write_all(&buffer[..n]).await.map_err(Stuck::Writing)?;
        to.flush().await.map_err(Stuck::Writing)?;
    }
}

/// How much is on its way in each direction.
const PIECE: usize = 16 * 1024;

/// How long a server is heard after a write to it failed.
const LAST_WORDS: Duration = Duration::from_millis(250);
