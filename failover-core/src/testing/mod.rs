//! Tools to verify policies, machines and transports.

pub mod conformance;
