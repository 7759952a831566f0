//! A dialer whose type is not known until run time.

use std::boxed::Box;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::dial::{Dial, DialContext};
use crate::directory::Target;
use crate::endpoint::Security;
use crate::failure::{Classify, Failure};

/// Any dialer with this connection type. Clones share the dialer.
///
/// ```
/// # use failover_core::dial::{BoxDial, Dial, DialContext};
/// # use failover_core::directory::Target;
/// # use failover_core::failure::{Failure, Kind};
/// # struct Tcp; struct Memory;
/// # impl Dial for Tcp { type Conn = u8; type Error = Failure;
/// #   async fn dial(&self, _: &Target, _: &DialContext) -> Result<u8, Failure> { Ok(1) } }
/// # impl Dial for Memory { type Conn = u8; type Error = Failure;
/// #   async fn dial(&self, _: &Target, _: &DialContext) -> Result<u8, Failure> { Ok(2) } }
/// # let in_memory = true;
/// let dialer: BoxDial<u8> = if in_memory { Memory.boxed() } else { Tcp.boxed() };
/// ```
// A newtype rather than `impl Dial for Arc<dyn DynDial<C>>`: the latter compiles, but the future
// of whoever drives it is then not provably `Send` for every lifetime and cannot be spawned.
pub struct BoxDial<C>(Arc<dyn DynDial<C>>);

impl<C: Send + 'static> BoxDial<C> {
    /// Erases the type of this dialer.
    pub fn new(dialer: impl Dial<Conn = C> + 'static) -> Self {
        Self(Arc::new(dialer))
    }
}

impl<C> Clone for BoxDial<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for BoxDial<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxDial")
    }
}

impl<C: Send + 'static> Dial for BoxDial<C> {
    type Conn = C;
    type Error = DialError;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<C, DialError> {
        self.0.dial_boxed(to, cx).await
    }

    fn security(&self, to: &Target) -> Security {
        self.0.security_boxed(to)
    }

    fn check(&self, to: &Target) -> Result<(), DialError> {
        self.0.check_boxed(to)
    }

    fn boxed(self) -> Self {
        self
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The object-safe twin of [`Dial`].
trait DynDial<C>: Send + Sync {
    fn dial_boxed<'a>(
        &'a self,
        to: &'a Target,
        cx: &'a DialContext,
    ) -> BoxFuture<'a, Result<C, DialError>>;
    fn security_boxed(&self, to: &Target) -> Security;
    fn check_boxed(&self, to: &Target) -> Result<(), DialError>;
}

impl<D: Dial> DynDial<D::Conn> for D {
    fn dial_boxed<'a>(
        &'a self,
        to: &'a Target,
        cx: &'a DialContext,
    ) -> BoxFuture<'a, Result<D::Conn, DialError>> {
        Box::pin(async move { self.dial(to, cx).await.map_err(DialError::new) })
    }

    fn security_boxed(&self, to: &Target) -> Security {
        self.security(to)
    }

    fn check_boxed(&self, to: &Target) -> Result<(), DialError> {
        self.check(to).map_err(DialError::new)
    }
}

/// A dial's error whose type is not known: it prints and chains like the error it holds, and still
/// answers [`Classify`]. `Clone` shares the error.
#[derive(Clone)]
pub struct DialError {
    failure: Failure,
    error: Arc<dyn core::error::Error + Send + Sync>,
}

impl DialError {
    /// Erases the type of this error.
    pub fn new(error: impl core::error::Error + Classify + Send + Sync + 'static) -> Self {
        Self {
            failure: error.failure(),
            error: Arc::new(error),
        }
    }

    /// The error inside, for whoever knows its type.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn core::error::Error + Send + Sync + 'static) {
        &*self.error
    }
}

impl fmt::Debug for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl core::error::Error for DialError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.error.source()
    }
}

impl Classify for DialError {
    fn failure(&self) -> Failure {
        self.failure
    }
}
