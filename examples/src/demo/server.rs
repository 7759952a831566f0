//! Echo servers over each transport, each with a switch that takes it away in a way of its own.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Speaks {
    pub(crate) const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// The scheme, which is also the endpoint's name in the demo.
    pub(crate) const fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// What a server does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It echoes.
    Serving,
    /// Its listener and its connections are closed: a dial is refused.
    Stopped,
    /// It resets its connections, and every one that it accepts.
    Resetting,
    /// It accepts, and reads and writes nothing, without closing anything.
    Stalled,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serving => "serving again",
            Self::Stopped => "stopped (listener and connections closed)",
            Self::Resetting => "resetting (connections of old and new dials)",
            Self::Stalled => "stalled (accepts, reads and writes nothing, closes nothing)",
        })
    }
}

/// An echo server on a loopback port of its own. It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) speaks: Speaks,
    pub(crate) address: SocketAddr,
    switch: watch::Sender<Mode>,
    _task: JoinSet<()>,
}

impl Server {
    /// Starts to serve. With `flip_at`, one bit of the echo's byte with that number is wrong, on
    /// every connection.
    pub(crate) fn start(
        speaks: Speaks,
        tls: &Arc<ServerConfig>,
        flip_at: Option<u64>,
    ) -> io::Result<Self> {
        let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = socket.local_addr()?;
        let listener = socket.listen(BACKLOG)?;
        let (switch, mode) = watch::channel(Mode::Serving);
        let echo = Echo {
            speaks,
            tls: TlsAcceptor::from(Arc::clone(tls)),
            flip_at,
        };
        let mut task = JoinSet::new();
        task.spawn(keep(listener, address, mode, Arc::new(echo)));
        Ok(Self {
            speaks,
            address,
            switch,
            _task: task,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.speaks.scheme(), self.address)
    }

    pub(crate) fn turn(&self, mode: Mode) {
        self.switch.send_replace(mode);
    }

    pub(crate) fn mode(&self) -> Mode {
        *self.switch.borrow()
    }
}

const BACKLOG: u32 = 128;

/// Serves, stops, and serves again on the same port.
async fn keep(
    mut listener: TcpListener,
    address: SocketAddr,
    mut mode: watch::Receiver<Mode>,
    echo: Arc<Echo>,
) {
    loop {
        accept(&listener, &mut mode, &echo).await;
        drop(listener);
        // The port stays bound while nobody listens: nobody else gets it, and a client's dial
        // cannot happen to start from it and so connect to itself.
        let closed = bind_again(address).await;
        let Ok(_) = mode.wait_for(|mode| *mode != Mode::Stopped).await else {
            return;
        };
        listener = match closed.listen(BACKLOG) {
            Ok(listener) => listener,
            Err(_) => return,
        };
    }
}

/// Accepts until the server is stopped. Its connections are closed then.
async fn accept(listener: &TcpListener, mode: &mut watch::Receiver<Mode>, echo: &Arc<Echo>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            changed = mode.changed() => {
                let now = *mode.borrow_and_update();
                if changed.is_err() || now == Mode::Stopped {
                    return;
                }
                if now == Mode::Resetting {
                    connections.abort_all();
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    while connections.try_join_next().is_some() {}
                    let gate = Gate { tcp, mode: mode.clone() };
                    if gate.mode() != Mode::Resetting {
                        connections.spawn(connection(gate, mode.clone(), Arc::clone(echo)));
                    }
                }
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

/// Polls the echo again whenever the switch is turned: a gate that was shut may be open.
async fn connection(gate: Gate, mut mode: watch::Receiver<Mode>, echo: Arc<Echo>) {
    let mut serving = pin!(echo.serve(gate));
    loop {
        tokio::select! {
            _ = &mut serving => return,
            changed = mode.changed() => if changed.is_err() { return },
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    if cfg!(unix) {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(address)?;
    Ok(socket)
}

async fn bind_again(address: SocketAddr) -> TcpSocket {
    loop {
        match bind(address) {
            Ok(socket) => return socket,
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    }
}

struct Echo {
    speaks: Speaks,
    tls: TlsAcceptor,
    flip_at: Option<u64>,
}

impl Echo {
    async fn serve(&self, gate: Gate) -> io::Result<()> {
        match self.speaks {
            Speaks::Tcp => self.bytes(gate).await,
            Speaks::Tls => self.bytes(self.tls.accept(gate).await?).await,
            Speaks::Ws => self.messages(gate).await,
            Speaks::Wss => self.messages(self.tls.accept(gate).await?).await,
        }
    }

    async fn bytes(&self, mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let (mut buffer, mut seen) = ([0; 4096], 0);
        loop {
            let n = io.read(&mut buffer).await?;
            if n == 0 {
                return io.shutdown().await;
            }
            self.spoil(&mut buffer[..n], &mut seen);
            io.write_all(&buffer[..n]).await?;
            io.flush().await?;
        }
    }

    async fn messages(&self, io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut socket = accept_async(io).await.map_err(io::Error::other)?;
        let mut seen = 0;
        while let Some(message) = socket.next().await {
            let message = message.map_err(io::Error::other)?;
            if message.is_binary() || message.is_text() {
                let mut data = message.into_data().to_vec();
                self.spoil(&mut data, &mut seen);
                let echo = socket.send(Message::binary(data));
                echo.await.map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// Flips a bit, if this server is told to be wrong.
    fn spoil(&self, bytes: &mut [u8], seen: &mut u64) {
        for byte in bytes {
            if self.flip_at == Some(*seen) {
                *byte ^= 1;
            }
            *seen += 1;
        }
    }
}

/// A server's side of a TCP connection, below TLS and WebSocket: where the switch acts.
struct Gate {
    tcp: TcpStream,
    mode: watch::Receiver<Mode>,
}

impl Gate {
    fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    fn is_shut(&self) -> bool {
        self.mode() == Mode::Stalled
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if self.mode() == Mode::Resetting {
            // Without lingering, a close is a reset.
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl AsyncRead for Gate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_shut() {
            return Poll::Pending;
        }
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gate {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_shut() {
            return Poll::Pending;
        }
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_shut() {
            return Poll::Pending;
        }
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
