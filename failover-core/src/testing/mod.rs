//! Tools to verify policies, machines and transports.
