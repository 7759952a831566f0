//! How a connector fails: to be built, and for good.

use std::fmt;
use std::string::String;
use std::time::Duration;
use std::vec::Vec;

use thiserror::Error;

use crate::dial::DialError;
use crate::directory::DirectoryError;
use crate::drive::recorder::{Recorded, Recording};
use crate::drive::report::EndpointReport;
use crate::failure::{Classify, Failure, Kind, Phase};
use crate::machine::{CloseReason, Verdict};

/// Why a change of the list was refused. The list is then as it was.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ListError {
    /// The new list contradicts itself or the present one.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// No dial of this endpoint could ever succeed.
    #[error("endpoint `{name}`: {error}")]
    Endpoint {
        /// The endpoint's name.
        name: String,
        /// What the dialer has against it.
        #[source]
        error: DialError,
    },
    /// No endpoint has this name.
    #[error("no endpoint is named `{name}`")]
    Unknown {
        /// The name.
        name: String,
    },
}

/// Why a connector cannot be built.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// There is nobody to dial.
    #[error("the list of endpoints is empty: give at least one, such as `tcp://host:port`")]
    NoEndpoints,
    /// The list contradicts itself, or holds an endpoint that could never be dialled.
    #[error(transparent)]
    List(#[from] ListError),
    /// The policy asks a hook that is not there.
    #[error("the policy asks the delay hook, but none was given: call `hooks` on the builder")]
    MissingDelayHook,
}

/// The connector has given up, or was closed: why, and the last error of every endpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GiveUp {
    /// Why it is over.
    pub reason: CloseReason,
    /// Each endpoint's side of it, in the order of the list.
    pub endpoints: Vec<EndpointReport>,
    pub(crate) recorded: Option<Recorded>,
}

impl GiveUp {
    /// What the flight recorder kept of the way to this end; nothing without a
    /// [`recorder`](crate::drive::ConnectorBuilder::recorder). Copies the ring.
    #[must_use]
    pub fn recording(&self) -> Option<Recording> {
        self.recorded.as_ref().map(Recorded::recording)
    }
}

impl fmt::Display for GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        if self.reason == CloseReason::ByUser {
            return Ok(());
        }
        let mut separator = ": ";
        for report in &self.endpoints {
            write!(f, "{separator}{report}")?;
            separator = "; ";
        }
        Ok(())
    }
}

impl core::error::Error for GiveUp {}

/// A dial was not done when its deadline passed. (Source of the phase: the breadcrumb.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not done after {after:?}{}", said(*phase, *awaited))]
#[non_exhaustive]
pub struct DeadlinePassed {
    /// How long it had.
    pub after: Duration,
    /// The phase it was in.
    pub phase: Option<Phase>,
    /// What it said to wait for there.
    pub awaited: Option<&'static str>,
}

fn said(phase: Option<Phase>, awaited: Option<&str>) -> String {
    let doing = match (phase, awaited) {
        (None, None) => return String::new(),
        (_, Some(awaited)) => return format!(", while waiting for {awaited}"),
        (Some(phase), None) => phase,
    };
    String::from(match doing {
        Phase::Resolve => ", while resolving the name",
        Phase::Connect => ", while connecting",
        Phase::Proxy => ", while waiting for the proxy",
        Phase::Tls => ", while waiting for the TLS handshake",
        Phase::Upgrade => ", while waiting for the upgrade",
        Phase::Login => ", while waiting for the login",
        Phase::Session => ", in the session",
    })
}

impl Classify for DeadlinePassed {
    fn failure(&self) -> Failure {
        Failure {
            phase: self.phase,
            ..Failure::new(Kind::Timeout)
        }
    }
}

/// A connection that was lost: why, and what the application makes of it.
///
/// Made from any error that answers [`Classify`], so that `?` works in a session.
///
/// ```
/// use failover_core::drive::Loss;
/// use failover_core::failure::{Failure, Kind};
/// use failover_core::machine::Verdict;
///
/// let loss = Loss::from(Failure::new(Kind::Stale)).verdict(Verdict::Next);
/// # let _ = loss;
/// ```
#[derive(Clone, Debug)]
pub struct Loss {
    pub(crate) failure: Failure,
    pub(crate) verdict: Verdict,
    pub(crate) error: Option<DialError>,
}

impl Loss {
    /// The same with the application's own verdict.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }
}

impl<E: core::error::Error + Classify + Send + Sync + 'static> From<E> for Loss {
    fn from(error: E) -> Self {
        let failure = error.failure();
        Self {
            failure: Failure {
                phase: failure.phase.or(Some(Phase::Session)),
                ..failure
            },
            verdict: Verdict::AsPolicy,
            error: Some(DialError::new(error)),
        }
    }
}
