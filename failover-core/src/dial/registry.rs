//! Dialers by URL scheme.

use std::string::{String, ToString};
use std::vec::Vec;

use thiserror::Error;

use crate::dial::{BoxDial, Dial, DialContext, DialError};
use crate::directory::Target;
use crate::endpoint::Security;
use crate::failure::{Classify, Failure, Kind, Scope};

/// A dialer that picks another by the target's URL scheme, so that one list mixes transports.
///
/// All of them give the same connection type; [`Dial::map`] unites different ones.
///
/// ```
/// # use failover_core::dial::{Dial, DialContext, Registry};
/// # use failover_core::directory::Target;
/// # use failover_core::failure::Failure;
/// # #[derive(Clone)] struct Tcp;
/// # impl Dial for Tcp { type Conn = u8; type Error = Failure;
/// #   async fn dial(&self, _: &Target, _: &DialContext) -> Result<u8, Failure> { Ok(1) } }
/// let registry = Registry::default().with("tcp", Tcp).with("memory", Tcp);
/// assert!(registry.check(&Target::parse("memory://a:1")?).is_ok());
///
/// let refused = registry.check(&Target::parse("tpc://a:1")?).unwrap_err();
/// assert_eq!(refused.to_string(), "no transport for scheme `tpc`: known are memory, tcp");
/// # Ok::<(), failover_core::directory::UrlError>(())
/// ```
#[derive(Debug)]
pub struct Registry<C> {
    /// In the alphabetical order of their schemes.
    dialers: Vec<(String, BoxDial<C>)>,
}

impl<C> Default for Registry<C> {
    fn default() -> Self {
        Self {
            dialers: Vec::new(),
        }
    }
}

impl<C> Clone for Registry<C> {
    fn clone(&self) -> Self {
        Self {
            dialers: self.dialers.clone(),
        }
    }
}

impl<C: Send + 'static> Registry<C> {
    /// The same with this dialer for this scheme; it replaces an earlier one.
    #[must_use]
    pub fn with(mut self, scheme: &str, dialer: impl Dial<Conn = C> + 'static) -> Self {
        let (scheme, dialer) = (scheme.to_ascii_lowercase(), dialer.boxed());
        match self.find(&scheme) {
            Ok(at) => self.dialers[at].1 = dialer,
            Err(at) => self.dialers.insert(at, (scheme, dialer)),
        }
        self
    }

    /// The schemes it knows, in alphabetical order.
    pub fn schemes(&self) -> impl Iterator<Item = &str> {
        self.dialers.iter().map(|(scheme, _)| scheme.as_str())
    }

    /// Where this scheme's dialer is, or belongs.
    fn find(&self, scheme: &str) -> Result<usize, usize> {
        self.dialers
            .binary_search_by(|(known, _)| known.as_str().cmp(scheme))
    }

    fn dialer(&self, to: &Target) -> Result<&BoxDial<C>, RegistryError> {
        let scheme = to.url().scheme();
        match self.find(scheme) {
            Ok(at) => Ok(&self.dialers[at].1),
            Err(_) => Err(RegistryError::UnknownScheme {
                scheme: scheme.to_string(),
                known: self.schemes().map(str::to_string).collect(),
            }),
        }
    }
}

impl<C: Send + 'static> Dial for Registry<C> {
    type Conn = C;
    type Error = RegistryError;

    async fn dial(&self, to: &Target, cx: &DialContext) -> Result<C, RegistryError> {
        Ok(self.dialer(to)?.dial(to, cx).await?)
    }

    fn security(&self, to: &Target) -> Security {
        self.dialer(to)
            .map_or(Security::Plain, |dialer| dialer.security(to))
    }

    fn check(&self, to: &Target) -> Result<(), RegistryError> {
        Ok(self.dialer(to)?.check(to)?)
    }
}

/// Why a registry's dial failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No dialer is registered for the scheme.
    #[error("no transport for scheme `{scheme}`: known are {}", known.join(", "))]
    UnknownScheme {
        /// The target's scheme.
        scheme: String,
        /// The registered schemes.
        known: Vec<String>,
    },
    /// The transport's own error.
    #[error(transparent)]
    Dial(#[from] DialError),
}

impl Classify for RegistryError {
    fn failure(&self) -> Failure {
        match self {
            Self::UnknownScheme { .. } => Failure::new(Kind::Other).scope(Scope::Endpoint),
            Self::Dial(error) => error.failure(),
        }
    }
}
