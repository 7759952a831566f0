//! What went wrong, in words that the machine understands.
//!
//! A transport's own error stays rich and stays with the connector. What enters the machine is a
//! [`Failure`]: small, `Copy`, without text. [`Classify`] is the only bridge between the two.

use core::fmt;
use core::time::Duration;

/// What kind of thing went wrong.
///
/// Numeric codes of migrated systems (Synapse's 101xxx) map to these; see [`Failure::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Kind {
    /// The name could not be resolved.
    Resolve,
    /// The peer refused the connection.
    Refused,
    /// No route, network down, or the host is unreachable.
    Unreachable,
    /// A deadline passed: the dial's, or one of the session's.
    Timeout,
    /// The connection was reset.
    Reset,
    /// The peer closed the connection.
    Closed,
    /// TLS failed: certificate, version, cipher, ALPN, or no TLS at the other end.
    Tls,
    /// An upgrade (WebSocket, STARTTLS) was refused.
    Upgrade,
    /// The peer broke the protocol.
    Protocol,
    /// Credentials were refused.
    Auth,
    /// The server is up, but not in the role that was asked for (read-only, standby).
    WrongRole,
    /// The peer is silent although the connection stands (heartbeat missed).
    Stale,
    /// Given up on our side before it could end.
    Cancelled,
    /// Out of descriptors, ports or memory on *our* side; not the endpoint's fault.
    Exhausted,
    /// The server asks us to leave (draining, going away, restart).
    Draining,
    /// Nothing was ready to be dialled.
    NoneReady,
    /// None of the above.
    Other,
}

impl Kind {
    /// The word for logs and JSON lines: stable, lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Tls => "tls",
            Self::Upgrade => "upgrade",
            Self::Protocol => "protocol",
            Self::Auth => "auth",
            Self::WrongRole => "wrong-role",
            Self::Stale => "stale",
            Self::Cancelled => "cancelled",
            Self::Exhausted => "exhausted",
            Self::Draining => "draining",
            Self::NoneReady => "none-ready",
            Self::Other => "other",
        }
    }

    /// Whether the next route of the same server is worth a try after this kind of failure.
    ///
    /// True for what a *transport* can cause (name, connect, TLS, upgrade, deadline); false for
    /// what the *server* said (auth, draining, protocol), which every route would hear again.
    #[must_use]
    pub const fn invites_next_route(self) -> bool {
        match self {
            Self::Resolve
            | Self::Refused
            | Self::Unreachable
            | Self::Timeout
            | Self::Reset
            | Self::Closed
            | Self::Tls
            | Self::Upgrade => true,
            Self::Protocol
            | Self::Auth
            | Self::WrongRole
            | Self::Stale
            | Self::Cancelled
            | Self::Exhausted
            | Self::Draining
            | Self::NoneReady
            | Self::Other => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a failure reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Scope {
    /// It may be gone at the next try. The default.
    #[default]
    Transient,
    /// This endpoint will keep failing (wrong certificate, refused login); others are fine.
    Endpoint,
    /// No endpoint will do better: the connector closes with this failure.
    Fatal,
}

impl Scope {
    /// The word for logs and JSON lines: stable, lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Endpoint => "endpoint",
            Self::Fatal => "fatal",
        }
    }
}

/// The layer that was at work: the breadcrumb that a dial leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Phase {
    /// A name is being resolved.
    Resolve,
    /// A connection is being opened.
    Connect,
    /// A proxy is being asked to open it.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// The WebSocket (or another) upgrade.
    Upgrade,
    /// The application's own login and set-up.
    Login,
    /// The dial is over: the connection is in use.
    Session,
}

