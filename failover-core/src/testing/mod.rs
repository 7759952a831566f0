//! Tools to verify policies, machines and transports.

mod script;

pub use self::script::{Script, ScriptedConn, Step};
