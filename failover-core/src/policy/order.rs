//! Which endpoint is next.

/// Which endpoint is next.
///
/// A *sweep* visits every eligible endpoint once (law L9), those of a lower tier first: tiers are a
/// failover over groups, and the walk is the balance within each. (A failover over load-balanced
/// groups: one [tier](crate::endpoint::Traits::tier) per group, [`Walk::Shuffled`],
/// [`Walk::Rotate`] or [`Walk::Weighted`] within.) Default: shuffled once, the lost server's turn is
/// taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Order {
    /// How a sweep walks over a tier.
    pub walk: Walk,
    /// Where the server goes that was just lost.
    pub lost: Lost,
}

impl Order {
    /// Walk like this; the lost server's turn is taken.
    #[must_use]
    pub fn new(walk: Walk) -> Self {
        Self {
            walk,
            lost: Lost::default(),
        }
    }

    /// The same, with this place for the server just lost.
    #[must_use]
    pub fn lost(mut self, lost: Lost) -> Self {
        self.lost = lost;
        self
    }
}

/// How a sweep walks over a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Walk {
    /// From the top of the list, every sweep: the first endpoint is preferred (cascading).
    Listed,
    /// The first of the list that is ready, every time, whoever had a turn (Synapse's dynamic
    /// failover): one that failed is dialled again unless its failure rests it. A sweep ends when
    /// one is dialled that had a turn in it.
    FirstReady,
    /// From behind the endpoint dialled last (Synapse's load balancing).
    Rotate,
    /// A uniformly shuffled list, walked like [`Rotate`](Self::Rotate).
    Shuffled(Shuffle),
    /// At random in proportion to the endpoints' weights, each once per sweep.
    Weighted,
    /// The one with the fewest failures in a row first, like [`Rotate`](Self::Rotate) among equals
    /// (async-nats).
    LeastFailed,
}

impl Default for Walk {
    fn default() -> Self {
        Self::Shuffled(Shuffle::Once)
    }
}

/// When the list is shuffled.
///
/// A list of more than 64 endpoints that is shuffled more than once has no order that is kept: each
/// sweep draws anew, also the first one, so that no shuffle walks the list. Added to a list that is
/// shuffled once, an endpoint comes last in a list of up to 64, and anywhere in a longer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shuffle {
    /// At the start (NATS, stompit).
    Once,
    /// At every loss of a connection, and not at the start (Diffusion's load balancing).
    EachLoss,
    /// At the start and before every sweep (ActiveMQ).
    EachSweep,
}

/// Where the server goes that was just lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Lost {
    /// It is tried first, if the connection proved stable.
    First,
    /// It stays where the walk has it (Diffusion).
    InPlace,
    /// It is tried last in every sweep of the outage (ActiveMQ).
    Last,
    /// Its loss was its turn: it is tried again in the next sweep (NATS). The default.
    #[default]
    TurnTaken,
}
