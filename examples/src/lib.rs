//! What the `failover` tool and the stories are made of.
//!
//! Nothing here reconnects: there is one loop, the connector's. [`demo`] takes servers away from
//! it, [`cat`] gives it standard input and output, [`timeline`] prints its events; [`simulate`] plays a
//! [`scenario`] with the machine alone.

#![forbid(unsafe_code)]

pub mod cat;
pub mod demo;
pub mod form;
pub mod migrate;
pub mod near;
mod registry;
pub mod scenario;
pub mod simulate;
pub mod span;
pub mod timeline;

pub use self::registry::registry;
