//! The error of a small transport.

use std::io;
use std::string::{String, ToString};

use thiserror::Error;

use crate::directory::Target;
use crate::failure::{Classify, Failure};

/// Why a dial gave no connection, as an I/O error told with its target: for transports that need no
/// error type of their own. Classified by the [kind](Failure::from_io) of the I/O error.
///
/// ```
/// use std::error::Error;
/// use std::io;
/// use failover_core::dial::ConnectError;
/// use failover_core::directory::Target;
/// use failover_core::failure::{Classify, Kind};
///
/// let to = Target::parse("pipe://joe:secret@a")?;
/// let error = ConnectError::new(&to, io::ErrorKind::ConnectionRefused.into());
/// assert_eq!(error.to_string(), "cannot connect to `pipe://***@a`");
/// assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("connection refused"));
/// assert_eq!(error.failure().kind, Kind::Refused);
/// # Ok::<(), failover_core::directory::UrlError>(())
/// ```
#[derive(Debug, Error)]
#[error("cannot connect to `{target}`")]
#[non_exhaustive]
pub struct ConnectError {
    /// The target's URL, without credentials.
    pub target: String,
    /// What happened.
    pub source: io::Error,
}

impl ConnectError {
    /// What happened at this target.
    #[must_use]
    pub fn new(to: &Target, source: io::Error) -> Self {
        let target = to.url().to_string();
        Self { target, source }
    }
}

impl Classify for ConnectError {
    fn failure(&self) -> Failure {
        Failure::from_io(&self.source)
    }
}
