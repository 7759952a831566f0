//! One connection of `cat`: input to the server, answers to the output.

use std::future::pending;
use std::io;
use std::pin::pin;
use std::time::Duration;

use failover_core::failure::{Classify, Failure, Kind};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::cat::supply::{Stuck, Supply};

/// How the use of a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The input has ended, and the server was silent since then for as long as was asked.
    Silent,
    /// The connection is no more.
    Lost(SessionError),
    Input(io::Error),
    Output(io::Error),
}

/// Why a connection is no more.
#[derive(Debug, Error)]
pub(crate) enum SessionError {
    #[error("the server closed the connection")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Classify for SessionError {
    fn failure(&self) -> Failure {
        match self {
            Self::Closed => Failure::new(Kind::Closed),
            Self::Io(error) => Failure::from_io(error),
        }
    }
}

/// Where the answers go.
#[derive(Debug)]
pub(crate) struct Sink<O> {
    output: O,
    received: u64,
}

impl<O: AsyncWrite + Unpin> Sink<O> {
    pub(crate) fn new(output: O) -> Self {
        Self {
            output,
            received: 0,
        }
    }

    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes).await?;
        self.output.flush().await?;
        self.received += bytes.len() as u64;
        Ok(())
    }
}

/// Uses a connection until it ends one way or the other.
pub(crate) async fn talk(
    conn: impl AsyncRead + AsyncWrite + Unpin,
    supply: &mut Supply<impl AsyncRead + Unpin>,
    sink: &mut Sink<impl AsyncWrite + Unpin>,
    linger: Duration,
) -> End {
    let end = carry(conn, supply, sink, linger).await;
    if let End::Lost(_) = end
        && let Err(error) = supply.look_for_end(SAME_MOMENT).await
    {
        return End::Input(error);
    }
    end
}

async fn carry(
    conn: impl AsyncRead + AsyncWrite + Unpin,
    supply: &mut Supply<impl AsyncRead + Unpin>,
    sink: &mut Sink<impl AsyncWrite + Unpin>,
    linger: Duration,
) -> End {
    let (reader, mut writer) = split(conn);
    let end = exchange(reader, &mut writer, supply, sink, linger).await;
    if let End::Silent = end {
        // A goodbye, so that the server sees an end and no break. Nobody needs its answer.
        let _ = timeout(GOODBYE, writer.shutdown()).await;
    }
    end
}

async fn exchange(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    supply: &mut Supply<impl AsyncRead + Unpin>,
    sink: &mut Sink<impl AsyncWrite + Unpin>,
    linger: Duration,
) -> End {
    let (tell_end, input_end) = watch::channel(None);
    let mut receiving = pin!(receive(reader, sink, input_end, linger));
    let sending = async {
        match supply.send(writer).await {
            Ok(()) => {
                tell_end.send_replace(Some(Ended::Done(Instant::now())));
                pending().await
            }
            Err(stuck) => stuck,
        }
    };
    let stuck = tokio::select! {
        end = &mut receiving => return end,
        stuck = sending => stuck,
    };
    match stuck {
        Stuck::Input(error) => End::Input(error),
        // What the server said before it left is still to be heard.
        // Only reading is timed: what was read is written out, however slow its reader is.
        Stuck::Connection(error) => {
            tell_end.send_replace(Some(Ended::Broken(Instant::now())));
            match receiving.await {
                End::Output(error) => End::Output(error),
                End::Silent | End::Lost(_) | End::Input(_) => End::Lost(error.into()),
            }
        }
    }
}

async fn receive(
    mut reader: impl AsyncRead + Unpin,
    sink: &mut Sink<impl AsyncWrite + Unpin>,
    mut input_end: watch::Receiver<Option<Ended>>,
    linger: Duration,
) -> End {
    let mut buffer = vec![0; 64 * 1024];
    let mut heard = None;
    loop {
        let read = tokio::select! {
            biased;
            read = reader.read(&mut buffer) => read,
            () = silence(&mut input_end, heard, linger) => return End::Silent,
        };
        let n = match read {
            Ok(0) => return End::Lost(SessionError::Closed),
            Ok(n) => n,
            Err(error) => return End::Lost(error.into()),
        };
        if let Err(error) = sink.write(&buffer[..n]).await {
            return End::Output(error);
        }
        heard = Some(Instant::now());
    }
}

/// Ends when nothing was heard for this long since the end of the input.
async fn silence(
    input_end: &mut watch::Receiver<Option<Ended>>,
    heard: Option<Instant>,
    linger: Duration,
) {
    let ended = match input_end.wait_for(Option::is_some).await {
        Ok(ended) => *ended,
        // Sending is stuck: its own error ends the session.
        Err(_) => pending().await,
    };
    match ended {
        Some(Ended::Done(at)) => {
            sleep_until(heard.map_or(at, |heard| heard.max(at)) + linger).await
        }
        Some(Ended::Broken(at)) => {
            sleep_until(heard.map_or(at, |heard| heard.max(at)) + LAST_WORDS).await;
        }
        None => {}
    }
}

/// How sending ended, and when.
#[derive(Clone, Copy)]
enum Ended {
    /// All of the input was sent.
    Done(Instant),
    /// The connection took no more.
    Broken(Instant),
}

/// How long a server is heard after a write to it failed.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(250);

/// Input and connection that end within this time ended together.
const SAME_MOMENT: Duration = Duration::from_millis(50);
