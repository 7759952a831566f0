//! What the flight recorder keeps.

use crate::dial::Dial;
use crate::drive::clock::Clock;
use crate::drive::connector::Connector;
use crate::drive::recorder::{Flight, Recording};
use crate::machine::Change;

impl<D: Dial + 'static, C: Clock> Connector<D, C> {
    /// With this recorder, from the start.
    pub(crate) fn recorded(self, flight: Option<Flight>) -> Self {
        self.shared.record(flight);
        self
    }

    /// What was recorded so far; nothing without a
    /// [`recorder`](crate::drive::ConnectorBuilder::recorder).
    #[must_use]
    pub fn recording(&self) -> Option<Recording> {
        self.shared.recording()
    }

    /// Whoever comes in is known to the recorder by name.
    pub(super) fn record_names(&self, change: Change) {
        if let (Some(flight), Change::Add(traits)) = (self.shared.flight(), change)
            && let Some(endpoint) = self.endpoint(traits.id())
        {
            flight.meet(traits.id(), endpoint);
        }
    }
}
