//! What a WebSocket dialer may be told: plain values.

use std::time::Duration;

use failover_core::directory::Secret;
use failover_core::heartbeat::Heartbeat;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::options::{Headers, WsOptions};
use crate::request::ConfigError;

/// How a WebSocket connection is asked for, and its bounds.
///
/// | value | default | what it trades |
/// |---|---|---|
/// | subprotocols | none | |
/// | headers | none | |
/// | largest message received | 4 MiB | memory that a server may make us spend, against what it may say |
/// | largest frame received | as the message | the same for one frame, which is reserved as soon as it is announced |
/// | largest answer to the upgrade | 16 KiB | the same before the session |
/// | largest message written by a byte stream | 64 KiB | fewer frames against what is lost in memory while the peer does not read |
/// | read buffer | 16 KiB | memory of an idle connection against system calls |
/// | write buffer (messages only) | 16 KiB | the same |
/// | redirects followed | 0 | servers that send clients on, against a server that sends them anywhere |
/// | keepalive | off | a small packet now and then, against a dead peer that nobody notices |
/// | grace for the close handshake | 5 s | a clean end with a slow server, against waiting for a dead one |
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
    pub(crate) max_frame_size: Option<usize>,
    pub(crate) max_answer_size: usize,
    pub(crate) max_write_size: usize,
    pub(crate) read_buffer_size: usize,
    pub(crate) write_buffer_size: usize,
    pub(crate) follow_redirects: u8,
    pub(crate) keepalive: Option<Heartbeat>,
    pub(crate) close_grace: Duration,
}

impl Default for WsConfig {
    fn default() -> Self {
        Self {
            subprotocols: Vec::new(),
            headers: Headers::default(),
            max_message_size: 4 * MIB,
            max_frame_size: None,
            max_answer_size: 16 * KIB,
            max_write_size: 64 * KIB,
            read_buffer_size: 16 * KIB,
            write_buffer_size: 16 * KIB,
            follow_redirects: 0,
            keepalive: None,
            close_grace: Duration::from_secs(5),
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

    /// The largest frame that is received, in bytes, above 0 and not above the largest message.
    /// Default: as the largest message. A smaller one bounds what is reserved as soon as a frame is
    /// announced; many servers send each message in one frame: then this is the bound that counts.
    #[must_use]
    pub fn max_frame_size(mut self, bytes: usize) -> Self {
        self.max_frame_size = Some(bytes);
        self
    }

    /// The largest head of an answer to the upgrade (with the interim answers before it), in bytes,
    /// at least 256; default 16 KiB. It is allocated as it arrives.
    #[must_use]
    pub fn max_answer_size(mut self, bytes: usize) -> Self {
        self.max_answer_size = bytes;
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

    /// How much is read from the connection at once, in bytes, at least 128; default 16 KiB,
    /// allocated once for each connection. With 3 KiB an idle connection takes 5 KiB.
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

    /// How many redirects (301, 302, 303, 307, 308) are followed within one dial; default 0.
    ///
    /// `https` means `wss` there, and `http` `ws`. Never followed is one from TLS to plain, and one
    /// that the dialer below cannot reach (`wss` over plain TCP). Another server (scheme, host or
    /// port) gets no credentials: no userinfo, no configured or asked header, no option of the
    /// endpoint, which also holds those of other layers.
    #[must_use]
    pub fn follow_redirects(mut self, most: u8) -> Self {
        self.follow_redirects = most;
        self
    }

    /// Watches the server: pings go out while it is silent, and when they stay unanswered the
    /// connection ends with [`SessionError::Stale`](crate::SessionError::Stale). Default: off.
    ///
    /// Only received bytes reset it, be they half of a frame; what is sent never does. A dead
    /// server is noticed within [`Heartbeat::bound`], `interval × (max_outstanding + 1)`, while the
    /// connection is *read*: a program that only writes should set a
    /// [`write_deadline`](failover_core::heartbeat::HeartbeatBuilder::write_deadline), which holds
    /// while it writes. `beat` sends pongs that nobody asked for.
    ///
    /// It takes a tokio runtime with its timer enabled.
    #[must_use]
    pub fn keepalive(mut self, heartbeat: impl Into<Option<Heartbeat>>) -> Self {
        self.keepalive = heartbeat.into();
        self
    }

    /// How long a server may take to answer our goodbye, before which what was written must have
    /// gone out; default 5 s. Then the connection ends with
    /// [`SessionError::Unanswered`](crate::SessionError::Unanswered).
    #[must_use]
    pub fn close_grace(mut self, grace: Duration) -> Self {
        self.close_grace = grace;
        self
    }

    /// Whether these values can work together. `Dial::check` asks, so nobody else needs to.
    ///
    /// # Errors
    /// The first one that cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("max_message_size", self.max_message_size, 1),
            ("max_frame_size", self.max_frame(), 1),
            ("max_answer_size", self.max_answer_size, LEAST_ANSWER),
            ("max_write_size", self.max_write_size, 1),
            ("read_buffer_size", self.read_buffer_size, LEAST_READ_BUFFER),
        ];
        for (setting, bytes, least) in sizes {
            if bytes < least {
                return Err(ConfigError::TooSmall {
                    setting,
                    bytes,
                    least,
                });
            }
        }
        match self.max_frame() > self.max_message_size {
            false => Ok(()),
            true => Err(ConfigError::FrameAboveMessage {
                frame: self.max_frame(),
                message: self.max_message_size,
            }),
        }
    }

    fn max_frame(&self) -> usize {
        self.max_frame_size.unwrap_or(self.max_message_size)
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
        if let Some(keepalive) = options.keepalive {
            config.keepalive = keepalive;
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
            .max_frame_size(Some(self.max_frame()))
    }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Beside one message, this much of the write buffer is left for frame heads and for the pongs
/// that tungstenite answers with while the peer does not read.
const ROOM_FOR_PONGS: usize = 4 * KIB;

/// A right answer to an upgrade is longer than half of this.
const LEAST_ANSWER: usize = 256;

/// Less would read many frames in several pieces.
const LEAST_READ_BUFFER: usize = 128;

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

    #[test]
    fn what_cannot_work_is_refused_and_what_just_can_is_not() {
        let config = WsConfig::default;
        for (right, wrong, words) in [
            (
                config().max_message_size(1),
                config().max_message_size(0),
                "`max_message_size` is 0: it must be at least 1 bytes",
            ),
            (
                config().max_answer_size(256),
                config().max_answer_size(255),
                "`max_answer_size` is 255: it must be at least 256 bytes",
            ),
            (
                config().max_write_size(1),
                config().max_write_size(0),
                "`max_write_size` is 0: it must be at least 1 bytes",
            ),
            (
                config().read_buffer_size(128),
                config().read_buffer_size(127),
                "`read_buffer_size` is 127: it must be at least 128 bytes",
            ),
            (
                config().max_frame_size(9).max_message_size(9),
                config().max_frame_size(10).max_message_size(9),
                "`max_frame_size` is 10: it must not be above `max_message_size`, which is 9",
            ),
        ] {
            assert_eq!(right.check(), Ok(()));
            assert_eq!(wrong.check().unwrap_err().to_string(), words);
        }
    }

    #[test]
    fn the_bound_of_a_frame_follows_that_of_an_endpoint_s_messages() {
        let config = WsConfig::default().with(&WsOptions::default().max_message_size(9 * MIB));
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.common().max_frame_size, Some(9 * MIB));
    }
}
