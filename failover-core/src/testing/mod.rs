//! Tools to verify policies, machines and transports.

mod case;
mod clock;
pub mod conformance;
mod dialled;
pub mod laws;
mod script;
#[cfg(feature = "proptest")]
pub mod strategy;

pub use self::case::{Case, Delays};
pub use self::clock::{ManualClock, ManualSleep};
pub use self::dialled::Dialled;
pub use self::script::{Script, ScriptedConn, Step};
