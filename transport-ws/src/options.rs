//! What one endpoint says otherwise, and the headers of both.

use std::fmt;

use failover_core::directory::Secret;
use failover_core::heartbeat::Heartbeat;

/// What one endpoint says otherwise than the dialer's [`WsConfig`](crate::WsConfig); it rides in the endpoint's
/// options.
///
/// ```
/// use failover_core::directory::Endpoint;
/// use transport_ws::WsOptions;
///
/// let endpoint = Endpoint::parse("wss://broker.example/stream")?
///     .with(WsOptions::default().header("Authorization", "Bearer hunter2"));
/// # Ok::<(), failover_core::directory::UrlError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WsOptions {
    pub(crate) subprotocols: Option<Vec<String>>,
    pub(crate) headers: Headers,
    pub(crate) max_message_size: Option<usize>,
    pub(crate) keepalive: Option<Option<Heartbeat>>,
}

impl WsOptions {
    /// The subprotocols to offer to this endpoint, in place of the dialer's.
    #[must_use]
    pub fn subprotocols(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.subprotocols = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// One more header for this endpoint, beside the dialer's; it replaces one of the same name.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.set(name.into(), Secret::new(value));
        self
    }

    /// The largest message that is received from this endpoint, in bytes, above 0.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = Some(bytes);
        self
    }

    /// How this endpoint is watched, in place of the dialer's keepalive; nothing: not at all.
    #[must_use]
    pub fn keepalive(mut self, heartbeat: impl Into<Option<Heartbeat>>) -> Self {
        self.keepalive = Some(heartbeat.into());
        self
    }
}

/// Headers in the order in which they were set; names differ also without regard to case.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, Secret)>);

impl Headers {
    pub(crate) fn set(&mut self, name: String, value: Secret) {
        self.0.retain(|(old, _)| !old.eq_ignore_ascii_case(&name));
        self.0.push((name, value));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
