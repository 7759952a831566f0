//! Tools to verify policies, machines and transports.

pub mod backoff;
pub mod conformance;
mod script;

pub use self::script::{Script, ScriptedConn, Step};
