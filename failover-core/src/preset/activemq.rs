//! ActiveMQ's `failover:` transport.

use core::time::Duration;

use crate::link::{LinkPolicy, Outbox, Replay};
use crate::policy::{
    Backoff, Failback, Jitter, Limits, Lost, Order, Pace, Policy, PolicyError, Ratio, Shuffle,
    Standing, Walk,
};
use crate::preset::{Preset, at_most, growing};

/// The options of ActiveMQ 5's `failover:` transport, with its defaults.
///
/// | ActiveMQ | default | ours |
/// |---|---|---|
/// | `initialReconnectDelay` | 10 ms | `pace.backoff` and `pace.first` |
/// | `backOffMultiplier` (`reconnectDelayExponent`) | 2.0 | `pace.backoff`: exponential, `factor` |
/// | `maxReconnectDelay` | 30 000 ms | `pace.cap` |
/// | `useExponentialBackOff` | true | false: `pace.backoff` constant |
/// | `maxReconnectAttempts` | −1 | `limits.sweeps`; −1: unlimited; 0: a loss closes, at start-up one pass |
/// | `startupMaxReconnectAttempts` | −1 | `start_up_limits.sweeps`; −1: as `maxReconnectAttempts`; 0: one pass |
/// | `randomize` | true | `order.walk`: shuffled at each sweep; false: listed |
/// | `backup`, `backupPoolSize` | false, 1 | `standing.spares` |
/// | `priorityBackup` | false | `standing.failback`, with the preferred servers in tier 0 |
/// | `priorityURIs` | the first | their endpoints' `tier` 0, the others' 1 |
/// | `timeout` | −1 | `link.outbox`: wait; −1: for ever |
/// | `trackMessages`, `maxCacheSize` | false, 131 072 bytes | `link.replay` |
/// | `warnAfterReconnectAttempts` | 10 | none: every attempt is an event |
/// | `updateURIsSupported`, `rebalanceUpdateURIs`, `reconnectSupported` | true | none in the policy: the application tells the connector of pushed lists and moves |
/// | `updateURIsURL` | none | none |
/// | `connectionTimeout` of a server | 30 s | `deadline` |
///
/// The waits: `i` before the first pass after a loss, then after each failed pass `i`, `i·m`,
/// `i·m²`, … up to the maximum; none within a pass. The server lost last goes last in every pass. A
/// success resets at once (`stable_after` is 0).
///
/// Not reproduced: a cap that spares the first and the flat wait; an initial delay of 5 that never
/// grows, and growth that stops by truncation; the biased shuffle; a spare that is refused once and
/// never tried again; a rebalance that drops the connection before it dials; a close that waits for
/// a dial. The preferred server is probed every second, not with a growing delay, and moved to
/// after one good probe.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveMq {
    /// `initialReconnectDelay`.
    pub initial_reconnect_delay: Duration,
    /// `backOffMultiplier`, also spelt `reconnectDelayExponent`.
    pub back_off_multiplier: Ratio,
    /// `maxReconnectDelay`.
    pub max_reconnect_delay: Duration,
    /// `useExponentialBackOff`.
    pub use_exponential_back_off: bool,
    /// `maxReconnectAttempts`.
    pub max_reconnect_attempts: i64,
    /// `startupMaxReconnectAttempts`.
    pub startup_max_reconnect_attempts: i64,
    /// `randomize`.
    pub randomize: bool,
    /// `backupPoolSize`, or 0 without `backup`.
    pub backup_pool_size: u8,
    /// `priorityBackup`.
    pub priority_backup: bool,
    /// `timeout`; nothing: for ever.
    pub timeout: Option<Duration>,
    /// `maxCacheSize` in bytes, or 0 without `trackMessages`.
    pub max_cache_size: u64,
    /// `connectionTimeout` of the servers.
    pub connection_timeout: Duration,
}

impl Default for ActiveMq {
    fn default() -> Self {
        Self {
            initial_reconnect_delay: Duration::from_millis(10),
            back_off_multiplier: Ratio::TWO,
            max_reconnect_delay: Duration::from_secs(30),
            use_exponential_back_off: true,
            max_reconnect_attempts: -1,
            startup_max_reconnect_attempts: -1,
            randomize: true,
            backup_pool_size: 0,
            priority_backup: false,
            timeout: None,
            max_cache_size: 0,
            connection_timeout: Duration::from_secs(30),
        }
    }
}

impl ActiveMq {
    /// These options as ours.
    ///
    /// # Errors
    /// When an option has a value that no policy may have.
    pub fn preset(&self) -> Result<Preset, PolicyError> {
        let cap = self.max_reconnect_delay;
        let initial = self.initial_reconnect_delay.min(cap);
        let pace = match self.use_exponential_back_off {
            true => growing(initial, self.back_off_multiplier, cap),
            false => Pace::new(Backoff::Constant(initial)).cap(cap),
        };
        let walk = match self.randomize {
            true => Walk::Shuffled(Shuffle::EachSweep),
            false => Walk::Listed,
        };
        let at_start = match self.startup_max_reconnect_attempts {
            ..0 => self.max_reconnect_attempts,
            own => own,
        };
        let mut standing = Standing::default().spares(self.backup_pool_size);
        if self.priority_backup {
            let failback = Failback::default().every(Duration::from_secs(1));
            standing = standing.failback(failback.good_probes(1).settle(Duration::ZERO));
        }
        let policy = Policy::builder()
            .order(Order::new(walk).lost(Lost::Last))
            .pace(pace.first(initial))
            .jitter(Jitter::None)
            .tls_jitter(Jitter::None)
            .limits(Limits::UNLIMITED.sweeps(at_most(self.max_reconnect_attempts, 0)))
            .start_up_limits(Limits::UNLIMITED.sweeps(at_most(at_start, 1)))
            .stable_after(Duration::ZERO)
            .standing(standing)
            .deadline(self.connection_timeout)
            .build()?;
        Ok(Preset {
            policy,
            link: self.link(),
        })
    }

    fn link(&self) -> LinkPolicy {
        let replay = match self.max_cache_size {
            0 => Replay::Off,
            bytes => Replay::Bytes(bytes),
        };
        let most = self.timeout;
        LinkPolicy::OFF.outbox(Outbox::Wait { most }).replay(replay)
    }
}
