//! nats.go's reconnection.

use core::time::Duration;

use crate::failure::{Kind, Scope};
use crate::heartbeat::{Heartbeat, LEAST_PERIOD};
use crate::link::{LinkPolicy, Outbox};
use crate::policy::{
    Backoff, CustomDelay, Health, Jitter, Limit, Limits, Lost, On, Order, Pace, Policy,
    PolicyError, Reaction, Reactions, Shuffle, Walk,
};
use crate::preset::{Preset, at_most};

/// The options of nats.go 1.53, with its defaults.
///
/// | nats.go | default | ours |
/// |---|---|---|
/// | `NoRandomize` | false | `order.walk`: shuffled once; true: rotate |
/// | `AllowReconnect` | true | `limits.turns`: false is 0, a loss closes |
/// | `MaxReconnect` | 60 | `limits.per_endpoint`; negative: unlimited; 0: every other server once (`limits.sweeps` 1) |
/// | `ReconnectWait` | 2 s | `pace.backoff`: constant |
/// | `ReconnectJitter` | 100 ms | `jitter`: up to |
/// | `ReconnectJitterTLS` | 1 s | `tls_jitter`: up to |
/// | `ReconnectJitterMax` | never existed | `pace.cap` |
/// | `CustomReconnectDelayCB` | none | `pace.custom`, and the delay hook |
/// | `Timeout` | 2 s | `deadline` |
/// | `RetryOnFailedConnect` | false | `start_up_limits`: one sweep; true: as `limits` |
/// | `PingInterval` | 2 min | `link.heartbeat`: watch; zero: off |
/// | `MaxPingsOut` | 2 | `link.heartbeat`: watch; 0 allows none here, where nats.go takes its default |
/// | `ReconnectBufSize` | 8 MiB | `link.outbox`: keep; −1: off; 0: the default |
///
/// One wait per sweep, and the loss counts as the lost server's turn: with three servers s2 and s3
/// are dialled at once, then comes the wait, then s1, s2, s3, then a wait. A server's failures are
/// counted from its last success (`stable_after` is 0).
///
/// Not reproduced: an authorization error that comes twice from *one* server and closes the
/// connection whose other servers are fine (here the second suspends that server for 30 s, doubled
/// up to 10 min); a handshake without deadline over WebSocket; a forced reconnect that spins; the
/// jitter class of the server lost (here of the server dialled). A server at its limit comes back
/// with the next outage, where nats.go drops it for good; while servers drop out of the last sweep,
/// nats.go may wait once more in it. `MaxReconnect` 0 with one server: it is dialled once more.
/// A stale connection is noticed 6 min after its last byte, where nats.go takes 4 to 6.
#[derive(Clone, Debug, PartialEq)]
pub struct Nats {
    /// `NoRandomize`.
    pub no_randomize: bool,
    /// `AllowReconnect`.
    pub allow_reconnect: bool,
    /// `MaxReconnect`.
    pub max_reconnect: i64,
    /// `ReconnectWait`.
    pub reconnect_wait: Duration,
    /// `ReconnectJitter`.
    pub reconnect_jitter: Duration,
    /// `ReconnectJitterTLS`.
    pub reconnect_jitter_tls: Duration,
    /// Whether there is a `CustomReconnectDelayCB`, and whether the wait's bounds are its own.
    pub custom_reconnect_delay: CustomDelay,
    /// `Timeout`.
    pub timeout: Duration,
    /// `RetryOnFailedConnect`.
    pub retry_on_failed_connect: bool,
    /// `PingInterval`; zero: none.
    pub ping_interval: Duration,
    /// `MaxPingsOut`.
    pub max_pings_out: u32,
    /// `ReconnectBufSize` in bytes.
    pub reconnect_buf_size: i64,
}

const BUFFER: u64 = 8 * 1024 * 1024;

impl Default for Nats {
    fn default() -> Self {
        Self {
            no_randomize: false,
            allow_reconnect: true,
            max_reconnect: 60,
            reconnect_wait: Duration::from_secs(2),
            reconnect_jitter: Duration::from_millis(100),
            reconnect_jitter_tls: Duration::from_secs(1),
            custom_reconnect_delay: CustomDelay::Off,
            timeout: Duration::from_secs(2),
            retry_on_failed_connect: false,
            ping_interval: Duration::from_secs(120),
            max_pings_out: 2,
            reconnect_buf_size: 8 * 1024 * 1024,
        }
    }
}

impl Nats {
    /// These options as ours.
    ///
    /// # Errors
    /// When an option has a value that no policy may have.
    pub fn preset(&self) -> Result<Preset, PolicyError> {
        let walk = match self.no_randomize {
            false => Walk::Shuffled(Shuffle::Once),
            true => Walk::Rotate,
        };
        let widest = self.reconnect_jitter.max(self.reconnect_jitter_tls);
        let pace = Pace::new(Backoff::Constant(self.reconnect_wait))
            .cap(self.reconnect_wait.saturating_add(widest))
            .custom(self.custom_reconnect_delay);
        let one_pass = Limits::UNLIMITED.sweeps(Limit::AtMost(1));
        let per_server = match self.max_reconnect {
            0 => one_pass,
            most => Limits::UNLIMITED.per_endpoint(at_most(most, 1)),
        };
        let limits = match self.allow_reconnect {
            true => per_server,
            false => Limits::UNLIMITED.turns(Limit::AtMost(0)),
        };
        let policy = Policy::builder()
            .order(Order::new(walk).lost(Lost::TurnTaken))
            .pace(pace)
            .jitter(Jitter::UpTo(self.reconnect_jitter))
            .tls_jitter(Jitter::UpTo(self.reconnect_jitter_tls))
            .limits(limits)
            .start_up_limits(match self.retry_on_failed_connect {
                true => per_server,
                false => one_pass,
            })
            .stable_after(Duration::ZERO)
            .deadline(self.timeout)
            .health(Health::default().retries(1))
            .reactions(
                Reactions::default()
                    .on(On::kind(Kind::Auth), Reaction::Mark)
                    .on(On::scope(Scope::Endpoint), Reaction::Next),
            )
            .build()?;
        Ok(Preset {
            policy,
            link: self.link(),
        })
    }

    fn link(&self) -> LinkPolicy {
        let heartbeat = match self.ping_interval {
            Duration::ZERO => None,
            interval => Heartbeat::builder()
                .watch(interval.max(LEAST_PERIOD), self.max_pings_out)
                .build()
                .ok(),
        };
        let outbox = match self.reconnect_buf_size {
            ..0 => Outbox::Off,
            0 => Outbox::Keep { bytes: BUFFER },
            bytes => Outbox::Keep {
                bytes: bytes.unsigned_abs(),
            },
        };
        LinkPolicy::OFF.heartbeat(heartbeat).outbox(outbox)
    }
}
