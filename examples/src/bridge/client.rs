//! The local side: where programs connect, and their connections.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use transport_tcp::ByteStream;

/// Where to listen: an address with a port, or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// `127.0.0.1:4222`; port 0 is a free one.
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
}

/// Not a place to listen at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no place to listen at: write an address and a port such as `127.0.0.1:4222`{}",
    if cfg!(unix) { ", or `unix:/path`" } else { "" })]
pub struct NoPlace {
    text: String,
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let no = || NoPlace {
            text: text.to_string(),
        };
        match text.strip_prefix("unix:") {
            Some(path) if cfg!(unix) && !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(_) => Err(no()),
            None => text.parse().map(Self::Tcp).map_err(|_| no()),
        }
    }
}

/// Where programs connect.
#[derive(Debug)]
pub struct Local {
    socket: Socket,
    name: String,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix {
        listener: tokio::net::UnixListener,
        path: PathBuf,
    },
}

impl Local {
    /// Listens there. A socket file that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// When it is taken, or may not be used.
    pub async fn bind(place: &Place) -> io::Result<Self> {
        let socket = match place {
            Place::Tcp(address) => Socket::Tcp(TcpListener::bind(address).await?),
            #[cfg(unix)]
            Place::Unix(path) => Socket::Unix {
                listener: bind_unix(path).await?,
                path: path.clone(),
            },
            #[cfg(not(unix))]
            Place::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let name = match &socket {
            Socket::Tcp(listener) => listener.local_addr()?.to_string(),
            #[cfg(unix)]
            Socket::Unix { path, .. } => format!("unix:{}", path.display()),
        };
        Ok(Self { socket, name })
    }

    /// The place, with the real port.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether only programs on this machine can connect.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match &self.socket {
            Socket::Tcp(listener) => listener
                .local_addr()
                .is_ok_and(|address| address.ip().is_loopback()),
            #[cfg(unix)]
            Socket::Unix { .. } => true,
        }
    }

    /// The next program that connects.
    pub(crate) async fn accept(&self) -> io::Result<Client> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Client::new(ByteStream::new(stream), peer.to_string()))
            }
            #[cfg(unix)]
            Socket::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
                let name = peer.map_or("unix".to_string(), |pid| format!("process {pid}"));
                Ok(Client::new(ByteStream::new(stream), name))
            }
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Socket::Unix { path, .. } = &self.socket {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(unix)]
async fn bind_unix(path: &Path) -> io::Result<tokio::net::UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    use tokio::net::{UnixListener, UnixStream};

    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    if is_socket {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
            }
            // It is in use, or not ours to take.
            Ok(_) | Err(_) => {}
        }
    }
    UnixListener::bind(path)
}

/// A program's connection.
pub(crate) struct Client {
    pub(crate) io: ByteStream,
    pub(crate) name: String,
}

impl Client {
    fn new(io: ByteStream, name: String) -> Self {
        Self { io, name }
    }

    /// Ready when the program has reset its connection. One that has merely closed it looks like one
    /// that has said all it wanted and waits for the answer.
    pub(crate) async fn broken(&mut self) {
        let tcp = self.io.get_ref::<TcpStream>();
        match tcp {
            Some(tcp) => drop(tcp.ready(Interest::ERROR).await),
            None => pending().await,
        }
    }
}

/// Ends a connection so that its peer sees that it broke: TCP by a reset, TLS and WebSocket without a
/// goodbye. A Unix socket knows no difference.
pub(crate) fn reset(stream: ByteStream) {
    if let Some(tcp) = stream.get_ref::<TcpStream>() {
        let _ = tcp.set_zero_linger();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_or_a_path() {
        let tcp = "[::1]:4222".parse().unwrap();
        assert_eq!("[::1]:4222".parse(), Ok(Place::Tcp(tcp)));
        assert_eq!("unix:/run/a".parse(), Ok(Place::Unix("/run/a".into())));
        for text in ["4222", "localhost:4222", "unix:", ""] {
            let error = text.parse::<Place>().unwrap_err().to_string();
            assert!(error.contains("127.0.0.1:4222"), "{error}");
        }
    }
}
