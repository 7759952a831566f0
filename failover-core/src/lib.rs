#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

pub mod attempt;
pub mod endpoint;
pub mod failure;
mod few;
pub mod heartbeat;
pub mod link;
#[cfg(feature = "std")]
mod living;
#[cfg(feature = "std")]
mod lookup;
pub mod machine;
mod numbered;
pub mod policy;
mod pool;
pub mod preset;
pub mod race;
mod random;
pub mod time;

#[cfg(feature = "std")]
pub mod config;
#[cfg(feature = "std")]
pub mod dial;
#[cfg(feature = "std")]
pub mod directory;
#[cfg(feature = "std")]
pub mod drive;
#[cfg(feature = "std")]
pub mod messaging;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "testing")]
pub mod testing;
