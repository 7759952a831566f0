//! The process to oneself, and what is open in it.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "test code outside of the test functions; no test binary needs all of it"
)]

use std::future::Future;
use std::sync::{Mutex, PoisonError};

/// Runs this while no other test of the process does, on a runtime made for it.
pub(crate) fn alone(test: impl Future<Output = ()>) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

/// Open descriptors and tasks that are not done.
pub(crate) fn left() -> usize {
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    descriptors() + tasks
}

pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The memory that this process has, in KiB.
pub(crate) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.unwrap().trim().trim_end_matches(" kB");
    number.parse().unwrap()
}
