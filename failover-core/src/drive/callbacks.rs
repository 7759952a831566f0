//! Callbacks by the names that other clients use, off the reconnect path.

use std::boxed::Box;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::drive::event::{Event, Events, What};

/// Callbacks for those who want them: by the names of NATS's client options. They run in
/// [`listen`](Self::listen), a future of their own that reads an event stream, never on the
/// reconnect path: one that is slow delays nothing (its stream then drops the oldest events and
/// counts them), one that panics loses that call alone.
///
/// ```
/// # async fn example(events: failover_core::drive::Events) {
/// use failover_core::drive::Callbacks;
///
/// Callbacks::new()
///     .disconnected(|event| eprintln!("gone: {event:?}"))
///     .reconnected(|event| eprintln!("back: {event:?}"))
///     .listen(events)
///     .await;
/// # }
/// ```
#[derive(Default)]
pub struct Callbacks {
    connected: Option<Callback>,
    disconnected: Option<Callback>,
    reconnected: Option<Callback>,
    discovered_servers: Option<Callback>,
    async_error: Option<Callback>,
    closed: Option<Callback>,
}

type Callback = Box<dyn FnMut(&Event) + Send>;

impl Callbacks {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Called at the first connection.
    #[must_use]
    pub fn connected(mut self, call: impl FnMut(&Event) + Send + 'static) -> Self {
        self.connected = Some(Box::new(call));
        self
    }

    /// Called when a connection is no more.
    #[must_use]
    pub fn disconnected(mut self, call: impl FnMut(&Event) + Send + 'static) -> Self {
        self.disconnected = Some(Box::new(call));
        self
    }

    /// Called when another connection stands: to the same server, to another one, or after a move.
    #[must_use]
    pub fn reconnected(mut self, call: impl FnMut(&Event) + Send + 'static) -> Self {
        self.reconnected = Some(Box::new(call));
        self
    }

    /// Called when a server pushed a list of servers.
    #[must_use]
    pub fn discovered_servers(mut self, call: impl FnMut(&Event) + Send + 'static) -> Self {
        self.discovered_servers = Some(Box::new(call));
        self
    }

    /// Called when something failed that ends no connection: a spare was lost, a hook panicked, a
    /// change of the list was refused, a report came too late.
    #[must_use]
    pub fn async_error(mut self, call: impl FnMut(&Event) + Send + 'static) -> Self {
        self.async_error = Some(Box::new(call));
        self
    }

    /// Called at the end.
    #[must_use]
    pub fn closed(mut self, call: impl FnMut(&Event) + Send + 'static) -> Self {
        self.closed = Some(Box::new(call));
        self
    }

    /// Reads the stream to its end and calls. Answers how many calls panicked.
    pub async fn listen(mut self, mut events: Events) -> u64 {
        let mut panics = 0;
        while let Some(event) = events.next().await {
            if let Some(call) = self.callback(&event.what)
                && catch_unwind(AssertUnwindSafe(|| call(&event))).is_err()
            {
                panics += 1;
            }
        }
        panics
    }

    fn callback(&mut self, what: &What) -> Option<&mut Callback> {
        match what {
            What::Connected(_) => self.connected.as_mut(),
            What::Disconnected { .. } => self.disconnected.as_mut(),
            What::Reconnected(_) | What::FailedOver { .. } | What::Moved { .. } => {
                self.reconnected.as_mut()
            }
            What::Discovered { .. } => self.discovered_servers.as_mut(),
            What::SpareLost { .. }
            | What::HookPanicked { .. }
            | What::ListRefused { .. }
            | What::NotDriven
            | What::LateReport { .. } => self.async_error.as_mut(),
            What::Closed(_) => self.closed.as_mut(),
            What::Attempt(_)
            | What::Held { .. }
            | What::SessionGone
            | What::Switching { .. }
            | What::Draining { .. }
            | What::Suspended { .. }
            | What::SpareReady(_)
            | What::ListChanged { .. }
            | What::Starved => None,
        }
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").finish_non_exhaustive()
    }
}
