//! What the machine knows of an endpoint: an id and a few small facts, never a name.

use core::fmt;

/// The id of one endpoint in one machine. Ids are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(u32);

impl EndpointId {
    /// The endpoint with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// Whether a connection is protected by TLS: decides which jitter applies (law L6).
///
/// It is the *dialer's* answer, not the spelling of the scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Security {
    /// No TLS.
    #[default]
    Plain,
    /// TLS.
    Tls,
}

/// The facts about an endpoint that decisions need: small and `Copy`.
///
/// ```
/// use failover_core::endpoint::{EndpointId, Security, Traits};
///
/// // One server, reachable by wss, then tls, then tcp: tried in this order within one turn.
/// let server = Traits::new(EndpointId::new(0))
///     .route(Security::Tls)
///     .route(Security::Tls)
///     .route(Security::Plain);
/// assert_eq!(server.routes(), 3);
/// assert_eq!(server.security(2), Security::Plain);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Traits {
    id: EndpointId,
    routes: u8,
    /// Bit n is set if route n is TLS.
    tls: u8,
}

/// The most routes that one endpoint may have.
pub const MAX_ROUTES: usize = 8;

impl Traits {
    /// An endpoint without routes yet; add at least one with [`route`](Self::route). Without any,
    /// it counts as one plain route.
    #[must_use]
    pub const fn new(id: EndpointId) -> Self {
        Self {
            id,
            routes: 0,
            tls: 0,
        }
    }

    /// The same with one more route, tried after those before it. Routes beyond [`MAX_ROUTES`]
    /// are ignored (the directory refuses them earlier, with an error).
    #[must_use]
    pub const fn route(mut self, security: Security) -> Self {
        if (self.routes as usize) < MAX_ROUTES {
            if matches!(security, Security::Tls) {
                self.tls |= 1 << self.routes;
            }
            self.routes += 1;
        }
        self
    }

    /// Its id.
    #[must_use]
    pub const fn id(self) -> EndpointId {
        self.id
    }

    /// How many routes it has, at least 1.
    #[must_use]
    pub const fn routes(self) -> u8 {
        if self.routes == 0 { 1 } else { self.routes }
    }

    /// Whether this route is TLS.
    #[must_use]
    pub const fn security(self, route: u8) -> Security {
        if (route as usize) < MAX_ROUTES && self.tls & (1 << route) != 0 {
            Security::Tls
        } else {
            Security::Plain
        }
    }

    /// Books what a dial learned: this route's security is really `security` (the server demanded
    /// TLS, say).
    pub(crate) const fn learn(&mut self, route: u8, security: Security) {
        if route as usize >= MAX_ROUTES {
            return;
        }
        match security {
            Security::Tls => self.tls |= 1 << route,
            Security::Plain => self.tls &= !(1 << route),
        }
    }
}
