//! A connection as it is handed out.

use std::sync::Arc;

use crate::attempt::AttemptId;
use crate::directory::{Endpoint, Target};
use crate::drive::event::Link;
use crate::drive::leave::Leave;
use crate::machine::Move;

/// A connection, handed out with what is known of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Established<T> {
    /// The connection itself.
    pub conn: T,
    pub(super) link: Link,
    pub(super) arrival: Arrival,
    pub(super) leave: Leave,
}

/// Why a connection is there.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Arrival {
    /// It is the first one.
    #[default]
    First,
    /// It follows one that was lost, to the same server.
    Reconnected,
    /// It follows one that was lost, to another server.
    FailedOver {
        /// The server that was lost.
        from: Arc<Endpoint>,
    },
    /// It follows one that still stood when it was made.
    Moved {
        /// The server that is left.
        from: Arc<Endpoint>,
        /// What for.
        why: Move,
    },
}

impl<T> Established<T> {
    /// Its name towards the connector, for [`Connector::lost`](crate::drive::Connector::lost).
    #[must_use]
    pub fn id(&self) -> AttemptId {
        self.link.id
    }

    /// The endpoint and the route.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.link.target
    }

    /// Why it is there: the first one, a reconnect, a failover, a move.
    #[must_use]
    pub fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    /// Tells when it is to be left: keep a clone in the session.
    #[must_use]
    pub fn leave(&self) -> Leave {
        self.leave.clone()
    }
}
