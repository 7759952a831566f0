//! Connections as a stream.

use std::fmt;
use std::future::poll_fn;

use crate::attempt::AttemptId;
use crate::dial::Dial;
use crate::drive::clock::Clock;
use crate::drive::connector::{Connector, Established};
use crate::drive::error::{GiveUp, Loss};
use crate::drive::event::Events;
use crate::drive::handle::Handle;
use crate::machine::Answer;

/// The connections of a connector, one after the other. See [`Connector::connections`].
pub struct Connections<D: Dial, C: Clock> {
    connector: Connector<D, C>,
    gave_up: Option<GiveUp>,
}

impl<D: Dial + 'static, C: Clock> Connections<D, C> {
    pub(super) const fn new(connector: Connector<D, C>) -> Self {
        Self {
            connector,
            gave_up: None,
        }
    }

    /// The next connection: at once, or once the present one is lost or left. `None` when there will
    /// be no more: [`gave_up`](Self::gave_up) says why.
    ///
    /// Poll it beside the session: it makes the dials beside a standing connection (spares,
    /// probes, moves) and hears the handles.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Established<D::Conn>> {
        poll_fn(|cx| self.connector.poll_hung_up(cx)).await;
        self.connector.begin();
        match poll_fn(|cx| self.connector.poll_connect(cx)).await {
            Ok(established) => Some(established),
            Err(gave_up) => {
                self.gave_up = Some(gave_up);
                None
            }
        }
    }

    /// Reports that a connection was lost. See [`Connector::lost`].
    pub fn lost(&mut self, connection: AttemptId, loss: impl Into<Loss>) -> Answer {
        self.connector.lost(connection, loss)
    }

    /// Why there are no more, once [`next`](Self::next) has said so.
    #[must_use]
    pub const fn gave_up(&self) -> Option<&GiveUp> {
        self.gave_up.as_ref()
    }

    /// A handle to control it from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.connector.handle()
    }

    /// A stream of what happens from now on.
    pub fn events(&mut self) -> Events {
        self.connector.events()
    }

    /// Ends it.
    pub fn close(&mut self) {
        self.connector.close();
    }
}

impl<D: Dial, C: Clock> fmt::Debug for Connections<D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}
