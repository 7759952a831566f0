//! stompit's `ConnectFailover`.

use core::time::Duration;

use crate::failure::{Kind, Scope};
use crate::link::LinkPolicy;
use crate::policy::{
    Backoff, Every, Jitter, Limits, Lost, On, Order, Pace, Policy, PolicyError, Ratio, Reaction,
    Reactions, Shuffle, Walk,
};
use crate::preset::{Preset, at_most};

/// The options of stompit 1.0's `ConnectFailover`, with its defaults.
///
/// | stompit | default | ours |
/// |---|---|---|
/// | `initialReconnectDelay` | 10 ms | `pace.backoff`: affine, `initial` |
/// | `reconnectDelayExponent` | 2.0 | `pace.backoff`: affine, `factor` |
/// | `maxReconnectDelay` | 30 000 ms | `pace.cap` |
/// | `useExponentialBackOff` | true | false: `pace.backoff` constant |
/// | `maxReconnects` | −1 | `limits.per_endpoint` and `start_up_limits.per_endpoint`; negative: unlimited; 0: each server once, as 1 |
/// | `randomize` | true | `order.walk`: shuffled once; false: rotate |
/// | `timeout` of a server | 3000 ms | `deadline` |
/// | `isApplicationError` | ERROR frame at login | `reactions`: kind auth is remove |
///
/// The wait before a server is `min(initial·(exponentᵏ − 1), max)`, where k counts that server's
/// failures in a row ([`Every::Return`]): fresh servers are dialled back to back. A success resets
/// its own server only, at once (`stable_after` is 0).
///
/// Not reproduced: the first server never shuffled, two servers never, and the bias; a login
/// without deadline; accept-then-drop dialled again without any bound (here the hard floor bounds
/// it; raise `stable_after` to make it back off); a second loop after a second `reconnect()`; an
/// exponent below 1 (refused here). A server at its limit comes back with the next outage, where
/// stompit drops it for good. With every server removed the connector is starved, until one is
/// added or switched on; stompit ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Stompit {
    /// `initialReconnectDelay`.
    pub initial_reconnect_delay: Duration,
    /// `reconnectDelayExponent`.
    pub reconnect_delay_exponent: Ratio,
    /// `maxReconnectDelay`.
    pub max_reconnect_delay: Duration,
    /// `useExponentialBackOff`.
    pub use_exponential_back_off: bool,
    /// `maxReconnects`.
    pub max_reconnects: i64,
    /// `randomize`.
    pub randomize: bool,
    /// `timeout`.
    pub timeout: Duration,
}

impl Default for Stompit {
    fn default() -> Self {
        Self {
            initial_reconnect_delay: Duration::from_millis(10),
            reconnect_delay_exponent: Ratio::TWO,
            max_reconnect_delay: Duration::from_secs(30),
            use_exponential_back_off: true,
            max_reconnects: -1,
            randomize: true,
            timeout: Duration::from_secs(3),
        }
    }
}

impl Stompit {
    /// These options as ours.
    ///
    /// # Errors
    /// When an option has a value that no policy may have.
    pub fn preset(&self) -> Result<Preset, PolicyError> {
        let initial = self.initial_reconnect_delay;
        let factor = self.reconnect_delay_exponent;
        let backoff = match self.use_exponential_back_off {
            true if initial > Duration::ZERO && factor != Ratio::ONE => {
                Backoff::Affine { initial, factor }
            }
            // Nothing grows from zero, nor by a factor of one.
            true => Backoff::Constant(Duration::ZERO),
            false => Backoff::Constant(initial),
        };
        let walk = match self.randomize {
            true => Walk::Shuffled(Shuffle::Once),
            false => Walk::Rotate,
        };
        let limits = Limits::UNLIMITED.per_endpoint(at_most(self.max_reconnects, 1));
        let policy = Policy::builder()
            .order(Order::new(walk).lost(Lost::InPlace))
            .pace(
                Pace::new(backoff)
                    .every(Every::Return)
                    .cap(self.max_reconnect_delay),
            )
            .jitter(Jitter::None)
            .tls_jitter(Jitter::None)
            .limits(limits)
            .start_up_limits(limits)
            .stable_after(Duration::ZERO)
            .deadline(self.timeout)
            .reactions(
                Reactions::default()
                    .on(On::kind(Kind::Auth), Reaction::Remove)
                    .on(On::scope(Scope::Endpoint), Reaction::Next),
            )
            .build()?;
        Ok(Preset {
            policy,
            link: LinkPolicy::OFF,
        })
    }
}
