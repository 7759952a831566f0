//! Servers for the bridge, in this process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crate::common::bridge::Bridge;

/// The bridge to these servers, the first one preferred.
pub(crate) fn start(servers: &[&Server], arguments: &[&str]) -> Bridge {
    let urls: Vec<String> = servers.iter().map(|server| server.url()).collect();
    Bridge::numbered(&urls, arguments)
}

/// A TCP server: each connection on a thread of its own.
pub(crate) struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::at(([127, 0, 0, 1], 0).into(), serve)
    }

    pub(crate) fn echo() -> Self {
        Self::start(echo)
    }

    pub(crate) fn at(
        address: SocketAddr,
        serve: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, closed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counted, over) = (Arc::clone(&accepted), Arc::clone(&closed));
        let serve = Arc::new(serve);
        let accepting = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self {
            address,
            accepted,
            closed,
            accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("tcp://{}", self.address)
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// From now on connections are refused.
    pub(crate) fn close(self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.accepting.join().unwrap();
    }
}

pub(crate) fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 || stream.write_all(&buffer[..n]).is_err() {
            return;
        }
    }
}

pub(crate) fn echoes(client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).unwrap();
    let mut heard = vec![0; bytes.len()];
    client.read_exact(&mut heard).unwrap();
    assert_eq!(heard, bytes);
}

/// From now on the connection's close is a reset.
pub(crate) fn reset(stream: &TcpStream) {
    let stream = tokio::net::TcpSocket::from_std_stream(stream.try_clone().unwrap());
    stream.set_zero_linger().unwrap();
}

/// The URL of a port on which nobody listens.
pub(crate) fn refusing() -> String {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("tcp://{}", gone.local_addr().unwrap())
}
