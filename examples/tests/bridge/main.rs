//! `failover bridge`: real programs on one side, real servers on the other, and the tool itself between.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod carrying;
mod choosing;
#[path = "../common/mod.rs"]
mod common;
mod ending;
mod file;
mod page;
mod servers;
mod waiting;
mod wrapped;