impl Phase {
    /// The word for logs and JSON lines: stable, lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::Upgrade => "upgrade",
            Self::Login => "login",
            Self::Session => "session",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure as the machine knows it: what, how far it reaches, where it happened.
///
/// ```
/// use core::time::Duration;
/// use failover_core::failure::{Failure, Kind, Phase, Scope};
///
/// let busy = Failure::new(Kind::Upgrade)
///     .at(Phase::Upgrade)
///     .code(503)
///     .retry_after(Duration::from_secs(3));
/// assert_eq!(busy.scope, Scope::Transient);
/// assert_eq!(busy.to_string(), "upgrade (503) in upgrade, retry after 3s");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[non_exhaustive]
pub struct Failure {
    /// What kind of failure.
    pub kind: Kind,
    /// How far it reaches.
    pub scope: Scope,
    /// Where it happened, when the layer knows it. The connector fills it from the breadcrumb.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub phase: Option<Phase>,
    /// The peer's own number: an HTTP status, a WebSocket close code, a migrated error code.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub code: Option<u32>,
    /// The server's hint: not before this much time has passed.
    #[cfg_attr(
        feature = "serde",
        serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "crate::time::in_nanos::maybe"
        )
    )]
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A transient failure of this kind, with nothing else known.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            scope: Scope::Transient,
            phase: None,
            code: None,
            retry_after: None,
        }
    }

    /// The same, reaching this far.
    #[must_use]
    pub const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// The same, in this phase.
    #[must_use]
    pub const fn at(mut self, phase: Phase) -> Self {
        self.phase = Some(phase);
        self
    }

    /// The same, with the peer's own number.
    #[must_use]
    pub const fn code(mut self, code: u32) -> Self {
        self.code = Some(code);
        self
    }

    /// The same, with the server's hint when to come back.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The failure that an I/O error stands for.
    ///
    /// A [`Failure`] in the error's chain of sources is taken as it is: so a layer that hands out
    /// plain I/O errors (a stream) says what it knows. Otherwise the error's kind decides. Descriptors, ports and memory that ran out on
    /// our side are [`Kind::Exhausted`], recognised by the system's error number (errno 12, 23,
    /// 24, 99 and 105 on Linux: ENOMEM, ENFILE, EMFILE, EADDRNOTAVAIL, ENOBUFS).
    #[cfg(feature = "std")]
    #[must_use]
    pub fn from_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        if let Some(left) = left_in(error) {
            return left;
        }
        if cfg!(target_os = "linux")
            && matches!(error.raw_os_error(), Some(12 | 23 | 24 | 99 | 105))
        {
            return Self::new(Kind::Exhausted);
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign, growing enum")]
        Self::new(match error.kind() {
            ErrorKind::ConnectionRefused => Kind::Refused,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                Kind::Reset
            }
            ErrorKind::UnexpectedEof | ErrorKind::NotConnected | ErrorKind::WriteZero => {
                Kind::Closed
            }
            ErrorKind::TimedOut => Kind::Timeout,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
                Kind::Unreachable
            }
            ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory => Kind::Exhausted,
            ErrorKind::InvalidData => Kind::Protocol,
            _ => Kind::Other,
        })
    }
}

/// The failure that a layer left in the chain of sources.
#[cfg(feature = "std")]
fn left_in(error: &std::io::Error) -> Option<Failure> {
    let mut next: Option<&(dyn core::error::Error + 'static)> = match error.get_ref() {
        Some(inner) => Some(inner),
        None => None,
    };
    while let Some(inner) = next {
        if let Some(failure) = inner.downcast_ref() {
            return Some(*failure);
        }
        next = inner.source();
    }
    None
}

/// A failure without the server's hint: what is kept of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub(crate) struct Brief {
    kind: Kind,
    scope: Scope,
    phase: Option<Phase>,
    code: Option<u32>,
}

impl From<Failure> for Brief {
    fn from(failure: Failure) -> Self {
        Self {
            kind: failure.kind,
            scope: failure.scope,
            phase: failure.phase,
            code: failure.code,
        }
    }
}

impl From<Brief> for Failure {
    fn from(brief: Brief) -> Self {
        Self {
            scope: brief.scope,
            phase: brief.phase,
            code: brief.code,
            ..Self::new(brief.kind)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        if let Some(code) = self.code {
            write!(f, " ({code})")?;
        }
        if let Some(phase) = self.phase {
            write!(f, " in {phase}")?;
        }
        if let Some(after) = self.retry_after {
            write!(f, ", retry after {after:?}")?;
        }
        Ok(())
    }
}

/// The one question that the machine asks of a foreign error: what failure is it?
///
/// Implementers answer kind and scope; the phase may be left to the connector, which knows it
/// from the breadcrumb.
pub trait Classify {
    /// This error as a failure.
    fn failure(&self) -> Failure;
}

#[cfg(feature = "std")]
impl Classify for std::io::Error {
    fn failure(&self) -> Failure {
        Failure::from_io(self)
    }
}

impl Classify for core::convert::Infallible {
    fn failure(&self) -> Failure {
        match *self {}
    }
}

impl Classify for Failure {
    fn failure(&self) -> Failure {
        *self
    }
}

impl core::error::Error for Failure {}
