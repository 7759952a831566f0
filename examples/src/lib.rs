//! What the `failover` tool and the stories are made of.
//!
//! Nothing here reconnects: there is one loop, the connector's. [`demo`] takes servers away from
//! it, [`cat`] gives it standard input and output, [`bridge`] other programs' connections, [`probe`]
//! dials without it, [`timeline`] prints its events; [`simulate`] plays a
//! [`scenario`] with the machine alone, [`herd`] with a million of them, [`recording`] plays again what a
//! connector recorded, [`explain`] and [`verify`] ask the machine about a policy.

#![forbid(unsafe_code)]

pub mod bridge;
mod broker_dialer;
pub mod cat;
pub mod demo;
pub mod deployment;
pub mod explain;
pub mod herd;
pub mod migrate;
pub mod mqtt;
pub mod nats;
pub mod picture;
pub mod plural;
pub mod policy_file;
pub mod probe;
pub mod recording;
mod registry;
mod roster;
pub mod scenario;
pub mod simulate;
pub mod stomp;
pub mod timeline;
pub mod url_path;
mod userinfo;
pub mod verify;

pub use self::registry::registry;

/// The workspace's README: its snippets are compiled and run as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
