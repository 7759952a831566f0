//! A TLS connection whose errors say what they are.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use failover_core::failure::{Failure, Kind, Phase, Scope};
use rustls::ClientConnection;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client;

use crate::error::ClientRefusal;
use crate::session::SessionInfo;

/// A TLS connection over another stream.
///
/// With TLS 1.3 a server refuses a client's certificate only after the client's handshake is done: such
/// a refusal is an error of the first read. Its words say so, and
/// [`Failure::from_io`] finds in it a failure of this endpoint in [`Phase::Tls`].
///
/// The end without a `close_notify` is an error ([`io::ErrorKind::UnexpectedEof`]): the data may be
/// cut off. A clean end reads as 0 bytes.
#[derive(Debug)]
pub struct TlsStream<S>(client::TlsStream<S>);

impl<S> TlsStream<S> {
    pub(crate) fn new(stream: client::TlsStream<S>) -> Self {
        Self(stream)
    }

    /// The stream below, and what was agreed: version, cipher, ALPN, certificates, resumption.
    #[must_use]
    pub fn get_ref(&self) -> (&S, &ClientConnection) {
        self.0.get_ref()
    }

    /// What was agreed in the handshake, in words.
    #[must_use]
    pub fn session(&self) -> SessionInfo {
        SessionInfo::of(self.0.get_ref().1)
    }

    /// tokio-rustls's own stream.
    #[must_use]
    pub fn into_inner(self) -> client::TlsStream<S> {
        self.0
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf).map_err(explain)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf).map_err(explain)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(explain)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx).map_err(explain)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0)
            .poll_write_vectored(cx, bufs)
            .map_err(explain)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

/// Why a TLS session ended: the error within the [`io::Error`] of a read or write.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The server refused the client's certificate, or the lack of one.
    #[error("the server {refusal}")]
    ClientCertificate {
        /// What it said of it.
        refusal: ClientRefusal,
        /// The TLS library's own words.
        source: Cause,
    },
    /// Something else went wrong with TLS.
    #[error("the TLS session failed")]
    Tls(#[source] Cause),
}

/// The TLS library's own error, with what it stands for as its source.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct Cause {
    /// The library's error.
    pub error: rustls::Error,
    #[source]
    failure: Failure,
}

fn explain(error: io::Error) -> io::Error {
    let kind = error.kind();
    let error = match error.downcast::<rustls::Error>() {
        Ok(error) => error,
        Err(other) => return other,
    };
    let told = match ClientRefusal::of(&error) {
        Some(refusal) => SessionError::ClientCertificate {
            refusal,
            source: Cause {
                error,
                failure: Failure::new(Kind::Tls)
                    .scope(Scope::Endpoint)
                    .at(Phase::Tls),
            },
        },
        None => SessionError::Tls(Cause {
            error,
            failure: Failure::new(Kind::Tls),
        }),
    };
    io::Error::new(kind, told)
}
