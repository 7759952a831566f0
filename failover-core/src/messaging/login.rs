//! The login as the outermost layer of a dial.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::dial::{Dial, DialContext};
use crate::directory::Target;
use crate::endpoint::Security;
use crate::failure::{Classify, Failure, Phase};
use crate::messaging::line::Line;
use crate::messaging::protocol::{Protocol, Welcome};
use crate::messaging::wire::Wire;

/// Any dialer, with a protocol's login over its connections.
///
/// # Cancel safety
/// Dropping the dial closes the connection, in the login too.
pub struct Login<D, P> {
    inner: D,
    protocol: Arc<P>,
    most_frame: usize,
}

impl<D, P> Login<D, P> {
    /// The most bytes that a frame of the peer may have where nothing else is said: 8 MiB.
    pub const MOST_FRAME: usize = 8 * 1024 * 1024;

    /// This protocol over the connections of this dialer.
    #[must_use]
    pub fn new(inner: D, protocol: impl Into<Arc<P>>) -> Self {
        Self {
            inner,
            protocol: protocol.into(),
            most_frame: Self::MOST_FRAME,
        }
    }

    /// The same, taking in frames of at most this many bytes: the bound of what is kept of a frame that
    /// is not whole yet. A larger one is a loss of kind protocol.
    #[must_use]
    pub fn most_frame(mut self, bytes: usize) -> Self {
        self.most_frame = bytes;
        self
    }

    /// The protocol.
    #[must_use]
    pub fn protocol(&self) -> &Arc<P> {
        &self.protocol
    }
}

impl<D: Clone, P> Clone for Login<D, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            protocol: Arc::clone(&self.protocol),
            most_frame: self.most_frame,
        }
    }
}

impl<D: fmt::Debug, P> fmt::Debug for Login<D, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("inner", &self.inner)
            .field("most_frame", &self.most_frame)
            .finish_non_exhaustive()
    }
}

impl<D, P> Dial for Login<D, P>
where
    D: Dial,
    D::Conn: Wire,
    P: Protocol,
{
    type Conn = LoggedIn<D::Conn, P::Session>;
    type Error = LoginError<D::Error, P::Error>;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<Self::Conn, Self::Error> {
        let wire = self.inner.dial(to, cx).await.map_err(LoginError::Dial)?;
        cx.enter(Phase::Login);
        let mut line = Line::new(wire, self.most_frame);
        match self.protocol.login(&mut line, to, cx).await {
            Ok(welcome) => Ok(LoggedIn { line, welcome }),
            Err(error) => Err(LoginError::Login(error)),
        }
    }

    fn security(&self, to: &Target) -> Security {
        self.inner.security(to)
    }

    fn check(&self, to: &Target) -> Result<(), Self::Error> {
        self.inner.check(to).map_err(LoginError::Dial)
    }
}

/// A connection over which a protocol has logged in.
#[derive(Debug)]
pub struct LoggedIn<W, S> {
    pub(super) line: Line<W>,
    pub(super) welcome: Welcome<S>,
}

/// Why there is no such connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoginError<D, E> {
    /// There is not even a connection.
    #[error(transparent)]
    Dial(D),
    /// The login failed.
    #[error("the login failed")]
    Login(#[source] E),
}

impl<D: Classify, E: Classify> Classify for LoginError<D, E> {
    fn failure(&self) -> Failure {
        match self {
            Self::Dial(error) => error.failure(),
            Self::Login(error) => {
                let failure = error.failure();
                Failure {
                    phase: failure.phase.or(Some(Phase::Login)),
                    ..failure
                }
            }
        }
    }
}
