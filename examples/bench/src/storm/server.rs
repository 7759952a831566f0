//! The server of a storm, in a process of its own so that it can be killed.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::nats;
use crate::tls::Identity;

/// The argument by which a program becomes this server.
pub(super) const FLAG: &str = "--as-storm-server";
/// The longest accept queue; the system may allow less.
const BACKLOG: u32 = 16_384;
/// A server that takes longer to start, or to answer, is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server is.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Orders {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) identity: Option<Identity>,
    pub(super) speaks: Speaks,
}

/// What a server says to a client that comes.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) enum Speaks {
    /// One byte.
    Byte,
    /// What it takes to log in to NATS.
    Nats,
}

/// What a server saw.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Seen {
    /// Accepted connections, by tenth of a second since it listened.
    pub(super) accepts: Vec<u64>,
}

/// A running server. It dies with this value, and with the process that holds it.
pub(super) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts one; returns when it listens.
    pub(super) async fn start(orders: &Orders) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(FLAG)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the server has no pipes"));
        };
        let mut server = Self {
            child,
            input,
            output: BufReader::new(output),
        };
        let mut line = serde_json::to_string(orders)?;
        line.push('\n');
        let answer = server.ask(&line).await?;
        match answer.as_str() {
            "ready" => Ok(server),
            other => Err(io::Error::other(format!("the server said {other:?}"))),
        }
    }

    /// What it has seen so far.
    pub(super) async fn seen(&mut self) -> io::Result<Seen> {
        Ok(serde_json::from_str(&self.ask("report\n").await?)?)
    }

    /// SIGKILL; returns when it is gone.
    pub(super) async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    async fn ask(&mut self, line: &str) -> io::Result<String> {
        let asked = async {
            self.input.write_all(line.as_bytes()).await?;
            let mut answer = String::new();
            self.output.read_line(&mut answer).await?;
            Ok(answer.trim_end().to_string())
        };
        timeout(PATIENCE, asked)
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the server does not answer")))
    }
}

/// The server itself: listens until its standard input ends.
pub(super) fn serve() -> io::Result<()> {
    let mut first = String::new();
    io::stdin().lock().read_line(&mut first)?;
    let orders: Orders = serde_json::from_str(&first)?;
    let acceptor = match &orders.identity {
        Some(identity) => Some(TlsAcceptor::from(identity.server()?)),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut listeners = Vec::new();
        for address in &orders.addresses {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(*address)?;
            listeners.push(socket.listen(BACKLOG)?);
        }
        let counter = Arc::new(Counter::new());
        let answering = Arc::clone(&counter);
        std::thread::spawn(move || answer(&answering));
        for listener in listeners {
            let speaks = (acceptor.clone(), orders.speaks);
            tokio::spawn(accept(listener, speaks, Arc::clone(&counter)));
        }
        std::future::pending().await
    })
}

/// Answers on the standard output; ends the process when nobody asks any more.
fn answer(counter: &Counter) {
    println!("ready");
    for line in io::stdin().lock().lines() {
        match line.as_deref() {
            Ok("report") => match serde_json::to_string(&counter.seen()) {
                Ok(text) if writeln!(io::stdout(), "{text}").is_ok() => {}
                _ => break,
            },
            _ => break,
        }
    }
    std::process::exit(0);
}

struct Counter {
    since: Instant,
    accepts: Mutex<Vec<u64>>,
}

impl Counter {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            accepts: Mutex::new(Vec::new()),
        }
    }

    fn note(&self) {
        let bin = usize::try_from(self.since.elapsed().as_millis() / 100).unwrap_or(usize::MAX);
        let mut accepts = self.accepts.lock().unwrap_or_else(PoisonError::into_inner);
        if accepts.len() <= bin {
            accepts.resize(bin + 1, 0);
        }
        accepts[bin] += 1;
    }

    fn seen(&self) -> Seen {
        let accepts = self.accepts.lock().unwrap_or_else(PoisonError::into_inner);
        Seen {
            accepts: accepts.clone(),
        }
    }
}

async fn accept(
    listener: TcpListener,
    (acceptor, speaks): (Option<TlsAcceptor>, Speaks),
    counter: Arc<Counter>,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        counter.note();
        let _ = stream.set_nodelay(true);
        match &acceptor {
            None => drop(tokio::spawn(greet(stream, speaks))),
            Some(acceptor) => {
                let accepting = acceptor.accept(stream);
                tokio::spawn(async move { greet(accepting.await?, speaks).await });
            }
        }
    }
}

/// One byte, so that the client knows that it is served, or a login; then nothing until it goes.
async fn greet(mut stream: impl AsyncRead + AsyncWrite + Unpin, speaks: Speaks) -> io::Result<()> {
    if let Speaks::Nats = speaks {
        return nats::serve(stream).await;
    }
    stream.write_all(b".").await?;
    stream.flush().await?;
    stream.read_u8().await.map(drop)
}
