//! Unix sockets.

use std::io;
use std::path::PathBuf;

use failover_core::dial::{Dial, DialContext};
use failover_core::directory::Target;
use failover_core::failure::{Classify, Failure, Kind, Phase, Scope};
use thiserror::Error;
use tokio::net::UnixStream;

use crate::proxy::decode;

/// Dials the socket file of a `unix:/path` URL.
///
/// What a path may hold and a URL may not (space, `%`, `?`, `#`) is percent-encoded.
///
/// # Cancel safety
/// Dropping the dial closes the socket.
///
/// ```
/// use failover_core::dial::Dial;
/// use failover_core::directory::Target;
/// use transport_tcp::Unix;
///
/// assert!(Unix.check(&Target::parse("unix:/run/broker.sock")?).is_ok());
/// assert!(Unix.check(&Target::parse("unix://broker:1")?).is_err());
/// # Ok::<(), failover_core::directory::UrlError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unix;

impl Dial for Unix {
    type Conn = UnixStream;
    type Error = UnixError;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<UnixStream, UnixError> {
        let path = path(to)?;
        cx.enter(Phase::Connect);
        match UnixStream::connect(&path).await {
            Ok(stream) => Ok(stream),
            Err(source) => Err(UnixError::Connect { path, source }),
        }
    }

    fn check(&self, to: &Target) -> Result<(), UnixError> {
        path(to).map(|_| ())
    }
}

fn path(to: &Target) -> Result<PathBuf, UnixError> {
    let url = to.url();
    let rest = url.rest();
    let written = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    if !url.host().is_empty() {
        return Err(UnixError::NoPath {
            url: url.to_string(),
        });
    }
    let path = decode(written).ok_or_else(|| UnixError::NoPath {
        url: url.to_string(),
    })?;
    Ok(path.into())
}

/// Why a dial of a Unix socket failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UnixError {
    /// The URL has a host instead of a path, or a path that cannot be decoded.
    #[error("`{url}` has no path to a socket: write `unix:/path`")]
    NoPath {
        /// The URL, without credentials.
        url: String,
    },
    /// The socket cannot be connected to.
    #[error("cannot connect to `{}`", path.display())]
    Connect {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Classify for UnixError {
    /// A missing file is a server that is not there; a full accept queue, of which a Unix socket
    /// tells at once, is a refusal.
    fn failure(&self) -> Failure {
        let Self::Connect { source, .. } = self else {
            return Failure::new(Kind::Other).scope(Scope::Endpoint);
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, growing enum")]
        match source.kind() {
            io::ErrorKind::NotFound => Failure::new(Kind::Unreachable),
            io::ErrorKind::WouldBlock => Failure::new(Kind::Refused),
            io::ErrorKind::PermissionDenied => Failure::new(Kind::Auth).scope(Scope::Endpoint),
            _ => Failure::from_io(source),
        }
        .at(Phase::Connect)
    }
}
