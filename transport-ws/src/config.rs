//! What a WebSocket dialer may be told: plain values.

use std::fmt;

use failover_core::directory::Secret;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// How a WebSocket connection is asked for, and its bounds.
///
/// | value | default | what it trades |
/// |---|---|---|
/// | subprotocols | none | |
/// | headers | none | |
/// | largest message received | 4 MiB | memory that a server may make us spend, against what it may say |
/// | largest frame received | 4 MiB | the same for one frame, which is reserved as soon as it is announced |
/// | largest message written by a byte stream | 64 KiB | fewer frames against what is lost in memory while the peer does not read |
/// | read buffer | 16 KiB | memory of an idle connection against system calls |
/// | write buffer (messages only) | 16 KiB | the same |
///
/// (tungstenite's own defaults are 64 MiB, 16 MiB and 128 KiB.)
///
/// ```
/// use transport_ws::WsConfig;
///
/// let config = WsConfig::default()
///     .subprotocols(["v12.stomp", "v11.stomp"])
///     .header("Origin", "https://app.example")
///     .header("Authorization", "Bearer hunter2");
/// assert!(!format!("{config:?}").contains("hunter2"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsConfig {
    pub(crate) subprotocols: Vec<String>,
    pub(crate) headers: Headers,
    pub(crate) max_message_size: usize,
    pub(crate) max_frame_size: usize,
    pub(crate) max_write_size: usize,
    pub(crate) read_buffer_size: usize,
    pub(crate) write_buffer_size: usize,
}

impl Default for WsConfig {
    fn default() -> Self {
        Self {
            subprotocols: Vec::new(),
            headers: Headers::default(),
            max_message_size: 4 * MIB,
            max_frame_size: 4 * MIB,
            max_write_size: 64 * KIB,
            read_buffer_size: 16 * KIB,
            write_buffer_size: 16 * KIB,
        }
    }
}

impl WsConfig {
    /// The subprotocols to offer, the preferred one first. If any is offered, the server must
    /// choose one of them, otherwise the dial fails. Default: none.
    #[must_use]
    pub fn subprotocols(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// One more header of the request (`Origin`, `Cookie`, `Authorization`, …); it replaces an
    /// earlier one of the same name. Its value is a secret.
    ///
    /// An `Authorization` header wins over the userinfo of the URL, a `Host` header over the
    /// host of the URL. The upgrade's own headers cannot be set: `check` refuses them.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.set(name.into(), Secret::new(value));
        self
    }

    /// The largest message that is received, in bytes, above 0; default 4 MiB. A larger one ends
    /// the connection with close code 1009. Messages written by a
    /// [`MessageStream`](crate::MessageStream) have the same bound.
    #[must_use]
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// The largest frame that is received, in bytes, above 0; default 4 MiB. Many servers send
    /// each message in one frame: then this is the bound that counts.
    #[must_use]
    pub fn max_frame_size(mut self, bytes: usize) -> Self {
        self.max_frame_size = bytes;
        self
    }

    /// The largest message that a byte stream makes of one write, in bytes, above 0; default
    /// 64 KiB. A longer write becomes several messages. While the peer does not read, about this
    /// much waits in memory, and never more than it and 4 KiB for pongs.
    #[must_use]
    pub fn max_write_size(mut self, bytes: usize) -> Self {
        self.max_write_size = bytes;
        self
    }

    /// How much is read from the connection at once, in bytes; default 16 KiB, allocated once for
    /// each connection.
    #[must_use]
    pub fn read_buffer_size(mut self, bytes: usize) -> Self {
        self.read_buffer_size = bytes;
        self
    }

    /// How much a [`MessageStream`](crate::MessageStream) collects before it writes without being
    /// flushed, in bytes; default 16 KiB. A byte stream collects nothing, so that a program that
    /// never flushes works as it does over TCP; put a `BufWriter` around it for many small writes.
    #[must_use]
    pub fn write_buffer_size(mut self, bytes: usize) -> Self {
        self.write_buffer_size = bytes;
        self
    }

    /// The same with what an endpoint says otherwise.
    pub(crate) fn with(&self, options: &WsOptions) -> Self {
        let mut config = self.clone();
        if let Some(names) = &options.subprotocols {
            config.subprotocols.clone_from(names);
        }
        if let Some(bytes) = options.max_message_size {
            config.max_message_size = bytes;
        }
        for (name, value) in options.headers.iter() {
            config.headers.set(name.to_owned(), value.clone());
        }
        config
    }

    pub(crate) fn for_messages(&self) -> WebSocketConfig {
        let write_buffer = self.write_buffer_size.min(usize::MAX / 4);
        self.common()
            .write_buffer_size(write_buffer)
            .max_write_buffer_size(
                write_buffer
                    .saturating_add(self.max_message_size)
                    .saturating_add(ROOM_FOR_PONGS),
            )
    }

    pub(crate) fn for_bytes(&self) -> WebSocketConfig {
        self.common()
            .write_buffer_size(0)
            .max_write_buffer_size(self.max_write_size.saturating_add(ROOM_FOR_PONGS))
    }

    fn common(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(self.read_buffer_size)
            .max_message_size(Some(self.max_message_size))
            .max_frame_size(Some(self.max_frame_size))
    }
}

/// What one endpoint says otherwise than the dialer's [`WsConfig`]; it rides in the endpoint's
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
    subprotocols: Option<Vec<String>>,
    headers: Headers,
    max_message_size: Option<usize>,
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

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Beside one message, this much of the write buffer is left for frame heads and for the pongs
/// that tungstenite answers with while the peer does not read.
const ROOM_FOR_PONGS: usize = 4 * KIB;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_adds_headers_and_replaces_those_of_the_same_name() {
        let config = WsConfig::default().header("A", "1").header("B", "2");
        let config = config.with(&WsOptions::default().header("b", "3").header("C", "4"));
        let names: Vec<_> = config
            .headers
            .iter()
            .map(|(name, value)| (name, value.expose()))
            .collect();
        assert_eq!(names, [("A", "1"), ("b", "3"), ("C", "4")]);
    }

    #[test]
    fn the_largest_sizes_are_no_panic() {
        let most = WsConfig::default()
            .max_message_size(usize::MAX)
            .max_write_size(usize::MAX)
            .write_buffer_size(usize::MAX);
        for config in [most.for_messages(), most.for_bytes()] {
            assert!(config.max_write_buffer_size > config.write_buffer_size);
        }
    }
}
