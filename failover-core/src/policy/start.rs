//! What the first connect may do.

/// Whether the first connect may walk over the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Start {
    /// A failed first dial goes on to the next endpoint (server cascading). The default.
    #[default]
    Cascade,
    /// The same, and it goes on where every endpoint refused for a reason of its own, which ends
    /// the first connect otherwise. (Synapse)
    Persevere,
    /// Only the first endpoint that the order names is dialled until it answers; the others are
    /// for failover. (Diffusion without cascading) If it is removed from the list, the next takes
    /// its place; if it is switched off, it is waited for.
    FirstOnly,
}

/// Whether a route without TLS may be tried after one with TLS failed in the same turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PlainFallback {
    /// It is skipped: whoever breaks the TLS route does not get the plain one. The default.
    #[default]
    Refuse,
    /// It may.
    Allow,
}
