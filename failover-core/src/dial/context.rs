//! What a dial is told, and the trail of breadcrumbs that it leaves.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::vec::Vec;

use crate::attempt::{AttemptId, Purpose};
use crate::endpoint::Security;
use crate::failure::Phase;
use crate::few::Few;
use crate::machine::DialOrder;
use crate::time::Time;

/// What a dialer is told about the dial it makes.
///
/// ```
/// use failover_core::attempt::Purpose;
/// use failover_core::dial::DialContext;
/// use failover_core::failure::Phase;
///
/// // The connector makes the context; in a transport's own tests, `unbounded` does.
/// let cx = DialContext::unbounded();
/// cx.enter(Phase::Resolve);
/// cx.enter(Phase::Connect);
/// assert_eq!(cx.trail().phase(), Some(Phase::Connect));
/// assert_eq!(cx.purpose(), Purpose::First);
/// ```
#[derive(Clone)]
pub struct DialContext {
    attempt: AttemptId,
    number: u32,
    purpose: Purpose,
    deadline: Time,
    failed_address: Option<SocketAddr>,
    now: Arc<dyn Fn() -> Time + Send + Sync>,
    trail: Trail,
}

impl DialContext {
    /// The context of this attempt. `number` counts the dials of this outage from 1; `now` tells
    /// the driver's time, in which `deadline` is given.
    #[must_use]
    pub fn new(
        attempt: AttemptId,
        number: u32,
        purpose: Purpose,
        deadline: Time,
        now: Arc<dyn Fn() -> Time + Send + Sync>,
    ) -> Self {
        Self {
            attempt,
            number,
            purpose,
            deadline,
            failed_address: None,
            now,
            trail: Trail::default(),
        }
    }

    /// The same behind a failure at this address; see [`failed_address`](Self::failed_address).
    #[must_use]
    pub fn behind(mut self, failed_address: Option<SocketAddr>) -> Self {
        self.failed_address = failed_address;
        self
    }

    /// The context of this order, whose breadcrumbs lie on this trail.
    pub(crate) fn of(
        order: &DialOrder,
        now: Arc<dyn Fn() -> Time + Send + Sync>,
        trail: Trail,
    ) -> Self {
        Self {
            attempt: order.attempt,
            number: order.number,
            purpose: order.purpose,
            deadline: order.deadline,
            failed_address: None,
            now,
            trail,
        }
    }

    /// A first dial without a deadline, for whoever dials without a connector.
    #[must_use]
    pub fn unbounded() -> Self {
        Self::new(
            AttemptId::new(0),
            1,
            Purpose::First,
            Time::MAX,
            Arc::new(|| Time::ZERO),
        )
    }

    /// The number of this attempt; it never occurs twice in one connector.
    #[must_use]
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// Which dial of this outage it is, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// What the dial is for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// How much of the dial's deadline is left; [`Duration::MAX`] when there is none.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        if self.deadline == Time::MAX {
            return Duration::MAX;
        }
        self.deadline.since((self.now)())
    }

    /// Where the endpoint's last dial was connected and failed in a later phase, or gave a connection that
    /// was lost before it was stable. Of a name with several addresses the others had better go first:
    /// servers behind one name fail one by one, and an address that accepts would win each race.
    #[must_use]
    pub fn failed_address(&self) -> Option<SocketAddr> {
        self.failed_address
    }

    /// Leaves a breadcrumb: this phase begins now. Call it before each await that may last.
    pub fn enter(&self, phase: Phase) {
        self.trail.enter(phase, (self.now)());
    }

    /// Says what the dial waits for in its phase, in words such as "the server's INFO": the error tells
    /// them, should the deadline pass meanwhile. Another phase forgets them.
    ///
    /// ```
    /// use failover_core::dial::DialContext;
    /// use failover_core::failure::Phase;
    ///
    /// let cx = DialContext::unbounded();
    /// cx.enter(Phase::Upgrade);
    /// cx.awaits("the server's INFO");
    /// assert_eq!(cx.trail().awaited(), Some("the server's INFO"));
    /// cx.enter(Phase::Tls);
    /// assert_eq!(cx.trail().awaited(), None);
    /// ```
    pub fn awaits(&self, what: &'static str) {
        self.trail.with(|crumbs| crumbs.awaited = Some(what));
    }

    /// Notes the address that is being tried or was reached, for events.
    pub fn reached(&self, address: SocketAddr) {
        self.trail.with(|crumbs| crumbs.address = Some(address));
    }

    /// Notes how the connection is really protected, when the dial finds it to be otherwise than
    /// [`Dial::security`](crate::dial::Dial::security) said (the server demanded TLS, say).
    pub fn learn(&self, security: Security) {
        self.trail.with(|crumbs| crumbs.security = Some(security));
    }

    /// The trail of this dial.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }
}

impl fmt::Debug for DialContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialContext")
            .field("attempt", &self.attempt)
            .field("number", &self.number)
            .field("purpose", &self.purpose)
            .field("deadline", &self.deadline)
            .field("failed_address", &self.failed_address)
            .field("trail", &self.trail)
            .finish_non_exhaustive()
    }
}

/// The phases that a dial entered, and when. Clones share the trail; at most [`Trail::MOST`] are
/// kept, the latest always.
#[derive(Clone, Debug)]
pub struct Trail(Arc<Mutex<Crumbs>>);

impl Default for Trail {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Crumbs {
            phases: Few::None,
            awaited: None,
            address: None,
            security: None,
        })))
    }
}

#[derive(Debug)]
struct Crumbs {
    /// Mostly one: a connect to an address.
    phases: Few<(Phase, Time)>,
    /// In the latest of them.
    awaited: Option<&'static str>,
    address: Option<SocketAddr>,
    security: Option<Security>,
}

impl Trail {
    /// The most phases that a trail keeps. (A redirect or a second address enters phases again.)
    pub const MOST: usize = 32;

    /// The phase entered last.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        self.with(|crumbs| crumbs.phases.last().map(|&(phase, _)| phase))
    }

    /// The phases in order, each with the time at which it began.
    #[must_use]
    pub fn phases(&self) -> Vec<(Phase, Time)> {
        self.with(|crumbs| crumbs.phases.to_vec())
    }

    /// What the dial said to wait for in the phase entered last.
    #[must_use]
    pub fn awaited(&self) -> Option<&'static str> {
        self.with(|crumbs| crumbs.awaited)
    }

    /// The address tried or reached last.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.with(|crumbs| crumbs.address)
    }

    /// The security that the dial learned, if it differs from what was thought.
    #[must_use]
    pub fn security(&self) -> Option<Security> {
        self.with(|crumbs| crumbs.security)
    }

    fn enter(&self, phase: Phase, now: Time) {
        self.with(|crumbs| {
            crumbs.awaited = None;
            match crumbs.phases.get_mut(Self::MOST - 1) {
                Some(latest) => *latest = (phase, now),
                None => crumbs.phases.push((phase, now)),
            }
        });
    }

    fn with<T>(&self, then: impl FnOnce(&mut Crumbs) -> T) -> T {
        // A poisoned trail is still a trail: nothing in it can be half done.
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
