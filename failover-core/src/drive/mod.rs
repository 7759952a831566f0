//! The connector: the only loop, the only place that awaits.

mod clock;

pub use self::clock::Clock;
