//! The laws: numbered, public, each a plain function that says whether it holds.
//!
//! Those about a machine read a [`Trace`]; those about a backoff take any
//! `FnMut(u32) -> Duration`, so that they check other people's too. None of them asks the machine
//! what it thinks: each recounts from what went in and what came out.
//!
//! A backoff counts attempts from 1; one that keeps state of its own ignores the number. Where
//! several clients matter, a factory makes one backoff per seed:
//!
//! ```
//! use failover_core::endpoint::Security;
//! use failover_core::policy::{Pace, Policy, Seed};
//! use failover_core::testing::laws;
//!
//! let policy = Policy::builder().pace(Pace::default()).build()?;
//! let pace = policy.pace();
//! let client = |seed| {
//!     let mut waits = policy.waits(Seed::new(seed), Security::Plain);
//!     move |_attempt: u32| waits.next_wait()
//! };
//! laws::l01_total(client(1))?;
//! laws::l02_bounds(client(1), pace.min, pace.cap)?;
//! laws::l03_spread(&laws::at_attempt(20, client), pace.cap / 2)?;
//! laws::l04_growth(|attempt| pace.backoff.wait(attempt, pace.cap), pace.cap)?;
//! laws::l05_series(client, 20)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backoff;
mod beside;
mod failback;
mod grammar;
mod ledger;
mod lifetime;
mod limits;
mod rate;
mod replay;
mod retired;
mod round_trip;
mod sweep;
mod waits;
mod window;

use core::fmt;

pub use self::backoff::{
    CLIENTS, at_attempt, l01_total, l02_bounds, l03_spread, l04_decorrelated, l04_growth,
    l05_series, waits,
};
pub use self::beside::l02_beside;
pub use self::failback::l10_failback;
pub use self::grammar::l15_grammar;
pub use self::lifetime::{l11_close, l14_progress, l17_recovery, l17_standing};
pub(in crate::testing) use self::lifetime::{longest_rest, recovery_bound, standing_bound};
pub use self::limits::l07_limits;
pub use self::rate::{l08_rate, l09_eligibility};
pub use self::replay::{l05_replay, l12_stale};
pub use self::round_trip::l16_round_trip;
pub use self::sweep::l09_sweep;
pub use self::waits::{l02_waits, l06_tls, l13_custom};
use crate::sim::Trace;

/// A law about one trace.
pub type Law = fn(&Trace) -> Result<(), Violation>;

/// Every law that one trace can show, with its name.
pub const ALL: [(&str, Law); 14] = [
    ("L2", l02_waits),
    ("L2, beside", l02_beside),
    ("L5", l05_replay),
    ("L6", l06_tls),
    ("L7", l07_limits),
    ("L8", l08_rate),
    ("L9", l09_eligibility),
    ("L9, sweep", l09_sweep),
    ("L10", l10_failback),
    ("L11", l11_close),
    ("L12", l12_stale),
    ("L13", l13_custom),
    ("L14", l14_progress),
    ("L15", l15_grammar),
];

/// A law that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which law: `L8`.
    pub law: &'static str,
    /// At which step of the trace, or for which number of a backoff.
    pub at: usize,
    /// What was seen, and what should have been.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.law, self.at, self.what)
    }
}

impl core::error::Error for Violation {}

fn violation(law: &'static str, at: usize, what: impl Into<String>) -> Result<(), Violation> {
    let what = what.into();
    Err(Violation { law, at, what })
}
