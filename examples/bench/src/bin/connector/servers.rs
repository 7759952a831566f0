//! Servers on loopback, whose ends of the connections the measurement holds.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Outcome;

pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Servers that accept and hand over what they accepted.
pub(crate) struct Servers {
    pub(crate) addresses: Vec<SocketAddr>,
    accepted: mpsc::Receiver<TcpStream>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Servers {
    pub(crate) async fn start(count: usize) -> io::Result<Self> {
        let (hand_over, accepted) = mpsc::channel(4096);
        let (mut addresses, mut tasks) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let listener = TcpListener::bind(ANY).await?;
            addresses.push(listener.local_addr()?);
            let hand_over = hand_over.clone();
            tasks.push(tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    if hand_over.send(stream).await.is_err() {
                        return;
                    }
                }
            }));
        }
        Ok(Self {
            addresses,
            accepted,
            tasks,
        })
    }

    /// The server with this number listens no more.
    pub(crate) async fn stop(&mut self, server: usize) {
        let task = &mut self.tasks[server];
        task.abort();
        let _ = task.await;
    }

    /// The server's end of the next connection.
    pub(crate) async fn accept(&mut self) -> io::Result<TcpStream> {
        let ended = || io::Error::other("the servers ended");
        self.accepted.recv().await.ok_or_else(ended)
    }

    /// The server's end of a connection that has come already.
    pub(crate) fn accepted(&mut self) -> Option<TcpStream> {
        self.accepted.try_recv().ok()
    }
}

/// How a server ends a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Fin,
    Rst,
}

impl End {
    pub(crate) fn of(self, stream: TcpStream) -> io::Result<()> {
        match self {
            Self::Fin => Ok(()),
            Self::Rst => stream.set_zero_linger(),
        }
    }
}

/// Reads until the connection ends, and says how.
pub(crate) async fn read_to_the_end(stream: &mut TcpStream) -> io::Error {
    let mut buffer = [0; 64];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

/// A port that answers no SYN: its accept queue is full. It lasts as long as this.
pub(crate) struct Dark {
    _listener: TcpListener,
    _queued: Vec<std::net::TcpStream>,
}

impl Dark {
    pub(crate) fn new(address: SocketAddr) -> Outcome<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(1)?;
        let mut queued = Vec::new();
        let within = std::time::Duration::from_millis(200);
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, within) {
            queued.push(stream);
            if queued.len() > 64 {
                return Err("an accept queue of one never fills".into());
            }
        }
        Ok(Self {
            _listener: listener,
            _queued: queued,
        })
    }
}

/// This program again, as `--echo`, and where it listens.
pub(crate) async fn echo_process() -> Outcome<(Child, SocketAddr)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--echo")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    Ok((child, line.trim().parse()?))
}

/// An echo server that says where it is, until it is killed.
pub(crate) async fn echo() -> Outcome {
    let listener = TcpListener::bind(ANY).await?;
    println!("{}", listener.local_addr()?);
    echo_on(listener).await;
    Ok(())
}

pub(crate) async fn echo_on(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut reader, mut writer) = stream.split();
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
            let _ = writer.shutdown().await;
        });
    }
}
