//! The `Dial` trait: how transports plug in.
//!
//! A dial is an onion: resolve and connect, TLS, upgrade, login. Each layer is a `Dial` that wraps
//! an inner one (`Ws<Tls<Tcp>>` is `wss`), and "established" is told when the outermost is done.

mod boxed;
mod context;
mod error;
mod map;
mod registry;

use std::future::Future;
use std::sync::Arc;

pub use self::boxed::{BoxDial, DialError};
pub use self::context::{DialContext, Trail};
pub use self::error::ConnectError;
pub use self::map::Map;
pub use self::registry::{Registry, RegistryError};
use crate::directory::Target;
use crate::endpoint::Security;
use crate::failure::Classify;

/// Opens connections to targets.
///
/// # For implementers
///
/// * Write plain `async fn dial`. Nothing happens before the future is polled.
/// * **Cancel safety**: dropping the future at any await point closes the half-open connection and
///   leaves nothing running. The connector ends every dial this way, at its deadline or on close.
/// * Keep no deadline of your own: one covers the whole onion. Call
///   [`cx.enter(phase)`](DialContext::enter) before each await that may last, so that the phase is
///   known when the deadline strikes. Only a layer that tries several addresses splits the budget
///   ([`cx.remaining()`](DialContext::remaining)).
/// * Never retry: that is the policy's work.
/// * Errors answer [`Classify`], chain their cause in `source()`, and contain no secrets. ([`ConnectError`]
///   is a ready one.)
/// * Resolve and read credentials at *every* dial: a reconnect must see a moved server.
///
/// `testing::conformance` (feature `testing`) checks these promises for your transport.
///
/// `Dial` is `Send + Sync`, which leaves out single-threaded runtimes (wasm): drive the
/// [`Machine`](crate::machine::Machine) there.
///
/// ```
/// use failover_core::dial::{Dial, DialContext};
/// use failover_core::directory::Target;
/// use failover_core::failure::{Failure, Kind, Phase};
///
/// /// Connects to names that begin with "up".
/// struct Pretend;
///
/// impl Dial for Pretend {
///     type Conn = String;
///     type Error = Failure;
///
///     async fn dial(&self, to: &Target, cx: &DialContext) -> Result<String, Failure> {
///         cx.enter(Phase::Connect);
///         if to.url().host().starts_with("up") {
///             Ok(format!("connected to {to}"))
///         } else {
///             Err(Failure::new(Kind::Refused))
///         }
///     }
/// }
/// ```
pub trait Dial: Send + Sync {
    /// An established connection.
    type Conn: Send + 'static;
    /// Why there is none.
    type Error: core::error::Error + Classify + Send + Sync + 'static;

    /// Opens a connection to the target.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was half open and leaves nothing running.
    ///
    /// # Errors
    /// When the target cannot be reached over this transport.
    fn dial(
        &self,
        to: &Target,
        cx: &DialContext,
    ) -> impl Future<Output = Result<Self::Conn, Self::Error>> + Send;

    /// Whether a connection to this target is protected by TLS.
    fn security(&self, _to: &Target) -> Security {
        Security::Plain
    }

    /// Checks a target without dialling it: scheme, port, options. Asked once for each endpoint
    /// when a connector is built, so that a mistake in the configuration is an error at once
    /// rather than a dial that fails for ever.
    ///
    /// # Errors
    /// When this dialer could never dial the target.
    fn check(&self, _to: &Target) -> Result<(), Self::Error> {
        Ok(())
    }

    /// The same dialer with its connections turned into something else: used to unite dialers of
    /// different connection types in one [`Registry`].
    fn map<F, C>(self, turn: F) -> Map<Self, F>
    where
        Self: Sized,
        F: Fn(Self::Conn) -> C + Send + Sync,
        C: Send + 'static,
    {
        Map::new(self, turn)
    }

    /// The same dialer with its type erased, for a choice at run time.
    fn boxed(self) -> BoxDial<Self::Conn>
    where
        Self: Sized + 'static,
    {
        BoxDial::new(self)
    }
}

impl<D: Dial> Dial for Arc<D> {
    type Conn = D::Conn;
    type Error = D::Error;

    fn dial(
        &self,
        to: &Target,
        cx: &DialContext,
    ) -> impl Future<Output = Result<D::Conn, D::Error>> + Send {
        D::dial(self, to, cx)
    }

    fn security(&self, to: &Target) -> Security {
        D::security(self, to)
    }

    fn check(&self, to: &Target) -> Result<(), D::Error> {
        D::check(self, to)
    }
}
