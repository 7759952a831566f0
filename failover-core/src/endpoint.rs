//! What the machine knows of an endpoint: an id and a few small facts, never a name.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::time::nanos;

/// The id of one endpoint in one machine. Ids are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(transparent)
)]
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
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
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
///     .route(Security::Plain)
///     .tier(1);
/// assert_eq!(server.routes(), 3);
/// assert_eq!(server.security(2), Security::Plain);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Traits {
    id: EndpointId,
    weight: u16,
    tier: u8,
    routes: u8,
    /// Bit n is set if route n is TLS.
    tls: u8,
    class: u8,
    /// In nanoseconds; 0 means the policy's.
    deadline: u64,
}

/// The most routes that one endpoint may have.
pub const MAX_ROUTES: usize = 8;

impl Traits {
    /// An endpoint of tier 0 and weight 1, without routes yet; add at least one with
    /// [`route`](Self::route). Without any, it counts as one plain route.
    #[must_use]
    pub const fn new(id: EndpointId) -> Self {
        Self {
            id,
            weight: 1,
            tier: 0,
            routes: 0,
            tls: 0,
            class: 0,
            deadline: 0,
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

    /// The same in this tier: lower ones are preferred.
    #[must_use]
    pub const fn tier(mut self, tier: u8) -> Self {
        self.tier = tier;
        self
    }

    /// The same with this weight, for [`Walk::Weighted`](crate::policy::Walk). 0 counts as 1.
    #[must_use]
    pub const fn weight(mut self, weight: u16) -> Self {
        self.weight = if weight == 0 { 1 } else { weight };
        self
    }

    /// The same with a deadline of its own for each dial, instead of the policy's. Zero means the
    /// policy's.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = nanos(deadline);
        self
    }

    /// The same in this class of the policy, whose rules then apply to it instead of those for all.
    /// 0 means none.
    #[must_use]
    pub const fn class(mut self, class: u8) -> Self {
        self.class = class;
        self
    }

    /// The same under another id: each client of a simulated fleet counts its own.
    #[cfg(feature = "sim")]
    pub(crate) const fn with_id(mut self, id: EndpointId) -> Self {
        self.id = id;
        self
    }

    /// Whether the builder could have made it: what was read from a text may be anything.
    #[cfg(feature = "serde")]
    pub(crate) const fn is_sound(self) -> bool {
        self.routes as usize <= MAX_ROUTES && self.weight > 0
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

    /// Its tier.
    #[must_use]
    pub const fn in_tier(self) -> u8 {
        self.tier
    }

    /// Its weight, at least 1.
    #[must_use]
    pub const fn weighs(self) -> u16 {
        self.weight
    }

    /// Its class in the policy; 0 means none.
    #[must_use]
    pub const fn in_class(self) -> u8 {
        self.class
    }

    /// Its own deadline for each dial, if it has one.
    #[must_use]
    pub const fn own_deadline(self) -> Option<Duration> {
        match self.deadline {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
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

/// A list of endpoints in the order of their ids. Clones share it; a machine that changes its own
/// makes a copy first, so that a million clients of one deployment hold one list.
///
/// ```
/// use failover_core::endpoint::{EndpointId, Endpoints, Security, Traits};
///
/// let list = Endpoints::from([2, 1, 2].map(|n| Traits::new(EndpointId::new(n)).route(Security::Tls)));
/// let ids: Vec<u32> = list.iter().map(|traits| traits.id().number()).collect();
/// assert_eq!(ids, [1, 2]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints(Arc<Vec<Traits>>);

impl Endpoints {
    pub(crate) fn find(&self, id: EndpointId) -> Option<usize> {
        self.0.binary_search_by_key(&id, |traits| traits.id).ok()
    }

    /// Whether it is that very list, and not only an equal one.
    #[cfg(feature = "sim")]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn make_mut(&mut self) -> &mut Vec<Traits> {
        Arc::make_mut(&mut self.0)
    }
}

impl core::ops::Deref for Endpoints {
    type Target = [Traits];

    fn deref(&self) -> &[Traits] {
        &self.0
    }
}

impl From<Vec<Traits>> for Endpoints {
    /// Sorted by id; of several with one id, the first.
    fn from(mut list: Vec<Traits>) -> Self {
        list.sort_by_key(|traits| traits.id);
        list.dedup_by_key(|traits| traits.id);
        Self(Arc::new(list))
    }
}

impl From<&[Traits]> for Endpoints {
    fn from(list: &[Traits]) -> Self {
        Self::from(list.to_vec())
    }
}

impl From<&Vec<Traits>> for Endpoints {
    fn from(list: &Vec<Traits>) -> Self {
        Self::from(list.clone())
    }
}

impl<const N: usize> From<[Traits; N]> for Endpoints {
    fn from(list: [Traits; N]) -> Self {
        Self::from(list.to_vec())
    }
}

impl<const N: usize> From<&[Traits; N]> for Endpoints {
    fn from(list: &[Traits; N]) -> Self {
        Self::from(list.to_vec())
    }
}
