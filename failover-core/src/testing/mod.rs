//! Tools to verify policies, machines and transports.

mod case;
pub mod conformance;
pub mod laws;
mod script;
#[cfg(feature = "proptest")]
pub mod strategy;

pub use self::case::{Case, Delays};
pub use self::script::{Script, ScriptedConn, Step};
