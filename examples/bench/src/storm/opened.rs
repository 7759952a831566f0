//! Connections opened by hand, and stubborn-io around them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use failover_core::failure::Failure;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use stubborn_io::ReconnectOptions;
use stubborn_io::tokio::{StubbornIo, UnderlyingIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tally::Tally;

/// stubborn-io over a connection that is opened by hand; for ever.
pub(crate) async fn stubborn(to: To, options: ReconnectOptions) {
    let (tally, lost) = (Arc::clone(&to.2), Arc::clone(&to.2));
    let options = options.with_on_disconnect_callback(move || lost.down());
    let Ok(mut conn) = StubbornIo::<Opened, _>::connect_with_options(to, options).await else {
        return;
    };
    // It reconnects within a read: each byte is the greeting of a new connection.
    while conn.read_u8().await.is_ok() {
        tally.up();
    }
}

/// Opens a connection by hand.
pub(crate) async fn open(
    server: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    tally: Arc<Tally>,
) -> io::Result<Opened> {
    tally.dial();
    let opened = async {
        let tcp = TcpStream::connect(server).await?;
        tcp.set_nodelay(true)?;
        Ok(match tls {
            None => Opened::Plain(tcp),
            Some(tls) => {
                let name = ServerName::from(server.ip());
                Opened::Tls(Box::new(TlsConnector::from(tls).connect(name, tcp).await?))
            }
        })
    };
    let opened: io::Result<Opened> = opened.await;
    opened.inspect_err(|error| tally.dial_failed(Failure::from_io(error).kind))
}

/// A connection that was opened by hand.
pub(crate) enum Opened {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// Whom to dial, how, and who counts it.
pub(crate) type To = (SocketAddr, Option<Arc<ClientConfig>>, Arc<Tally>);

impl UnderlyingIo<To> for Opened {
    fn establish(to: To) -> Pin<Box<dyn Future<Output = io::Result<Self>> + Send>> {
        let (server, tls, tally) = to;
        Box::pin(open(server, tls, tally))
    }

    fn is_disconnect_error(&self, _: &io::Error) -> bool {
        true
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Opened {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
